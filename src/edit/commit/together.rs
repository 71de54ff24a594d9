//! Writes several files of the host together: hives of one installation, and transaction logs that are emptied with
//! them. They change in place, with one undo file for all of them.

use std::path::{Path, PathBuf};

use super::in_image::write_journaled;
use super::{ChangedFile, Committed, Edit, Options};
use crate::locate::changed_since;
use crate::locate::logs::emptied;
use crate::transaction::{Change, Locked, Member, Overlaid, Proof, Record, broken, expect_room, starts};
use crate::undo::settle;
use hivewright_error::{Code, Error, Result};
use hivewright_hive::{Patch, PatchSet};
use hivewright_storage::{Access, Host, read_whole};

/// Size limit of a log to empty, in bytes; logs of Windows have a few MiB.
const MAX_LOG_SIZE: usize = 1 << 30;

/// A nonempty log, and the patches that empty it.
pub(super) struct Log {
    path: PathBuf,
    bytes: Vec<u8>,
    patches: PatchSet,
}

/// Returns the nonempty logs of `logs`.
///
/// # Errors
/// `log-is-hive` if one of them is a file of `edits`; a log cannot be read.
pub(super) fn nonempty<H: Host>(host: &H, edits: &[Edit<'_>], logs: &[PathBuf]) -> Result<Vec<Log>> {
    let mut found: Vec<Log> = Vec::new();
    if logs.is_empty() {
        return Ok(found);
    }
    let hives = edits.iter().map(|edit| host.resolve(edit.target)).collect::<Result<Vec<_>>>()?;
    for path in logs {
        let path = host.resolve(path)?;
        if hives.contains(&path) {
            let what = format!("{} is the hive, not one of its logs", path.display());
            return Err(Error::refused(Code::LogIsHive, what).advise("name its logs with --log, or omit --log"));
        }
        let mut bytes = read_whole(&host.open(&path, Access::Read)?, &path, MAX_LOG_SIZE)?;
        let new = found.iter().all(|log| log.path != path);
        if let Some(patches) = emptied(&mut bytes).filter(|_| new) {
            found.push(Log { path, bytes, patches });
        }
    }
    Ok(found)
}

/// One of the files that change together.
struct Part<'a> {
    member: Member,
    len_after: u64,
    /// All its new bytes.
    image: &'a [u8],
    /// Its changes, in the order of writing.
    phases: Vec<Vec<Patch>>,
    /// All of its changes as one.
    whole: Vec<Patch>,
}

impl<'a> Part<'a> {
    fn of_log(log: &'a Log) -> Self {
        let len = log.bytes.len() as u64;
        let patches = log.patches.patches.clone();
        let member = Member::new(log.path.clone(), len);
        Part { member, len_after: len, image: &log.bytes, phases: vec![patches.clone()], whole: patches }
    }

    fn of_hive<H: Host>(host: &H, edit: &Edit<'a>) -> Result<Self> {
        let whole = Change::new(edit.patches, edit.image)?;
        let phases = match edit.phases {
            Some((first, then)) if !first.is_empty() && !then.is_empty() => {
                let mut between = edit.image.to_vec();
                then.revert(&mut between)?;
                vec![Change::new(first, &between)?.patches, Change::new(then, edit.image)?.patches]
            }
            _ => vec![whole.patches.clone()],
        };
        let member = Member::new(host.resolve(edit.target)?, whole.len_before);
        Ok(Part { member, len_after: whole.len_after, image: edit.image, phases, whole: whole.patches })
    }

    fn grows(&self) -> bool {
        self.len_after > self.member.len
    }

    /// Moves patches to the joint addresses of all files, in which this file begins at `start`. Bytes after its end are
    /// new if it is the last file (`is_last`), and were zeros otherwise.
    fn shifted(&self, patches: &[Patch], start: u64, is_last: bool) -> Vec<Patch> {
        let shifted = |patch: &Patch| {
            let mut old = patch.old.clone();
            // Bytes that an earlier phase added after the end are new as well.
            let had = usize::try_from(self.member.len.saturating_sub(patch.offset)).unwrap_or(usize::MAX);
            old.truncate(had);
            if !is_last {
                old.resize(patch.new.len(), 0);
            }
            Patch { offset: patch.offset + start, old, ..patch.clone() }
        };
        patches.iter().map(shifted).collect()
    }
}

