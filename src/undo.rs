//! Taking changes back: the undo file, undoing a commit, and what an interrupted one left.

mod around;
mod leftover;
mod restore;

use std::path::{Path, PathBuf};

use crate::locate::{HAS_CHILDREN, of_children};
use crate::transaction::{Journal, Locked, Record};
use hivewright_disk::container;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::exact::field;
use hivewright_storage::folder::{EntryKind, kind_of};
use hivewright_storage::{Host, RealHost};

pub use crate::transaction::journal::command;
pub use crate::transaction::{Mark, State};
pub use leftover::{Leftover, Recovered, unfinished};
#[cfg(feature = "internals")]
pub use leftover::{find_unfinished, find_unfinished_on, recover_unfinished, recover_unfinished_on};
pub(crate) use leftover::{is_image_left_over, recover_all_on, refuse_left_over, settle};
pub use restore::Restored;

/// An undo that is done: the target is, bit for bit, what it was before the change.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Undone {
    /// The file that holds the old bytes again.
    #[serde(flatten, serialize_with = "field::target")]
    pub target: PathBuf,
    /// How.
    pub how: Restored,
    /// Whether it is an image: of that only the places that were changed are known, and no hash of all of it.
    pub is_image: bool,
}

/// Takes back the change that the undo file `undo` holds. Doing it again changes nothing.
///
/// The target is, in this order: `target`; the file beside which `undo` is by its name; the one that `undo` names; the one
/// of that name beside `undo`.
///
/// # Errors
/// `has-children` where images stand on the target, which is one. `changed-since` where the target is neither what the
/// change left nor what it was before (nor what an interruption of the change leaves): nothing was changed. `undo-shared`
/// where a snapshot was made inside of it since. `no-target` where there is none. Codes of an undo file that cannot be read:
/// `not-an-undo-file`, `undo-damaged`, `undo-version`. [`crate::Kind::Unfinished`] if writing began and failed: again `undo`
/// restores it.
pub fn undo(undo: &Path, target: Option<&Path>) -> Result<Undone> {
    undo_on(&RealHost, undo, target)
}

/// [`undo`] on another file system.
///
/// # Errors
/// As [`undo`].
pub fn undo_on<H: Host>(host: &H, undo: &Path, target: Option<&Path>) -> Result<Undone> {
    undo_ignoring(host, undo, target, &[])
}

/// [`undo_on`], where the user takes it upon himself what has these codes: `has-children`.
///
/// # Errors
/// As [`undo`].
pub fn undo_ignoring<H: Host>(host: &H, undo: &Path, target: Option<&Path>, ignore: &[Code]) -> Result<Undone> {
    run(host, undo, target, ignore).map_err(unchanged)
}

/// Errors of the host that are not [`Kind::Unfinished`] come before anything is changed, or after it was put back.
fn unchanged(error: Error) -> Error {
    if error.kind() == Kind::Io { error.adding("the file is what it was before this try") } else { error }
}

fn run<H: Host>(host: &H, undo: &Path, target: Option<&Path>, ignore: &[Code]) -> Result<Undone> {
    if matches!(kind_of(undo), Ok(EntryKind::Folder | EntryKind::Device | EntryKind::Other)) {
        let what = format!("{} is no file", undo.display());
        return Err(Error::new(Kind::Unsupported, Code::NotAnUndoFile, what));
    }
    let mut journal = Journal::open(host, &host.resolve(undo)?)?;
    let named = match target {
        Some(path) => path.to_owned(),
        None => journal.target()?,
    };
    let target = host.resolve(&named)?;
    let files = journal.record.files_of(&target)?;
    let locked = Locked::take_all(host, &target, &files)?;
    if journal.record.is_of_image() {
        locked.keep_machines_out()?;
    }
    let (state, begun) = journal.record.reached(&*locked.storage_of(&files)?)?;
    let how = match (journal.record.mark, state) {
        (Mark::Restored, State::Untouched) => Restored::Already,
        (_, State::Untouched) => {
            journal.record.make_durable(&locked, &locked.path, state)?;
            journal.mark(Mark::Restored)?;
            Restored::Already
        }
        (_, State::Written) if journal.record.is_of_image() && !is_unshared(&journal.record, &locked)? => {
            let what = "a snapshot was made inside of the image since: what would be undone belongs to that as well, or \
                        is no longer the disk's";
            return Err(Error::refused(Code::UndoShared, what).advise(INSTEAD));
        }
        (_, State::Written) | (Mark::Open | Mark::Undoing, State::Partly) => {
            if state == State::Written && journal.record.is_of_image() && !ignore.contains(&HAS_CHILDREN) {
                refuse_children(&locked, &named)?;
            }
            restore::restore(&mut journal, &locked, begun)?
        }
        (Mark::Committed | Mark::Restored, State::Partly) | (_, State::Foreign) => {
            if let Some(error) = why_foreign(&journal, &locked)? {
                return Err(error);
            }
            let error = leftover::foreign(&journal, &locked.path, &*locked.storage_of(&files)?);
            return Err(error.advise(format!("{OR_ANOTHER}: {INSTEAD}")));
        }
    };
    let is_image = journal.record.is_of_image();
    Ok(Undone { target: locked.path, how, is_image })
}

