//! Disks: every installation on every volume.

use std::path::PathBuf;

use super::files::HostFiles;
use super::{Found, Wishes, facts, failed, unread};
use crate::audit::find::{Dependents, Target};
use crate::audit::record::{Blocker, Failure, Record, Status};
use crate::locate::{Choice, Disk, HiveHandle, Installation, LogChoice, Search};
use crate::read::Reading;
use hivewright_disk::container::FoundDependents;
use hivewright_disk::container::{HostFile, Role};
use hivewright_error::{Code, Result};

/// The hive of an installation, to be read.
pub(super) fn open(disk: &Disk, installation: &Installation) -> Result<Reading> {
    Ok(Reading::new(disk.system_hive_of(installation)?, LogChoice::Beside))
}

/// All that is on a disk.
pub(super) fn read(target: &Target, disk: &Disk, wishes: &Wishes) -> Result<Found> {
    let (backing, parts): (Vec<&HostFile>, Vec<_>) =
        disk.files().iter().skip(1).partition(|file| file.role == Role::Backing);
    let own = std::iter::once(target.path.clone()).chain(parts.into_iter().map(|file| file.path.clone()));
    let files = HostFiles::new(own.collect(), backing.into_iter().map(|file| file.path.clone()).collect(), true)?;
    let files = files.of_image(&wishes.image);
    let mut frame = unread(target);
    frame.container = Some(disk.container().to_owned());
    frame.size = (disk.container() == "device").then(|| disk.len());
    let remark = |(code, what): &(Code, String)| Blocker { code: code.to_string(), what: what.clone() };
    frame.image_remarks = disk.about().all_remarks().map(remark).collect();
    frame.partition_scheme = Some(facts::word(disk.table().scheme));
    let above = dependents(target, || disk.find_dependents());
    frame.bears(above.children.iter().map(PathBuf::as_path));
    let children = disk.children_among(&above);
    let children = children.map(|obstacle| Blocker { code: obstacle.code.to_string(), what: obstacle.what });
    let Search { found, troubles } = disk.search(&Choice::default())?;
    let mut records: Vec<Record> = found
        .iter()
        .zip(1..)
        .map(|(installation, number)| {
            let mut record = Record { installation: number, ..frame.clone() };
            place(&mut record, disk, installation.partition);
            record.windows_root = Some(installation.root.clone());
            let mut record = installed(record, disk, installation, wishes);
            record.write_blockers.extend(children.clone());
            record
        })
        .collect();
    for trouble in &troubles {
        let error = Some(Failure::from(&trouble.error));
        let mut record = Record { status: Status::Error, error, ..frame.clone() };
        place(&mut record, disk, trouble.partition);
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

/// The images around a target: those that its folder has told of, or else what `look` finds.
pub(super) fn dependents(target: &Target, look: impl FnOnce() -> FoundDependents) -> FoundDependents {
    match &target.dependents {
        Dependents::Known(children) => FoundDependents { children: children.clone(), ..FoundDependents::default() },
        Dependents::Unknown => look(),
    }
}

fn place(record: &mut Record, disk: &Disk, number: u32) {
    record.partition = Some(number);
    if let Some(partition) = disk.table().partitions.iter().find(|partition| partition.number == number) {
        record.partition_type = Some(partition.type_name.to_owned());
        record.partition_name.clone_from(&partition.name);
    }
}

fn installed(mut record: Record, disk: &Disk, installation: &Installation, wishes: &Wishes) -> Record {
    record.hive = Some(installation.hive("SYSTEM"));
    let reading = match open(disk, installation) {
        Ok(reading) => reading,
        Err(error) => {
            (record.status, record.error) = (Status::Error, Some(Failure::from(&error)));
            return record;
        }
    };
    volume(&mut record, reading.hive());
    facts::product_of(&mut record, &reading);
    facts::surroundings(&mut record, &reading);
    facts::rule(&mut record, &reading, wishes);
    record
}

/// What the volume says.
fn volume(record: &mut Record, hive: &HiveHandle) {
    record.hive_size = hive.file().ok().map(|file| file.facts().len);
    if let Ok(Some(state)) = hive.volume_state() {
        record.file_system = Some(state.file_system.to_owned());
        record.volume_label = Some(state.label.clone()).filter(|label| !label.is_empty());
    }
}
