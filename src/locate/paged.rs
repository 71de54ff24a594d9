//! A hive in a volume, read page by page on demand.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hivewright_disk::files::FileInVolume;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::HiveBytes;
use hivewright_storage::span::lay_over;
use hivewright_storage::{SparseBuffer, Storage, zeros_in_large_pages};

/// Bytes of a page: look-ups need scattered cells, and reading more may mean decompressing more.
const PAGE: u64 = 4 << 10;
/// Bytes compared at a time; they fit into the processor's cache.
const PIECE: usize = 256 << 10;
/// Pages kept at most: 16 MiB.
const MOST_PAGES: usize = 4096;

/// The bytes of a file, of which only requested pages are read, each once.
pub struct Paged {
    file: FileInVolume,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    kept: HashMap<u64, Box<[u8]>>,
    dropped: bool,
}

impl Paged {
    /// Returns a reader of `file`.
    pub fn new(file: FileInVolume) -> Self {
        Paged { file, pages: Mutex::default() }
    }

    /// Returns the file.
    pub fn file(&self) -> &FileInVolume {
        &self.file
    }

    /// Returns all bytes of the file.
    ///
    /// # Errors
    /// `too-large` for more than `most` bytes; I/O errors.
    pub fn whole(&self, most: u64) -> Result<Vec<u8>> {
        let mut bytes = zeros_in_large_pages(self.size(most)?);
        self.file.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Returns whether `bytes` are all bytes of the file, which is read again in pieces.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn holds(&self, bytes: &[u8]) -> Result<bool> {
        if HiveBytes::len(self) != bytes.len() as u64 {
            return Ok(false);
        }
        let mut there = vec![0; PIECE.min(bytes.len())];
        let mut at = 0;
        for piece in bytes.chunks(PIECE) {
            let there = &mut there[..piece.len()];
            self.file.read_at(at, there)?;
            if there != piece {
                return Ok(false);
            }
            at += piece.len() as u64;
        }
        Ok(true)
    }

    /// Returns a buffer of the file's length with the pages read so far, and zeros elsewhere. `None` if some of the
    /// pages are no longer kept.
    ///
    /// # Errors
    /// `too-large` for more than `most`; `no-memory`.
    pub(crate) fn seen(&self, most: u64) -> Result<Option<SparseBuffer>> {
        let pages = self.pages();
        if pages.dropped {
            return Ok(None);
        }
        let mut bytes = SparseBuffer::new(self.size(most)?)?;
        for (number, page) in &pages.kept {
            bytes.lay(usize::try_from(number * PAGE).unwrap_or(usize::MAX), page);
        }
        Ok(Some(bytes))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // A page is inserted completely or not at all.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn size(&self, most: u64) -> Result<usize> {
        let len = HiveBytes::len(self);
        match usize::try_from(len) {
            Ok(size) if len <= most => Ok(size),
            _ => Err(Error::new(
                Kind::Unsupported,
                Code::TooLarge,
                format!("the file inside the volume has {len} bytes"),
            )),
        }
    }

    /// Copies the part of page `number` that overlaps `out`, which begins at `offset` in the file.
    fn copy(&self, number: u64, offset: u64, out: &mut [u8]) -> Result<()> {
        let mut pages = self.pages();
        if !pages.kept.contains_key(&number) {
            if pages.kept.len() >= MOST_PAGES {
                pages.kept.clear();
                pages.dropped = true;
            }
            let start = number * PAGE;
            let len = PAGE.min(HiveBytes::len(self) - start);
            let mut page = vec![0; usize::try_from(len).unwrap_or(0)];
            self.file.read_at(start, &mut page)?;
            pages.kept.insert(number, page.into());
        }
        lay_over(out, offset, number * PAGE, &pages.kept[&number]);
        Ok(())
    }
}

impl HiveBytes for Paged {
    fn len(&self) -> u64 {
        self.file.facts().len
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        let end = offset.checked_add(len as u64).filter(|&end| end <= HiveBytes::len(self));
        let end =
            end.ok_or_else(|| Error::corrupt(Code::PastEnd, "the file ends before the requested bytes", offset))?;
        let mut out = vec![0; len];
        if len > 0 {
            for number in offset / PAGE..=(end - 1) / PAGE {
                self.copy(number, offset, &mut out)?;
            }
        }
        Ok(Cow::Owned(out))
    }
}
