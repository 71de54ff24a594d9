//! Writes hives inside an image: always in place, with an undo file of the image.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dry_run::{Part, Plan, Wanted, plan_write};
use super::{ChangedFile, Committed, How, Options, done};
use crate::locate::HiveHandle;
use crate::locate::changed_since;
use crate::transaction::{self, Change, Journal, Locked, Mark, Member, Proof, Record, broken, expect_room};
use crate::undo::{refuse_left_over, settle};
use hivewright_disk::container::{HostFile as Described, ImageOverlay, Role};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::Patch;
use hivewright_storage::{Access, Host, HostFile, Storage};

/// Writes `wanted` to the image at `path`, after `proof` has passed.
///
/// # Errors
/// As [`super::commit`] and [`plan_write`].
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

/// Returns the reason for writing in place.
fn why(hives: usize, is_archive: bool) -> String {
    let hives = if hives > 1 { "the hives are" } else { "the hive is" };
    format!("{hives} inside {}", if is_archive { "an archive of images" } else { "a disk image" })
}

/// Exclusive locks of the image's files, and backing locks of its backing files.
type ImageLocks<'h, H> = (Locked<'h, H>, Vec<(PathBuf, Arc<dyn Storage>)>);

/// Opens and locks all files of the image with `hive`; `path` is the file that the user named.
///
/// # Errors
/// `in-use`, `read-only`.
pub(crate) fn lock_image<'h, H: Host>(host: &'h H, path: &Path, hive: &HiveHandle) -> Result<ImageLocks<'h, H>> {
    let files = hive.in_disk()?.files();
    let is = |backing: bool| files.iter().filter(move |file| (file.role == Role::Backing) == backing);
    let own: Vec<Member> = is(false).map(|file| Member::new(file.path.clone(), file.size)).collect();
    let locked = Locked::take_all(host, path, &own)?;
    let backing = lock_shared(host, is(true))?;
    locked.keep_machines_out()?;
    Ok((locked, backing))
}

fn run<H: Host>(host: &H, path: &Path, wanted: &Wanted<'_>, proof: Proof<'_>, options: &Options) -> Result<Committed> {
    let (locked, backing) = lock_image(host, path, wanted.base()?)?;
    settle(&locked)?;
    if wanted.is_empty() {
        return Ok(done(How::Unchanged, locked.path));
    }
    if let Some(undo) = &options.undo {
        expect_room(host, undo)?;
    }
    proof()?;
    let plan = plan_write(wanted, &overlay(&locked, &backing))?;
    for (part, placement) in wanted.parts().zip(&plan.placements).filter(|_| plan.has_room) {
        if let Some(placement) = placement {
            placement.expect(&*locked.storage_of(&Member::all(&plan.files))?, part.old, part.file)?;
        }
    }
    let committed = write(&locked, &plan, &|| reads_back(host, wanted, &plan), options)?;
    Ok(Committed {
        why_in_place: Some(why(wanted.hives.len(), wanted.base()?.in_disk()?.archive().is_some())),
        ..committed
    })
}

/// Writes phases of patches to files, in place and with one undo file beside the first of them, as a change inside an
/// image does. Offsets are those of the concatenated files, each beginning at a multiple of 4096; the last file grows
/// so that all of them end at `len_after`.
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

/// Writes a plan; `after` verifies the result.
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
    // Checked again, since no lock excludes VMware.
    locked.keep_machines_out()?;
    let mut committed = write_journaled(locked, &members, record, after, options)?;
    let mut notes = plan.notes.clone();
    let linked = locked.all().filter(|file| file.about.links > 1 && !file.about.device);
    notes.extend(linked.map(|file| {
        let (name, links) = (file.path.display(), file.about.links);
        format!("{name} has {links} hard links: dependent images in the folders of the others were not searched")
    }));
    committed.notes.splice(0..0, notes);
    Ok(committed)
}