/// Writes `edits` to their files, and then empties `logs`.
///
/// # Errors
/// As [`super::commit`]; those of the proof.
pub(super) fn write<H: Host>(
    host: &H,
    edits: &[Edit<'_>],
    logs: &[Log],
    proof: Proof<'_>,
    options: &Options,
) -> Result<Committed> {
    let hives = edits.iter().map(|edit| Part::of_hive(host, edit)).collect::<Result<Vec<_>>>()?;
    let target = hives.first().map(|hive| hive.member.path.clone()).ok_or_else(|| broken("no file is named"))?;
    let parts = arranged(logs.iter().map(Part::of_log).collect(), hives);
    let members: Vec<Member> = parts.iter().map(|part| part.member.clone()).collect();
    let locked = Locked::take_all(host, &target, &members)?;
    settle(&locked)?;
    if let Some(wanted) = &options.undo {
        expect_room(host, wanted)?;
    }
    proof()?;
    let storage = locked.storage_of(&members)?;
    let starts = starts(&members)?;
    let last = parts.len() - 1;
    let ends = |lens: [u64; 2]| -> [u64; 2] { lens.map(|len| starts[last] + len) };
    let [len_before, len_after] = ends([members[last].len, parts[last].len_after]);
    // Hives come first, in their order: a log is needed until its hive is clean.
    let (of_logs, of_hives): (Vec<usize>, Vec<usize>) = (0..parts.len()).partition(|index| *index < logs.len());
    let of_hives = of_hives.into_iter().flat_map(|index| parts[index].phases.iter().map(move |phase| (index, phase)));
    let mut phases: Vec<Vec<Patch>> =
        of_hives.map(|(index, phase)| parts[index].shifted(phase, starts[index], index == last)).collect();
    let whole = |index: usize| parts[index].shifted(&parts[index].whole, starts[index], index == last);
    phases.push(of_logs.into_iter().flat_map(whole).collect());
    let after = joined(&parts, &starts)?;
    let runs: Vec<(u64, Vec<u8>)> = (0..parts.len()).flat_map(whole).map(|patch| (patch.offset, patch.old)).collect();
    let before = Overlaid::new(&after, len_before, runs.iter().map(|(at, old)| (*at, &old[..])).collect());
    if let Some(offset) = before.first_difference(&*storage)? {
        let index = starts.iter().rposition(|start| *start <= offset).unwrap_or(0);
        return Err(changed_since(&members[index].path));
    }
    let change = Change::checked(len_before, len_after, phases).map_err(broken)?;
    let record = Record::new(&locked.path, change, &*storage, Some((&before, &Overlaid::plain(&after))))?;
    let record = record.with_files(&members, edits.len() > 1);
    let mut committed = write_journaled(&locked, &members, record, &|| Ok(()), options)?;
    committed.why_in_place = Some(why(edits.len(), logs.len()).to_owned());
    let changed = |path: &Path| ChangedFile { path: path.to_owned(), inside: None };
    committed.emptied = logs.iter().map(|log| changed(&log.path)).collect();
    let hives = edits.iter().map(|edit| host.resolve(edit.target).map(|path| changed(&path)));
    committed.hives = hives.collect::<Result<_>>()?;
    Ok(committed)
}

fn why(hives: usize, logs: usize) -> &'static str {
    match (hives, logs) {
        (1, _) => "its transaction logs are emptied with it, under one undo file",
        (_, 0) => "several hives change together, under one undo file",
        _ => "several hives change together and their transaction logs are emptied with them, under one undo file",
    }
}

/// Returns all files in the order of their addresses. A growing hive comes last; several growing hives have addresses
/// for their new lengths.
fn arranged<'a>(logs: Vec<Part<'a>>, mut hives: Vec<Part<'a>>) -> Vec<Part<'a>> {
    let growing = hives.iter().filter(|hive| hive.grows()).count();
    if growing > 0 {
        hives.sort_by_key(Part::grows);
    }
    let mut parts: Vec<Part<'a>> = logs.into_iter().chain(hives).collect();
    if growing > 1 {
        for part in parts.iter_mut().filter(|part| part.grows()) {
            part.member.grown = Some(part.len_after);
        }
    }
    parts
}

/// Returns the new bytes of all files, each at its start.
fn joined(parts: &[Part<'_>], starts: &[u64]) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for (part, start) in parts.iter().zip(starts) {
        all.resize(usize::try_from(*start).map_err(|_| broken("the files do not fit in memory"))?, 0);
        all.extend_from_slice(part.image);
    }
    Ok(all)
}
