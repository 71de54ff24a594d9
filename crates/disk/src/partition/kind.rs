//! Detects the contents of a volume by its first sectors, to read it, or to name the reason why not.

use std::fmt;

use super::disk::Disk;
use super::types;
use crate::little_endian::{u16_at, u32_at};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// The contents of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    /// NTFS.
    Ntfs,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// exFAT.
    Exfat,
    /// ReFS.
    Refs,
    /// BitLocker on a fixed disk.
    Bitlocker,
    /// BitLocker To Go, whose boot sector resembles FAT32.
    BitlockerToGo,
    /// A part of a dynamic disk (LDM): a volume may begin, end or be striped anywhere in it.
    DynamicDisk,
    /// A member of a Storage Spaces pool.
    StorageSpaces,
    /// The container of logical partitions.
    Extended,
    /// The protective entry of an MBR before a GPT.
    GptProtective,
    /// Linux LUKS.
    Luks,
    /// Linux LVM physical volume.
    Lvm,
    /// Linux software RAID member (metadata 1.1 or 1.2).
    LinuxRaid,
    /// ext2, ext3 or ext4.
    Ext,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// Linux swap.
    LinuxSwap,
    /// Apple APFS.
    Apfs,
    /// Apple HFS+.
    HfsPlus,
    /// The files of an image in a WIM archive.
    WimImage,
    /// The first sectors are zeros.
    Empty,
    /// It begins past the end of the disk.
    PastEnd,
    /// None of the above.
    Unknown,
}

impl VolumeKind {
    fn as_str(self) -> &'static str {
        match self {
            VolumeKind::Ntfs => "NTFS",
            VolumeKind::Fat => "FAT",
            VolumeKind::Exfat => "exFAT",
            VolumeKind::Refs => "ReFS",
            VolumeKind::Bitlocker => "BitLocker",
            VolumeKind::BitlockerToGo => "BitLocker To Go",
            VolumeKind::DynamicDisk => "dynamic disk (LDM)",
            VolumeKind::StorageSpaces => "Storage Spaces",
            VolumeKind::Extended => "extended partition",
            VolumeKind::GptProtective => "GPT protective entry",
            VolumeKind::Luks => "LUKS",
            VolumeKind::Lvm => "LVM",
            VolumeKind::LinuxRaid => "Linux RAID",
            VolumeKind::Ext => "ext2/3/4",
            VolumeKind::Xfs => "XFS",
            VolumeKind::Btrfs => "Btrfs",
            VolumeKind::LinuxSwap => "Linux swap",
            VolumeKind::Apfs => "APFS",
            VolumeKind::HfsPlus => "HFS+",
            VolumeKind::WimImage => "image",
            VolumeKind::Empty => "empty",
            VolumeKind::PastEnd => "past the end of the disk",
            VolumeKind::Unknown => "unknown",
        }
    }

    /// Returns the error for a volume that is not supported. `None` for NTFS, FAT and images of WIM archives.
    pub fn unsupported(self) -> Option<Error> {
        let (code, advice): (_, String) = match self {
            VolumeKind::Ntfs | VolumeKind::Fat | VolumeKind::WimImage => return None,
            VolumeKind::Bitlocker | VolumeKind::BitlockerToGo => (Code::VolumeBitlocker, advised::unlock()),
            VolumeKind::DynamicDisk => (Code::VolumeDynamicDisk, advised::assemble()),
            VolumeKind::StorageSpaces => {
                (Code::VolumeStorageSpaces, "attach the pool to Windows and copy the hive out of it".into())
            }
            VolumeKind::Refs => (Code::VolumeRefs, "only Windows reads ReFS: copy the hive out there".into()),
            VolumeKind::Luks => (Code::VolumeLuks, format!("unlock it and name the device: {}", advised::OPEN_LUKS)),
            VolumeKind::PastEnd => (Code::VolumePastEnd, "the image is truncated: look for a complete copy".into()),
            VolumeKind::Extended => (Code::VolumeExtended, "name one of the logical partitions in it".into()),
            VolumeKind::Empty => (Code::VolumeEmpty, "it is empty: name another partition".into()),
            _ => (Code::VolumeKind, "Windows is installed on NTFS or FAT: name another partition".into()),
        };
        let what = match self {
            VolumeKind::Unknown => "the volume has no known file system".to_owned(),
            kind => format!("the volume has no supported file system: {kind}"),
        };
        Some(Error::new(Kind::Unsupported, code, what).advise(advice))
    }

    /// Returns whether it uses sector 0, where an MBR would be.
    pub(super) fn begins_in_sector_0(self) -> bool {
        use VolumeKind::{Apfs, Bitlocker, BitlockerToGo, Exfat, Fat, Luks, Ntfs, Refs, Xfs};
        matches!(self, Ntfs | Fat | Exfat | Refs | Bitlocker | BitlockerToGo | Luks | Xfs | Apfs)
    }
}

