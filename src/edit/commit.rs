//! Writes an edit: as a new file in place of the old one, as patches in place, or as another file. Several files change
//! together in place. For hives inside an image, the image's files change.

mod copied;
mod dry_run;
mod in_image;
mod output;
mod together;

use std::path::{Path, PathBuf};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::PatchSet;
use hivewright_storage::exact::field;
use hivewright_storage::{Access, Host, HostFile};

use crate::transaction::{
    self, Change, Journal, Locked, Mark, New, Overlaid, Record, Replaced, expect_room, replace, why_in_place,
};
use crate::undo::settle;

pub use crate::transaction::Proof;
pub(super) use dry_run::{Part, Wanted, plan_write};
#[cfg(feature = "internals")]
pub use in_image::commit_files_on;
pub(super) use in_image::{commit_on_disk, lock_image};

/// Choice between patches in place and a new file in place of the old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InPlace {
    /// In place if a new file would not be equivalent: other hard links, an NTFS or FUSE mount, metadata that cannot be
    /// copied, systems other than Linux.
    #[default]
    Auto,
    /// Always in place.
    Always,
}

/// Options of a commit.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Path of the output, which leaves the original unchanged. Never overwrites.
    pub output: Option<PathBuf>,
    /// Path of the undo file. Never overwrites. By default, an undo file beside the target is written only for patches
    /// in place.
    pub undo: Option<PathBuf>,
    /// Whether to keep the times of access and modification.
    pub keep_times: bool,
    /// Choice of writing in place.
    pub in_place: InPlace,
    /// Transaction logs to empty with the write, which is then in place; one undo file covers them and the target.
    pub empty: Vec<PathBuf>,
}

/// A changed file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ChangedFile {
    /// The file, or the image that contains it.
    #[serde(flatten, serialize_with = "field::file")]
    pub path: PathBuf,
    /// Its path inside the image.
    #[serde(skip_serializing_if = "Option::is_none", rename = "hive")]
    pub inside: Option<String>,
}

/// Method of the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum How {
    /// Nothing was changed or written.
    Unchanged,
    /// A new file replaced the old one.
    Replaced,
    /// The changed bytes were written in place.
    InPlace,
    /// A new file was written elsewhere.
    Output,
    /// Only the hive was written to a new file, since its image is read-only.
    OutputHive,
}

/// Result of a commit: everything is durable and was read back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Committed {
    /// Method of the write.
    pub how: How,
    /// The file with the new bytes.
    #[serde(flatten, serialize_with = "field::file")]
    pub path: PathBuf,
    /// Path of the first changed file inside an image.
    #[serde(skip_serializing_if = "Option::is_none", rename = "hive")]
    pub inside: Option<String>,
    /// The undo file, if one was written.
    #[serde(flatten, serialize_with = "field::undo")]
    pub undo: Option<PathBuf>,
    /// Reason for writing in place.
    pub why_in_place: Option<String>,
    /// Harmless failures and side effects.
    pub notes: Vec<String>,
    /// The changed hives, in the order of writing.
    #[serde(skip)]
    pub hives: Vec<ChangedFile>,
    /// The transaction logs that were emptied with them, covered by the same undo file.
    #[serde(skip)]
    pub emptied: Vec<ChangedFile>,
}

impl Committed {
    /// Creates the result of a commit without changes.
    pub(super) fn unchanged(path: PathBuf) -> Self {
        done(How::Unchanged, path)
    }
}

/// A change of one hive.
#[derive(Clone, Copy)]
pub struct Edit<'a> {
    /// The file of the host.
    pub target: &'a Path,
    /// Patches from the old to the new bytes.
    pub patches: &'a PatchSet,
    /// All new bytes of the file.
    pub image: &'a [u8],
    /// The patches of a recovery and those of the edit, if a recovery precedes the edit. In place, they are written one
    /// after the other, so an interruption leaves the hive as in a recovery or an edit alone.
    pub phases: Option<(&'a PatchSet, &'a PatchSet)>,
}

/// Writes `patches` to the file `target`; `image` contains all its new bytes. For tests.
///
/// # Errors
/// As [`commit_edits_on`].
#[cfg(feature = "internals")]
pub fn commit(target: &Path, patches: &PatchSet, image: &[u8], options: &Options) -> Result<Committed> {
    commit_on(&hivewright_storage::RealHost, target, patches, image, options)
}

/// As [`commit`], on another file system.
///
/// # Errors
/// As [`commit_edits_on`].
#[cfg(feature = "internals")]
pub fn commit_on<H: Host>(
    host: &H,
    target: &Path,
    patches: &PatchSet,
    image: &[u8],
    options: &Options,
) -> Result<Committed> {
    commit_edits_on(host, &[Edit { target, patches, image, phases: None }], &|| Ok(()), options)
}

