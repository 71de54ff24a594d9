//! The file system traits: a Windows path leads to a file, which is a [`Storage`], and a volume reports its state.
//!
//! [`Files`] is the only entry point; all file systems implement it. A file is a [`FileInVolume`]: it reads like any
//! storage, and writes go through [`Storage::write_at`] of the volume below, into clusters that the file already owns.
//! Only a [`Growth`], which makes a file longer, changes metadata.
//!
//! [`Storage`]: hivewright_storage::Storage
//! [`Storage::write_at`]: hivewright_storage::Storage::write_at

pub mod extents;
pub mod file;
pub mod growth;
pub mod hibernation;
pub(crate) mod reparse;
pub mod shadow_copies;

pub use extents::{Extent, Extents};
pub use file::{Contents, Facts, FileInVolume, Packed, Traits};
pub use growth::Growth;
pub use hibernation::Hibernation;

use std::path::PathBuf;

use hivewright_error::{Code, Error, Kind, Result};

/// A volume with files.
///
/// Paths begin at the root of the volume. Backslashes or slashes separate names, which are compared as the file system
/// of Windows does: without regard to case unless the volume says otherwise. `.` and `..` are ordinary names.
pub trait Files: Send + Sync {
    /// Opens the file at `path`. `None` if a name of the path does not exist.
    ///
    /// # Errors
    /// The volume is damaged on the path; `file-reparse`: the path leads through a link; `file-filtered`: a filter
    /// driver of Windows makes the file's contents; `file-is-folder`.
    fn open(&self, path: &str) -> Result<Option<FileInVolume>>;

    /// Returns the entries of the folder at `path`, sorted by name; each file once, by its long name. `None` if a name
    /// of the path does not exist or is not a folder.
    ///
    /// # Errors
    /// The volume is damaged on the path, or the folder has more than [`MAX_ENTRIES`].
    fn list(&self, path: &str) -> Result<Option<Vec<DirEntry>>>;

    /// Returns the state that matters before a write. Reads a few blocks more than [`Files::open`].
    ///
    /// # Errors
    /// I/O errors; the volume's metadata is damaged.
    fn state(&self) -> Result<VolumeState>;

    /// Returns the path of the host for the file at `path`, if the volume is a folder of the host. `None` for a volume
    /// in an image.
    ///
    /// # Errors
    /// As [`Files::open`].
    fn host_path(&self, path: &str) -> Result<Option<PathBuf>> {
        let _ = path;
        Ok(None)
    }

    /// Plans the growth of the file at `path` to `len` bytes. Nothing is written: see [`Growth::write`]. `None` if a
    /// name of the path does not exist.
    ///
    /// # Errors
    /// As [`Files::open`] and [`FileInVolume::writable`]. [`Kind::NoRoom`]: `no-room`, `free-space-in-pieces`,
    /// `file-record-full`, `file-in-many-records`. [`Kind::Refused`]: `growth-in-doubt`, if the volume's cluster bitmap
    /// may be outdated; `file-of-file-system`. [`Kind::Unsupported`]: `fixed-length`, for a shorter length and for
    /// volumes without growth.
    fn plan_growth(&self, path: &str, len: u64) -> Result<Option<Growth>> {
        let what = format!("{path} cannot grow to {len} bytes on this file system");
        Err(Error::new(Kind::Unsupported, Code::FixedLength, what))
    }

    /// Returns whether files are replaced as a whole instead of in place: see
    /// [`Archive::replace`](crate::wim::Archive::replace).
    fn replaces_files(&self) -> bool {
        false
    }

    /// Checks before a write that the cluster bitmap of the file system marks those of `file` as in use, and checks
    /// other tables that a reader does not need. Does nothing for a file system without a bitmap.
    ///
    /// # Errors
    /// `file-clusters-free`; the map, or another table of the file system, is damaged or cannot be read.
    fn confirm(&self, file: &FileInVolume) -> Result<()> {
        let _ = file;
        Ok(())
    }
}

/// Returns the names of `path`, from the root on.
pub fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split(['\\', '/']).filter(|name| !name.is_empty())
}

/// Maximum number of entries that [`Files::list`] returns.
pub const MAX_ENTRIES: usize = 1 << 18;

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DirEntry {
    /// The long name; damaged UTF-16 becomes U+FFFD.
    pub name: String,
    /// The file system's number of the file: on NTFS its record number.
    pub id: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it is a link, or a filter driver of Windows makes its contents.
    pub is_reparse: bool,
    /// Length in bytes, as the folder records it, which may be outdated.
    pub len: u64,
}

/// The state of a volume.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct VolumeState {
    /// `NTFS`, `FAT32`, ...
    pub file_system: &'static str,
    /// Version of the format, major and minor, if it has one.
    pub version: Option<(u8, u8)>,
    /// The volume's label; empty for none.
    pub label: String,
    /// Whether the volume requests a check.
    pub dirty: bool,
    /// The volume's flags, unmodified.
    pub flags: u16,
    /// The state of the journal.
    pub journal: Journal,
    /// The state of the hibernation file in the root.
    pub hibernation: Hibernation,
    /// The number of shadow copies; `None` if unknown.
    pub shadow_copies: Option<u32>,
    /// Defects that reading worked around.
    pub remarks: Vec<Remark>,
}

/// A defect that reading worked around. Writing should not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Remark {
    /// Stable code.
    pub code: Code,
    /// The defect, as a fragment of a sentence.
    pub what: String,
}

/// The recorded state of a file system's journal, without interpretation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Journal {
    /// The file system has none.
    None,
    /// Empty: newly formatted, or reset by another driver.
    Empty,
    /// It has a restart area.
    Restart {
        /// Major and minor version. 2.0 is written by Windows 8 and later while metadata may still be in its cache:
        /// after Fast Startup, hibernation or a crash; a full shutdown leaves 1.1.
        version: (i16, i16),
        /// Whether nothing is left to be redone: no client holds the log, or it was closed as clean.
        clean: bool,
    },
    /// Not readable as a journal; the code of the error.
    Unreadable(Code),
}

impl Journal {
    /// Returns whether Windows may keep newer metadata in a saved session.
    pub fn may_be_cached(&self) -> bool {
        matches!(self, Journal::Restart { version: (2, 0), .. })
    }

    /// Returns whether there may be operations to redo.
    pub fn is_unclean(&self) -> bool {
        matches!(self, Journal::Restart { clean: false, .. } | Journal::Unreadable(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_slashes_separate_names() {
        assert_eq!(names("\\Windows/System32\\\\config/SYSTEM").count(), 4);
        assert_eq!(names("/").count(), 0);
    }
}
