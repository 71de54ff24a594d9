//! Folders of the host, looked up as Windows does: names without regard to case. Symbolic links are not followed.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::file::failed;
use hivewright_error::{Code, Error, Kind, Result};

/// The kind of a file system entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A block device: a disk or a partition of this machine.
    Device,
    /// A pipe or another device; in a folder, also a symbolic link.
    Other,
}

/// Returns the kind of the entry at a path that the user named. Follows symbolic links.
///
/// # Errors
/// [`Kind::NotFound`] if there is no entry; I/O errors otherwise.
pub fn kind_of(path: &Path) -> Result<EntryKind> {
    #[cfg(windows)]
    if super::win32::device_name(path).is_some() {
        // The system reports no metadata of it.
        return super::win32::open_for_metadata(path, true)
            .map(|_| EntryKind::Device)
            .map_err(|e| failed("open", path, e));
    }
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

/// Returns the name of a file, or that of a device: `PhysicalDrive1` for `\\.\PhysicalDrive1` on Windows, whose path has
/// no name.
pub fn name_of(path: &Path) -> OsString {
    #[cfg(windows)]
    if let Some(name) = super::win32::device_name(path) {
        // A colon ends the name of a file.
        return name.replace(':', "").into();
    }
    path.file_name().unwrap_or_default().to_owned()
}

/// Returns the modification time of a file, or `None` where the host does not report it.
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

/// Returns the entries of `folder` that have this kind and whose names satisfy `wanted`, sorted by name.
///
/// # Errors
/// I/O errors if the folder cannot be listed.
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

/// Returns the entries of `folder` that have this kind and this name without regard to case: several where the host's
/// names are case-sensitive.
///
/// # Errors
/// As [`entries`].
pub fn named(folder: &Path, kind: EntryKind, name: &str) -> Result<Vec<PathBuf>> {
    entries(folder, kind, &|entry| entry.eq_ignore_ascii_case(name))
}
