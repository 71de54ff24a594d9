//! From what the user wants to a proven set of patches: read, recover, find the places, edit in memory, prove.
//!
//! Nothing is written here but by [`Prepared::commit`], and that only after [`Prepared::prove`] has passed: the full
//! check and the witness on the edited bytes.

pub mod commit;
mod in_image;
mod proof;
mod source;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use source::Origin;

use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;

use self::commit::{Committed, Options};
use crate::locate::{Choice, HiveHandle, Image, LogChoice};
use crate::undo;
use hivewright_error::{Error, Kind, Result};
use hivewright_hive::recover::Recovery;
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::{Delete, EditOptions, Edited, Editor, Hive, HiveBytes, PatchSet, Value};
use hivewright_storage::{Host, RealHost};

/// One change to one value of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Number of the control set that the key belongs to, if to one.
    pub control_set: Option<u32>,
    /// Path of the key below the root of the hive.
    pub path: String,
    /// Cell offset of the key node.
    pub key: CellOffset,
    /// Name of the value.
    pub name: String,
    /// What to do with it.
    pub action: Action,
}

/// What an [`Operation`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Sets the value. Further values of the same name are deleted.
    SetValue {
        /// The type of the data.
        kind: ValueType,
        /// The data.
        data: Vec<u8>,
    },
    /// Deletes every value of the name. Tombstones stay: they say already that there is no such value.
    DeleteValue,
}

/// What an edit shall do, once the hive can be read.
pub trait Plan: std::fmt::Debug + Send + Sync {
    /// The operations on `hive`; with `despite_damage`, damage passes that the operations do not touch.
    ///
    /// # Errors
    /// The edit is refused.
    fn operations(&self, hive: &Hive<Vec<u8>>, despite_damage: bool) -> Result<Vec<Operation>>;
}

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to edit; `None` to recover the hive and no more.
    pub plan: Option<Arc<dyn Plan>>,
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

/// One operation of an edit, and what it found.
#[derive(Clone, Debug)]
pub struct Change {
    /// The operation.
    pub operation: Operation,
    /// What stood there under that name, twins in other letters included.
    pub before: Vec<Before>,
    /// Whether anything changes.
    pub changes: bool,
    /// All other values of the key, which stay.
    others: Others,
}

/// SHA-256 over the names, types and data of values, in order.
type Others = [u8; 32];

/// The most values of one name in one key. Each but one is taken out of the list, which moves the others.
const MAX_TWINS: usize = 100;

/// An edit that is ready to be proven and written.
#[derive(Debug)]
pub struct Prepared {
    /// The hive.
    pub hive: HiveHandle,
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
    /// Why the independent parser could not confirm the edit.
    unconfirmed: OnceLock<String>,
}

/// Reads the hive that `path` stands for and edits it in memory.
///
/// # Errors
/// Refusals of the [`Plan`]; `dirty` for a hive whose logs cannot be applied; damage on the way.
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
    let (image, mut settled) = open_settled(host, path, request)?;
    let mut hive = image.system_hive(&request.choice)?;
    let is_alone = in_image::is_for_hive_alone(request, &hive);
    if !is_alone {
        hive.may_be_written(&request.ignore)?;
    }
    if image.disk().is_none() {
        settled = settle(host, &[host.resolve(hive.host_file())?], request.settle)?;
        if settled.is_some() {
            hive = image.system_hive(&request.choice)?;
        }
    }
    let source = source::open_source(&hive, request)?;
    let mut options = request.options;
    if image.disk().is_some() {
        let facts = hive.file()?.facts();
        options.max_file_len = options.max_file_len.min(facts.len).min(facts.valid_len);
    }
    let prepared = edit_source(hive, settled, source, &Request { options, ..request.clone() })?;
    let patches = &prepared.edited.patches;
    if image.disk().is_some() && patches.old_len != patches.new_len && !is_alone {
        return Err(commit::no_room(patches));
    }
    Ok(prepared)
}

/// Opens what stands at `path`. What an interrupted write to an image left is put right before anything of it is believed.
fn open_settled<H: Host>(host: &H, path: &Path, request: &Request) -> Result<(Image, Option<undo::Recovered>)> {
    let open = || Image::open_on(host, path, &request.choice.image);
    // An image that is partly written may not even open.
    let image = if undo::is_image_left_over(host, path)? { None } else { Some(open()?) };
    let image = match image {
        Some(no_disk) if no_disk.disk().is_none() => return Ok((no_disk, None)),
        image => image,
    };
    let gone = || Error::refused("changed-since", format!("{} is no disk any more", path.display()));
    let mut settled = settle(host, &[host.resolve(path)?], request.settle)?;
    let mut known = match image.filter(|_| settled.is_none()) {
        Some(image) => image,
        None => open()?,
    };
    // Another of its files may have been named then.
    if let Some(also) = settle(host, &known.disk().ok_or_else(gone)?.own_files(), request.settle)? {
        (settled, known) = (Some(also), open()?);
    }
    undo::refuse_left_over(host, &known.disk().ok_or_else(gone)?.backing_files())?;
    Ok((known, settled))
}

