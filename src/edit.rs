//! From what the user wants to proven sets of patches: read, recover, find the places, edit in memory, prove.
//!
//! An edit can concern several hives of an installation, which change together or not at all. Nothing is written here but by
//! [`Prepared::commit`], and that only after [`Prepared::prove`] has passed: the full check and the witness on the edited bytes
//! of each hive.

pub mod commit;
mod expected;
mod hive;
mod in_image;
mod operation;
mod places;
mod proof;
mod source;
mod transaction;
mod tree;
mod values;

use std::path::{Path, PathBuf};

pub use hive::PreparedHive;
pub use operation::{Action, Before, Change, Edits, Operation, PathOperation, Plan};
#[cfg(feature = "cli")]
pub(crate) use places::hive_of;
pub use source::Origin;
pub use transaction::{IntoRegistryPath, PreparedTransaction, Transaction};

use self::commit::{Committed, Options};
use self::places::HiveEdit;
use crate::locate::{Choice, Image, LogChoice};
use crate::undo;
use hivewright_error::{Code, Error, Result};
use hivewright_hive::EditOptions;
use hivewright_storage::{Host, RealHost};

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to edit.
    pub edits: Edits,
    /// Edit despite errors of the check that the edit does not touch.
    pub force: bool,
    /// Where the transaction logs are, should a hive be dirty.
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
    pub ignore: Vec<Code>,
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

/// An edit that is ready to be proven and written.
#[derive(Debug)]
pub struct Prepared {
    /// What was named.
    path: PathBuf,
    /// The hives, in the order in which they are written. None of an edit without operations.
    pub hives: Vec<PreparedHive>,
    /// What became of an interrupted write that was found first.
    pub settled: Option<undo::Recovered>,
    request: Request,
}

/// Reads the hives that `path` stands for and edits them in memory.
///
/// # Errors
/// Refusals of the [`Plan`]; `dirty` for a hive whose logs cannot be applied; damage on the way; a hive that is not there.
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
    let mut edits = places::find(&image, request)?;
    if let ([_, _, ..], LogChoice::Files(_)) = (&edits[..], &request.logs) {
        let what = "logs are named, and the edit concerns several hives";
        return Err(Error::refused(Code::LogsOfSeveral, what).advise("leave out --log: logs beside a hive are found"));
    }
    let is_alone = edits.iter().any(|edit| in_image::is_for_hive_alone(request, &edit.hive));
    for HiveEdit { hive, .. } in edits.iter().filter(|_| !is_alone) {
        hive.may_be_written(&request.ignore)?;
    }
    if image.disk().is_none() {
        let files = edits.iter().map(|edit| host.resolve(edit.hive.host_file())).collect::<Result<Vec<_>>>()?;
        settled = settle(host, &files, request.settle)?;
        if settled.is_some() {
            edits = places::find(&image, request)?;
        }
    }
    let is_one = edits.len() == 1;
    let mut hives = Vec::new();
    for HiveEdit { hive, plan } in edits {
        let of_hive = |error: Error, what: &str| if is_one { error } else { error.about(what) };
        let what = hive.description();
        hives.push(PreparedHive::of(hive, plan.as_ref(), request).map_err(|error| of_hive(error, &what))?);
    }
    Ok(Prepared { path: path.to_owned(), hives, settled, request: request.clone() })
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
    let gone = || Error::refused(Code::ChangedSince, format!("{} is no disk any more", path.display()));
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

impl Prepared {
    /// Whether everything is as wanted already.
    pub fn is_already_so(&self) -> bool {
        self.hives.iter().all(PreparedHive::is_already_so)
    }

    /// Proves the edit of every hive: see [`PreparedHive::prove`].
    ///
    /// # Errors
    /// As there.
    pub fn prove(&self) -> Result<()> {
        self.hives.iter().try_for_each(PreparedHive::prove)
    }

    /// Proves the edit and brings it to the disk: all hives of it, or none.
    ///
    /// # Errors
    /// As [`Prepared::prove`] and [`commit::commit_edits_on`].
    pub fn commit(&self, logs: Logs, options: &Options) -> Result<Committed> {
        self.commit_on(&RealHost, logs, options)
    }

    /// [`Prepared::commit`] on another file system.
    ///
    /// # Errors
    /// As there.
    pub fn commit_on<H: Host>(&self, host: &H, logs: Logs, options: &Options) -> Result<Committed> {
        let Some(first) = self.hives.first() else { return Ok(Committed::unchanged(self.path.clone())) };
        if first.hive.disk().is_some() {
            if logs == Logs::Emptied && self.request.logs != LogChoice::Beside {
                let what = "the logs that were named are files of this host, and the hive is inside of an image";
                return Err(Error::refused(Code::LogsElsewhere, what).advise("leave out --truncate-logs, or --log"));
            }
            return self.commit_on_disk(host, logs, options);
        }
        let mut options = options.clone();
        let mut edits = Vec::new();
        for hive in &self.hives {
            if logs == Logs::Emptied {
                options.empty.extend(self.request.logs.paths(&hive.hive)?);
            }
            edits.push(commit::Edit {
                target: hive.hive.host_file(),
                patches: &hive.edited.patches,
                image: &hive.edited.bytes,
                phases: Some((&hive.recovery, &hive.edit)),
            });
        }
        commit::commit_edits_on(host, &edits, &|| self.prove(), &options)
    }

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
