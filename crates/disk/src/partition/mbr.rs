//! Master boot records: four entries at 446, the signature 55 AA at 510, the disk signature at 440.
//!
//! There is no standard. Facts: Microsoft, "Disk Concepts and Troubleshooting"; the common behaviour of Linux,
//! util-linux and The Sleuth Kit.

use super::disk::{Disk, Warnings};
use super::layout::{self, Entry};
use super::{Partition, Scheme, Table, TableSource, extended, types};
use crate::little_endian::u32_at;
use hivewright_error::Result;

const ENTRIES: usize = 446;
const PROTECTIVE: u8 = 0xee;

/// One of the four entries of an MBR or of an extended boot record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    status: u8,
    pub(super) kind: u8,
    /// First sector, relative to a sector that depends on the place of the entry.
    pub(super) start: u32,
    pub(super) sectors: u32,
}

impl Slot {
    pub(super) fn is_used(self) -> bool {
        self.kind != 0 && self.sectors != 0
    }

    pub(super) fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    pub(super) fn into_partition(
        self,
        number: u32,
        first: u64,
        sector_size: u32,
        disk: &Disk<'_>,
        warnings: &mut Warnings,
    ) -> Option<Partition> {
        let type_id = format!("0x{:02X}", self.kind);
        let entry = Entry { number, first, sectors: u64::from(self.sectors) };
        let partition = entry.into_partition(type_id, types::mbr_name(self.kind), sector_size, disk, warnings)?;
        Some(Partition { bootable: self.status == 0x80, ..partition })
    }
}

/// Returns the four entries of a sector that ends in 55 AA and whose entries are marked active or inactive. Linux
/// requires this too, since boot sectors of volumes end in the same signature.
pub(super) fn slots(sector: &[u8]) -> Option<[Slot; 4]> {
    if sector.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    let slot = |i: usize| {
        let at = ENTRIES + 16 * i;
        let start = u32_at(sector, at + 8);
        Slot { status: sector[at], kind: sector[at + 4], start, sectors: u32_at(sector, at + 12) }
    };
    let slots = [slot(0), slot(1), slot(2), slot(3)];
    slots.iter().all(|slot| matches!(slot.status, 0 | 0x80)).then_some(slots)
}

/// An MBR.
pub(super) struct Mbr {
    disk_id: u32,
    slots: [Slot; 4],
}

impl Mbr {
    pub(super) fn parse(sector: &[u8]) -> Option<Self> {
        Some(Mbr { slots: slots(sector)?, disk_id: u32_at(sector, 440) })
    }

    fn used(&self) -> impl Iterator<Item = Slot> {
        self.slots.into_iter().filter(|slot| slot.is_used())
    }

    pub(super) fn has_entries(&self) -> bool {
        self.used().next().is_some()
    }

    /// Returns whether there is a protective entry of a GPT.
    pub(super) fn is_protective(&self) -> bool {
        self.slots.iter().any(|slot| slot.kind == PROTECTIVE)
    }

    /// Returns whether there are partitions beside the protective entry.
    pub(super) fn is_hybrid(&self) -> bool {
        self.is_protective() && self.used().any(|slot| slot.kind != PROTECTIVE)
    }

    /// Returns the last sector of the protective entry, unless it has the maximum value (UEFI 2.10, 5.2.3).
    pub(super) fn protected_last_lba(&self) -> Option<u64> {
        let slot = self.used().find(|slot| slot.kind == PROTECTIVE && slot.sectors != u32::MAX)?;
        Some(u64::from(slot.start) + u64::from(slot.sectors) - 1)
    }

    /// Returns whether an entry leads to a boot sector other than this one.
    pub(super) fn leads_to_volumes(&self, disk: &Disk<'_>) -> Result<bool> {
        Ok(boot_sectors(disk, &self.slots, 512)? + boot_sectors(disk, &self.slots, 4096)? > 0)
    }

    /// Returns the sector size, which an MBR does not have: the size with which more entries lead to boot sectors, or
    /// 512 if that is undecided.
    fn sector_size(&self, disk: &Disk<'_>) -> Result<u32> {
        let larger = boot_sectors(disk, &self.slots, 4096)? > boot_sectors(disk, &self.slots, 512)?;
        Ok(if larger { 4096 } else { 512 })
    }

    pub(super) fn into_table(self, disk: &Disk<'_>, mut warnings: Warnings) -> Result<Table> {
        let sector_size = self.sector_size(disk)?;
        let mut partitions = Vec::new();
        let mut next_logical = 5;
        for (number, slot) in (1..).zip(self.slots).filter(|(_, slot)| slot.is_used()) {
            let first = u64::from(slot.start);
            partitions.extend(slot.into_partition(number, first, sector_size, disk, &mut warnings));
            if slot.is_extended() {
                let logical = extended::walk(disk, slot, sector_size, &mut next_logical, &mut warnings)?;
                partitions.extend(logical);
            }
        }
        layout::finish(disk, &mut partitions, &mut warnings)?;
        Ok(Table {
            scheme: Scheme::Mbr,
            sector_size,
            disk_len: disk.len,
            disk_id: Some(format!("{:08x}", self.disk_id)),
            source: TableSource::Primary,
            warnings: warnings.into_vec(),
            partitions,
        })
    }
}

