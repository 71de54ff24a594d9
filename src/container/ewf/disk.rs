//! The disk inside of an E01 image: chunks, each compressed or with a checksum, found through tables.
//!
//! Facts: libewf, EWF, "Table section", "Sectors section", "Chunk data".

use std::sync::{Arc, Mutex, PoisonError};

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::segments::adler32;
use super::{cut_short, damaged};
use crate::error::{Error, Kind, Place, Result, Space};
use crate::storage::Storage;

/// Bytes of chunks that are kept.
const MOST_KEPT: usize = 8 << 20;
/// Tables that are kept.
const MOST_TABLES: usize = 16;

/// A table of chunks: what of it is known before it is read.
#[derive(Clone)]
pub(super) struct Table {
    pub file: Arc<dyn Storage>,
    /// Number of its first chunk in the disk.
    pub first: u64,
    pub count: u64,
    /// What is added to each offset.
    pub base: u64,
    /// Where its entries are, and a copy of them.
    pub entries: u64,
    pub copy: Option<u64>,
    /// Where the bytes of its last chunk end at the latest.
    pub end: u64,
}

/// See the module.
pub(super) struct Disk {
    pub size: u64,
    pub chunk: usize,
    pub tables: Vec<Table>,
    pub kept: Mutex<Kept>,
}

/// What was read last, the latest at the end.
#[derive(Default)]
pub(super) struct Kept {
    chunks: Vec<(u64, Vec<u8>)>,
    tables: Vec<(usize, Arc<Vec<u32>>)>,
}

impl Disk {
    /// The entries of a table, checked; from its copy where they are damaged.
    fn entries(&self, index: usize) -> Result<Arc<Vec<u32>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, entries)) = kept.tables.iter().find(|(of, _)| *of == index) {
            return Ok(entries.clone());
        }
        let table = &self.tables[index];
        let read = |at: u64| -> Result<Vec<u32>> {
            let mut bytes = vec![0; usize::try_from(table.count).unwrap_or(0) * 4];
            table.file.read_at(at, &mut bytes)?;
            let mut sum = [0; 4];
            let after = at + bytes.len() as u64;
            // The format of SMART has no checksum here, but chunks.
            if table.end < table.entries {
                table.file.read_at(after, &mut sum)?;
                if adler32(&bytes) != u32::from_le_bytes(sum) {
                    return Err(damaged("the checksum of a table does not fit", &*table.file, at));
                }
            }
            Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        let entries = match (read(table.entries), table.copy) {
            (Err(error), Some(copy)) => read(copy).map_err(|_| error)?,
            (entries, _) => entries?,
        };
        let entries = Arc::new(entries);
        if kept.tables.len() == MOST_TABLES {
            kept.tables.remove(0);
        }
        kept.tables.push((index, entries.clone()));
        Ok(entries)
    }

    /// Where a chunk lies: its table, offset, bytes at most, and whether it is compressed.
    fn place(&self, number: u64) -> Result<(&Table, u64, u64, bool)> {
        let index = self.tables.partition_point(|table| table.first <= number).saturating_sub(1);
        let table = &self.tables[index];
        let entries = self.entries(index)?;
        let at = |i: u64| usize::try_from(i).ok().and_then(|i| entries.get(i));
        let entry = *at(number - table.first).ok_or_else(|| damaged("a chunk is in no table", &*table.file, 0))?;
        let place = |entry: u32| u64::from(entry & 0x7fff_ffff).checked_add(table.base);
        let outside = || damaged("a chunk lies outside of its segment", &*table.file, table.entries);
        let start = place(entry).ok_or_else(outside)?;
        let next = at(number - table.first + 1).and_then(|entry| place(*entry)).filter(|next| *next > start);
        let end = next.unwrap_or(table.end).min(table.file.len()?);
        let len = end.checked_sub(start).filter(|len| *len > 0).ok_or_else(outside)?;
        Ok((table, start, len, entry >> 31 != 0))
    }

    /// Bytes of the disk in a chunk.
    fn len_of(&self, number: u64) -> usize {
        let rest = self.size - number * self.chunk as u64;
        usize::try_from(rest).unwrap_or(usize::MAX).min(self.chunk)
    }

    fn read_chunk(&self, number: u64) -> Result<Vec<u8>> {
        let (table, start, len, compressed) = self.place(number)?;
        // What is compressed is stored as it is where it would not be shorter.
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.chunk + 1024);
        let mut bytes = vec![0; len];
        table.file.read_at(start, &mut bytes)?;
        let wrong = |what: &str| damaged(what, &*table.file, start).at(Space::Disk, number * self.chunk as u64);
        let wanted = self.len_of(number);
        if compressed {
            // Shorter last chunks are padded by some.
            let mut chunk = vec![0; self.chunk];
            let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
            let mut state = Box::<DecompressorOxide>::default();
            let (status, _, count) = decompress(&mut state, &bytes, &mut chunk, 0, flags);
            // The checksum of zlib is looked at before it is done.
            if status != TINFLStatus::Done || count < wanted {
                return Err(wrong("a compressed chunk is damaged").expected(wanted, count));
            }
            chunk.truncate(wanted);
            return Ok(chunk);
        }
        // Shorter last chunks are padded by some: the checksum is after all that is there.
        for data in [wanted, self.chunk] {
            let Some((chunk, sum)) = bytes.split_at_checked(data) else { continue };
            if sum.first_chunk().is_some_and(|sum| u32::from_le_bytes(*sum) == adler32(chunk)) {
                bytes.truncate(wanted);
                return Ok(bytes);
            }
        }
        Err(wrong("the checksum of a chunk does not fit"))
    }
}

impl Storage for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            return Err(Error::new(Kind::Corrupt, "past-end", "the disk ends before what is asked of it")
                .expected(format_args!("{} bytes at {offset:#x}", buf.len()), format_args!("{} in all", self.size)));
        }
        while !buf.is_empty() {
            let number = offset / self.chunk as u64;
            let within = usize::try_from(offset % self.chunk as u64).unwrap_or(0);
            let count = buf.len().min(self.chunk - within);
            let (part, rest) = buf.split_at_mut(count);
            let held = {
                let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                let chunk = kept.chunks.iter().rev().find(|(of, _)| *of == number);
                chunk.map(|(_, chunk)| part.copy_from_slice(&chunk[within..within + count])).is_some()
            };
            if !held {
                let chunk = self.read_chunk(number)?;
                part.copy_from_slice(&chunk[within..within + count]);
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.chunks.len() >= (MOST_KEPT / self.chunk).clamp(1, 64) {
                    kept.chunks.remove(0);
                }
                kept.chunks.push((number, chunk));
            }
            (buf, offset) = (rest, offset + count as u64);
        }
        Ok(())
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Err(Error::refused("ewf-evidence", super::EVIDENCE).advise(super::ADVICE))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        let mut places = vec![Place { space: Space::Disk, offset }];
        if offset < self.size
            && let Ok((table, start, _, false)) = self.place(offset / self.chunk as u64)
        {
            places.extend(table.file.locate(start + offset % self.chunk as u64));
        }
        places
    }
}

/// Whether all of a table's chunks are in it.
pub(super) fn check(table: &Table) -> Result<()> {
    let end = table.count.checked_mul(4).and_then(|bytes| bytes.checked_add(table.entries));
    if end.is_none_or(|end| end.saturating_add(4) > table.file.len().unwrap_or(0)) {
        return Err(cut_short(&*table.file, table.entries, table.entries.saturating_add(table.count * 4)));
    }
    Ok(())
}
