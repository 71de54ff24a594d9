//! Writes an edit: a new file, patches in place, or another file; several files together in place; of hives inside of an image,
//! the image's files.

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
    self, Change, Journal, Locked, Mark, New, Overlaid, Record, Tried, expect_room, replace, why_in_place,
};
use crate::undo::settle;

pub use crate::transaction::Proof;
pub(super) use dry_run::{Part, Wanted, rehearse};
#[cfg(feature = "internals")]
pub use in_image::commit_files_on;
pub(super) use in_image::{commit_on_disk, take};

/// When to write over the bytes of the file instead of putting a new file in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InPlace {
    /// Where a new file would not be the same: other hard links, an NTFS or FUSE mount, metadata that does not carry
    /// over, systems other than Linux.
    #[default]
    Auto,
    /// Always.
    Always,
}

/// How a commit is done.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Write the edited file here, and leave the original alone. Never overwrites.
    pub output: Option<PathBuf>,
    /// Write an undo file here. Never overwrites. Without it, one beside the target is written where the bytes are
    /// changed in place, and none otherwise.
    pub undo: Option<PathBuf>,
    /// Keep the times of access and modification.
    pub keep_times: bool,
    /// When to write in place.
    pub in_place: InPlace,
    /// Transaction logs that are emptied with the write, which is then in place: one undo file has them and the target.
    pub empty: Vec<PathBuf>,
}

/// A file that was changed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ChangedFile {
    /// Its file, or the image that it is in.
    #[serde(flatten, serialize_with = "field::path")]
    pub path: PathBuf,
    /// Where inside of that, where it is an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
}

/// How the bytes came to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// There was nothing to change, and nothing was written.
    Unchanged,
    /// A new file took the place of the old one.
    Replaced,
    /// The bytes that differ were written over the old ones.
    InPlace,
    /// A new file was written elsewhere.
    Output,
    /// The hive alone was written to a new file: out of an image that cannot be written to.
    OutputHive,
}

/// A commit that is done: everything is durable and was read back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Committed {
    /// How.
    pub how: How,
    /// The file that holds the new bytes.
    #[serde(flatten, serialize_with = "field::path")]
    pub path: PathBuf,
    /// What inside of it was changed, where it is an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    /// The undo file, if one was written.
    #[serde(flatten, serialize_with = "field::undo")]
    pub undo: Option<PathBuf>,
    /// Why it was written in place.
    pub why_in_place: Option<String>,
    /// What did not work and does no harm.
    pub notes: Vec<String>,
    /// The hives that were changed, in the order in which they were written.
    #[serde(skip)]
    pub hives: Vec<ChangedFile>,
    /// The transaction logs that were emptied with them, under the same undo file.
    #[serde(skip)]
    pub emptied: Vec<ChangedFile>,
}

impl Committed {
    /// There was nothing to do.
    pub(super) fn unchanged(path: PathBuf) -> Self {
        done(How::Unchanged, path)
    }
}

/// A change of one hive to be committed.
#[derive(Clone, Copy)]
pub struct Edit<'a> {
    /// The file of the host.
    pub target: &'a Path,
    /// From the file as it is to the file as it shall be.
    pub patches: &'a PatchSet,
    /// The whole file as it shall be.
    pub image: &'a [u8],
    /// Where a recovery goes before: its patches alone and those that follow it. In place they are written one after
    /// the other, so that every prefix of each is what it is for a hive that is only recovered, or only edited.
    pub phases: Option<(&'a PatchSet, &'a PatchSet)>,
}

/// Brings `patches` to the file `target`; `image` is the whole file as it shall be. For tests.
///
/// # Errors
/// As [`commit_edits_on`].
#[cfg(feature = "internals")]
pub fn commit(target: &Path, patches: &PatchSet, image: &[u8], options: &Options) -> Result<Committed> {
    commit_on(&hivewright_storage::RealHost, target, patches, image, options)
}

/// [`commit`] on another file system.
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

/// Brings changes of several hives to their files, once `proof` has passed: all of them, or none.
///
/// # Errors
/// [`Kind::Refused`] and [`Kind::Io`]: the originals are intact (codes `in-use`, `changed-since`, `output-exists`,
/// `undo-exists`, `unfinished-write`, `undo-damaged`, `not-a-file`, `patch-set`, `read-back`, `io`).
/// [`Kind::Unfinished`]: they may not be, and the message names what restores them. Those of the proof: the originals are
/// intact. `output-files`: several hives are no single file.
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
    // One hive alone: several name theirs themselves.
    if done.hives.is_empty() && done.how != How::Unchanged {
        let hives = vec![ChangedFile { path: done.path.clone(), inside: None }];
        return Ok(Committed { hives, ..done });
    }
    Ok(done)
}

/// Writes all of a hive to the new file `output`, once `proof` has passed.
pub(super) fn write_alone<H: Host>(host: &H, output: &Path, hive: &[u8], proof: Proof<'_>) -> Result<Committed> {
    Ok(done(How::OutputHive, output::write_alone(host, output, hive, proof)?))
}

