//! Reading one target: its records.

mod facts;
mod files;
mod host;
mod image;
mod parts;

use std::path::Path;
use std::time::Instant;

pub use files::is_unchanged;

use super::find::{Target, TargetKind};
use super::record::{Failure, Record, Status};
use crate::error::{Error, Kind, Result};
use crate::regf::timestamp::FileTime;
use crate::session::disk::{Choice, Disk, ImageOptions};
use files::HostFiles;
use parts::Whole;

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

/// What `one` has of a target, and of what was left out as parts of it, where that is not read with it: no image hides its
/// neighbours by what it says of them. A part is told of with its whole if that has an installation and is really made of
/// it, or if neither has any.
pub fn with_parts(target: &Target, wishes: &Wishes, mut one: impl FnMut(&Target) -> Vec<Record>) -> Vec<Record> {
    let mut records = one(target);
    if target.parts.is_empty() {
        return records;
    }
    let whole = Whole::of(&target.path, &wishes.image);
    let is_in = |whole: &Option<Whole>, part: &Path| whole.as_ref().is_some_and(|whole| whole.has(part));
    let is_read = has_read(&records);
    let mut parts = Vec::new();
    for part in &target.parts {
        let belongs = is_in(&whole, part);
        if !(is_read && belongs) {
            let mut found = one(&Target::part(part));
            found.retain(|record| !(belongs && record.status == Status::NoWindows));
            parts.push((part, found));
        }
    }
    // What another of them stands on has been read with that; of two that claim each other, one stays.
    let mut is_told = vec![false; parts.len()];
    for (i, (part, _)) in parts.iter().enumerate().filter(|(_, (_, found))| has_read(found)) {
        let whole = if is_told[i] || parts.len() < 2 { None } else { Whole::of(part, &wishes.image) };
        for (j, (other, _)) in parts.iter().enumerate().filter(|(j, _)| *j != i) {
            is_told[j] |= is_in(&whole, other);
        }
    }
    records.extend(parts.into_iter().zip(is_told).filter(|(_, is_told)| !is_told).flat_map(|((_, found), _)| found));
    records
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
