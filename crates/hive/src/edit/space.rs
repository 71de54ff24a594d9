//! Allocates and frees cells.
//!
//! A cell is allocated in the best-fitting free cell. If none is large enough, a bin is appended: in the slack between
//! the bins and the end of the file, else after it. Bins are as small as their first cell allows, as in Windows, and
//! the rest of a bin serves the next cells.

use std::mem::offset_of;

use zerocopy::IntoBytes;

use super::free_cells::{AdjacentCells, FreeCells};
use super::{Editor, past_end};
use crate::regf::base_block::BaseBlock;
use crate::regf::bin::{self, BinHeader};
use crate::regf::cell::{self, Header};
use crate::regf::{BASE_BLOCK_SIZE, CellOffset};
use crate::{Step, in_file};
use hivewright_error::{Code, Error, Kind, Result, Space};

/// Maximum size of a cell that an edit allocates. Windows keeps cells below about 1 MiB (measured; specification,
/// "Cell").
const MAX_CELL_SIZE: u32 = 1 << 20;
/// A file grows to a multiple of this, as do all hives that Windows extends (measured).
const FILE_STEP: u64 = 256 << 10;

impl Editor {
    pub(super) fn header(&self, at: CellOffset) -> Result<Header> {
        let start = usize::try_from(at.in_file()).map_err(|_| past_end(at.in_file()))?;
        match self.bytes.get(start..).and_then(|rest| rest.first_chunk()) {
            Some(raw) => Header::parse(*raw, at),
            None => Err(past_end(at.in_file())),
        }
    }

    pub(super) fn free_cells(&mut self) -> Result<&mut FreeCells> {
        if self.free.is_none() {
            self.free = Some(FreeCells::collect(&self.hive()?));
        }
        self.free.as_mut().ok_or_else(|| past_end(0))
    }

    /// Returns the adjacent cells of the cell of `size` bytes at `at`.
    pub(super) fn adjacent(&mut self, at: CellOffset, size: u32) -> Result<AdjacentCells> {
        self.free_cells()?;
        let cells = self.free.as_ref().ok_or_else(|| past_end(0))?;
        cells.adjacent(&self.hive()?, at, size)
    }

    /// Allocates a cell and fills it with `data`: in the best-fitting free cell, else in a new bin at the end.
    pub(super) fn allocate(&mut self, data: &[u8], what: &'static str) -> Result<CellOffset> {
        let Some(size) = cell::size_for(data.len()).filter(|&size| size <= MAX_CELL_SIZE) else {
            return Err(Error::new(
                Kind::Unsupported,
                Code::DataTooLarge,
                format!("{} bytes do not fit in a cell", data.len()),
            )
            .advise("a cell has at most 1 MiB; the data of a value may be larger since version 1.4"));
        };
        if let Some(at) = self.take_spare(size)? {
            self.write(at.data_in_file(), data, Step::Prepare, what)?;
            return Ok(at);
        }
        let Some((free, free_size)) = self.free_cells()?.take(size) else {
            return self.append_bin(size, data, what);
        };
        // From the end of the free cell: the new cell's size field is then in unused space, a single size field
        // activates it, and a cell that is released later never merges with a new one.
        let rest = free_size - size;
        let at = CellOffset(free.0 + rest);
        self.write(at.data_in_file(), data, Step::Prepare, what)?;
        let header = Header { size, allocated: true }.encode();
        if rest == 0 {
            self.write(at.in_file(), &header, Step::Allocate, "size of the cell, now in use")?;
        } else {
            self.write(at.in_file(), &header, Step::Prepare, "size of the new cell")?;
            let shrunk = Header { size: rest, allocated: false }.encode();
            self.write(free.in_file(), &shrunk, Step::Allocate, "size of the remaining free cell")?;
            let cells = self.free_cells()?;
            cells.insert(free, rest);
            cells.mark(at);
        }
        self.fresh.insert(at, size);
        Ok(at)
    }

    /// Allocates a cell for a list that has grown in this edit and will grow again: with twice the necessary size, up
    /// to the maximum of a cell. The unused rest is freed at the end.
    pub(super) fn allocate_with_slack(&mut self, mut list: Vec<u8>, what: &'static str) -> Result<CellOffset> {
        let used = list.len();
        list.resize(used.saturating_mul(2).min(MAX_CELL_SIZE as usize - cell::HEADER_SIZE).max(used), 0);
        let at = self.allocate(&list, what)?;
        self.roomy.insert(at, used);
        Ok(at)
    }

    /// Records the number of bytes in use of a list with slack.
    pub(super) fn uses(&mut self, list: CellOffset, bytes: usize) {
        if let Some(used) = self.roomy.get_mut(&list) {
            *used = bytes;
        }
    }

