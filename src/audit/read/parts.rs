//! Test whether a file that an image names as its part is read with it and is nothing else.

use std::path::Path;

use crate::audit::find::{FileKind, HEAD, classify};
use crate::locate::Disk;
use hivewright_disk::container::{HostFile, Role, references};
use hivewright_storage::{Host, RealHost, probe};

/// Returns whether `whole` has opened the file at `part` for its own data, and the file is not itself a hive or a disk
/// of which `whole` contains only a fragment or only the bytes of the container.
pub(super) fn is_only_part_of(whole: &Disk, part: &Path) -> bool {
    let Ok(part) = RealHost.resolve(part) else { return false };
    let is_opened = |HostFile { path, role, .. }: &HostFile| *path == part && *role == Role::Part;
    if !whole.files().iter().any(is_opened) {
        return false;
    }
    let Ok(Some((metadata, head))) = probe::peek(&part, HEAD, true) else { return false };
    match classify(&head, metadata.len, &part.file_name().unwrap_or_default().to_string_lossy()) {
        FileKind::Other(_) | FileKind::DiskByName | FileKind::HiveByName => true,
        FileKind::Hive => false,
        FileKind::Container => references(&part).is_fragment,
        FileKind::Disk => whole.begins_with(&part),
    }
}
