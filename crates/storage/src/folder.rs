//! Folders of the host, read as Windows reads its own: names without regard to case. Links are not followed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::file::failed;
use hivewright_error::{Code, Error, Kind, Result};

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A block device: a disk or a partition of this machine.
    Device,
    /// A pipe, another device; in a folder, a symbolic link too.
    Other,
}

/// What a path given by the user is. Links are followed here, since the user named them.
///
/// # Errors
/// [`Kind::NotFound`] if there is nothing, I/O errors otherwise.
pub fn kind_of(path: &Path) -> Result<EntryKind> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(EntryKind::Folder),
        Ok(found) if found.is_file() => Ok(EntryKind::File),
        Ok(found) if is_block_device(&found) => Ok(EntryKind::Device),
        Ok(_) => Ok(EntryKind::Other),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::new(Kind::NotFound, Code::NoFile, format!("there is no {}", path.display())))
        }
        Err(e) => Err(failed("look at", path, e)),
    }
}

/// When the contents of a file last changed, as the host says; `None` where it does not.
pub fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).and_then(|found| found.modified()).ok()
}

#[cfg(unix)]
pub(super) fn is_block_device(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&found.file_type())
}

#[cfg(not(unix))]
pub(super) fn is_block_device(_: &fs::Metadata) -> bool {
    false
}

/// The entries of `folder` of one kind whose names satisfy `wanted`, in the order of their names.
///
/// # Errors
/// The host could not list the folder.
pub fn entries(folder: &Path, kind: EntryKind, wanted: &dyn Fn(&OsStr) -> bool) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io(format!("cannot read the folder {}: {e}", folder.display()), e);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !wanted(&entry.file_name()) {
            continue;
        }
        let is = entry.file_type().map_err(failed)?;
        let this = match (is.is_file(), is.is_dir()) {
            (true, _) => EntryKind::File,
            (_, true) => EntryKind::Folder,
            _ => EntryKind::Other,
        };
        if this == kind {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The entries of `folder` of one kind called `name`, without regard to case: several where the host tells cases apart.
///
/// # Errors
/// As [`entries`].
pub fn named(folder: &Path, kind: EntryKind, name: &str) -> Result<Vec<PathBuf>> {
    entries(folder, kind, &|entry| entry.eq_ignore_ascii_case(name))
}
