//! What an interrupted run left beside the files that it wrote to.

use std::path::{Path, PathBuf};

use crate::locate::Image;
use crate::transaction::{Locked, reopened};
use hivewright_error::{Code, Error, Result};
use hivewright_storage::exact::field;
use hivewright_storage::folder::{EntryKind, kind_of};
use hivewright_storage::{Host, RealHost, Storage};

use super::around::{Around, Which, seems_left, stands_beside};
use super::restore::{Restored, restore};
use crate::transaction::journal::Journal;
use crate::transaction::journal::command;
use crate::transaction::record::Mark;
use crate::transaction::state::State;

/// An undo file without the mark that its change is complete.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Leftover {
    /// The undo file.
    #[serde(flatten, serialize_with = "field::undo")]
    pub undo: PathBuf,
    /// The file that was named for the write.
    #[serde(flatten, serialize_with = "field::target")]
    pub target: PathBuf,
    /// How far the write got.
    pub state: State,
}

impl Leftover {
    /// Whether the file cannot be relied on: it is partly written, or neither what it was nor what it was to be.
    #[cfg(feature = "internals")]
    fn is_trouble(&self) -> bool {
        matches!(self.state, State::Partly | State::Foreign)
    }

    /// What is wrong, in a sentence fragment; none if the write ended, whatever its undo file says.
    pub fn trouble(&self) -> Option<String> {
        let (target, undo) = (self.target.display(), self.undo.display());
        match self.state {
            State::Partly => Some(format!("{}: see `{}`", partly(&self.target), command(&self.undo))),
            State::Foreign => Some(format!(
                "a write to {target} was interrupted, and it was changed since: it is neither what it was before nor what \
                 that write left, see {undo}"
            )),
            State::Untouched | State::Written => None,
        }
    }
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

/// Looks for an interrupted write to `target`: the worst that is there. Only reads.
///
/// # Errors
/// The target or an undo file beside it cannot be read, or that undo file cannot be believed.
#[cfg(feature = "internals")]
pub fn find_unfinished(target: &Path) -> Result<Option<Leftover>> {
    find_unfinished_on(&RealHost, target)
}

/// [`find_unfinished`] on another file system.
///
/// # Errors
/// As [`find_unfinished`].
#[cfg(feature = "internals")]
pub fn find_unfinished_on<H: Host>(host: &H, target: &Path) -> Result<Option<Leftover>> {
    let found: Vec<Leftover> =
        leftovers(host, &[host.resolve(target)?], Which::All).into_iter().collect::<Result<_>>()?;
    let trouble = found.iter().position(Leftover::is_trouble);
    Ok(found.into_iter().nth(trouble.unwrap_or(0)))
}

/// Every interrupted write to any of `files`, which are absolute and hold no link, or to an image that one of them is of;
/// and why an undo file there cannot be read or believed. Only reads.
fn leftovers<H: Host>(host: &H, files: &[PathBuf], which: Which) -> Vec<Result<Leftover>> {
    let leftover = |journal: Journal<'_, H>| {
        let (target, _, state) = look_at(host, &journal, files)?;
        Ok(Leftover { undo: journal.path, target, state })
    };
    Around::of(host, files, which).open.into_iter().map(|journal| journal.and_then(leftover)).collect()
}

/// The target of one of those [`Around`] `files`, as it is there, and how far the write got.
fn look_at<H: Host>(host: &H, journal: &Journal<'_, H>, files: &[PathBuf]) -> Result<(PathBuf, impl Storage, State)> {
    let target = target_of(journal, files)?;
    let there = reopened(host, &target, &journal.record.files_of(&target)?)?;
    let state = journal.record.state(&there)?;
    Ok((target, there, state))
}

/// What writes that did not end have against what is read of any file of `hive`, a sentence fragment each: then it may be
/// neither the old state nor the new one.
pub fn unfinished(image: &Image, hive: &Path) -> Vec<String> {
    let Some(disk) = image.disk() else {
        return RealHost.resolve(hive).map(|hive| doubts(&[hive], false)).unwrap_or_default();
    };
    // A raw disk may be part of an image that was written to by another name. A folder is listed for that where its own
    // name says so: a fleet has thousands of raw disks in one.
    let is_part = |path: &Path| path.extension().is_some_and(|ending| ending == "vmdk" || ending == "data");
    let listing = disk.container() == "raw" && disk.files().first().is_some_and(|file| is_part(&file.path));
    doubts(&disk.all_files(), listing)
}

