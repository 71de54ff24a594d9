//! Reads one target into its records.

mod facts;
mod files;
mod host;
mod image;
mod parts;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub use files::is_unchanged;

use super::account::{Reason, Unrecorded};
use super::find::{FileKind, Part, Target, TargetKind};
use super::record::{Failure, Record, Status};
use crate::locate::{Choice, Disk, ImageOptions};
use crate::policy::{self, Policy};
use crate::read::Reading;
use files::HostFiles;
use hivewright_disk::container::{DependentSearch, FoundDependents};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_storage::{Host, RealHost};

/// Options of reading.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Whether to compute the hash of every hive.
    pub sha256: bool,
    /// Options for opening images.
    pub image: ImageOptions,
    /// The policies whose checks are evaluated.
    pub policy: Arc<Policy>,
    /// The search for the dependents of targets whose folders the discovery did not search.
    pub dependents: Arc<DependentSearch>,
}

/// Records of a target, before its files are compared with their earlier state.
struct Found {
    records: Vec<Record>,
    files: HostFiles,
    bytes_read: u64,
}

/// Reads a target: one record for each installation, and one for each volume that may contain an installation and
/// cannot be read. Returns no record for a discovered hive other than SYSTEM.
pub fn read(target: &Target, options: &ReadOptions) -> Vec<Record> {
    let (begun, at) = (Instant::now(), FileTime::now());
    let mut records = match read_checked(target, options) {
        Ok(records) => records,
        Err(error) => vec![failed(target, &error)],
    };
    let seconds = (begun.elapsed().as_secs_f64() * 1e6).round() / 1e6;
    let parts = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let installations = records.iter().filter(|record| record.installation > 0).count();
    for (record, part) in records.iter_mut().zip(1..) {
        (record.part, record.parts) = (part, parts);
        record.installations = u32::try_from(installations).unwrap_or(u32::MAX);
        record.audited_at = Some(at.to_string());
        record.seconds = Some(seconds);
    }
    records
}

/// Evaluates the checks of a policy for the installation of a hive SYSTEM, in the control sets that a write changes.
///
/// # Errors
/// SYSTEM cannot be read; errors of the medium.
pub fn judge(reading: &Reading, target: &Path, policy: &Policy) -> Result<Vec<policy::Outcome>> {
    facts::outcomes(Record::new(target), reading, policy)
}

/// Result of reading a target and its parts.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Their records.
    pub records: Vec<Record>,
    /// Number of regular files with a record.
    pub recorded: u64,
    /// Files without a record.
    pub unrecorded: Vec<Unrecorded>,
}

impl Outcome {
    /// Adds the records of a target, and counts it if it is a file.
    pub fn add(&mut self, target: &Target, records: Vec<Record>) {
        match records.is_empty() {
            true => self.unrecorded.push(Unrecorded::skipped(target.path.clone(), Reason::OtherHive)),
            false => self.recorded += u64::from(target.is_file),
        }
        self.records.extend(records);
    }

    /// Adds a part, which `one` reads if it is a target by itself.
    pub fn add_alone(&mut self, part: &Part, one: impl FnOnce(&Target) -> Vec<Record>) {
        match part.file_kind {
            FileKind::Other(reason) => self.unrecorded.push(Unrecorded::skipped(part.path.clone(), reason)),
            _ => {
                let target = Target::discovered(&part.path);
                let records = one(&target);
                self.add(&target, records);
            }
        }
    }

    fn add_part(&mut self, part: &Part, whole: &Target) {
        self.unrecorded.push(Unrecorded::part(part.path.clone(), &whole.path));
    }
}

