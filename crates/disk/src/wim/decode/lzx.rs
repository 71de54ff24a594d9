//! LZX of WIM. It differs from LZX of cabinet files ([MS-PATCH]; Microsoft, "LZX Data Compression Format") as follows.
//! Each chunk is independent, and the window has the size of a chunk. There is no header: addresses after the byte E8
//! are always translated, as for a file of 12,000,000 bytes. One bit marks a block of the default size, 32768 bytes.

use super::bits::{Bits, REFILLED};
use super::huffman::{Code, LONGEST};
use super::{Broken, copy_match};

/// Number of length headers of matches for each slot of offsets.
const HEADERS: usize = 8;
/// Number of symbols: literals, and matches of the 50 slots of the largest window.
const MAIN: usize = 256 + 50 * HEADERS;
/// Number of symbols for lengths that do not fit into a header.
const LENGTHS: usize = 249;
/// Number of symbols of the code for the lengths of other codes.
const PRE: usize = 20;
/// Number of symbols for the lowest three bits of offsets.
const ALIGNED: usize = 8;
/// Default size of a block in bytes.
const USUAL_BLOCK: u32 = 32768;
/// Bytes of the shortest match.
const LEAST: usize = 2;
/// The size for which addresses are translated.
const TRANSLATED_SIZE: i32 = 12_000_000;

/// The slots of offsets: the lowest formatted offset of each, and the number of extra bits.
const SLOTS: [(u32, u32); 50] = slots();

const fn slots() -> [(u32, u32); 50] {
    let mut all = [(0, 0); 50];
    let (mut slot, mut base) = (0, 0);
    while slot < all.len() {
        // 0, 0, 0, 0, 1, 1, 2, 2 ... and never more than 17. A slot is less than 50.
        let bits = if slot < 4 { 0 } else { slot as u32 / 2 - 1 };
        let bits = if bits > 17 { 17 } else { bits };
        all[slot] = (base, bits);
        base += 1 << bits;
        slot += 1;
    }
    all
}

/// The tables of the codes, which are large.
pub(super) struct Codes {
    main: Code<MAIN, 2048>,
    lengths: Code<LENGTHS, 1024>,
    aligned: Code<ALIGNED, 128>,
    pre: Code<PRE, 64>,
}

impl Codes {
    pub(super) fn new() -> Self {
        Codes { main: Code::new(), lengths: Code::new(), aligned: Code::new(), pre: Code::new() }
    }
}

/// The state of a chunk between blocks.
struct State {
    main: [u8; MAIN],
    lengths: [u8; LENGTHS],
    /// The three most recent offsets.
    recent: [usize; 3],
}

/// The kinds of blocks.
const VERBATIM: u32 = 1;
const WITH_ALIGNED: u32 = 2;
const UNCOMPRESSED: u32 = 3;

/// Decodes a chunk of an archive with chunks of `window` bytes, a power of two from 2^15 to 2^21.
pub(super) fn decode(codes: &mut Codes, window: u32, input: &[u8], output: &mut [u8]) -> Result<(), Broken> {
    // [MS-PATCH] 2.6.1 for the windows that cabinet files have; the next after it is the first slot that a window of 2^21 bytes
    // fills.
    let slots = match window {
        0x8000 => 30,
        0x1_0000 => 32,
        0x2_0000 => 34,
        0x4_0000 => 36,
        0x8_0000 => 38,
        0x10_0000 => 42,
        0x20_0000 => 50,
        _ => return Err(Broken),
    };
    let mut state = State { main: [0; MAIN], lengths: [0; LENGTHS], recent: [1; 3] };
    let mut bits = Bits::new(input);
    let mut at = 0;
    while at < output.len() {
        let kind = bits.read(3);
        let len = match bits.read(1) {
            1 => USUAL_BLOCK,
            _ if window > 0x8000 => bits.read(16) << 8 | bits.read(8),
            _ => bits.read(16),
        };
        let end = usize::try_from(len).ok().and_then(|len| at.checked_add(len)).filter(|end| *end <= output.len());
        let end = end.ok_or(Broken)?;
        match kind {
            VERBATIM | WITH_ALIGNED => {
                read_codes(codes, &mut state, &mut bits, slots, kind == WITH_ALIGNED)?;
                at = if kind == WITH_ALIGNED {
                    block::<true>(codes, &mut state.recent, &mut bits, output, at, end)?
                } else {
                    block::<false>(codes, &mut state.recent, &mut bits, output, at, end)?
                };
            }
            UNCOMPRESSED => {
                let offsets = bits.aligned_bytes(12)?;
                for (recent, bytes) in state.recent.iter_mut().zip(offsets.as_chunks::<4>().0) {
                    *recent = usize::try_from(u32::from_le_bytes(*bytes)).map_err(|_| Broken)?;
                }
                output[at..end].copy_from_slice(bits.bytes(end - at)?);
                if (end - at) % 2 == 1 {
                    // The padding of the last block may be missing.
                    let _ = bits.byte();
                }
                at = end;
            }
            _ => return Err(Broken),
        }
    }
    bits.finish()?;
    untranslate(output);
    Ok(())
}

