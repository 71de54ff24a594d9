//! The free cells of a hive by size, and the starts of all cells. The file has no index of either, so the bins are
//! walked once.

use std::collections::{BTreeMap, BTreeSet};

use crate::regf::CellOffset;
use crate::regf::bin::{self, BinHeader};
use crate::regf::cell::{self, Header};
use crate::{Hive, HiveBytes, in_file};
use hivewright_error::{Code, Error, Result};

/// Possible cell starts in one word of [`FreeCells::starts`].
const BITS: u32 = u64::BITS;

/// Free cells, their bins, and the starts of cells. A bin that its cells do not fill exactly offers no free cells.
#[derive(Debug, Default)]
pub(super) struct FreeCells {
    by_size: BTreeSet<(u32, u32)>,
    /// The end of each bin, by its start.
    bins: BTreeMap<u32, u32>,
    /// One bit for each possible start of a cell.
    starts: Vec<u64>,
}

/// The cells right before and after a cell in its bin.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AdjacentCells {
    pub(super) before: Option<(CellOffset, Header)>,
    pub(super) after: Option<(CellOffset, Header)>,
}

impl AdjacentCells {
    /// Returns the previous cell and its size, if it is free.
    pub(super) fn free_before(&self) -> Option<(CellOffset, u32)> {
        self.before.filter(|(_, header)| !header.allocated).map(|(at, header)| (at, header.size))
    }

    /// Returns the next cell and its size, if it is free.
    pub(super) fn free_after(&self) -> Option<(CellOffset, u32)> {
        self.after.filter(|(_, header)| !header.allocated).map(|(at, header)| (at, header.size))
    }
}

impl FreeCells {
    /// Collects the free cells of all bins up to the first bin that cannot be read.
    pub(super) fn collect<B: HiveBytes>(hive: &Hive<B>) -> Self {
        let mut cells = FreeCells::default();
        cells.make_room(hive.length());
        let (mut free, mut starts) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < hive.length() {
            let Ok(size) = bin_size(hive, at) else { break };
            let known = free.len();
            starts.clear();
            let keep = |offset, header: Header| {
                starts.push(offset);
                if !header.allocated {
                    free.push((header.size, offset));
                }
            };
            if visit(hive, at, size, keep).is_ok() {
                cells.bins.insert(at, at + size);
                starts.iter().for_each(|&start| cells.mark(CellOffset(start)));
            } else {
                free.truncate(known);
            }
            at += size;
        }
        cells.by_size = free.into_iter().collect();
        cells
    }

    /// Removes and returns the smallest free cell of at least `size` bytes and its size; of equal cells, the first.
    pub(super) fn take(&mut self, size: u32) -> Option<(CellOffset, u32)> {
        let &(found, at) = self.by_size.range((size, 0)..).next()?;
        self.by_size.remove(&(found, at));
        Some((CellOffset(at), found))
    }

    /// Adds a free cell.
    pub(super) fn insert(&mut self, at: CellOffset, size: u32) {
        self.mark(at);
        self.by_size.insert((size, at.0));
    }

    /// Removes a free cell. Its start remains marked.
    pub(super) fn remove(&mut self, at: CellOffset, size: u32) -> bool {
        self.by_size.remove(&(size, at.0))
    }

    pub(super) fn contains(&self, at: CellOffset, size: u32) -> bool {
        self.by_size.contains(&(size, at.0))
    }

    /// Adds a bin.
    pub(super) fn add_bin(&mut self, start: u32, size: u32) {
        self.bins.insert(start, start + size);
        self.make_room(start + size);
    }

    /// Marks the start of a cell at `at`.
    pub(super) fn mark(&mut self, at: CellOffset) {
        let (word, bit) = place(at.0);
        if let Some(word) = self.starts.get_mut(word) {
            *word |= bit;
        }
    }

