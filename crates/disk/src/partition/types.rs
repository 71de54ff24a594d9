//! The names of partition types.
//!
//! GPT: UEFI 2.10 table 5.7, Microsoft's PARTITION_INFORMATION_GPT, the Discoverable Partitions Specification, and the
//! list of gdisk. MBR: Microsoft's "Disk Partition Types" and A. Brouwer's list. The table has the types of Windows,
//! types that are common on its disks, and types that could be mistaken for them. All others are "unknown".

const GPT: &[(&str, &str)] = &[
    ("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "Basic data"),
    ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EFI system"),
    (RESERVED, "Microsoft reserved"),
    ("DE94BBA4-06D1-4D40-A16A-BFD50179D6AC", "Windows recovery"),
    (LDM_METADATA, "Windows LDM metadata"),
    (LDM_DATA, "Windows LDM data"),
    (STORAGE_SPACES, "Windows Storage Spaces"),
    ("558D43C5-A1AC-43C0-AAC8-D1472B2923D1", "Windows Storage Replica"),
    ("21686148-6449-6E6F-744E-656564454649", "BIOS boot"),
    ("0FC63DAF-8483-4772-8E79-3D69D8477DE4", "Linux filesystem"),
    ("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "Linux root (x86-64)"),
    ("933AC7E1-2EB4-4F13-B844-0E14E2AEF915", "Linux home"),
    ("0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "Linux swap"),
    ("E6D6D379-F507-44C2-A23C-238F2A3DF928", "Linux LVM"),
    ("A19D880F-05FC-4D3B-A006-743F0F84911E", "Linux RAID"),
    ("CA7D7CCB-63ED-4C53-861C-1742536059CC", "Linux LUKS"),
    ("BC13C2FF-59E6-4262-A352-B275FD6F7172", "Linux extended boot"),
    ("48465300-0000-11AA-AA11-00306543ECAC", "Apple HFS+"),
    ("7C3457EF-0000-11AA-AA11-00306543ECAC", "Apple APFS"),
];

pub(super) const RESERVED: &str = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE";
pub(super) const LDM_METADATA: &str = "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3";
pub(super) const LDM_DATA: &str = "AF9B60A0-1431-4F62-BC68-3311714A69AD";
pub(super) const STORAGE_SPACES: &str = "E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D";

/// Returns the name of a GPT type, given as `Guid` prints it.
pub(super) fn gpt_name(guid: &str) -> &'static str {
    GPT.iter().find(|(known, _)| *known == guid).map_or("unknown", |(_, name)| name)
}

/// Returns the name of an MBR type.
pub(super) fn mbr_name(kind: u8) -> &'static str {
    match kind {
        0x01 => "FAT12",
        0x04 | 0x06 => "FAT16",
        0x05 => "Extended",
        0x07 => "NTFS, exFAT or HPFS",
        0x0B => "FAT32",
        0x0C => "FAT32 (LBA)",
        0x0E => "FAT16 (LBA)",
        0x0F => "Extended (LBA)",
        0x11 => "Hidden FAT12",
        0x12 => "Recovery or diagnostics",
        0x14 | 0x16 => "Hidden FAT16",
        0x17 => "Hidden NTFS or HPFS",
        0x1B => "Hidden FAT32",
        0x1C => "Hidden FAT32 (LBA)",
        0x1E => "Hidden FAT16 (LBA)",
        0x27 => "Windows recovery",
        0x42 => "Windows LDM (dynamic disk)",
        0x82 => "Linux swap",
        0x83 => "Linux filesystem",
        0x84 => "Hibernation",
        0x85 => "Linux extended",
        0x8E => "Linux LVM",
        0xA5 => "FreeBSD",
        0xAF => "Apple HFS",
        0xE7 => "Windows Storage Spaces",
        0xEE => "GPT protective",
        0xEF => "EFI system",
        0xFD => "Linux RAID",
        _ => "unknown",
    }
}

/// Returns the names of the attribute bits of a GPT entry. If `basic`, bits 60 to 63 have Microsoft's meaning.
pub(super) fn attribute_names(attributes: u64, basic: bool) -> Vec<&'static str> {
    let common = [(0, "required"), (1, "no-block-io"), (2, "legacy-boot")];
    let microsoft = [(60, "read-only"), (61, "shadow-copy"), (62, "hidden"), (63, "no-drive-letter")];
    let microsoft = microsoft.into_iter().filter(|_| basic);
    common.into_iter().chain(microsoft).filter(|(bit, _)| attributes >> bit & 1 == 1).map(|(_, name)| name).collect()
}
