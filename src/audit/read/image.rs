//! Reads disks: every installation on every volume.

use std::path::PathBuf;

use super::files::HostFiles;
use super::{Found, ReadOptions, facts, failed, unread};
use crate::audit::find::{Dependents, Target};
use crate::audit::record::{Blocker, Failure, Record, Status};
use crate::locate::{Choice, Disk, HiveHandle, Installation, LogChoice, Search};
use crate::read::Reading;
use hivewright_disk::container::FoundDependents;
use hivewright_disk::container::{HostFile, Role};
use hivewright_disk::partition::VolumeId;
use hivewright_error::{Code, Result};

/// Opens the SYSTEM hive of an installation.
pub(super) fn open(disk: &Disk, installation: &Installation) -> Result<Reading> {
    Ok(Reading::new(disk.system_hive_of(installation)?, LogChoice::Beside))
}

/// Reads all installations of a disk.
pub(super) fn read(target: &Target, disk: &Disk, options: &ReadOptions) -> Result<Found> {
    let (backing, parts): (Vec<&HostFile>, Vec<_>) =
        disk.files().iter().skip(1).partition(|file| file.role == Role::Backing);
    let own = std::iter::once(target.path.clone()).chain(parts.into_iter().map(|file| file.path.clone()));
    let files = HostFiles::new(own.collect(), backing.into_iter().map(|file| file.path.clone()).collect(), true)?;
    let files = files.of_image(&options.image);
    let mut frame = unread(target);
    frame.container = Some(disk.container().to_owned());
    frame.size = (disk.container() == "device").then(|| disk.len());
    let blocker = |(code, what): &(Code, String)| Blocker { code: code.to_string(), what: what.clone() };
    frame.image_remarks = disk.about().all_remarks().map(blocker).collect();
    frame.partition_scheme = Some(facts::word(disk.table().scheme));
    let found_dependents = dependents(target, || disk.find_dependents(&options.dependents));
    frame.set_dependents(found_dependents.children.iter().map(PathBuf::as_path));
    let children = disk.children_among(&found_dependents);
    let children = children.map(|obstacle| Blocker { code: obstacle.code.to_string(), what: obstacle.what });
    let Search { found, unsearched } = disk.search(&Choice::default())?;
    let mut records: Vec<Record> = found
        .iter()
        .zip(1..)
        .map(|(installation, number)| {
            let mut record = Record { installation: number, ..frame.clone() };
            place(&mut record, disk, installation.volume);
            record.windows_root = Some(installation.root.clone());
            let mut record = installed(record, disk, installation, options);
            record.obstacles.extend(children.clone());
            record
        })
        .collect();
    for trouble in &unsearched {
        let error = Some(Failure::from(&trouble.error));
        let mut record = Record { status: Status::Error, error, ..frame.clone() };
        place(&mut record, disk, trouble.volume);
        records.push(record);
    }
    if records.is_empty() {
        frame.shadow_copies = disk.shadow_copies();
        records.push(match target.named {
            true => Record { error: failed(target, &disk.no_installation(&Choice::default())).error, ..frame },
            false => frame,
        });
        records[0].status = if target.named { Status::Error } else { Status::NoWindows };
    }
    Ok(Found { records, files, bytes_read: disk.bytes_read() })
}

/// Returns the dependents of a target: those that the discovery found, or else the result of `search`.
pub(super) fn dependents(target: &Target, search: impl FnOnce() -> FoundDependents) -> FoundDependents {
    match &target.dependents {
        Dependents::Known(children) => FoundDependents { children: children.clone(), ..FoundDependents::default() },
        Dependents::Unknown => search(),
    }
}

fn place(record: &mut Record, disk: &Disk, volume: VolumeId) {
    record.partition = Some(volume.number());
    if let Ok(partition) = disk.partition(volume) {
        record.partition_type = Some(partition.type_name.to_owned());
        record.partition_name.clone_from(&partition.name);
    }
}

fn installed(mut record: Record, disk: &Disk, installation: &Installation, options: &ReadOptions) -> Record {
    record.hive = Some(installation.hive("SYSTEM"));
    let reading = match open(disk, installation) {
        Ok(reading) => reading,
        Err(error) => {
            (record.status, record.error) = (Status::Error, Some(Failure::from(&error)));
            return record;
        }
    };
    volume(&mut record, reading.hive());
    let installation = reading.installation();
    let software = facts::product_of(&mut record, &installation);
    facts::volume_facts(&mut record, &reading);
    facts::system(&mut record, &reading, &installation, software.as_ref(), options);
    record
}

/// Fills in the facts of the volume.
fn volume(record: &mut Record, hive: &HiveHandle) {
    record.hive_size = hive.file().ok().map(|file| file.facts().len);
    if let Ok(Some(state)) = hive.volume_state() {
        record.file_system = Some(state.file_system.to_owned());
        record.volume_label = Some(state.label.clone()).filter(|label| !label.is_empty());
    }
}
