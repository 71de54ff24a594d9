//! Obstacles in the host's files that a commit needs. They are found by queries: no file is opened for writing or
//! locked. A commit, and a dry run, find the same by trying, with the same codes.

use hivewright_error::Code;
use std::path::{Path, PathBuf};

use super::Obstacle;
use hivewright_storage::availability::{Usage, may_make_files, may_write, usage, vmware_is_out};
use hivewright_storage::{Host, RealHost};

/// Returns the obstacles of the files `own`, which a commit would write to, the named one first, and of `backing`,
/// which must not change meanwhile.
pub(super) fn obstacles(own: &[PathBuf], backing: &[PathBuf], is_image: bool) -> Vec<Obstacle> {
    let named = own.first().and_then(|path| RealHost.resolve(path).ok());
    // The new file, or the undo file, is made beside the target.
    let folder = named.as_deref().and_then(Path::parent).and_then(|folder| may_make_files(folder).err());
    let written = own.iter().filter_map(|path| of_own(path, is_image));
    let read =
        backing.iter().filter(|path| usage(path, is_image) == Usage::Written).map(|path| in_use(path, Usage::Written));
    // One obstacle of a kind is enough: an image may have thousands of files.
    let mut all: Vec<Obstacle> = Vec::new();
    for obstacle in written.chain(read).chain(folder.map(|error| Obstacle::of(&error))) {
        if all.iter().all(|known| known.code != obstacle.code) {
            all.push(obstacle);
        }
    }
    all
}

fn of_own(path: &Path, is_image: bool) -> Option<Obstacle> {
    if let Err(error) = may_write(path) {
        return Some(Obstacle::of(&error));
    }
    let usage = usage(path, is_image);
    if usage > Usage::Free {
        return Some(in_use(path, usage));
    }
    let by_vmware = RealHost.resolve(path).and_then(|path| vmware_is_out(&RealHost, &path));
    by_vmware.err().filter(|error| is_image && error.code() == Code::InUse).map(|error| Obstacle::of(&error).doubting())
}

fn in_use(path: &Path, usage: Usage) -> Obstacle {
    let path = path.display();
    let (what, is_doubted) = match usage {
        Usage::Written => {
            (format!("{path} is open for writing in another program: its contents may be inconsistent"), true)
        }
        _ => (format!("{path} is in use: another program reads it and excludes writers"), false),
    };
    let advice = "close the program that uses it, or shut down the virtual machine";
    let obstacle = Obstacle { advice: Some(advice.to_owned()), ..Obstacle::new(Code::InUse, what) };
    if is_doubted { obstacle.doubting() } else { obstacle }
}
