//! Byte ranges of a storage: bounds checks, zeros past the end, overlapping ranges, and places.

use super::Storage;
use hivewright_error::{Code, Error, Kind, Result};

/// Returns the end of `len` bytes at `offset` of `what`, a storage of `total` bytes.
///
/// # Errors
/// `past-end`: the range ends after the storage.
pub fn end_within(what: &str, total: u64, offset: u64, len: usize) -> Result<u64> {
    offset.checked_add(len as u64).filter(|&end| end <= total).ok_or_else(|| {
        Error::new(Kind::Corrupt, Code::PastEnd, format!("{what} ends before the requested bytes"))
            .expected(format_args!("{len} bytes at {offset:#x}"), format_args!("{total} bytes in all"))
    })
}

/// Zeroes the part of `buf`, which starts at `offset`, that lies past `end`. Returns the rest, which is still to be
/// read.
pub fn zeros_behind(end: u64, offset: u64, buf: &mut [u8]) -> &mut [u8] {
    let there = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
    let (there, behind) = buf.split_at_mut(there);
    behind.fill(0);
    there
}

/// Fills `buf` with the bytes of `storage` from `offset` on, with zeros past its end `len`.
///
/// # Errors
/// I/O errors of `storage`.
pub fn read_then_zeros(storage: &dyn Storage, len: u64, offset: u64, buf: &mut [u8]) -> Result<()> {
    let there = zeros_behind(len, offset, buf);
    if there.is_empty() { Ok(()) } else { storage.read_at(offset, there) }
}

/// Copies the part of `bytes`, which start at `at`, that overlaps `under`, which starts at `offset`.
pub fn lay_over(under: &mut [u8], offset: u64, at: u64, bytes: &[u8]) {
    let end = |start: u64, bytes: &[u8]| start.saturating_add(bytes.len() as u64);
    let (from, to) = (offset.max(at), end(offset, under).min(end(at, bytes)));
    if from < to {
        // Both ranges lie within both buffers.
        let local = |base: u64| usize::try_from(from - base).unwrap_or(0)..usize::try_from(to - base).unwrap_or(0);
        under[local(offset)].copy_from_slice(&bytes[local(at)]);
    }
}

/// Returns the error with the places of `offset` in `storage`.
pub fn placed(error: Error, storage: &dyn Storage, offset: u64) -> Error {
    storage.locate(offset).into_iter().fold(error, |error, place| error.at(place.space, place.offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[test]
    fn ends() {
        assert_eq!(end_within("it", 10, 4, 6).unwrap(), 10);
        assert_eq!(end_within("it", u64::MAX, u64::MAX, 0).unwrap(), u64::MAX);
        for (offset, len) in [(4, 7), (11, 0), (u64::MAX, 1)] {
            let error = end_within("the disk", 10, offset, len).unwrap_err();
            assert_eq!((error.code(), error.what()), (Code::PastEnd, "the disk ends before the requested bytes"));
        }
    }

    #[test]
    fn zeros_are_behind_the_end() {
        let storage = Memory::new(vec![7; 10]);
        for (offset, expected) in [(5, [7; 4]), (6, [7; 4]), (8, [7, 7, 0, 0]), (10, [0; 4]), (u64::MAX, [0; 4])] {
            let mut buf = [1; 4];
            read_then_zeros(&storage, 10, offset, &mut buf).unwrap();
            assert_eq!(buf, expected, "{offset}");
        }
    }

    #[test]
    fn lies_over_what_is_common() {
        for (at, expected) in [
            (7, [0, 0, 0, 0]),
            (8, [3, 0, 0, 0]),
            (9, [2, 3, 0, 0]),
            (11, [0, 1, 2, 3]),
            (13, [0, 0, 0, 1]),
            (14, [0; 4]),
            (u64::MAX - 1, [0; 4]),
        ] {
            let mut under = [0; 4];
            lay_over(&mut under, 10, at, &[1, 2, 3]);
            assert_eq!(under, expected, "{at}");
        }
        let mut under = [0; 1];
        lay_over(&mut under, 11, 10, &[1, 2, 3]);
        assert_eq!(under, [2]);
    }
}
