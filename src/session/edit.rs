//! From what the user wants to a proven set of patches: read, recover, find the places, edit in memory, prove.
//!
//! Nothing is written here but by [`Prepared::commit`], and that only after [`Prepared::prove`] has passed: the full
//! check and the witness on the edited bytes.

mod on_disk;
mod proof;
mod source;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use source::Origin;

use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;

use super::commit::{self, Committed, Options};
use super::disk::{Choice, Disk, HiveOnDisk};
use super::logs::LogChoice;
use super::surroundings;
use super::target::{self, Target};
use super::undo;
use crate::windows::{self, Era, Place, Selection, rule};
use hivewright_error::{Error, Kind, Result};
use hivewright_hive::recover::Recovery;
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::{Delete, EditOptions, Edited, Editor, Hive, HiveBytes, PatchSet, Value};
use hivewright_storage::{Host, RealHost};

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
    /// Whether a new file will be written elsewhere: of an image that cannot be written to, the recovered hive alone.
    pub elsewhere: bool,
    /// How to edit.
    pub options: EditOptions,
    /// Which partition and installation of a disk.
    pub choice: Choice,
    /// Codes of what a volume has against writes and the user takes upon himself.
    pub ignore: Vec<&'static str>,
}

/// What becomes of the transaction logs in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// They stay as they are.
    Kept,
    /// Their base blocks are zeroed, so that nobody applies them, under the undo file of the hive. The files keep their
    /// sizes; a log that holds nothing is left alone.
    Emptied,
}

/// A value before an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// The type of its data.
    pub kind: ValueType,
    /// Its data.
    pub data: Vec<u8>,
    /// Whether it is a tombstone: Windows takes the value for absent, whatever a lower layer has.
    pub tombstone: bool,
}

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
    others: Others,
}

/// SHA-256 over the names, types and data of values, in order.
type Others = [u8; 32];

/// The most values of the rule's name in one key. Each but one is taken out of the list, which moves the others.
const MAX_TWINS: usize = 100;

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
    /// Why the independent parser could not confirm the edit.
    unconfirmed: OnceLock<String>,
}

/// Reads the hive that `path` stands for and edits it in memory.
///
/// # Errors
/// Refusals as [`windows::plan`] has them; `dirty` for a hive whose logs cannot be applied; damage on the way.
pub fn prepare(path: &Path, request: &Request) -> Result<Prepared> {
    prepare_on(&RealHost, path, request)
}

/// [`prepare`] on another file system: a disk's bytes are read of it, and what an interrupted write left is looked for
/// there.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_on<H: Host>(host: &H, path: &Path, request: &Request) -> Result<Prepared> {
    request.logs.expect()?;
    // An image that is partly written may not even open.
    if undo::is_image_left_over(host, path)? {
        return on_disk::prepare(host, path, None, request);
    }
    if let Some(disk) = Disk::open_on(host, path, &request.choice.image)? {
        return on_disk::prepare(host, path, Some(disk), request);
    }
    let target = target::find(path)?;
    surroundings::refuse_saved_session(&target)?;
    let settled = settle(host, &[host.resolve(&target.hive)?], request.settle)?;
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
        for place in windows::plan(&source.hive, &request.selection, request.era, request.force)? {
            let (before, others) = values(&source.hive, &place, request.force)?;
            changes.push(Change { place, before, changes: false, others });
        }
    }
    let options = EditOptions { above_sequence: source.highest_sequence, ..request.options };
    let mut editor = source.hive.edit(options);
    if let Some(wanted) = request.wanted {
        for change in &mut changes {
            change.changes = apply(&mut editor, change, wanted).map_err(|error| error.about(&change.place.path))?;
        }
    }
    let Edited { bytes, patches: edit } = editor.finish()?;
    let recovery = source.recovery;
    let patches = if recovery.is_empty() { edit.clone() } else { recovery.then(&edit, &bytes) };
    let edited = Edited { bytes, patches };
    let origin = source.origin;
    let request = request.clone();
    Ok(Prepared {
        target,
        origin,
        changes,
        settled,
        edited,
        recovery,
        edit,
        request,
        on_disk: None,
        unconfirmed: OnceLock::new(),
    })
}

impl Prepared {
    /// Whether everything is as wanted already.
    pub fn is_already_so(&self) -> bool {
        self.edited.patches.is_empty()
    }