    /// Takes the smallest sufficient spare cell. Its rest remains spare.
    fn take_spare(&mut self, size: u32) -> Result<Option<CellOffset>> {
        let Some(&(found, at)) = self.spare.range((size, CellOffset(0))..).next() else { return Ok(None) };
        self.spare.remove(&(found, at));
        self.fresh.insert(at, found);
        self.cut(at, size)?;
        Ok(Some(at))
    }

    /// Shrinks a cell that the edit allocated to `size` bytes. The rest becomes a spare cell.
    fn cut(&mut self, at: CellOffset, size: u32) -> Result<()> {
        let Some(rest) = self.fresh.get(&at).and_then(|before| before.checked_sub(size)).filter(|&rest| rest > 0)
        else {
            return Ok(());
        };
        let behind = CellOffset(at.0 + size);
        let part = Header { size: rest, allocated: true };
        self.write(behind.in_file(), &part.encode(), Step::Prepare, "size of the next cell")?;
        let header = Header { size, allocated: true };
        self.write(at.in_file(), &header.encode(), Step::Allocate, "size of the new cell")?;
        self.free_cells()?.mark(behind);
        self.fresh.insert(at, size);
        self.spare.insert((rest, behind));
        Ok(())
    }

    /// Appends a bin just large enough for a cell of `size`, with `data` in that cell.
    fn append_bin(&mut self, size: u32, data: &[u8], what: &'static str) -> Result<CellOffset> {
        let start = self.hive()?.length();
        let bin_size = (bin::HEADER_SIZE + size).next_multiple_of(bin::ALIGNMENT);
        let end = u64::from(BASE_BLOCK_SIZE) + u64::from(start) + u64::from(bin_size);
        let length = start.checked_add(bin_size).filter(|&length| length <= i32::MAX as u32);
        let Some(length) = length.filter(|_| end <= self.options.max_file_len) else {
            return Err(Error::new(
                Kind::NoRoom,
                Code::NoRoom,
                format!("no free cell of {size} bytes, and the hive cannot grow by {bin_size}"),
            )
            .at(Space::Hive, in_file(start)));
        };
        let mut bin = vec![0; bin_size as usize];
        let first = bin::HEADER_SIZE as usize;
        bin[..first].copy_from_slice(BinHeader::new(start, bin_size).as_bytes());
        bin[first..first + 4].copy_from_slice(&Header { size, allocated: true }.encode());
        bin[first + 4..first + 4 + data.len()].copy_from_slice(data);
        let rest = bin_size - bin::HEADER_SIZE - size;
        if rest > 0 {
            let at = first + size as usize;
            bin[at..at + 4].copy_from_slice(&Header { size: rest, allocated: false }.encode());
        }
        let old_len = self.bytes.len();
        if (old_len as u64) < end {
            let step = end.next_multiple_of(FILE_STEP);
            let new_len = if step <= self.options.max_file_len { step } else { end };
            self.bytes.resize(usize::try_from(new_len).map_err(|_| past_end(new_len))?, 0);
            self.journal.note_growth(old_len as u64);
        }
        // The slack after the bins may have old bytes, so the whole new bin is written, zeros included.
        self.write(in_file(start), &bin, Step::Prepare, format!("new hive bin with {what}"))?;
        let field = offset_of!(BaseBlock, length) as u64;
        self.write(field, &length.to_le_bytes(), Step::Base, "hive bins data size")?;
        let cells = self.free_cells()?;
        cells.add_bin(start, bin_size);
        let at = CellOffset(start + bin::HEADER_SIZE);
        cells.mark(at);
        if rest > 0 {
            cells.insert(CellOffset(at.0 + size), rest);
        }
        self.fresh.insert(at, size);
        Ok(at)
    }

    /// Releases a cell. A cell that the edit allocated can be reused at once; others are freed at the end of the edit.
    pub(super) fn release(&mut self, at: CellOffset) -> Result<()> {
        if let Some(size) = self.fresh.remove(&at) {
            self.roomy.remove(&at);
            self.spare.insert((size, at));
            return Ok(());
        }
        if let Some(size) = self.grown.remove(&at) {
            self.revert_growth(at, size)?;
        }
        if !self.released.insert(at) {
            return Err(Error::corrupt(Code::CellShared, "a cell would be freed twice", at.in_file()));
        }
        Ok(())
    }

