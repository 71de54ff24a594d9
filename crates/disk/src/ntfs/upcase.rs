//! `$UpCase`, record 10: the volume's table of upper case letters, which determines the order in its folders.

use std::sync::OnceLock;

use super::attribute::kind;
use super::cache::Cache;
use super::corrupt;
use super::mft::Mft;
use super::stream::Stream;
use hivewright_error::{Code, Error, Result};
use hivewright_storage::advised;

/// Number of its record.
const RECORD: u64 = 10;
/// Length in bytes: two for every 16-bit code unit.
const LEN: u64 = 2 << 16;
/// Entries of a page.
const PAGE: usize = 2048;

/// The table, read page by page. ASCII does not need it, so most names need no page.
pub(crate) struct Upcase {
    stream: Stream,
    /// Volume offset of its record.
    at: u64,
    pages: [OnceLock<Box<[u16]>>; (1 << 16) / PAGE],
}

impl Upcase {
    pub(crate) fn open(mft: &Mft) -> Result<Upcase> {
        let record = mft.record(RECORD)?;
        let wrong = |what| corrupt(Code::NtfsUpcase, what, record.at);
        let stream = mft.stream(&record, kind::DATA, "")?.ok_or_else(|| wrong("$UpCase has no data"))?;
        if stream.len != LEN {
            return Err(wrong("the length of $UpCase is wrong").expected(LEN, stream.len));
        }
        Ok(Upcase { stream, at: record.at, pages: [const { OnceLock::new() }; _] })
    }

    /// Checks the ASCII part of the table.
    ///
    /// # Errors
    /// `ntfs-upcase`: it is wrong; I/O errors.
    pub(crate) fn confirm(&self, cache: &Cache) -> Result<()> {
        self.page(cache, 0).map(drop)
    }

    fn page(&self, cache: &Cache, number: usize) -> Result<&[u16]> {
        let page = &self.pages[number];
        if let Some(units) = page.get() {
            return Ok(units);
        }
        let mut bytes = vec![0; 2 * PAGE];
        self.stream.read_at(cache, (number * bytes.len()) as u64, &mut bytes)?;
        let units: Box<[u16]> = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        if number == 0 && !(0..128u8).all(|unit| units[usize::from(unit)] == u16::from(unit.to_ascii_uppercase())) {
            return Err(corrupt(Code::NtfsUpcase, "$UpCase does not even map the letters a to z", self.at)
                .advise(advised::repair()));
        }
        Ok(page.get_or_init(|| units))
    }

    /// Returns a name in upper case, the sort key in a folder for names that do not differ by case only.
    pub(crate) fn name(&self, cache: &Cache, units: impl Iterator<Item = u16>) -> Result<Vec<u16>> {
        let upper = |unit: u16| match u8::try_from(unit) {
            Ok(unit) if unit.is_ascii() => Ok::<_, Error>(unit.to_ascii_uppercase().into()),
            _ => Ok(self.page(cache, usize::from(unit) / PAGE)?[usize::from(unit) % PAGE]),
        };
        units.map(upper).collect()
    }
}
