//! A change of a file inside of an image, made in memory first. What that writes to the files of the host is the plan.
//!
//! A format may have to make room for bytes that change: allocate a cluster, change an identifier, write a header when it
//! is closed. None of it is known here. The image is opened over recorders, the old bytes are written over themselves,
//! then the new ones step by step, and it is closed. What the recorders saw, in its order, is what a commit brings to the
//! disk, and it has been read back by then.

use std::path::PathBuf;
use std::sync::Arc;

use crate::locate::changed_since;
use crate::locate::{HiveHandle, Placement};
use crate::transaction::broken;
use hivewright_disk::container::{Gate, ImageOverlay, OverlayFiles, Taken};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::{Patch, PatchSet, Step};
use hivewright_storage::Storage;
use hivewright_storage::joined;
use hivewright_storage::recorder::Written;

/// What shall become of hives inside of an image, and of their logs.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The hives, at least one.
    pub(crate) hives: &'a [Part<'a>],
    /// Logs that change with them, after them.
    pub(crate) logs: &'a [Part<'a>],
    /// What has to pass when a hive is opened anew, under its locks.
    pub(crate) check: &'a dyn Fn(&HiveHandle) -> Result<()>,
}

/// What shall become of one file inside of an image. Its lengths before and after are those of its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// Where it is.
    pub(crate) file: &'a HiveHandle,
    /// All its bytes before.
    pub(crate) old: &'a [u8],
    /// And after.
    pub(crate) new: &'a [u8],
    /// What is done one after the other, such as a recovery and then the edit.
    pub(crate) phases: &'a [&'a PatchSet],
}

impl<'a> Wanted<'a> {
    /// The hives, then their logs.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part<'a>> {
        self.hives.iter().chain(self.logs)
    }

    /// The first hive, whose image is that of all.
    pub(super) fn base(&self) -> Result<&'a HiveHandle> {
        self.hives.first().map(|hive| hive.file).ok_or_else(|| broken("no hive is to be changed"))
    }

    /// The same files, the hives first, from the files that `gate` hands out.
    pub(super) fn again(&self, gate: &Gate) -> Result<Vec<HiveHandle>> {
        self.beside(self.base()?.again(gate)?)
    }

    /// The same files on the disk that has `base` open.
    fn beside(&self, base: HiveHandle) -> Result<Vec<HiveHandle>> {
        let mut all = self.parts().skip(1).map(|part| base.same_file(part.file)).collect::<Result<Vec<_>>>()?;
        all.insert(0, base);
        Ok(all)
    }

    /// Whether these, which are [`Wanted::again`], hold what is wanted.
    pub(super) fn is_held_by(&self, files: &[HiveHandle]) -> Result<bool> {
        for (part, file) in self.parts().zip(files) {
            if !file.holds(part.new)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether nothing is to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.parts().all(|part| part.phases.iter().all(|phase| phase.is_empty()))
    }
}

/// What is written to the files of an image.
pub(crate) struct Plan {
    /// The files that may be written to, with their lengths before. Addresses are those of [`joined`].
    pub(crate) files: Vec<(PathBuf, u64)>,
    pub(crate) len_before: u64,
    pub(crate) len_after: u64,
    pub(crate) phases: Vec<Vec<Patch>>,
    /// Where the bytes of each file inside are when all is done, as far as the image tells: the hives', then their logs'.
    pub(crate) placements: Vec<Option<Placement>>,
    /// Whether they are there before.
    pub(crate) has_room: bool,
    /// What else becomes of the image, for people.
    pub(crate) notes: Vec<String>,
}

const STEPS: [Step; 6] = [Step::Prepare, Step::Allocate, Step::Base, Step::Link, Step::Settle, Step::Release];

