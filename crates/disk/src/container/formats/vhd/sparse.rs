//! Dynamic and differencing images: header, block allocation table, blocks with a bitmap of their sectors.

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
/// An entry of the table for a block that is not there.
const ABSENT: u32 = u32::MAX;
/// Entries of a table that are believed: the format ends at 2 TiB, which are 4 million blocks of 512 KiB.
const MOST_BLOCKS: u64 = 1 << 26;
/// A new block no larger than this is made; 2 MiB is the custom.
const LARGEST_NEW: u64 = 16 << 20;

/// The dynamic disk header (specification, "Dynamic Disk Header Format").
pub(super) struct Header {
    pub(super) at: u64,
    pub(super) table: u64,
    /// Entries of the table that the disk needs.
    blocks: u64,
    /// Bytes of a block.
    pub(super) block: u64,
    pub(super) parent: Uuid,
    /// Seconds since 2000 when the parent last changed, before this image was made.
    pub(super) parent_changed: u32,
    pub(super) bytes: Vec<u8>,
}

impl Header {
    pub(super) fn read(file: &dyn Storage, footer: &Footer) -> Result<Self> {
        let at = footer.header;
        let flaw = |what| corrupt(Code::VhdHeader, what, at);
        let mut bytes = vec![0; 1024];
        file.read_at(at, &mut bytes)?;
        if !bytes.starts_with(COOKIE) {
            return Err(flaw("the header of the dynamic disk is missing"));
        }
        let (found, sum) = (u32_at(&bytes, 36), checksum(&bytes, 36));
        if found != sum {
            return Err(flaw("the checksum of the dynamic disk's header is wrong")
                .expected(format_args!("{sum:#010x}"), format_args!("{found:#010x}")));
        }
        if u32_at(&bytes, 24) >> 16 != 1 {
            return Err(flaw("the version of the dynamic disk's header is not known"));
        }
        let (table, most, block) = (u64_at(&bytes, 16), u64::from(u32_at(&bytes, 28)), u64::from(u32_at(&bytes, 32)));
        if !block.is_power_of_two() || block < SECTOR {
            return Err(flaw("the size of blocks is not a power of two").expected("512 or more", block));
        }
        let blocks = footer.size.div_ceil(block);
        if blocks > most.min(MOST_BLOCKS) {
            return Err(flaw("the block table is too small for the disk, or too large to be")
                .expected(format_args!("{blocks} entries, {MOST_BLOCKS} at most"), most));
        }
        let end = table.checked_add(blocks * 4).filter(|&end| end <= file.len().unwrap_or(0));
        if table < SECTOR || end.is_none() {
            return Err(flaw("the block table lies outside of the file")
                .expected(format_args!("{blocks} entries"), format_args!("its start at {table:#x}")));
        }
        let (parent, parent_changed) = (Uuid::at(&bytes, 40), u32_at(&bytes, 56));
        Ok(Header { at, table, blocks, block, parent, parent_changed, bytes })
    }
}

/// Where the bytes of the disk are.
///
/// In a differencing image, the bitmap in front of each block says which of its sectors are here; the others are the
/// parent's. In a dynamic image the block is taken as a whole, as Windows and QEMU do: whatever its bitmap says, its
/// bytes are those of the disk. What is written gets its bits set, so that those who read by the bitmap see it too.
pub(super) struct Sparse {
    file: Arc<dyn Storage>,
    tables: Tables,
    header: Header,
    differencing: bool,
    size: u64,
    /// Bytes of the bitmap in front of a block, whole sectors.
    bitmap: u64,
    /// Starts and ends of what is no block.
    own: Vec<(u64, u64)>,
    state: Mutex<Writable>,
}

struct Writable {
    /// Where blocks end at the latest: where the footer is, or the file ends if it is damaged.
    end: u64,
    /// The footer's bytes, if it is where it belongs.
    footer: Option<Vec<u8>>,
    /// Whether no two blocks share a byte.
    checked: bool,
}

impl Sparse {
    /// `own`: starts and ends of further tables in the file.
    pub(super) fn new(file: Arc<dyn Storage>, header: Header, footer: Footer, mut own: Vec<(u64, u64)>) -> Self {
        own.extend([(0, SECTOR), (header.at, header.at + 1024), (header.table, header.table + header.blocks * 4)]);
        let bitmap = (header.block / SECTOR).div_ceil(8).next_multiple_of(SECTOR);
        let end = if footer.at == 0 { file.len().unwrap_or(0) } else { footer.at };
        // Only a whole footer can be moved: with one of 511 bytes nothing would be on a sector any more.
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

    /// Where the block begins that an entry of the table leads to: its bitmap.
    fn begin(&self, index: u64, entry: u32, end: u64) -> Result<Option<u64>> {
        if entry == ABSENT {
            return Ok(None);
        }
        let start = u64::from(entry) * SECTOR;
        // Some writers cut the last block where the disk ends.
        let used = self.bitmap + self.header.block.min(self.size - index * self.header.block);
        let inside = self.own.iter().all(|own| start + used <= own.0 || own.1 <= start);
        let (len, needed) = (self.file.len()?, start + used);
        if inside && needed > len {
            let what = format!("block {index} ends behind its end");
            return Err(cut_short(Code::VhdBlock, what, needed, len).at(Space::File, self.header.table + index * 4));
        }
        if !inside || start + used > end {
            let what = format!("block {index} lies past the end of the file or in its tables");
            return Err(corrupt(Code::VhdBlock, what, self.header.table + index * 4)
                .expected(format_args!("{used} bytes before {end:#x}"), format_args!("its start at {start:#x}")));
        }
        Ok(Some(start))
    }

    fn block(&self, index: u64, end: u64) -> Result<Option<u64>> {
        let entry = self.tables.entry(self.header.table + index * 4)?;
        self.begin(index, u32::from_be_bytes(entry), end)
    }

    /// How many sectors from `sector` on, at most `most`, have the same bit in the bitmap at `bitmap`; and the bit.
    fn same_bits(&self, bitmap: u64, sector: u64, most: u64) -> Result<(bool, u64)> {
        // As far as this is looked ahead at once.
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

    /// Holds all blocks against each other: a write to one must not change another.
    fn check(&self, state: &mut Writable) -> Result<()> {
        if state.checked {
            return Ok(());
        }
        let (mut starts, stride) = (Vec::new(), self.bitmap + self.header.block);
        let flaw = |at| corrupt(Code::VhdBlocksOverlap, "blocks of the image overlap: writing would change others", at);
        let most = state.end / stride + 1;
        each_entry(&*self.file, self.header.table, self.header.blocks, |index, entry| {
            if let Some(start) = self.begin(index, u32::from_be_bytes(entry), state.end)? {
                starts.push(start);
            }
            // More than fit beside each other: no need to keep them all.
            if starts.len() as u64 > most { Err(flaw(self.header.table + index * 4)) } else { Ok(()) }
        })?;
        starts.sort_unstable();
        if let Some(pair) = starts.windows(2).find(|pair| pair[1] - pair[0] < stride) {
            return Err(flaw(pair[1]));
        }
        state.checked = true;
        Ok(())
    }

    /// Makes a block of zeros where the footer is, and moves that behind it. Every step leaves a sound image: the new
    /// end gets its footer first, the table names the block last.
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
        // Over the old footer; the rest of the block is zeros by its growth.
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

    /// Cuts a range into blocks: index, offset in the block, bytes.
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
        let raw = format!("edit a raw copy of the disk, parents and all: {}", advised::UNPACK_VHD);
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
