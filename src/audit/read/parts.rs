//! Whether a file that an image claims is read with it, and is nothing else.

use std::path::Path;

use crate::audit::find::{HEAD, Looks, looks_of};
use crate::locate::Disk;
use hivewright_disk::container::{HostFile, Role, references};
use hivewright_storage::{Host, RealHost, probe};

/// Whether `whole` has opened the file at `part` for its own data, and that is no disk or hive of its own of which only a
/// piece, or nothing but the bytes of its container, stands in `whole`.
pub(super) fn has(whole: &Disk, part: &Path) -> bool {
    let Ok(part) = RealHost.resolve(part) else { return false };
    let is_opened = |HostFile { path, role, .. }: &HostFile| *path == part && *role == Role::Part;
    if !whole.files().iter().any(is_opened) {
        return false;
    }
    let Ok(Some((seen, head))) = probe::peek(&part, HEAD, true) else { return false };
    match looks_of(&head, seen.len, &part.file_name().unwrap_or_default().to_string_lossy()) {
        Looks::Other(_) | Looks::DiskByName | Looks::HiveByName => true,
        Looks::Hive => false,
        Looks::Container => references(&part).is_fragment,
        Looks::Disk => whole.begins_with(&part),
    }
}