/// Plans `wanted` on `stage`.
///
/// # Errors
/// `not-allocated` and other refusals of the format; those of `Files::plan_growth` where a file inside has to grow;
/// `changed-since` where the file is not what it was; `image-grows` where several files of the image would grow; `placement`
/// where a change would be written elsewhere than to the file's own places; `rehearsal` where the file does not read back as
/// wanted.
pub(crate) fn rehearse(wanted: &Wanted<'_>, stage: &Arc<ImageOverlay>) -> Result<Plan> {
    let mut gate = wanted.base()?.gate(stage.clone())?;
    gate.writing = true;
    let mut opened = wanted.again(&gate)?;
    for (part, file) in wanted.parts().zip(&opened) {
        if !file.holds(part.old)? {
            let offset = first_difference(file.whole()?, part.old);
            return Err(changed_since(&part.file.file_at(offset.unwrap_or(0))));
        }
    }
    opened[..wanted.hives.len()].iter().try_for_each(wanted.check)?;
    let mut notes = Vec::new();
    let mut script = Script { format: opened[0].in_disk()?.about().format, phases: Vec::new() };
    if gate.replay_log {
        // Headers are written before it, after it, and once more before data: not one write of the last bytes.
        let log = stage.take()?;
        if !log.is_empty() {
            notes.push("the log of the image was brought to its places first".to_owned());
        }
        script.add_by_epoch(log, "log of the image");
    }
    wanted.parts().zip(&opened).try_for_each(|(part, file)| make_room(file, part))?;
    script.add_by_epoch(stage.take()?, "room in the image");
    let mut has_room = script.phases.is_empty();
    for (i, part) in wanted.parts().enumerate().filter(|(_, part)| part.new.len() != part.old.len()) {
        let path = part.file.path();
        let growth = opened[i].plan_growth(part.new.len() as u64).map_err(|error| error.about(&path))?;
        growth.make_room()?;
        let room = stage.take()?;
        has_room &= room.is_empty();
        script.add_by_epoch(room, "room in the image");
        growth.write()?;
        script.add_by_epoch(stage.take()?, "growth of the file in its volume");
        notes.push(format!("{path} grew in its volume from {} to {} bytes", part.old.len(), part.new.len()));
        if opened[i].shadow_copies() != Some(0) && !growth.added.is_empty() {
            notes.push("clusters that it got may have held what only a shadow copy still has".to_owned());
        }
        // The file system below has other bytes now than it was opened with.
        opened = wanted.beside(opened[0].anew()?)?;
    }
    let mut data = Vec::new();
    for (part, file) in wanted.parts().zip(&opened) {
        let first = script.phases.len();
        for set in part.phases {
            script.phases.push(Scenes::new());
            play(file, set, stage, &mut script)?;
        }
        data.push(first..script.phases.len());
    }
    // What has to be written when it is closed is written now.
    drop(opened);
    if let Some(error) = gate.closing_error() {
        return Err(error);
    }
    drop(gate);
    let closing = format!("closing of the image ({})", script.format);
    script.add_by_epoch(stage.take()?, &closing);
    let files = stage.files()?;
    let again = wanted.again(&wanted.base()?.gate(stage.clone())?)?;
    if !wanted.is_held_by(&again)? {
        return Err(not_as_wanted("the changed file does not read back as it should"));
    }
    let placements = again.iter().map(|file| file.placement(&files.arranged)).collect::<Result<Vec<_>>>()?;
    let starts = joined::starts(&files.arranged.iter().map(|file| file.1).collect::<Vec<_>>())?;
    let mut phases = script.phases.into_iter().map(|scenes| scenes.patches(&files, &starts)).collect::<Vec<_>>();
    for (placement, data) in placements.iter().zip(data) {
        if let Some(placement) = placement {
            phases[data].iter().flatten().try_for_each(|patch| placement.holds(patch))?;
        }
    }
    phases.retain(|phase| !phase.is_empty());
    let last_start = starts.last().copied().unwrap_or(0);
    let len_before = last_start + files.arranged.last().map_or(0, |file| file.1);
    let len_after = last_start + files.last_len;
    Ok(Plan { files: files.arranged, len_before, len_after, phases, placements, has_room, notes })
}

/// Where two runs of bytes part.
fn first_difference(one: &[u8], other: &[u8]) -> Option<u64> {
    let both = one.len().min(other.len());
    let at = one.iter().zip(other).position(|(a, b)| a != b).or((one.len() != other.len()).then_some(both));
    at.map(|at| at as u64)
}

fn not_as_wanted(what: &str) -> Error {
    Error::new(Kind::Corrupt, Code::Rehearsal, format!("{what}; nothing was written"))
        .advise("this is a fault of the program: please report it with the format of the image")
}

/// Writes the bytes that are there over themselves, wherever something is going to change. Those by which the file grows
/// follow with its growth.
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
fn play(hive: &HiveHandle, set: &PatchSet, stage: &ImageOverlay, script: &mut Script) -> Result<()> {
    let file = hive.file()?;
    let metadata = format!("metadata of the image ({})", script.format);
    for step in STEPS {
        let mut any = false;
        for patch in set.patches.iter().filter(|patch| patch.step == step) {
            file.write_at(patch.offset, &patch.new)?;
            script.add(stage.take()?, step, &patch.what);
            any = true;
        }
        if any {
            file.flush()?;
            script.add(stage.take()?, step, &metadata);
        }
    }
    Ok(())
}

/// What the recorders saw so far.
struct Script {
    format: &'static str,
    phases: Vec<Scenes>,
}

/// Writes of one phase, none over another.
struct Scenes(Vec<(Taken, Step, String)>);

impl Script {
    /// Writes that have no step but the order in which they were flushed. Bytes past the old end come first: nothing
    /// refers to them yet.
    fn add_by_epoch(&mut self, taken: Vec<Taken>, what: &str) {
        let (new, old): (Vec<Taken>, Vec<Taken>) =
            taken.into_iter().partition(|taken| taken.written.old.is_empty() && !taken.written.new.is_empty());
        let last = old.iter().map(|taken| taken.written.epoch).max().unwrap_or(0);
        if !new.is_empty() {
            self.phases.push(Scenes::new());
            self.add(new, Step::Prepare, what);
        }
        for epoch in 0..=last {
            let of_epoch: Vec<Taken> = old.iter().filter(|taken| taken.written.epoch == epoch).cloned().collect();
            if !of_epoch.is_empty() {
                self.phases.push(Scenes::new());
                self.add(of_epoch, Step::Link, what);
            }
        }
    }

    /// Adds writes, sorted by epoch, to the last phase; those of a later epoch, or over bytes that this phase has written,
    /// to a new one.
    fn add(&mut self, taken: Vec<Taken>, step: Step, what: &str) {
        let mut epoch = taken.first().map_or(0, |taken| taken.written.epoch);
        for taken in taken {
            let is_later = std::mem::replace(&mut epoch, taken.written.epoch) != taken.written.epoch;
            if is_later || self.phases.last().is_none_or(|scenes| scenes.overlaps(&taken)) {
                self.phases.push(Scenes::new());
            }
            if let Some(Scenes(scenes)) = self.phases.last_mut() {
                scenes.push((taken, step, what.to_owned()));
            }
        }
    }
}

impl Scenes {
    fn new() -> Self {
        Scenes(Vec::new())
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
            // Bytes that were new in an earlier phase are none that were there before.
            let had = files.arranged[number].1.saturating_sub(offset);
            old.truncate(usize::try_from(had).unwrap_or(usize::MAX));
            patches.push(Patch { offset: starts[number] + offset, old, new, what, step });
        }
        patches
    }
}
