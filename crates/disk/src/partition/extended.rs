//! Logical partitions: a chain of extended boot records, each with the place of one partition and of the next record.
//!
//! A partition's start counts from its own record; the next record's counts from the start of the extended partition.

use std::collections::HashSet;

use super::Partition;
use super::disk::{Disk, Warnings};
use super::mbr::{Slot, slots};
use hivewright_error::{Code, Result};

/// Maximum number of records that are read. Windows and Linux stop far earlier (Linux at 256 partitions).
const MOST_RECORDS: usize = 1024;

/// Returns the logical partitions of `extended`, numbered from `next_number` on.
pub(super) fn walk(
    disk: &Disk<'_>,
    extended: Slot,
    sector_size: u32,
    next_number: &mut u32,
    warnings: &mut Warnings,
) -> Result<Vec<Partition>> {
    let base = u64::from(extended.start);
    let end = base + u64::from(extended.sectors);
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(base);
    while let Some(record) = next {
        if !seen.insert(record) || seen.len() > MOST_RECORDS {
            let what = format!("the chain of extended boot records does not end (at sector {record:#x})");
            warnings.push(Code::ExtendedCycle, what);
            break;
        }
        let Some(slots) = disk.sector(record, sector_size)?.as_deref().and_then(slots) else {
            warnings.push(Code::ExtendedRecord, format!("there is no extended boot record at sector {record:#x}"));
            break;
        };
        next = None;
        for (i, slot) in slots.into_iter().enumerate().filter(|(_, slot)| slot.is_used()) {
            if slot.is_extended() {
                next = next.or(Some(base + u64::from(slot.start)));
                continue;
            }
            let first = record + u64::from(slot.start);
            let inside = first >= base && first + u64::from(slot.sectors) <= end;
            // As in Linux, the third and fourth entry are used only if they are valid, because some tools leave
            // garbage there.
            if i >= 2 && !inside {
                continue;
            }
            let number = *next_number;
            *next_number += 1;
            if !inside {
                let what = format!("logical partition {number} exceeds the extended partition");
                warnings.push(Code::LogicalOutside, what);
            }
            let partition = slot.into_partition(number, first, sector_size, disk, warnings);
            found.extend(partition.map(|partition| Partition { logical: true, ..partition }));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::maker::{mbr_entry, ntfs};
    use super::super::{Table, VolumeKind, partitions};
    use hivewright_storage::memory::Memory;

    /// Returns an extended partition at 1000 with records at 1000, 1200 and 1500; the last links to `last_link`.
    fn disk(last_link: u32) -> Table {
        let mut image = vec![0; 1 << 20];
        mbr_entry(&mut image, 0, 0x80, 7, 63, 500);
        mbr_entry(&mut image, 1, 0, 0x0f, 1000, 1000);
        for (record, next) in [(1000, 200), (1200, 500), (1500, last_link)] {
            let sector = &mut image[record * 512..][..512];
            mbr_entry(sector, 0, 0, 7, 63, 100);
            if next != u32::MAX {
                mbr_entry(sector, 1, 0, 5, next, 200);
            }
        }
        ntfs(&mut image, 1263 * 512);
        partitions(&Memory::new(image)).unwrap()
    }

    #[test]
    fn offsets_count_from_the_record_or_the_extended_partition() {
        let table = disk(u32::MAX);
        let got: Vec<_> = table.partitions.iter().map(|p| (p.number, p.offset / 512, p.logical, p.kind)).collect();
        assert_eq!(
            got,
            [
                (1, 63, false, VolumeKind::Empty),
                (2, 1000, false, VolumeKind::Extended),
                (5, 1063, true, VolumeKind::Empty),
                (6, 1263, true, VolumeKind::Ntfs),
                (7, 1563, true, VolumeKind::Empty)
            ]
        );
        assert!(table.warnings.is_empty(), "{:?}", table.warnings);
    }

    #[test]
    fn a_cyclic_chain_ends() {
        for (link, code) in [
            (0, "extended-cycle"),
            (200, "extended-cycle"),
            (700, "extended-record"),
            (u32::MAX - 1, "extended-record"),
        ] {
            let table = disk(link);
            assert_eq!(table.partitions.len(), 5, "{link}");
            assert_eq!(table.warnings.iter().map(|w| w.code).collect::<Vec<_>>(), [code], "{link}");
        }
    }

    #[test]
    fn a_logical_partition_must_lie_in_the_extended_partition() {
        let mut image = vec![0; 1 << 20];
        mbr_entry(&mut image, 0, 0, 5, 1000, 100);
        mbr_entry(&mut image[512_000..], 0, 0, 7, 10, 91);
        mbr_entry(&mut image[512_000..], 2, 0, 7, 10, 91);
        let table = partitions(&Memory::new(image)).unwrap();
        assert_eq!(table.partitions.len(), 2, "rubbish in the third entry is left alone");
        assert_eq!(table.warnings[0].code, "logical-outside");
    }
}
