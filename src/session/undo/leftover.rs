//! Undo files that an interrupted run left beside its target.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::session::commit::{Locked, folder_of};
use crate::storage::{Access, Host, RealHost};

use super::journal::{Journal, is_beside, undo_prefix};
use super::record::Mark;
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
    let state = journal.record.state(&host.open(&path, Access::Read)?)?;
    Ok(Some(Leftover { undo: journal.path, state }))
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
    if names_beside(host, &path)?.is_empty() {
        return Ok(None);
    }
    let mut done = None;
    let locked = Locked::take(host, &path)?;
    for mut journal in open_ones(host, &path)? {
        if journal.record.is_of_image() {
            locked.keep_machines_out()?;
        }
        let (state, begun) = journal.record.reached(&locked.file)?;
        done = Some(match state {
            State::Foreign => return Err(foreign(&journal.path)),
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
    for mut journal in open_ones(target.host, &target.path)? {
        match journal.record.state(&target.file)? {
            State::Foreign => return Err(foreign(&journal.path)),
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

fn names_beside<H: Host>(host: &H, target: &Path) -> Result<Vec<PathBuf>> {
    let mut names = host.starting_with(folder_of(target), &undo_prefix(target))?;
    names.retain(|path| is_beside(path, target));
    Ok(names)
}

/// Undo files beside the target that lack the mark of an end.
fn open_ones<'h, H: Host>(host: &'h H, target: &Path) -> Result<Vec<Journal<'h, H>>> {
    let mut found = Vec::new();
    for path in names_beside(host, target)? {
        let journal = Journal::open(host, &path).map_err(|e| e.adding(&format!("it is {}", path.display())))?;
        if matches!(journal.record.mark, Mark::Open | Mark::Undoing) {
            found.push(journal);
        }
    }
    Ok(found)
}

pub(super) fn foreign(undo: &Path) -> Error {
    let undo = undo.display();
    let what =
        format!("the file is neither what it was before the change in {undo} nor what that left: it was changed since");
    Error::refused("changed-since", what)
        .advise(format!("if the file is known to be good, remove {undo}; else restore it from a backup"))
}
