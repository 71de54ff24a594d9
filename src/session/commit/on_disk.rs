//! Patches to a hive inside of an image: always in place, under an undo file of the image.

use std::path::Path;

use super::change::Change;
use super::locked::Locked;
use super::{Committed, How, Options, Proof, after_phase, done, in_place};
use crate::error::{Error, Kind, Result};
use crate::hive::PatchSet;
use crate::session::undo::{Journal, Mark, Record, refuse_taken, settle};
use crate::storage::{Access, Host, HostFile, Storage};

/// A change of a hive inside of an image. All patches are addressed in the image, whose length stays.
pub(in crate::session) struct EditOnDisk<'a> {
    /// What is done one after the other, such as a recovery and then the edit.
    pub(in crate::session) phases: Vec<PatchSet>,
    /// All of it at once.
    pub(in crate::session) whole: PatchSet,
    /// What has to pass before the first write.
    pub(in crate::session) proof: Proof<'a>,
    /// Compares the image with what the file system gave, before the first write.
    pub(in crate::session) before: &'a dyn Fn(&dyn Storage) -> Result<()>,
    /// Reads the hive back through everything that lies between it and the image, opened anew.
    pub(in crate::session) after: &'a dyn Fn() -> Result<()>,
}

/// Writes `edit` to the image at `path`.
///
/// # Errors
/// As [`super::commit`].
pub(in crate::session) fn commit_on_disk<H: Host>(
    host: &H,
    path: &Path,
    edit: &EditOnDisk<'_>,
    options: &Options,
) -> Result<Committed> {
    run(host, path, edit, options).map_err(|error| match error.kind() {
        Kind::Io => error.adding("the original is intact"),
        _ => error,
    })
}

fn run<H: Host>(host: &H, path: &Path, edit: &EditOnDisk<'_>, options: &Options) -> Result<Committed> {
    let locked = Locked::take(host, path)?;
    locked.keep_machines_out()?;
    settle(&locked)?;
    if edit.whole.is_empty() {
        return Ok(done(How::Unchanged, locked.path));
    }
    if let Some(wanted) = &options.undo {
        refuse_taken(host, wanted)?;
    }
    (edit.proof)()?;
    (edit.before)(&locked.file)?;
    let record = |patches: &PatchSet| {
        let change = Change::checked(patches.old_len, patches.new_len, patches.patches.clone());
        Record::new(&locked.path, change.map_err(super::change::broken)?, &locked.file, None)
    };
    let whole = record(&edit.whole)?;
    let mut journals: Vec<Journal<'_, H>> = Vec::new();
    let phases: Vec<&PatchSet> = edit.phases.iter().filter(|phase| !phase.is_empty()).collect();
    for phase in &phases {
        let reopen = || -> Result<Box<dyn Storage>> { Ok(Box::new(host.open(&locked.path, Access::Read)?)) };
        // Once more: reading the phase before back has given the lock up.
        let locks = locked.keep_machines_out();
        let written = locks.and_then(|()| record(phase)).and_then(|record| Journal::save(host, None, record));
        let written = written.and_then(|journal| {
            in_place::write(&journal, &locked.file, &reopen)?;
            Ok(journal)
        });
        let mut journal = written.map_err(|error| match journals.first() {
            Some(first) => after_phase(error, first),
            None => error,
        })?;
        if journals.len() + 1 < phases.len() {
            // From here on the hive is recovered: a next run must not take it for an unfinished write.
            journal.mark(Mark::Committed).map_err(|error| in_place::unfinished(error, &journal.path))?;
        }
        journals.push(journal);
    }
    if let Err(error) = (edit.after)() {
        return Err(take_back(&locked, journals, error));
    }
    let mut committed = Committed { why_in_place: Some(WHY.to_owned()), ..done(How::InPlace, locked.path.clone()) };
    for journal in &mut journals {
        if journal.record.mark != Mark::Committed {
            committed.notes.extend(journal.mark_or_note(Mark::Committed));
        }
    }
    if options.keep_times {
        let kept = locked.file.take_times(&locked.times).and_then(|()| locked.file.flush());
        committed.notes.extend(kept.err().map(|e| format!("the times of the file could not be kept: {e}")));
    }
    committed.undo = journals.last().map(|journal| journal.path.clone());
    if journals.len() > 1 || options.undo.is_some() {
        match gather(host, whole, &journals, options) {
            Ok(journal) => committed.undo = Some(journal.path),
            Err(error) => {
                let left: Vec<String> = journals.iter().rev().map(|j| j.path.display().to_string()).collect();
                let left = left.join(", then ");
                committed.notes.push(format!("the undo file could not be put in its place ({error}): use {left}"));
            }
        }
    }
    Ok(committed)
}

const WHY: &str = "the hive is inside of a disk image";

/// One undo file for all of it, in place of those that were needed meanwhile.
fn gather<'h, H: Host>(
    host: &'h H,
    whole: Record,
    journals: &[Journal<'_, H>],
    options: &Options,
) -> Result<Journal<'h, H>> {
    let mut journal = Journal::save(host, options.undo.as_deref(), whole)?;
    journal.mark(Mark::Committed)?;
    for old in journals {
        old.remove()?;
    }
    Ok(journal)
}

/// Restores everything, the last phase first, after the hive did not read back.
fn take_back<H: Host>(locked: &Locked<'_, H>, journals: Vec<Journal<'_, H>>, error: Error) -> Error {
    let reopen = || -> Result<Box<dyn Storage>> { Ok(Box::new(locked.host.open(&locked.path, Access::Read)?)) };
    for journal in journals.iter().rev() {
        let groups = journal.record.change.groups().len();
        if locked.keep_machines_out().is_err() || in_place::restore(journal, &locked.file, &reopen, groups).is_err() {
            return in_place::unfinished(error, &journal.path);
        }
        let _ = journal.remove();
    }
    error.adding("the image is what it was before")
}
