//! The block map.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::corrupt;
use super::header::{CHANGED_AT, Header, Type};
use crate::container::cut_short;
use crate::container::helpers::block_mapping::{BlockMapping, Location, NO_PLACE, each_entry, not_allocated};
use crate::container::helpers::random::uuid;
use crate::container::helpers::tables::Tables;
use hivewright_error::{Code, Error, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// The block is the parent's, or zeros where there is none.
const FREE: u32 = u32::MAX;
/// The block is zeros, whatever the parent has.
const ZERO: u32 = u32::MAX - 1;

/// Where the bytes of the disk are.
pub(super) struct Map {
    file: Arc<dyn Storage>,
    tables: Tables,
    header: Header,
    /// Whether the image was made ready for writing.
    ready: Mutex<bool>,
}

impl Map {
    pub(super) fn new(file: Arc<dyn Storage>, header: Header) -> Self {
        Map { tables: Tables::new(file.clone(), Code::VdiBlock), file, header, ready: Mutex::new(false) }
    }

    fn ready(&self) -> MutexGuard<'_, bool> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the bytes of block `index` begin that is number `number` in the file.
    fn begin(&self, index: u64, number: u32) -> Result<u64> {
        let header = &self.header;
        // Below 2^32 times 2^31, and as much again: no overflow.
        let start = header.data + u64::from(number) * (header.extra + header.block) + header.extra;
        // Some writers cut the last block where the disk ends.
        let end = start + header.block.min(header.size - index * header.block);
        let len = self.file.len()?;
        if end > len {
            let what = format!("block {index} ends behind its end");
            return Err(cut_short(Code::VdiBlock, what, end, len).at(Space::File, header.map + index * 4));
        }
        Ok(start)
    }

    /// Holds all blocks against each other: a write to one must not change another.
    fn check(&self) -> Result<()> {
        let (header, mut numbers) = (&self.header, Vec::new());
        let flaw = |at, what: &str| corrupt(Code::VdiBlocks, format!("writing would change other blocks: {what}"), at);
        each_entry(&*self.file, header.map, header.size.div_ceil(header.block), |index, entry| {
            let (number, at) = (u32::from_le_bytes(entry), header.map + index * 4);
            if number >= ZERO {
                return Ok(());
            }
            if u64::from(number) >= header.allocated {
                return Err(flaw(at, "the map has a block that the header does not count")
                    .expected(format_args!("numbers below {}", header.allocated), number));
            }
            self.begin(index, number)?;
            numbers.push(number);
            // More blocks than there are: some of them are the same, no need to keep them all.
            if numbers.len() as u64 > header.allocated { Err(flaw(at, "two have the same place")) } else { Ok(()) }
        })?;
        numbers.sort_unstable();
        match numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(flaw(header.map, "two have the same place")),
            false => Ok(()),
        }
    }

    /// A new identifier of the contents, as VirtualBox gives one before it first writes to an image: differencing images
    /// on top of this one then show that they do not fit any more.
    fn new_identifier(&self) -> Result<()> {
        self.file.write_at(CHANGED_AT, &uuid()?)?;
        self.file.flush()
    }
}

impl BlockMapping for Map {
    fn map(&self, offset: u64, len: u64) -> Result<(Location<'_>, u64)> {
        let header = &self.header;
        let (index, within) = (offset / header.block, offset % header.block);
        let location = match u32::from_le_bytes(self.tables.entry(header.map + index * 4)?) {
            FREE if header.kind == Type::Differencing => Location::Parent,
            FREE | ZERO => Location::Zeros,
            number => Location::File(&*self.file, self.begin(index, number)? + within),
        };
        Ok((location, len.min(header.block - within)))
    }

    fn not_allocated(&self, offset: u64, _: &Location<'_>) -> Error {
        let advice = match self.header.kind {
            Type::Differencing => format!("edit a copy that has no parent: {}", advised::CLONE_VDI),
            _ => format!("edit a raw copy of the disk: {}", advised::TO_RAW),
        };
        not_allocated(offset, NO_PLACE, advice)
    }

    fn prepare_write(&self, offset: u64, len: u64) -> Result<()> {
        self.check_allocated(offset, len)?;
        let mut ready = self.ready();
        if !*ready {
            self.check()?;
            self.new_identifier()?;
            *ready = true;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.file.flush()
    }
}
