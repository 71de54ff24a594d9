//! Tables, read in pages of which the last ones are kept: a table is as large as the disk, a question touches little.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{at, broken};
use crate::error::Result;
use crate::storage::Storage;

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Pages that are kept.
const KEPT: usize = 256;

/// Numbers of a file, little-endian.
pub(super) struct Pages {
    file: Arc<dyn Storage>,
    len: u64,
    kept: Mutex<BTreeMap<u64, Arc<[u8]>>>,
}

impl Pages {
    pub(super) fn new(file: Arc<dyn Storage>) -> Result<Self> {
        Ok(Pages { len: file.len()?, file, kept: Mutex::default() })
    }

    pub(super) fn u32(&self, offset: u64) -> Result<u32> {
        Ok(u32::from_le_bytes(self.bytes(offset)?))
    }

    pub(super) fn u64(&self, offset: u64) -> Result<u64> {
        Ok(u64::from_le_bytes(self.bytes(offset)?))
    }

    /// `N` divides a page, and `offset` is a multiple of it.
    fn bytes<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        let page = self.page(offset / PAGE)?;
        let within = usize::try_from(offset % PAGE).unwrap_or(usize::MAX);
        let found = page.get(within..).and_then(|rest| rest.first_chunk::<N>());
        found.copied().ok_or_else(|| self.past_end(offset))
    }

    fn page(&self, number: u64) -> Result<Arc<[u8]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = kept.get(&number) {
            return Ok(page.clone());
        }
        let start = number.saturating_mul(PAGE);
        let len = self.len.saturating_sub(start).min(PAGE);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        if bytes.is_empty() {
            return Err(self.past_end(start));
        }
        self.file.read_at(start, &mut bytes)?;
        if kept.len() == KEPT {
            kept.clear();
        }
        let page: Arc<[u8]> = bytes.into();
        kept.insert(number, page.clone());
        Ok(page)
    }

    fn past_end(&self, offset: u64) -> crate::error::Error {
        let error = broken("vmdk-table", "the file ends before one of its tables")
            .expected(format_args!("an entry at {offset:#x}"), format_args!("{} bytes in all", self.len))
            .advise("the file was cut short: look for a whole copy");
        at(error, &*self.file, offset)
    }
}
