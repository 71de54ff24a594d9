//! The disk in an E01 image: chunks, each compressed or with a checksum, found through tables.
//!
//! Facts: libewf, EWF, "Table section", "Sectors section", "Chunk data".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use simd_adler32::{Adler32, adler32};

use super::{cut_short, damaged};
use crate::container::helpers::block_cache::BlockCache;
use crate::container::helpers::inflate::inflate;
use crate::container::helpers::tables::{Tables, index};
use crate::container::within_disk;
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;

/// Maximum number of cached tables.
const MOST_TABLES: usize = 16;
/// Bytes of entries that are read at once to verify a table's checksum.
const PIECE: usize = 16 << 10;
/// Maximum number of entries of a table: more than 512 GiB of a segment with chunks of 32 KiB need.
const MOST_ENTRIES: u64 = 1 << 24;

/// The location of a table of chunks.
#[derive(Clone)]
pub(super) struct Table {
    pub file: Arc<dyn Storage>,
    pub file_len: u64,
    /// The number of its first chunk in the disk.
    pub first: u64,
    pub count: u64,
    /// Base that is added to each offset.
    pub base: u64,
    /// Offsets of its entries and of their copy.
    pub entries: u64,
    pub copy: Option<u64>,
    /// Upper bound of the end of its last chunk.
    pub end: u64,
}

/// The disk of an E01 image.
pub(super) struct Disk {
    pub size: u64,
    pub chunk: usize,
    pub tables: Vec<Table>,
    pub kept: Mutex<Kept>,
}

/// The last chunk.
#[derive(Default)]
pub(super) struct Kept {
    chunks: BlockCache,
    tables: ValidTables,
    /// Buffer for the stored form of a chunk.
    stored: Vec<u8>,
}

/// Tables whose checksums are valid.
#[derive(Default)]
struct ValidTables {
    /// Recently used tables; the latest is at the end.
    kept: Vec<(usize, Entries)>,
    /// Offsets of the valid entries of a table, so that its checksum is verified once.
    at: BTreeMap<usize, u64>,
}

/// The location of a chunk.
struct Stored<'a> {
    table: &'a Table,
    start: u64,
    /// Maximum number of bytes.
    len: u64,
    is_compressed: bool,
}

/// The entries of a table whose checksum is valid.
struct Entries {
    pages: Tables,
    /// Offset of the entries.
    at: u64,
}

impl Entries {
    fn get(&self, table: &Table, i: u64) -> Result<Option<u32>> {
        let entry = || self.pages.entry(self.at + i * 4).map(u32::from_le_bytes);
        (i < table.count).then(entry).transpose()
    }
}

impl ValidTables {
    /// Returns the verified entries of a table, from its copy where the first ones are damaged.
    fn entries(&mut self, table: &Table, index: usize) -> Result<&Entries> {
        if let Some(i) = self.kept.iter().position(|(of, _)| *of == index) {
            return Ok(&self.kept[i].1);
        }
        let at = match self.at.get(&index) {
            Some(at) => *at,
            None => valid_entries(table, table.entries)
                .or_else(|error| table.copy.and_then(|copy| valid_entries(table, copy).ok()).ok_or(error))?,
        };
        self.at.insert(index, at);
        let entries = Entries { pages: Tables::new(table.file.clone(), Code::EwfSegment), at };
        if self.kept.len() == MOST_TABLES {
            self.kept.remove(0);
        }
        let last = self.kept.len();
        self.kept.push((index, entries));
        Ok(&self.kept[last].1)
    }
}

/// Returns the offset of a table's entries if the checksum after them is valid. Reads them in pieces.
fn valid_entries(table: &Table, at: u64) -> Result<u64> {
    // SMART tables have no checksum; SMART chunks do.
    if table.end >= table.entries {
        return Ok(at);
    }
    // With the checksum, the bytes are a whole number of entries.
    let mut left = table.count * 4 + 4;
    let (mut sum, mut piece, mut done) = (Adler32::new(), vec![0; PIECE], 0);
    while left > PIECE as u64 {
        table.file.read_at(at + done, &mut piece)?;
        sum.write(&piece);
        (done, left) = (done + PIECE as u64, left - PIECE as u64);
    }
    let piece = &mut piece[..index(left)];
    table.file.read_at(at + done, piece)?;
    let (entries, stored) = piece.split_at(piece.len() - 4);
    sum.write(entries);
    if sum.finish().to_le_bytes() != *stored {
        return Err(damaged("the checksum of a table is wrong", &*table.file, at));
    }
    Ok(at)
}

