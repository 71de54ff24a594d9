//! A bit stream of 16-bit words, each stored little-endian and used from its highest bit down, as XPRESS and LZX have it
//! ([MS-XCA] 2.1.4.1; [MS-PATCH] 2.2); LZMS has one that begins with the last word of its input and runs backwards.

use super::Broken;

/// Bits that there are at least after [`Bits::refill`].
pub(super) const REFILLED: u32 = 49;

/// Reads bits from the start of the input, or from its end. Past the other end there are zeros; [`Bits::finish`] says whether any
/// was used.
///
/// It is copied where many symbols are read in a row, so that it can stay in registers; so nothing that is not inlined borrows it.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a, const BACKWARD: bool = false> {
    input: &'a [u8],
    /// Bytes taken into `buffer`, those past the end of the input counting too.
    position: usize,
    /// The next bits, at the high end. Below them there may be some of those that follow.
    buffer: u64,
    /// How many bits of `buffer` there are.
    count: u32,
}

impl<'a, const BACKWARD: bool> Bits<'a, BACKWARD> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Bits { input, position: 0, buffer: 0, count: 0 }
    }

    /// Takes words until there are [`REFILLED`] bits.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        // The next four words, the first one highest.
        let next = if BACKWARD {
            let rest = self.input.len().checked_sub(self.position).and_then(|end| self.input.get(..end));
            rest.and_then(<[u8]>::last_chunk).map(|eight| u64::from_le_bytes(*eight))
        } else {
            let eight = self.input.get(self.position..).and_then(<[u8]>::first_chunk);
            eight.map(|eight| swap_words(u64::from_le_bytes(*eight)))
        };
        let Some(next) = next else {
            *self = self.refilled_at_the_end();
            return;
        };
        // Bits of a word that is not taken as a whole come again, in the same place.
        self.buffer |= next.unbounded_shr(self.count);
        let words = (64 - self.count) / 16;
        self.position += 2 * words as usize;
        self.count += 16 * words;
    }

    #[cold]
    fn refilled_at_the_end(mut self) -> Self {
        while self.count < REFILLED {
            let byte = |at: usize| {
                let at = if BACKWARD { self.input.len().checked_sub(at + 1) } else { Some(at) };
                at.and_then(|at| self.input.get(at)).copied().unwrap_or(0)
            };
            let [first, second] = [byte(self.position), byte(self.position + 1)];
            let word = u16::from_le_bytes(if BACKWARD { [second, first] } else { [first, second] });
            self.position += 2;
            self.buffer |= u64::from(word) << (48 - self.count);
            self.count += 16;
        }
        self
    }

    /// Takes words unless there are `wanted` bits, [`REFILLED`] at most.
    #[inline(always)]
    pub(super) fn ensure(&mut self, wanted: u32) {
        if self.count < wanted {
            self.refill();
        }
    }

    /// Returns the next 16 bits of those that were ensured.
    #[inline(always)]
    pub(super) fn peek16(&self) -> u32 {
        // The shift leaves 16 bits.
        (self.buffer >> 48) as u32
    }

    /// Drops `count` bits of those that were ensured.
    #[inline(always)]
    pub(super) fn drop(&mut self, count: u32) {
        self.buffer <<= count;
        self.count -= count;
    }

    /// Takes `count` bits, 31 at most, of those that were ensured.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        // The shifts leave `count` bits; two of them, since one by 64 is none.
        let bits = (self.buffer >> 1 >> (63 - count)) as u32;
        self.drop(count);
        bits
    }

    /// Reads `count` bits, 31 at most.
    #[inline(always)]
    pub(super) fn read(&mut self, count: u32) -> u32 {
        self.ensure(count);
        self.take(count)
    }

    /// Whether no bit past the end of the input was used.
    pub(super) fn finish(&self) -> Result<(), Broken> {
        let used = self.position * 8 - self.count as usize;
        if used <= self.input.len() * 8 { Ok(()) } else { Err(Broken) }
    }
}

impl<'a> Bits<'a> {
    /// Gives back the words that a reader has not taken yet that takes one whenever it has fewer than 16 bits before a symbol or a
    /// number; the last one had `taken` bits. Behind the words that it has taken stand bytes.
    #[inline(always)]
    pub(super) fn align_as_taken(&mut self, taken: u32) {
        let kept = 16 + (self.count + taken) % 16 - taken;
        self.position -= (self.count - kept) as usize / 8;
        self.count = kept;
        self.buffer &= !u64::MAX.unbounded_shr(kept);
    }

    /// Takes a byte from between the words.
    #[inline(always)]
    pub(super) fn byte(&mut self) -> Result<u8, Broken> {
        let byte = *self.input.get(self.position).ok_or(Broken)?;
        self.position += 1;
        Ok(byte)
    }

    /// Drops what is left of the current word, a whole one if none has begun, and takes `len` bytes that follow it.
    pub(super) fn aligned_bytes(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let used = self.position * 8 - self.count as usize;
        self.position = (used / 16 + 1) * 2;
        (self.buffer, self.count) = (0, 0);
        self.bytes(len)
    }

    /// Takes `len` bytes where no bits are waiting.
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let end = self.position.checked_add(len).ok_or(Broken)?;
        let bytes = self.input.get(self.position..end).ok_or(Broken)?;
        self.position = end;
        Ok(bytes)
    }
}

/// Puts the first of four 16-bit words highest.
#[inline(always)]
fn swap_words(words: u64) -> u64 {
    const EVEN: u64 = 0x0000_ffff_0000_ffff;
    ((words & EVEN) << 16 | words >> 16 & EVEN).rotate_left(32)
}
