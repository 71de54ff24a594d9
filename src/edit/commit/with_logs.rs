//! A hive and its transaction logs, which are emptied with it: in place, under one undo file for all of them.

use std::path::{Path, PathBuf};

use super::in_image::write_all;
use super::{Committed, Edit, Emptied, Options};
use crate::locate::changed_since;
use crate::locate::logs::emptied;
use crate::transaction::Locked;
use crate::transaction::Overlaid;
use crate::transaction::{Change, broken};
use crate::transaction::{Record, expect_room};
use crate::undo::settle;
use hivewright_error::{Error, Result};
use hivewright_hive::{Patch, PatchSet};
use hivewright_storage::{Access, Host, joined, read_whole};

/// The most bytes of a log that is emptied. Windows keeps them at a few MiB.
const MAX_LOG_SIZE: usize = 1 << 30;
const WHY: &str = "its transaction logs are emptied with it, under one undo file";

/// A log that holds something, and what empties it.
pub(super) struct Log {
    path: PathBuf,
    bytes: Vec<u8>,
    patches: PatchSet,
}

/// Those of `logs` that hold something. `None` where nothing is to be emptied.
///
/// # Errors
/// `log-is-hive` where one of them is the file at `target`; they cannot be read.
pub(super) fn filled<H: Host>(host: &H, target: &Path, logs: &[PathBuf]) -> Result<Option<Vec<Log>>> {
    let mut found: Vec<Log> = Vec::new();
    for path in logs {
        let path = host.resolve(path)?;
        if path == host.resolve(target)? {
            let what = format!("{} is the hive, and none of its logs", path.display());
            return Err(Error::refused("log-is-hive", what).advise("name its logs with --log, or leave that out"));
        }
        let mut bytes = read_whole(&host.open(&path, Access::Read)?, &path, MAX_LOG_SIZE)?;
        let new = found.iter().all(|log| log.path != path);
        if let Some(patches) = emptied(&mut bytes).filter(|_| new) {
            found.push(Log { path, bytes, patches });
        }
    }
    Ok((!found.is_empty()).then_some(found))
}

/// Brings the edit to the hive at `target`, and empties `logs` after it.
///
/// # Errors
/// As [`super::commit_edit`].
pub(super) fn write<H: Host>(
    host: &H,
    target: &Path,
    edit: &Edit<'_>,
    logs: &[Log],
    options: &Options,
) -> Result<Committed> {
    let hive = Change::new(edit.patches, edit.image)?;
    // The hive may grow, so it is the last.
    let mut files: Vec<(PathBuf, u64)> = logs.iter().map(|log| (log.path.clone(), log.bytes.len() as u64)).collect();
    files.push((host.resolve(target)?, hive.len_before));
    let locked = Locked::take_all(host, target, &files)?;
    settle(&locked)?;
    if let Some(wanted) = &options.undo {
        expect_room(host, wanted)?;
    }
    (edit.proof)()?;
    locked.expect(&Overlaid::before(&hive, edit.image))?;
    let starts = joined::starts(&files.iter().map(|file| file.1).collect::<Vec<_>>())?;
    let start = starts.last().copied().unwrap_or(0);
    let (len_before, len_after) = (start + hive.len_before, start + hive.len_after);
    let emptying = logs.iter().zip(&starts).flat_map(|(log, start)| moved(log.patches.patches.clone(), *start));
    let emptying: Vec<Patch> = emptying.collect();
    let mut phases = hive_phases(edit, start, len_before)?;
    phases.push(emptying.clone());
    let after = all(logs, &starts, edit.image)?;
    let runs = moved(hive.patches, start).into_iter().chain(emptying).map(|patch| (patch.offset, patch.old));
    let runs: Vec<(u64, Vec<u8>)> = runs.collect();
    let before = Overlaid::new(&after, len_before, runs.iter().map(|(at, old)| (*at, &old[..])).collect());
    let storage = locked.storage_of(&files)?;
    if before.first_difference(&*storage)?.is_some() {
        return Err(changed_since(&locked.path));
    }
    let change = Change::checked(len_before, len_after, phases).map_err(broken)?;
    let whole = Some((&before, &Overlaid::plain(&after)));
    let record = Record::new(&locked.path, change, &*storage, whole)?.with_files(&files);
    let mut committed = write_all(&locked, &files, record, &|| Ok(()), options)?;
    committed.why_in_place = Some(WHY.to_owned());
    committed.emptied = logs.iter().map(|log| Emptied { path: log.path.clone(), inside: None }).collect();
    Ok(committed)
}

/// The phases of the hive, where that begins at `start` of the addresses, which end at `len_before`.
fn hive_phases(edit: &Edit<'_>, start: u64, len_before: u64) -> Result<Vec<Vec<Patch>>> {
    let phase = |patches: &PatchSet, image: &[u8]| -> Result<Vec<Patch>> {
        let mut patches = moved(Change::new(patches, image)?.patches, start);
        for patch in &mut patches {
            // What an earlier phase has put behind the end was not there before.
            let had = usize::try_from(len_before.saturating_sub(patch.offset)).unwrap_or(usize::MAX);
            patch.old.truncate(had);
        }
        Ok(patches)
    };
    match edit.phases {
        Some((first, then)) if !first.is_empty() && !then.is_empty() => {
            let mut between = edit.image.to_vec();
            then.revert(&mut between)?;
            Ok(vec![phase(first, &between)?, phase(then, edit.image)?])
        }
        _ => Ok(vec![phase(edit.patches, edit.image)?]),
    }
}

fn moved(patches: Vec<Patch>, by: u64) -> Vec<Patch> {
    patches.into_iter().map(|patch| Patch { offset: patch.offset + by, ..patch }).collect()
}

/// All bytes as they shall be, each file where it begins.
fn all(logs: &[Log], starts: &[u64], hive: &[u8]) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for (bytes, start) in logs.iter().map(|log| &log.bytes[..]).chain([hive]).zip(starts) {
        all.resize(usize::try_from(*start).map_err(|_| broken("the files do not fit into memory"))?, 0);
        all.extend_from_slice(bytes);
    }
    Ok(all)
}
