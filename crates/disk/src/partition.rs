//! Reads a disk's partition table. Never writes.
//!
//! GPT (UEFI Specification 2.10, chapter 5) with its backup, else MBR with logical partitions, else the whole disk is
//! one volume. A defect of a usable table is a [`Warning`]. Only an unusable table is an
//! error. The numbering is that of Linux: primaries 1 to 4, logical partitions from 5, GPT entries from 1 with gaps.

mod disk;
mod extended;
mod gpt;
mod guid;
mod kind;
mod layout;
mod mbr;
mod types;

#[cfg(test)]
mod against_tools;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod maker;

pub use kind::{VolumeKind, kind_of};

use std::fmt;

use crate::wim::Described;
use disk::{Disk, Warnings};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// The scheme of a partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// A GUID partition table.
    Gpt,
    /// A master boot record.
    Mbr,
    /// No table: the disk is one volume ("superfloppy").
    None,
    /// A WIM archive: its images stand for partitions.
    Wim,
}

/// The copy of the table that was used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase", tag = "copy")]
pub enum TableSource {
    /// The one at the start of the disk.
    Primary,
    /// The backup GPT, because the primary is damaged.
    Backup {
        /// Stable code of the primary's defect.
        code: Code,
        /// The defect, for users.
        why: String,
        /// Offset of the backup header on the disk, in bytes.
        offset: u64,
    },
    /// There is no table.
    None,
}

/// A defect that does not make the table unusable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// Stable code.
    pub code: Code,
    /// One sentence fragment for users.
    pub what: String,
}

/// Identifies a volume of an image. Serializes as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum VolumeId {
    /// The whole disk, if it has no partition table; a folder of the host.
    Whole,
    /// A partition, as Linux numbers them: at least 1.
    Partition(u32),
    /// An image of a WIM archive, from 1.
    ArchiveImage(u32),
}

impl VolumeId {
    /// Returns the volume that users name by the number of a partition; 0 is the whole disk.
    pub fn of_partition(number: u32) -> Self {
        if number == 0 { VolumeId::Whole } else { VolumeId::Partition(number) }
    }

    /// Returns its number; 0 is the whole disk.
    pub fn number(self) -> u32 {
        match self {
            VolumeId::Whole => 0,
            VolumeId::Partition(number) | VolumeId::ArchiveImage(number) => number,
        }
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VolumeId::Whole => f.write_str("the whole disk"),
            VolumeId::Partition(number) => write!(f, "partition {number}"),
            VolumeId::ArchiveImage(number) => write!(f, "image {number}"),
        }
    }
}

impl serde::Serialize for VolumeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.number())
    }
}

/// A partition, or the whole disk if there is no table.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Partition {
    /// As Linux numbers them; 0 is the whole disk. The number of the image in a WIM archive.
    pub number: u32,
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// Length in bytes, according to the table.
    pub len: u64,
    /// Bytes of `len` that lie on the disk; fewer in a truncated image.
    pub available: u64,
    /// The name of the type, or "unknown".
    pub type_name: &'static str,
    /// The type as stored in the table: `0x07`, or a GUID in capital letters.
    pub type_id: String,
    /// The partition's own GUID (GPT).
    pub unique_id: Option<String>,
    /// The name (GPT), which may have any character.
    pub name: Option<String>,
    /// GPT attribute bits (UEFI 2.10, table 5.8; bits 48 to 63 belong to the type). 0 for MBR.
    pub attributes: u64,
    /// The meanings of the attribute bits, as far as known.
    pub attribute_names: Vec<&'static str>,
    /// MBR: marked active. GPT: legacy BIOS bootable.
    pub bootable: bool,
    /// Whether it is in an extended partition.
    pub logical: bool,
    /// Its contents, according to its first sectors or its type.
    pub kind: VolumeKind,
    /// The description of the image in a WIM archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Described>,
}

impl Partition {
    /// Creates a partition of which only the range is known.
    fn new(number: u32, offset: u64, len: u64, disk: &Disk<'_>) -> Self {
        Partition {
            number,
            offset,
            len,
            available: disk.len.saturating_sub(offset).min(len),
            type_name: "unknown",
            type_id: String::new(),
            unique_id: None,
            name: None,
            attributes: 0,
            attribute_names: Vec::new(),
            bootable: false,
            logical: false,
            kind: VolumeKind::Unknown,
            image: None,
        }
    }

    /// Creates the volume of an image of a WIM archive, whose metadata has `len` bytes at `offset`.
    pub(crate) fn of_image(number: u32, offset: u64, len: u64, image: Described) -> Self {
        Partition {
            number,
            offset,
            len,
            available: len,
            type_name: "WIM image",
            type_id: String::new(),
            unique_id: None,
            name: image.name.clone(),
            attributes: 0,
            attribute_names: Vec::new(),
            bootable: false,
            logical: false,
            kind: VolumeKind::WimImage,
            image: Some(image),
        }
    }

    /// Returns the identity of its volume.
    pub fn id(&self) -> VolumeId {
        match self.kind {
            VolumeKind::WimImage => VolumeId::ArchiveImage(self.number),
            _ => VolumeId::of_partition(self.number),
        }
    }