/// What interrupted writes to any of `files`, which are absolute and hold no link, have against what is read of them, a
/// sentence fragment each. `listing`: folders are listed for it; else only for names that are likely to be there.
fn doubts(files: &[PathBuf], listing: bool) -> Vec<String> {
    if !listing && !seems_left(files) {
        return Vec::new();
    }
    let doubt = |found: Result<Leftover>| match found {
        Ok(leftover) => leftover.trouble(),
        Err(error) => Some(format!("whether an interrupted write left it partly written is not known: {error}")),
    };
    leftovers(&RealHost, files, Which::Related).into_iter().filter_map(doubt).collect()
}

/// Refuses where an interrupted write left any of `files`, which are absolute and hold no link, partly written, or it was
/// changed after one; or where that is not known.
pub(crate) fn refuse_left_over<H: Host>(host: &H, files: &[PathBuf]) -> Result<()> {
    for journal in Around::of(host, files, Which::All).open {
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

/// Whether an interrupted write to an image left something beside `target`, which may be any of its files.
pub(crate) fn is_image_left_over<H: Host>(host: &H, target: &Path) -> Result<bool> {
    if kind_of(target)? == EntryKind::Folder {
        return Ok(false);
    }
    for journal in Around::of(host, &[host.resolve(target)?], Which::All).open {
        if journal?.record.is_of_image() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Finishes or takes back an interrupted write to `target`. `None`: there is none.
///
/// # Errors
/// `in-use`; `changed-since` where the file is neither the old nor the new one nor what an interruption leaves;
/// whatever the medium does.
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

/// As [`recover_unfinished_on`], of an image of these `files`, which are absolute and hold no link.
pub(crate) fn recover_all_on<H: Host>(host: &H, files: &[PathBuf]) -> Result<Option<Recovered>> {
    let mut done = None;
    let around = Around::of(host, files, Which::All);
    around.sweep(host);
    for journal in around.open {
        let journal = journal?;
        let target = target_of(&journal, files)?;
        let arranged = journal.record.files_of(&target)?;
        let locked = Locked::take_all(host, &target, &arranged)?;
        // What another run did until it was locked counts.
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
                // The lock stays with the old file; nothing is written through it afterwards.
                let how = restore(&mut journal, &locked, begun).map_err(super::unchanged)?;
                debug_assert_ne!(how, Restored::Already);
                return Ok(Some(Recovered::RolledBack));
            }
            state => settle_one(&mut journal, &locked, &target, state)?,
        });
    }
    Ok(done)
}

/// Settles what an interrupted run left without having to write to the target; refuses where that does not do.
pub(crate) fn settle<H: Host>(locked: &Locked<'_, H>) -> Result<()> {
    let files: Vec<PathBuf> = locked.all().map(|file| file.path.clone()).collect();
    for journal in Around::of(locked.host, &files, Which::All).open {
        let mut journal = journal?;
        let target = target_of(&journal, &files)?;
        let storage = locked.storage_at(&target, &journal.record.files_of(&target)?)?;
        let state = journal.record.state(&*storage)?;
        refuse_trouble(&journal, &target, state, &*storage)?;
        settle_one(&mut journal, locked, &target, state)?;
    }
    Ok(())
}

/// The file at `target` is wholly old or wholly new: makes the undo file say so.
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

/// The target of one of those [`Around`] `files`: the one beside which it is, else the one that it names.
fn target_of<H: Host>(journal: &Journal<'_, H>, files: &[PathBuf]) -> Result<PathBuf> {
    match files.iter().find(|file| stands_beside(&journal.path, file)) {
        Some(file) => Ok(file.clone()),
        None => journal.target(),
    }
}

/// The refusal where `there` is what no change of ours left.
pub(super) fn foreign<H: Host>(journal: &Journal<'_, H>, target: &Path, there: &dyn Storage) -> Error {
    let undo = journal.path.display();
    let of_several = if journal.record.files.is_empty() { None } else { journal.record.foreign_file(there) };
    let file = of_several.unwrap_or_else(|| target.to_owned());
    // The image may have been moved since: its files kept their names.
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    let what =
        format!("{file} is neither what it was before the change in {undo} nor what that left: it was changed since");
    Error::refused(Code::ChangedSince, what)
        .advise(format!("if the file is known to be good, remove {undo}; else restore it from a backup"))
}
