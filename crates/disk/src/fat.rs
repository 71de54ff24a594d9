//! FAT12, FAT16 and FAT32 volumes, which Windows XP could be installed on.
//!
//! Facts: Microsoft, "FAT: General Overview of On-Disk Format" (fatgen103); for the dirty bits, the Linux and NT
//! drivers. Writes go through [`FileInVolume`] into clusters that the file owns, and by a [`Growth`] to the FATs, the
//! file's folder entry and FSInfo. The crate `fatfs` 0.3.6 is not used, because it returns no extents, panics on boot
//! sectors whose sizes overflow and on cluster numbers below 2, and takes minutes over a folder whose chain is a cycle;
//! tests compare with it.

mod boot_sector;
mod chain;
mod file;
mod folder;
mod growth;

#[cfg(test)]
mod against_tools;
#[cfg(test)]
mod hostile;

pub use boot_sector::{FatType, Geometry};
pub use folder::DirEntry;

use std::sync::Arc;

use crate::files::{self, FileInVolume, Files, Growth, Hibernation, Journal, Remark, VolumeState, hibernation};
use folder::Found;
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;

/// A FAT volume.
pub struct Fat {
    volume: Arc<dyn Storage>,
    geometry: Geometry,
}

impl Fat {
    /// Opens `volume` as FAT.
    ///
    /// # Errors
    /// `fat-boot-sector`: there is no FAT boot sector, or its sizes contradict each other. I/O errors.
    pub fn open(volume: Arc<dyn Storage>) -> Result<Self> {
        let mut sector = [0; 512];
        if volume.len()? < 512 {
            return Err(Error::new(
                Kind::Unsupported,
                Code::FatBootSector,
                "the volume is too short for a boot sector",
            ));
        }
        volume.read_at(0, &mut sector)?;
        Ok(Fat { geometry: Geometry::parse(&sector)?, volume })
    }

    /// Returns the sizes of the volume.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the folder entry of the file or folder at `path`. `None` if a name of the path does not exist, or for
    /// the root.
    ///
    /// # Errors
    /// The volume is damaged on the path (`fat-*`); I/O errors.
    pub fn entry(&self, path: &str) -> Result<Option<DirEntry>> {
        Ok(match self.resolve(path)? {
            Some(Found::Entry(entry)) => Some(entry),
            Some(Found::Root) | None => None,
        })
    }

    /// Returns the entries of the folder at `path`, in the order of the volume. `None` if a name of the path does not
    /// exist or is not a folder.
    ///
    /// # Errors
    /// The volume is damaged on the path; I/O errors.
    pub fn entries(&self, path: &str) -> Result<Option<Vec<DirEntry>>> {
        match self.resolve(path)? {
            Some(found) if found.is_folder() => folder::entries(&*self.volume, &self.geometry, &found).map(Some),
            _ => Ok(None),
        }
    }

    fn hibernation(&self) -> Hibernation {
        match Files::open(self, hibernation::FILE) {
            Ok(None) => Hibernation::NoFile,
            Ok(Some(file)) => Hibernation::of(file.len(), |first| file.read_at(0, first)),
            Err(error) => Hibernation::unreadable(&error),
        }
    }

    fn resolve(&self, path: &str) -> Result<Option<Found>> {
        let mut at = Found::Root;
        for name in files::names(path) {
            if !at.is_folder() {
                return Ok(None);
            }
            match folder::find(&*self.volume, &self.geometry, &at, name)? {
                Some(entry) => at = Found::Entry(entry),
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}

/// Bit of [`VolumeState::flags`]: not unmounted, according to the boot sector (Windows NT and later) or entry 1 of the
/// FAT (Windows 9x).
pub const DIRTY: u16 = 1;
/// Bit of [`VolumeState::flags`]: a disk error occurred while it was mounted.
pub const DISK_ERROR: u16 = 2;

impl Files for Fat {
    /// Opens the file at `path`. Names are long or 8.3.
    fn open(&self, path: &str) -> Result<Option<FileInVolume>> {
        match self.resolve(path)? {
            Some(Found::Entry(entry)) if !entry.is_folder => {
                file::open(self.volume.clone(), &self.geometry, &entry).map(Some)
            }
            Some(_) => Err(is_folder(path)),
            None => Ok(None),
        }
    }

    fn list(&self, path: &str) -> Result<Option<Vec<files::DirEntry>>> {
        let Some(entries) = self.entries(path)? else { return Ok(None) };
        let entry = |entry: DirEntry| files::DirEntry {
            name: entry.name,
            id: u64::from(entry.first_cluster),
            is_folder: entry.is_folder,
            is_reparse: false,
            len: entry.len,
        };
        let mut entries: Vec<_> = entries.into_iter().map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(entries))
    }

    fn plan_growth(&self, path: &str, len: u64) -> Result<Option<Growth>> {
        match self.resolve(path)? {
            Some(Found::Entry(entry)) if !entry.is_folder => growth::plan(self, &entry, len).map(Some),
            Some(_) => Err(is_folder(path)),
            None => Ok(None),
        }
    }

    fn state(&self) -> Result<VolumeState> {
        let [dirty, io_error] = chain::status_bits(&*self.volume, &self.geometry)?;
        let error =
            || Remark { code: Code::FatDiskError, what: "a disk error occurred while it was mounted".to_owned() };
        Ok(VolumeState {
            file_system: match self.geometry.fat_type {
                FatType::Fat12 => "FAT12",
                FatType::Fat16 => "FAT16",
                FatType::Fat32 => "FAT32",
            },
            version: None,
            label: folder::label(&*self.volume, &self.geometry).unwrap_or_default(),
            dirty,
            flags: if dirty { DIRTY } else { 0 } | if io_error { DISK_ERROR } else { 0 },
            journal: Journal::None,
            hibernation: self.hibernation(),
            shadow_copies: Some(0),
            remarks: io_error.then(error).into_iter().collect(),
        })
    }
}

fn is_folder(path: &str) -> Error {
    Error::new(Kind::NotFound, Code::FileIsFolder, format!("{path} is a folder"))
}

fn corrupt(code: Code, what: impl Into<String>, offset: u64) -> Error {
    Error::new(Kind::Corrupt, code, what).at(Space::Volume, offset)
}
