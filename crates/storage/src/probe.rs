//! Metadata, first bytes and folders of the host's files, which others control. Nothing here blocks, opens other than
//! regular files, or follows symbolic links, unless its documentation says so.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file::failed;
use super::{FileId, FileStorage};
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

/// The host's metadata of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The kind.
    pub kind: EntryKind,
    /// The identity; `None` where the host has no stable one.
    pub id: Option<FileId>,
    /// Length in bytes; 0 for entries without a length.
    pub len: u64,
    /// Whether the file has more than one name (hard link).
    pub is_linked: bool,
    /// Modification time; `None` where the host does not report it.
    pub modified: Option<SystemTime>,
}

/// An entry of a folder of the host. Symbolic links are [`EntryKind::Other`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderEntry {
    /// The name.
    pub name: OsString,
    /// The kind, as the folder reports it.
    pub kind: EntryKind,
}

/// Returns the metadata of `path` without opening it for reading. Follows links.
///
/// # Errors
/// `no-file` ([`Kind::NotFound`]) if there is no such entry; I/O errors.
pub fn metadata(path: &Path) -> Result<Metadata> {
    #[cfg(windows)]
    if super::win32::device_name(path).is_some() {
        // The system reports no metadata of it.
        super::win32::open_for_metadata(path, true).map_err(|e| failed("open", path, e))?;
        return Ok(Metadata { kind: EntryKind::Device, id: None, len: 0, is_linked: false, modified: None });
    }
    fs::metadata(path).map(|data| metadata_of(&data, names_at(path, &data))).map_err(|e| failed("access", path, e))
}

/// Returns the kind of the entry at `path`. Follows links.
///
/// # Errors
/// As [`metadata`].
pub fn kind_of(path: &Path) -> Result<EntryKind> {
    Ok(metadata(path)?.kind)
}

/// Returns the name of a file, or that of a device: `PhysicalDrive1` for `\\.\PhysicalDrive1` on Windows, whose path
/// has no name.
pub fn name_of(path: &Path) -> OsString {
    #[cfg(windows)]
    if let Some(name) = super::win32::device_name(path) {
        // A colon ends the name of a file.
        return name.replace(':', "").into();
    }
    path.file_name().unwrap_or_default().to_owned()
}

/// Returns the identity of the file that standard output goes to; `None` where the host does not tell.
#[cfg(unix)]
pub fn standard_output() -> Option<FileId> {
    metadata(Path::new("/dev/stdout")).ok()?.id
}

/// Returns the identity of the file that standard output goes to; `None` if it is none.
#[cfg(windows)]
pub fn standard_output() -> Option<FileId> {
    use std::os::windows::io::AsHandle;
    let output = File::from(io::stdout().as_handle().try_clone_to_owned().ok()?);
    super::win32::identity(&output).ok().map(|found| found.0)
}

/// Returns the folders, without links, of `path` and of each link on the way to the file; that of the file itself is
/// the last. A cycle of links ends the list.
pub fn folders_on_the_way(path: &Path) -> Vec<PathBuf> {
    // Linux follows at most 40 links.
    const MOST_LINKS: usize = 40;
    let (mut folders, mut path) = (Vec::new(), path.to_owned());
    for _ in 0..=MOST_LINKS {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let Ok(folder) = canonical(parent) else { break };
        if !folders.contains(&folder) {
            folders.push(folder.clone());
        }
        let Ok(to) = fs::read_link(&path) else { break };
        path = folder.join(to);
    }
    folders
}

/// Returns the absolute path without links. On Windows it has the prefix `\\?\` only where other programs need it too.
pub(super) fn canonical(path: &Path) -> io::Result<PathBuf> {
    #[cfg(windows)]
    return match super::win32::device_name(path) {
        Some(_) => Ok(path.to_owned()),
        None => dunce::canonicalize(path),
    };
    #[cfg(not(windows))]
    fs::canonicalize(path)
}

