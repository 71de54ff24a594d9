//! The BIOS parameter block (fatgen103, "Boot Sector and BPB") and the geometry of the volume.

use super::corrupt;
use hivewright_error::{Code, Error, Result};

/// The width of FAT entries. If the 16-bit field for the sectors of a FAT is zero, it is 28 bits: Windows and Linux
/// mount such a volume as FAT32 independently of its number of clusters, and tools make small ones, such as EFI system
/// partitions. Otherwise it depends on the number of clusters (fatgen103, "FAT Type Determination").
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FatType {
    /// 12 bits.
    Fat12,
    /// 16 bits.
    Fat16,
    /// 28 bits in 32.
    Fat32,
}

/// The geometry of a volume, checked for contradictions.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Geometry {
    /// Width of the FAT's entries.
    pub fat_type: FatType,
    /// Bytes in a sector.
    pub sector_size: u32,
    /// Bytes in a cluster.
    pub cluster_size: u32,
    /// Offset of the FAT in use, in bytes of the volume.
    pub fat_offset: u64,
    /// Bytes of one FAT.
    pub fat_len: u64,
    /// Offsets of the FATs that are updated together, the active one among them.
    #[serde(skip)]
    pub fats: Vec<u64>,
    /// Offset of FSInfo on FAT32, if there is one.
    #[serde(skip)]
    pub fs_info: Option<u64>,
    /// Offset of the root folder of FAT12 and FAT16.
    pub root_offset: u64,
    /// Length of the root folder of FAT12 and FAT16, in bytes.
    pub root_len: u64,
    /// First cluster of the root folder of FAT32.
    pub root_cluster: u32,
    /// Offset of cluster 2.
    pub data_offset: u64,
    /// Number of clusters; the last one is `clusters + 1`.
    pub clusters: u32,
    /// Length of the volume in bytes, according to the boot sector.
    pub len: u64,
    /// Status bits of the boot sector: 1 dirty, 2 disk error (the NT drivers keep them there).
    pub status: u8,
}

impl Geometry {
    /// Parses the first 512 bytes of a volume.
    pub(super) fn parse(sector: &[u8; 512]) -> Result<Self> {
        let u16_at = |at: usize| u32::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let u32_at = |at: usize| u16_at(at) | u16_at(at + 2) << 16;
        let either = |short: u32, long: u32| if short != 0 { short } else { long };
        let (sector_size, per_cluster) = (u16_at(11), u32::from(sector[13]));
        let (reserved, fats, root_entries) = (u16_at(14), u32::from(sector[16]), u16_at(17));
        let is_32 = u16_at(22) == 0;
        let (sectors, per_fat) = (either(u16_at(19), u32_at(32)), either(u16_at(22), u32_at(36)));
        if sector[510..] != [0x55, 0xaa] {
            return Err(bad("the signature 55 AA is missing", 510));
        }
        if !sector_size.is_power_of_two() || !(512..=4096).contains(&sector_size) {
            return Err(bad("bytes per sector", 11).expected("512, 1024, 2048 or 4096", sector_size));
        }
        if !per_cluster.is_power_of_two() {
            return Err(bad("sectors per cluster", 13).expected("a power of 2", per_cluster));
        }
        if reserved == 0 || fats == 0 || per_fat == 0 {
            return Err(bad("the number of reserved sectors, of FATs or of sectors of a FAT is 0", 14));
        }
        if is_32 != (root_entries == 0) || (is_32 && u16_at(42) != 0) {
            return Err(bad("neither FAT32 of version 0 nor FAT16", 17));
        }
        // 64 bits are enough: the largest product is 2^32 sectors of 2^12 bytes.
        let bytes = |sectors: u32| u64::from(sectors) * u64::from(sector_size);
        let fat_len = bytes(per_fat);
        let root_offset = bytes(reserved) + u64::from(fats) * fat_len;
        let root_len = (u64::from(root_entries) * 32).next_multiple_of(u64::from(sector_size));
        let (data_offset, len) = (root_offset + root_len, bytes(sectors));
        let cluster_size = sector_size * per_cluster;
        let clusters = len.saturating_sub(data_offset) / u64::from(cluster_size);
        let fat_type = match clusters {
            0 => return Err(bad("the volume ends before its first cluster", 32)),
            _ if is_32 => FatType::Fat32,
            1..4085 => FatType::Fat12,
            4085..65525 => FatType::Fat16,
            _ => {
                return Err(bad("the number of clusters does not match the FAT type", 32)
                    .expected("fewer than 65525", clusters));
            }
        };
        // A FAT that is too short for all clusters is used for those that it covers.
        let entries = fat_len * 8 / fat_type.bits();
        let clusters = u32::try_from(clusters.min(entries.saturating_sub(2)).min(0x0fff_fff5)).unwrap_or(0);
        let fat_at = |number: u32| bytes(reserved) + fat_len * u64::from(number);
        let active = active_fat(is_32, u16_at(40), fats)?;
        Ok(Geometry {
            fat_type,
            sector_size,
            cluster_size,
            fat_offset: fat_at(active.unwrap_or(0)),
            fat_len,
            fats: active.map_or(0..fats, |active| active..active + 1).map(fat_at).collect(),
            // Neither 0 nor all ones is a valid sector.
            fs_info: Some(u16_at(48)).filter(|sector| is_32 && (1..reserved).contains(sector)).map(bytes),
            root_offset,
            root_len,
            root_cluster: if is_32 { u32_at(44) } else { 0 },
            data_offset,
            clusters,
            len,
            status: sector[if is_32 { 65 } else { 37 }],
        })
    }

    /// Returns the offset of `cluster`, if it exists.
    pub(super) fn offset_of(&self, cluster: u32) -> Option<u64> {
        let index = cluster.checked_sub(2).filter(|&index| index < self.clusters)?;
        Some(self.data_offset + u64::from(index) * u64::from(self.cluster_size))
    }

    /// Returns the cluster with the byte at `offset` of the volume, if there is one.
    pub(super) fn cluster_at(&self, offset: u64) -> Option<u32> {
        let index = offset.checked_sub(self.data_offset)? / u64::from(self.cluster_size);
        u32::try_from(index).ok().filter(|&index| index < self.clusters).map(|index| index + 2)
    }
}

impl FatType {
    pub(super) fn bits(self) -> u64 {
        match self {
            FatType::Fat12 => 12,
            FatType::Fat16 => 16,
            FatType::Fat32 => 32,
        }
    }
}

/// Returns the index of the active FAT if FAT32's mirroring is off (fatgen103, BPB_ExtFlags). `None` if all are updated
/// together.
fn active_fat(is_32: bool, flags: u32, fats: u32) -> Result<Option<u32>> {
    match flags & 0x0f {
        active if is_32 && flags & 0x80 != 0 && active >= fats => {
            Err(bad("the FAT in use", 40).expected(format_args!("one below {fats}"), active))
        }
        active if is_32 && flags & 0x80 != 0 => Ok(Some(active)),
        _ => Ok(None),
    }
}

fn bad(what: &str, offset: u64) -> Error {
    corrupt(Code::FatBootSector, format!("the FAT boot sector is invalid: {what}"), offset)
}