/// Writes changes of several hives, after `proof` has passed: all of them, or none.
///
/// # Errors
/// [`Kind::Refused`] and [`Kind::Io`]: the originals are intact (codes `in-use`, `changed-since`, `output-exists`,
/// `undo-exists`, `unfinished-write`, `undo-damaged`, `not-a-file`, `patch-set`, `read-back`, `io`).
/// [`Kind::Unfinished`]: they may have changed, and the message names the undo file. Errors of the proof: the originals
/// are intact. `output-files`: several hives have no single output file.
pub fn commit_edits_on<H: Host>(
    host: &H,
    edits: &[Edit<'_>],
    proof: Proof<'_>,
    options: &Options,
) -> Result<Committed> {
    let done = run(host, edits, proof, options).map_err(|e| match e.kind() {
        Kind::Io if edits.len() > 1 => e.adding("the originals are intact"),
        Kind::Io => e.adding("the original is intact"),
        _ => e,
    })?;
    // The result of several hives contains their files already.
    if done.hives.is_empty() && done.how != How::Unchanged {
        let hives = vec![ChangedFile { path: done.path.clone(), inside: None }];
        return Ok(Committed { hives, ..done });
    }
    Ok(done)
}

/// Writes a whole hive to the new file `output`, after `proof` has passed.
pub(super) fn write_alone<H: Host>(host: &H, output: &Path, hive: &[u8], proof: Proof<'_>) -> Result<Committed> {
    Ok(done(How::OutputHive, output::write_alone(host, output, hive, proof)?))
}

/// Commits; the caller adds to errors of [`Kind::Io`] that the originals are intact.
fn run<H: Host>(host: &H, edits: &[Edit<'_>], proof: Proof<'_>, options: &Options) -> Result<Committed> {
    let [edit] = edits else { return run_several(host, edits, proof, options) };
    let change = Change::new(edit.patches, edit.image)?;
    let (before, after) = (Overlaid::before(&change, edit.image), Overlaid::plain(edit.image));
    if let Some(output) = &options.output {
        let new = New { bytes: &after, keep_times: options.keep_times, proof };
        return Ok(done(How::Output, output::write(host, edit.target, output, &before, &new)?));
    }
    let logs = together::nonempty(host, edits, &options.empty)?;
    if !logs.is_empty() {
        return together::write(host, edits, &logs, proof, options);
    }
    let locked = Locked::take(host, edit.target)?;
    settle(&locked)?;
    if change.is_empty() {
        locked.expect(&before)?;
        return Ok(done(How::Unchanged, locked.path));
    }
    let why = match options.in_place {
        InPlace::Always => Some("requested".to_owned()),
        InPlace::Auto => why_in_place(&locked.about),
    };
    let job = Job { locked: &locked, change: &change, before, after, edit, proof, options };
    let why = match why {
        Some(why) => why,
        None => match job.replace()? {
            Ok(committed) => return Ok(committed),
            Err(lost) => lost,
        },
    };
    job.write_in_place(why)
}

/// As [`run`], for several hives or none. Several files cannot be replaced at once, so they change in place.
fn run_several<H: Host>(host: &H, edits: &[Edit<'_>], proof: Proof<'_>, options: &Options) -> Result<Committed> {
    let first = edits.first().map(|edit| host.resolve(edit.target)).transpose()?.unwrap_or_default();
    if options.output.is_some() {
        let what = format!("the edit concerns {} hives, which have no single output file", edits.len());
        return Err(Error::new(Kind::Unsupported, Code::OutputFiles, what).advise("copy the folder and edit the copy"));
    }
    let logs = together::nonempty(host, edits, &options.empty)?;
    let changed: Vec<Edit<'_>> = edits.iter().filter(|edit| !edit.patches.is_empty()).copied().collect();
    match &changed[..] {
        [] if logs.is_empty() => Ok(done(How::Unchanged, first)),
        [] => together::write(host, edits, &logs, proof, options),
        [one] if logs.is_empty() => run(host, &[*one], proof, options),
        several => together::write(host, several, &logs, proof, options),
    }
}

fn done(how: How, path: PathBuf) -> Committed {
    let (notes, hives, emptied) = <_>::default();
    Committed { how, path, inside: None, undo: None, why_in_place: None, notes, hives, emptied }
}

/// A checked change of a locked file.
struct Job<'a, H: Host> {
    locked: &'a Locked<'a, H>,
    change: &'a Change,
    before: Overlaid<'a>,
    after: Overlaid<'a>,
    edit: &'a Edit<'a>,
    proof: Proof<'a>,
    options: &'a Options,
}

impl<H: Host> Job<'_, H> {
    /// Returns the undo record of the whole change.
    fn record(&self) -> Result<Record> {
        let whole = Some((&self.before, &self.after));
        Record::new(&self.locked.path, self.change.clone(), &*self.locked.file, whole)
    }

    /// Replaces the file by a new one. The inner `Err` is the metadata that a new file would lose; then nothing was
    /// changed.
    fn replace(&self) -> Result<std::result::Result<Committed, String>> {
        let mut journal = None;
        let mut save = || -> Result<()> {
            if let Some(wanted) = &self.options.undo {
                expect_room(self.locked.host, wanted)?;
                journal = Some(Journal::save(self.locked.host, self.options.undo.as_deref(), self.record()?)?);
            }
            Ok(())
        };
        let new = New { bytes: &self.after, keep_times: self.options.keep_times, proof: self.proof };
        let tried = replace(self.locked, &self.before, &new, &mut save);
        match tried {
            Ok(Replaced::Lost(lost)) => return Ok(Err(lost)),
            Ok(Replaced::Done) => {}
            Err(error) if error.kind() == Kind::Unfinished => return Err(error),
            Err(error) => {
                let _ = journal.map(|j| j.remove());
                return Err(error);
            }
        }
        let mut committed = done(How::Replaced, self.locked.path.clone());
        if let Some(mut journal) = journal {
            committed.notes.extend(journal.mark_or_note(Mark::Committed));
            committed.undo = Some(journal.path);
        }
        Ok(Ok(committed))
    }

    fn write_in_place(&self, why: String) -> Result<Committed> {
        let Locked { host, path, file, times, .. } = self.locked;
        if let Some(wanted) = &self.options.undo {
            expect_room(*host, wanted)?;
        }
        (self.proof)()?;
        self.locked.expect(&self.before)?;
        let whole = self.record()?;
        // During the write, the undo file is where the next run searches for it.
        let mut journals = match self.edit.phases {
            Some((first, then)) if !first.is_empty() && !then.is_empty() => self.write_phases(first, then)?,
            _ => {
                let journal = Journal::save(*host, None, whole.clone())?;
                transaction::write(&journal, &**file, &|| Ok(Box::new(host.open(path, Access::Read)?)))?;
                vec![journal]
            }
        };
        let mut committed = Committed { why_in_place: Some(why), ..done(How::InPlace, path.clone()) };
        if self.options.keep_times {
            let kept = file.take_times(times).and_then(|()| hivewright_storage::Storage::flush(&**file));
            committed.notes.extend(kept.err().map(|e| format!("cannot preserve the times of the file: {e}")));
        }
        for journal in &mut journals {
            committed.notes.extend(journal.mark_or_note(Mark::Committed));
        }
        committed.undo = journals.last().map(|journal| journal.path.clone());
        if journals.len() > 1 || self.options.undo.is_some() {
            match self.merge_undo_files(whole, &journals) {
                Ok(path) => committed.undo = Some(path),
                Err(error) => {
                    let left: Vec<String> = journals.iter().rev().map(|j| j.path.display().to_string()).collect();
                    let left = left.join(", then ");
                    committed.notes.push(format!("cannot move the undo file to its place ({error}): use {left}"));
                }
            }
        }
        Ok(committed)
    }

    /// Writes the recovery and then the edit, each with its own undo file.
    fn write_phases(&self, first: &PatchSet, then: &PatchSet) -> Result<Vec<Journal<'_, H>>> {
        let mut between = self.edit.image.to_vec();
        then.revert(&mut between)?;
        let mut recovered = self.write_phase(first, &between)?;
        // The hive is recovered from here on, which the next run must not roll back.
        let edited = recovered.mark(Mark::Committed).and_then(|()| self.write_phase(then, self.edit.image));
        match edited {
            Ok(edited) => Ok(vec![recovered, edited]),
            Err(error) => Err(after_phase(error, &recovered)),
        }
    }

    /// Writes one change with its own undo file.
    fn write_phase(&self, patches: &PatchSet, image: &[u8]) -> Result<Journal<'_, H>> {
        let Locked { host, path, file, .. } = self.locked;
        let change = Change::new(patches, image)?;
        let whole = (&Overlaid::before(&change, image), &Overlaid::plain(image));
        let record = Record::new(path, change.clone(), &**file, Some(whole))?;
        let journal = Journal::save(*host, None, record)?;
        transaction::write(&journal, &**file, &|| Ok(Box::new(host.open(path, Access::Read)?)))?;
        Ok(journal)
    }

    /// Writes one undo file for the whole change at the user's path, and removes the temporary ones.
    fn merge_undo_files(&self, whole: Record, journals: &[Journal<'_, H>]) -> Result<PathBuf> {
        let mut journal = Journal::save(self.locked.host, self.options.undo.as_deref(), whole)?;
        journal.mark(Mark::Committed)?;
        for old in journals {
            old.remove()?;
        }
        Ok(journal.path)
    }
}

/// Returns the error of the second phase: the first phase remains, and its undo file is named.
fn after_phase<H: Host>(error: Error, first: &Journal<'_, H>) -> Error {
    if error.kind() == Kind::Unfinished {
        return error;
    }
    let undo = first.path.display();
    error
        .adding(&format!("the hive is recovered, but not edited; {undo} reverts the recovery"))
        .becoming(Kind::Unfinished, Code::RecoveredOnly)
}
