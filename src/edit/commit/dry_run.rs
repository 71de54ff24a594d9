//! Dry run of a change inside an image. Its writes to the files of the host are the plan of the commit.
//!
//! A format may have to allocate a cluster, change an identifier, or write a header when it is closed. This module
//! knows none of these. It opens the image over recorders, writes the old bytes over themselves, then the new bytes
//! step by step, and closes the image. The recorded writes, in their order, are the plan of the commit, and their
//! result has been read back.

use std::path::PathBuf;
use std::sync::Arc;

use crate::locate::changed_since;
use crate::locate::{HiveHandle, Placement};
use crate::transaction::broken;
use hivewright_disk::container::{ImageOverlay, OverlayFiles, PathPolicy, Taken};
use hivewright_disk::wim::{Archive, HEADER_SIZE, Replacement};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::{Patch, PatchSet, Step};
use hivewright_storage::Storage;
use hivewright_storage::joined;
use hivewright_storage::recorder::Written;

/// Requested change of hives inside an image, and of their logs.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The hives, at least one.
    pub(crate) hives: &'a [Part<'a>],
    /// Logs that change after the hives.
    pub(crate) logs: &'a [Part<'a>],
    /// Check of a hive that is opened again under its locks.
    pub(crate) check: &'a dyn Fn(&HiveHandle) -> Result<()>,
    /// The time of the change, for formats that store it.
    pub(crate) time: Option<FileTime>,
}

/// Requested change of one file inside an image. Its lengths before and after are those of its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// The file.
    pub(crate) file: &'a HiveHandle,
    /// All its old bytes.
    pub(crate) old: &'a [u8],
    /// All its new bytes.
    pub(crate) new: &'a [u8],
    /// Consecutive changes, such as a recovery and then the edit.
    pub(crate) phases: &'a [&'a PatchSet],
}

