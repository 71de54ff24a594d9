//! The volumes of a disk, opened as file systems.

use std::sync::{Arc, PoisonError};

use super::Disk;
use hivewright_disk::fat::Fat;
use hivewright_disk::files::Files;
use hivewright_disk::ntfs::Ntfs;
use hivewright_disk::partition::{Partition, VolumeKind};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::window::Window;

impl Disk {
    /// The partitions that may hold files, or the one of that number.
    pub(crate) fn partitions(&self, number: Option<u32>) -> Result<Vec<&Partition>> {
        let frames = |p: &&Partition| !matches!(p.kind, VolumeKind::Extended | VolumeKind::GptProtective);
        let Some(number) = number else { return Ok(self.table.partitions.iter().filter(frames).collect()) };
        let found: Vec<_> = self.table.partitions.iter().filter(|p| p.number == number).collect();
        if found.is_empty() {
            let numbers: Vec<String> = self.table.partitions.iter().map(|p| p.number.to_string()).collect();
            let what = format!("{} has no partition {number}", self.path.display());
            let whole = if numbers.iter().any(|number| number == "0") { " (0 is the whole disk)" } else { "" };
            return Err(Error::new(Kind::NotFound, Code::NoPartition, what).advise(match numbers.len() {
                0 => "its partition table is empty: there is no partition to choose".to_owned(),
                1 => format!("there is the partition {}{whole}", numbers[0]),
                _ => format!("there are the partitions {}{whole}", numbers.join(", ")),
            }));
        }
        Ok(found)
    }

    /// Whether a partition is another part of what an earlier one stands for: the volumes of a dynamic disk, or of a pool, lie
    /// anywhere in all of its partitions, and are one matter.
    pub(crate) fn is_told_before(&self, partition: &Partition) -> bool {
        let is_pool = matches!(partition.kind, VolumeKind::DynamicDisk | VolumeKind::StorageSpaces);
        let first = self.table.partitions.iter().find(|other| other.kind == partition.kind && !other.is_reserved());
        is_pool && first.is_some_and(|first| first.number != partition.number)
    }

    /// Its bytes.
    pub(super) fn window(&self, partition: &Partition) -> Result<Arc<dyn Storage>> {
        // What a truncated image lacks is not there to be read; the file system says whether that matters.
        Ok(Arc::new(Window::new(self.below.clone(), partition.offset, partition.available, Space::Volume)?))
    }

    /// The file system of a partition, opened once.
    ///
    /// # Errors
    /// It is of another kind, named by the code; it is damaged.
    pub(crate) fn volume(&self, partition: &Partition) -> Result<Arc<dyn Files>> {
        let known = || self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = known().get(&partition.number) {
            return Ok(files.clone());
        }
        let files = self.open_volume(partition)?;
        known().insert(partition.number, files.clone());
        Ok(files)
    }

    /// The same disk, which opens each file system anew.
    pub(super) fn reopening_volumes(&self) -> Disk {
        Disk { volumes: Arc::default(), ..self.clone() }
    }

    /// Opens the file system of a partition. Where its first sector is unknown, an NTFS backup boot sector at its end
    /// counts too.
    fn open_volume(&self, partition: &Partition) -> Result<Arc<dyn Files>> {
        match (partition.kind, partition.kind.unsupported()) {
            (VolumeKind::Ntfs, _) => Ok(Arc::new(Ntfs::open(self.window(partition)?)?)),
            (VolumeKind::Fat, _) => Ok(Arc::new(Fat::open(self.window(partition)?)?)),
            (VolumeKind::Unknown | VolumeKind::Empty, Some(error)) => Ntfs::open_by_backup(self.window(partition)?)
                .map(|volume| Arc::new(volume) as Arc<dyn Files>)
                .map_err(|failed| match failed.code() {
                    Code::NtfsBootSector => error,
                    _ => failed,
                }),
            (_, Some(error)) => Err(error),
            (_, None) => Err(Error::new(Kind::Unsupported, Code::VolumeKind, "no file system that is read here")),
        }
    }
}
