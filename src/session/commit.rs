//! Patches to the disk: the old bytes or the new ones, never a mixture. `crate::design` has the write order, the
//! crash table and what is assumed about media.

mod change;
mod in_place;
mod locked;
mod output;
mod overlaid;
mod replace;
mod staged;

use std::path::{Path, PathBuf};

use crate::error::{Kind, Result};
use crate::hive::PatchSet;
use crate::storage::{About, Access, Host, HostFile, RealHost};

use super::undo::{Journal, Mark, Record, settle};

pub(super) use change::{Change, changed_since};
pub(super) use in_place::{restore, unfinished};
pub(super) use locked::Locked;
pub(super) use overlaid::Overlaid;
pub(super) use replace::{Tried, replace};
pub(super) use staged::{Staged, folder_of, same_bytes};

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
}

/// A commit that is done: everything is durable and was read back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Committed {
    /// How.
    pub how: How,
    /// The file that holds the new bytes.
    pub path: PathBuf,
    /// The undo file, if one was written.
    pub undo: Option<PathBuf>,
    /// Why it was written in place.
    pub why_in_place: Option<String>,
    /// What did not work and does no harm.
    pub notes: Vec<String>,
}

/// Brings `patches` to the file `target`; `image` is the whole file as it shall be.
///
/// # Errors
/// [`Kind::Refused`] and [`Kind::Io`]: the original is intact (codes `in-use`, `changed-since`, `output-exists`,
/// `undo-exists`, `unfinished-write`, `undo-damaged`, `not-a-file`, `patch-set`, `read-back`, `io`).
/// [`Kind::Unfinished`]: it may not be, and the message names what restores it.
pub fn commit(target: &Path, patches: &PatchSet, image: &[u8], options: &Options) -> Result<Committed> {
    commit_on(&RealHost, target, patches, image, options)
}

/// [`commit`] on another file system.
///
/// # Errors
/// As [`commit`].
pub fn commit_on<H: Host>(
    host: &H,
    target: &Path,
    patches: &PatchSet,
    image: &[u8],
    options: &Options,
) -> Result<Committed> {
    run(host, target, patches, image, options).map_err(|e| match e.kind() {
        Kind::Io => e.adding("the original is intact"),
        _ => e,
    })
}

/// A commit whose errors of [`Kind::Io`] have yet to say that nothing was changed, or nothing that lasted.
fn run<H: Host>(host: &H, target: &Path, patches: &PatchSet, image: &[u8], options: &Options) -> Result<Committed> {
    let change = Change::new(patches, image)?;
    let (before, after) = (Overlaid::before(&change, image), Overlaid::plain(image));
    if let Some(output) = &options.output {
        let path = output::write(host, target, output, &before, &after, options.keep_times)?;
        return Ok(done(How::Output, path));
    }
    let locked = Locked::take(host, target)?;
    settle(&locked)?;
    locked.expect(&before)?;
    if change.is_empty() {
        return Ok(done(How::Unchanged, locked.path));
    }
    let why = match options.in_place {
        InPlace::Always => Some("asked for".to_owned()),
        InPlace::Auto => why_in_place(&locked.about),
    };
    let job = Job { locked: &locked, change: &change, before, after, options };
    let why = match why {
        Some(why) => why,
        None => match job.replace()? {
            Ok(committed) => return Ok(committed),
            Err(lost) => lost,
        },
    };
    job.write_in_place(why)
}

fn done(how: How, path: PathBuf) -> Committed {
    Committed { how, path, undo: None, why_in_place: None, notes: Vec::new() }
}

/// Why a new file in its place would not be the same, if so.
pub(super) fn why_in_place(about: &About) -> Option<String> {
    match about.links {
        0 | 1 => about.keeps.map(str::to_owned),
        links => Some(format!("the file has {links} names (hard links), which would come apart")),
    }
}

/// A checked change to a locked file.
struct Job<'a, H: Host> {
    locked: &'a Locked<'a, H>,
    change: &'a Change,
    before: Overlaid<'a>,
    after: Overlaid<'a>,
    options: &'a Options,
}

impl<H: Host> Job<'_, H> {
    fn save_undo(&self) -> Result<Journal<'_, H>> {
        let whole = Some((&self.before, &self.after));
        let record = Record::new(&self.locked.path, self.change.clone(), &self.locked.file, whole)?;
        Journal::save(self.locked.host, self.options.undo.as_deref(), record)
    }

    /// `Err`: what a new file would lose; nothing was changed.
    fn replace(&self) -> Result<std::result::Result<Committed, String>> {
        let mut journal = None;
        let mut save = || -> Result<()> {
            if self.options.undo.is_some() {
                journal = Some(self.save_undo()?);
            }
            Ok(())
        };
        let tried = replace(self.locked, &self.before, &self.after, self.options.keep_times, &mut save);
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
        let mut journal = self.save_undo()?;
        in_place::write(&journal, file, &|| Ok(Box::new(host.open(path, Access::Read)?)))?;
        let mut committed = Committed { why_in_place: Some(why), ..done(How::InPlace, path.clone()) };
        if self.options.keep_times {
            let kept = file.take_times(times).and_then(|()| crate::storage::Storage::flush(file));
            committed.notes.extend(kept.err().map(|e| format!("the times of the file could not be kept: {e}")));
        }
        committed.notes.extend(journal.mark_or_note(Mark::Committed));
        committed.undo = Some(journal.path);
        Ok(committed)
    }
}
