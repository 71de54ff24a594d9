//! Finds undo files beside the files of an image, and beside others of the same image.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::probe::kind_of;
use hivewright_storage::{Access, Host, Storage};

use crate::transaction::folder_of;
use crate::transaction::journal::{self, Journal, SUFFIX, folder_for, is_beside};
use crate::transaction::record::{Mark, Record};

/// Numbered names that are tried where no folder is listed.
const TRIED: u32 = 9;

/// Returns whether one of `files` probably has an undo file. Lists no folder, which could cost more than all reading.
pub(crate) fn seems_left(files: &[PathBuf]) -> bool {
    let is_there = |name: &OsStr| kind_of(Path::new(name)).is_ok();
    files.iter().any(|file| {
        // The folder is looked up once for all names.
        let first = journal::beside(file, "").into_os_string();
        let numbered = |number| [&first, OsStr::new(&format!(".{number}"))].into_iter().collect::<OsString>();
        is_there(&first) || (1..=TRIED).any(|number| is_there(&numbered(number)))
    })
}

/// Returns whether `undo` is beside `file` by its name and its folder.
pub(super) fn stands_beside(undo: &Path, file: &Path) -> bool {
    is_beside(undo, file) && undo.parent() == Some(&*folder_for(file))
}

/// Selects the undo files of other files that are checked for belonging to the same image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All of them, before a write.
    All,
    /// Those whose names begin alike: a folder may have thousands of images, each with an undo file.
    Related,
}

/// Returns the undo files beside any of `files`, and those of images that one of them may be a part of.
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

/// Handles an undo file of another file that cannot be read, usually another user's. By their names, the two files may
/// belong to one image.
fn unread(undo: &Path, files: &[PathBuf], error: Error) -> Result<bool> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    match error.io_error().map(std::io::Error::kind) {
        Some(PermissionDenied) if files.iter().any(|file| related(undo, file)) => Err(unreadable(undo, &error)),
        Some(PermissionDenied | NotFound) => Ok(false),
        _ if error.kind() == Kind::NotFound => Ok(false),
        _ => Err(error),
    }
}

/// Returns whether names of files begin alike, as those of one image do: `disk.001` and `disk.002`, `disk.vmdk` and
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

/// Returns the refusal for an unreadable undo file that may belong to an interrupted write to this file.
fn unreadable(undo: &Path, error: &Error) -> Error {
    let what = format!(
        "{} may belong to an interrupted write to this file, but cannot be read: {}",
        undo.display(),
        error.what()
    );
    Error::refused(Code::UndoUnreadable, what).advise(
        "let its owner run `hivewright undo` on it or make it readable; remove it only if that write is complete",
    )
}

/// Returns whether the undo file of another file belongs to an image with one of the files `own`.
fn lists<H: Host>(host: &H, undo: &Path, own: &[PathBuf]) -> Result<bool> {
    let file = host.open(undo, Access::Read)?;
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    let mut head = Vec::new();
    for most in [PIECE_OF_A_HEADER, MOST_OF_A_HEADER] {
        head = vec![0; len.min(most)];
        file.read_at(0, &mut head)?;
        // Undo files have no zero byte.
        if head.contains(&b'\n') || head.contains(&0) {
            break;
        }
    }
    // An unreadable file belongs to another file.
    let files = Record::files_in_header(&head, undo).unwrap_or_default();
    Ok(files.iter().any(|path| own.contains(path)))
}

/// Bytes of most headers.
const PIECE_OF_A_HEADER: usize = 64 << 10;
/// Bytes of a header at most: 4096 files with names.
const MOST_OF_A_HEADER: usize = 4 << 20;

/// Returns the undo files beside `target` by their names, except unreadable ones.
pub(super) fn beside<'h, H: Host>(host: &'h H, target: &Path) -> Result<Vec<Journal<'h, H>>> {
    let names = host.starting_with(&folder_for(target), &journal::undo_prefix(target))?;
    let own = names.iter().filter(|path| stands_beside(path, target));
    Ok(own.filter_map(|path| Journal::open(host, path).ok()).collect())
}

/// The undo files found beside files.
pub(super) struct UndoFiles<'h, H: Host> {
    /// Undo files without a final mark, each once, or the error of reading one.
    pub(super) open: Vec<Result<Journal<'h, H>>>,
    /// Pointers to undo files that are missing or have ended.
    stale: Vec<PathBuf>,
}

impl<'h, H: Host> UndoFiles<'h, H> {
    /// Finds the undo files of `files`, or of an image with one of them.
    pub(super) fn of(host: &'h H, files: &[PathBuf], which: Which) -> Self {
        let mut found = UndoFiles { open: Vec::new(), stale: Vec::new() };
        let names = match names_around(host, files, which) {
            Ok(names) => names,
            Err(error) => {
                found.open.push(Err(error));
                return found;
            }
        };
        for path in names {
            match open(host, &path) {
                Ok(journal) if matches!(journal.record.mark, Mark::Open | Mark::Undoing) => found.add(journal),
                Ok(journal) if journal.path != path => found.stale.push(path),
                Ok(_) => {}
                Err(error) if error.code() == Code::UndoGone => found.stale.push(path),
                Err(error) => found.open.push(Err(error)),
            }
        }
        found
    }

    /// An undo file may be found both beside its target and through a pointer.
    fn add(&mut self, journal: Journal<'h, H>) {
        let is_it = |known: &Result<Journal<'h, H>>| known.as_ref().is_ok_and(|known| known.path == journal.path);
        if !self.open.iter().any(is_it) {
            self.open.push(Ok(journal));
        }
    }

    /// Removes stale files of interrupted runs. Remaining ones do no harm.
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
