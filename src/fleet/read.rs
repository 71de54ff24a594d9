//! Reading one target: its records.

mod facts;
mod files;
mod host;
mod image;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use files::is_unchanged;

use super::find::{Target, TargetKind};
use super::record::{Failure, Record, Status};
use crate::error::{Error, Kind, Result};
use crate::regf::timestamp::FileTime;
use crate::session::disk::{Choice, Disk, ImageOptions};
use crate::storage::{Host, RealHost};
use files::HostFiles;

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

/// As [`read`]. Where nothing can be said of the target but errors, what was left out as parts of it is read as well: no
/// image hides its neighbours by what it says.
pub fn with_parts(target: &Target, wishes: &Wishes) -> Vec<Record> {
    let mut records = read(target, wishes);
    if records.iter().any(|record| record.status != Status::Error) {
        return records;
    }
    let come_across = |part| Target::come_across(part, Vec::new());
    let parts: Vec<_> = target.parts.iter().map(|part| (part, read(&come_across(part), wishes))).collect();
    let good = parts.iter().flat_map(|(_, records)| records).filter(|record| record.status != Status::Error);
    let below: HashSet<PathBuf> = good.flat_map(|record| &record.files).map(PathBuf::from).collect();
    for (part, found) in parts {
        // What another of them stands on has been read with that.
        if !RealHost.resolve(part).is_ok_and(|part| below.contains(&part)) {
            records.extend(found);
        }
    }
    records
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
        return Err(Error::new(Kind::Io, "changed", what).advise("audit it again when nobody writes to it"));
    }
    let mut records = found.records;
    for record in &mut records {
        found.files.describe(record);
        record.bytes_read = found.bytes_read;
    }
    Ok(records)
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
pub(in crate::fleet) fn unread(target: &Target) -> Record {
    let mut record = Record::new(target.name.to_string_lossy().into_owned());
    if target.name.to_str().is_none() {
        record.target_hex = Some(target.name.as_encoded_bytes().iter().map(|b| format!("{b:02x}")).collect());
    }
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
