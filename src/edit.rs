//! Turns a request into proven patches: reads and recovers the hives, edits them in memory, and proves the result.
//!
//! An edit can concern several hives of an installation, which change together or not at all. Only [`Prepared::commit`]
//! writes, after [`Prepared::prove`] has passed: the full check and a second parser on the edited bytes of each hive.

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

/// Request of the user.
#[derive(Clone, Debug)]
pub struct Request {
    /// The operations.
    pub edits: Edits,
    /// Whether to edit despite errors of the check that the edit does not touch.
    pub force: bool,
    /// Location of the transaction logs of a dirty hive.
    pub logs: LogChoice,
    /// Whether to use a dirty hive without its logs if these cannot be applied, which discards their contents.
    pub discard_logs: bool,
    /// Whether paths below `HKCU` apply to every user.
    pub all_users: bool,
    /// Whether the original file will be written; then an interrupted write is completed or rolled back first.
    pub settle: bool,
    /// Whether a new file will be written instead. For a read-only image, the new file contains only the recovered
    /// hive.
    pub elsewhere: bool,
    /// Options of the editor.
    pub options: EditOptions,
    /// Selected partition and installation of a disk.
    pub choice: Choice,
    /// Codes of obstacles to writes that the user overrides.
    pub ignore: Vec<Code>,
}

/// Treatment of the transaction logs in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// The logs are not changed.
    Kept,
    /// Their base blocks are zeroed, so that they are not applied again; the undo file of the hive covers them. The
    /// files keep their sizes; an empty log is not written.
    Emptied,
}

/// An edit in memory, ready to be proven and written.
#[derive(Debug)]
pub struct Prepared {
    /// The path that the user named.
    path: PathBuf,
    /// The hives, in the order of writing; empty for an edit without operations.
    pub hives: Vec<PreparedHive>,
    /// Result of an interrupted write that was completed or rolled back first.
    pub settled: Option<undo::Recovered>,
    /// Reasons why users were skipped, if every user was selected.
    pub passed_over: Vec<Error>,
    request: Request,
}

/// Reads the hives at `path` and edits them in memory.
///
/// # Errors
/// Refusals of the [`Plan`]; `dirty` for a hive whose logs cannot be applied; damage on the path of a key; a missing
/// hive.
pub fn prepare(path: &Path, request: &Request) -> Result<Prepared> {
    prepare_on(&RealHost, path, request)
}

/// As [`prepare`], on another file system, from which the bytes of a disk and interrupted writes are read.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_on<H: Host>(host: &H, path: &Path, request: &Request) -> Result<Prepared> {
    request.logs.expect()?;
    let (image, mut settled) = open_settled(host, path, request)?;
    let places::Found { hives: mut edits, mut passed_over } = places::find(&image, request)?;
    if let ([_, _, ..], LogChoice::Files(_)) = (&edits[..], &request.logs) {
        let what = "--log applies to one hive, but the edit concerns several";
        return Err(Error::refused(Code::LogsOfSeveral, what).advise("omit --log: logs beside a hive are used"));
    }
    let is_alone = edits.iter().any(|edit| in_image::is_for_hive_alone(request, &edit.hive));
    for HiveEdit { hive, .. } in edits.iter().filter(|_| !is_alone) {
        hive.may_be_written(&request.ignore)?;
    }
    if image.disk().is_none() {
        let files = edits.iter().map(|edit| host.resolve(edit.hive.host_file())).collect::<Result<Vec<_>>>()?;
        settled = settle(host, &files, request.settle)?;
        if settled.is_some() {
            places::Found { hives: edits, passed_over } = places::find(&image, request)?;
        }
    }
    let is_one = edits.len() == 1;
    let mut hives = Vec::new();
    for HiveEdit { hive, plan } in edits {
        let of_hive = |error: Error, what: &str| if is_one { error } else { error.about(what) };
        let what = hive.description();
        hives.push(PreparedHive::of(hive, plan.as_ref(), request).map_err(|error| of_hive(error, &what))?);
    }
    Ok(Prepared { path: path.to_owned(), hives, settled, passed_over, request: request.clone() })
}

/// Opens the image at `path`. An interrupted write to it is completed or rolled back before its contents are used.
fn open_settled<H: Host>(host: &H, path: &Path, request: &Request) -> Result<(Image, Option<undo::Recovered>)> {
    let open = || Image::open_on(host, path, &request.choice.image);
    // A partly written image may not even open.
    let image = if undo::is_image_left_over(host, path)? { None } else { Some(open()?) };
    let image = match image {
        Some(no_disk) if no_disk.disk().is_none() => return Ok((no_disk, None)),
        image => image,
    };
    let gone = || Error::refused(Code::ChangedSince, format!("{} is no longer a disk", path.display()));
    let mut settled = settle(host, &[host.resolve(path)?], request.settle)?;
    let mut known = match image.filter(|_| settled.is_none()) {
        Some(image) => image,
        None => open()?,
    };
    // The interrupted run may have named another of its files.
    if let Some(also) = settle(host, &known.disk().ok_or_else(gone)?.own_files(), request.settle)? {
        (settled, known) = (Some(also), open()?);
    }
    undo::refuse_left_over(host, &known.disk().ok_or_else(gone)?.backing_files())?;
    Ok((known, settled))
}

impl Prepared {
    /// Returns whether nothing has to be changed.
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

    /// Proves the edit and writes it: all hives, or none.
    ///
    /// # Errors
    /// As [`Prepared::prove`] and [`commit::commit_edits_on`].
    pub fn commit(&self, logs: Logs, options: &Options) -> Result<Committed> {
        self.commit_on(&RealHost, logs, options)
    }

    /// As [`Prepared::commit`], on another file system.
    ///
    /// # Errors
    /// As there.
    pub fn commit_on<H: Host>(&self, host: &H, logs: Logs, options: &Options) -> Result<Committed> {
        let Some(first) = self.hives.first() else { return Ok(Committed::unchanged(self.path.clone())) };
        if first.hive.disk().is_some() {
            if logs == Logs::Emptied && self.request.logs != LogChoice::Beside {
                let what = "the logs of --log are files of this host, but the hive is inside an image";
                return Err(Error::refused(Code::LogsElsewhere, what).advise("omit --truncate-logs or --log"));
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

    /// Performs all steps of [`Prepared::commit`] before the first write, with the same errors, and releases the locks.
    ///
    /// # Errors
    /// As there.
    pub fn try_out(&self) -> Result<()> {
        self.try_out_on(&RealHost)?;
        self.prove()
    }
}

/// Completes or rolls back an interrupted write to any of `files`, which belong to one hive or image. Without
/// permission to write, a partly written file is refused.
fn settle<H: Host>(host: &H, files: &[PathBuf], may_write: bool) -> Result<Option<undo::Recovered>> {
    if may_write {
        return undo::recover_all_on(host, files);
    }
    undo::refuse_left_over(host, files).map(|()| None)
}