/// Writes the change of `record` to these files, in place and with one undo file; `after` verifies the result.
pub(super) fn write_journaled<H: Host>(
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
        return Err(roll_back(locked, files, &journal, error));
    }
    let mut committed = done(How::InPlace, locked.path.clone());
    if options.keep_times {
        for file in locked.all() {
            let kept = file.file.take_times(&file.times).and_then(|()| file.file.flush());
            committed.notes.extend(kept.err().map(|e| format!("cannot preserve the times of the file: {e}")));
        }
    }
    committed.notes.extend(journal.mark_or_note(Mark::Committed));
    committed.undo = Some(journal.path.clone());
    if let Some(wanted) = &options.undo {
        match move_to(locked.host, wanted, record, &journal) {
            Ok(path) => committed.undo = Some(path),
            Err(error) => {
                let left = journal.path.display();
                committed.notes.push(format!("cannot move the undo file to its place ({error}): use {left}"));
            }
        }
    }
    Ok(committed)
}

/// Opens files that are only read, and excludes writers.
pub(super) fn lock_shared<'a, H: Host>(
    host: &H,
    files: impl Iterator<Item = &'a Described>,
) -> Result<Vec<(PathBuf, Arc<dyn Storage>)>> {
    let mut backing: Vec<(PathBuf, Arc<dyn Storage>)> = Vec::new();
    for Described { path, .. } in files {
        let file = host.open(path, Access::Read)?;
        if !file.try_share()? {
            let what = format!("{} is in use by another program", path.display());
            return Err(Error::refused(Code::InUse, what).advise("close the program, and try again"));
        }
        backing.push((path.clone(), Arc::new(file)));
    }
    let paths: Vec<PathBuf> = backing.iter().map(|file| file.0.clone()).collect();
    refuse_left_over(host, &paths)?;
    Ok(backing)
}

/// Creates an overlay on the locked files only.
fn overlay<H: Host>(locked: &Locked<'_, H>, backing: &[(PathBuf, Arc<dyn Storage>)]) -> Arc<ImageOverlay> {
    let mut known: Vec<(PathBuf, Arc<dyn Storage>)> = backing.to_vec();
    known.extend(locked.all().map(|file| (file.path.clone(), file.file.clone() as Arc<dyn Storage>)));
    ImageOverlay::new(move |path, _| {
        let file = known.iter().rev().find(|known| known.0 == path);
        file.map(|known| known.1.clone()).ok_or_else(|| changed_since(path))
    })
}

/// Opens every layer again, from the files to the hive, and compares the hive. The caller has read back all bytes that
/// were written to the files.
fn reads_back<H: Host>(host: &H, wanted: &Wanted<'_>, plan: &Plan) -> Result<()> {
    let again = wanted.again(&wanted.base()?.gate_on(host)?)?;
    let placements = again.iter().map(|file| file.placement(&plan.files)).collect::<Result<Vec<_>>>()?;
    if wanted.is_in(&again)? && placements == plan.placements {
        return Ok(());
    }
    Err(Error::new(Kind::Io, Code::ReadBack, "the hive in the image differs when read back"))
}

/// Writes the undo file at the user's path, and removes the temporary one.
fn move_to<H: Host>(host: &H, wanted: &Path, record: Record, old: &Journal<'_, H>) -> Result<PathBuf> {
    let mut journal = Journal::save(host, Some(wanted), record)?;
    journal.mark(Mark::Committed)?;
    old.remove()?;
    Ok(journal.path)
}

/// Restores everything after the hive differed when read back.
fn roll_back<H: Host>(locked: &Locked<'_, H>, files: &[Member], journal: &Journal<'_, H>, error: Error) -> Error {
    let groups = journal.record.change.groups().len();
    let restored = locked
        .storage_of(files)
        .and_then(|storage| transaction::restore(journal, &*storage, &|| locked.reopen(files), groups));
    if restored.is_err() {
        return transaction::unfinished(error, &journal.path);
    }
    let _ = journal.remove();
    error.adding("the image was restored").becoming(Kind::Io, Code::ReadBack)
}
