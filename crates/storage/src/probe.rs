//! A first look at what others have put somewhere: nothing is waited for, nothing special is opened, no link followed.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file::failed;
use super::folder::EntryKind;
use super::{FileId, FileStorage};
use hivewright_error::Result;

/// What the host says about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub kind: EntryKind,
    /// Which file; `None` where the host has no stable answer.
    pub id: Option<FileId>,
    /// Bytes; 0 for what has no length.
    pub len: u64,
    /// Whether the host knows it by more than one name.
    pub is_linked: bool,
    /// When its contents last changed, where the host says it.
    pub modified: Option<SystemTime>,
}

/// One name in a folder of the host. Symbolic links are [`EntryKind::Other`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// The name.
    pub name: OsString,
    /// What it is, as the folder says.
    pub kind: EntryKind,
}

/// Looks at `path` without opening it. Links are followed.
///
/// # Errors
/// There is nothing, or the host could not tell.
pub fn see(path: &Path) -> Result<Seen> {
    fs::metadata(path).map(|about| seen(&about)).map_err(|e| failed("look at", path, e))
}

/// The folders in which `path` and, where it is a link, the links that it leads to are, each without links; the last is
/// that of the file itself. Links that go round in circles end.
pub fn folders_on_the_way(path: &Path) -> Vec<PathBuf> {
    // As many as Linux follows.
    const MOST_LINKS: usize = 40;
    let (mut folders, mut path) = (Vec::new(), path.to_owned());
    for _ in 0..=MOST_LINKS {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let Ok(folder) = fs::canonicalize(parent) else { break };
        if !folders.contains(&folder) {
            folders.push(folder.clone());
        }
        let Ok(to) = fs::read_link(&path) else { break };
        path = folder.join(to);
    }
    folders
}

/// What stands in `folder`, by name.
///
/// # Errors
/// The host could not list it.
pub fn list(folder: &Path) -> Result<Vec<Named>> {
    let failed = |e| failed("list", folder, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A name that has gone meanwhile is no longer of interest.
        let Ok(is) = entry.file_type() else { continue };
        let kind = match (is.is_file(), is.is_dir()) {
            (true, _) => EntryKind::File,
            (_, true) => EntryKind::Folder,
            _ => EntryKind::Other,
        };
        found.push(Named { name: entry.file_name(), kind });
    }
    found.sort();
    Ok(found)
}

/// The first bytes of the regular file at `path`, at most `most`; links are followed if `follow`. `None` for whatever
/// is no regular file, which is neither waited for nor read.
///
/// # Errors
/// It cannot be opened or read.
pub fn peek(path: &Path, most: usize, follow: bool) -> Result<Option<(Seen, Vec<u8>)>> {
    let file = match open_without_waiting(path, follow) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(None),
        Err(e) => return Err(failed("open", path, e)),
    };
    let about = file.metadata().map_err(|e| failed("look at", path, e))?;
    if !about.is_file() {
        return Ok(None);
    }
    let size = usize::try_from(about.len()).unwrap_or(usize::MAX).min(most);
    let mut head = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match (&file).read(&mut head[filled..]) {
            // It has become shorter.
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed("read", path, e)),
        }
    }
    head.truncate(filled);
    Ok(Some((seen(&about), head)))
}

/// Opens the regular file at `path` for reading; no link is followed. `None` for whatever is no regular file, which is
/// not waited for.
///
/// # Errors
/// It cannot be opened.
pub fn open_plain(path: &Path) -> Result<Option<FileStorage>> {
    let Some(file) = open_without_waiting(path, false).map_err(|e| failed("open", path, e))? else { return Ok(None) };
    let is_file = file.metadata().map_err(|e| failed("look at", path, e))?.is_file();
    Ok(is_file.then(|| FileStorage::new(file, path.to_owned())))
}

/// Opens `path` from its first byte to its last, whatever it is: a pipe too. For what the user named.
///
/// # Errors
/// It cannot be opened.
pub fn stream(path: &Path) -> Result<Box<dyn Read + Send>> {
    File::open(path).map(|file| Box::new(file) as Box<dyn Read + Send>).map_err(|e| failed("open", path, e))
}

#[cfg(target_os = "linux")]
fn open_without_waiting(path: &Path, follow: bool) -> io::Result<Option<File>> {
    use rustix::fs::{Mode, OFlags};
    use rustix::io::Errno;
    let links = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | links;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(Some(File::from(file))),
        // A link, a socket, or a device that nobody serves.
        Err(Errno::LOOP) if !follow => Ok(None),
        Err(Errno::NXIO) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_without_waiting(path: &Path, follow: bool) -> io::Result<Option<File>> {
    let about = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) }?;
    if about.is_file() { File::open(path).map(Some) } else { Ok(None) }
}

fn seen(about: &Metadata) -> Seen {
    let kind = match (about.is_file(), about.is_dir()) {
        (true, _) => EntryKind::File,
        (_, true) => EntryKind::Folder,
        _ if super::folder::is_block_device(about) => EntryKind::Device,
        _ => EntryKind::Other,
    };
    let len = if kind == EntryKind::File { about.len() } else { 0 };
    Seen { kind, id: id(about), len, is_linked: is_linked(about), modified: about.modified().ok() }
}

#[cfg(unix)]
fn id(about: &Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    Some(FileId { device: about.dev(), file: about.ino() })
}

#[cfg(unix)]
fn is_linked(about: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(about) > 1
}

#[cfg(not(unix))]
fn is_linked(_: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn id(_: &Metadata) -> Option<FileId> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn special_files_are_seen_and_not_opened() {
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
        let (seen, head) = peek(&at("link"), 4, true).unwrap().unwrap();
        assert_eq!((&*head, seen.len, seen), (&b"0123"[..], 10, see(&at("file")).unwrap()));
        let kinds: Vec<_> = list(folder.path()).unwrap().into_iter().map(|n| (n.kind, n.name)).collect();
        assert_eq!(kinds.iter().filter(|(kind, _)| *kind == EntryKind::Other).count(), 4, "{kinds:?}");
    }
}
