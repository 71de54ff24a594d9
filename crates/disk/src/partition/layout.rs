//! Checks partitions for overlap and against the end of the disk.

use super::Partition;
use super::disk::{Disk, Warnings};
use super::kind::{self, VolumeKind};
use hivewright_error::{Code, Result};

/// A partition as in its table, in sectors.
pub(super) struct Entry {
    pub(super) number: u32,
    pub(super) first: u64,
    pub(super) sectors: u64,
}

impl Entry {
    /// Returns the partition with its contents not yet detected. `None`, with a warning, if its end exceeds 2^64 bytes.
    pub(super) fn into_partition(
        self,
        type_id: String,
        type_name: &'static str,
        sector_size: u32,
        disk: &Disk<'_>,
        warnings: &mut Warnings,
    ) -> Option<Partition> {
        let size = u64::from(sector_size);
        let bounds = (self.first.checked_mul(size), self.sectors.checked_mul(size));
        let (Some(offset), Some(len)) = bounds else { return self.no_such_range(warnings) };
        if offset.checked_add(len).is_none() {
            return self.no_such_range(warnings);
        }
        let partition = Partition { type_id, type_name, ..Partition::new(self.number, offset, len, disk) };
        if partition.available < len {
            let what = format!(
                "partition {} ends at {:#x}, the disk at {:#x}: the image is truncated, or the table belongs to another disk",
                self.number,
                offset + len,
                disk.len
            );
            warnings.push(Code::PartitionPastEnd, what);
        }
        Some(partition)
    }

    fn no_such_range(&self, warnings: &mut Warnings) -> Option<Partition> {
        let what = format!(
            "partition {} exceeds any disk, with its start at sector {:#x} and {:#x} sectors, so it is left out",
            self.number, self.first, self.sectors
        );
        warnings.push(Code::PartitionRange, what);
        None
    }
}

/// Detects the contents of every partition, and reports overlaps.
pub(super) fn finish(disk: &Disk<'_>, partitions: &mut [Partition], warnings: &mut Warnings) -> Result<()> {
    for partition in partitions.iter_mut() {
        partition.kind = match kind::of_type(&partition.type_id) {
            Some(kind) => kind,
            None => kind::detect(disk, partition.offset, partition.available)?,
        };
    }
    let mut volumes: Vec<&Partition> =
        partitions.iter().filter(|p| p.kind != VolumeKind::Extended && p.len > 0).collect();
    volumes.sort_by_key(|p| (p.offset, p.number));
    // The partition with the largest end so far; `offset + len` was checked not to overflow.
    let mut furthest: Option<&Partition> = None;
    for volume in volumes {
        if let Some(before) = furthest.filter(|before| before.offset + before.len > volume.offset) {
            let what = format!("partitions {} and {} overlap", before.number, volume.number);
            warnings.push(Code::PartitionsOverlap, what);
        }
        if furthest.is_none_or(|before| before.offset + before.len < volume.offset + volume.len) {
            furthest = Some(volume);
        }
    }
    Ok(())
}