/// The way back where bytes can no longer be put back.
const INSTEAD: &str = "set the value that was there before instead, or take it away: hivewright set, hivewright unset";
/// Of what is neither old nor new.
const OR_ANOTHER: &str = "if it is not the file that was changed, name that one: --target FILE; if that Windows ran \
                          since, or a snapshot inside of the image was deleted or applied";

/// A better word for what is neither old nor new, where there is one: another change came after it, or the image grew.
fn why_foreign<H: Host>(journal: &Journal<'_, H>, locked: &Locked<'_, H>) -> Result<Option<Error>> {
    let record = &journal.record;
    if !matches!(record.mark, Mark::Committed | Mark::Restored) {
        return Ok(None);
    }
    let mut later = around::beside(locked.host, &locked.path)?;
    later.retain(|other| {
        let is_whole = |other: &Journal<'_, H>| {
            let storage = locked.storage_at(&locked.path, &other.record.files_of(&locked.path)?)?;
            other.record.state(&*storage)
        };
        other.path != journal.path
            && other.record.mark == Mark::Committed
            && other.record.created >= record.created
            && is_whole(other).is_ok_and(|state| state == State::Written)
    });
    if let Some(last) = later.iter().max_by(|a, b| a.record.created.cmp(&b.record.created)) {
        let advice = command(&last.path);
        let (last, this, target) = (last.path.display(), journal.path.display(), locked.path.display());
        let (what, advice) = match record.mark {
            Mark::Restored => {
                let what = format!("the change in {this} was taken back already, and {target} was changed anew since");
                (what, format!("that newer change is in {last}: {advice}"))
            }
            _ => {
                let what = format!("{target} was changed once more since: {last} has what {this} left");
                (what, format!("the newer one first: {advice}"))
            }
        };
        return Ok(Some(Error::refused(Code::ChangedSince, what).advise(advice)));
    }
    let storage = locked.storage_of(&record.files_of(&locked.path)?)?;
    if record.mark != Mark::Committed || !record.is_of_image() || !record.has_only_grown(&*storage)? {
        return Ok(None);
    }
    let what = format!(
        "{} has what the change left, and has become longer since: a snapshot was made inside of it, or something else \
         written, to which these bytes may belong by now",
        locked.path.display()
    );
    Ok(Some(Error::refused(Code::UndoShared, what).advise(INSTEAD)))
}

/// Where what stands on the image has no top that could be written to.
const MERGED: &str = "leave this change, and set the value that was there before once the snapshots are merged or \
                      removed: hivewright set, hivewright unset; --ignore-children restores it nevertheless";

/// Refuses where other images stand on this one: they may have been made on what the change left.
fn refuse_children<H: Host>(locked: &Locked<'_, H>, named: &Path) -> Result<()> {
    let files: Vec<PathBuf> = locked.all().map(|file| file.path.clone()).collect();
    let advice = "if they are of no use any more, delete them first; else leave this change and set the value that was \
                  there before in the image at the top of the chain: hivewright set, hivewright unset; \
                  --ignore-children restores it nevertheless, and what they show changes with it";
    let found = container::find_dependents(&files, named);
    let advice = if found.advice.is_some() { MERGED } else { advice };
    of_children(&files, &found).map_or(Ok(()), |obstacle| Err(obstacle.refuse().advise(advice)))
}

/// Whether all that would be written belongs to the disk as it is now. A snapshot inside of the image shares it, or has it
/// alone, where one was made since; where one was removed too, it may belong to nothing any more.
fn is_unshared<H: Host>(record: &Record, locked: &Locked<'_, H>) -> Result<bool> {
    for file in locked.all() {
        if !container::is_unshared(&*file.file, &record.changed_in(&locked.path, &file.path)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}
