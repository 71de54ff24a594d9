//! Everything a commit asks of the host's file system, as a seam for faults.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use hivewright_error::Result;

use super::Storage;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write an existing file. On Windows this also keeps other writers out.
    Write,
}

/// Which file it is, whatever it is called: two names with the same id are the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The file system.
    pub device: u64,
    /// The file in it.
    pub file: u64,
}

/// What the host says about an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Which file; `None` where the host has no stable answer.
    pub id: Option<FileId>,
    /// Names (hard links) it has.
    pub links: u64,
    /// Whether it is a regular file: neither folder nor device nor pipe.
    pub regular: bool,
    /// Whether it is a block device.
    pub device: bool,
    /// Permission bits, 0o777 at most where the host has such.
    pub mode: u32,
    /// Why a new file in its place would not be the same, as far as the host and the file system alone can tell.
    pub keeps: Option<&'static str>,
}

/// Whether a new file took over what the file system kept about the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Owner, mode and extended attributes are the same.
    Whole,
    /// This could not be carried over.
    Lost(String),
}

/// An open file of a host.
pub trait HostFile: Storage {
    /// What the host says about it.
    ///
    /// # Errors
    /// The host could not tell.
    fn about(&self) -> Result<About>;

    /// Takes the advisory lock on the whole file, exclusively, until the file is closed. `false`: somebody else has
    /// it.
    ///
    /// # Errors
    /// The host could not tell.
    fn try_lock(&self) -> Result<bool>;

    /// Takes the locks that virtual machines look at too, until the file is closed. `false`: somebody else has one. Where the host has none, nothing is taken.
    ///
    /// # Errors
    /// The host could not tell.
    fn try_lock_ranges(&self) -> Result<bool> {
        Ok(true)
    }

    /// Takes the advisory lock on the whole file together with others that read it, and those by which virtual machines
    /// see that it is read and must not change. `false`: somebody writes.
    ///
    /// # Errors
    /// The host could not tell.
    fn try_share(&self) -> Result<bool> {
        Ok(true)
    }

    /// Gives this file the access and modification times of `from`.
    ///
    /// # Errors
    /// The host could not.
    fn take_times(&self, from: &Times) -> Result<()>;

    /// The times of access and modification.
    ///
    /// # Errors
    /// The host could not tell.
    fn times(&self) -> Result<Times>;
}

/// When a file was last read and last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Last access.
    pub accessed: std::time::SystemTime,
    /// Last change of the contents.
    pub modified: std::time::SystemTime,
}

/// A file system, as far as a commit needs it. [`super::RealHost`] is the real one. A clone is the same file system.
pub trait Host: Clone + Send + Sync + 'static {
    /// Its open files.
    type File: HostFile + 'static;

    /// Whether several calls may be under way at once. A host that plays faults one by one says no.
    const CONCURRENT: bool = true;

    /// The path of the file itself: absolute, through every symbolic link.
    ///
    /// # Errors
    /// There is no such file.
    fn resolve(&self, path: &Path) -> Result<PathBuf>;

    /// Whether the name is taken, by whatever it be (a dangling symbolic link too).
    ///
    /// # Errors
    /// The host could not tell.
    fn exists(&self, path: &Path) -> Result<bool>;

    /// Paths of the regular files in `folder` whose name starts with `prefix`, in the order of their names.
    ///
    /// # Errors
    /// The host could not list the folder.
    fn starting_with(&self, folder: &Path, prefix: &OsStr) -> Result<Vec<PathBuf>>;

    /// Opens an existing file. A block device is opened for writing only if nothing else uses it so, a mount say.
    ///
    /// # Errors
    /// The host could not; code `in-use` where it says that another program keeps it.
    fn open(&self, path: &Path, access: Access) -> Result<Self::File>;

    /// Makes an empty file of a new name in the folder of `beside`, for reading and writing, with permission bits
    /// `mode` less what the user's mask takes away.
    ///
    /// # Errors
    /// The host could not.
    fn create_temporary(&self, beside: &Path, mode: u32) -> Result<(PathBuf, Self::File)>;

    /// Gives `to` the owner, the mode and the extended attributes of `from`, and looks whether they took.
    ///
    /// # Errors
    /// `from` could not be looked at. What `to` does not take is no error but [`Carried::Lost`].
    fn carry_metadata(&self, from: &Self::File, to: &Self::File) -> Result<Carried>;

    /// Makes `to`, which is empty, hold the bytes of `from`: sharing them where the file system can, and with the holes
    /// that `from` has.
    ///
    /// # Errors
    /// The host could not.
    fn copy_bytes(&self, from: &Self::File, to: &Self::File) -> Result<()> {
        copy_range(from, to, 0, from.len()?)
    }

    /// Renames `from` to `to`, in one step, in place of what is there.
    ///
    /// # Errors
    /// The host could not.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Renames `from` to `to` if nothing is there. `false`: something is, and nothing was done.
    ///
    /// # Errors
    /// The host could not.
    fn rename_new(&self, from: &Path, to: &Path) -> Result<bool>;

    /// Removes a file.
    ///
    /// # Errors
    /// The host could not.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Returns when the names in `folder` are on the medium.
    ///
    /// # Errors
    /// It is not known which of them are.
    fn sync_folder(&self, folder: &Path) -> Result<()>;
}

/// Copies a range, growing `to` to its end, and leaves out what is zeros.
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
