//! `$UpCase`, record 10: the volume's own table of upper case letters, by which its folders are sorted.

use std::cmp::Ordering;

use super::attribute::kind;
use super::corrupt;
use super::mft::Mft;
use crate::error::Result;

/// Number of its record.
const RECORD: u64 = 10;
/// One entry for every 16-bit code unit.
const UNITS: usize = 1 << 16;

/// The table.
pub(crate) struct Upcase(Vec<u16>);

impl Upcase {
    pub(crate) fn read(mft: &Mft) -> Result<Upcase> {
        let record = mft.record(RECORD)?;
        let wrong = |what| corrupt("ntfs-upcase", what, record.at);
        let stream = mft.stream(&record, kind::DATA, "")?.ok_or_else(|| wrong("$UpCase has no data"))?;
        if stream.len != 2 * UNITS as u64 {
            return Err(wrong("$UpCase has another length").expected(2 * UNITS, stream.len));
        }
        let bytes = stream.read_all(&mft.cache, 2 * UNITS as u64, "ntfs-upcase")?;
        let table: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        let good = (0..128u8).all(|ascii| table[usize::from(ascii)] == u16::from(ascii.to_ascii_uppercase()));
        if !good {
            return Err(
                wrong("$UpCase does not even map the letters a to z").advise("the volume is damaged: run chkdsk")
            );
        }
        Ok(Upcase(table))
    }

    fn of(&self, unit: u16) -> u16 {
        self.0[usize::from(unit)]
    }

    /// The order of names in a folder, but for names that differ by case only.
    pub(crate) fn compare(&self, a: impl Iterator<Item = u16>, b: impl Iterator<Item = u16>) -> Ordering {
        a.map(|unit| self.of(unit)).cmp(b.map(|unit| self.of(unit)))
    }
}
