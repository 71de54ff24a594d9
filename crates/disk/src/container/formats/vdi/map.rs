//! The block map.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::corrupt;
use super::header::{ALLOCATED_AT, CHANGED_AT, Header, Type};
use crate::container::cut_short;
use crate::container::helpers::block_mapping::{BlockMapping, Location, NO_PLACE, each_entry, not_allocated};
use crate::container::helpers::random::uuid;
use crate::container::helpers::tables::Tables;
use hivewright_error::{Code, Error, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// The block is in the parent, or zeros if there is no parent.
const FREE: u32 = u32::MAX;
/// The block is zeros, even if the parent has data.
const ZERO: u32 = u32::MAX - 1;

/// The block map and the file with the blocks.
pub(super) struct Map {
    file: Arc<dyn Storage>,
    tables: Tables,
    header: Header,
    state: Mutex<Writable>,
}

struct Writable {
    /// Whether the image was prepared for writing.
    ready: bool,
    /// Number of blocks in the file.
    allocated: u64,
}

/// Maximum size of a block that is allocated; 1 MiB is usual.
const LARGEST_NEW: u64 = 16 << 20;

impl Map {
    pub(super) fn new(file: Arc<dyn Storage>, header: Header) -> Self {
        let state = Mutex::new(Writable { ready: false, allocated: header.allocated });
        Map { tables: Tables::new(file.clone(), Code::VdiBlock), file, header, state }
    }

    fn state(&self) -> MutexGuard<'_, Writable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the offset of block `index` of the disk, which is block `number` of the file.
    fn begin(&self, index: u64, number: u32) -> Result<u64> {
        let header = &self.header;
        // At most 2^32 times 2^31, plus as much again: no overflow.
        let start = header.data + u64::from(number) * (header.extra + header.block) + header.extra;
        // Some writers truncate the last block at the end of the disk.
        let end = start + header.block.min(header.size - index * header.block);
        let len = self.file.len()?;
        if end > len {
            let what = format!("block {index} ends past its end");
            return Err(cut_short(Code::VdiBlock, what, end, len).at(Space::File, header.map + index * 4));
        }
        Ok(start)
    }

    /// Checks that no two entries share a block: a write to one would change the other.
    fn check(&self) -> Result<()> {
        let (header, mut numbers) = (&self.header, Vec::new());
        let invalid =
            |at, what: &str| corrupt(Code::VdiBlocks, format!("writing would change other blocks: {what}"), at);
        each_entry(&*self.file, header.map, header.size.div_ceil(header.block), |index, entry| {
            let (number, at) = (u32::from_le_bytes(entry), header.map + index * 4);
            if number >= ZERO {
                return Ok(());
            }
            if u64::from(number) >= header.allocated {
                return Err(invalid(at, "the map has a block number past the header's count")
                    .expected(format_args!("numbers below {}", header.allocated), number));
            }
            self.begin(index, number)?;
            numbers.push(number);
            // The search ends when there are more entries than blocks, because two of them are then equal.
            if numbers.len() as u64 > header.allocated {
                Err(invalid(at, "two map entries share a block"))
            } else {
                Ok(())
            }
        })?;
        numbers.sort_unstable();
        match numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(invalid(header.map, "two map entries share a block")),
            false => Ok(()),
        }
    }

    /// Returns the unallocated blocks of a range.
    fn absent(&self, offset: u64, len: u64) -> Result<Vec<u64>> {
        let mut absent = Vec::new();
        for index in offset / self.header.block..(offset + len).div_ceil(self.header.block) {
            if u32::from_le_bytes(self.tables.entry(self.header.map + index * 4)?) >= ZERO {
                absent.push(index);
            }
        }
        Ok(absent)
    }

    /// Allocates blocks of zeros at the end of the file. The disk is the same after every prefix of the writes:
    /// uncounted zeros, then counted blocks without map entries, then the map entries.
    fn make(&self, state: &mut Writable, blocks: &[u64]) -> Result<()> {
        let (header, first) = (&self.header, state.allocated);
        let count = first + blocks.len() as u64;
        let stride = header.extra + header.block;
        let (Ok(counted), true) = (u32::try_from(count), header.block <= LARGEST_NEW && count < u64::from(ZERO)) else {
            return Err(self.not_allocated(blocks.first().map_or(0, |block| block * header.block), &Location::Zeros));
        };
        let (start, end) = (header.data + first * stride, header.data + count * stride);
        let len = self.file.len()?;
        // Otherwise a wrong count would extend the file without limit. Some writers truncate the last block.
        if first > 0 && start - stride >= len {
            let what = "the file has fewer blocks than its header counts";
            return Err(corrupt(Code::VdiBlocks, what, ALLOCATED_AT).expected(format_args!("{start} bytes"), len));
        }
        if end > len {
            self.file.set_len(end)?;
        }
        // The bytes there in a longer file are unknown.
        let (mut at, zeros) = (start, [0; 1 << 16]);
        while at < len.min(end) {
            let piece = (len.min(end) - at).min(zeros.len() as u64);
            self.file.write_at(at, &zeros[..usize::try_from(piece).unwrap_or(0)])?;
            at += piece;
        }
        self.file.flush()?;
        self.file.write_at(ALLOCATED_AT, &counted.to_le_bytes())?;
        self.file.flush()?;
        for (block, number) in blocks.iter().zip(u32::try_from(first).unwrap_or(u32::MAX)..) {
            self.tables.write(header.map + block * 4, &number.to_le_bytes())?;
        }
        self.file.flush()?;
        state.allocated = count;
        Ok(())
    }

    /// Sets a new identifier of the contents, as VirtualBox does before it first writes to an image, so that
    /// differencing images on top of it no longer match.
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
        let state = &mut *self.state();
        // A new block of a differencing image needs the data of the parent.
        let is_alone = self.header.kind != Type::Differencing;
        if !is_alone {
            self.check_allocated(offset, len)?;
        }
        if !state.ready {
            self.check()?;
            self.new_identifier()?;
            state.ready = true;
        }
        let absent = if is_alone { self.absent(offset, len)? } else { Vec::new() };
        if absent.is_empty() { Ok(()) } else { self.make(state, &absent) }
    }

    fn flush(&self) -> Result<()> {
        self.file.flush()
    }
}
