//! Undoes changes: reads the undo file, restores the old bytes, and settles interrupted changes.

mod discovery;
mod interrupted;
mod restore;

use std::path::{Path, PathBuf};

use crate::locate::of_children;
use crate::transaction::{Journal, Locked, Record};
use hivewright_disk::container;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::exact::field;
use hivewright_storage::probe::{EntryKind, kind_of};
use hivewright_storage::{Host, RealHost};

pub use crate::transaction::journal::command;
pub use crate::transaction::{Mark, State};
pub use interrupted::{Recovered, UnfinishedWrite, unfinished};
#[cfg(feature = "internals")]
pub use interrupted::{find_unfinished, find_unfinished_on, recover_unfinished, recover_unfinished_on};
pub(crate) use interrupted::{is_image_left_over, recover_all_on, refuse_left_over, settle};
pub use restore::Restored;

/// A finished undo: the target has exactly its bytes from before the change.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Undone {
    /// The file that has the old bytes again.
    #[serde(flatten, serialize_with = "field::target")]
    pub target: PathBuf,
    /// The way in which they were restored.
    pub how: Restored,
    /// Whether it is an image, of which only the changed places are verified, and no hash of the whole.
    pub is_image: bool,
}

/// Undoes the change of the undo file `undo`. Repeating it changes nothing.
///
/// The target is, in this order: `target`; the file that the name of `undo` is derived from; the one that `undo` names;
/// a file of that name beside `undo`.
///
/// # Errors
/// `has-children`: images depend on the target. `changed-since`: the target has neither the old nor the new bytes, nor
/// those of an interrupted change; nothing was changed. `undo-shared`: a snapshot was made in the image since.
/// `no-target`: there is no target. Codes of an unreadable undo file: `not-an-undo-file`, `undo-damaged`,
/// `undo-version`. [`crate::Kind::Unfinished`]: writing began and failed; calling `undo` again restores the target.
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

/// As [`undo_on`]; the user overrides the refusals with these codes: `has-children`.
///
/// # Errors
/// As [`undo`].
pub fn undo_ignoring<H: Host>(host: &H, undo: &Path, target: Option<&Path>, ignore: &[Code]) -> Result<Undone> {
    run(host, undo, target, ignore).map_err(|error| unchanged(error).in_file(undo))
}

/// Errors of the host other than [`Kind::Unfinished`] occur before anything is changed, or after it was restored.
fn unchanged(error: Error) -> Error {
    if error.kind() == Kind::Io { error.adding("this attempt did not change the file") } else { error }
}

fn run<H: Host>(host: &H, undo: &Path, target: Option<&Path>, ignore: &[Code]) -> Result<Undone> {
    if matches!(kind_of(undo), Ok(EntryKind::Folder | EntryKind::Device | EntryKind::Other)) {
        let what = format!("{} is not a file", undo.display());
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
            let what = "the image contains a newer snapshot that shares the bytes to restore, or the disk no longer contains them";
            return Err(Error::refused(Code::UndoShared, what).advise(INSTEAD));
        }
        (_, State::Written) | (Mark::Open | Mark::Undoing, State::Partly) => {
            if state == State::Written && journal.record.is_of_image() && !ignore.contains(&Code::HasChildren) {
                refuse_children(&locked, &named)?;
            }
            restore::restore(&mut journal, &locked, begun)?
        }
        (Mark::Committed | Mark::Restored, State::Partly) | (_, State::Foreign) => {
            if let Some(error) = why_foreign(&journal, &locked)? {
                return Err(error);
            }
            let error = interrupted::foreign(&journal, &locked.path, &*locked.storage_of(&files)?);
            return Err(error.advise(format!("{OR_ANOTHER}: {INSTEAD}")));
        }
    };
    let is_image = journal.record.is_of_image();
    Ok(Undone { target: locked.path, how, is_image })
}

/// Advice if the bytes can no longer be restored.
const INSTEAD: &str = "set or remove the old value instead: hivewright set, hivewright unset";
/// Advice for bytes that are neither old nor new.
const OR_ANOTHER: &str = "if another file was changed, name it: --target FILE; if this Windows has run since, or a snapshot inside the image was deleted or applied";

/// Returns the reason why the bytes are neither old nor new, if it is known: a later change, or growth of the image.
fn why_foreign<H: Host>(journal: &Journal<'_, H>, locked: &Locked<'_, H>) -> Result<Option<Error>> {
    let record = &journal.record;
    if !matches!(record.mark, Mark::Committed | Mark::Restored) {
        return Ok(None);
    }
    let mut later = discovery::beside(locked.host, &locked.path)?;
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
                let what = format!("the change in {this} was already undone, and {target} has changed since");
                (what, format!("the newer change is in {last}: {advice}"))
            }
            _ => {
                let what = format!("{target} has changed again since {this}: {last} has the later change");
                (what, format!("undo the newer one first: {advice}"))
            }
        };
        return Ok(Some(Error::refused(Code::ChangedSince, what).advise(advice)));
    }
    let storage = locked.storage_of(&record.files_of(&locked.path)?)?;
    if record.mark != Mark::Committed || !record.is_of_image() || !record.has_only_grown(&*storage)? {
        return Ok(None);
    }
    let what = format!(
        "{} has grown since the change: its new bytes may belong to a snapshot or to other data",
        locked.path.display()
    );
    Ok(Some(Error::refused(Code::UndoShared, what).advise(INSTEAD)))
}

/// Advice if the images that depend on this one have no writable top.
const MERGED: &str = "keep this change, and set the old value after the snapshots are merged or removed: hivewright set, \
                      hivewright unset; --ignore-children restores it anyway";

/// Refuses if other images depend on this one, because they may have been made after the change.
fn refuse_children<H: Host>(locked: &Locked<'_, H>, named: &Path) -> Result<()> {
    let files: Vec<PathBuf> = locked.all().map(|file| file.path.clone()).collect();
    let advice = "delete them first if they are not needed; otherwise keep this change and set the old value in the image at \
                  the top of the chain: hivewright set, hivewright unset; --ignore-children restores it anyway, and changes \
                  their contents";
    let found = container::find_dependents(&files, named);
    let advice = if found.advice.is_some() { MERGED } else { advice };
    of_children(&files, &found).map_or(Ok(()), |obstacle| Err(obstacle.refuse().advise(advice)))
}

/// Returns whether all bytes that would be written belong to the current disk alone. An internal snapshot that was made
/// since shares them; if one was deleted too, they may be free.
fn is_unshared<H: Host>(record: &Record, locked: &Locked<'_, H>) -> Result<bool> {
    for file in locked.all() {
        if !container::is_unshared(&*file.file, &record.changed_in(&locked.path, &file.path)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}