    /// Unmarks the start of a cell at `at`.
    pub(super) fn unmark(&mut self, at: CellOffset) {
        let (word, bit) = place(at.0);
        if let Some(word) = self.starts.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Returns the cells right before and after the cell of `size` bytes at `at`.
    pub(super) fn adjacent<B: HiveBytes>(&self, hive: &Hive<B>, at: CellOffset, size: u32) -> Result<AdjacentCells> {
        let no_bin = || {
            Error::corrupt(Code::CellReference, "a cell to be freed lies outside the readable hive bins", at.in_file())
        };
        let (&start, &end) = self.bins.range(..=at.0).next_back().ok_or_else(no_bin)?;
        let behind = at.0.checked_add(size).filter(|&behind| behind <= end).ok_or_else(no_bin)?;
        if !self.begins(at.0) || behind < end && !self.begins(behind) {
            let what = "a cell to be freed is not at the start of a cell";
            return Err(Error::corrupt(Code::CellReference, what, at.in_file()));
        }
        let read = |offset: u32| -> Result<(CellOffset, Header)> {
            let at = CellOffset(offset);
            let raw = hive.bytes().read(at.in_file(), cell::HEADER_SIZE)?;
            Ok((at, Header::parse([raw[0], raw[1], raw[2], raw[3]], at)?))
        };
        let before = self.last_start(start + bin::HEADER_SIZE, at.0).map(read).transpose()?;
        let after = (behind < end).then(|| read(behind)).transpose()?;
        Ok(AdjacentCells { before, after })
    }

    fn begins(&self, at: u32) -> bool {
        let (word, bit) = place(at);
        at.is_multiple_of(cell::ALIGNMENT) && self.starts.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Returns the start of the last cell that begins in `from..to`.
    fn last_start(&self, from: u32, to: u32) -> Option<u32> {
        let to = to / cell::ALIGNMENT;
        let mut word = (to / BITS) as usize;
        let mut bits = self.starts.get(word).copied().unwrap_or_default() & ((1 << (to % BITS)) - 1);
        let first = place(from).0;
        while bits == 0 && word > first {
            word -= 1;
            bits = self.starts.get(word).copied().unwrap_or_default();
        }
        let index = u32::try_from(word).ok()? * BITS + bits.checked_ilog2()?;
        Some(index * cell::ALIGNMENT).filter(|&start| start >= from)
    }

    fn make_room(&mut self, length: u32) {
        let words = (length / cell::ALIGNMENT).div_ceil(BITS) as usize;
        if words > self.starts.len() {
            self.starts.resize(words, 0);
        }
    }
}

/// Returns the word and the bit for an offset in the bins.
fn place(at: u32) -> (usize, u64) {
    let index = at / cell::ALIGNMENT;
    ((index / BITS) as usize, 1 << (index % BITS))
}

fn bin_size<B: HiveBytes>(hive: &Hive<B>, at: u32) -> Result<u32> {
    let raw = hive.bytes().read(in_file(at), bin::HEADER_SIZE as usize)?;
    Ok(BinHeader::parse(&raw, at, hive.length())?.size.get())
}

fn visit<B: HiveBytes>(hive: &Hive<B>, start: u32, size: u32, mut each: impl FnMut(u32, Header)) -> Result<()> {
    let raw = hive.bytes().read(in_file(start), size as usize)?;
    let mut at = bin::HEADER_SIZE as usize;
    while let Some(field) = raw.get(at..).and_then(|rest| rest.first_chunk::<{ cell::HEADER_SIZE }>()) {
        let offset = start + u32::try_from(at).unwrap_or(u32::MAX);
        let header = Header::parse(*field, CellOffset(offset))?;
        at += header.size as usize;
        if at > raw.len() {
            return Err(Error::corrupt(Code::CellSize, "the cell crosses the end of its hive bin", in_file(offset)));
        }
        each(offset, header);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found_backwards_across_words() {
        let mut cells = FreeCells::default();
        cells.add_bin(0, 4096);
        for start in [32, 40, 504, 512, 2048, 4088] {
            cells.mark(CellOffset(start));
        }
        let before: Vec<_> = [33, 40, 504, 512, 520, 2048, 4088].map(|to| cells.last_start(32, to)).to_vec();
        assert_eq!(before, [None, Some(32), Some(40), Some(504), Some(512), Some(512), Some(2048)]);
        cells.unmark(CellOffset(512));
        assert_eq!(cells.last_start(32, 2048), Some(504));
        assert_eq!(cells.last_start(512, 2048), None);
        assert!(cells.begins(4088) && !cells.begins(512) && !cells.begins(44) && !cells.begins(8192));
    }
}
