//! A hive in a volume, read page by page on demand.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use hivewright_disk::files::FileInVolume;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::HiveBytes;
use hivewright_storage::{SparseBuffer, Storage, zeros_in_large_pages};

/// Bytes of a page: look-ups need scattered cells, and reading more may mean decompressing more.
const PAGE: usize = 4 << 10;
/// Pages of a group, whose table is allocated when the first of them is read.
const GROUP: usize = 64;
/// Bytes compared at a time; they fit into the processor's cache.
const PIECE: usize = 256 << 10;
/// Pages kept at most: 16 MiB.
const MOST_PAGES: usize = 4096;
/// Places for further pages, which replace each other.
const RECENT: usize = 256;
/// Groups at most: the bins of a hive stay below 2 GiB.
const MOST_GROUPS: u64 = (2 << 30) / (GROUP * PAGE) as u64 + 1;

type Page = OnceLock<Box<[u8]>>;
/// Pages with their numbers.
type Recent = Vec<Option<(usize, Vec<u8>)>>;

/// The bytes of a file, of which only requested pages are read. The first pages, at most 16 MiB, are kept.
pub struct Paged {
    file: FileInVolume,
    groups: Box<[OnceLock<Box<[Page; GROUP]>>]>,
    /// The number of kept pages.
    kept: AtomicUsize,
    /// Further pages, each in the place of its number modulo 256.
    recent: Mutex<Recent>,
}

impl Paged {
    /// Returns a reader of `file`.
    pub fn new(file: FileInVolume) -> Self {
        let groups = file.facts().len.div_ceil((GROUP * PAGE) as u64).min(MOST_GROUPS);
        let groups = (0..groups).map(|_| OnceLock::new()).collect();
        Paged { file, groups, kept: AtomicUsize::new(0), recent: Mutex::default() }
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
        if !self.recent().is_empty() {
            return Ok(None);
        }
        let mut bytes = SparseBuffer::new(self.size(most)?)?;
        let kept = self.groups.iter().enumerate().filter_map(|(number, group)| Some((number * GROUP, group.get()?)));
        for (page, number) in kept.flat_map(|(first, group)| group.iter().zip(first..)) {
            if let Some(page) = page.get() {
                bytes.lay(number * PAGE, page);
            }
        }
        Ok(Some(bytes))
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

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // A page is replaced completely or not at all.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_page(&self, number: usize) -> Result<Vec<u8>> {
        let start = (number * PAGE) as u64;
        let len = (HiveBytes::len(self) - start).min(PAGE as u64);
        let mut page = vec![0; usize::try_from(len).unwrap_or(PAGE)];
        self.file.read_at(start, &mut page)?;
        Ok(page)
    }

    /// Returns a page that is kept; reads it if there is room for it. `None` if there is none.
    fn page(&self, number: usize) -> Result<Option<&[u8]>> {
        let Some(group) = self.groups.get(number / GROUP) else { return Ok(None) };
        let page = &group.get_or_init(|| Box::new([const { OnceLock::new() }; GROUP]))[number % GROUP];
        if page.get().is_none() {
            if self.kept.load(Ordering::Relaxed) >= MOST_PAGES {
                return Ok(None);
            }
            if page.set(self.read_page(number)?.into()).is_ok() {
                self.kept.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(page.get().map(|page| &page[..]))
    }

    /// Appends `range` of a page to `out`.
    fn copy(&self, number: usize, range: Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        if let Some(page) = self.page(number)? {
            out.extend_from_slice(&page[range]);
            return Ok(());
        }
        let mut recent = self.recent();
        recent.resize(RECENT, None);
        let place = &mut recent[number % RECENT];
        if place.as_ref().is_none_or(|place| place.0 != number) {
            *place = Some((number, self.read_page(number)?));
        }
        if let Some((_, page)) = place {
            out.extend_from_slice(&page[range]);
        }
        Ok(())
    }
}

impl HiveBytes for Paged {
    fn len(&self) -> u64 {
        self.file.facts().len
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        let past_end = || Error::corrupt(Code::PastEnd, "the file ends before the requested bytes", offset);
        offset.checked_add(len as u64).filter(|&end| end <= HiveBytes::len(self)).ok_or_else(past_end)?;
        let mut at = usize::try_from(offset).map_err(|_| past_end())?;
        if at % PAGE + len <= PAGE
            && let Some(page) = self.page(at / PAGE)?
        {
            return Ok(Cow::Borrowed(&page[at % PAGE..at % PAGE + len]));
        }
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            let end = PAGE.min(at % PAGE + len - out.len());
            self.copy(at / PAGE, at % PAGE..end, &mut out)?;
            at += PAGE - at % PAGE;
        }
        Ok(Cow::Owned(out))
    }
}