/// Returns the number of entries that lead to a sector with the boot signature, if sectors have `sector_size` bytes.
fn boot_sectors(disk: &Disk<'_>, slots: &[Slot; 4], sector_size: u32) -> Result<usize> {
    let mut count = 0;
    for slot in slots.iter().filter(|slot| slot.is_used() && slot.start != 0) {
        let offset = u64::from(slot.start) * u64::from(sector_size);
        count += usize::from(disk.read(offset + 510, 2)?.as_deref() == Some(&[0x55, 0xaa]));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::super::maker::{mbr_entry, ntfs};
    use super::super::{Scheme, VolumeKind, partitions};
    use hivewright_error::Code;
    use hivewright_storage::memory::Memory;

    /// (slot, status, type, start, sectors)
    fn disk(len: usize, entries: &[(usize, u8, u8, u32, u32)]) -> Vec<u8> {
        let mut image = vec![0; len];
        for &(slot, status, kind, start, sectors) in entries {
            mbr_entry(&mut image, slot, status, kind, start, sectors);
        }
        image[440..444].copy_from_slice(&0xcafe_f00d_u32.to_le_bytes());
        image
    }

    #[test]
    fn reads_primaries() {
        let mut image = disk(1 << 20, &[(0, 0x80, 7, 63, 500), (2, 0, 0x27, 700, 100), (3, 0, 0x42, 900, 10)]);
        ntfs(&mut image, 63 * 512);
        let table = partitions(&Memory::new(image)).unwrap();
        assert_eq!((table.scheme, table.sector_size), (Scheme::Mbr, 512));
        assert_eq!(table.disk_id.as_deref(), Some("cafef00d"));
        let got: Vec<_> = table.partitions.iter().map(|p| (p.number, p.offset, p.len, p.bootable, p.kind)).collect();
        assert_eq!(
            got,
            [
                (1, 63 * 512, 500 * 512, true, VolumeKind::Ntfs),
                (3, 700 * 512, 100 * 512, false, VolumeKind::Empty),
                (4, 900 * 512, 10 * 512, false, VolumeKind::DynamicDisk)
            ]
        );
        assert_eq!(table.partitions[1].type_name, "Windows recovery");
        assert!(table.warnings.is_empty());
    }

    #[test]
    fn sectors_of_4096_bytes_are_detected_by_the_boot_sectors() {
        let mut image = disk(4 << 20, &[(0, 0, 7, 256, 700)]);
        ntfs(&mut image, 256 * 4096);
        let table = partitions(&Memory::new(image)).unwrap();
        assert_eq!((table.sector_size, table.partitions[0].kind), (4096, VolumeKind::Ntfs));
        assert_eq!((table.partitions[0].offset, table.partitions[0].len), (256 * 4096, 700 * 4096));
    }

    #[test]
    fn a_boot_sector_is_not_a_table() {
        // The code of a boot sector may look like an entry.
        let mut image = disk(1 << 20, &[(0, 0x80, 7, 63, 500)]);
        ntfs(&mut image, 0);
        mbr_entry(&mut image, 0, 0x80, 7, 63, 500);
        let table = partitions(&Memory::new(image.clone())).unwrap();
        assert_eq!((table.scheme, table.partitions.len()), (Scheme::None, 1));
        assert_eq!((table.partitions[0].number, table.partitions[0].kind), (0, VolumeKind::Ntfs));
        // It is an entry only if it leads to a volume.
        ntfs(&mut image, 63 * 512);
        let table = partitions(&Memory::new(image)).unwrap();
        assert_eq!((table.scheme, table.warnings[0].code), (Scheme::Mbr, Code::BootSectorInMbr));
    }

    #[test]
    fn a_truncated_image_is_reported() {
        let image = disk(1 << 20, &[(0, 0, 7, 1000, 5000), (1, 0, 7, 6000, u32::MAX)]);
        let table = partitions(&Memory::new(image)).unwrap();
        assert_eq!(table.warnings.iter().filter(|w| w.code == "partition-past-end").count(), 2);
        assert_eq!((table.partitions[0].len, table.partitions[0].available), (5000 * 512, (2048 - 1000) * 512));
        assert_eq!((table.partitions[1].available, table.partitions[1].kind), (0, VolumeKind::PastEnd));
    }

    #[test]
    fn overlap_is_reported() {
        let image = disk(1 << 20, &[(0, 0, 7, 100, 500), (1, 0, 7, 700, 5), (2, 0, 7, 599, 10)]);
        let warnings = partitions(&Memory::new(image)).unwrap().warnings;
        assert_eq!(
            warnings.iter().map(|w| (w.code, &*w.what)).collect::<Vec<_>>(),
            [(Code::PartitionsOverlap, "partitions 1 and 3 overlap")]
        );
    }

    #[test]
    fn empty_disks_have_no_partitions() {
        let table = partitions(&Memory::new(disk(4096, &[(0, 0, 0, 0, 0)]))).unwrap();
        assert_eq!((table.scheme, table.partitions.len()), (Scheme::Mbr, 0));
        for len in [0, 1, 511, 512, 4096] {
            let table = partitions(&Memory::new(vec![0; len])).unwrap();
            assert_eq!((table.scheme, table.partitions.len()), (Scheme::None, 1));
        }
    }
}
