//! The part that JSON documents of all verbs share.

use std::path::Path;

use hivewright_disk::partition::VolumeId;
use hivewright_storage::exact::field;
use serde::Serialize;

use crate::locate::HiveHandle;

/// The place of a hive.
#[derive(Serialize)]
pub(crate) struct Subject<'a> {
    /// The file of the host that contains it: the hive itself, or the image that the user named.
    #[serde(flatten, serialize_with = "field::file")]
    file: &'a Path,
    /// The volume; `None` outside of a disk.
    partition: Option<VolumeId>,
    /// The path of the hive: in its volume, or on the host.
    hive: String,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(hive: &'a HiveHandle) -> Self {
        let file = hive.host_file();
        match hive.disk() {
            Some(_) => Subject { file, partition: Some(hive.volume()), hive: hive.path() },
            None => Subject { file, partition: None, hive: file.display().to_string() },
        }
    }
}
