//! The metadata region: block size, disk size, sector sizes, and parent ([MS-VHDX] 2.6).

use super::fields::{Guid, MIB, corrupt, index};
use super::region::Region;
use crate::little_endian::{u16_at, u32_at, u64_at};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;

/// Bytes of the table before the items.
const TABLE: usize = 64 << 10;
const SIGNATURE: &[u8; 8] = b"metadata";
const ENTRY: usize = 32;
const MOST_ENTRIES: u16 = 2047;
/// Size of a VHDX disk at most: 64 TiB.
const MOST_BYTES: u64 = 64 << 40;

const IS_USER: u32 = 1;
const IS_REQUIRED: u32 = 4;

/// The GUIDs of the system's items, in the order of [`Items`].
const KNOWN: [Guid; 6] = [
    Guid::of(0xcaa16737_fa36_4d43_b3b6_33f0aa44e76b),
    Guid::of(0x2fa54224_cd1b_4876_b211_5dbed83bf4b8),
    Guid::of(0xbeca12ab_b2e6_4523_93ef_c309e000c746),
    Guid::of(0x8141bf1d_a96f_4709_ba47_f233a8faab5f),
    Guid::of(0xcda348c7_445d_4471_9cc9_e9885251c556),
    Guid::of(0xa8d35f2d_b30b_454d_abf7_d3d84834ab0c),
];
/// File parameters, disk size, disk identifier, logical and physical sector size, parent locator.
type Items = [Option<Region>; KNOWN.len()];

/// The values of the metadata items.
pub(super) struct Metadata {
    /// Bytes of a payload block, a power of two from 1 MiB to 256 MiB.
    pub(super) block_size: u64,
    /// Whether blocks stay allocated (a fixed disk).
    pub(super) fixed: bool,
    /// Size of the disk in bytes.
    pub(super) size: u64,
    pub(super) disk_id: Guid,
    /// Logical sector size in bytes, 512 or 4096.
    pub(super) logical_sector: u32,
    pub(super) physical_sector: u32,
    /// The parent locator and its offset, if there is a parent.
    pub(super) locator: Option<(Vec<u8>, u64)>,
}

/// Reads the metadata region.
pub(super) fn read(file: &dyn Storage, region: Region) -> Result<Metadata> {
    let items = items(file, region)?;
    let number = |which: usize, what: &str, wide: usize| -> Result<(u64, u64)> {
        let at = items[which]
            .ok_or_else(|| corrupt(Code::VhdxMetadata, format!("the metadata has no {what}"), region.offset))?;
        if at.len < wide as u64 {
            return Err(
                corrupt(Code::VhdxMetadata, format!("the {what} is too short"), at.offset).expected(wide, at.len)
            );
        }
        let mut bytes = [0; 8];
        file.read_at(at.offset, &mut bytes[..wide.min(8)])?;
        Ok((u64_at(&bytes, 0), at.offset))
    };
    let (parameters, at) = number(0, "file parameters", 8)?;
    let block_size = parameters & 0xffff_ffff;
    if !block_size.is_power_of_two() || !(MIB..=256 * MIB).contains(&block_size) {
        return Err(corrupt(Code::VhdxMetadata, "the block size is invalid", at)
            .expected("a power of 2, 1 to 256 MiB", block_size));
    }
    let sector = |which: usize, what: &str| match number(which, what, 4)? {
        (512, _) => Ok(512),
        (4096, _) => Ok(4096),
        (other, at) => {
            Err(corrupt(Code::VhdxMetadata, format!("the {what} is invalid"), at).expected("512 or 4096", other))
        }
    };
    let logical_sector = sector(3, "logical sector size")?;
    let physical_sector = sector(4, "physical sector size")?;
    let (size, at) = number(1, "disk size", 8)?;
    if size % u64::from(logical_sector) != 0 || size > MOST_BYTES {
        return Err(corrupt(Code::VhdxMetadata, "the size of the disk is invalid", at)
            .expected(format_args!("a multiple of {logical_sector}, up to 64 TiB"), size));
    }
    let (_, at) = number(2, "disk identifier", 16)?;
    let mut disk_id = [0; 16];
    file.read_at(at, &mut disk_id)?;
    let locator = if parameters >> 33 & 1 == 1 { Some(locator(file, region, items[5])?) } else { None };
    let fixed = parameters >> 32 & 1 == 1;
    Ok(Metadata { block_size, fixed, size, disk_id: Guid(disk_id), logical_sector, physical_sector, locator })
}

fn locator(file: &dyn Storage, region: Region, item: Option<Region>) -> Result<(Vec<u8>, u64)> {
    let item = item.ok_or_else(|| {
        corrupt(Code::VhdxMetadata, "the disk has a parent, and the parent locator is missing", region.offset)
    })?;
    // At most 1 MiB: see `items`.
    let mut bytes = vec![0; index(item.len)];
    file.read_at(item.offset, &mut bytes)?;
    Ok((bytes, item.offset))
}

/// Returns the places of the items in the file.
fn items(file: &dyn Storage, region: Region) -> Result<Items> {
    let mut table = vec![0; TABLE];
    file.read_at(region.offset, &mut table)?;
    let count = u16_at(&table, 10);
    if !table.starts_with(SIGNATURE) || count > MOST_ENTRIES {
        return Err(corrupt(Code::VhdxMetadata, "the metadata table is missing", region.offset));
    }
    let mut items = Items::default();
    for (i, entry) in table[ENTRY..].chunks_exact(ENTRY).take(count.into()).enumerate() {
        let at = region.offset + ((i + 1) * ENTRY) as u64;
        let (guid, flags) = (Guid::at(entry, 0), u32_at(entry, 24));
        // Items of users are never the system's, whatever their identifier.
        let known = KNOWN.iter().position(|known| *known == guid && flags & IS_USER == 0);
        let Some(known) = known else {
            if flags & IS_REQUIRED != 0 {
                return Err(unknown(guid, at));
            }
            continue;
        };
        let (offset, len) = (u64::from(u32_at(entry, 16)), u64::from(u32_at(entry, 20)));
        if offset < TABLE as u64 || len > MIB || offset + len > region.len {
            return Err(corrupt(Code::VhdxMetadata, format!("the place of the item {guid} is invalid"), at)
                .expected("up to 1 MiB behind the table", format_args!("{len} bytes at {offset:#x} of the region")));
        }
        if items[known].replace(Region { offset: region.offset + offset, len }).is_some() {
            return Err(corrupt(Code::VhdxMetadata, format!("there are two items {guid}"), at));
        }
    }
    Ok(items)
}

fn unknown(guid: Guid, at: u64) -> Error {
    let what = format!("the image requires its metadata item {guid}, which is not supported");
    Error::new(Kind::Unsupported, Code::VhdxMetadataItem, what)
        .at(Space::File, at)
        .advise("convert a copy of it with the program that made it")
}
