//! The slots of offsets and lengths: each slot is a range of numbers with one symbol, followed by extra bits for the
//! position in the range.

use super::super::Broken;
use super::code::Backward;

/// Number of symbols of literals.
pub(super) const LITERALS: usize = 256;
/// Number of slots of offsets in the largest chunk.
pub(super) const MOST_OFFSET_SLOTS: usize = 799;
/// Number of slots of lengths.
pub(super) const LENGTH_SLOTS: usize = 54;
/// Number of powers of two for the span of a delta match.
pub(super) const DELTA_POWERS: usize = 8;

/// The number of consecutive slots with the width 1, 2, 4 ...
const OFFSET_RUNS: [usize; 21] = [9, 0, 9, 7, 10, 15, 15, 20, 20, 30, 33, 40, 42, 45, 60, 73, 80, 85, 95, 105, 6];
const LENGTH_RUNS: [usize; 17] = [27, 4, 6, 4, 5, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1];
/// The end of the last slot.
const OFFSETS_END: u32 = 0x7fff_ffff;
const LENGTHS_END: u32 = 0x4001_08ab;

/// A slot: its lowest number, and the number of extra bits after its symbol.
#[derive(Clone, Copy)]
struct Slot {
    base: u32,
    bits: u32,
}

static OFFSETS: [Slot; MOST_OFFSET_SLOTS] = slots(&OFFSET_RUNS, OFFSETS_END);
static LENGTHS: [Slot; LENGTH_SLOTS] = slots(&LENGTH_RUNS, LENGTHS_END);

const fn slots<const COUNT: usize>(runs: &[usize], end: u32) -> [Slot; COUNT] {
    let mut all = [Slot { base: 0, bits: 0 }; COUNT];
    let (mut run, mut at, mut base) = (0, 0, 0u32);
    while run < runs.len() {
        let mut left = runs[run];
        while left > 0 {
            base += 1 << run;
            all[at].base = base;
            (at, left) = (at + 1, left - 1);
        }
        run += 1;
    }
    assert!(at == COUNT);
    at = 0;
    while at < COUNT {
        let next = if at + 1 < COUNT { all[at + 1].base } else { end };
        all[at].bits = (next - all[at].base).ilog2();
        at += 1;
    }
    all
}

/// Returns the number of slots of offsets in a chunk of `len` bytes: up to the slot of its last byte.
pub(super) fn offset_slots(len: usize) -> usize {
    let last = len.saturating_sub(1);
    OFFSETS.partition_point(|slot| slot.base as usize <= last)
}

/// Reads the offset in a slot.
#[inline(always)]
pub(super) fn offsets(slot: usize, bits: &mut Backward<'_>) -> Result<u32, Broken> {
    number(&OFFSETS, slot, bits)
}

/// Reads the length in a slot.
#[inline(always)]
pub(super) fn lengths(slot: usize, bits: &mut Backward<'_>) -> Result<u32, Broken> {
    number(&LENGTHS, slot, bits)
}

#[inline(always)]
fn number(slots: &[Slot], slot: usize, bits: &mut Backward<'_>) -> Result<u32, Broken> {
    let Slot { base, bits: more } = *slots.get(slot).ok_or(Broken)?;
    Ok(base + bits.read(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_each_other_without_gaps() {
        for slots in [&OFFSETS[..], &LENGTHS] {
            assert_eq!(slots[0].base, 1);
            // The last slot of offsets ends within its bits.
            for pair in slots.windows(2) {
                assert_eq!(pair[0].base + (1 << pair[0].bits), pair[1].base);
            }
        }
        assert_eq!(LENGTHS[LENGTH_SLOTS - 1].base + (1 << 30), LENGTHS_END);
    }

    #[test]
    fn a_chunk_has_slots_up_to_its_last_byte() {
        assert_eq!([0, 1, 2, 3, 10, 13, 14].map(offset_slots), [0, 0, 1, 2, 9, 9, 10]);
    }
}
