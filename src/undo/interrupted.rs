//! Interrupted writes: finds, reports and settles them.

use std::path::{Path, PathBuf};

use crate::locate::Image;
use crate::transaction::{Locked, reopened};
use hivewright_error::{Code, Error, Result};
use hivewright_storage::exact::field;
use hivewright_storage::probe::{EntryKind, kind_of};
use hivewright_storage::{Host, RealHost, Storage};

use super::discovery::{UndoFiles, Which, seems_left, stands_beside};
use super::restore::restore;
use crate::transaction::journal::Journal;
use crate::transaction::journal::command;
use crate::transaction::record::Mark;
use crate::transaction::state::State;

/// An undo file without a final mark.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct UnfinishedWrite {
    /// The undo file.
    #[serde(flatten, serialize_with = "field::undo")]
    pub undo: PathBuf,
    /// The file that the write named.
    #[serde(flatten, serialize_with = "field::target")]
    pub target: PathBuf,
    /// The progress of the write.
    pub state: State,
}

impl UnfinishedWrite {
    /// Returns whether the file is inconsistent: partly written, or neither old nor new.
    #[cfg(feature = "internals")]
    fn is_trouble(&self) -> bool {
        matches!(self.state, State::Partly | State::Foreign)
    }

    /// Returns the trouble as a fragment of a sentence; `None` if the write is complete or was not begun.
    pub fn trouble(&self) -> Option<String> {
        let (target, undo) = (self.target.display(), self.undo.display());
        match self.state {
            State::Partly => Some(format!("{}: see `{}`", partly(&self.target), command(&self.undo))),
            State::Foreign => Some(format!(
                "a write to {target} was interrupted, and the file has changed since: it has neither the old bytes nor those of that write, see {undo}"
            )),
            State::Untouched | State::Written => None,
        }
    }
}

/// The result of settling an interrupted write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recovered {
    /// The write had not begun, or was already undone: the file is the old one.
    NotBegun,
    /// The write was complete: the file is the new one.
    Finished,
    /// The write was undone: the file is the old one.
    RolledBack,
}

/// Returns the most severe interrupted write to `target`, if there is one. Never writes.
///
/// # Errors
/// The target or an undo file beside it cannot be read, or the undo file is damaged.
#[cfg(feature = "internals")]
pub fn find_unfinished(target: &Path) -> Result<Option<UnfinishedWrite>> {
    find_unfinished_on(&RealHost, target)
}

/// [`find_unfinished`] on another file system.
///
/// # Errors
/// As [`find_unfinished`].
#[cfg(feature = "internals")]
pub fn find_unfinished_on<H: Host>(host: &H, target: &Path) -> Result<Option<UnfinishedWrite>> {
    let found: Vec<UnfinishedWrite> =
        unfinished_writes(host, &[host.resolve(target)?], Which::All).into_iter().collect::<Result<_>>()?;
    let trouble = found.iter().position(UnfinishedWrite::is_trouble);
    Ok(found.into_iter().nth(trouble.unwrap_or(0)))
}

/// Returns all interrupted writes to any of `files`, which are absolute and without links, or to an image with one of
/// them; and errors of unreadable or damaged undo files. Never writes.
fn unfinished_writes<H: Host>(host: &H, files: &[PathBuf], which: Which) -> Vec<Result<UnfinishedWrite>> {
    let unfinished = |journal: Journal<'_, H>| {
        let (target, _, state) = look_at(host, &journal, files)?;
        Ok(UnfinishedWrite { undo: journal.path, target, state })
    };
    UndoFiles::of(host, files, which).open.into_iter().map(|journal| journal.and_then(unfinished)).collect()
}

/// Returns the target, its storage, and the progress of the write.
fn look_at<H: Host>(host: &H, journal: &Journal<'_, H>, files: &[PathBuf]) -> Result<(PathBuf, impl Storage, State)> {
    let target = target_of(journal, files)?;
    let there = reopened(host, &target, &journal.record.files_of(&target)?)?;
    let state = journal.record.state(&there)?;
    Ok((target, there, state))
}

/// Returns the interrupted writes to any file of `hive`, each as a fragment of a sentence: the read data may be a
/// mixture of old and new.
pub fn unfinished(image: &Image, hive: &Path) -> Vec<String> {
    let Some(disk) = image.disk() else {
        return RealHost.resolve(hive).map(|hive| doubts(&[hive], false)).unwrap_or_default();
    };
    // A raw disk may be part of an image that was written to by another name. Its folder is listed only if its name
    // suggests that, because an audit reads thousands of raw disks in one folder.
    let is_part = |path: &Path| path.extension().is_some_and(|ending| ending == "vmdk" || ending == "data");
    let listing = disk.container() == "raw" && disk.files().first().is_some_and(|file| is_part(&file.path));
    doubts(&disk.all_files(), listing)
}

/// Returns the interrupted writes to any of `files`, which are absolute and without links, each as a fragment of a
/// sentence. With `listing`, folders are listed; else only likely names are tried.
fn doubts(files: &[PathBuf], listing: bool) -> Vec<String> {
    if !listing && !seems_left(files) {
        return Vec::new();
    }
    let doubt = |found: Result<UnfinishedWrite>| match found {
        Ok(unfinished) => unfinished.trouble(),
        Err(error) => Some(format!("an interrupted write may have left it partly written: {error}")),
    };
    unfinished_writes(&RealHost, files, Which::Related).into_iter().filter_map(doubt).collect()
}

