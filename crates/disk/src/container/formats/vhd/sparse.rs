//! Dynamic and differencing images: header, block allocation table, blocks with sector bitmaps.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::footer::{Footer, Type};
use super::{Uuid, checksum, corrupt, u32_at, u64_at};
use crate::container::cut_short;
use crate::container::helpers::block_mapping::{BlockMapping, Location, NO_PLACE, each_entry, not_allocated};
use crate::container::helpers::tables::{Tables, index};
use hivewright_error::{Code, Error, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

pub(super) const COOKIE: &[u8] = b"cxsparse";
const SECTOR: u64 = 512;
/// The table entry of an unallocated block.
const ABSENT: u32 = u32::MAX;
/// Maximum number of table entries; the format ends at 2 TiB, which are 4 million blocks of 512 KiB.
const MOST_BLOCKS: u64 = 1 << 26;
/// Maximum size of a block that is allocated; 2 MiB is usual.
const LARGEST_NEW: u64 = 16 << 20;

/// The dynamic disk header (specification, "Dynamic Disk Header Format").
pub(super) struct Header {
    pub(super) at: u64,
    pub(super) table: u64,
    /// Table entries that the disk needs.
    blocks: u64,
    /// Bytes of a block.
    pub(super) block: u64,
    pub(super) parent: Uuid,
    /// Modification time of the parent before this image was made, in seconds since 2000.
    pub(super) parent_changed: u32,
    pub(super) bytes: Vec<u8>,
}

impl Header {
    pub(super) fn read(file: &dyn Storage, footer: &Footer) -> Result<Self> {
        let at = footer.header;
        let invalid = |what| corrupt(Code::VhdHeader, what, at);
        let mut bytes = vec![0; 1024];
        file.read_at(at, &mut bytes)?;
        if !bytes.starts_with(COOKIE) {
            return Err(invalid("the header of the dynamic disk is missing"));
        }
        let (found, sum) = (u32_at(&bytes, 36), checksum(&bytes, 36));
        if found != sum {
            return Err(invalid("the checksum of the dynamic disk's header is wrong")
                .expected(format_args!("{sum:#010x}"), format_args!("{found:#010x}")));
        }
        if u32_at(&bytes, 24) >> 16 != 1 {
            return Err(invalid("the version of the dynamic disk's header is not known"));
        }
        let (table, most, block) = (u64_at(&bytes, 16), u64::from(u32_at(&bytes, 28)), u64::from(u32_at(&bytes, 32)));
        if !block.is_power_of_two() || block < SECTOR {
            return Err(invalid("the block size is not a power of two").expected("512 or more", block));
        }
        let blocks = footer.size.div_ceil(block);
        if blocks > most.min(MOST_BLOCKS) {
            return Err(invalid("the block table is too small for the disk, or too large")
                .expected(format_args!("{blocks} entries, {MOST_BLOCKS} at most"), most));
        }
        let end = table.checked_add(blocks * 4).filter(|&end| end <= file.len().unwrap_or(0));
        if table < SECTOR || end.is_none() {
            return Err(invalid("the block table lies outside the file")
                .expected(format_args!("{blocks} entries"), format_args!("its start at {table:#x}")));
        }
        let (parent, parent_changed) = (Uuid::at(&bytes, 40), u32_at(&bytes, 56));
        Ok(Header { at, table, blocks, block, parent, parent_changed, bytes })
    }
}

/// Maps bytes of the disk to bytes of the file.
///
/// In a differencing image, the bitmap before each block tells which of its sectors are in the block; the others are
/// the parent's. In a dynamic image the bitmap is ignored, as in Windows and QEMU: all bytes of an allocated block are
/// data. A write sets the bits, so that readers that use the bitmap see the data.
pub(super) struct Sparse {
    file: Arc<dyn Storage>,
    tables: Tables,
    header: Header,
    differencing: bool,
    size: u64,
    /// Size of the bitmap before a block in bytes, a multiple of the sector size.
    bitmap: u64,
    /// Start and end offsets of all other structures.
    own: Vec<(u64, u64)>,
    state: Mutex<Writable>,
}

struct Writable {
    /// Upper bound of the ends of blocks: the footer, or the end of the file if the footer is damaged.
    end: u64,
    /// The bytes of the footer, if it is at the end of the file.
    footer: Option<Vec<u8>>,
    /// Whether it was checked that no two blocks overlap.
    checked: bool,
}

impl Sparse {
    /// `own` has the start and end offsets of further tables in the file.
    pub(super) fn new(file: Arc<dyn Storage>, header: Header, footer: Footer, mut own: Vec<(u64, u64)>) -> Self {
        own.extend([(0, SECTOR), (header.at, header.at + 1024), (header.table, header.table + header.blocks * 4)]);
        let bitmap = (header.block / SECTOR).div_ceil(8).next_multiple_of(SECTOR);
        let end = if footer.at == 0 { file.len().unwrap_or(0) } else { footer.at };
        // Only a footer of 512 bytes can be moved: after one of 511 bytes, blocks would not be aligned to sectors.
        let movable = footer.at != 0 && footer.at.is_multiple_of(SECTOR) && footer.bytes.len() == 512;
        let state = Writable { end, footer: movable.then_some(footer.bytes), checked: false };
        Sparse {
            tables: Tables::new(file.clone(), Code::VhdBlock),
            file,
            header,
            differencing: footer.kind == Type::Differencing,
            size: footer.size,
            bitmap,
            own,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, Writable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the offset of a block, where its bitmap begins; `None` if `entry` is unallocated.
    fn begin(&self, index: u64, entry: u32, end: u64) -> Result<Option<u64>> {
        if entry == ABSENT {
            return Ok(None);
        }
        let start = u64::from(entry) * SECTOR;
        // Some writers truncate the last block at the end of the disk.
        let used = self.bitmap + self.header.block.min(self.size - index * self.header.block);
        let inside = self.own.iter().all(|own| start + used <= own.0 || own.1 <= start);
        let (len, needed) = (self.file.len()?, start + used);
        if inside && needed > len {
            let what = format!("block {index} ends past its end");
            return Err(cut_short(Code::VhdBlock, what, needed, len).at(Space::File, self.header.table + index * 4));
        }
        if !inside || start + used > end {
            let what = format!("block {index} overlaps the tables or the end of the file");
            return Err(corrupt(Code::VhdBlock, what, self.header.table + index * 4)
                .expected(format_args!("{used} bytes before {end:#x}"), format_args!("its start at {start:#x}")));
        }
        Ok(Some(start))
    }

    fn block(&self, index: u64, end: u64) -> Result<Option<u64>> {
        let entry = self.tables.entry(self.header.table + index * 4)?;
        self.begin(index, u32::from_be_bytes(entry), end)
    }

    /// Returns the bit of `sector` in the bitmap at `bitmap`, and for how many sectors, at most `most`, it is the same.
    fn same_bits(&self, bitmap: u64, sector: u64, most: u64) -> Result<(bool, u64)> {
        // Limit of one look-ahead.
        let mut bits = [0; 64];
        let first = sector / 8;
        let len = ((sector + most).div_ceil(8) - first).min(bits.len() as u64);
        // At most 64.
        let bits = &mut bits[..index(len)];
        self.tables.read(bitmap + first, bits)?;
        // The first sector has the highest bit.
        let bit = |sector: u64| bits[index(sector / 8 - first)] & (0x80 >> (sector % 8)) != 0;
        let last = (sector + most).min((first + len) * 8);
        let run = (sector..last).take_while(|&next| bit(next) == bit(sector)).count() as u64;
        Ok((bit(sector), run))
    }

    /// Checks that no two blocks overlap: a write to one would change the other.
    fn check(&self, state: &mut Writable) -> Result<()> {
        if state.checked {
            return Ok(());
        }
        let (mut starts, stride) = (Vec::new(), self.bitmap + self.header.block);
        let invalid =
            |at| corrupt(Code::VhdBlocksOverlap, "blocks of the image overlap: a write would change other data", at);
        let most = state.end / stride + 1;
        each_entry(&*self.file, self.header.table, self.header.blocks, |index, entry| {
            if let Some(start) = self.begin(index, u32::from_be_bytes(entry), state.end)? {
                starts.push(start);
            }
            // More entries than fit without overlap: the search can end.
            if starts.len() as u64 > most { Err(invalid(self.header.table + index * 4)) } else { Ok(()) }
        })?;
        starts.sort_unstable();
        if let Some(pair) = starts.windows(2).find(|pair| pair[1] - pair[0] < stride) {
            return Err(invalid(pair[1]));
        }
        state.checked = true;
        Ok(())
    }

    /// Allocates a block of zeros at the offset of the footer and moves the footer after it. The image is valid after
    /// every step: the footer is written at the new end first, the table entry last.
    fn make_block(&self, state: &mut Writable, block: u64) -> Result<()> {
        let start = state.end;
        let end = start + self.bitmap + self.header.block;
        let (sector, footer) = match (u32::try_from(start / SECTOR), &state.footer) {
            (Ok(sector), Some(footer)) if sector != ABSENT && self.header.block <= LARGEST_NEW => (sector, footer),
            _ => return Err(self.not_allocated(block * self.header.block, &Location::Zeros)),
        };
        self.file.set_len(end + SECTOR)?;
        self.tables.write(end, footer)?;
        self.file.flush()?;
        // Clear the old footer; the rest of the block is zeros because the file grew.
        self.tables.write(start, &vec![0xff; index(self.bitmap)])?;
        self.file.flush()?;
        self.tables.write(self.header.table + block * 4, &sector.to_be_bytes())?;
        self.file.flush()?;
        state.end = end;
        Ok(())
    }

    /// Sets the bits of `count` sectors.
    fn set_bits(&self, bitmap: u64, sector: u64, count: u64) -> Result<()> {
        let (first, last) = (sector / 8, (sector + count - 1) / 8);
        let mut bits = vec![0; index(last - first + 1)];
        self.tables.read(bitmap + first, &mut bits)?;
        let before = bits.clone();
        for next in sector..sector + count {
            bits[index(next / 8 - first)] |= 0x80 >> (next % 8);
        }
        if bits == before { Ok(()) } else { self.tables.write(bitmap + first, &bits) }
    }

    /// Splits a range into blocks: index, offset in the block, bytes.
    fn pieces(&self, offset: u64, len: u64) -> impl Iterator<Item = (u64, u64, u64)> {
        let (block, end) = (self.header.block, offset + len);
        (offset / block..end.div_ceil(block)).map(move |index| {
            let (from, to) = (offset.max(index * block), end.min((index + 1) * block));
            (index, from - index * block, to - from)
        })
    }
}

impl BlockMapping for Sparse {
    fn map(&self, offset: u64, len: u64) -> Result<(Location<'_>, u64)> {
        let (index, within) = (offset / self.header.block, offset % self.header.block);
        let len = len.min(self.header.block - within);
        let elsewhere = || if self.differencing { Location::Parent } else { Location::Zeros };
        let end = self.state().end;
        let Some(start) = self.block(index, end)? else { return Ok((elsewhere(), len)) };
        let here = Location::File(&*self.file, start + self.bitmap + within);
        if !self.differencing {
            return Ok((here, len));
        }
        let sector = within / SECTOR;
        let (bit, run) = self.same_bits(start, sector, (within + len).div_ceil(SECTOR) - sector)?;
        Ok((if bit { here } else { elsewhere() }, len.min((sector + run) * SECTOR - within)))
    }

    fn not_allocated(&self, offset: u64, _: &Location<'_>) -> Error {
        let raw = format!("edit a raw copy of the disk and its parents: {}", advised::UNPACK_VHD);
        let advice = match self.differencing {
            true => format!("{raw}; or merge it into its parent: {}", advised::MERGE_VHD),
            false => raw,
        };
        not_allocated(offset, NO_PLACE, advice)
    }

    fn flush(&self) -> Result<()> {
        self.file.flush()
    }

    fn prepare_write(&self, offset: u64, len: u64) -> Result<()> {
        if self.differencing {
            self.check_allocated(offset, len)?;
        }
        let state = &mut *self.state();
        self.check(state)?;
        for (index, within, len) in self.pieces(offset, len).filter(|_| !self.differencing) {
            if self.block(index, state.end)?.is_none() {
                self.make_block(state, index)?;
            }
            if let Some(bitmap) = self.block(index, state.end)? {
                let (first, end) = (within / SECTOR, (within + len).div_ceil(SECTOR));
                self.set_bits(bitmap, first, end - first)?;
            }
        }
        Ok(())
    }
}