/// Returns the entries of `folder`, sorted by name.
///
/// # Errors
/// I/O errors.
pub fn list(folder: &Path) -> Result<Vec<FolderEntry>> {
    let failed = |e| failed("list", folder, e);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = match entry.file_type() {
            Ok(is) if is.is_file() => EntryKind::File,
            Ok(is) if is.is_dir() => EntryKind::Folder,
            Ok(_) => EntryKind::Other,
            // It was deleted meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(failed(e)),
        };
        entries.push(FolderEntry { name: entry.file_name(), kind });
    }
    entries.sort();
    Ok(entries)
}

/// Returns the paths of the entries of `folder` that have this kind and whose names satisfy `wanted`, sorted.
///
/// # Errors
/// As [`list`].
pub fn select(folder: &Path, kind: EntryKind, wanted: &dyn Fn(&OsStr) -> bool) -> Result<Vec<PathBuf>> {
    let entries = list(folder)?.into_iter();
    Ok(entries.filter(|it| it.kind == kind && wanted(&it.name)).map(|it| folder.join(it.name)).collect())
}

/// Returns the paths of the entries of `folder` that have this kind and this name without regard to case: several where
/// the host's names are case-sensitive.
///
/// # Errors
/// As [`list`].
pub fn named(folder: &Path, kind: EntryKind, name: &str) -> Result<Vec<PathBuf>> {
    select(folder, kind, &|entry| entry.eq_ignore_ascii_case(name))
}

/// Returns the first bytes of the regular file at `path`, at most `most`; follows links if `follow`. `None` for
/// anything else, which is neither opened for reading nor waited for.
///
/// # Errors
/// I/O errors.
pub fn peek(path: &Path, most: usize, follow: bool) -> Result<Option<(Metadata, Vec<u8>)>> {
    let file = match open_without_waiting(path, follow) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(None),
        Err(e) => return Err(failed("open", path, e)),
    };
    let about = file.metadata().map_err(|e| failed("access", path, e))?;
    if !about.is_file() {
        return Ok(None);
    }
    let size = usize::try_from(about.len()).unwrap_or(usize::MAX).min(most);
    let mut head = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match (&file).read(&mut head[filled..]) {
            // The file has become shorter.
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed("read", path, e)),
        }
    }
    head.truncate(filled);
    let names = names_of(&file, &about);
    Ok(Some((metadata_of(&about, names), head)))
}

/// Opens the regular file at `path` for reading and follows no link. `None` for anything else, without blocking.
///
/// # Errors
/// I/O errors.
pub fn open_plain(path: &Path) -> Result<Option<FileStorage>> {
    let Some(file) = open_without_waiting(path, false).map_err(|e| failed("open", path, e))? else { return Ok(None) };
    let is_file = file.metadata().map_err(|e| failed("access", path, e))?.is_file();
    Ok(is_file.then(|| FileStorage::new(file, path.to_owned())))
}

/// Opens any file that the user named for reading from start to end, even a pipe.
///
/// # Errors
/// I/O errors.
pub fn stream(path: &Path) -> Result<Box<dyn Read + Send>> {
    File::open(path).map(|file| Box::new(file) as Box<dyn Read + Send>).map_err(|e| failed("open", path, e))
}

