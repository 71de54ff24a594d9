//! Space-efficient sparse extents (`-sesparse.vmdk`), which ESXi writes for snapshots since 6.5. Read-only.
//!
//! VMware has not published the format. Facts: the commit message of QEMU's reader ("vmdk: Add read-only support for
//! seSparse snapshots", 98eb9733f) and its author's letter to qemu-devel of February 2020. All numbers are 64 bits,
//! little-endian, offsets and sizes in sectors: magic 0, version 8, capacity 16, grain size 24, table size 32, flags
//! 40, volatile header 80, directory 128 and its size 136, tables 144 and their size 152, grains 192.
//!
//! - A directory entry is 0, or the number of a table with the top bits `1`.
//! - A table entry has its type in the top four bits: 0 for data of the parent, 1 and 2 for zeros, 3 a grain, whose
//!   number is in the other bits with its lower twelve bits on top.
//! - A field of the volatile header shows whether a journal must be replayed. That is not supported
//!   (`vmdk-sesparse-journal`).

use std::sync::Arc;

use super::grains::{Entries, Grain, Grains, Layout};
use super::{SECTOR, broken, refusal};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::span::placed;

pub(super) const MAGIC: &[u8] = &0xcafe_babe_u64.to_le_bytes();
const VOLATILE_MAGIC: u64 = 0xcafe_cafe;
const VERSION: u64 = 0x2_0000_0001;
/// Bytes of a table of 4096 entries.
const TABLE: u64 = 64 * SECTOR;

pub(super) fn layout(file: &Arc<dyn Storage>) -> Result<Layout> {
    let header = sector(file, 0)?;
    let places: Vec<u64> =
        header.chunks_exact(8).map(|b| b.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))).collect();
    let number = |at: usize| places[at / 8];
    if !header.starts_with(MAGIC) {
        return Err(placed(broken(Code::VmdkMagic, "the extent is not a space-efficient extent"), &**file, 0));
    }
    if (number(8), number(24), number(32), number(40)) != (VERSION, 8, TABLE / SECTOR, 0) {
        let what = "a space-efficient extent with an unsupported version, unsupported sizes or flags";
        return Err(placed(Error::new(Kind::Unsupported, Code::VmdkVersion, what), &**file, 8));
    }
    let bytes = |at: usize| {
        let too_large =
            || broken(Code::VmdkHeader, format!("the header of an extent has {:#x} sectors at {at}", number(at)));
        number(at).checked_mul(SECTOR).filter(|&bytes| bytes < 1 << 60).ok_or_else(too_large)
    };
    let volatile = sector(file, bytes(80)?)?;
    if volatile[..8] != VOLATILE_MAGIC.to_le_bytes() {
        return Err(placed(
            broken(Code::VmdkMagic, "the second header of a space-efficient extent is missing"),
            &**file,
            bytes(80)?,
        ));
    }
    if volatile[24] != 0 {
        let what = "the snapshot has a journal that was not replayed";
        return Err(placed(Error::new(Kind::Unsupported, Code::VmdkSesparseJournal, what), &**file, bytes(80)? + 24)
            .advise("start its virtual machine and shut it down, or let ESXi consolidate its snapshots"));
    }
    let (capacity, per_table) = (bytes(16)?, TABLE / 8);
    if capacity.div_ceil(8 * SECTOR).div_ceil(per_table) > bytes(136)? / 8 {
        return Err(placed(broken(Code::VmdkHeader, "the grain directory is too small for the extent"), &**file, 136));
    }
    let advice = &format!("convert the whole chain: {}", advised::TO_SPARSE_VMDK);
    let what = "it is a space-efficient snapshot (seSparse), a format that VMware has not published";
    Ok(Layout {
        capacity,
        grain: 8 * SECTOR,
        per_table,
        directory: bytes(128)?,
        entries: Entries::Wide { tables: bytes(144)?, tables_end: bytes(144)? + bytes(152)?, grains: bytes(192)? },
        refusal: Some(refusal(Code::VmdkSesparse, what, advice)),
        ..Layout::default()
    })
}

fn sector(file: &Arc<dyn Storage>, offset: u64) -> Result<[u8; 512]> {
    let mut bytes = [0; 512];
    if offset.checked_add(SECTOR).is_none_or(|end| end > file.len().unwrap_or(0)) {
        return Err(placed(broken(Code::VmdkHeader, "the file ends before its headers"), &**file, offset));
    }
    file.read_at(offset, &mut bytes)?;
    Ok(bytes)
}

impl Grains {
    /// Returns entry `within` of the table of directory entry `table`.
    pub(super) fn find_wide(&self, table: u64, within: u64) -> Result<Grain> {
        let Entries::Wide { tables, tables_end, grains } = self.layout.entries else { return Ok(Grain::Absent) };
        let place = self.layout.directory + table * 8;
        let entry = u64::from_le_bytes(self.tables.entry(place)?);
        if entry == 0 {
            return Ok(Grain::Absent);
        }
        // The number has 32 bits.
        let start = tables + (entry & 0xffff_ffff) * TABLE;
        if entry >> 32 != 0x1000_0000 || start + TABLE > tables_end {
            return Err(self.bad_entry("an entry of the grain directory does not lead to a table", place, entry));
        }
        let place = start + within * 8;
        let entry = u64::from_le_bytes(self.tables.entry(place)?);
        let number = (entry >> 48) & 0xfff | (entry & 0xffff_ffff_ffff) << 12;
        match entry >> 60 {
            0 if entry == 0 => Ok(Grain::Absent),
            1 | 2 => Ok(Grain::Zero),
            3 if number < 1 << 46 => Ok(Grain::At(grains + number * self.layout.grain)),
            _ => Err(self.bad_entry("an entry of a grain table has an unknown type", place, entry)),
        }
    }
}
