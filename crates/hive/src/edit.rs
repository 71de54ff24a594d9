//! Edits of keys and values: the smallest change of bytes that the format allows, recorded as patches.
//!
//! An edit never puts new data where old data is still referred to. Cells that it frees become free space at the end
//! ([`Editor::finish`]), so the hive is consistent after every [`Step`] of the patches.

mod data;
mod free_cells;
mod journal;
mod keys;
mod lists;
mod security;
mod tree;
mod values;

pub use values::Delete;

use std::collections::{BTreeMap, BTreeSet};
use std::mem::offset_of;

use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use self::free_cells::FreeCells;
use self::journal::Journal;
use super::{Hive, PatchSet, Step, in_file};
use crate::regf::base_block::BaseBlock;
use crate::regf::bin::{self, BinHeader};
use crate::regf::cell::{self, Header};
use crate::regf::timestamp::FileTime;
use crate::regf::{BASE_BLOCK_SIZE, CellOffset};
use hivewright_error::{Code, Error, Kind, Result};

/// The largest cell that an edit makes. Windows keeps cells below about 1 MiB (measured; specification, "Cell").
const MAX_CELL_SIZE: u32 = 1 << 20;

/// Options of an edit.
#[derive(Clone, Copy, Debug)]
pub struct EditOptions {
    /// The last-written time of changed keys; `None` leaves it, for reproducible output.
    pub timestamp: Option<FileTime>,
    /// The maximum length of the file in bytes; an edit that needs more fails with [`Kind::NoRoom`].
    pub max_file_len: u64,
    /// A sequence number that those of the result exceed: the highest of the transaction logs.
    pub above_sequence: Option<u32>,
}

impl Default for EditOptions {
    fn default() -> Self {
        EditOptions { timestamp: Some(FileTime::now()), max_file_len: u64::MAX, above_sequence: None }
    }
}

/// A clean hive being edited.
#[derive(Debug)]
pub struct Editor {
    bytes: Vec<u8>,
    journal: Journal,
    free: Option<FreeCells>,
    /// Cells of the hive before the edit that nothing refers to after it.
    released: Vec<CellOffset>,
    /// Cells that the edit made, with their sizes.
    fresh: BTreeMap<CellOffset, u32>,
    /// Cells that the edit made and has no use for, by size. They count as allocated until the end.
    spare: BTreeSet<(u32, CellOffset)>,
    /// Values lists that were grown in place, with their sizes before.
    grown: BTreeMap<CellOffset, u32>,
    /// Values lists from which entries were taken.
    shortened: BTreeSet<CellOffset>,
    options: EditOptions,
    old_len: u64,
}

/// The result of an edit.
#[derive(Debug)]
pub struct Edited {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// The change.
    pub patches: PatchSet,
}

impl Hive<Vec<u8>> {
    /// Begins an edit. The hive should have passed [`crate::check`]: an edit frees what it replaces, and a
    /// damaged hive may refer to that from elsewhere too.
    pub fn edit(self, options: EditOptions) -> Editor {
        let bytes = self.into_bytes();
        let old_len = bytes.len() as u64;
        Editor {
            bytes,
            journal: Journal::default(),
            free: None,
            released: Vec::new(),
            fresh: BTreeMap::new(),
            spare: BTreeSet::new(),
            grown: BTreeMap::new(),
            shortened: BTreeSet::new(),
            options,
            old_len,
        }
    }
}

impl PatchSet {
    /// Joins `self` and the following `next` into one change. `image` is the bytes after `next`.
    pub fn then(&self, next: &PatchSet, image: &[u8]) -> PatchSet {
        let mut journal = Journal::after(self);
        if next.new_len > next.old_len {
            journal.note_growth(next.old_len);
        }
        for patch in &next.patches {
            let mut old = patch.old.clone();
            old.resize(patch.new.len(), 0);
            journal.note(patch.offset, &old, &patch.new, patch.step, &patch.what);
        }
        PatchSet { old_len: self.old_len, new_len: next.new_len, patches: journal.into_patches(image) }
    }
}

impl Editor {
    /// Returns the hive as edited so far.
    pub fn hive(&self) -> Result<Hive<&[u8]>> {
        let base = BaseBlock::parse(&self.bytes)?;
        Ok(Hive { bytes: &self.bytes, base })
    }

