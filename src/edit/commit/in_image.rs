//! A hive inside of an image: always in place, under an undo file of the image.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dry_run::{Part, Plan, Wanted, rehearse};
use super::{ChangedFile, Committed, How, Options, done};
use crate::locate::HiveHandle;
use crate::locate::changed_since;
use crate::transaction::{self, Change, Journal, Locked, Mark, Member, Proof, Record, broken, expect_room};
use crate::undo::{refuse_left_over, settle};
use hivewright_disk::container::{HostFile as Described, ImageOverlay, Role};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::Patch;
use hivewright_storage::{Access, Host, HostFile, Storage};

/// Brings `wanted` to the image at `path`, once `proof` has passed.
///
/// # Errors
/// As [`super::commit`] and [`rehearse`].
pub(crate) fn commit_on_disk<H: Host>(
    host: &H,
    path: &Path,
    wanted: &Wanted<'_>,
    proof: Proof<'_>,
    options: &Options,
) -> Result<Committed> {
    let done = match &options.output {
        Some(output) => super::copied::write(host, output, wanted, proof, options),
        None => run(host, path, wanted, proof, options),
    };
    let inside = wanted.hives.first().map(|hive| hive.file.path());
    let changed = |done: &Committed, parts: &[Part<'_>]| {
        let changed = |part: &Part<'_>| ChangedFile { path: done.path.clone(), inside: Some(part.file.path()) };
        parts.iter().map(changed).collect()
    };
    let done = done.map_err(intact)?;
    let (hives, emptied) = (changed(&done, wanted.hives), changed(&done, wanted.logs));
    Ok(Committed { inside, hives, emptied, ..done })
}

/// Why it is in place.
fn why(hives: usize) -> &'static str {
    if hives > 1 { "the hives are inside of a disk image" } else { "the hive is inside of a disk image" }
}

/// Files that are ours, and those of its backing files that are kept from changing.
type Taken<'h, H> = (Locked<'h, H>, Vec<(PathBuf, Arc<dyn Storage>)>);

/// Opens and locks all files of the image that holds `hive`, of which the one at `path` was named.
///
/// # Errors
/// `in-use`, `read-only`.
pub(crate) fn take<'h, H: Host>(host: &'h H, path: &Path, hive: &HiveHandle) -> Result<Taken<'h, H>> {
    let files = hive.in_disk()?.files();
    let is = |backing: bool| files.iter().filter(move |file| (file.role == Role::Backing) == backing);
    let own: Vec<Member> = is(false).map(|file| Member::new(file.path.clone(), file.size)).collect();
    let locked = Locked::take_all(host, path, &own)?;
    let shared = share(host, is(true))?;
    locked.keep_machines_out()?;
    Ok((locked, shared))
}

fn run<H: Host>(host: &H, path: &Path, wanted: &Wanted<'_>, proof: Proof<'_>, options: &Options) -> Result<Committed> {
    let (locked, shared) = take(host, path, wanted.base()?)?;
    settle(&locked)?;
    if wanted.is_empty() {
        return Ok(done(How::Unchanged, locked.path));
    }
    if let Some(undo) = &options.undo {
        expect_room(host, undo)?;
    }
    proof()?;
    let plan = rehearse(wanted, &stage(&locked, &shared))?;
    for (part, placement) in wanted.parts().zip(&plan.placements).filter(|_| plan.has_room) {
        if let Some(placement) = placement {
            placement.expect(&*locked.storage_of(&Member::all(&plan.files))?, part.old, part.file)?;
        }
    }
    let committed = write(&locked, &plan, &|| reads_back(host, wanted, &plan), options)?;
    Ok(Committed { why_in_place: Some(why(wanted.hives.len()).to_owned()), ..committed })
}

/// Brings phases of patches to files, in place and under one undo file beside the first of them: what a change inside of
/// an image comes down to. Offsets are those of the files put one after the other, each beginning at a multiple of 4096;
/// the last one grows so that all of them end at `len_after`.
///
/// # Errors
/// As [`super::commit_edits_on`].
#[cfg(feature = "internals")]
pub fn commit_files_on<H: Host>(
    host: &H,
    files: &[PathBuf],
    len_after: u64,
    phases: Vec<Vec<Patch>>,
) -> Result<Committed> {
    let commit = || {
        let first = files.first().ok_or_else(|| broken("no file is named"))?;
        let mut arranged = Vec::new();
        for path in files {
            arranged.push((host.resolve(path)?, host.open(&host.resolve(path)?, Access::Read)?.len()?));
        }
        let locked = Locked::take_all(host, first, &Member::all(&arranged))?;
        locked.keep_machines_out()?;
        settle(&locked)?;
        let len_before = locked.storage_of(&Member::all(&arranged))?.len()?;
        let plan = Plan {
            files: arranged,
            len_before,
            len_after,
            phases,
            placements: Vec::new(),
            has_room: false,
            notes: Vec::new(),
        };
        write(&locked, &plan, &|| Ok(()), &Options::default())
    };
    commit().map_err(intact)
}

fn intact(error: Error) -> Error {
    if error.kind() == Kind::Io { error.adding("the original is intact") } else { error }
}

