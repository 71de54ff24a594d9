//! The two headers: which holds, and how a writer puts new ones ([MS-VHDX] 2.2.2).

use super::crc;
use super::fields::{Guid, MIB, corrupt, u16_at, u32_at, u64_at};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;

/// Where the headers stand.
const PLACES: [u64; 2] = [64 << 10, 128 << 10];
/// Bytes of a header.
const SIZE: usize = 4096;
const SIGNATURE: &[u8; 4] = b"head";
/// Where identifiers stand in a header.
const FILE_WRITE: usize = 16;
const DATA_WRITE: usize = 32;
const LOG: usize = 48;

/// The current header.
pub(super) struct Header {
    /// Which of [`PLACES`] it has.
    place: usize,
    bytes: Vec<u8>,
}

impl Header {
    /// The header that holds: of those whose checksum is right, the one with the higher sequence number.
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
                let what = "both headers have the same sequence number and say different things";
                return Err(corrupt(Code::VhdxHeader, what, PLACES[0]).advise(ADVICE));
            }
            // Some programs that make images write the same header twice.
            remarks.push((Code::VhdxHeadersEqual, "both headers have the same sequence number".into()));
            found.pop();
        } else if let [one] = &found[..] {
            let what = format!("only the header at {:#x} holds", PLACES[one.place]);
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
            return unsupported(Code::VhdxVersion, "the VHDX format has another version", 1, version);
        }
        if log_version != 0 {
            return unsupported(Code::VhdxLogVersion, "the log has another version", 0, log_version);
        }
        let (offset, len) = self.log();
        if offset % MIB != 0 || len % MIB != 0 || offset < MIB || offset.checked_add(len).is_none() {
            return Err(corrupt(Code::VhdxHeader, "the log does not lie where a log can", at)
                .expected("multiples of 1 MiB, behind the headers", format_args!("{len} bytes at {offset:#x}")));
        }
        Ok(self)
    }

    fn sequence(&self) -> u64 {
        u64_at(&self.bytes, 8)
    }

    /// Changes with whatever the guest can see.
    pub(super) fn data_write(&self) -> Guid {
        Guid::at(&self.bytes, DATA_WRITE)
    }

    /// Marks entries of the log that count; zero where none does.
    pub(super) fn log_guid(&self) -> Guid {
        Guid::at(&self.bytes, LOG)
    }

    /// Where the log lies, and its bytes.
    pub(super) fn log(&self) -> (u64, u64) {
        (u64_at(&self.bytes, 72), u64::from(u32_at(&self.bytes, 68)))
    }

    /// Puts new headers, which say that the file and what the guest sees are going to change.
    ///
    /// The older header is overwritten first and made durable, then the other one: one of them holds at any time.
    pub(super) fn renew(&mut self, file: &dyn Storage) -> Result<()> {
        let (file_write, data_write) = (Guid::random()?, Guid::random()?);
        // Once over the older one, once over the newer one.
        for _ in PLACES {
            self.put(file, &[(FILE_WRITE, file_write), (DATA_WRITE, data_write)])?;
        }
        Ok(())
    }

    /// Puts a header that says that the file is going to change, and whose log counts as before.
    pub(super) fn announce(&mut self, file: &dyn Storage) -> Result<()> {
        self.put(file, &[(FILE_WRITE, Guid::random()?)])
    }

    /// Puts a header that says that nothing in the log counts. It stands beside one whose log counts until
    /// [`Header::renew`] has put others.
    pub(super) fn forget_log(&mut self, file: &dyn Storage) -> Result<()> {
        self.put(file, &[(LOG, Guid::ZERO)])
    }

    /// Overwrites the older header by a new one with these identifiers, and makes it durable ([MS-VHDX] 2.2.2.1).
    fn put(&mut self, file: &dyn Storage, identifiers: &[(usize, Guid)]) -> Result<()> {
        let mut bytes = self.bytes.clone();
        let sequence = self.sequence().checked_add(1).ok_or_else(|| {
            corrupt(Code::VhdxHeader, "the sequence number of the header is the last one", PLACES[self.place])
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

const ADVICE: &str = "the image is damaged or cut short: look for another copy of it";