fn edit_source(
    hive: HiveHandle,
    settled: Option<undo::Recovered>,
    source: source::Source,
    request: &Request,
) -> Result<Prepared> {
    let mut changes = Vec::new();
    if let Some(plan) = &request.plan {
        for operation in plan.operations(&source.hive, request.force)? {
            let (before, others) = values(&source.hive, &operation, request.force)?;
            changes.push(Change { operation, before, changes: false, others });
        }
    }
    let options = EditOptions { above_sequence: source.highest_sequence, ..request.options };
    let mut editor = source.hive.edit(options);
    for change in &mut changes {
        change.changes = apply(&mut editor, change).map_err(|error| error.about(&change.operation.path))?;
    }
    let Edited { bytes, patches: edit } = editor.finish()?;
    let recovery = source.recovery;
    let patches = if recovery.is_empty() { edit.clone() } else { recovery.then(&edit, &bytes) };
    let edited = Edited { bytes, patches };
    let origin = source.origin;
    let request = request.clone();
    Ok(Prepared { hive, origin, changes, settled, edited, recovery, edit, request, unconfirmed: OnceLock::new() })
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
        if self.hive.disk().is_some() {
            if logs == Logs::Emptied && self.request.logs != LogChoice::Beside {
                let what = "the logs that were named are files of this host, and the hive is inside of an image";
                return Err(Error::refused("logs-elsewhere", what).advise("leave out --truncate-logs, or --log"));
            }
            return self.commit_on_disk(host, logs, options);
        }
        let mut options = options.clone();
        if logs == Logs::Emptied {
            options.empty = self.request.logs.paths(&self.hive)?;
        }
        let edit = commit::Edit {
            patches: &self.edited.patches,
            image: &self.edited.bytes,
            phases: Some((&self.recovery, &self.edit)),
            proof: &|| self.prove(),
        };
        commit::commit_edit_on(host, self.hive.host_file(), &edit, &options)
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
}

/// Ends a write to any of `files`, of one hive or image, that an earlier run began: takes it back, or sees that it is
/// complete. Without leave to write, one that left a file partly written is refused.
fn settle<H: Host>(host: &H, files: &[PathBuf], may_write: bool) -> Result<Option<undo::Recovered>> {
    if may_write {
        return undo::recover_all_on(host, files);
    }
    undo::refuse_left_over(host, files).map(|()| None)
}

fn apply(editor: &mut Editor, change: &Change) -> Result<bool> {
    let Operation { key, name, action, .. } = &change.operation;
    let mut changed = false;
    match action {
        // Which of two twins Windows reads is not established: one that says what is wanted remains.
        Action::SetValue { kind, data } => {
            for _ in 1..change.before.len() {
                changed |= editor.delete_value_at(*key, name, Delete::Any)?;
            }
            changed |= editor.set_value_at(*key, name, *kind, data)?;
        }
        // A tombstone says already that there is no such value; without it, that of a lower layer would show.
        Action::DeleteValue => {
            // Until none is left, and it is known that none is.
            while editor.delete_value_at(*key, name, Delete::Live)? {
                changed = true;
            }
        }
    }
    Ok(changed)
}

/// All values of the key: those under the name of the operation, in any letters, and a hash over the others; with `despite_damage`,
/// over the bytes of those that cannot be read.
fn values<B: HiveBytes>(hive: &Hive<B>, of: &Operation, despite_damage: bool) -> Result<(Vec<Before>, Others)> {
    let (mut of_name, mut others) = (Vec::new(), Sha256::new());
    let mut room = hive.length() as usize;
    let minor = hive.base_block().minor_version.get();
    let of_key = |error: Error| error.about(&of.path);
    for value in hive.key_at(of.key).map_err(of_key)?.values().map_err(of_key)? {
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
        let of_value = |error: Error| error.about(&format!("value {} of {}", value.name(), of.path));
        let data = match value.raw_data() {
            Err(error) if despite_damage && error.kind() != Kind::Io && !value.name().matches(&of.name) => {
                others.update(value.node().as_bytes());
                Cow::default()
            }
            data => data.map_err(of_value)?,
        };
        take(&data, value.at()).map_err(of_value)?;
        if !value.name().matches(&of.name) {
            hash_value(&mut others, &value, &data);
        } else if of_name.len() == MAX_TWINS {
            let what = "the key has hundreds of values of that name";
            return Err(of_key(Error::corrupt("duplicate-value", what, value.at().in_file()))
                .advise("no careless tool does that: take another copy of the hive"));
        } else {
            let tombstone = value.node().is_tombstone(minor);
            of_name.push(Before { kind: value.data_type(), data: data.into_owned(), tombstone });
        }
    }
    Ok((of_name, others.finalize().into()))
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
