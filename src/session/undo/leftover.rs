//! Undo files that an interrupted run left beside its target.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::session::commit::{Locked, folder_of, reopened};
use crate::storage::folder::{EntryKind, kind_of};
use crate::storage::{Access, Host, RealHost, Storage};

use super::journal::{Journal, SUFFIX, folder_for, is_beside, undo_prefix};
use super::record::{Mark, Record};
use super::restore::{Restored, restore};
use super::state::State;

/// An undo file without the mark that its change is complete.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Leftover {
    /// The undo file.
    pub undo: PathBuf,
    /// How far the write got.
    pub state: State,
}

/// What became of a leftover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recovered {
    /// The write had not begun, or was already taken back: the file is the old one.
    NotBegun,
    /// The write was complete: the file is the new one.
    Finished,
    /// The write was taken back: the file is the old one.
    RolledBack,
}

/// Looks for an interrupted write beside `target`. Only reads.
///
/// # Errors
/// The target or an undo file beside it cannot be read, or that undo file cannot be believed.
pub fn find_unfinished(target: &Path) -> Result<Option<Leftover>> {
    find_unfinished_on(&RealHost, target)
}

/// [`find_unfinished`] on another file system.
///
/// # Errors
/// As [`find_unfinished`].
pub fn find_unfinished_on<H: Host>(host: &H, target: &Path) -> Result<Option<Leftover>> {
    let path = host.resolve(target)?;
    let Some(journal) = open_ones(host, &path)?.into_iter().next() else { return Ok(None) };
    let own = if journal.record.files.is_empty() { path } else { journal.target()? };
    let state = journal.record.state(&reopened(host, &own, &journal.record.files_of(&own)?)?)?;
    Ok(Some(Leftover { undo: journal.path, state }))
}

/// Whether an interrupted write to an image left something beside `target`, which may be any of its files.
pub(in crate::session) fn is_image_left_over<H: Host>(host: &H, target: &Path) -> Result<bool> {
    if kind_of(target)? == EntryKind::Folder {
        return Ok(false);
    }
    Ok(open_ones(host, &host.resolve(target)?)?.iter().any(|journal| journal.record.is_of_image()))
}

/// Finishes or takes back an interrupted write to `target`. `None`: there is none.
///
/// # Errors
/// `in-use`; `changed-since` where the file is neither the old nor the new one nor what an interruption leaves;
/// whatever the medium does.
pub fn recover_unfinished(target: &Path) -> Result<Option<Recovered>> {
    recover_unfinished_on(&RealHost, target)
}

/// [`recover_unfinished`] on another file system.
///
/// # Errors
/// As [`recover_unfinished`].
pub fn recover_unfinished_on<H: Host>(host: &H, target: &Path) -> Result<Option<Recovered>> {
    let path = host.resolve(target)?;
    if names_around(host, &path)?.is_empty() {
        return Ok(None);
    }
    let mut done = None;
    let locked = lock_family(host, &path)?;
    for mut journal in open_ones(host, &path)? {
        if journal.record.is_of_image() {
            locked.keep_machines_out()?;
        }
        let files = journal.record.files_of(&journal_target(&journal, &path)?)?;
        let (state, begun) = journal.record.reached(&*locked.storage_of(&files)?)?;
        done = Some(match state {
            State::Foreign => return Err(foreign(&journal, &*locked.storage_of(&files)?)),
            State::Partly => {
                // The lock stays with the old file; nothing is written through it afterwards.
                let how = restore(&mut journal, &locked, begun).map_err(super::unchanged)?;
                debug_assert_ne!(how, Restored::Already);
                return Ok(Some(Recovered::RolledBack));
            }
            state => settle_one(&mut journal, &locked, state)?,
        });
    }
    Ok(done)
}

/// Settles what an interrupted run left without having to write to the target; refuses where that does not do.
pub(in crate::session) fn settle<H: Host>(target: &Locked<'_, H>) -> Result<()> {
    // Other files of the image may have been named by themselves: only their own undo files can be, not those around.
    for other in target.all().skip(1) {
        let folder = folder_for(&other.path);
        for undo in target.host.starting_with(folder_of(&folder.join("x")), &undo_prefix(&other.path))? {
            if is_beside(&undo, &other.path)
                && let Err(error) = target.host.open(&undo, Access::Read)
            {
                unread(&undo, &other.path, error)?;
            }
        }
    }
    for mut journal in open_ones(target.host, &target.path)? {
        let files = journal.record.files_of(&journal_target(&journal, &target.path)?)?;
        match journal.record.state(&*target.storage_of(&files)?)? {
            State::Foreign => return Err(foreign(&journal, &*target.storage_of(&files)?)),
            State::Partly => {
                let undo = journal.path.display();
                let what = format!("an interrupted write left the file partly written; {undo} restores it");
                return Err(Error::refused("unfinished-write", what).advise(format!("hivewright undo {undo}")));
            }
            state => settle_one(&mut journal, target, state)?,
        };
    }
    Ok(())
}

