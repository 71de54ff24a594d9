//! FAT12, FAT16 and FAT32 volumes, as Windows XP could be installed on: a path leads to the clusters of a file.
//!
//! Facts are those of Microsoft's "FAT: General Overview of On-Disk Format" (fatgen103), and of the Linux and NT drivers
//! for the dirty bits. Nothing is written but through [`FatFile`], into clusters that the file owns: no directory entry, no FAT,
//! no FSInfo. The walk is our own because the crate `fatfs` 0.3.6 gives no extents, panics on boot sectors whose sizes
//! overflow and on cluster numbers below 2, and takes minutes over a folder whose chain is a cycle; it is the witness
//! in the tests instead.

mod boot_sector;
mod chain;
mod file;
mod folder;

#[cfg(test)]
mod against_tools;
#[cfg(test)]
mod hostile;

pub use boot_sector::{FatType, Geometry};
pub use file::{Extent, FatFile};
pub use folder::DirEntry;

use std::sync::Arc;

use crate::error::{Error, Kind, Result, Space};
use crate::storage::Storage;
use folder::Found;

/// A FAT volume.
pub struct Fat {
    volume: Arc<dyn Storage>,
    geometry: Geometry,
}

/// What the volume says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FatState {
    /// FAT12, FAT16 or FAT32.
    pub fat_type: FatType,
    /// The volume was not unmounted: by the boot sector (Windows NT and later) or by entry 1 of the FAT (Windows 9x).
    pub dirty: bool,
    /// A disk error was met while it was mounted.
    pub io_error: bool,
    /// What stands in the root's `hiberfil.sys`.
    pub hibernation: Hibernation,
}

/// What `hiberfil.sys` says, by its length and its first four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hibernation {
    /// There is no such file.
    NoFile,
    /// Shorter than 4096 bytes while present (its length).
    Short(u64),
    /// `hibr` or `HIBR`: a session is saved.
    Saved,
    /// `wake` or `WAKE`: the session has been resumed.
    Resumed,
    /// Zeros: no session is saved.
    Zeros,
    /// Other bytes.
    Other([u8; 4]),
    /// The file is there and cannot be read; the code of the error that says why.
    Unreadable(&'static str),
}

impl Hibernation {
    /// Judges by the file's length and its first four bytes.
    pub fn judge(len: u64, first: [u8; 4]) -> Self {
        match (len, &first) {
            (0..4096, _) => Hibernation::Short(len),
            (_, b"hibr" | b"HIBR") => Hibernation::Saved,
            (_, b"wake" | b"WAKE") => Hibernation::Resumed,
            (_, [0, 0, 0, 0]) => Hibernation::Zeros,
            _ => Hibernation::Other(first),
        }
    }

    /// Whether a saved session may overwrite what is written now. Bytes that are not understood count.
    pub fn is_saved(self) -> bool {
        !matches!(self, Hibernation::NoFile | Hibernation::Resumed | Hibernation::Zeros)
    }
}

impl Fat {
    /// Opens the volume that is all of `volume`.
    ///
    /// # Errors
    /// `fat-boot-sector`: no boot sector of FAT stands there, or its sizes contradict each other; or the storage could
    /// not be read.
    pub fn open(volume: Arc<dyn Storage>) -> Result<Self> {
        let mut sector = [0; 512];
        if volume.len()? < 512 {
            return Err(Error::new(Kind::Unsupported, "fat-boot-sector", "the volume is too short for a boot sector"));
        }
        volume.read_at(0, &mut sector)?;
        Ok(Fat { geometry: Geometry::parse(&sector)?, volume })
    }

    /// The sizes of the volume.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The file at `path`: names parted by backslashes or slashes, long or 8.3, compared without regard to case. `None`
    /// if a name on the way is not there.
    ///
    /// # Errors
    /// `file-is-folder`; the volume is damaged on the way (`fat-*`), or could not be read.
    pub fn find(&self, path: &str) -> Result<Option<FatFile>> {
        match self.resolve(path)? {
            Some(Found::Entry(entry)) if !entry.is_folder => {
                FatFile::open(self.volume.clone(), &self.geometry, &entry).map(Some)
            }
            Some(_) => Err(Error::new(Kind::NotFound, "file-is-folder", format!("{path} is a folder"))),
            None => Ok(None),
        }
    }

    /// What stands in the folder at `path`, in the order of the volume. `None` if a name on the way is not there, or no
    /// folder.
    ///
    /// # Errors
    /// The volume is damaged on the way, or could not be read.
    pub fn list(&self, path: &str) -> Result<Option<Vec<DirEntry>>> {
        match self.resolve(path)? {
            Some(found) if found.is_folder() => folder::entries(&*self.volume, &self.geometry, &found).map(Some),
            _ => Ok(None),
        }
    }

    /// What must be known before anything is written.
    ///
    /// # Errors
    /// The storage could not be read.
    pub fn state(&self) -> Result<FatState> {
        let [dirty, io_error] = chain::status_bits(&*self.volume, &self.geometry)?;
        let hibernation = match self.hibernation() {
            Err(error) if error.kind() == Kind::Io => return Err(error),
            Err(error) => Hibernation::Unreadable(error.code()),
            Ok(hibernation) => hibernation,
        };
        Ok(FatState { fat_type: self.geometry.fat_type, dirty, io_error, hibernation })
    }

    fn hibernation(&self) -> Result<Hibernation> {
        let Some(file) = self.find("hiberfil.sys")? else { return Ok(Hibernation::NoFile) };
        let (len, mut first) = (file.len()?, [0; 4]);
        if len >= 4096 {
            file.read_at(0, &mut first)?;
        }
        Ok(Hibernation::judge(len, first))
    }

    fn resolve(&self, path: &str) -> Result<Option<Found>> {
        let mut at = Found::Root;
        for name in path.split(['\\', '/']).filter(|name| !name.is_empty()) {
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

fn corrupt(code: &'static str, what: impl Into<String>, offset: u64) -> Error {
    Error::new(Kind::Corrupt, code, what).at(Space::Volume, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hibernation_is_judged_by_length_first() {
        assert_eq!(Hibernation::judge(100, *b"wake"), Hibernation::Short(100));
        assert_eq!(Hibernation::judge(4096, *b"hibr"), Hibernation::Saved);
        assert!(Hibernation::judge(4096, *b"RSTR").is_saved(), "unknown bytes are not taken for harmless");
        assert!(!Hibernation::judge(4096, *b"wake").is_saved());
    }
}
