//! Canonical prefix codes: shorter codewords come first; codewords of equal length are in the order of their symbols.

use super::Broken;
use super::bits::Bits;

/// Maximum length of a codeword in bits, in all formats.
pub(super) const LONGEST: usize = 16;
/// A code for `SYMBOLS` symbols. `TABLE`, a power of two, is the number of entries of the look-up table for the next
/// bits.
#[derive(Clone)]
pub(super) struct Code<const SYMBOLS: usize, const TABLE: usize> {
    /// Indexed by the next bits: the symbol times 32 plus the length of its codeword; 0 for a longer or no codeword.
    table: [u16; TABLE],
    /// The symbols in the order of their codewords.
    sorted: [u16; SYMBOLS],
    /// For long codewords, by length: one more than the highest codeword at the high end of 16 bits, the lowest
    /// codeword, and the index of its symbol.
    long: [(u32, u32, usize); LONGEST + 1],
}

impl<const SYMBOLS: usize, const TABLE: usize> Code<SYMBOLS, TABLE> {
    /// Number of bits that one look-up in the table decodes.
    const FAST: u32 = TABLE.ilog2();

    /// Returns the code without codewords.
    pub(super) fn new() -> Self {
        const { assert!(SYMBOLS < 1 << 11 && TABLE.is_power_of_two() && TABLE < 1 << LONGEST) };
        Code { table: [0; TABLE], sorted: [0; SYMBOLS], long: [(0, 0, 0); LONGEST + 1] }
    }

    /// Sets the code by the length of the codeword of each symbol, or 0 for none. The code may be incomplete.
    ///
    /// # Errors
    /// The code has too many codewords.
    pub(super) fn build(&mut self, lengths: &[u8]) -> Result<(), Broken> {
        let mut counts = [0usize; LONGEST + 1];
        for &length in lengths {
            *counts.get_mut(usize::from(length)).ok_or(Broken)? += 1;
        }
        counts[0] = 0;
        let (mut code, mut index) = (0, 0);
        let mut next = [0; LONGEST + 1];
        for length in 1..=LONGEST {
            let count = u32::try_from(counts[length]).map_err(|_| Broken)?;
            let shift = LONGEST - length;
            self.long[length] = ((code + count) << shift, code, index);
            next[length] = index;
            index += counts[length];
            code += count;
            if code > 1 << length {
                return Err(Broken);
            }
            code <<= 1;
        }
        for (symbol, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let at = &mut next[usize::from(length)];
            // There are fewer than 2048 symbols.
            *self.sorted.get_mut(*at).ok_or(Broken)? = symbol as u16;
            *at += 1;
        }
        self.fill();
        Ok(())
    }

    /// Fills the table, in the order of the codewords.
    fn fill(&mut self) {
        let mut at = 0;
        for length in 1..=Self::FAST as usize {
            let (_, first, index) = self.long[length];
            let end = self.long[length + 1].2;
            let len = 1 << (Self::FAST as usize - length);
            debug_assert!(first as usize * len == at || index == end);
            let (symbols, entries) = (&self.sorted[index..end], &mut self.table[at..]);
            for (symbol, entries) in symbols.iter().zip(entries.chunks_exact_mut(len)) {
                // Both fit: see `new`.
                entries.fill(symbol << 5 | length as u16);
            }
            at += len * symbols.len();
        }
        self.table[at..].fill(0);
    }

    /// Reads a symbol. The bits of its codeword must be buffered.
    #[inline(always)]
    pub(super) fn read<const BACKWARD: bool>(&self, bits: &mut Bits<'_, BACKWARD>) -> Result<usize, Broken> {
        let (symbol, length) = self.decode(bits.peek16())?;
        bits.drop(length);
        Ok(symbol)
    }

    /// Decodes the symbol at the start of `bits`, the next 16 bits. Returns the symbol and the length of its codeword.
    #[inline(always)]
    fn decode(&self, bits: u32) -> Result<(usize, u32), Broken> {
        // The shift leaves fewer bits than the table has indices.
        let entry = self.table[(bits >> (16 - Self::FAST)) as usize & (TABLE - 1)];
        if entry != 0 {
            return Ok((usize::from(entry >> 5), u32::from(entry & 31)));
        }
        self.decode_long(bits)
    }

    #[inline(never)]
    fn decode_long(&self, bits: u32) -> Result<(usize, u32), Broken> {
        for length in Self::FAST as usize + 1..=LONGEST {
            let (limit, first, index) = self.long[length];
            if bits < limit {
                let own = (bits >> (LONGEST - length)).checked_sub(first).ok_or(Broken)?;
                // At most 16 bits and 16.
                let symbol = self.sorted.get(index + own as usize).ok_or(Broken)?;
                return Ok((usize::from(*symbol), length as u32));
            }
        }
        Err(Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codewords_have_the_order_of_length_and_symbol() {
        let mut code = Code::<8, 1024>::new();
        code.build(&[3, 1, 0, 3, 2]).unwrap();
        for (bits, symbol, length) in [(0b0, 1, 1), (0b10, 4, 2), (0b110, 0, 3), (0b111, 3, 3)] {
            assert_eq!(code.decode(bits << (16 - length)).unwrap(), (symbol, length));
        }
    }

    #[test]
    fn long_codewords_are_decoded() {
        let mut lengths: Vec<u8> = (1..=16).collect();
        lengths.push(16);
        let mut code = Code::<17, 1024>::new();
        code.build(&lengths).unwrap();
        for (symbol, &length) in lengths.iter().enumerate().take(16) {
            let word = ((1u32 << length) - 2) << (16 - length);
            assert_eq!(code.decode(word).unwrap(), (symbol, u32::from(length)));
        }
        assert_eq!(code.decode(0xffff).unwrap(), (16, 16));
    }

    #[test]
    fn a_code_may_be_incomplete_but_not_oversubscribed() {
        let mut code = Code::<4, 1024>::new();
        code.build(&[2, 0, 0, 0]).unwrap();
        assert_eq!(code.decode(0).unwrap(), (0, 2));
        assert!(code.decode(0x4000).is_err());
        assert!(code.build(&[1, 1, 1]).is_err());
        assert!(code.build(&[17]).is_err());
        code.build(&[0; 4]).unwrap();
        assert!(code.decode(0).is_err() && code.decode(0xffff).is_err());
    }
}
