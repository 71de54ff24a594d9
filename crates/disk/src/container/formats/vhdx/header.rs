//! The two headers: which one is current, and how a writer renews them ([MS-VHDX] 2.2.2).

use super::crc;
use super::fields::{Guid, MIB, corrupt};
use crate::little_endian::{u16_at, u32_at, u64_at};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;

/// Offsets of the headers.
const PLACES: [u64; 2] = [64 << 10, 128 << 10];
/// Bytes of a header.
const SIZE: usize = 4096;
const SIGNATURE: &[u8; 4] = b"head";
/// Offsets of the identifiers in a header.
const FILE_WRITE: usize = 16;
const DATA_WRITE: usize = 32;
const LOG: usize = 48;

/// The current header.
pub(super) struct Header {
    /// Its index in [`PLACES`].
    place: usize,
    bytes: Vec<u8>,
}

impl Header {
    /// Returns the current header: of those with a valid checksum, the one with the higher sequence number.
    pub(super) fn current(file: &dyn Storage, remarks: &mut Vec<(Code, String)>) -> Result<Header> {
        let mut found: Vec<Header> = Vec::new();
        for (place, at) in PLACES.into_iter().enumerate() {
            let mut bytes = vec![0; SIZE];
            file.read_at(at, &mut bytes)?;
            if bytes.starts_with(SIGNATURE) && u32_at(&bytes, 4) == crc::with_hole(&bytes) {
                found.push(Header { place, bytes });
            }
        }
        if let [one, other] = &found[..]
            && one.sequence() == other.sequence()
        {
            if one.bytes != other.bytes {
                let what = "both headers have the same sequence number and different contents";
                return Err(corrupt(Code::VhdxHeader, what, PLACES[0]).advise(ADVICE));
            }
            // Some programs write the same header twice.
            remarks.push((Code::VhdxHeadersEqual, "both headers have the same sequence number".into()));
            found.pop();
        } else if let [one] = &found[..] {
            let what = format!("only the header at {:#x} is valid", PLACES[one.place]);
            remarks.push((Code::VhdxHeaderDamaged, what));
        }
        let newest = found.into_iter().max_by_key(Header::sequence);
        let header = newest.ok_or_else(|| {
            corrupt(Code::VhdxHeader, "neither header has its signature and the right checksum", PLACES[0])
                .advise(ADVICE)
        })?;
        header.check()
    }

    fn check(self) -> Result<Header> {
        let at = PLACES[self.place];
        let unsupported = |code, what: &str, expected: u16, actual: u16| {
            Err(Error::new(Kind::Unsupported, code, what).at(Space::File, at).expected(expected, actual))
        };
        let (log_version, version) = (u16_at(&self.bytes, 64), u16_at(&self.bytes, 66));
        if version != 1 {
            return unsupported(Code::VhdxVersion, "the version of the VHDX format is not supported", 1, version);
        }
        if log_version != 0 {
            return unsupported(Code::VhdxLogVersion, "the version of the log is not supported", 0, log_version);
        }
        let (offset, len) = self.log();
        if offset % MIB != 0 || len % MIB != 0 || offset < MIB || offset.checked_add(len).is_none() {
            return Err(corrupt(Code::VhdxHeader, "the place of the log is invalid", at)
                .expected("multiples of 1 MiB, after the headers", format_args!("{len} bytes at {offset:#x}")));
        }
        Ok(self)
    }

    fn sequence(&self) -> u64 {
        u64_at(&self.bytes, 8)
    }

    /// Returns the identifier that changes with the disk's data.
    pub(super) fn data_write(&self) -> Guid {
        Guid::at(&self.bytes, DATA_WRITE)
    }

    /// Returns the identifier of valid log entries; zero if the log is empty.
    pub(super) fn log_guid(&self) -> Guid {
        Guid::at(&self.bytes, LOG)
    }

    /// Returns offset and length of the log.
    pub(super) fn log(&self) -> (u64, u64) {
        (u64_at(&self.bytes, 72), u64::from(u32_at(&self.bytes, 68)))
    }

    /// Writes new headers with new identifiers for the file and the disk's data.
    ///
    /// The older header is overwritten first and flushed, then the other one, so that one of them is valid at any time.
    pub(super) fn renew(&mut self, file: &dyn Storage) -> Result<()> {
        let (file_write, data_write) = (Guid::random()?, Guid::random()?);
        // Once over the older one, then over the newer one.
        for _ in PLACES {
            self.put(file, &[(FILE_WRITE, file_write), (DATA_WRITE, data_write)])?;
        }
        Ok(())
    }

    /// Writes a header with a new identifier of the file that leaves the log valid.
    pub(super) fn announce(&mut self, file: &dyn Storage) -> Result<()> {
        self.put(file, &[(FILE_WRITE, Guid::random()?)])
    }

    /// Writes a header with an empty log. The other header still has the log until [`Header::renew`] overwrites it.
    pub(super) fn forget_log(&mut self, file: &dyn Storage) -> Result<()> {
        self.put(file, &[(LOG, Guid::ZERO)])
    }

    /// Overwrites the older header with new identifiers and flushes it ([MS-VHDX] 2.2.2.1).
    fn put(&mut self, file: &dyn Storage, identifiers: &[(usize, Guid)]) -> Result<()> {
        let mut bytes = self.bytes.clone();
        let sequence = self.sequence().checked_add(1).ok_or_else(|| {
            corrupt(Code::VhdxHeader, "the sequence number of the header is the largest possible", PLACES[self.place])
        })?;
        bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
        for (at, Guid(identifier)) in identifiers {
            bytes[*at..at + 16].copy_from_slice(identifier);
        }
        let sum = crc::with_hole(&bytes);
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        let place = 1 - self.place;
        file.write_at(PLACES[place], &bytes)?;
        file.flush()?;
        *self = Header { place, bytes };
        Ok(())
    }
}

const ADVICE: &str = "the image is damaged or truncated: look for another copy of it";