impl fmt::Display for VolumeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns the contents of `volume`.
///
/// # Errors
/// I/O errors.
pub fn kind_of(volume: &dyn Storage) -> Result<VolumeKind> {
    let volume = Disk::new(volume)?;
    detect(&volume, 0, volume.len)
}

/// Returns the contents that a partition type determines, independent of the sectors.
pub(super) fn of_type(type_id: &str) -> Option<VolumeKind> {
    match type_id {
        "0x42" | types::LDM_METADATA | types::LDM_DATA => Some(VolumeKind::DynamicDisk),
        "0xE7" | types::STORAGE_SPACES => Some(VolumeKind::StorageSpaces),
        "0x05" | "0x0F" | "0x85" => Some(VolumeKind::Extended),
        "0xEE" => Some(VolumeKind::GptProtective),
        _ => None,
    }
}

/// Bytes read first: up to the LVM label, the ext and HFS+ superblocks, the RAID and swap magics.
const HEAD: usize = 4096 + 512;

/// Returns the contents of the `len` bytes at `offset` of `disk` by their first sectors.
pub(super) fn by_first_sectors(disk: &Disk<'_>, offset: u64, len: u64) -> Result<VolumeKind> {
    let head = usize::try_from(len).map_or(HEAD, |len| len.min(HEAD));
    let head = if offset < disk.len { disk.read(offset, head)? } else { None };
    Ok(head.map_or(VolumeKind::PastEnd, |head| of_head(&head)))
}

/// Returns the contents of the `len` bytes at `offset` of `disk`.
pub(super) fn detect(disk: &Disk<'_>, offset: u64, len: u64) -> Result<VolumeKind> {
    let kind = by_first_sectors(disk, offset, len)?;
    if matches!(kind, VolumeKind::Unknown | VolumeKind::Empty) {
        // The Btrfs superblock is at 64 KiB, with its magic at offset 64 (Btrfs on-disk format).
        let magic = 0x10040;
        if len >= magic + 8
            && let Some(at) = offset.checked_add(magic)
            && disk.read(at, 8)?.as_deref() == Some(b"_BHRfS_M")
        {
            return Ok(VolumeKind::Btrfs);
        }
    }
    Ok(kind)
}

fn of_head(head: &[u8]) -> VolumeKind {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    // libbde, "BitLocker Drive Encryption (BDE) format specification": the signature, or in To Go volumes the GUID.
    if has(3, b"-FVE-FS-") {
        return VolumeKind::Bitlocker;
    }
    if has(3, b"MSWIN4.1") && (has(424, &FVE_GUID) || has(424, &FVE_USED_SPACE_GUID)) {
        return VolumeKind::BitlockerToGo;
    }
    if has(3, b"NTFS    ") {
        return VolumeKind::Ntfs;
    }
    if has(3, b"EXFAT   ") {
        return VolumeKind::Exfat;
    }
    if has(3, b"ReFS\0\0\0\0") {
        return VolumeKind::Refs;
    }
    if is_fat(head) {
        return VolumeKind::Fat;
    }
    if has(0, b"LUKS\xba\xbe") {
        return VolumeKind::Luks;
    }
    if (0..4).any(|sector| has(sector * 512, b"LABELONE") && has(sector * 512 + 24, b"LVM2 001")) {
        return VolumeKind::Lvm;
    }
    if has(0, b"XFSB") {
        return VolumeKind::Xfs;
    }
    if has(32, b"NXSB") {
        return VolumeKind::Apfs;
    }
    if has(0, &[0xfc, 0x4e, 0x2b, 0xa9]) || has(4096, &[0xfc, 0x4e, 0x2b, 0xa9]) {
        return VolumeKind::LinuxRaid;
    }
    if has(4086, b"SWAPSPACE2") {
        return VolumeKind::LinuxSwap;
    }
    if has(1024 + 56, &[0x53, 0xef]) {
        return VolumeKind::Ext;
    }
    if has(1024, b"H+\0\x04") || has(1024, b"HX\0\x05") {
        return VolumeKind::HfsPlus;
    }
    if head.iter().all(|&b| b == 0) { VolumeKind::Empty } else { VolumeKind::Unknown }
}

