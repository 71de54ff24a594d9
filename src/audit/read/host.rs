//! Hives that are files of the host, and Windows folders.

use std::path::{Path, PathBuf};

use super::files::{HostFiles, see};
use super::{Found, Wishes, facts, failed, lossy, unread};
use crate::audit::find::{HEAD, Looks, Target, looks_of};
use crate::audit::record::Record;
use crate::locate::logs::ENDINGS;
use crate::locate::{Image, LogChoice};
use crate::read::Reading;
use crate::windows;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::RealHost;
use hivewright_storage::exact;
use hivewright_storage::probe;

/// A hive to be read by calls.
pub(super) fn open(hive: &Path, windows: Option<&Path>) -> Result<Reading> {
    Ok(Reading::new(Image::hive_of_file(&RealHost, hive, windows)?, LogChoice::Beside))
}

/// A Windows folder whose hive is `hive`.
pub(super) fn folder(target: &Target, hive: &Path, wishes: &Wishes) -> Result<Found> {
    // Several hives of one folder go by their own names.
    let windows = if target.path == hive { hive.ancestors().nth(3) } else { Some(&*target.path) };
    let files = HostFiles::new(vec![hive.to_owned()], beside(hive), target.path == hive)?;
    let reading = open(hive, windows)?;
    let mut record = unread(target);
    let is_folder = target.path != hive;
    record.container = Some(if is_folder { "folder" } else { "hive" }.to_owned());
    record.windows_root = windows.map(lossy);
    record.windows_root_hex = windows.and_then(exact::hex);
    let (record, bytes_read) = rule(record, hive, &reading, wishes);
    Ok(Found { records: vec![record], files, bytes_read })
}

/// A file that is no disk.
pub(super) fn hive(target: &Target, wishes: &Wishes) -> Result<Found> {
    let path = &*target.path;
    if let Some(error) = unrecognised(path) {
        let files = HostFiles::new(vec![path.to_owned()], Vec::new(), true)?;
        return Ok(Found { records: vec![failed(target, &error)], files, bytes_read: 0 });
    }
    let files = HostFiles::new(vec![path.to_owned()], beside(path), true)?;
    let reading = open(path, None)?;
    let mut record = unread(target);
    record.container = Some("hive".to_owned());
    let (record, bytes_read) = rule(record, path, &reading, wishes);
    let is_other = record.error.as_ref().is_some_and(|error| error.code == Code::NotSystem || names_another(path));
    let records = if is_other && !target.named { Vec::new() } else { vec![record] };
    Ok(Found { records, files, bytes_read })
}

/// The error for what has nothing of an image but its name.
fn unrecognised(path: &Path) -> Option<Error> {
    let (seen, head) = probe::peek(path, HEAD, true).ok()??;
    let looks = looks_of(&head, seen.len, &path.file_name()?.to_string_lossy());
    let what = match seen.len {
        0 => format!("{} has the name of a disk image, and is empty", path.display()),
        _ => format!("{} has the name of a disk image, and nothing in it shows one", path.display()),
    };
    let error = Error::new(Kind::Corrupt, Code::ImageUnrecognised, what)
        .advise("copy it again from where it came; if it is a raw disk all the same: hivewright info --format raw");
    (looks == Looks::DiskByName).then_some(error)
}

/// What the hive says, and how many bytes that took.
fn rule(mut record: Record, hive: &Path, reading: &Reading, wishes: &Wishes) -> (Record, u64) {
    record.hive = Some(lossy(hive));
    record.hive_hex = exact::hex(hive);
    facts::product_of(&mut record, reading);
    record.hive_size = see(hive).ok().flatten().map(|(len, _)| len);
    facts::surroundings(&mut record, reading);
    facts::rule(&mut record, reading, wishes);
    (record, reading.hive().image().bytes_read())
}

fn softwares(hive: &Path) -> Vec<PathBuf> {
    let is_system = hive.file_name().is_some_and(|name| name.eq_ignore_ascii_case("SYSTEM"));
    let names = ["SOFTWARE", "software", "Software"].map(|name| hive.with_file_name(name));
    if is_system { names.to_vec() } else { Vec::new() }
}

/// The files beside a hive that its answer may rest on. That none is there can matter as well.
fn beside(hive: &Path) -> Vec<PathBuf> {
    let name = hive.file_name().unwrap_or_default();
    let log = |ending: String| {
        let mut log = name.to_owned();
        log.push(".");
        log.push(ending);
        hive.with_file_name(log)
    };
    // As Windows and as copying tools write them.
    let endings = ENDINGS.map(str::to_owned).into_iter().chain(ENDINGS.map(str::to_lowercase));
    endings.map(log).chain(softwares(hive)).collect()
}

/// Whether a hive that cannot be read says that it is another one than SYSTEM: its base block keeps the end of its path.
fn names_another(path: &Path) -> bool {
    let Ok(Some((_, head))) = probe::peek(path, 112, true) else { return false };
    let name = head.get(48..112).filter(|_| head.starts_with(b"regf"));
    name.is_some_and(|name| windows::other_by_file_name(name).is_some())
}
