//! Compressed grains: zlib streams, each of one grain.
//!
//! Facts: *Virtual Disk Format 5.0*, "Stream-Optimized Compressed Sparse Extents": a marker precedes the stream, with
//! the first sector of the grain in the extent (8 bytes) and the length of the stream (4).

use super::grains::Grains;
use super::{SECTOR, broken};
use crate::container::helpers::inflate::{Failed, inflate};
use hivewright_error::{Code, Error, Result};
use hivewright_storage::span::placed;

impl Grains {
    /// Decompresses grain `index`, whose compressed bytes lie at `place` of the file, into `grain`. Returns the number
    /// of bytes: all that lie in the extent.
    pub(super) fn unpack(&self, place: u64, index: u64, grain: &mut [u8]) -> Result<usize> {
        let size = self.layout.grain;
        let (start, len) = match self.layout.packed {
            Some(true) => self.marker(place, index)?,
            _ => (place, (2 * size).min(self.file_len().saturating_sub(place))),
        };
        // At most two grains of at most 16 MiB.
        let mut packed = vec![0; usize::try_from(len).unwrap_or(0)];
        self.file.read_at(start, &mut packed)?;
        let needed = size.min(self.layout.capacity - index * size);
        match inflate(&packed, grain) {
            Ok(written) if written as u64 >= needed => Ok(written),
            Ok(written) => Err(self.bad_grain("a compressed grain is too short", place).expected(needed, written)),
            Err(Failed::TooLong) => Err(self.bad_grain("a compressed grain has more data than a grain", place)),
            Err(Failed::Damaged) => Err(self.bad_grain("a compressed grain cannot be decompressed", place)),
        }
    }

    /// Returns the offset and the length of the stream after a marker.
    fn marker(&self, place: u64, index: u64) -> Result<(u64, u64)> {
        let mut marker = [0; 12];
        if place + 12 > self.file_len() {
            return Err(self.bad_grain("a grain lies past the end of its file", place));
        }
        self.file.read_at(place, &mut marker)?;
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n: u64, &b| n << 8 | u64::from(b));
        let (sector, len) = (number(&marker[..8]), number(&marker[8..]));
        let own = index * (self.layout.grain / SECTOR);
        if sector != own {
            return Err(self
                .bad_grain("the marker of a compressed grain names another grain", place)
                .expected(own, sector));
        }
        if len == 0 || len > 2 * self.layout.grain + SECTOR || place + 12 + len > self.file_len() {
            return Err(self.bad_grain("a compressed grain is too long, or ends past the end of its file", place));
        }
        Ok((place + 12, len))
    }

    fn bad_grain(&self, what: &str, place: u64) -> Error {
        placed(broken(Code::VmdkGrain, what), &*self.file, place)
            .advise("the file is damaged or truncated: look for a complete copy")
    }
}
