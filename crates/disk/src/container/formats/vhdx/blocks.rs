//! Maps bytes of the disk to bytes of the file: block allocation table and sector bitmaps ([MS-VHDX] 2.4, 2.5).

use std::sync::{Arc, Mutex, PoisonError};

use super::fields::{MIB, corrupt, index};
use super::header::Header;
use super::metadata::Metadata;
use super::region::{Region, Regions};
use crate::container::helpers::block_mapping::{BlockMapping, Location, not_allocated};
use crate::container::helpers::tables::Tables;
use hivewright_error::{Code, Error, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// Sectors that a sector bitmap block of 1 MiB covers.
const SECTORS_PER_BITMAP: u64 = 1 << 23;

/// The block allocation table of one image.
pub(super) struct Blocks {
    pub(super) file: Arc<dyn Storage>,
    pub(super) tables: Tables,
    pub(super) file_len: u64,
    pub(super) block_size: u64,
    sector_size: u64,
    /// Payload blocks that one sector bitmap block covers.
    pub(super) chunk: u64,
    /// Payload blocks of the disk.
    pub(super) count: u64,
    /// Entries of the table, including those of sector bitmaps.
    pub(super) entries: u64,
    pub(super) bat: Region,
    pub(super) has_parent: bool,
    /// Regions that no block may overlap.
    pub(super) taken: Vec<Region>,
    header: Mutex<Renewed>,
}

/// The header, and whether this opening has already renewed it.
struct Renewed {
    header: Header,
    done: bool,
}

impl Blocks {
    pub(super) fn new(file: Arc<dyn Storage>, regions: Regions, metadata: &Metadata, header: Header) -> Result<Blocks> {
        let Metadata { block_size, size, .. } = *metadata;
        let sector_size = u64::from(metadata.logical_sector);
        // At least 16, because a block has at most 256 MiB.
        let chunk = SECTORS_PER_BITMAP * sector_size / block_size;
        let count = size.div_ceil(block_size);
        let has_parent = metadata.locator.is_some();
        let bitmaps = if has_parent { count.div_ceil(chunk) } else { count.saturating_sub(1) / chunk };
        let entries = if has_parent { bitmaps * (chunk + 1) } else { count + bitmaps };
        let bat = regions.bat;
        if entries * 8 > bat.len {
            return Err(bad_entry("the block allocation table is too short for the disk", bat.offset)
                .expected(format_args!("{entries} entries"), bat.len / 8));
        }
        let file_len = file.len()?;
        let tables = Tables::new(file.clone(), Code::VhdxBat);
        let (taken, header) = (regions.taken, Renewed { header, done: false }.into());
        Ok(Blocks {
            file,
            tables,
            file_len,
            block_size,
            sector_size,
            chunk,
            count,
            entries,
            bat,
            has_parent,
            taken,
            header,
        })
    }

    /// Returns the offset of a payload block's table entry. The entry of a sector bitmap follows those of its chunk.
    fn entry_place(&self, block: u64) -> u64 {
        self.bat.offset + (block + block / self.chunk) * 8
    }

    /// Returns the offset of the block of an entry, if it is valid.
    fn block_place(&self, entry: u64, at: u64) -> Result<u64> {
        self.place(entry, self.block_size, at)
    }

    pub(super) fn place(&self, entry: u64, len: u64, at: u64) -> Result<u64> {
        let block = Region { offset: entry & !(MIB - 1), len };
        let is_inside = block.offset.checked_add(len).is_some();
        if !is_inside || self.taken.iter().any(|taken| taken.overlaps(block)) {
            return Err(bad_entry("a block overlaps the headers, the log or a region", at)
                .expected("a place without overlap", format_args!("{:#x}", block.offset)));
        }
        Ok(block.offset)
    }

    /// Returns whether the sector with the byte at `offset` of the disk is in this file, and for how many bytes, at
    /// most `most`, that holds.
    fn run(&self, offset: u64, most: u64) -> Result<(bool, u64)> {
        let chunk = offset / self.block_size / self.chunk;
        let at = self.bat.offset + (chunk * (self.chunk + 1) + self.chunk) * 8;
        let entry = u64::from_le_bytes(self.tables.entry(at)?);
        if entry & 7 != 6 {
            return Err(bad_entry("a partially present block has no sector bitmap", at).expected(6, entry & 7));
        }
        let bitmap = self.place(entry, MIB, at)?;
        if bitmap + MIB > self.file_len {
            return Err(bad_entry("a sector bitmap ends past the end of the file", at)
                .expected(format_args!("at least {} bytes", bitmap + MIB), self.file_len));
        }
        let first = offset / self.sector_size % SECTORS_PER_BITMAP;
        // Within one block, so within one bitmap.
        let end = (offset + most).div_ceil(self.sector_size) - offset / self.sector_size + first;
        let (mut is_here, mut bit) = (None, first);
        while bit < end {
            // Limit of one look-ahead.
            let start = bit / 8;
            let bytes: [u8; 512] = self.tables.entry(bitmap + start / 512 * 512)?;
            let piece_end = end.min((start / 512 + 1) * 512 * 8);
            while bit < piece_end {
                let set = bytes[index(bit / 8 % 512)] >> (bit % 8) & 1 == 1;
                if *is_here.get_or_insert(set) != set {
                    let len = (bit - first) * self.sector_size - offset % self.sector_size;
                    return Ok((!set, len));
                }
                bit += 1;
            }
        }
        Ok((is_here.unwrap_or(false), most))
    }
}

impl BlockMapping for Blocks {
    fn map(&self, offset: u64, most: u64) -> Result<(Location<'_>, u64)> {
        let (block, within) = (offset / self.block_size, offset % self.block_size);
        let most = most.min(self.block_size - within);
        let at = self.entry_place(block);
        let entry = u64::from_le_bytes(self.tables.entry(at)?);
        // If a block is not in this file, the parent has the data only if the block was never written ([MS-VHDX]
        // 2.5.1.1).
        let found = match entry & 7 {
            0 if self.has_parent => (Location::Parent, most),
            // Zero, or undefined, which reads as zeros here.
            0..=3 => (Location::Zeros, most),
            6 => (Location::File(&*self.file, self.block_place(entry, at)? + within), most),
            7 if self.has_parent => {
                let (is_here, most) = self.run(offset, most)?;
                let place = self.block_place(entry, at)? + within;
                (if is_here { Location::File(&*self.file, place) } else { Location::Parent }, most)
            }
            state => {
                return Err(bad_entry("the state of an entry of the block allocation table is invalid", at)
                    .expected("0, 1, 2, 3, 6 or, with a parent, 7", state));
            }
        };
        match found {
            (Location::File(_, place), len) if place + len > self.file_len => {
                Err(bad_entry("a block of the disk ends past the end of the file", at)
                    .expected(format_args!("at least {} bytes", place + len), self.file_len)
                    .advise("the image is truncated: copy it again"))
            }
            found => Ok(found),
        }
    }

    fn prepare_write(&self, offset: u64, len: u64) -> Result<()> {
        self.check_allocated(offset, len)?;
        let mut renewed = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if !renewed.done {
            self.check_unshared()?;
            renewed.header.renew(&*self.file)?;
            renewed.done = true;
        }
        Ok(())
    }

    fn not_allocated(&self, offset: u64, location: &Location<'_>) -> Error {
        if let Location::Parent = location {
            let what = "the data is in the parent of the image, which is not changed";
            let raw = format!("edit a raw copy of the disk and its parents: {}", advised::UNPACK_VHDX);
            return not_allocated(offset, what, format!("{raw}; or merge it into its parent: {}", advised::MERGE_VHD));
        }
        let advice = format!(
            "edit a raw copy of the disk ({}), or make the change in the running Windows",
            advised::UNPACK_VHDX
        );
        not_allocated(offset, "the image has no block for this part of the disk", advice)
    }

    fn flush(&self) -> Result<()> {
        self.file.flush()
    }
}

pub(super) fn bad_entry(what: &str, at: u64) -> Error {
    corrupt(Code::VhdxBat, what, at)
}