impl Disk {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, number: u64, tables: &mut ValidTables) -> Result<Stored<'_>> {
        let index = self.tables.partition_point(|table| table.first <= number).saturating_sub(1);
        let table = &self.tables[index];
        let entries = tables.entries(table, index)?;
        let at = |i: u64| entries.get(table, i);
        let entry = at(number - table.first)?.ok_or_else(|| damaged("a chunk is in no table", &*table.file, 0))?;
        let place = |entry: u32| u64::from(entry & 0x7fff_ffff).checked_add(table.base);
        let outside = || damaged("a chunk lies outside its segment", &*table.file, table.entries);
        let start = place(entry).ok_or_else(outside)?;
        let next = at(number - table.first + 1)?.and_then(place).filter(|next| *next > start);
        let end = next.unwrap_or(table.end).min(table.file_len);
        let len = end.checked_sub(start).filter(|len| *len > 0).ok_or_else(outside)?;
        Ok(Stored { table, start, len, is_compressed: entry >> 31 != 0 })
    }

    /// Returns the number of the disk's bytes in a chunk.
    fn len_of(&self, number: u64) -> usize {
        let rest = self.size - number * self.chunk as u64;
        usize::try_from(rest).unwrap_or(usize::MAX).min(self.chunk)
    }

    /// Returns the chunk of that number, verified.
    fn chunk<'a>(&self, number: u64, kept: &'a mut Kept) -> Result<&'a [u8]> {
        let Kept { chunks, tables, stored } = kept;
        chunks.block(number, self.chunk, |chunk| {
            let from = self.find(number, tables)?;
            self.read_chunk(number, &from, stored, chunk)
        })
    }

    /// Reads a chunk into `chunk` and returns its number of bytes.
    fn read_chunk(&self, number: u64, from: &Stored<'_>, stored: &mut Vec<u8>, chunk: &mut [u8]) -> Result<usize> {
        let file = &*from.table.file;
        // A chunk that compression would not shorten is stored uncompressed.
        stored.resize(usize::try_from(from.len).unwrap_or(usize::MAX).min(self.chunk + 1024), 0);
        file.read_at(from.start, stored)?;
        let wrong = |what: &str| damaged(what, file, from.start).at(Space::Disk, number * self.chunk as u64);
        let wanted = self.len_of(number);
        if from.is_compressed {
            // Some writers pad a shorter last chunk.
            let count = inflate(stored, chunk).map_err(|_| wrong("a compressed chunk is damaged"))?;
            if count < wanted {
                return Err(wrong("a compressed chunk is too short").expected(wanted, count));
            }
            return Ok(wanted);
        }
        // Some writers pad a shorter last chunk: the checksum follows the padding.
        for len in [wanted, self.chunk] {
            let Some((data, sum)) = stored.split_at_checked(len) else { continue };
            if sum.first_chunk().is_some_and(|sum| u32::from_le_bytes(*sum) == adler32(&data)) {
                chunk[..wanted].copy_from_slice(&data[..wanted]);
                return Ok(wanted);
            }
        }
        Err(wrong("the checksum of a chunk is wrong"))
    }
}

impl Storage for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        within_disk(self.size, offset, buf.len())?;
        let mut kept = self.kept();
        while !buf.is_empty() {
            let number = offset / self.chunk as u64;
            let within = usize::try_from(offset % self.chunk as u64).unwrap_or(0);
            let count = buf.len().min(self.chunk - within);
            let (part, rest) = buf.split_at_mut(count);
            part.copy_from_slice(&self.chunk(number, &mut kept)?[within..within + count]);
            (buf, offset) = (rest, offset + count as u64);
        }
        Ok(())
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Err(Error::refused(Code::EwfEvidence, super::EVIDENCE).advise(super::advice()))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        let mut places = vec![Place { space: Space::Disk, offset }];
        if offset < self.size
            && let Ok(found) = self.find(offset / self.chunk as u64, &mut self.kept().tables)
            && !found.is_compressed
        {
            places.extend(found.table.file.locate(found.start + offset % self.chunk as u64));
        }
        places
    }
}

/// Checks that a table has all of its chunks and no more than the limit.
pub(super) fn check(table: &Table) -> Result<()> {
    if table.count > MOST_ENTRIES {
        let what = format!("a table of the image has {} entries, the limit is {MOST_ENTRIES}", table.count);
        return Err(Error::new(Kind::Unsupported, Code::EwfTable, what).at(Space::File, table.entries));
    }
    let end = table.count.checked_mul(4).and_then(|bytes| bytes.checked_add(table.entries));
    if end.is_none_or(|end| end.saturating_add(4) > table.file_len) {
        return Err(cut_short(&*table.file, table.entries, table.entries.saturating_add(table.count * 4)));
    }
    Ok(())
}
