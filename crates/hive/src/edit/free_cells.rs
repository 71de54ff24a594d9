//! Free cells of a hive, by size. The file has no list of them, so the bins are walked once.

use std::collections::BTreeSet;

use crate::regf::CellOffset;
use crate::regf::bin::{self, BinHeader};
use crate::regf::cell::{self, Header};
use crate::{Hive, HiveBytes, in_file};
use hivewright_error::{Code, Error, Result};

/// Free cells and the bins they stand in. A bin whose cells do not fill it exactly offers none.
#[derive(Debug, Default)]
pub(super) struct FreeCells {
    by_size: BTreeSet<(u32, u32)>,
    bins: BTreeSet<u32>,
}

/// The free cells right before and behind a cell, with their sizes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Neighbours {
    pub(super) before: Option<(CellOffset, u32)>,
    pub(super) after: Option<(CellOffset, u32)>,
}

impl FreeCells {
    /// Collects the free cells of all bins up to the first bin that cannot be read.
    pub(super) fn collect<B: HiveBytes>(hive: &Hive<B>) -> Self {
        let (mut free, mut bins) = (Vec::new(), BTreeSet::new());
        let mut at = 0;
        while at < hive.length() {
            let Ok(size) = bin_size(hive, at) else { break };
            let known = free.len();
            let keep = |offset, header: Header| {
                if !header.allocated {
                    free.push((header.size, offset));
                }
            };
            if visit(hive, at, size, keep).is_ok() {
                bins.insert(at);
            } else {
                free.truncate(known);
            }
            at += size;
        }
        FreeCells { by_size: free.into_iter().collect(), bins }
    }

    /// Takes the smallest free cell of at least `size` bytes, the first of equals, with its whole size.
    pub(super) fn take(&mut self, size: u32) -> Option<(CellOffset, u32)> {
        let &(found, at) = self.by_size.range((size, 0)..).next()?;
        self.by_size.remove(&(found, at));
        Some((CellOffset(at), found))
    }

    pub(super) fn insert(&mut self, at: CellOffset, size: u32) {
        self.by_size.insert((size, at.0));
    }

    pub(super) fn remove(&mut self, at: CellOffset, size: u32) -> bool {
        self.by_size.remove(&(size, at.0))
    }

    pub(super) fn contains(&self, at: CellOffset, size: u32) -> bool {
        self.by_size.contains(&(size, at.0))
    }

    pub(super) fn add_bin(&mut self, at: u32) {
        self.bins.insert(at);
    }

    /// Returns the cell right in front of the cell at `at`, if it is in use, and its size.
    pub(super) fn in_front<B: HiveBytes>(&self, hive: &Hive<B>, at: CellOffset) -> Result<Option<(CellOffset, u32)>> {
        let Some(&start) = self.bins.range(..=at.0).next_back() else { return Ok(None) };
        let cells = walk(hive, start, bin_size(hive, start)?)?;
        let front = cells.iter().rev().find(|(offset, _)| *offset < at.0);
        Ok(front.filter(|(_, header)| header.allocated).map(|&(offset, header)| (CellOffset(offset), header.size)))
    }

    /// Returns the free cells right before and behind the cell at `at`.
    pub(super) fn neighbours<B: HiveBytes>(&self, hive: &Hive<B>, at: CellOffset, size: u32) -> Result<Neighbours> {
        let Some(&start) = self.bins.range(..=at.0).next_back() else {
            return Err(Error::corrupt(
                Code::CellReference,
                "a cell to be freed stands in no sound hive bin",
                at.in_file(),
            ));
        };
        let cells = walk(hive, start, bin_size(hive, start)?)?;
        let Ok(index) = cells.binary_search_by_key(&at.0, |&(offset, _)| offset) else {
            return Err(Error::corrupt(
                Code::CellReference,
                "a cell to be freed does not begin where a cell begins",
                at.in_file(),
            ));
        };
        let free =
            |i: usize| cells.get(i).filter(|(_, header)| !header.allocated).map(|&(o, h)| (CellOffset(o), h.size));
        debug_assert_eq!(cells[index].1.size, size);
        Ok(Neighbours { before: index.checked_sub(1).and_then(free), after: free(index + 1) })
    }
}

/// Returns the free cell right behind the cell `at` in the same bin, with its size.
pub(super) fn free_behind<B: HiveBytes>(
    cells: &FreeCells,
    hive: &Hive<B>,
    at: CellOffset,
    size: u32,
) -> Option<(CellOffset, u32)> {
    let (behind, size) = cells.neighbours(hive, at, size).ok()?.after?;
    cells.contains(behind, size).then_some((behind, size))
}

fn bin_size<B: HiveBytes>(hive: &Hive<B>, at: u32) -> Result<u32> {
    let raw = hive.bytes().read(in_file(at), bin::HEADER_SIZE as usize)?;
    Ok(BinHeader::parse(&raw, at, hive.length())?.size.get())
}

/// Returns all cells of a bin, in order.
fn walk<B: HiveBytes>(hive: &Hive<B>, start: u32, size: u32) -> Result<Vec<(u32, Header)>> {
    let mut cells = Vec::new();
    visit(hive, start, size, |offset, header| cells.push((offset, header)))?;
    Ok(cells)
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
