//! Decompression of zlib (RFC 1950) and deflate (RFC 1951) streams that lie in memory completely.

use std::cell::RefCell;

use libdeflater::{DecompressionError, Decompressor};

/// The reason why a stream was not decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::container) enum Failed {
    /// It is truncated or damaged, or its checksum is wrong.
    Damaged,
    /// It has more data than the buffer holds.
    TooLong,
}

/// Decompresses the stream at the start of `packed` and verifies its checksum. Ignores the bytes after the stream.
/// Returns the number of bytes written to `out`.
pub(in crate::container) fn inflate(packed: &[u8], out: &mut [u8]) -> Result<usize, Failed> {
    STATE.with_borrow_mut(|state| state.zlib_decompress(packed, out)).map_err(failed)
}

/// Decompresses bare deflate (RFC 1951), which has no checksum.
pub(in crate::container) fn inflate_raw(packed: &[u8], out: &mut [u8]) -> Result<usize, Failed> {
    STATE.with_borrow_mut(|state| state.deflate_decompress(packed, out)).map_err(failed)
}

thread_local!(static STATE: RefCell<Decompressor> = RefCell::new(Decompressor::new()));

fn failed(error: DecompressionError) -> Failed {
    match error {
        DecompressionError::BadData => Failed::Damaged,
        DecompressionError::InsufficientSpace => Failed::TooLong,
    }
}

#[cfg(test)]
pub(in crate::container) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut packed = vec![0; compressor.zlib_compress_bound(bytes.len())];
    let len = compressor.zlib_compress(bytes, &mut packed).unwrap();
    packed.truncate(len);
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_decompressed_completely_or_an_error() {
        let bytes: Vec<u8> = (0..40_000u32).map(|i| ((i * i) >> 9) as u8).collect();
        let mut packed = deflate(&bytes);
        let whole = packed.len();
        packed.extend([0xa5; 100]);
        let mut out = vec![0; bytes.len() + 10];
        assert_eq!(inflate(&packed, &mut out), Ok(bytes.len()));
        assert_eq!(out[..bytes.len()], bytes);
        assert_eq!(inflate(&packed, &mut out[..bytes.len() - 1]), Err(Failed::TooLong));
        for cut in [0, 1, 2, whole / 2, whole - 1] {
            assert_eq!(inflate(&packed[..cut], &mut out), Err(Failed::Damaged), "{cut}");
        }
        for at in 0..whole {
            packed[at] ^= 0x10;
            assert_ne!(inflate(&packed, &mut out), Ok(bytes.len()), "{at}");
            packed[at] ^= 0x10;
        }
    }
}