impl<'a> Wanted<'a> {
    /// Returns the hives, then their logs.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part<'a>> {
        self.hives.iter().chain(self.logs)
    }

    /// Returns the first hive, whose image contains all files.
    pub(super) fn base(&self) -> Result<&'a HiveHandle> {
        self.hives.first().map(|hive| hive.file).ok_or_else(|| broken("there is no hive to change"))
    }

    /// Opens the same files again, the hives first, through `policy`.
    pub(super) fn again(&self, policy: &PathPolicy) -> Result<Vec<HiveHandle>> {
        self.beside(self.base()?.again(policy)?)
    }

    /// Opens the other files on the disk of `base`.
    fn beside(&self, base: HiveHandle) -> Result<Vec<HiveHandle>> {
        let mut all = self.parts().skip(1).map(|part| base.same_file(part.file)).collect::<Result<Vec<_>>>()?;
        all.insert(0, base);
        Ok(all)
    }

    /// Returns whether these files of [`Wanted::again`] have the requested bytes.
    pub(super) fn is_in(&self, files: &[HiveHandle]) -> Result<bool> {
        for (part, file) in self.parts().zip(files) {
            if !file.holds(part.new)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns whether there are no changes.
    pub(super) fn is_empty(&self) -> bool {
        self.parts().all(|part| part.phases.iter().all(|phase| phase.is_empty()))
    }
}

/// Planned writes to the files of an image.
pub(crate) struct Plan {
    /// The writable files, with their old lengths. Addresses are those of [`joined`].
    pub(crate) files: Vec<(PathBuf, u64)>,
    pub(crate) len_before: u64,
    pub(crate) len_after: u64,
    pub(crate) phases: Vec<Vec<Patch>>,
    /// Final places of the bytes of each file inside, if the image reports them: the hives', then their logs'.
    pub(crate) placements: Vec<Option<Placement>>,
    /// Whether these places exist before the change.
    pub(crate) has_room: bool,
    /// Side effects on the image, for the user.
    pub(crate) notes: Vec<String>,
}

const STEPS: [Step; 6] = [Step::Prepare, Step::Allocate, Step::Base, Step::Link, Step::Finish, Step::Release];

/// Plans `wanted` on `overlay`.
///
/// # Errors
/// `not-allocated` and other refusals of the format; those of `Files::plan_growth` if a file inside has to grow;
/// `changed-since` if the file has changed; `image-grows` if several files of the image would grow; `placement` if a
/// change would be written outside the file's places; `rehearsal` if the file differs from the requested bytes when
/// read back.
pub(crate) fn plan_write(wanted: &Wanted<'_>, overlay: &Arc<ImageOverlay>) -> Result<Plan> {
    let mut policy = wanted.base()?.policy_sharing(overlay.clone())?;
    policy.writing = true;
    let mut opened = wanted.again(&policy)?;
    for (part, file) in wanted.parts().zip(&opened) {
        if !file.holds(part.old)? {
            let offset = first_difference(file.whole()?, part.old);
            return Err(changed_since(&part.file.file_at(offset.unwrap_or(0))));
        }
    }
    opened[..wanted.hives.len()].iter().try_for_each(wanted.check)?;
    let mut notes = Vec::new();
    let mut recorder = PhaseRecorder { format: opened[0].in_disk()?.about().format, phases: Vec::new() };
    if policy.replay_log {
        // The replay writes headers before and after the log, and again before data, so the last bytes are not enough.
        let log = overlay.take()?;
        if !log.is_empty() {
            notes.push("the log of the image was replayed first".to_owned());
        }
        recorder.add_by_epoch(log, "log of the image");
    }
    let archive = opened[0].in_disk()?.archive().cloned();
    if let Some(archive) = &archive {
        replace(wanted, archive)?;
        recorder.add_by_epoch(overlay.take()?, "files of the archive");
    }
    let in_place = || wanted.parts().filter(|_| archive.is_none());
    in_place().zip(&opened).try_for_each(|(part, file)| make_room(file, part))?;
    recorder.add_by_epoch(overlay.take()?, "room in the image");
    let mut has_room = recorder.phases.is_empty();
    for (i, part) in in_place().enumerate().filter(|(_, part)| part.new.len() != part.old.len()) {
        let path = part.file.path();
        let growth = opened[i].plan_growth(part.new.len() as u64).map_err(|error| error.about(&path))?;
        growth.make_room()?;
        let room = overlay.take()?;
        has_room &= room.is_empty();
        recorder.add_by_epoch(room, "room in the image");
        growth.write()?;
        recorder.add_by_epoch(overlay.take()?, "growth of the file in its volume");
        notes.push(format!("{path} grew in its volume from {} to {} bytes", part.old.len(), part.new.len()));
        if opened[i].shadow_copies() != Some(0) && !growth.added.is_empty() {
            notes.push("its new clusters may have contained data of a shadow copy".to_owned());
        }
        // The open file system is outdated after the growth.
        opened = wanted.beside(opened[0].anew()?)?;
    }
    let mut data = Vec::new();
    for (part, file) in in_place().zip(&opened) {
        let first = recorder.phases.len();
        for set in part.phases {
            recorder.phases.push(Phase::new());
            apply_steps(file, set, overlay, &mut recorder)?;
        }
        data.push(first..recorder.phases.len());
    }
    // The image writes its last bytes when it is closed.
    drop(opened);
    if let Some(error) = policy.closing_error() {
        return Err(error);
    }
    drop(policy);
    let closing = format!("closing of the image ({})", recorder.format);
    recorder.add_by_epoch(overlay.take()?, &closing);
    let files = overlay.files()?;
    let again = wanted.again(&wanted.base()?.policy_sharing(overlay.clone())?)?;
    if !wanted.is_in(&again)? {
        return Err(not_as_wanted("the changed file differs when read back"));
    }
    let placements = again.iter().map(|file| file.placement(&files.arranged)).collect::<Result<Vec<_>>>()?;
    let starts = joined::starts(&files.arranged.iter().map(|file| file.1).collect::<Vec<_>>())?;
    let mut phases = recorder.phases.into_iter().map(|writes| writes.patches(&files, &starts)).collect::<Vec<_>>();
    for (placement, data) in placements.iter().zip(data) {
        if let Some(placement) = placement {
            phases[data].iter().flatten().try_for_each(|patch| placement.holds(patch))?;
        }
    }
    phases.retain(|phase| !phase.is_empty());
    let last_start = starts.last().copied().unwrap_or(0);
    let len_before = last_start + files.arranged.last().map_or(0, |file| file.1);
    let len_after = last_start + files.last_len;
    if archive.is_some() {
        phases.iter().flatten().try_for_each(|patch| expect_appended(patch, len_before))?;
        let grown = len_after - len_before;
        notes.push(format!("the archive grew by {grown} bytes; it keeps the old bytes for other images and `undo`"));
    }
    Ok(Plan { files: files.arranged, len_before, len_after, phases, placements, has_room, notes })
}

/// Replaces the changed files of an archive.
fn replace(wanted: &Wanted<'_>, archive: &Archive) -> Result<()> {
    let changed: Vec<_> = wanted.parts().filter(|part| part.old != part.new).collect();
    let paths: Vec<String> = changed.iter().map(|part| part.file.path()).collect();
    let changed = changed.iter().zip(&paths);
    let replacements: Vec<Replacement<'_>> =
        changed.map(|(part, path)| Replacement { image: part.file.volume().number(), path, bytes: part.new }).collect();
    archive.replace(&replacements, wanted.time.map(|time| time.0))
}

/// Refuses a patch of an archive unless it is in its header or after its old end.
fn expect_appended(patch: &Patch, len_before: u64) -> Result<()> {
    if patch.offset >= len_before || patch.offset + patch.new.len() as u64 <= HEADER_SIZE {
        return Ok(());
    }
    let what = "the change would overwrite existing bytes of the archive";
    Err(Error::refused(Code::Placement, what).at(Space::File, patch.offset))
}

/// Returns the offset of the first difference.
fn first_difference(one: &[u8], other: &[u8]) -> Option<u64> {
    let both = one.len().min(other.len());
    let at = one.iter().zip(other).position(|(a, b)| a != b).or((one.len() != other.len()).then_some(both));
    at.map(|at| at as u64)
}

fn not_as_wanted(what: &str) -> Error {
    Error::new(Kind::Corrupt, Code::Rehearsal, format!("{what}; nothing was written"))
        .advise("this is a bug: please report it with the format of the image")
}

/// Writes the old bytes over themselves wherever something will change, so that the image allocates room. The bytes of
/// a growth follow later.
fn make_room(hive: &HiveHandle, wanted: &Part<'_>) -> Result<()> {
    let file = hive.file()?;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for set in wanted.phases {
        let end = |patch: &Patch| (patch.offset + patch.new.len() as u64).min(wanted.old.len() as u64);
        ranges.extend(set.patches.iter().map(|patch| (patch.offset, end(patch))));
    }
    ranges.sort_unstable();
    let mut next = 0;
    for (start, end) in ranges {
        let start = start.max(next);
        if start < end {
            let bytes = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let bytes = bytes
                .and_then(|(start, end)| wanted.old.get(start..end))
                .ok_or_else(|| changed_since(hive.host_file()))?;
            file.write_at(start, bytes)?;
            next = end;
        }
    }
    file.flush()
}

/// Makes one change, step by step.
fn apply_steps(hive: &HiveHandle, set: &PatchSet, overlay: &ImageOverlay, recorder: &mut PhaseRecorder) -> Result<()> {
    let file = hive.file()?;
    let metadata = format!("metadata of the image ({})", recorder.format);
    for step in STEPS {
        let mut any = false;
        for patch in set.patches.iter().filter(|patch| patch.step == step) {
            file.write_at(patch.offset, &patch.new)?;
            recorder.add(overlay.take()?, step, &patch.what);
            any = true;
        }
        if any {
            file.flush()?;
            recorder.add(overlay.take()?, step, &metadata);
        }
    }
    Ok(())
}

/// Recorded writes, in phases.
struct PhaseRecorder {
    format: &'static str,
    phases: Vec<Phase>,
}

/// Writes of one phase, which do not overlap.
struct Phase(Vec<(Taken, Step, String)>);

impl PhaseRecorder {
    /// Adds writes without a step, in the order of their flushes. Bytes after the old end come first, since nothing
    /// refers to them yet.
    fn add_by_epoch(&mut self, taken: Vec<Taken>, what: &str) {
        let (new, old): (Vec<Taken>, Vec<Taken>) =
            taken.into_iter().partition(|taken| taken.written.old.is_empty() && !taken.written.new.is_empty());
        let last = old.iter().map(|taken| taken.written.epoch).max().unwrap_or(0);
        if !new.is_empty() {
            self.phases.push(Phase::new());
            self.add(new, Step::Prepare, what);
        }
        for epoch in 0..=last {
            let of_epoch: Vec<Taken> = old.iter().filter(|taken| taken.written.epoch == epoch).cloned().collect();
            if !of_epoch.is_empty() {
                self.phases.push(Phase::new());
                self.add(of_epoch, Step::Link, what);
            }
        }
    }

    /// Adds writes, sorted by epoch, to the last phase. A write of a later epoch, or over bytes of this phase, begins a
    /// new phase.
    fn add(&mut self, taken: Vec<Taken>, step: Step, what: &str) {
        let mut epoch = taken.first().map_or(0, |taken| taken.written.epoch);
        for taken in taken {
            let is_later = std::mem::replace(&mut epoch, taken.written.epoch) != taken.written.epoch;
            if is_later || self.phases.last().is_none_or(|writes| writes.overlaps(&taken)) {
                self.phases.push(Phase::new());
            }
            if let Some(Phase(writes)) = self.phases.last_mut() {
                writes.push((taken, step, what.to_owned()));
            }
        }
    }
}

impl Phase {
    fn new() -> Self {
        Phase(Vec::new())
    }

    fn overlaps(&self, taken: &Taken) -> bool {
        let range = |written: &Written| written.offset..written.offset + written.new.len() as u64;
        let own = range(&taken.written);
        self.0.iter().any(|(other, ..)| {
            let other_range = range(&other.written);
            other_range.start < own.end && own.start < other_range.end && other.path == taken.path
        })
    }

    fn patches(self, files: &OverlayFiles, starts: &[u64]) -> Vec<Patch> {
        let mut patches = Vec::new();
        for (Taken { path, written }, step, what) in self.0 {
            let Some(number) = files.arranged.iter().position(|file| file.0 == *path) else { continue };
            let Written { offset, mut old, new, .. } = written;
            // Bytes that an earlier phase added did not exist before.
            let had = files.arranged[number].1.saturating_sub(offset);
            old.truncate(usize::try_from(had).unwrap_or(usize::MAX));
            patches.push(Patch { offset: starts[number] + offset, old, new, what: what.into(), step });
        }
        patches
    }
}
