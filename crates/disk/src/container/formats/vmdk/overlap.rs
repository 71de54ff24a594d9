//! Checks before a write that a grain does not overlap other data.
//!
//! Two table entries of a damaged image may point to the same sectors, or an entry to a table. Reading still works,
//! but a write would change other data, so it is refused.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::PoisonError;

use super::grains::Grains;
use super::{SECTOR, broken};
use hivewright_error::{Code, Error, Result};
use hivewright_storage::span::placed;

/// The occupied ranges of an extent, collected at its first write.
pub(super) struct Occupied {
    /// The ranges of all structures other than grains: start and end, sorted and disjoint.
    metadata: Vec<(u64, u64)>,
    /// Tables of the first directory: number and offset.
    tables: Vec<(u64, u64)>,
    /// Grains that no other entry points to.
    alone: BTreeSet<u64>,
}

impl Grains {
    /// Fails if a write of `len` bytes at `offset`, which are contiguous from `start` of the file on, would change
    /// other data.
    pub(super) fn check_alone(&self, offset: u64, len: u64, start: u64) -> Result<()> {
        let size = self.layout.grain;
        let grains = offset / size..(offset + len).div_ceil(size);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match &mut *known {
            Some(known) => known,
            none => none.insert(self.collect_metadata()?),
        };
        if !grains.clone().all(|grain| known.alone.contains(&grain)) {
            self.tables_agree(grains.clone())?;
            self.is_alone(known, grains.clone(), start - offset % size)?;
            known.alone.extend(grains);
        }
        Ok(())
    }

    /// Fails if the two tables differ in any of these grains.
    pub(super) fn tables_agree(&self, mut grains: Range<u64>) -> Result<()> {
        let Some(second) = self.layout.redundant else { return Ok(()) };
        let differs =
            |index: u64| -> Result<bool> { Ok(self.find(index, self.layout.directory)? != self.find(index, second)?) };
        match grains.find_map(|index| differs(index).map(|differs| differs.then_some(index)).transpose()) {
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(index)) => {
                let what = format!("the two tables differ in grain {index}");
                Err(self.harm(Code::VmdkTablesDiffer, &what, second))
            }
        }
    }

    /// Checks that no other grain overlaps these grains from `start` on.
    fn is_alone(&self, known: &Occupied, grains: Range<u64>, start: u64) -> Result<()> {
        let size = self.layout.grain;
        let end = start + (grains.end - grains.start) * size;
        let next = known.metadata.partition_point(|(_, end)| *end <= start);
        if known.metadata.get(next).is_some_and(|(from, _)| *from < end) {
            return Err(self.harm(Code::VmdkGrainInTables, "a grain overlaps the tables of its extent", start));
        }
        let all = self.layout.capacity.div_ceil(size);
        for &(number, table) in &known.tables {
            for (index, entry) in (number * self.layout.per_table..all).zip(self.entries(table)?) {
                let place = u64::from(entry) * SECTOR;
                let own = grains.contains(&index) && place == start + (index - grains.start) * size;
                if entry > u32::from(self.layout.zeroed) && place < end && place + size > start && !own {
                    let what =
                        format!("grain {index} of the disk has the same place in the file as grain {}", grains.start);
                    return Err(self.harm(Code::VmdkGrainShared, &what, place));
                }
            }
        }
        Ok(())
    }

    /// Returns the entries of the table at `place`; fewer where the file ends.
    fn entries(&self, place: u64) -> Result<impl Iterator<Item = u32>> {
        let len = (self.layout.per_table * 4).min(self.file_len().saturating_sub(place));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.file.read_at(place, &mut bytes)?;
        let entries: Vec<u32> = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(entries.into_iter())
    }

    /// Collects the ranges of the header, the descriptor, both directories and their tables.
    fn collect_metadata(&self) -> Result<Occupied> {
        let layout = &self.layout;
        let (mut spans, mut tables) = (layout.metadata.clone(), Vec::new());
        for directory in [Some(layout.directory), layout.redundant].into_iter().flatten() {
            // At most four million entries: see `check`.
            let mut bytes = vec![0; usize::try_from(layout.tables() * 4).unwrap_or(0)];
            self.file.read_at(directory, &mut bytes)?;
            spans.push((directory, directory + layout.tables() * 4));
            for (number, entry) in (0..).zip(bytes.chunks_exact(4)) {
                let sector = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
                let start = u64::from(sector) * SECTOR;
                if sector <= u32::from(layout.zeroed) {
                    continue;
                }
                spans.push((start, start + layout.per_table * 4));
                if directory == layout.directory {
                    tables.push((number, start));
                }
            }
        }
        spans.sort_unstable();
        let mut metadata: Vec<(u64, u64)> = Vec::new();
        for (start, end) in spans {
            match metadata.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => metadata.push((start, end)),
            }
        }
        Ok(Occupied { metadata, tables, alone: BTreeSet::new() })
    }

    fn harm(&self, code: Code, what: &str, place: u64) -> Error {
        placed(broken(code, what), &*self.file, place).advise("the image is damaged: use another copy")
    }
}
