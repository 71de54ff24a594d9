//! Reads hives that are files of the host, and Windows folders.

use std::path::{Path, PathBuf};

use super::files::{HostFiles, state_of};
use super::{Found, ReadOptions, facts, failed, lossy, unread};
use crate::audit::find::{FileKind, HEAD, Target, classify};
use crate::audit::record::Record;
use crate::locate::logs::ENDINGS;
use crate::locate::{Image, LogChoice};
use crate::read::Reading;
use crate::windows;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::RealHost;
use hivewright_storage::exact;
use hivewright_storage::probe;

/// Opens a hive for read calls, without a memory map.
pub(super) fn open(hive: &Path, windows: Option<&Path>) -> Result<Reading> {
    Ok(Reading::new(Image::hive_of_file(&RealHost, hive, windows)?, LogChoice::Beside))
}

/// Reads a Windows folder whose SYSTEM hive is `hive`.
pub(super) fn folder(target: &Target, hive: &Path, options: &ReadOptions) -> Result<Found> {
    // With several hives in one folder, each is a target with its own path.
    let windows = if target.path == hive { hive.ancestors().nth(3) } else { Some(&*target.path) };
    let files = HostFiles::new(vec![hive.to_owned()], beside(hive), target.path == hive)?;
    let reading = open(hive, windows)?;
    let mut record = unread(target);
    let is_folder = target.path != hive;
    record.container = Some(if is_folder { "folder" } else { "hive" }.to_owned());
    record.windows_root = windows.map(lossy);
    record.windows_root_hex = windows.and_then(exact::hex);
    let (record, bytes_read) = describe(record, hive, &reading, options);
    Ok(Found { records: vec![record], files, bytes_read })
}

/// Reads a file that is not a disk.
pub(super) fn hive(target: &Target, options: &ReadOptions) -> Result<Found> {
    let path = &*target.path;
    if let Some(error) = unrecognised(path) {
        let files = HostFiles::new(vec![path.to_owned()], Vec::new(), true)?;
        return Ok(Found { records: vec![failed(target, &error)], files, bytes_read: 0 });
    }
    let files = HostFiles::new(vec![path.to_owned()], beside(path), true)?;
    let reading = open(path, None)?;
    let mut record = unread(target);
    record.container = Some("hive".to_owned());
    let (record, bytes_read) = describe(record, path, &reading, options);
    let is_other = record.error.as_ref().is_some_and(|error| error.code == Code::NotSystem || is_other_by_name(path));
    let records = if is_other && !target.named { Vec::new() } else { vec![record] };
    Ok(Found { records, files, bytes_read })
}

/// Returns an error for a file with the name of a disk image and other contents.
fn unrecognised(path: &Path) -> Option<Error> {
    let (metadata, head) = probe::peek(path, HEAD, true).ok()??;
    let file_kind = classify(&head, metadata.len, &path.file_name()?.to_string_lossy());
    let what = match metadata.len {
        0 => format!("{} has the name of a disk image, but is empty", path.display()),
        _ => format!("{} has the name of a disk image, but no format matches its contents", path.display()),
    };
    let error = Error::new(Kind::Corrupt, Code::ImageUnrecognised, what)
        .advise("copy it again from its source; if it is a raw disk: hivewright info --format raw");
    (file_kind == FileKind::DiskByName).then_some(error)
}

/// Fills in the facts of a hive. Returns the record and the number of bytes read.
fn describe(mut record: Record, hive: &Path, reading: &Reading, options: &ReadOptions) -> (Record, u64) {
    record.hive = Some(lossy(hive));
    record.hive_hex = exact::hex(hive);
    let installation = reading.installation();
    let software = facts::product_of(&mut record, &installation);
    record.hive_size = state_of(hive).ok().flatten().map(|(len, _)| len);
    facts::volume_facts(&mut record, reading);
    facts::system(&mut record, reading, &installation, software.as_ref(), options);
    (record, reading.hive().image().bytes_read())
}

fn softwares(hive: &Path) -> Vec<PathBuf> {
    let is_system = hive.file_name().is_some_and(|name| name.eq_ignore_ascii_case("SYSTEM"));
    let names = ["SOFTWARE", "software", "Software"].map(|name| hive.with_file_name(name));
    if is_system { names.to_vec() } else { Vec::new() }
}

/// Returns the files beside a hive on which the answer may depend, whether or not they exist.
fn beside(hive: &Path) -> Vec<PathBuf> {
    let name = hive.file_name().unwrap_or_default();
    let log = |ending: String| {
        let mut log = name.to_owned();
        log.push(".");
        log.push(ending);
        hive.with_file_name(log)
    };
    // In the case of Windows and in that of copying tools.
    let endings = ENDINGS.map(str::to_owned).into_iter().chain(ENDINGS.map(str::to_lowercase));
    endings.map(log).chain(softwares(hive)).collect()
}

/// Returns whether an unreadable hive names itself as another hive than SYSTEM, by the end of the path in its base
/// block.
fn is_other_by_name(path: &Path) -> bool {
    let Ok(Some((_, head))) = probe::peek(path, 112, true) else { return false };
    let name = head.get(48..112).filter(|_| head.starts_with(b"regf"));
    name.is_some_and(|name| windows::other_by_file_name(name).is_some())
}
