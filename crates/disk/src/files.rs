//! What a file system offers: a Windows path leads to a file that is a [`Storage`], and the state of the volume.
//!
//! [`Files`] is the one door; each file system stands behind it. A file is handed out as a [`FileInVolume`]: it reads
//! like any storage, and writes go through [`Storage::write_at`] of the volume below, into clusters that the file
//! already owns. Metadata changes by a [`Growth`] alone, which makes a file longer.
//!
//! [`Storage`]: hivewright_storage::Storage
//! [`Storage::write_at`]: hivewright_storage::Storage::write_at

pub mod extents;
pub mod file;
pub mod growth;
pub mod hibernation;
pub mod shadow_copies;

pub use extents::{Extent, Extents};
pub use file::{Contents, Facts, FileInVolume, Traits};
pub use growth::Growth;
pub use hibernation::Hibernation;

use std::path::PathBuf;

use hivewright_error::{Code, Error, Kind, Result};

/// A volume with files.
///
/// Paths begin at the root of the volume; names are parted by backslashes or slashes and compared as the file system
/// of Windows does, so without regard to case unless the volume says otherwise. `.` and `..` are names like any other.
pub trait Files: Send + Sync {
    /// The file at `path`. `None` if a name on the way is not there.
    ///
    /// # Errors
    /// The volume is damaged on the way, the way leads through a link (`file-reparse`), a filter driver of Windows
    /// makes the file's bytes (`file-filtered`), or a folder stands there (`file-is-folder`).
    fn open(&self, path: &str) -> Result<Option<FileInVolume>>;

    /// What stands in the folder at `path`, sorted by name; each file once, by its long name. `None` if a name on the
    /// way is not there, or no folder.
    ///
    /// # Errors
    /// The volume is damaged on the way, or the folder holds more than [`MAX_ENTRIES`].
    fn list(&self, path: &str) -> Result<Option<Vec<DirEntry>>>;

    /// What must be known before anything is written. It reads a few blocks more than [`Files::open`] does.
    ///
    /// # Errors
    /// The storage below could not be read, or the volume does not say.
    fn state(&self) -> Result<VolumeState>;

    /// The file of the host that is the file at `path`, where the volume is a folder of the host. `None` for a volume inside of
    /// an image.
    ///
    /// # Errors
    /// As [`Files::open`].
    fn host_path(&self, path: &str) -> Result<Option<PathBuf>> {
        let _ = path;
        Ok(None)
    }

    /// Plans that the file at `path` becomes `len` bytes long. Nothing is written: see [`Growth::write`]. `None` if a name on
    /// the way is not there.
    ///
    /// # Errors
    /// As [`Files::open`] and [`FileInVolume::writable`]. [`Kind::NoRoom`]: `no-room`, `free-space-in-pieces`,
    /// `file-record-full`, `file-in-many-records`. [`Kind::Refused`]: `growth-in-doubt` where the volume's map of clusters may
    /// not be the newest, `file-of-file-system`. [`Kind::Unsupported`]: `fixed-length` for a file that would become shorter,
    /// and where this knows of no way.
    fn plan_growth(&self, path: &str, len: u64) -> Result<Option<Growth>> {
        let what = format!("{path} cannot be made {len} bytes long here");
        Err(Error::new(Kind::Unsupported, Code::FixedLength, what))
    }

    /// Checks before a write what a reader can do without, above all that the file system's own map of clusters agrees
    /// that those of `file` are in use. A file system whose only map is the chain of clusters itself has nothing to add.
    ///
    /// # Errors
    /// `file-clusters-free`; the map, or another table of the file system, is damaged or cannot be read.
    fn confirm(&self, file: &FileInVolume) -> Result<()> {
        let _ = file;
        Ok(())
    }
}

/// The code of the error for a file whose bytes a filter driver of Windows makes.
pub const FILTERED: Code = Code::FileFiltered;

/// The names of `path`, outermost first.
pub fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split(['\\', '/']).filter(|name| !name.is_empty())
}

/// Entries that [`Files::list`] gives at most.
pub const MAX_ENTRIES: usize = 1 << 18;

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DirEntry {
    /// The long name; damaged UTF-16 shows as U+FFFD.
    pub name: String,
    /// The file system's number of the file: on NTFS its record number.
    pub id: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it leads elsewhere, or a filter driver of Windows makes its bytes.
    pub is_reparse: bool,
    /// Bytes, as the folder says. It can lag behind the file's own length.
    pub len: u64,
}

/// What the volume says about itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct VolumeState {
    /// `NTFS`, `FAT32`, ...
    pub file_system: &'static str,
    /// Version of the format, major and minor, where it has one.
    pub version: Option<(u8, u8)>,
    /// The volume's label; empty for none.
    pub label: String,
    /// The volume asks to be checked before it is used.
    pub dirty: bool,
    /// The volume's flags as they stand.
    pub flags: u16,
    /// The state of the journal.
    pub journal: Journal,
    /// What the hibernation file in the root says.
    pub hibernation: Hibernation,
    /// How many shadow copies of it there are; `None` where that cannot be told.
    pub shadow_copies: Option<u32>,
    /// What was out of order while opening and could be worked around.
    pub remarks: Vec<Remark>,
}

/// Something out of order that reading got around. Writing should not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Remark {
    /// Stable code.
    pub code: Code,
    /// One sentence fragment.
    pub what: String,
}

/// The state of a file system's journal: facts, not a judgement.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Journal {
    /// The file system has none.
    None,
    /// It holds nothing: freshly made, or emptied by another driver.
    Empty,
    /// It has a restart area.
    Restart {
        /// Major and minor version. 2.0 is written by Windows 8 and later while metadata may still be in its cache:
        /// after Fast Startup, hibernation or a crash; a full shutdown leaves 1.1.
        version: (i16, i16),
        /// Nothing is left to be redone: no client holds the log, or it was closed as clean.
        clean: bool,
    },
    /// It cannot be read as a journal; the code of the error that says why.
    Unreadable(Code),
}

impl Journal {
    /// Whether Windows may keep newer metadata in a saved session.
    pub fn may_be_cached(&self) -> bool {
        matches!(self, Journal::Restart { version: (2, 0), .. })
    }

    /// Whether there may be work to redo.
    pub fn is_unclean(&self) -> bool {
        matches!(self, Journal::Restart { clean: false, .. } | Journal::Unreadable(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_part_at_both_slashes() {
        assert_eq!(names("\\Windows/System32\\\\config/SYSTEM").count(), 4);
        assert_eq!(names("/").count(), 0);
    }
}
