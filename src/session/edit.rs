//! From what the user wants to a proven set of patches: read, recover, find the places, edit in memory, prove.
//!
//! Nothing is written here but by [`Prepared::commit`], and that only after [`Prepared::prove`] has passed: the full
//! check and the witness on the edited bytes.

mod on_disk;
mod proof;
mod source;

use std::path::Path;

pub use source::Origin;

use super::commit::{self, Committed, Options};
use super::disk::{Choice, Disk, HiveOnDisk};
use super::logs::LogChoice;
use super::target::{self, Target};
use super::undo::{self, Leftover, State};
use crate::error::{Error, Result};
use crate::hive::recover::Recovery;
use crate::hive::{EditOptions, Edited, Editor, Hive, HiveBytes, PatchSet};
use crate::regf::CellOffset;
use crate::regf::key_value::ValueType;
use crate::windows::{self, Era, Place, Selection, rule};

/// What shall become of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A REG_DWORD of this number.
    Set(u32),
    /// No value of that name.
    Unset,
}

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What shall become of the rule; `None` to recover the hive and no more.
    pub wanted: Option<Wanted>,
    /// In which control sets.
    pub selection: Selection,
    /// Which Windows it is, whatever the evidence says.
    pub era: Option<Era>,
    /// Edit despite errors of the check that the edit does not touch.
    pub force: bool,
    /// Where the transaction logs are, should the hive be dirty.
    pub logs: LogChoice,
    /// Take a dirty hive as it stands, and give up what its logs hold, if they cannot be applied.
    pub as_it_stands: bool,
    /// Whether the file itself will be written: then an interrupted write is settled first.
    pub settle: bool,
    /// How to edit.
    pub options: EditOptions,
    /// Which partition and installation of a disk.
    pub choice: Choice,
    /// Codes of what a volume has against writes and the user takes upon himself.
    pub ignore: Vec<&'static str>,
}

/// A value before an edit: its type and data.
pub type Before = (ValueType, Vec<u8>);

/// One key of the edit.
#[derive(Clone, Debug)]
pub struct Change {
    /// The service key.
    pub place: Place,
    /// What stood there under the rule's name, twins in other letters included.
    pub before: Vec<Before>,
    /// Whether anything changes.
    pub changes: bool,
    /// All other values of the key, which stay.
    others: Vec<OtherValue>,
}

/// Name, type and data.
type OtherValue = (String, u32, Vec<u8>);

/// An edit that is ready to be proven and written.
#[derive(Debug)]
pub struct Prepared {
    /// The hive.
    pub target: Target,
    /// Clean, recovered, or taken as it stood.
    pub origin: Origin,
    /// What changes where.
    pub changes: Vec<Change>,
    /// What became of an interrupted write that was found first.
    pub settled: Option<undo::Recovered>,
    /// The edited file, and all patches from the file as it is.
    pub edited: Edited,
    /// The patches of a recovery alone; they come first. Empty for a hive that was clean.
    recovery: PatchSet,
    /// The patches of the edit alone.
    edit: PatchSet,
    request: Request,
    /// Where the hive is, if inside of a disk.
    on_disk: Option<HiveOnDisk>,
}

/// Reads the hive that `path` stands for and edits it in memory.
///
/// # Errors
/// Refusals as [`windows::plan`] has them; `dirty` for a hive whose logs cannot be applied; damage on the way.
pub fn prepare(path: &Path, request: &Request) -> Result<Prepared> {
    if Disk::open(path)?.is_some() {
        return on_disk::prepare(path, request);
    }
    let target = target::find(path)?;
    let settled = settle(&target.hive, request.settle)?;
    let source = source::open_source(&target.hive, request)?;
    edit_source(target, settled, source, request)
}