    /// Frees the cells that are no longer used, raises the sequence numbers and returns the patches. Without a change the
    /// bytes stay and the patch set is empty.
    pub fn finish(mut self) -> Result<Edited> {
        // No step of the change refers to a spare cell: it is free as soon as the cells beside it are taken.
        for (_, at) in std::mem::take(&mut self.spare) {
            self.release_now(at, Step::Allocate)?;
        }
        for at in std::mem::take(&mut self.released) {
            self.release_now(at, Step::Release)?;
        }
        if self.journal.changes_nothing(&self.bytes) && self.bytes.len() as u64 == self.old_len {
            return Ok(Edited {
                bytes: self.bytes,
                patches: PatchSet { old_len: self.old_len, new_len: self.old_len, patches: vec![] },
            });
        }
        self.write_base_block()?;
        let patches = self.journal.into_patches(&self.bytes);
        let new_len = self.bytes.len() as u64;
        Ok(Edited { bytes: self.bytes, patches: PatchSet { old_len: self.old_len, new_len, patches } })
    }

    /// Writes both sequence numbers, one above the old ones and the logs' (they wrap, so "above" is by signed
    /// difference), and the checksum. The timestamp stays: old-format logs are matched by it.
    fn write_base_block(&mut self) -> Result<()> {
        let mut base = *self.hive()?.base_block();
        let mut highest = base.primary_sequence.get();
        for other in [Some(base.secondary_sequence.get()), self.options.above_sequence].into_iter().flatten() {
            if other.wrapping_sub(highest).cast_signed() > 0 {
                highest = other;
            }
        }
        let next = U32::new(highest.wrapping_add(1));
        base.primary_sequence = next;
        base.secondary_sequence = next;
        let checksum = U32::new(base.computed_checksum());
        let field = |offset: usize| offset as u64;
        self.write(
            field(offset_of!(BaseBlock, primary_sequence)),
            next.as_bytes(),
            Step::Base,
            "primary sequence number",
        )?;
        self.write(
            field(offset_of!(BaseBlock, secondary_sequence)),
            next.as_bytes(),
            Step::Base,
            "secondary sequence number",
        )?;
        self.write(field(offset_of!(BaseBlock, checksum)), checksum.as_bytes(), Step::Base, "base block checksum")
    }

    /// Writes `new` at a file offset that exists, and records the change.
    fn write(&mut self, offset: u64, new: &[u8], step: Step, what: &str) -> Result<()> {
        let start = usize::try_from(offset).map_err(|_| past_end(offset))?;
        let Some(place) = start.checked_add(new.len()).and_then(|end| self.bytes.get_mut(start..end)) else {
            return Err(past_end(offset));
        };
        self.journal.note(offset, place, new, step, what);
        place.copy_from_slice(new);
        Ok(())
    }

    fn header(&self, at: CellOffset) -> Result<Header> {
        let start = usize::try_from(at.in_file()).map_err(|_| past_end(at.in_file()))?;
        match self.bytes.get(start..).and_then(|rest| rest.first_chunk()) {
            Some(raw) => Header::parse(*raw, at),
            None => Err(past_end(at.in_file())),
        }
    }

    fn free_cells(&mut self) -> Result<&mut FreeCells> {
        if self.free.is_none() {
            self.free = Some(FreeCells::collect(&self.hive()?));
        }
        self.free.as_mut().ok_or_else(|| past_end(0))
    }

