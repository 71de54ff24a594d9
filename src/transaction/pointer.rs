//! Pointers: files beside a hive that name the undo file of a change, which is beside another file.
//!
//! The undo file of several hives is beside the first of them. The next run may name any of them and searches beside
//! that. So while bytes change, there is a pointer beside each of the others, with the name of an undo file: a line of
//! JSON with `hivewright_undo`, and the path of the undo file relative to its folder as `undo` (`undo_bytes` in hex if
//! that is not UTF-8). It is durable before the undo file, and is removed when the change has ended. A pointer to a
//! missing or ended undo file is ignored.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::journal::beside;
use super::lines::OF_TREE;
use super::members::{absolute, relative};
use super::{Overlaid, Staged, folder_of, same_bytes};
use hivewright_error::{Code, Error, Result};
use hivewright_storage::exact;
use hivewright_storage::{Host, Storage};

/// Bytes of a pointer at most: a path, twice.
const MOST_BYTES: u64 = 64 << 10;
/// Names tried at most.
const MOST_NAMES: u32 = 10_000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    hivewright_undo: u32,
    undo: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undo_bytes: Option<String>,
}

/// Returns the path of the undo file that the file at `path` points to; `None` if it is not a pointer.
///
/// # Errors
/// I/O errors.
pub(crate) fn read(file: &dyn Storage, path: &Path) -> Result<Option<PathBuf>> {
    let len = file.len()?;
    if len > MOST_BYTES {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_at(0, &mut bytes)?;
    let Ok(line) = serde_json::from_slice::<Line>(&bytes) else { return Ok(None) };
    let undo = exact::path(&line.undo, line.undo_bytes.as_deref()).filter(|_| line.hivewright_undo <= OF_TREE);
    Ok(undo.map(|undo| absolute(path.parent().unwrap_or(Path::new("")), &undo)))
}

/// Writes a durable pointer to `undo` beside `target`.
///
/// # Errors
/// I/O errors.
pub(crate) fn save<H: Host>(host: &H, target: &Path, undo: &Path) -> Result<PathBuf> {
    /// As for an undo file.
    const PRIVATE: u32 = 0o600;
    let mut path = beside(target, "");
    let way = relative(folder_of(&path), undo);
    let line =
        Line { hivewright_undo: OF_TREE, undo: way.to_string_lossy().into_owned(), undo_bytes: exact::hex(&way) };
    let mut bytes = serde_json::to_vec(&line).map_err(|e| Error::io("cannot write a pointer", e.into()))?;
    bytes.push(b'\n');
    let bytes = Overlaid::plain(&bytes);
    let mut staged = Staged::new(host, &path, PRIVATE)?;
    staged.fill(&bytes)?;
    let mut numbers = 1..MOST_NAMES;
    while !staged.place(&path)? {
        let number = numbers.next().ok_or_else(|| {
            Error::refused(Code::UndoExists, format!("{} and all names after it are in use", path.display()))
                .advise("remove undo files of changes that you do not want to undo")
        })?;
        path = beside(target, &format!(".{number}"));
    }
    let sure = host.sync_folder(folder_of(&path)).and_then(|()| same_bytes(host, &path, &bytes));
    if sure.is_err() {
        let _ = host.remove(&path);
    }
    sure.map(|()| path)
}

/// Removes the pointers to `undo` beside `targets`.
///
/// # Errors
/// I/O errors.
pub(crate) fn remove_all<H: Host>(host: &H, targets: &[PathBuf], undo: &Path) -> Result<()> {
    for target in targets {
        for path in beside_of(host, target)? {
            let leads_there = |file: H::File| read(&file, &path).ok().flatten().is_some_and(|to| to == undo);
            if host.open(&path, hivewright_storage::Access::Read).is_ok_and(leads_there) {
                host.remove(&path)?;
                host.sync_folder(folder_of(&path))?;
            }
        }
    }
    Ok(())
}

/// Returns the undo files and pointers beside `target`, by their names.
fn beside_of<H: Host>(host: &H, target: &Path) -> Result<Vec<PathBuf>> {
    let first = beside(target, "");
    let prefix = first.file_name().unwrap_or_default();
    let mut names = host.starting_with(folder_of(&first), prefix)?;
    names.retain(|path| super::journal::is_beside(path, target));
    Ok(names)
}
