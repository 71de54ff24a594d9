//! XPRESS with a prefix code ([MS-XCA] 2.2, "LZ77+Huffman") of WIM: each chunk is independent and has one code.

use super::bits::Bits;
use super::huffman::Code;
use super::{Broken, copy_match};

/// Literals, then matches by the logarithm of the offset and the length.
const SYMBOLS: usize = 512;
/// Bytes of the shortest match.
const LEAST: usize = 3;

/// Decodes one chunk.
///
/// A chunk begins with the lengths of the 512 codewords, 4 bits each, the lower half of a byte first.
pub(super) fn decode(code: &mut Code<SYMBOLS, 2048>, input: &[u8], output: &mut [u8]) -> Result<(), Broken> {
    let (table, rest) = input.split_at_checked(SYMBOLS / 2).ok_or(Broken)?;
    let mut lengths = [0; SYMBOLS];
    for (pair, byte) in lengths.as_chunks_mut::<2>().0.iter_mut().zip(table) {
        *pair = [byte & 15, byte >> 4];
    }
    code.build(&lengths)?;
    let mut bits = Bits::new(rest);
    let mut at = 0;
    while at < output.len() {
        // The maximum number of bits of a symbol and an offset.
        bits.ensure(32);
        let symbol = code.read(&mut bits)?;
        if symbol < 256 {
            // Below 256.
            output[at] = symbol as u8;
            at += 1;
            continue;
        }
        // At most 15.
        let logarithm = (symbol as u32 >> 4) & 15;
        // A `usize` has 32 bits or more.
        let offset = (1 << logarithm) | bits.take(logarithm) as usize;
        let mut length = symbol & 15;
        if length == 15 {
            bits.align_as_taken(logarithm);
            length += usize::from(bits.byte()?);
            if length == 15 + 255 {
                length = usize::from(u16::from_le_bytes([bits.byte()?, bits.byte()?]));
            }
        }
        at = copy_match(output, at, offset, length + LEAST)?;
    }
    bits.finish()
}
