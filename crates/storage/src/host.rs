//! The operations that a commit needs of the host's file system, as a trait, so that tests can inject faults.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use hivewright_error::Result;

use super::Storage;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Reading and writing an existing file. On Windows this also excludes other writers, until the file is closed.
    Write,
}

/// The identity of a file: two names with the same id are the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The file system.
    pub device: u64,
    /// The file in it.
    pub file: u128,
}

/// The host's metadata of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The identity; `None` where the host has no stable one.
    pub id: Option<FileId>,
    /// The number of its names (hard links).
    pub links: u64,
    /// Whether it is a regular file.
    pub regular: bool,
    /// Whether it is a block device.
    pub device: bool,
    /// Permission bits, at most 0o777; 0 where the host has none.
    pub mode: u32,
    /// Why a new file in its place would differ, as far as the host and the file system tell.
    pub keeps: Option<&'static str>,
}

/// Whether a new file took over the metadata of the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Owner, mode and extended attributes are the same.
    Whole,
    /// The metadata that could not be carried over.
    Lost(String),
}

/// An open file of a host.
pub trait HostFile: Storage {
    /// Returns the metadata of the file.
    ///
    /// # Errors
    /// I/O errors.
    fn about(&self) -> Result<About>;

    /// Takes the exclusive advisory lock on the whole file until the file is closed. Returns `false` if another program
    /// has a lock.
    ///
    /// # Errors
    /// I/O errors.
    fn try_lock(&self) -> Result<bool>;

    /// Takes the locks that virtual machines respect, until the file is closed. Returns `false` if another program has
    /// one. Does nothing where the host has no such locks.
    ///
    /// # Errors
    /// I/O errors.
    fn try_lock_ranges(&self) -> Result<bool> {
        Ok(true)
    }

    /// Takes the shared advisory lock on the whole file, and the locks that keep virtual machines from writing. Returns
    /// `false` if a program writes to the file.
    ///
    /// # Errors
    /// I/O errors.
    fn try_share(&self) -> Result<bool> {
        Ok(true)
    }

    /// Sets the access and modification times to `from`.
    ///
    /// # Errors
    /// I/O errors.
    fn take_times(&self, from: &Times) -> Result<()>;

    /// Returns the access and modification times.
    ///
    /// # Errors
    /// I/O errors.
    fn times(&self) -> Result<Times>;
}

/// The access and modification times of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Last access.
    pub accessed: std::time::SystemTime,
    /// Last change of the contents.
    pub modified: std::time::SystemTime,
}

/// The file system as a commit sees it. [`super::RealHost`] is the real one. A clone is the same file system.
pub trait Host: Clone + Send + Sync + 'static {
    /// Its type of open files.
    type File: HostFile + 'static;

    /// Whether calls may run in parallel. `false` for a test host that injects faults one at a time.
    const CONCURRENT: bool = true;

    /// Returns the absolute path of the file, with all symbolic links resolved.
    ///
    /// # Errors
    /// `no-file`; I/O errors.
    fn resolve(&self, path: &Path) -> Result<PathBuf>;

    /// Returns whether the name is in use by any entry, even a dangling symbolic link.
    ///
    /// # Errors
    /// I/O errors.
    fn exists(&self, path: &Path) -> Result<bool>;

    /// Returns the paths of the regular files in `folder` whose names start with `prefix`, sorted by name.
    ///
    /// # Errors
    /// The host could not list the folder.
    fn starting_with(&self, folder: &Path, prefix: &OsStr) -> Result<Vec<PathBuf>>;

    /// Opens an existing file. A block device is opened for writing only if no mount and no other program has claimed
    /// it.
    ///
    /// # Errors
    /// `in-use` if another program keeps the file; I/O errors.
    fn open(&self, path: &Path, access: Access) -> Result<Self::File>;

    /// Makes an empty file with an unused name in the folder of `beside`, for reading and writing, with permission bits
    /// `mode` less the umask.
    ///
    /// # Errors
    /// I/O errors.
    fn create_temporary(&self, beside: &Path, mode: u32) -> Result<(PathBuf, Self::File)>;

    /// Gives `to` the owner, the mode and the extended attributes of `from`, and verifies the result.
    ///
    /// # Errors
    /// I/O errors of `from`. Metadata that `to` does not accept is [`Carried::Lost`], not an error.
    fn carry_metadata(&self, from: &Self::File, to: &Self::File) -> Result<Carried>;

    /// Copies the bytes of `from` to the empty file `to`: shares blocks where the file system can, and keeps holes.
    ///
    /// # Errors
    /// I/O errors.
    fn copy_bytes(&self, from: &Self::File, to: &Self::File) -> Result<()> {
        copy_range(from, to, 0, from.len()?)
    }

    /// Renames `from` to `to` atomically and replaces an existing file.
    ///
    /// # Errors
    /// I/O errors.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Renames `from` to `to` if that name is unused. Returns `false`, and does nothing, if it is in use.
    ///
    /// # Errors
    /// I/O errors.
    fn rename_new(&self, from: &Path, to: &Path) -> Result<bool>;

    /// Removes a file.
    ///
    /// # Errors
    /// I/O errors.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Flushes the names in `folder` to the medium.
    ///
    /// # Errors
    /// I/O errors; some of the names may not be durable.
    fn sync_folder(&self, folder: &Path) -> Result<()>;
}

/// Copies a range, grows `to` to the end of the range, and leaves holes for zeros.
pub(super) fn copy_range(from: &dyn Storage, to: &dyn Storage, start: u64, end: u64) -> Result<()> {
    const PIECE: usize = 1 << 20;
    if to.len()? < end {
        to.set_len(end)?;
    }
    let mut piece = vec![0; PIECE];
    let mut at = start;
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        from.read_at(at, &mut piece[..len])?;
        if piece[..len].iter().any(|&byte| byte != 0) {
            to.write_at(at, &piece[..len])?;
        }
        at += len as u64;
    }
    Ok(())
}
