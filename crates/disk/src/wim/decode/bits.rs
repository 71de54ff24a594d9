//! A bit stream of 16-bit words, each stored little-endian and used from its highest bit down, as in XPRESS and LZX
//! ([MS-XCA] 2.1.4.1; [MS-PATCH] 2.2). That of LZMS begins with the last word of the input and runs backwards.

use super::Broken;

/// Minimum number of buffered bits after [`Bits::refill`].
pub(super) const REFILLED: u32 = 49;

/// Reads bits from the start of the input, or from its end. Past the other end, the bits are zeros; [`Bits::finish`]
/// reports whether any of them was used.
///
/// Loops over many symbols copy it, so that it can stay in registers. So only inlined functions borrow it.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a, const BACKWARD: bool = false> {
    input: &'a [u8],
    /// Number of bytes taken into `buffer`, including those past the end of the input.
    position: usize,
    /// The next bits, at the high end. The bits below may already contain some of the following bits.
    buffer: u64,
    /// Number of valid bits of `buffer`.
    count: u32,
}

impl<'a, const BACKWARD: bool> Bits<'a, BACKWARD> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Bits { input, position: 0, buffer: 0, count: 0 }
    }

    /// Takes words until [`REFILLED`] bits are buffered.
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
        // The bits of a partially taken word are taken again, at the same position.
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

    /// Takes words unless `wanted` bits (at most [`REFILLED`]) are buffered.
    #[inline(always)]
    pub(super) fn ensure(&mut self, wanted: u32) {
        if self.count < wanted {
            self.refill();
        }
    }

    /// Returns the next 16 bits, which must be buffered.
    #[inline(always)]
    pub(super) fn peek16(&self) -> u32 {
        // The shift leaves 16 bits.
        (self.buffer >> 48) as u32
    }

    /// Skips `count` bits, which must be buffered.
    #[inline(always)]
    pub(super) fn drop(&mut self, count: u32) {
        self.buffer <<= count;
        self.count -= count;
    }

    /// Takes `count` bits (at most 31), which must be buffered.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        // The shifts leave `count` bits. There are two, because a shift by 64 is undefined.
        let bits = (self.buffer >> 1 >> (63 - count)) as u32;
        self.drop(count);
        bits
    }

    /// Reads `count` bits (at most 31).
    #[inline(always)]
    pub(super) fn read(&mut self, count: u32) -> u32 {
        self.ensure(count);
        self.take(count)
    }

    /// Returns whether no bit past the end of the input was used.
    pub(super) fn finish(&self) -> Result<(), Broken> {
        let used = self.position * 8 - self.count as usize;
        if used <= self.input.len() * 8 { Ok(()) } else { Err(Broken) }
    }
}

impl<'a> Bits<'a> {
    /// Returns the words that a reader would not have taken that takes one when it has fewer than 16 bits before a
    /// symbol or a number. The last item had `taken` bits. Bytes follow the words that such a reader has taken.
    #[inline(always)]
    pub(super) fn align_as_taken(&mut self, taken: u32) {
        let kept = 16 + (self.count + taken) % 16 - taken;
        self.position -= (self.count - kept) as usize / 8;
        self.count = kept;
        self.buffer &= !u64::MAX.unbounded_shr(kept);
    }

    /// Takes a byte between the words.
    #[inline(always)]
    pub(super) fn byte(&mut self) -> Result<u8, Broken> {
        let byte = *self.input.get(self.position).ok_or(Broken)?;
        self.position += 1;
        Ok(byte)
    }

    /// Skips the rest of the current word, or a whole word at a word boundary, and takes the next `len` bytes.
    pub(super) fn aligned_bytes(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let used = self.position * 8 - self.count as usize;
        self.position = (used / 16 + 1) * 2;
        (self.buffer, self.count) = (0, 0);
        self.bytes(len)
    }

    /// Takes `len` bytes. No bits may be buffered.
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let end = self.position.checked_add(len).ok_or(Broken)?;
        let bytes = self.input.get(self.position..end).ok_or(Broken)?;
        self.position = end;
        Ok(bytes)
    }
}

/// Combines four 16-bit words, the first one highest.
#[inline(always)]
fn swap_words(words: u64) -> u64 {
    const EVEN: u64 = 0x0000_ffff_0000_ffff;
    ((words & EVEN) << 16 | words >> 16 & EVEN).rotate_left(32)
}
