//! Tables read in pages, the last of which are kept: a table of a large disk is never read whole.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::fields::{index, u64_at};
use crate::error::Result;
use crate::storage::Storage;

/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;
/// Pages that are kept: half a MiB.
const KEPT: usize = 128;

/// Pages of a file that nobody writes to.
pub(super) struct Pages {
    file: Arc<dyn Storage>,
    /// Newest first.
    kept: Mutex<VecDeque<(u64, Arc<[u8]>)>>,
}

impl Pages {
    pub(super) fn new(file: Arc<dyn Storage>) -> Pages {
        Pages { file, kept: Mutex::default() }
    }

    /// The page that holds the byte at `offset`. The file must have all of it.
    pub(super) fn page(&self, offset: u64) -> Result<Arc<[u8]>> {
        let start = offset - offset % PAGE;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(i) = kept.iter().position(|(at, _)| *at == start)
            && let Some(found) = kept.remove(i)
        {
            kept.push_front(found.clone());
            return Ok(found.1);
        }
        let mut bytes = vec![0; index(PAGE)];
        self.file.read_at(start, &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        kept.truncate(KEPT - 1);
        kept.push_front((start, bytes.clone()));
        Ok(bytes)
    }

    /// The number at `offset`, a multiple of 8.
    pub(super) fn number(&self, offset: u64) -> Result<u64> {
        Ok(u64_at(&self.page(offset)?, index(offset % PAGE)))
    }
}