/// Writes what is planned; `after` looks whether all is well.
fn write<H: Host>(
    locked: &Locked<'_, H>,
    plan: &Plan,
    after: &dyn Fn() -> Result<()>,
    options: &Options,
) -> Result<Committed> {
    let members = Member::all(&plan.files);
    let storage = locked.storage_of(&members)?;
    let change = Change::checked(plan.len_before, plan.len_after, plan.phases.clone()).map_err(broken)?;
    let record = Record::new(&locked.path, change, &*storage, None)?.with_files(&members, false);
    // Once more: no lock keeps VMware out.
    locked.keep_machines_out()?;
    let mut committed = write_all(locked, &members, record, after, options)?;
    let mut notes = plan.notes.clone();
    let linked = locked.all().filter(|file| file.about.links > 1 && !file.about.device);
    notes.extend(linked.map(|file| {
        let (name, links) = (file.path.display(), file.about.links);
        format!("{name} has {links} names (hard links): what stands on it by those in other folders was not looked for")
    }));
    committed.notes.splice(0..0, notes);
    Ok(committed)
}

/// Writes what `record` holds to these files, in place and under one undo file; `after` looks whether all is well.
pub(super) fn write_all<H: Host>(
    locked: &Locked<'_, H>,
    files: &[Member],
    record: Record,
    after: &dyn Fn() -> Result<()>,
    options: &Options,
) -> Result<Committed> {
    let storage = locked.storage_of(files)?;
    let mut journal = Journal::save_beside(locked.host, record.clone())?;
    transaction::write(&journal, &*storage, &|| locked.reopen(files))?;
    if let Err(error) = after() {
        return Err(take_back(locked, files, &journal, error));
    }
    let mut committed = done(How::InPlace, locked.path.clone());
    if options.keep_times {
        for file in locked.all() {
            let kept = file.file.take_times(&file.times).and_then(|()| file.file.flush());
            committed.notes.extend(kept.err().map(|e| format!("the times of the file could not be kept: {e}")));
        }
    }
    committed.notes.extend(journal.mark_or_note(Mark::Committed));
    committed.undo = Some(journal.path.clone());
    if let Some(wanted) = &options.undo {
        match move_to(locked.host, wanted, record, &journal) {
            Ok(path) => committed.undo = Some(path),
            Err(error) => {
                let left = journal.path.display();
                committed.notes.push(format!("the undo file could not be put in its place ({error}): use {left}"));
            }
        }
    }
    Ok(committed)
}

/// Opens what is only read, and keeps those out who would write to it.
pub(super) fn share<'a, H: Host>(
    host: &H,
    files: impl Iterator<Item = &'a Described>,
) -> Result<Vec<(PathBuf, Arc<dyn Storage>)>> {
    let mut shared: Vec<(PathBuf, Arc<dyn Storage>)> = Vec::new();
    for Described { path, .. } in files {
        let file = host.open(path, Access::Read)?;
        if !file.try_share()? {
            let what = format!("{} is in use: another program writes to it", path.display());
            return Err(Error::refused(Code::InUse, what).advise("close the program that uses it, and try again"));
        }
        shared.push((path.clone(), Arc::new(file)));
    }
    let paths: Vec<PathBuf> = shared.iter().map(|file| file.0.clone()).collect();
    refuse_left_over(host, &paths)?;
    Ok(shared)
}

/// A stage on the files that are locked, and no others.
fn stage<H: Host>(locked: &Locked<'_, H>, shared: &[(PathBuf, Arc<dyn Storage>)]) -> Arc<ImageOverlay> {
    let mut known: Vec<(PathBuf, Arc<dyn Storage>)> = shared.to_vec();
    known.extend(locked.all().map(|file| (file.path.clone(), file.file.clone() as Arc<dyn Storage>)));
    ImageOverlay::new(move |path, _| {
        let file = known.iter().rev().find(|known| known.0 == path);
        file.map(|known| known.1.clone()).ok_or_else(|| changed_since(path))
    })
}

/// Opens everything anew, from the files up to the hive.
fn reads_back<H: Host>(host: &H, wanted: &Wanted<'_>, plan: &Plan) -> Result<()> {
    let again = wanted.again(&wanted.base()?.gate_on(host)?)?;
    let placements = again.iter().map(|file| file.placement(&plan.files)).collect::<Result<Vec<_>>>()?;
    if wanted.is_held_by(&again)? && placements == plan.placements {
        return Ok(());
    }
    Err(Error::new(Kind::Io, Code::ReadBack, "the hive in the image does not read back as it was written"))
}

/// One undo file where the user wants it, in place of the one that was needed meanwhile.
fn move_to<H: Host>(host: &H, wanted: &Path, record: Record, old: &Journal<'_, H>) -> Result<PathBuf> {
    let mut journal = Journal::save(host, Some(wanted), record)?;
    journal.mark(Mark::Committed)?;
    old.remove()?;
    Ok(journal.path)
}

/// Restores everything, after the hive did not read back.
fn take_back<H: Host>(locked: &Locked<'_, H>, files: &[Member], journal: &Journal<'_, H>, error: Error) -> Error {
    let groups = journal.record.change.groups().len();
    let restored = locked
        .storage_of(files)
        .and_then(|storage| transaction::restore(journal, &*storage, &|| locked.reopen(files), groups));
    if restored.is_err() {
        return transaction::unfinished(error, &journal.path);
    }
    let _ = journal.remove();
    error.adding("the image is what it was before").becoming(Kind::Io, Code::ReadBack)
}
