//! Log entries of the new format (specification, "Log entries"): a header, references to pages, then the pages.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Page, Rejection, SECTOR, is_length};
use crate::regf::marvin32::{LOG_SEED, marvin32};

/// The header of a log entry.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EntryHeader {
    /// 0: `HvLE`.
    pub signature: [u8; 4],
    /// 4: bytes of the entry, a multiple of 512.
    pub size: U32,
    /// 8: bit 0 is copied to the flags of the base block.
    pub flags: U32,
    /// 12: sequence number; wraps.
    pub sequence: U32,
    /// 16: size of all hive bins after the entry is applied.
    pub length: U32,
    /// 20: number of pages.
    pub page_count: U32,
    /// 24: Marvin32 of everything from 40 on.
    pub hash_1: U64,
    /// 32: Marvin32 of the first 32 bytes.
    pub hash_2: U64,
}

/// The signature of an entry.
pub const SIGNATURE: [u8; 4] = *b"HvLE";
/// Bytes of the header.
pub const HEADER_SIZE: usize = size_of::<EntryHeader>();
const HASHED_BY_2: usize = 32;
const REFERENCE_SIZE: usize = 8;

/// An entry with a valid header: signature, size and hash 2.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'l> {
    /// Its offset in the log.
    pub at: usize,
    /// Its header.
    pub header: EntryHeader,
    bytes: &'l [u8],
}

impl<'l> Entry<'l> {
    /// Returns the entry at `at` of a log. `None` if no entry begins there.
    pub fn parse(log: &'l [u8], at: usize) -> Option<Result<Self, Rejection>> {
        let bytes = log.get(at..)?;
        let (header, _) = EntryHeader::read_from_prefix(bytes).ok().filter(|(h, _)| h.signature == SIGNATURE)?;
        if header.hash_2.get() != marvin32(LOG_SEED, &bytes[..HASHED_BY_2]) {
            return Some(Err(Rejection::EntryHash2));
        }
        let size = header.size.get() as usize;
        if size == 0 || !size.is_multiple_of(SECTOR) {
            return Some(Err(Rejection::EntrySize));
        }
        Some(bytes.get(..size).map(|bytes| Entry { at, header, bytes }).ok_or(Rejection::EntrySize))
    }

    /// Returns the offset after it.
    pub fn end(&self) -> usize {
        self.at + self.bytes.len()
    }

    /// Checks the fields and pages that hash 2 does not cover. Reads the whole entry once.
    pub fn check(&self) -> Result<(), Rejection> {
        if self.header.hash_1.get() != marvin32(LOG_SEED, &self.bytes[HEADER_SIZE..]) {
            return Err(Rejection::EntryHash1);
        }
        if !is_length(self.header.length.get()) {
            return Err(Rejection::EntryLength);
        }
        let mut pages = 0;
        for page in self.walk() {
            page?;
            pages += 1;
        }
        if pages == 0 { Err(Rejection::EntryPageBounds) } else { Ok(()) }
    }

    /// Returns the pages in the order of writing; all of them if [`Entry::check`] succeeded.
    pub fn pages(&self) -> impl Iterator<Item = Page<'l>> + use<'l> {
        self.walk().map_while(Result::ok)
    }

    fn walk(&self) -> impl Iterator<Item = Result<Page<'l>, Rejection>> + use<'l> {
        let (bytes, length) = (self.bytes, self.header.length.get());
        let count = self.header.page_count.get() as usize;
        let mut data_at = count.checked_mul(REFERENCE_SIZE).and_then(|size| size.checked_add(HEADER_SIZE));
        // An excessive count is one error, not four thousand million.
        let fits = data_at.is_some_and(|at| at <= bytes.len());
        (0..if fits { count } else { 1 }).map(move |i| {
            let start = data_at.filter(|_| fits).ok_or(Rejection::EntryPageBounds)?;
            let (offset, size) = reference(bytes, i);
            let aligned = size != 0 && size.is_multiple_of(512) && offset.is_multiple_of(512);
            if !aligned || offset.checked_add(size).is_none_or(|end| end > length) {
                return Err(Rejection::EntryPageBounds);
            }
            let end = start.checked_add(size as usize);
            let data = end.and_then(|end| bytes.get(start..end)).ok_or(Rejection::EntryPageBounds)?;
            data_at = end;
            Ok(Page { offset, data })
        })
    }
}

/// Returns offset and size of page `i`; the caller has checked the number of references.
fn reference(entry: &[u8], i: usize) -> (u32, u32) {
    let at = HEADER_SIZE + i * REFERENCE_SIZE;
    let word = |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
    (word(at), word(at + 4))
}

/// Returns all entries with a valid header from `at` on, at sector boundaries. With `skip`, the contents of entries are
/// not searched. Reads each sector once.
pub fn scan(log: &[u8], at: usize, skip: bool) -> impl Iterator<Item = Entry<'_>> {
    let mut next = at.next_multiple_of(SECTOR);
    std::iter::from_fn(move || {
        while next < log.len() {
            let here = next;
            next += SECTOR;
            if let Some(Ok(entry)) = Entry::parse(log, here) {
                if skip {
                    next = entry.end();
                }
                return Some(entry);
            }
        }
        None
    })
}
