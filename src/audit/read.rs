//! Reading one target: its records.

mod facts;
mod files;
mod host;
mod image;
mod parts;

use std::path::Path;
use std::time::Instant;

pub use files::is_unchanged;

use super::account::{Passed, Reason};
use super::find::{Looks, Part, Target, TargetKind};
use super::record::{Failure, Record, Status};
use crate::locate::{Choice, Disk, ImageOptions};
use files::HostFiles;
use hivewright_disk::container::{FoundDependents, find_dependents};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_storage::{Host, RealHost};

/// What more than the usual is to be read, and how.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The hash of every hive.
    pub sha256: bool,
    /// How images are opened.
    pub image: ImageOptions,
}

/// What reading one target gives, before it is known that the target stood still meanwhile.
struct Found {
    records: Vec<Record>,
    files: HostFiles,
    bytes_read: u64,
}

/// Reads a target: one record for each installation, and for each volume that may hold one and cannot be read. None for
/// what was come across and turns out to be another hive than SYSTEM.
pub fn read(target: &Target, wishes: &Wishes) -> Vec<Record> {
    let (begun, at) = (Instant::now(), FileTime::now());
    let mut records = match moved(target, wishes) {
        Ok(records) => records,
        Err(error) => vec![failed(target, &error)],
    };
    let seconds = (begun.elapsed().as_secs_f64() * 1e6).round() / 1e6;
    let parts = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let installations = records.iter().filter(|record| record.installation > 0).count();
    for (record, part) in records.iter_mut().zip(1..) {
        (record.part, record.parts) = (part, parts);
        record.installations = u32::try_from(installations).unwrap_or(u32::MAX);
        record.audited_at = at.to_string();
        record.seconds = seconds;
    }
    records
}

/// What came of a target and of its parts.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Their records.
    pub records: Vec<Record>,
    /// Regular files that have a record.
    pub recorded: u64,
    /// Files that have none.
    pub passed: Vec<Passed>,
}

impl Outcome {
    /// Adds the records of a target, which is counted if it is a file.
    pub fn add(&mut self, target: &Target, records: Vec<Record>) {
        match records.is_empty() {
            true => self.passed.push(Passed::skipped(target.path.clone(), Reason::OtherHive)),
            false => self.recorded += u64::from(target.is_file),
        }
        self.records.extend(records);
    }

    /// Adds a part, which `one` reads where it is a target alone.
    pub fn add_alone(&mut self, part: &Part, one: impl FnOnce(&Target) -> Vec<Record>) {
        match part.looks {
            Looks::Other(reason) => self.passed.push(Passed::skipped(part.path.clone(), reason)),
            _ => {
                let target = Target::met(&part.path);
                let records = one(&target);
                self.add(&target, records);
            }
        }
    }

    fn add_part(&mut self, part: &Part, whole: &Target) {
        self.passed.push(Passed::part(part.path.clone(), &whole.path));
    }
}

/// What `one` has of a target, and of the parts that only the target's headers claim where they are not read with it: no
/// image hides its find_dependents by naming them.
pub fn with_parts(target: &Target, wishes: &Wishes, mut one: impl FnMut(&Target) -> Vec<Record>) -> Outcome {
    let mut outcome = Outcome::default();
    if !target.is_repeated {
        let records = one(target);
        outcome.add(target, records);
    }
    let is_claimed = target.parts.iter().any(|part| part.is_claimed);
    let whole = if is_claimed { Disk::open_as(&target.path, &wishes.image).ok().flatten() } else { None };
    let is_read = target.is_repeated || has_read(&outcome.records);
    for part in &target.parts {
        if part.is_claimed && !whole.as_ref().is_some_and(|whole| parts::has(whole, &part.path)) {
            outcome.add_alone(part, &mut one);
            continue;
        }
        // Where the whole shows no Windows, a part that shows one alone is not hidden by it.
        let alone = if part.is_claimed && !is_read && part.looks.is_target() {
            one(&Target::met(&part.path))
        } else {
            Vec::new()
        };
        match has_read(&alone) {
            true => outcome.add(&Target::met(&part.path), alone),
            false => outcome.add_part(part, target),
        }
    }
    outcome
}

fn has_read(records: &[Record]) -> bool {
    records.iter().any(|record| record.status == Status::Read)
}

/// As [`read`], and an error where the target changes meanwhile.
fn moved(target: &Target, wishes: &Wishes) -> Result<Vec<Record>> {
    let own = match &target.kind {
        TargetKind::Lost(error) => return Ok(vec![failed(target, error)]),
        TargetKind::File => &target.path,
        TargetKind::Windows(hive) => hive,
    };
    let before = files::see(own)?;
    let found = match &target.kind {
        TargetKind::Windows(hive) => host::folder(target, hive, wishes)?,
        _ => match Disk::open_as(&target.path, &wishes.image)? {
            Some(disk) => image::read(target, &disk, wishes)?,
            None => host::hive(target, wishes)?,
        },
    };
    if files::see(own)? != before || !found.files.stand_still() {
        let what = format!("{} has changed while it was read", target.path.display());
        return Err(Error::new(Kind::Io, Code::Changed, what).advise("audit it again when nobody writes to it"));
    }
    let mut records = found.records;
    for record in &mut records {
        found.files.describe(record);
        record.bytes_read = found.bytes_read;
    }
    Ok(records)
}

/// Whether the images that stand on a target now are those of its record.
pub fn has_same_dependents(target: &Target, record: &Record) -> bool {
    if matches!(record.container.as_deref(), None | Some("hive" | "folder" | "device")) {
        return true;
    }
    let look = || match RealHost.resolve(&target.path) {
        Ok(file) => find_dependents(&[file], &target.path),
        Err(_) => FoundDependents::default(),
    };
    record.dependent_paths() == Some(image::dependents(target, look).children)
}

/// SHA-256 of the hives of a target, in the order of its installations.
///
/// # Errors
/// One of them cannot be read.
pub fn hashes(target: &Target, wishes: &Wishes) -> Result<Vec<String>> {
    match &target.kind {
        TargetKind::Windows(hive) => Ok(vec![host::open(hive, Some(&target.path))?.sha256()?]),
        _ => match Disk::open_as(&target.path, &wishes.image)? {
            None => Ok(vec![host::open(&target.path, None)?.sha256()?]),
            Some(disk) => {
                let found = disk.search(&Choice::default())?.found;
                found.iter().map(|installation| image::open(&disk, installation)?.sha256()).collect()
            }
        },
    }
}

/// A record that says nothing yet but the target's name.
pub(in crate::audit) fn unread(target: &Target) -> Record {
    let mut record = Record::new(&target.name);
    (record.part, record.parts) = (1, 1);
    record
}

/// The record of a target that could not be read.
pub fn failed(target: &Target, error: &Error) -> Record {
    let mut record = Record { status: Status::Error, error: Some(Failure::from(error)), ..unread(target) };
    record.audited_at = FileTime::now().to_string();
    record
}

fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