/// Refuses if an interrupted write left any of `files`, which are absolute and without links, partly written, if it has
/// changed since, or if that is unknown.
pub(crate) fn refuse_left_over<H: Host>(host: &H, files: &[PathBuf]) -> Result<()> {
    for journal in UndoFiles::of(host, files, Which::All).open {
        let journal = journal?;
        let (target, there, state) = look_at(host, &journal, files)?;
        refuse_trouble(&journal, &target, state, &there)?;
    }
    Ok(())
}

fn partly(target: &Path) -> String {
    format!("an interrupted write left {} partly written", target.display())
}

fn refuse_trouble<H: Host>(journal: &Journal<'_, H>, target: &Path, state: State, there: &dyn Storage) -> Result<()> {
    match state {
        State::Foreign => Err(foreign(journal, target, there)),
        State::Partly => {
            let undo = journal.path.display();
            let what = format!("{}; {undo} restores it", partly(target));
            Err(Error::refused(Code::UnfinishedWrite, what).advise(command(&journal.path)))
        }
        State::Untouched | State::Written => Ok(()),
    }
}

/// Returns whether an interrupted write to an image left an undo file beside `target`, any of its files.
pub(crate) fn is_image_left_over<H: Host>(host: &H, target: &Path) -> Result<bool> {
    if kind_of(target)? == EntryKind::Folder {
        return Ok(false);
    }
    for journal in UndoFiles::of(host, &[host.resolve(target)?], Which::All).open {
        if journal?.record.is_of_image() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Completes or undoes an interrupted write to `target`. `None` if there is none.
///
/// # Errors
/// `in-use`; `changed-since`: the file has neither the old nor the new bytes, nor those of an interrupted write. I/O
/// errors.
#[cfg(feature = "internals")]
pub fn recover_unfinished(target: &Path) -> Result<Option<Recovered>> {
    recover_unfinished_on(&RealHost, target)
}

/// [`recover_unfinished`] on another file system.
///
/// # Errors
/// As [`recover_unfinished`].
#[cfg(feature = "internals")]
pub fn recover_unfinished_on<H: Host>(host: &H, target: &Path) -> Result<Option<Recovered>> {
    recover_all_on(host, &[host.resolve(target)?])
}

/// As [`recover_unfinished_on`], for an image with these `files`, which are absolute and without links.
pub(crate) fn recover_all_on<H: Host>(host: &H, files: &[PathBuf]) -> Result<Option<Recovered>> {
    let mut done = None;
    let found = UndoFiles::of(host, files, Which::All);
    found.sweep(host);
    for journal in found.open {
        let journal = journal?;
        let target = target_of(&journal, files)?;
        let arranged = journal.record.files_of(&target)?;
        let locked = Locked::take_all(host, &target, &arranged)?;
        // Another run may have settled it before the lock was taken.
        if !host.exists(&journal.path)? {
            continue;
        }
        let mut journal = Journal::open(host, &journal.path)?;
        if !matches!(journal.record.mark, Mark::Open | Mark::Undoing) {
            continue;
        }
        if journal.record.is_of_image() {
            locked.keep_machines_out()?;
        }
        let storage = locked.storage_of(&journal.record.files_of(&target)?)?;
        let (state, begun) = journal.record.reached(&*storage)?;
        done = Some(match state {
            State::Foreign => return Err(foreign(&journal, &target, &*storage)),
            State::Partly => {
                // The lock belongs to the old file, through which nothing is written afterwards.
                restore(&mut journal, &locked, begun).map_err(super::unchanged)?;
                return Ok(Some(Recovered::RolledBack));
            }
            state => settle_one(&mut journal, &locked, &target, state)?,
        });
    }
    Ok(done)
}

/// Settles an interrupted write without writing to the target; refuses if that is not possible.
pub(crate) fn settle<H: Host>(locked: &Locked<'_, H>) -> Result<()> {
    let files: Vec<PathBuf> = locked.all().map(|file| file.path.clone()).collect();
    for journal in UndoFiles::of(locked.host, &files, Which::All).open {
        let mut journal = journal?;
        let target = target_of(&journal, &files)?;
        let storage = locked.storage_at(&target, &journal.record.files_of(&target)?)?;
        let state = journal.record.state(&*storage)?;
        refuse_trouble(&journal, &target, state, &*storage)?;
        settle_one(&mut journal, locked, &target, state)?;
    }
    Ok(())
}

/// Settles the undo file of `target`, which is completely old or completely new: marks it as committed or restored, or
/// removes it.
fn settle_one<H: Host>(
    journal: &mut Journal<'_, H>,
    locked: &Locked<'_, H>,
    target: &Path,
    state: State,
) -> Result<Recovered> {
    journal.record.make_durable(locked, target, state)?;
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

/// Returns the target of an undo file among `files`: the file that its name is derived from, else the one that it
/// names.
fn target_of<H: Host>(journal: &Journal<'_, H>, files: &[PathBuf]) -> Result<PathBuf> {
    match files.iter().find(|file| stands_beside(&journal.path, file)) {
        Some(file) => Ok(file.clone()),
        None => journal.target(),
    }
}

/// Returns the refusal for bytes that no change of this program left.
pub(super) fn foreign<H: Host>(journal: &Journal<'_, H>, target: &Path, there: &dyn Storage) -> Error {
    let undo = journal.path.display();
    let of_several = if journal.record.files.is_empty() { None } else { journal.record.foreign_file(there) };
    let file = of_several.unwrap_or_else(|| target.to_owned());
    // The image may have been moved; its files kept their names.
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    let what = format!("{file} has neither the old bytes of {undo} nor the new ones: the file has changed since");
    Error::refused(Code::ChangedSince, what)
        .advise(format!("if the file is intact, remove {undo}; otherwise restore the file from a backup"))
}
