//! LZMS, the compression of ESD archives: LZ77 with matches of bytes and of deltas, a range coder for decisions, and
//! adaptive prefix codes for all other symbols.
//!
//! Microsoft has not published the format. Facts: E. Biggers, comments of wimlib. A buffer holds two streams of
//! little-endian 16-bit words. That of the range coder begins at the start. That of the prefix codes begins at the end
//! and runs backwards, each word from its highest bit down.

mod code;
mod range;
mod slots;
mod x86;

use code::{AdaptiveCode, Backward};
use range::{Decision, RangeDecoder};
use slots::{DELTA_POWERS, LENGTH_SLOTS, LITERALS, MOST_OFFSET_SLOTS, lengths, offset_slots, offsets};

use super::{Broken, copy_match};

/// Number of recent offsets that a match can refer to.
const REMEMBERED: usize = 3;

/// A delta match. `span` is `1 << power`. The difference of each byte to the byte `span` before it equals the
/// difference of the two bytes that are `raw << power` earlier.
#[derive(Clone, Copy)]
struct Delta {
    power: u32,
    raw: u32,
}

/// The kind of the previous item. After a match, its own offset is not among the recent offsets that can be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Literal,
    Match,
    Delta,
}

/// The adaptive state, which is large.
pub(super) struct State {
    literals: AdaptiveCode<LITERALS>,
    offsets: AdaptiveCode<MOST_OFFSET_SLOTS>,
    lengths: AdaptiveCode<LENGTH_SLOTS>,
    delta_offsets: AdaptiveCode<MOST_OFFSET_SLOTS>,
    delta_powers: AdaptiveCode<DELTA_POWERS>,
    history: Vec<i32>,
}

impl State {
    pub(super) fn new() -> Self {
        State {
            literals: AdaptiveCode::new(1024),
            offsets: AdaptiveCode::new(1024),
            lengths: AdaptiveCode::new(512),
            delta_offsets: AdaptiveCode::new(1024),
            delta_powers: AdaptiveCode::new(512),
            history: Vec::new(),
        }
    }
}

/// The decisions. The last outcomes of each select its state.
struct Decisions {
    is_match: Decision<16>,
    is_delta: Decision<32>,
    is_remembered: Decision<64>,
    which: [Decision<64>; REMEMBERED - 1],
    is_delta_remembered: Decision<64>,
    which_delta: [Decision<64>; REMEMBERED - 1],
}

impl Decisions {
    fn new() -> Self {
        Decisions {
            is_match: Decision::new(),
            is_delta: Decision::new(),
            is_remembered: Decision::new(),
            which: std::array::from_fn(|_| Decision::new()),
            is_delta_remembered: Decision::new(),
            which_delta: std::array::from_fn(|_| Decision::new()),
        }
    }
}

/// Recent offsets, the newest first. There is one more than a match can refer to: see [`Before`].
struct Recent<T>([T; REMEMBERED + 1]);

impl<T: Copy> Recent<T> {
    fn push(&mut self, item: T) {
        self.0.rotate_right(1);
        self.0[0] = item;
    }

    /// Returns the offset that the decisions select, and makes it the newest.
    #[inline(always)]
    fn take(&mut self, which: &mut [Decision<64>; REMEMBERED - 1], range: &mut RangeDecoder<'_>, skip: usize) -> T {
        let mut number = 0;
        for decision in which {
            if !range.decide(decision) {
                break;
            }
            number += 1;
        }
        // At most REMEMBERED.
        let taken = self.0[number + skip];
        for at in (0..number + skip).rev() {
            self.0[at + 1] = self.0[at];
        }
        self.0[0] = taken;
        taken
    }
}

/// Decodes one chunk.
pub(super) fn decode(state: &mut State, input: &[u8], output: &mut [u8]) -> Result<(), Broken> {
    // Both streams consist of whole words, and the range coder begins with two.
    if input.len() % 2 == 1 || input.len() < 4 {
        return Err(Broken);
    }
    let mut range = RangeDecoder::new(input);
    let mut bits = Backward::new(input);
    let slots = offset_slots(output.len());
    state.literals.begin(LITERALS);
    state.offsets.begin(slots);
    state.lengths.begin(LENGTH_SLOTS);
    state.delta_offsets.begin(slots);
    state.delta_powers.begin(DELTA_POWERS);
    let mut decisions = Decisions::new();
    let mut recent = Recent([1, 2, 3, 4]);
    let mut deltas = Recent([1, 2, 3, 4].map(|raw| Delta { power: 0, raw }));
    let mut before = Before::Literal;
    let mut at = 0;
    while at < output.len() {
        if !range.decide(&mut decisions.is_match) {
            // Below 256.
            output[at] = state.literals.decode(&mut bits)? as u8;
            at += 1;
            before = Before::Literal;
        } else if !range.decide(&mut decisions.is_delta) {
            if range.decide(&mut decisions.is_remembered) {
                recent.take(&mut decisions.which, &mut range, usize::from(before == Before::Match));
            } else {
                let slot = state.offsets.decode(&mut bits)?;
                recent.push(offsets(slot, &mut bits)?);
            }
            before = Before::Match;
            let len = length(state, &mut bits)?;
            at = copy_match(output, at, usize::try_from(recent.0[0]).map_err(|_| Broken)?, len)?;
        } else {
            if range.decide(&mut decisions.is_delta_remembered) {
                deltas.take(&mut decisions.which_delta, &mut range, usize::from(before == Before::Delta));
            } else {
                // Below 8.
                let power = state.delta_powers.decode(&mut bits)? as u32;
                let slot = state.delta_offsets.decode(&mut bits)?;
                deltas.push(Delta { power, raw: offsets(slot, &mut bits)? });
            }
            before = Before::Delta;
            let len = length(state, &mut bits)?;
            at = copy_delta(output, at, deltas.0[0], len)?;
        }
    }
    x86::untranslate(output, &mut state.history);
    Ok(())
}

#[inline(always)]
fn length(state: &mut State, bits: &mut Backward<'_>) -> Result<usize, Broken> {
    let slot = state.lengths.decode(bits)?;
    usize::try_from(lengths(slot, bits)?).map_err(|_| Broken)
}

fn copy_delta(output: &mut [u8], at: usize, delta: Delta, len: usize) -> Result<usize, Broken> {
    let span = 1usize << delta.power;
    let offset = usize::try_from(u64::from(delta.raw) << delta.power).map_err(|_| Broken)?;
    let end = at.checked_add(len).filter(|end| *end <= output.len()).ok_or(Broken)?;
    if offset.checked_add(span).is_none_or(|reach| reach > at) {
        return Err(Broken);
    }
    for at in at..end {
        let [span_before, there, before_there] = [at - span, at - offset, at - offset - span].map(|at| output[at]);
        output[at] = there.wrapping_add(span_before).wrapping_sub(before_there);
    }
    Ok(end)
}