fn edit_source(
    target: Target,
    settled: Option<undo::Recovered>,
    source: source::Source,
    request: &Request,
) -> Result<Prepared> {
    let mut changes = Vec::new();
    if request.wanted.is_some() {
        for place in windows::plan(&source.hive, &request.selection, request.era)? {
            let (before, others) = values(&source.hive, place.key)?;
            changes.push(Change { place, before, changes: false, others });
        }
    }
    let options = EditOptions { above_sequence: source.highest_sequence, ..request.options };
    let mut editor = source.hive.edit(options);
    if let Some(wanted) = request.wanted {
        for change in &mut changes {
            change.changes = apply(&mut editor, change, wanted)?;
        }
    }
    let Edited { bytes, patches: edit } = editor.finish()?;
    let recovery = source.recovery;
    let patches = if recovery.is_empty() { edit.clone() } else { recovery.then(&edit, &bytes) };
    let edited = Edited { bytes, patches };
    let origin = source.origin;
    let request = request.clone();
    Ok(Prepared { target, origin, changes, settled, edited, recovery, edit, request, on_disk: None })
}

impl Prepared {
    /// Whether everything is as wanted already.
    pub fn is_already_so(&self) -> bool {
        self.edited.patches.is_empty()
    }

    /// What was replayed, if anything was.
    pub fn recovered(&self) -> Option<&Recovery> {
        match &self.origin {
            Origin::Recovered(recovery) => Some(recovery),
            Origin::Clean | Origin::AsItStood(_) => None,
        }
    }

    /// Proves the edit and brings it to the disk.
    ///
    /// # Errors
    /// As [`Prepared::prove`] and [`commit::commit`].
    pub fn commit(&self, options: &Options) -> Result<Committed> {
        if let Some(hive) = &self.on_disk {
            return self.commit_on_disk(hive, options);
        }
        let edit = commit::Edit {
            patches: &self.edited.patches,
            image: &self.edited.bytes,
            phases: Some((&self.recovery, &self.edit)),
            proof: &|| self.prove(),
        };
        commit::commit_edit(&self.target.hive, &edit, options)
    }
}

impl Prepared {
    /// Empties the transaction logs, see [`super::logs::empty`]. The hive should be on the disk by then.
    ///
    /// # Errors
    /// As there.
    pub fn empty_logs(&self) -> Result<Vec<Committed>> {
        if self.on_disk.is_some() {
            return Err(on_disk::unsupported("disk-truncate-logs", "logs inside of a disk image are not emptied"));
        }
        super::logs::empty(&self.target.hive, &self.request.logs)
    }
}

/// Ends a write to `hive` that an earlier run began: takes it back, or sees that it is complete. Without leave to
/// write, one that left the file partly written is refused.
fn settle(hive: &Path, may_write: bool) -> Result<Option<undo::Recovered>> {
    if may_write {
        return undo::recover_unfinished(hive);
    }
    match undo::find_unfinished(hive)? {
        Some(Leftover { undo, state: State::Partly }) => Err(unfinished(hive, &undo)),
        _ => Ok(None),
    }
}

/// The refusal to work on a file that an interrupted write left.
pub(super) fn unfinished(hive: &Path, undo: &Path) -> Error {
    let (hive, undo) = (hive.display(), undo.display());
    Error::refused("unfinished-write", format!("an interrupted write left {hive} partly written; {undo} restores it"))
        .advise(format!("hivewright undo {undo}"))
}

fn apply(editor: &mut Editor, change: &Change, wanted: Wanted) -> Result<bool> {
    let key = change.place.key;
    let mut changed = false;
    // Which of two twins Windows reads is not established: one that says what is wanted remains.
    let keep = usize::from(matches!(wanted, Wanted::Set(_)));
    for _ in keep..change.before.len() {
        changed |= editor.delete_value(key, rule::NAME)?;
    }
    if let Wanted::Set(number) = wanted {
        changed |= editor.set_value(key, rule::NAME, ValueType::DWORD, &number.to_le_bytes())?;
    }
    Ok(changed)
}

/// All values of the key: those under the rule's name, in any letters, and the others.
fn values<B: HiveBytes>(hive: &Hive<B>, key: CellOffset) -> Result<(Vec<Before>, Vec<OtherValue>)> {
    let (mut of_rule, mut others) = (Vec::new(), Vec::new());
    for value in hive.key_at(key)?.values()? {
        let value = value?;
        let data = hive.data(&value)?.into_owned();
        if value.name.matches(rule::NAME) {
            of_rule.push((value.data_type(), data));
        } else {
            others.push((value.name.to_string(), value.data_type().0, data));
        }
    }
    Ok((of_rule, others))
}