/// Reads the codes of a block.
fn read_codes(
    codes: &mut Codes,
    state: &mut State,
    bits: &mut Bits<'_>,
    slots: usize,
    is_aligned: bool,
) -> Result<(), Broken> {
    if is_aligned {
        let mut lengths = [0; ALIGNED];
        // Three bits.
        lengths.fill_with(|| bits.read(3) as u8);
        codes.aligned.build(&lengths)?;
    }
    let (literals, matches) = state.main.split_at_mut(256);
    read_lengths(&mut codes.pre, bits, literals)?;
    read_lengths(&mut codes.pre, bits, &mut matches[..slots * HEADERS])?;
    codes.main.build(&state.main)?;
    read_lengths(&mut codes.pre, bits, &mut state.lengths)?;
    codes.lengths.build(&state.lengths)
}

/// Reads the lengths of codewords, which are stored as differences to those of the previous block.
fn read_lengths(pre: &mut Code<PRE, 64>, bits: &mut Bits<'_>, lengths: &mut [u8]) -> Result<(), Broken> {
    let mut own = [0; PRE];
    // Four bits.
    own.fill_with(|| bits.read(4) as u8);
    pre.build(&own)?;
    let symbol = |bits: &mut Bits<'_>| {
        bits.ensure(16);
        pre.read(bits)
    };
    // Both are at most 17.
    let changed = |before: u8, difference: usize| (usize::from(before) + 17 - difference) as u8 % 17;
    let mut at = 0;
    while at < lengths.len() {
        let (run, length) = match symbol(bits)? {
            17 => (4 + bits.read(4), 0),
            18 => (20 + bits.read(5), 0),
            19 => {
                let run = 4 + bits.read(1);
                let difference = symbol(bits)?;
                if difference > 16 {
                    return Err(Broken);
                }
                (run, changed(lengths[at], difference))
            }
            difference => (1, changed(lengths[at], difference)),
        };
        // A run has at most 51 symbols. It is truncated at the end.
        let end = lengths.len().min(at + run as usize);
        lengths[at..end].fill(length);
        at = end;
    }
    Ok(())
}

/// Decodes the bytes from `at` to `end`. A match may exceed `end`; the next block begins after it.
fn block<const IS_ALIGNED: bool>(
    codes: &Codes,
    recent: &mut [usize; 3],
    outer: &mut Bits<'_>,
    output: &mut [u8],
    mut at: usize,
    end: usize,
) -> Result<usize, Broken> {
    let mut bits = *outer;
    let [mut first, mut second, mut third] = *recent;
    while at < end {
        bits.ensure(REFILLED);
        let mut symbol = codes.main.read(&mut bits)?;
        if symbol < 256 {
            // Below 256.
            output[at] = symbol as u8;
            at += 1;
            if at == end {
                break;
            }
            // The buffered bits suffice for one more symbol.
            symbol = codes.main.read(&mut bits)?;
            if symbol < 256 {
                output[at] = symbol as u8;
                at += 1;
                continue;
            }
            bits.ensure(REFILLED - LONGEST as u32);
        }
        let (slot, header) = ((symbol - 256) / HEADERS, (symbol - 256) % HEADERS);
        let mut len = LEAST + header;
        if header == HEADERS - 1 {
            len += codes.lengths.read(&mut bits)?;
        }
        match slot {
            0 => {}
            1 => std::mem::swap(&mut first, &mut second),
            2 => std::mem::swap(&mut first, &mut third),
            _ => {
                let (base, more) = SLOTS[slot];
                // At most 17 bits, of which the last three may be a symbol of at most 7.
                let extra = if IS_ALIGNED && more >= 3 {
                    let high = bits.take(more - 3) << 3;
                    bits.ensure(16);
                    // Below 8.
                    high | codes.aligned.read(&mut bits)? as u32
                } else {
                    bits.take(more)
                };
                // The first three formatted offsets (slots 0 to 2) are the recent offsets.
                let offset = usize::try_from(base + extra - 2).map_err(|_| Broken)?;
                (first, second, third) = (offset, first, second);
            }
        }
        at = copy_match(output, at, first, len)?;
    }
    (*outer, *recent) = (bits, [first, second, third]);
    Ok(at)
}

/// Converts the absolute addresses after bytes E8 back to the relative addresses of x86 calls.
fn untranslate(bytes: &mut [u8]) {
    const OPCODE: u8 = 0xe8;
    let Some(last) = bytes.len().checked_sub(10) else { return };
    let mut at = 0;
    while at < last {
        let Some(found) = memchr::memchr(OPCODE, &bytes[at..last]) else { return };
        at += found;
        // A chunk has at most 2^21 bytes.
        let here = at as i32;
        let Some(field) = bytes[at + 1..].first_chunk_mut::<4>() else { return };
        let absolute = i32::from_le_bytes(*field);
        if (-here..TRANSLATED_SIZE).contains(&absolute) {
            let relative = if absolute >= 0 { absolute - here } else { absolute + TRANSLATED_SIZE };
            *field = relative.to_le_bytes();
        }
        at += 5;
    }
}