    /// Allocates a cell and fills it with `data`: the best fitting free cell, else a new bin at the end.
    fn allocate(&mut self, data: &[u8], what: &'static str) -> Result<CellOffset> {
        let Some(size) = cell::size_for(data.len()).filter(|&size| size <= MAX_CELL_SIZE) else {
            return Err(Error::new(
                Kind::Unsupported,
                Code::DataTooLarge,
                format!("{} bytes do not fit a cell", data.len()),
            )
            .advise("values of a hive hold at most 1 MiB here"));
        };
        if let Some(at) = self.take_spare(size) {
            self.write(at.data_in_file(), data, Step::Prepare, what)?;
            return Ok(at);
        }
        let Some((free, free_size)) = self.free_cells()?.take(size) else {
            return self.append_bin(size, data, what);
        };
        // From the end of the free cell: then the new cell's size is written where nothing looks yet, one size field
        // makes the difference, and what is released later never joins a cell that was only just made.
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
            self.free_cells()?.insert(free, rest);
        }
        self.fresh.insert(at, size);
        Ok(at)
    }

    /// Takes the smallest spare cell that is large enough and not much too large.
    fn take_spare(&mut self, size: u32) -> Option<CellOffset> {
        let &(found, at) = self.spare.range((size, CellOffset(0))..).next().filter(|(found, _)| found / 2 <= size)?;
        self.spare.remove(&(found, at));
        self.fresh.insert(at, found);
        Some(at)
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
            .at(hivewright_error::Space::Hive, in_file(start)));
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
        // Behind the bins there may be slack with old bytes: all of the new bin is written, zeros included.
        let file_len = usize::try_from(end).map_err(|_| past_end(end))?;
        if old_len < file_len {
            self.bytes.resize(file_len, 0);
            self.journal.note_growth(old_len as u64);
        }
        self.write(in_file(start), &bin, Step::Prepare, &format!("new hive bin with {what}"))?;
        let field = offset_of!(BaseBlock, length) as u64;
        self.write(field, &length.to_le_bytes(), Step::Base, "hive bins data size")?;
        let cells = self.free_cells()?;
        cells.add_bin(start);
        let at = CellOffset(start + bin::HEADER_SIZE);
        if rest > 0 {
            cells.insert(CellOffset(at.0 + size), rest);
        }
        self.fresh.insert(at, size);
        Ok(at)
    }

    /// Gives a cell back: for reuse if the edit made it, else once everything else is done.
    fn release(&mut self, at: CellOffset) -> Result<()> {
        if let Some(size) = self.fresh.remove(&at) {
            self.spare.insert((size, at));
            return Ok(());
        }
        if let Some(size) = self.grown.remove(&at) {
            self.ungrow(at, size)?;
        }
        self.released.push(at);
        Ok(())
    }

    /// Takes back that a cell was grown in place: a cell cannot grow in one step and be freed in a later one.
    fn ungrow(&mut self, at: CellOffset, size: u32) -> Result<()> {
        let grown = self.header(at)?.size;
        let behind = CellOffset(at.0 + size);
        self.write(
            at.in_file(),
            &Header { size, allocated: true }.encode(),
            Step::Allocate,
            "size of the values list's cell",
        )?;
        // For a moment the freed part is a cell, so that it joins what is free behind it.
        let part = Header { size: grown - size, allocated: true };
        self.write(behind.in_file(), &part.encode(), Step::Link, "size of the free cell")?;
        self.release_now(behind, Step::Link)
    }

    /// Marks a cell free and joins it with free neighbours in its bin, by one size field.
    fn release_now(&mut self, at: CellOffset, step: Step) -> Result<()> {
        let header = self.header(at)?;
        if !header.allocated {
            return Err(Error::corrupt(Code::CellShared, "a cell would be freed twice", at.in_file()));
        }
        let neighbours = {
            self.free_cells()?;
            let cells = self.free.as_ref().ok_or_else(|| past_end(0))?;
            cells.neighbours(&self.hive()?, at, header.size)?
        };
        let (mut start, mut size) = (at, header.size);
        let before = match neighbours.before {
            // A size written first of all cannot count bytes that are freed last: the cell in front takes the room.
            Some((before, before_size)) if step > Step::Allocate && self.is_written_first(before)? => {
                self.absorb(before, before_size)?;
                None
            }
            before => before,
        };
        let cells = self.free_cells()?;
        if let Some((before, before_size)) = before {
            cells.remove(before, before_size);
            (start, size) = (before, size + before_size);
        }
        if let Some((after, after_size)) = neighbours.after {
            cells.remove(after, after_size);
            size += after_size;
        }
        cells.insert(start, size);
        self.write(start.in_file(), &Header { size, allocated: false }.encode(), step, "size of the freed cell")
    }

    /// Whether the size field of a cell is written in the first step and the cell lies between cells of before.
    fn is_written_first(&self, at: CellOffset) -> Result<bool> {
        Ok(self.journal.step_at(at.in_file()) == Some(Step::Prepare))
    }

    /// Makes a free cell part of the cell in front of it, which is in use.
    fn absorb(&mut self, free: CellOffset, size: u32) -> Result<()> {
        let front = {
            self.free_cells()?;
            let cells = self.free.as_ref().ok_or_else(|| past_end(0))?;
            cells.in_front(&self.hive()?, free)?
        };
        let Some((front, front_size)) = front else {
            return Err(Error::corrupt(Code::CellReference, "a free cell has no cell in front of it", free.in_file()));
        };
        self.free_cells()?.remove(free, size);
        let header = Header { size: front_size + size, allocated: true };
        self.write(front.in_file(), &header.encode(), Step::Allocate, "size of a cell with the room behind it")
    }
}

fn past_end(offset: u64) -> Error {
    Error::corrupt(Code::PastEnd, "the file ends before what is to be changed", offset)
}
