//! Undo files around the files of an image: beside each of them, and beside others that belong to the same image.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::folder::kind_of;
use hivewright_storage::{Access, Host, Storage};

use crate::transaction::folder_of;
use crate::transaction::journal::{self, Journal, SUFFIX, folder_for, is_beside};
use crate::transaction::record::{Mark, Record};

/// Numbers of the names that are tried where no folder is listed.
const TRIED: u32 = 9;

/// Whether an undo file seems to be there for one of `files`, without a list of any folder: that can cost more than all
/// of the reading.
pub(crate) fn seems_left(files: &[PathBuf]) -> bool {
    let is_there = |name: &OsStr| kind_of(Path::new(name)).is_ok();
    files.iter().any(|file| {
        // Its folder is looked up once for all names.
        let first = journal::beside(file, "").into_os_string();
        let numbered = |number| [&first, OsStr::new(&format!(".{number}"))].into_iter().collect::<OsString>();
        is_there(&first) || (1..=TRIED).any(|number| is_there(&numbered(number)))
    })
}

/// Whether `undo` is beside `file` by its name and its folder.
pub(super) fn stands_beside(undo: &Path, file: &Path) -> bool {
    is_beside(undo, file) && undo.parent() == Some(&*folder_for(file))
}

/// Of which undo files of other files it is asked whether they are of the same image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Of all: before anything is written.
    All,
    /// Of those whose names begin alike: a folder may hold thousands of images, each with its undo file.
    Related,
}

/// Undo files beside any of `files`, and those of images that one of them may be a part of.
fn names_around<H: Host>(host: &H, files: &[PathBuf], which: Which) -> Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for folder in files.iter().map(|file| folder_for(file)).collect::<BTreeSet<_>>() {
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let mut names = host.starting_with(&folder, OsStr::new(""))?;
        names.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(SUFFIX)));
        for path in names {
            let is_beside = files.iter().any(|file| stands_beside(&path, file));
            let may_list = which == Which::All || files.iter().any(|file| related(&path, file));
            if is_beside || may_list && lists(host, &path, files).or_else(|error| unread(&path, files, error))? {
                kept.push(path);
            }
        }
    }
    Ok(kept)
}

/// What to make of another file's undo file that cannot be read: another user's, mostly. By their names, the two files
/// may be of one image.
fn unread(undo: &Path, files: &[PathBuf], error: Error) -> Result<bool> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    match error.io_error().map(std::io::Error::kind) {
        Some(PermissionDenied) if files.iter().any(|file| related(undo, file)) => Err(unreadable(undo, &error)),
        Some(PermissionDenied | NotFound) => Ok(false),
        _ if error.kind() == Kind::NotFound => Ok(false),
        _ => Err(error),
    }
}

/// Whether names of files begin alike, as those of one image do: `disk.001` and `disk.002`, `disk.vmdk` and
/// `disk-s001.vmdk`, `disk.qcow2` and `disk.data`.
fn related(undo: &Path, target: &Path) -> bool {
    let stem = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        name.split('.').next().unwrap_or_default().to_owned()
    };
    let (one, other) = (stem(undo), stem(target));
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    let rest = long.strip_prefix(&*short);
    rest.is_some_and(|rest| short.is_empty() || !rest.starts_with(char::is_alphanumeric))
}

/// The refusal where an undo file may be of an interrupted write to the very file, and cannot be read.
fn unreadable(undo: &Path, error: &Error) -> Error {
    let what =
        format!("{} may be of an interrupted write to this file, and cannot be read: {}", undo.display(), error.what());
    Error::refused(Code::UndoUnreadable, what).advise(
        "have its owner run `hivewright undo` on it or make it readable; remove it only if that write is known to be complete",
    )
}

/// Whether the undo file of another file is of an image that one of `own` belongs to.
fn lists<H: Host>(host: &H, undo: &Path, own: &[PathBuf]) -> Result<bool> {
    let file = host.open(undo, Access::Read)?;
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    let mut head = Vec::new();
    for most in [PIECE_OF_A_HEADER, MOST_OF_A_HEADER] {
        head = vec![0; len.min(most)];
        file.read_at(0, &mut head)?;
        // Nothing that we write has a byte of zero in it.
        if head.contains(&b'\n') || head.contains(&0) {
            break;
        }
    }
    // What cannot be read belongs to another file: that one's trouble.
    let files = Record::files_in_header(&head, undo).unwrap_or_default();
    Ok(files.iter().any(|path| own.contains(path)))
}

/// Bytes of a header mostly.
const PIECE_OF_A_HEADER: usize = 64 << 10;
/// Bytes of a header at most: 4096 files with names.
const MOST_OF_A_HEADER: usize = 4 << 20;

/// The undo files beside `target` by their names, but for what cannot be read.
pub(super) fn beside<'h, H: Host>(host: &'h H, target: &Path) -> Result<Vec<Journal<'h, H>>> {
    let names = host.starting_with(&folder_for(target), &journal::undo_prefix(target))?;
    let own = names.iter().filter(|path| stands_beside(path, target));
    Ok(own.filter_map(|path| Journal::open(host, path).ok()).collect())
}

/// Undo files around files.
pub(super) struct Around<'h, H: Host> {
    /// Those that lack the mark of an end, each once, or why one of them cannot be read.
    pub(super) open: Vec<Result<Journal<'h, H>>>,
    /// Pointers to undo files that are not there or have ended.
    stale: Vec<PathBuf>,
}

impl<'h, H: Host> Around<'h, H> {
    /// Those of `files`, or of an image that one of them is of.
    pub(super) fn of(host: &'h H, files: &[PathBuf], which: Which) -> Self {
        let mut around = Around { open: Vec::new(), stale: Vec::new() };
        let names = match names_around(host, files, which) {
            Ok(names) => names,
            Err(error) => {
                around.open.push(Err(error));
                return around;
            }
        };
        for path in names {
            match open(host, &path) {
                Ok(journal) if matches!(journal.record.mark, Mark::Open | Mark::Undoing) => around.add(journal),
                Ok(journal) if journal.path != path => around.stale.push(path),
                Ok(_) => {}
                Err(error) if error.code() == journal::GONE => around.stale.push(path),
                Err(error) => around.open.push(Err(error)),
            }
        }
        around
    }

    /// An undo file may be met beside its target and by a pointer.
    fn add(&mut self, journal: Journal<'h, H>) {
        let is_it = |known: &Result<Journal<'h, H>>| known.as_ref().is_ok_and(|known| known.path == journal.path);
        if !self.open.iter().any(is_it) {
            self.open.push(Ok(journal));
        }
    }

    /// Removes what an interrupted run left and nobody needs. What stays does no harm.
    pub(super) fn sweep(&self, host: &H) {
        for path in &self.stale {
            let _ = host.remove(path).and_then(|()| host.sync_folder(folder_of(path)));
        }
    }
}

fn open<'h, H: Host>(host: &'h H, path: &Path) -> Result<Journal<'h, H>> {
    Journal::open(host, path).map_err(|error| {
        let denied = error.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
        if denied { unreadable(path, &error) } else { error.adding(&format!("it is {}", path.display())) }
    })
}