    /// Returns whether its type never has a volume: a reserved partition of Windows, or the database of a dynamic disk.
    pub fn is_reserved(&self) -> bool {
        let is_unused = matches!(self.kind, VolumeKind::Empty | VolumeKind::Unknown | VolumeKind::PastEnd);
        self.type_id == types::LDM_METADATA || self.type_id == types::RESERVED && is_unused
    }
}

/// A parsed partition table.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Table {
    /// The scheme.
    pub scheme: Scheme,
    /// Bytes in a sector, as the table counts them: 512 or 4096.
    pub sector_size: u32,
    /// Bytes of the disk.
    pub disk_len: u64,
    /// GPT: the disk's GUID. MBR: the disk signature, eight hexadecimal digits.
    pub disk_id: Option<String>,
    /// The copy that was used.
    pub source: TableSource,
    /// The defects.
    pub warnings: Vec<Warning>,
    /// The partitions in the order of the table. An extended partition precedes its logical ones.
    pub partitions: Vec<Partition>,
}

impl Table {
    /// Creates the table of the images of a WIM archive. `size` is the total size of its files.
    pub(crate) fn of_images(disk_len: u64, partitions: Vec<Partition>) -> Self {
        Table {
            scheme: Scheme::Wim,
            sector_size: 512,
            disk_len,
            disk_id: None,
            source: TableSource::None,
            warnings: Vec::new(),
            partitions,
        }
    }
}

/// Reads the partition table of `disk`.
///
/// A valid GPT is used if the MBR has a protective entry (0xEE), or there is no MBR; a file system's boot sector in
/// sector 0 means that the disk is one volume. A GPT that contradicts either is reported (`stale-gpt`) and not used, as
/// in Windows and Linux.
///
/// # Errors
/// I/O errors; `gpt-damaged`: the MBR has a protective entry, and neither copy of the GPT is valid.
pub fn partitions(disk: &dyn Storage) -> Result<Table> {
    let disk = Disk::new(disk)?;
    let mut warnings = Warnings::default();
    let Some(sector) = disk.read(0, 512)? else { return whole_disk(&disk, warnings) };
    let mbr = mbr::Mbr::parse(&sector);
    let at_0 = kind::by_first_sectors(&disk, 0, disk.len)?;
    if at_0.begins_in_sector_0() && !mbr.as_ref().is_some_and(mbr::Mbr::is_protective) {
        match mbr {
            Some(mbr) if mbr.leads_to_volumes(&disk)? => {
                let what = format!("sector 0 is also the boot sector of a volume ({at_0})");
                warnings.push(Code::BootSectorInMbr, what);
                return mbr.into_table(&disk, warnings);
            }
            _ => {
                gpt::warn_if_present(&disk, &mut warnings, "sector 0 is the boot sector of a volume")?;
                return whole_disk(&disk, warnings);
            }
        }
    }
    match mbr {
        Some(mbr) if !mbr.is_protective() && mbr.has_entries() => {
            gpt::warn_if_present(&disk, &mut warnings, "the MBR has partitions and no protective entry")?;
            mbr.into_table(&disk, warnings)
        }
        mbr => with_gpt(&disk, mbr, warnings),
    }
}

/// Reads a disk whose MBR is protective, empty or missing: its GPT, if there is one.
fn with_gpt(disk: &Disk<'_>, mbr: Option<mbr::Mbr>, mut warnings: Warnings) -> Result<Table> {
    let defect = match gpt::find(disk, mbr.as_ref().and_then(mbr::Mbr::protected_last_lba), &mut warnings)? {
        Ok(found) => {
            match &mbr {
                None => warnings.push(Code::NoProtectiveMbr, "there is a GPT, and no protective MBR"),
                Some(mbr) if !mbr.is_protective() => {
                    warnings.push(Code::NoProtectiveMbr, "the MBR before the GPT is empty")
                }
                Some(mbr) if mbr.is_hybrid() => {
                    warnings.push(
                        Code::HybridMbr,
                        "the MBR has partitions besides the protective entry, and Windows uses those",
                    );
                }
                Some(_) => {}
            }
            return found.into_table(disk, warnings);
        }
        Err(defect) => defect,
    };
    match mbr {
        Some(mbr) if mbr.is_hybrid() => {
            warnings
                .push(Code::GptDamaged, format!("no copy of the GPT is valid ({}); the hybrid MBR is used", defect.what));
            mbr.into_table(disk, warnings)
        }
        Some(mbr) if mbr.is_protective() => Err(Error::new(
            Kind::Corrupt,
            Code::GptDamaged,
            format!("no copy of the partition table is valid: {}", defect.what),
        )
        .at(Space::Disk, defect.offset)
        .advise(format!(
            "the image may be truncated: look for a complete copy; or rebuild the partition table in a copy, where volumes that are not found are lost: {}",
            advised::FIND_VOLUMES
        ))),
        Some(mbr) => mbr.into_table(disk, warnings),
        None => whole_disk(disk, warnings),
    }
}

/// Returns the whole disk as one volume.
fn whole_disk(disk: &Disk<'_>, warnings: Warnings) -> Result<Table> {
    let kind = kind::detect(disk, 0, disk.len)?;
    let partition = Partition { type_name: "whole disk", kind, ..Partition::new(0, 0, disk.len, disk) };
    Ok(Table {
        scheme: Scheme::None,
        sector_size: 512,
        disk_len: disk.len,
        disk_id: None,
        source: TableSource::None,
        warnings: warnings.into_vec(),
        partitions: vec![partition],
    })
}