/// Reads all bytes of a file that the user named, even of a pipe; `-` is standard input.
///
/// # Errors
/// `too-large` if there are more than `most` bytes; I/O errors.
pub fn read_named(path: &Path, most: u64) -> Result<Vec<u8>> {
    let input = if path.as_os_str() == "-" { Box::new(io::stdin()) } else { stream(path)? };
    let mut bytes = Vec::new();
    let size = input.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| failed("read", path, e))?;
    if size as u64 > most {
        let what = format!("{} has more than {most} bytes", path.display());
        return Err(Error::new(Kind::Unsupported, Code::TooLarge, what).of_file(path));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn open_without_waiting(path: &Path, follow: bool) -> io::Result<Option<File>> {
    use rustix::fs::{Mode, OFlags};
    use rustix::io::Errno;
    let links = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | links;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(Some(File::from(file))),
        // A link, a socket, or a device without a driver.
        Err(Errno::LOOP) if !follow => Ok(None),
        Err(Errno::NXIO) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Folders have neither pipes nor devices; a link is a file of its own, which must be the one that is opened.
#[cfg(windows)]
fn open_without_waiting(path: &Path, follow: bool) -> io::Result<Option<File>> {
    use super::win32;
    if win32::device_name(path).is_some() {
        return Ok(None);
    }
    let about = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) }?;
    if !about.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    if follow {
        return Ok(Some(file));
    }
    // It may have become a link meanwhile.
    let named = win32::identity(&win32::open_for_metadata(path, false)?)?;
    Ok((named.0 == win32::identity(&file)?.0).then_some(file))
}

fn metadata_of(data: &fs::Metadata, (id, names): (Option<FileId>, u64)) -> Metadata {
    let kind = match (data.is_file(), data.is_dir()) {
        (true, _) => EntryKind::File,
        (_, true) => EntryKind::Folder,
        _ if is_block_device(data) => EntryKind::Device,
        _ => EntryKind::Other,
    };
    let len = if kind == EntryKind::File { data.len() } else { 0 };
    Metadata { kind, id, len, is_linked: names > 1, modified: data.modified().ok() }
}

#[cfg(unix)]
pub(super) fn is_block_device(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_block_device(&found.file_type())
}

#[cfg(not(unix))]
pub(super) fn is_block_device(_: &fs::Metadata) -> bool {
    false
}

/// Returns the identity of the entry at `path` and the number of its names.
#[cfg(unix)]
fn names_at(_: &Path, about: &fs::Metadata) -> (Option<FileId>, u64) {
    use std::os::unix::fs::MetadataExt;
    (Some(FileId { device: about.dev(), file: about.ino().into() }), about.nlink())
}

/// Returns the identity of the open `file` and the number of its names.
#[cfg(unix)]
fn names_of(_: &File, about: &fs::Metadata) -> (Option<FileId>, u64) {
    names_at(Path::new(""), about)
}

#[cfg(windows)]
fn names_at(path: &Path, about: &fs::Metadata) -> (Option<FileId>, u64) {
    super::win32::open_for_metadata(path, true).map_or((None, 1), |file| names_of(&file, about))
}

#[cfg(windows)]
fn names_of(file: &File, _: &fs::Metadata) -> (Option<FileId>, u64) {
    super::win32::identity(file).map_or((None, 1), |(id, names)| (Some(id), names))
}

// Links, sockets and pipes of Unix.
#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn special_files_are_listed_and_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), b"0123456789").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        for name in ["link", "loop", "socket", "pipe"] {
            assert_eq!(peek(&at(name), 4, false).unwrap(), None, "{name}");
            assert!(open_plain(&at(name)).unwrap().is_none(), "{name}");
        }
        assert_eq!(peek(&at("pipe"), 4, true).unwrap(), None);
        assert_eq!(peek(Path::new("/dev/null"), 4, true).unwrap(), None);
        let (data, head) = peek(&at("link"), 4, true).unwrap().unwrap();
        assert_eq!((&*head, data.len, data), (&b"0123"[..], 10, metadata(&at("file")).unwrap()));
        let kinds: Vec<_> = list(folder.path()).unwrap().into_iter().map(|n| (n.kind, n.name)).collect();
        assert_eq!(kinds.iter().filter(|(kind, _)| *kind == EntryKind::Other).count(), 4, "{kinds:?}");
    }

    #[test]
    fn a_named_file_is_read_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        assert_eq!(read_named(&path, 10).unwrap(), b"0123456789");
        for path in [&*path, Path::new("/dev/zero")] {
            assert_eq!(read_named(path, 9).unwrap_err().code(), "too-large");
        }
    }
}
