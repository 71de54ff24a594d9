//! Decoders of the compressions of WIM: XPRESS, LZX and LZMS. The length of the output is known before, so it bounds
//! every loop, and memory is never allocated by a number from the input.

// Symbols, lengths and offsets are below the size of a table or of a chunk, which is at most 64 MiB.
#![allow(clippy::cast_possible_truncation)]

mod bits;
mod huffman;
mod lzms;
mod lzx;
mod xpress;

/// A compression of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// XPRESS with a prefix code.
    Xpress,
    /// LZX, whose window is as large as a chunk.
    Lzx,
    /// LZMS.
    Lzms,
}

/// The input is not a chunk of the requested size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Decodes chunks. Only the memory of its tables is reused for the next chunk.
pub struct Decoder(Tables);

enum Tables {
    Xpress(Box<huffman::Code<512, 2048>>),
    Lzx(Box<lzx::Codes>, u32),
    Lzms(Box<lzms::State>),
}

impl Decoder {
    /// Returns a decoder of chunks of `chunk_size` bytes.
    pub fn new(compression: Compression, chunk_size: u32) -> Self {
        Decoder(match compression {
            Compression::Xpress => Tables::Xpress(Box::new(huffman::Code::new())),
            Compression::Lzx => Tables::Lzx(Box::new(lzx::Codes::new()), chunk_size),
            Compression::Lzms => Tables::Lzms(Box::new(lzms::State::new())),
        })
    }

    /// Decodes a chunk of the size of `output`. The last chunk of a resource may be smaller than the others.
    ///
    /// # Errors
    /// The input is invalid or truncated. The contents of `output` are then undefined.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), Broken> {
        match &mut self.0 {
            Tables::Xpress(code) => xpress::decode(code, input, output),
            Tables::Lzx(codes, window) => lzx::decode(codes, *window, input, output),
            Tables::Lzms(state) => lzms::decode(state, input, output),
        }
    }
}

/// Bytes that are copied at once.
const PIECE: usize = 16;

/// Copies `len` bytes in ascending order from `offset` before `at` to `at`, and returns the end. Bytes after the end
/// may change too, because they are decoded later.
#[inline(always)]
fn copy_match(output: &mut [u8], at: usize, offset: usize, len: usize) -> Result<usize, Broken> {
    let end = at.checked_add(len).filter(|end| *end <= output.len()).ok_or(Broken)?;
    let from = at.checked_sub(offset).filter(|_| offset > 0).ok_or(Broken)?;
    if offset >= PIECE && end + PIECE <= output.len() {
        // The pieces do not overlap their sources.
        let (mut from, mut to) = (from, at);
        while to < end {
            let piece: [u8; PIECE] = *output[from..].first_chunk().ok_or(Broken)?;
            *output[to..].first_chunk_mut().ok_or(Broken)? = piece;
            (from, to) = (from + PIECE, to + PIECE);
        }
    } else if offset == 1 {
        let byte = output[from];
        output[at..end].fill(byte);
    } else {
        copy_slowly(output, at, offset, end);
    }
    Ok(end)
}

/// Copies bytes with a small offset, or up to the end of the output.
#[inline(never)]
fn copy_slowly(output: &mut [u8], at: usize, offset: usize, end: usize) {
    // The copy has the period `offset`, and so each multiple of it.
    let mut to = at;
    while to < end {
        let len = (to - at + offset).min(end - to);
        output.copy_within(at - offset..at - offset + len, to);
        to += len;
    }
}

#[cfg(test)]
mod tests;