/// A commit whose errors of [`Kind::Io`] have yet to say that nothing was changed, or nothing that lasted.
fn run<H: Host>(host: &H, edits: &[Edit<'_>], proof: Proof<'_>, options: &Options) -> Result<Committed> {
    let [edit] = edits else { return run_several(host, edits, proof, options) };
    let change = Change::new(edit.patches, edit.image)?;
    let (before, after) = (Overlaid::before(&change, edit.image), Overlaid::plain(edit.image));
    if let Some(output) = &options.output {
        let new = New { bytes: &after, keep_times: options.keep_times, proof };
        return Ok(done(How::Output, output::write(host, edit.target, output, &before, &new)?));
    }
    let logs = together::filled(host, edits, &options.empty)?;
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
        InPlace::Always => Some("asked for".to_owned()),
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

/// [`run`] of several hives, or none. No new files take the place of several at once, so they change in place.
fn run_several<H: Host>(host: &H, edits: &[Edit<'_>], proof: Proof<'_>, options: &Options) -> Result<Committed> {
    let first = edits.first().map(|edit| host.resolve(edit.target)).transpose()?.unwrap_or_default();
    if options.output.is_some() {
        let what = format!("the edit concerns {} hives, and one new file cannot hold them", edits.len());
        return Err(Error::new(Kind::Unsupported, Code::OutputFiles, what).advise("copy the folder and edit the copy"));
    }
    let logs = together::filled(host, edits, &options.empty)?;
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

/// A checked change to a locked file.
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
    /// What takes the whole change back.
    fn record(&self) -> Result<Record> {
        let whole = Some((&self.before, &self.after));
        Record::new(&self.locked.path, self.change.clone(), &*self.locked.file, whole)
    }

    /// `Err`: what a new file would lose; nothing was changed.
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
            Ok(Tried::Lost(lost)) => return Ok(Err(lost)),
            Ok(Tried::Done) => {}
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
        // While bytes change, the undo file stands where the next run looks for it.
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
            committed.notes.extend(kept.err().map(|e| format!("the times of the file could not be kept: {e}")));
        }
        for journal in &mut journals {
            committed.notes.extend(journal.mark_or_note(Mark::Committed));
        }
        committed.undo = journals.last().map(|journal| journal.path.clone());
        if journals.len() > 1 || self.options.undo.is_some() {
            match self.gather(whole, &journals) {
                Ok(path) => committed.undo = Some(path),
                Err(error) => {
                    let left: Vec<String> = journals.iter().rev().map(|j| j.path.display().to_string()).collect();
                    let left = left.join(", then ");
                    committed.notes.push(format!("the undo file could not be put in its place ({error}): use {left}"));
                }
            }
        }
        Ok(committed)
    }

    /// The recovery and then the edit, each with an undo file of its own.
    fn write_phases(&self, first: &PatchSet, then: &PatchSet) -> Result<Vec<Journal<'_, H>>> {
        let mut between = self.edit.image.to_vec();
        then.revert(&mut between)?;
        let mut recovered = self.write_phase(first, &between)?;
        // From here on the hive is recovered: a next run must not take it for an unfinished write.
        let edited = recovered.mark(Mark::Committed).and_then(|()| self.write_phase(then, self.edit.image));
        match edited {
            Ok(edited) => Ok(vec![recovered, edited]),
            Err(error) => Err(after_phase(error, &recovered)),
        }
    }

    /// One change, under an undo file of its own.
    fn write_phase(&self, patches: &PatchSet, image: &[u8]) -> Result<Journal<'_, H>> {
        let Locked { host, path, file, .. } = self.locked;
        let change = Change::new(patches, image)?;
        let whole = (&Overlaid::before(&change, image), &Overlaid::plain(image));
        let record = Record::new(path, change.clone(), &**file, Some(whole))?;
        let journal = Journal::save(*host, None, record)?;
        transaction::write(&journal, &**file, &|| Ok(Box::new(host.open(path, Access::Read)?)))?;
        Ok(journal)
    }

    /// One undo file for all of it, where the user wants it, in place of those that were needed meanwhile.
    fn gather(&self, whole: Record, journals: &[Journal<'_, H>]) -> Result<PathBuf> {
        let mut journal = Journal::save(self.locked.host, self.options.undo.as_deref(), whole)?;
        journal.mark(Mark::Committed)?;
        for old in journals {
            old.remove()?;
        }
        Ok(journal.path)
    }
}

/// A failure in the second phase: what the first one did stays, and its undo file is named.
fn after_phase<H: Host>(error: Error, first: &Journal<'_, H>) -> Error {
    if error.kind() == Kind::Unfinished {
        return error;
    }
    let undo = first.path.display();
    error
        .adding(&format!("the hive is recovered, not edited; {undo} takes that back"))
        .becoming(Kind::Unfinished, Code::RecoveredOnly)
}