    /// Why the independent parser could not confirm the edit, if the proof has found it so.
    pub fn unconfirmed(&self) -> Option<&str> {
        self.unconfirmed.get().map(String::as_str)
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
    pub fn commit(&self, logs: Logs, options: &Options) -> Result<Committed> {
        self.commit_on(&RealHost, logs, options)
    }

    /// [`Prepared::commit`] on another file system.
    ///
    /// # Errors
    /// As there.
    pub fn commit_on<H: Host>(&self, host: &H, logs: Logs, options: &Options) -> Result<Committed> {
        if let Some(hive) = &self.on_disk {
            if logs == Logs::Emptied && self.request.logs != LogChoice::Beside {
                let what = "the logs that were named are files of this host, and the hive is inside of an image";
                return Err(Error::refused("logs-elsewhere", what).advise("leave out --truncate-logs, or --log"));
            }
            return self.commit_on_disk(host, hive, logs, options);
        }
        let mut options = options.clone();
        if logs == Logs::Emptied {
            options.empty = self.request.logs.paths(&self.target.hive)?;
        }
        let edit = commit::Edit {
            patches: &self.edited.patches,
            image: &self.edited.bytes,
            phases: Some((&self.recovery, &self.edit)),
            proof: &|| self.prove(),
        };
        commit::commit_edit_on(host, &self.target.hive, &edit, &options)
    }
}

impl Prepared {
    /// Everything that [`Prepared::commit`] does before it writes, so that it ends as that would. The locks are given back.
    ///
    /// # Errors
    /// As there.
    pub fn try_out(&self) -> Result<()> {
        self.rehearse_on(&RealHost)?;
        self.prove()
    }

    /// How many shadow copies the volume of the hive has; `None` where that cannot be told, or there is no volume at hand.
    pub fn shadow_copies(&self) -> Option<u32> {
        match &self.on_disk {
            Some(hive) => hive.volume_state().ok()?.shadow_copies,
            None => surroundings::shadow_copies(&self.target),
        }
    }
}

/// Ends a write to any of `files`, of one hive or image, that an earlier run began: takes it back, or sees that it is
/// complete. Without leave to write, one that left a file partly written is refused.
fn settle<H: Host>(host: &H, files: &[PathBuf], may_write: bool) -> Result<Option<undo::Recovered>> {
    if may_write {
        return undo::recover_all_on(host, files);
    }
    undo::refuse_left_over(host, files).map(|()| None)
}

fn apply(editor: &mut Editor, change: &Change, wanted: Wanted) -> Result<bool> {
    let key = change.place.key;
    let mut changed = false;
    match wanted {
        // Which of two twins Windows reads is not established: one that says what is wanted remains.
        Wanted::Set(number) => {
            for _ in 1..change.before.len() {
                changed |= editor.delete_value_at(key, rule::NAME, Delete::Any)?;
            }
            changed |= editor.set_value_at(key, rule::NAME, ValueType::DWORD, &number.to_le_bytes())?;
        }
        // A tombstone says already that there is no such value; without it, that of a lower layer would show.
        Wanted::Unset => {
            // Until none is left, and it is known that none is.
            while editor.delete_value_at(key, rule::NAME, Delete::Live)? {
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// All values of the key: those under the rule's name, in any letters, and a hash over the others; with `despite_damage`,
/// over the bytes of those that cannot be read.
fn values<B: HiveBytes>(hive: &Hive<B>, place: &Place, despite_damage: bool) -> Result<(Vec<Before>, Others)> {
    let (mut of_rule, mut others) = (Vec::new(), Sha256::new());
    let mut room = hive.length() as usize;
    let minor = hive.base_block().minor_version.get();
    let of_key = |error: Error| error.about(&place.path);
    for value in hive.key_at(place.key).map_err(of_key)?.values().map_err(of_key)? {
        // Values may share data only where the hive is damaged, and then a list of them is work without end.
        let mut take = |bytes: &[u8], at: CellOffset| {
            room = room.checked_sub(bytes.len()).ok_or_else(|| {
                Error::corrupt("value-data", "the key's values have more data than the hive has room for", at.in_file())
            })?;
            Ok(())
        };
        let value = match value {
            Err(damaged) if despite_damage && damaged.error.kind() != Kind::Io => {
                let cell = hive.cell(damaged.at).unwrap_or_default();
                take(&cell, damaged.at).map_err(of_key)?;
                others.update(damaged.at.0.to_le_bytes());
                others.update(cell);
                continue;
            }
            value => value.map_err(|damaged| of_key(damaged.into()))?,
        };
        let of_value = |error: Error| error.about(&format!("value {} of {}", value.name(), place.path));
        let data = match value.raw_data() {
            Err(error) if despite_damage && error.kind() != Kind::Io && !value.name().matches(rule::NAME) => {
                others.update(value.node().as_bytes());
                Cow::default()
            }
            data => data.map_err(of_value)?,
        };
        take(&data, value.at()).map_err(of_value)?;
        if !value.name().matches(rule::NAME) {
            hash_value(&mut others, &value, &data);
        } else if of_rule.len() == MAX_TWINS {
            let what = "the key has hundreds of values of the rule's name";
            return Err(of_key(Error::corrupt("duplicate-value", what, value.at().in_file()))
                .advise("no careless tool does that: take another copy of the hive"));
        } else {
            let tombstone = value.node().is_tombstone(minor);
            of_rule.push(Before { kind: value.data_type(), data: data.into_owned(), tombstone });
        }
    }
    Ok((of_rule, others.finalize().into()))
}

fn hash_value<B: HiveBytes>(hash: &mut Sha256, value: &Value<'_, B>, data: &[u8]) {
    let name = value.name().bytes();
    for number in [name.len() as u64, data.len() as u64, u64::from(value.data_type().0)] {
        hash.update(number.to_le_bytes());
    }
    hash.update(value.node().flags.get().to_le_bytes());
    hash.update(name);
    hash.update(data);
}
