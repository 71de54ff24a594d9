//! A hive of the host that is read by calls instead of through a map.
//!
//! A mapped file that somebody cuts short ends the process. Whoever reads many files of others cannot have that: here it
//! is an error of the one file.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::session::disk::Paged;
use hivewright_disk::files::{Extents, Facts, FileInVolume, Traits};
use hivewright_error::Result;
use hivewright_storage::counting::Counting;
use hivewright_storage::{Blank, FileStorage, Storage};

/// The most bytes of a hive or a log: a hive's bins stay below 2 GiB.
pub(super) const MOST_BYTES: u64 = 3 << 30;

/// The file, and what was read of it.
pub struct HiveFile {
    below: Arc<Counting<Box<dyn Storage>>>,
    paged: Paged,
    whole: OnceLock<Vec<u8>>,
}

impl HiveFile {
    /// Opens `path`; nothing of it is read yet.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file: Box<dyn Storage> = Box::new(FileStorage::open(path)?);
        let len = file.len()?;
        let below = Arc::new(Counting::new(file));
        let mut extents = Extents::default();
        // No file of a host is longer than 2^63 bytes.
        let _ = extents.push(Some(0), len);
        let facts = Facts { id: 0, len, valid_len: len, covered_len: len, links: 1, traits: Traits::default() };
        let paged = Paged::new(FileInVolume::new(below.clone(), facts, extents, None));
        Ok(HiveFile { below, paged, whole: OnceLock::new() })
    }

    /// Its bytes, page by page.
    pub fn paged(&self) -> &Paged {
        &self.paged
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.below.bytes_read()
    }

    /// All of its bytes.
    ///
    /// # Errors
    /// `too-large`; they cannot be read.
    pub fn whole(&self) -> Result<&[u8]> {
        if self.whole.get().is_none() {
            let _ = self.whole.set(self.paged.whole(MOST_BYTES)?);
        }
        Ok(self.whole.get().map_or(&[], Vec::as_slice))
    }

    /// See [`Paged::seen`].
    pub(super) fn seen(&self) -> Result<Option<Blank>> {
        self.paged.seen(MOST_BYTES)
    }
}

impl std::fmt::Debug for HiveFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HiveFile").field("file", self.paged.file()).finish_non_exhaustive()
    }
}