/// 4967D63B-2E29-4AD8-8399-F6A339E3D001 and 92A84D3B-DD80-4D0E-9E4E-B1E3284EAED8.
const FVE_GUID: [u8; 16] =
    [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01];
const FVE_USED_SPACE_GUID: [u8; 16] =
    [0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d, 0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8];

/// Returns whether there is a complete BIOS parameter block of FAT (Microsoft, "FAT: General Overview of On-Disk
/// Format"), which has no reliable signature.
fn is_fat(head: &[u8]) -> bool {
    let byte = |at: usize| head.get(at).copied().unwrap_or(0);
    let sector_size = u16_at(head, 11);
    let sectors = u32::from(u16_at(head, 19)).max(u32_at(head, 32));
    let sectors_per_fat = match u16_at(head, 22) {
        0 => u32_at(head, 36),
        sectors => u32::from(sectors),
    };
    head.len() >= 512
        && matches!(byte(0), 0xeb | 0xe9)
        && sector_size.is_power_of_two()
        && (512..=4096).contains(&sector_size)
        && byte(13).is_power_of_two()
        && u16_at(head, 14) > 0
        && matches!(byte(16), 1..=4)
        && (byte(21) == 0xf0 || byte(21) >= 0xf8)
        && sectors_per_fat > 0
        && u64::from(sectors) > u64::from(sectors_per_fat)
        && head[510..512] == [0x55, 0xaa]
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_storage::memory::Memory;

    fn kind(len: usize, magics: &[(usize, &[u8])]) -> VolumeKind {
        let mut bytes = vec![0; len];
        for (at, magic) in magics {
            bytes[*at..*at + magic.len()].copy_from_slice(magic);
        }
        kind_of(&Memory::new(bytes)).unwrap()
    }

    #[test]
    fn volumes_are_distinguished() {
        for (magics, expected) in [
            (&[(3, &b"NTFS    "[..])][..], VolumeKind::Ntfs),
            (&[(3, b"-FVE-FS-")], VolumeKind::Bitlocker),
            (&[(3, b"MSWIN4.1"), (424, &FVE_GUID)], VolumeKind::BitlockerToGo),
            (&[(3, b"MSWIN4.1")], VolumeKind::Unknown),
            (&[(3, b"ReFS\0\0\0\0")], VolumeKind::Refs),
            (&[(512, b"LABELONE"), (536, b"LVM2 001")], VolumeKind::Lvm),
            (&[(0x10040, b"_BHRfS_M")], VolumeKind::Btrfs),
            (&[(1080, b"\x53\xef")], VolumeKind::Ext),
            (&[(700, b"x")], VolumeKind::Unknown),
            (&[], VolumeKind::Empty),
        ] {
            assert_eq!(kind(0x11000, magics), expected, "{magics:?}");
        }
    }

    #[test]
    fn unsupported_volumes_have_errors() {
        assert!(VolumeKind::Ntfs.unsupported().is_none() && VolumeKind::Fat.unsupported().is_none());
        let error = VolumeKind::Bitlocker.unsupported().unwrap();
        assert_eq!((error.kind(), error.code()), (Kind::Unsupported, Code::VolumeBitlocker));
        assert!(error.to_string().contains("BitLocker") && error.advice().is_some());
    }

    #[test]
    fn short_volumes_are_handled() {
        for len in [0, 1, 3, 10, 511, 512, 1079, 4608] {
            let expected = if len == 0 { VolumeKind::PastEnd } else { VolumeKind::Empty };
            assert_eq!(kind(len, &[]), expected, "{len}");
        }
    }
}
