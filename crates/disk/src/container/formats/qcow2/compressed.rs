//! Compressed clusters: each is a deflate stream (RFC 1951) or a zstd frame (RFC 8878).
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Compressed Clusters Descriptor" and "Compression type".

use std::io::Read;
use std::ops::Range;

use ruzstd::decoding::StreamingDecoder;

use super::entry::broken;
use crate::container::helpers::inflate::inflate_raw;
use crate::container::helpers::tables::index;
use hivewright_error::Result;
use hivewright_storage::Storage;

/// The compression type of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Zlib,
    Zstd,
}

/// Window of a zstd frame in bytes at most, held in memory: every decoder should support as much (RFC 8878, 3.1.1.1.2).
const MAX_WINDOW: u64 = 8 << 20;

/// Fills `out`, a cluster, from the stream in `sectors` of the file. Bytes after the stream belong to other clusters.
///
/// # Errors
/// `qcow2-tables`: the stream is damaged, or shorter than a cluster.
pub(super) fn read(file: &dyn Storage, sectors: Range<u64>, compression: Compression, out: &mut [u8]) -> Result<()> {
    let damaged = || broken("a compressed cluster is damaged", sectors.start);
    let end = sectors.end.min(file.len()?);
    let mut stored = vec![0; index(end.checked_sub(sectors.start).ok_or_else(damaged)?)];
    file.read_at(sectors.start, &mut stored)?;
    let is_whole = match compression {
        Compression::Zlib => inflate_raw(&stored, out).is_ok_and(|written| written == out.len()),
        Compression::Zstd => unpack_zstd(&stored, out).is_some(),
    };
    if is_whole { Ok(()) } else { Err(damaged()) }
}

/// Decompresses a cluster of one or more frames.
fn unpack_zstd(mut stored: &[u8], mut out: &mut [u8]) -> Option<()> {
    while !out.is_empty() {
        let mut frame = StreamingDecoder::new_with_max_window_size(&mut stored, MAX_WINDOW).ok()?;
        let before = out.len();
        loop {
            let read = frame.read(out).ok()?;
            out = &mut out[read..];
            if read == 0 || out.is_empty() {
                break;
            }
        }
        if out.len() == before {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::helpers::inflate::deflate;
    use hivewright_storage::memory::Memory;

    #[test]
    fn a_stream_fills_a_cluster_or_is_damaged() {
        let bytes: Vec<u8> = (0..4096u32).map(|i| if i % 7 == 0 { (i / 7 * 31 % 251) as u8 } else { 3 }).collect();
        let zlib = deflate(&bytes);
        // Without the zlib header and checksum.
        let bare = &zlib[2..zlib.len() - 4];
        let file = Memory::new([&[0; 333], bare, &[0xa5; 100]].concat());
        let mut out = vec![0; bytes.len()];
        read(&file, 333..2048, Compression::Zlib, &mut out).unwrap();
        assert!(out == bytes);
        // A truncated stream, an empty one, and one that is shorter than a cluster.
        for (sectors, len) in [(333..512, 4096), (512..1024, 4096), (5000..5120, 4096), (333..2048, 4097)] {
            let error = read(&file, sectors, Compression::Zlib, &mut vec![0; len]).unwrap_err();
            assert_eq!(error.code(), "qcow2-tables");
        }
        assert!(read(&file, 333..2048, Compression::Zstd, &mut out).is_err());
    }

    /// Creates frames without compression (RFC 8878, 3.1.1): a header with the content size in one byte, then raw
    /// blocks.
    fn frame(bytes: &[u8]) -> Vec<u8> {
        let block = (bytes.len() as u32) << 3 | 1;
        [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes.len() as u8], &block.to_le_bytes()[..3], bytes].concat()
    }

    #[test]
    fn several_zstd_frames_fill_one_cluster() {
        let mut out = [0; 8];
        let both = [frame(b"hive"), frame(b"bins"), vec![0xa5; 40]].concat();
        read(&Memory::new(both.clone()), 0..512, Compression::Zstd, &mut out).unwrap();
        assert_eq!(out, *b"hivebins");
        for len in 0..frame(b"hive").len() * 2 {
            assert!(read(&Memory::new(both[..len].to_vec()), 0..512, Compression::Zstd, &mut out).is_err(), "{len}");
        }
    }
}
