//! The volumes of a disk, opened as file systems.

use std::sync::{Arc, PoisonError};

use super::{Choice, Disk, VolumeChoice};
use hivewright_disk::fat::Fat;
use hivewright_disk::files::Files;
use hivewright_disk::ntfs::Ntfs;
use hivewright_disk::partition::{Partition, VolumeId, VolumeKind};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::window::Window;

impl Disk {
    /// Returns the partitions that may have files, or the chosen one.
    ///
    /// # Errors
    /// As [`Disk::partition`].
    pub(crate) fn partitions(&self, chosen: Option<VolumeId>) -> Result<Vec<&Partition>> {
        let frames = |p: &&Partition| !matches!(p.kind, VolumeKind::Extended | VolumeKind::GptProtective);
        match chosen {
            Some(id) => Ok(vec![self.partition(id)?]),
            None => Ok(self.table.partitions.iter().filter(frames).collect()),
        }
    }

    /// Returns the partition of a volume.
    ///
    /// # Errors
    /// `no-partition`; `no-image` for an image of an archive.
    pub(crate) fn partition(&self, id: VolumeId) -> Result<&Partition> {
        if let Some(found) = self.table.partitions.iter().find(|partition| partition.id() == id) {
            return Ok(found);
        }
        if let VolumeId::ArchiveImage(number) = id {
            return Err(self.no_image(&number.to_string()));
        }
        let number = id.number();
        let what = format!("{} has no partition {number}", self.path.display());
        let error = Error::new(Kind::NotFound, Code::NoPartition, what);
        if self.archive.is_some() {
            return Err(error.advise("it is an archive of images: choose one with --image, by its number or name"));
        }
        let numbers: Vec<String> = self.table.partitions.iter().map(|p| p.number.to_string()).collect();
        let whole = if numbers.iter().any(|number| number == "0") { " (0 is the whole disk)" } else { "" };
        Err(error.advise(match numbers.len() {
            0 => "its partition table is empty".to_owned(),
            1 => format!("it has the partition {}{whole}", numbers[0]),
            _ => format!("it has the partitions {}{whole}", numbers.join(", ")),
        }))
    }

    /// Returns the volume that is chosen, if one is.
    ///
    /// # Errors
    /// `no-image`; `not-a-disk` where an image in an archive is chosen and there is no archive.
    pub(crate) fn chosen(&self, choice: &Choice) -> Result<Option<VolumeId>> {
        let wanted = match &choice.volume {
            None => return Ok(None),
            Some(VolumeChoice::Id(id)) => return Ok(Some(*id)),
            Some(VolumeChoice::ArchiveImage(wanted)) => wanted,
        };
        if self.archive.is_none() {
            let what = format!("{} is not a WIM archive: it has no images to choose", self.path.display());
            return Err(Error::refused(Code::NotADisk, what).advise("omit --image, or choose with --partition"));
        }
        let images = &self.table.partitions;
        let is_named = |image: &&Partition| image.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        let by_number = wanted.parse().ok().and_then(|number: u32| images.iter().find(|image| image.number == number));
        let mut by_name = images.iter().filter(is_named);
        match (by_number, by_name.next(), by_name.next()) {
            (Some(image), ..) | (None, Some(image), None) => Ok(Some(image.id())),
            (None, Some(one), Some(other)) => {
                let what = format!("the images {} and {} have the same name {wanted}", one.number, other.number);
                Err(Error::refused(Code::NoImage, what).advise("choose one by its number"))
            }
            (None, None, _) => Err(self.no_image(wanted)),
        }
    }

    fn no_image(&self, wanted: &str) -> Error {
        let name = |image: &Partition| match &image.name {
            Some(name) => format!("{} ({name})", image.number),
            None => image.number.to_string(),
        };
        let names: Vec<String> = self.table.partitions.iter().map(name).collect();
        let what = format!("{} has no image {wanted}", self.path.display());
        Error::new(Kind::NotFound, Code::NoImage, what).advise(match names.len() {
            0 => "the archive is empty".to_owned(),
            1 => format!("it has the image {}", names[0]),
            _ => format!("it has the images {}", names.join(", ")),
        })
    }

    /// Returns whether a partition belongs to the same dynamic disk or pool as an earlier one, whose volumes may use
    /// all of its partitions; such partitions are reported once.
    pub(crate) fn is_reported_before(&self, partition: &Partition) -> bool {
        let is_pool = matches!(partition.kind, VolumeKind::DynamicDisk | VolumeKind::StorageSpaces);
        let first = self.table.partitions.iter().find(|other| other.kind == partition.kind && !other.is_reserved());
        is_pool && first.is_some_and(|first| first.number != partition.number)
    }

    /// Returns the bytes of a partition.
    pub(super) fn window(&self, partition: &Partition) -> Result<Arc<dyn Storage>> {
        // A truncated image lacks the rest; the file system reports whether that matters.
        Ok(Arc::new(Window::new(self.below.clone(), partition.offset, partition.available, Space::Volume)?))
    }

    /// Returns the file system of a partition, opened once.
    ///
    /// # Errors
    /// The partition has another kind of contents, which the code names, or is damaged.
    pub(crate) fn volume(&self, partition: &Partition) -> Result<Arc<dyn Files>> {
        let known = || self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = known().get(&partition.id()) {
            return Ok(files.clone());
        }
        let files = self.open_volume(partition)?;
        known().insert(partition.id(), files.clone());
        Ok(files)
    }

    /// Returns the same disk with no file system opened.
    pub(super) fn reopening_volumes(&self) -> Disk {
        Disk { volumes: Arc::default(), ..self.clone() }
    }

    /// Opens the file system of a partition. If its first sector is not recognised, an NTFS backup boot sector at its
    /// end is used.
    fn open_volume(&self, partition: &Partition) -> Result<Arc<dyn Files>> {
        match (partition.kind, partition.kind.unsupported()) {
            (VolumeKind::WimImage, _) => {
                let archive = self.archive.as_ref().ok_or_else(|| self.no_image(&partition.number.to_string()))?;
                Ok(Arc::new(archive.image(partition.number)?))
            }
            (VolumeKind::Ntfs, _) => Ok(Arc::new(Ntfs::open(self.window(partition)?)?)),
            (VolumeKind::Fat, _) => Ok(Arc::new(Fat::open(self.window(partition)?)?)),
            (VolumeKind::Unknown | VolumeKind::Empty, Some(error)) => Ntfs::open_by_backup(self.window(partition)?)
                .map(|volume| Arc::new(volume) as Arc<dyn Files>)
                .map_err(|failed| match failed.code() {
                    Code::NtfsBootSector => error,
                    _ => failed,
                }),
            (_, Some(error)) => Err(error),
            (_, None) => Err(Error::new(Kind::Unsupported, Code::VolumeKind, "no supported file system")),
        }
    }
}