/// Reads a target with `one`, and also each part that only the headers of the target name and that is not read with it:
/// an image cannot hide other files by naming them.
pub fn with_parts(target: &Target, options: &ReadOptions, mut one: impl FnMut(&Target) -> Vec<Record>) -> Outcome {
    let mut outcome = Outcome::default();
    if !target.is_repeated {
        let records = one(target);
        outcome.add(target, records);
    }
    let is_claimed = target.parts.iter().any(|part| part.is_claimed);
    let whole = if is_claimed { Disk::open_as(&target.path, &options.image).ok().flatten() } else { None };
    let is_read = target.is_repeated || has_read(&outcome.records);
    for part in &target.parts {
        if part.is_claimed && !whole.as_ref().is_some_and(|whole| parts::is_only_part_of(whole, &part.path)) {
            outcome.add_alone(part, &mut one);
            continue;
        }
        // A part with Windows has a record of its own if the target as a whole has none.
        let alone = if part.is_claimed && !is_read && part.file_kind.is_target() {
            one(&Target::discovered(&part.path))
        } else {
            Vec::new()
        };
        match has_read(&alone) {
            true => outcome.add(&Target::discovered(&part.path), alone),
            false => outcome.add_part(part, target),
        }
    }
    outcome
}

fn has_read(records: &[Record]) -> bool {
    records.iter().any(|record| record.status == Status::Read)
}

/// As [`read()`]; fails if the files of the target change meanwhile.
fn read_checked(target: &Target, options: &ReadOptions) -> Result<Vec<Record>> {
    let own = match &target.kind {
        TargetKind::Unreadable(error) => return Ok(vec![failed(target, error)]),
        TargetKind::File => &target.path,
        TargetKind::Windows(hive) => hive,
    };
    let before = files::state_of(own)?;
    let found = match &target.kind {
        TargetKind::Windows(hive) => host::folder(target, hive, options)?,
        _ => match Disk::open_as(&target.path, &options.image)? {
            Some(disk) => image::read(target, &disk, options)?,
            None => host::hive(target, options)?,
        },
    };
    if files::state_of(own)? != before || !found.files.are_unchanged() {
        let what = format!("{} changed while it was read", target.path.display());
        return Err(Error::new(Kind::Io, Code::Changed, what).advise("audit it again while no program writes to it"));
    }
    let mut records = found.records;
    for record in &mut records {
        found.files.describe(record);
        record.bytes_read = found.bytes_read;
    }
    Ok(records)
}

/// Returns whether the current dependents of a target are those of its record.
pub fn has_same_dependents(target: &Target, record: &Record, options: &ReadOptions) -> bool {
    if matches!(record.container.as_deref(), None | Some("hive" | "folder" | "device")) {
        return true;
    }
    let search = || match RealHost.resolve(&target.path) {
        Ok(file) => options.dependents.find(&[file], &target.path),
        Err(_) => FoundDependents::default(),
    };
    record.dependent_paths() == Some(image::dependents(target, search).children)
}

/// Returns the SHA-256 of each hive of a target, in the order of its installations.
///
/// # Errors
/// One of the hives cannot be read.
pub fn hashes(target: &Target, options: &ReadOptions) -> Result<Vec<String>> {
    match &target.kind {
        TargetKind::Windows(hive) => Ok(vec![host::open(hive, Some(&target.path))?.sha256()?]),
        _ => match Disk::open_as(&target.path, &options.image)? {
            None => Ok(vec![host::open(&target.path, None)?.sha256()?]),
            Some(disk) => {
                let found = disk.search(&Choice::default())?.found;
                found.iter().map(|installation| image::open(&disk, installation)?.sha256()).collect()
            }
        },
    }
}

/// Creates a record that contains only the target's name.
pub(in crate::audit) fn unread(target: &Target) -> Record {
    let mut record = Record::new(&target.name);
    (record.part, record.parts) = (1, 1);
    record
}

/// Creates the record of a target that cannot be read.
pub fn failed(target: &Target, error: &Error) -> Record {
    let mut record = Record { status: Status::Error, error: Some(Failure::from(error)), ..unread(target) };
    record.audited_at = Some(FileTime::now().to_string());
    record
}

fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