/// The file is wholly old or wholly new: makes the undo file say so.
pub(super) fn settle_one<H: Host>(
    journal: &mut Journal<'_, H>,
    target: &Locked<'_, H>,
    state: State,
) -> Result<Recovered> {
    journal.record.make_durable(target, state)?;
    if state == State::Written {
        journal.mark(Mark::Committed)?;
        return Ok(Recovered::Finished);
    }
    match journal.record.mark {
        Mark::Open => journal.remove()?,
        _ => journal.mark(Mark::Restored)?,
    }
    Ok(Recovered::NotBegun)
}

/// Undo files beside the target, and those of images that it may be a part of.
fn names_around<H: Host>(host: &H, target: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder_for(target);
    let mut names = host.starting_with(folder_of(&folder.join("x")), OsStr::new(""))?;
    names.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(SUFFIX)));
    let mut kept = Vec::new();
    for path in names {
        let is_own =
            is_beside(&path, target) || lists(host, &path, target).or_else(|error| unread(&path, target, error))?;
        if is_own {
            kept.push(path);
        }
    }
    Ok(kept)
}

/// What to make of another file's undo file that cannot be read: another user's, mostly. By their names, the two files
/// may be of one image.
fn unread(undo: &Path, target: &Path, error: Error) -> Result<bool> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    match error.io_error().map(std::io::Error::kind) {
        Some(PermissionDenied) if related(undo, target) => Err(unreadable(undo, &error)),
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
    Error::refused("undo-unreadable", what).advise(
        "have its owner run `hivewright undo` on it or make it readable; remove it only if that write is known to be complete",
    )
}

/// Whether the undo file of another file is of an image that `target` belongs to.
fn lists<H: Host>(host: &H, undo: &Path, target: &Path) -> Result<bool> {
    let file = host.open(undo, Access::Read)?;
    let mut head = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX).min(MOST_OF_A_HEADER)];
    file.read_at(0, &mut head)?;
    // What cannot be read belongs to another file: that one's trouble.
    let files = Record::files_in_header(&head, undo).unwrap_or_default();
    Ok(files.iter().any(|(path, _)| path == target))
}

/// Bytes of a header at most: 4096 files with names.
const MOST_OF_A_HEADER: usize = 4 << 20;

/// The target of one of [`open_ones`] of `path`.
fn journal_target<H: Host>(journal: &Journal<'_, H>, path: &Path) -> Result<PathBuf> {
    if is_beside(&journal.path, path) || journal.record.files.is_empty() {
        Ok(path.to_owned())
    } else {
        journal.target()
    }
}

/// Locks the file at `path` and whatever undo files say that belongs to it.
fn lock_family<'h, H: Host>(host: &'h H, path: &Path) -> Result<Locked<'h, H>> {
    let journals = open_ones(host, path)?;
    let mut target = path.to_owned();
    let mut files = Vec::new();
    for journal in &journals {
        let own = journal_target(journal, path)?;
        files.extend(journal.record.files_of(&own)?);
        target = own;
    }
    Locked::take_all(host, &target, &files)
}

/// Undo files of the target that lack the mark of an end.
fn open_ones<'h, H: Host>(host: &'h H, target: &Path) -> Result<Vec<Journal<'h, H>>> {
    let mut found = Vec::new();
    for path in names_around(host, target)? {
        let journal = Journal::open(host, &path).map_err(|error| {
            let denied = error.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
            if denied { unreadable(&path, &error) } else { error.adding(&format!("it is {}", path.display())) }
        })?;
        if matches!(journal.record.mark, Mark::Open | Mark::Undoing) {
            found.push(journal);
        }
    }
    Ok(found)
}

/// The refusal where `there` is what no change of ours left.
pub(super) fn foreign<H: Host>(journal: &Journal<'_, H>, there: &dyn Storage) -> Error {
    let undo = journal.path.display();
    let file = journal.record.foreign_file(there).unwrap_or_else(|| journal.record.target.clone());
    // The image may have been moved since: its files kept their names.
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    let what =
        format!("{file} is neither what it was before the change in {undo} nor what that left: it was changed since");
    Error::refused("changed-since", what)
        .advise(format!("if the file is known to be good, remove {undo}; else restore it from a backup"))
}
