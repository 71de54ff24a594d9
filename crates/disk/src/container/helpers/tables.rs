//! Cache of pages of an image's tables: tables grow with the disk, but a look-up reads only a few entries.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::container::cut_short;
use hivewright_error::{Code, Error, Result};
use hivewright_storage::Storage;
use hivewright_storage::span::placed;

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Number of cached pages: 1 MiB.
const KEPT: usize = 256;

/// The number and the bytes of a page.
type Page = (u64, Box<[u8]>);

/// A cache of pages of one file.
pub(in crate::container) struct Tables {
    file: Arc<dyn Storage>,
    code: Code,
    kept: Mutex<Vec<Option<Page>>>,
}

impl Tables {
    /// Creates a cache for the tables of `file`. `code` is the error code for tables past the end of the file.
    pub(in crate::container) fn new(file: Arc<dyn Storage>, code: Code) -> Self {
        Tables { file, code, kept: Mutex::default() }
    }

    /// Returns the entry at `offset` of the file.
    pub(in crate::container) fn entry<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        let mut entry = [0; N];
        self.read(offset, &mut entry)?;
        Ok(entry)
    }

    /// Fills `buf` from `offset` of the file.
    pub(in crate::container) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut kept = self.kept();
        // Allocated on the first use: most openings do not read all tables.
        kept.resize(KEPT, None);
        let mut done = 0;
        while done < buf.len() {
            let at = offset.saturating_add(done as u64);
            let (page, within) = (at / PAGE, index(at % PAGE));
            // Below KEPT.
            let slot = &mut kept[index(page % KEPT as u64)];
            if slot.as_ref().is_none_or(|(number, _)| *number != page) {
                let there = self.file.len()?.saturating_sub(page * PAGE).min(PAGE);
                let mut bytes = vec![0; index(there)].into_boxed_slice();
                self.file.read_at(page * PAGE, &mut bytes)?;
                *slot = Some((page, bytes));
            }
            let bytes = slot.as_ref().and_then(|(_, bytes)| bytes.get(within..)).filter(|bytes| !bytes.is_empty());
            let bytes = bytes.ok_or_else(|| self.past_end(at))?;
            let piece = bytes.len().min(buf.len() - done);
            buf[done..done + piece].copy_from_slice(&bytes[..piece]);
            done += piece;
        }
        Ok(())
    }

    /// Writes to the tables.
    pub(in crate::container) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut kept = self.kept();
        // Writes are rare, so all pages are dropped.
        kept.clear();
        self.file.write_at(offset, bytes)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Option<Page>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn past_end(&self, at: u64) -> Error {
        let len = self.file.len().unwrap_or(0);
        let error = cut_short(self.code, "one of its tables is past its end", at.saturating_add(1), len);
        placed(error, &*self.file, at)
    }
}

/// Converts a length that is at most that of a page or a buffer.
pub(in crate::container) fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
