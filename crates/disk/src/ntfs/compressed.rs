//! Compressed files: units of clusters, each stored uncompressed, compressed and followed by a hole, or as a hole.

use std::sync::{Mutex, PoisonError};

use super::boot_sector::Geometry;
use super::stream::Stream;
use super::{corrupt, lznt1, unsupported};
use crate::files::{Contents, Extents};
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;

/// Maximum size of a unit in bytes. Windows makes units of at most 64 KiB.
const MAX_UNIT: u64 = 1 << 20;
/// LZNT1, the only method.
const LZNT1: u16 = 1;

/// The contents of a compressed file.
pub(crate) struct Compressed {
    extents: Extents,
    unit: u64,
    at: u64,
    /// The unit that was read last.
    last: Mutex<Option<(u64, Vec<u8>)>>,
}

impl Compressed {
    pub(crate) fn new(stream: &Stream, extents: Extents, geometry: &Geometry) -> Result<Compressed> {
        let method = stream.flags & super::attribute::flags::COMPRESSED;
        let unit = geometry.cluster.checked_shl(u32::from(stream.compression_unit)).unwrap_or(u64::MAX);
        if method != LZNT1 || stream.compression_unit == 0 || stream.compression_unit > 16 || unit > MAX_UNIT {
            return Err(unsupported(Code::FileCompression, "a compression method that is not supported", stream.at)
                .expected("LZNT1 in units of at most 1 MiB", format_args!("method {method}, unit {unit}")));
        }
        Ok(Compressed { extents, unit, at: stream.at, last: Mutex::default() })
    }

    /// Returns the bytes of unit `number`.
    fn decode(&self, volume: &dyn Storage, number: u64) -> Result<Vec<u8>> {
        let wrong =
            |what| corrupt(Code::FileCompression, what, self.at).expected("LZNT1", format_args!("unit {number}"));
        // At most 1 MiB.
        let size = usize::try_from(self.unit).unwrap_or(0);
        let (mut stored, mut in_hole) = (Vec::new(), false);
        for extent in self.extents.within(number * self.unit, self.unit) {
            match extent.volume_offset {
                None => in_hole = true,
                Some(_) if in_hole => return Err(wrong("a compression unit continues after its hole")),
                Some(at) => {
                    let start = stored.len();
                    stored.resize(start + usize::try_from(extent.len).unwrap_or(0), 0);
                    volume.read_at(at, &mut stored[start..])?;
                }
            }
        }
        if stored.len() == size {
            return Ok(stored);
        }
        let mut out = vec![0; size];
        lznt1::decompress(&stored, &mut out).ok_or_else(|| wrong("a compression unit is damaged"))?;
        Ok(out)
    }
}

impl Contents for Compressed {
    fn read_at(&self, volume: &dyn Storage, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (number, skip) = (at / self.unit, usize::try_from(at % self.unit).unwrap_or(0));
            let unit = match last.take() {
                Some((kept, unit)) if kept == number => unit,
                _ => self.decode(volume, number)?,
            };
            let part = (unit.len() - skip).min(rest.len());
            let (now, later) = rest.split_at_mut(part);
            now.copy_from_slice(&unit[skip..skip + part]);
            *last = Some((number, unit));
            (at, rest) = (at + part as u64, later);
        }
        Ok(())
    }
}

/// The contents of a resident file.
pub(crate) struct Resident(pub(crate) Vec<u8>);

impl Contents for Resident {
    fn read_at(&self, _: &dyn Storage, offset: u64, buf: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = start.checked_add(buf.len()).and_then(|end| self.0.get(start..end));
        buf.copy_from_slice(part.ok_or_else(|| corrupt(Code::NtfsStreamShort, "a resident file ends too early", 0))?);
        Ok(())
    }
}