    /// Frees all unused cells at the end.
    pub(super) fn free_unused_cells(&mut self) -> Result<()> {
        for (list, used) in std::mem::take(&mut self.roomy) {
            let size = cell::size_for(used).ok_or_else(|| past_end(list.in_file()))?;
            self.cut(list, size)?;
        }
        // No step of the change refers to a spare cell: it is free as soon as its adjacent cells are allocated.
        for (_, at) in std::mem::take(&mut self.spare) {
            self.release_now(at, Step::Allocate)?;
        }
        for at in std::mem::take(&mut self.released) {
            self.release_now(at, Step::Release)?;
        }
        Ok(())
    }

    /// Grows a values list in place by the smallest step, if the next cell is free.
    pub(super) fn grow_in_place(&mut self, list: CellOffset) -> Result<bool> {
        let header = self.header(list)?;
        let Some((behind, free_size)) = self.adjacent(list, header.size).ok().and_then(|beside| beside.free_after())
        else {
            return Ok(false);
        };
        let cells = self.free_cells()?;
        if !cells.contains(behind, free_size) {
            return Ok(false);
        }
        cells.remove(behind, free_size);
        cells.unmark(behind);
        let rest = free_size - cell::ALIGNMENT;
        if rest > 0 {
            let rest_at = CellOffset(behind.0 + cell::ALIGNMENT);
            cells.insert(rest_at, rest);
            let header = Header { size: rest, allocated: false };
            self.write(rest_at.in_file(), &header.encode(), Step::Prepare, "size of the remaining free cell")?;
        }
        let grown = Header { size: header.size + cell::ALIGNMENT, allocated: true };
        self.write(list.in_file(), &grown.encode(), Step::Allocate, "size of the values list's cell")?;
        match self.fresh.get_mut(&list) {
            Some(size) => *size = grown.size,
            None => _ = self.grown.entry(list).or_insert(header.size),
        }
        Ok(true)
    }

    /// Reverts an in-place growth: a cell cannot grow in one step and be freed in a later one.
    fn revert_growth(&mut self, at: CellOffset, size: u32) -> Result<()> {
        let grown = self.header(at)?.size;
        let behind = CellOffset(at.0 + size);
        self.write(
            at.in_file(),
            &Header { size, allocated: true }.encode(),
            Step::Allocate,
            "size of the values list's cell",
        )?;
        // The freed part temporarily becomes a cell, so that it merges with the free cell after it.
        let part = Header { size: grown - size, allocated: true };
        self.write(behind.in_file(), &part.encode(), Step::Link, "size of the free cell")?;
        self.free_cells()?.mark(behind);
        self.release_now(behind, Step::Link)
    }

    /// Frees a cell and merges it with free adjacent cells in its bin, by one size field.
    fn release_now(&mut self, at: CellOffset, step: Step) -> Result<()> {
        let header = self.header(at)?;
        if !header.allocated {
            return Err(Error::corrupt(Code::CellShared, "a cell would be freed twice", at.in_file()));
        }
        let beside = self.adjacent(at, header.size)?;
        let (mut start, mut size) = (at, header.size);
        let before = match beside.free_before() {
            // A size field that is written first must not include bytes that are freed last: the cell before it gets
            // the space.
            Some((before, before_size)) if step > Step::Allocate && self.is_written_first(before) => {
                self.absorb(before, before_size)?;
                None
            }
            before => before,
        };
        let cells = self.free_cells()?;
        if let Some((before, before_size)) = before {
            cells.remove(before, before_size);
            cells.unmark(at);
            (start, size) = (before, size + before_size);
        }
        if let Some((after, after_size)) = beside.free_after() {
            cells.remove(after, after_size);
            cells.unmark(after);
            size += after_size;
        }
        cells.insert(start, size);
        self.write(start.in_file(), &Header { size, allocated: false }.encode(), step, "size of the freed cell")
    }

    /// Returns whether the size field of a cell is written in the first step and both adjacent cells existed before.
    fn is_written_first(&self, at: CellOffset) -> bool {
        self.journal.step_at(at.in_file()) == Some(Step::Prepare)
    }

    /// Merges a free cell into the used cell before it.
    fn absorb(&mut self, free: CellOffset, size: u32) -> Result<()> {
        let Some((front, header)) = self.adjacent(free, size)?.before.filter(|(_, header)| header.allocated) else {
            return Err(Error::corrupt(Code::CellReference, "a free cell has no cell before it", free.in_file()));
        };
        let cells = self.free_cells()?;
        cells.remove(free, size);
        cells.unmark(free);
        let grown = header.size + size;
        if let Some(size) = self.fresh.get_mut(&front) {
            *size = grown;
        } else if self.spare.remove(&(header.size, front)) {
            self.spare.insert((grown, front));
        }
        let header = Header { size: grown, allocated: true };
        self.write(front.in_file(), &header.encode(), Step::Allocate, "size of a cell with the free space after it")
    }
}
