//! The edit of a hive inside of a disk image: prepared from what the file system gives, written to the image's files.

use std::path::Path;

use super::{Logs, Prepared, Request, edit_source, settle, source};
use crate::session::commit::{
    Committed, Locked, Options, Part, Stage, Wanted, commit_on_disk, folder_of, no_room, rehearse, take, write_alone,
};
use crate::session::disk::{Disk, HiveOnDisk};
use crate::session::logs;
use crate::session::target::Target;
use crate::session::undo::refuse_left_over;
use hivewright_error::{Error, Place, Result, Space};
use hivewright_hive::{EditOptions, PatchSet};
use hivewright_storage::probe::may_make_files;
use hivewright_storage::{Access, Host, Storage};

/// Bytes of the smallest sector: clusters and what images are made of are multiples of it.
const SECTOR: u64 = 512;

/// Reads the SYSTEM hive of the disk `path`, which is open already unless a write to it was interrupted, and edits it in
/// memory.
///
/// # Errors
/// As [`super::prepare`], [`Disk::system_hive`] and [`HiveOnDisk::may_be_written`].
pub(super) fn prepare<H: Host>(host: &H, path: &Path, disk: Option<Disk>, request: &Request) -> Result<Prepared> {
    // What an interrupted write left is put right before anything of the disk is believed.
    let mut settled = settle(host, &[host.resolve(path)?], request.settle)?;
    let gone = || Error::refused("changed-since", format!("{} is no disk any more", path.display()));
    let open = || Disk::open_on(host, path, &request.choice.image)?.ok_or_else(gone);
    let mut disk = match disk.filter(|_| settled.is_none()) {
        Some(disk) => disk,
        None => open()?,
    };
    // Another of its files may have been named then.
    if let Some(also) = settle(host, &disk.own_files(), request.settle)? {
        (settled, disk) = (Some(also), open()?);
    }
    refuse_left_over(host, &disk.backing_files())?;
    let hive = disk.system_hive(&request.choice)?;
    if !is_for_hive_alone(request, &hive) {
        hive.may_be_written(&request.ignore)?;
    }
    let source = source::on_disk(path, &hive, request)?;
    let facts = hive.paged().file().facts();
    let max_file_len = request.options.max_file_len.min(facts.len).min(facts.valid_len);
    let inside = Request { options: EditOptions { max_file_len, ..request.options }, ..request.clone() };
    let target = Target { hive: path.to_owned(), windows: None };
    let prepared = edit_source(target, settled, source, &inside)?;
    let patches = &prepared.edited.patches;
    if patches.old_len != patches.new_len && !is_for_hive_alone(request, &hive) {
        return Err(no_room(patches));
    }
    Ok(Prepared { on_disk: Some(hive), ..prepared })
}

/// Whether what is written elsewhere is the hive and no copy of the image: of one that cannot be written to, there would be
/// none with the recovered hive in it.
fn is_for_hive_alone(request: &Request, hive: &HiveOnDisk) -> bool {
    request.wanted.is_none() && request.elsewhere && hive.disk().about().refusal.is_some()
}

impl Prepared {
    /// The hive inside of a disk, if it is.
    pub fn on_disk(&self) -> Option<&HiveOnDisk> {
        self.on_disk.as_ref()
    }

    /// Where a byte of the hive is, in every address space; in the hive alone where it is a file of its own.
    pub fn places(&self, offset: u64) -> Vec<Place> {
        let own = Place { space: Space::Hive, offset };
        let below = self.on_disk.as_ref().map(|hive| hive.paged().file().locate(offset)).unwrap_or_default();
        std::iter::once(own).chain(below).collect()
    }

    /// The same for `len` bytes from `offset` on: the pieces in which they lie, each by its length and the place of its
    /// first byte. What lies together in the hive need not do so below.
    pub fn pieces(&self, offset: u64, len: u64) -> Vec<(u64, Vec<Place>)> {
        let is_next = |(so_far, first): &(u64, Vec<Place>), next: &[Place]| {
            first.len() == next.len()
                && first.iter().zip(next).all(|(a, b)| a.space == b.space && a.offset + so_far == b.offset)
        };
        let mut pieces: Vec<(u64, Vec<Place>)> = Vec::new();
        let (mut at, end) = (offset, offset.saturating_add(len));
        while at < end {
            // No storey below parts what lies in one sector.
            let until = (at / SECTOR + 1).saturating_mul(SECTOR).min(end);
            let places = self.places(at);
            match pieces.last_mut().filter(|last| is_next(last, &places)) {
                Some(last) => last.0 += until - at,
                None => pieces.push((until - at, places)),
            }
            at = until;
        }
        pieces
    }

    /// Takes the locks that a write takes, and makes the change in memory, down to the bytes of the image's files, where the
    /// hive is inside of one.
    pub(super) fn rehearse_on<H: Host>(&self, host: &H) -> Result<()> {
        let path = &self.target.hive;
        let Some(hive) = &self.on_disk else {
            let locked = Locked::take(host, path)?;
            return may_make_files(folder_of(&locked.path));
        };
        hive.refuse_children(&self.request.ignore)?;
        let (locked, _shared) = take(host, path, hive)?;
        may_make_files(folder_of(&locked.path))?;
        refuse_left_over(host, &hive.disk().own_files())?;
        let host = host.clone();
        let stage = Stage::new(move |path, _| Ok(std::sync::Arc::new(host.open(path, Access::Read)?)));
        self.with_wanted(hive, &[], true, |wanted| rehearse(wanted, &stage)).map(|_| ())
    }

    pub(super) fn commit_on_disk<H: Host>(
        &self,
        host: &H,
        hive: &HiveOnDisk,
        logs: Logs,
        options: &Options,
    ) -> Result<Committed> {
        if let Some(output) = options.output.as_deref().filter(|_| is_for_hive_alone(&self.request, hive)) {
            return write_alone(host, output, &self.edited.bytes, &|| self.prove());
        }
        let mut emptied = Vec::new();
        if logs == Logs::Emptied {
            for log in hive.log_files()? {
                let mut new = log.whole()?.to_vec();
                emptied.extend(logs::emptied(&mut new).map(|patches| (log, new, patches)));
            }
        }
        let phases: Vec<[&PatchSet; 1]> = emptied.iter().map(|(_, _, patches)| [patches]).collect();
        let mut parts = Vec::new();
        for ((log, new, _), phases) in emptied.iter().zip(&phases) {
            parts.push(Part { file: log, old: log.whole()?, new, phases });
        }
        let in_place = options.output.is_none() && !(self.is_already_so() && parts.is_empty());
        if in_place {
            hive.refuse_children(&self.request.ignore)?;
        }
        // Under the locks it is asked again: one may have been made meanwhile.
        self.with_wanted(hive, &parts, in_place, |wanted| {
            commit_on_disk(host, &self.target.hive, wanted, &|| self.prove(), options)
        })
    }

    fn check(&self, again: &HiveOnDisk, in_place: bool) -> Result<()> {
        if in_place {
            again.refuse_children(&self.request.ignore)?;
        }
        again.may_be_written(&self.request.ignore)
    }

    fn with_wanted<T>(
        &self,
        hive: &HiveOnDisk,
        logs: &[Part<'_>],
        in_place: bool,
        with: impl FnOnce(&Wanted<'_>) -> Result<T>,
    ) -> Result<T> {
        let phases: Vec<&PatchSet> = [&self.recovery, &self.edit].into_iter().filter(|set| !set.is_empty()).collect();
        let hive = Part { file: hive, old: hive.whole()?, new: &self.edited.bytes, phases: &phases };
        with(&Wanted { hive, logs, check: &|again| self.check(again, in_place) })
    }
}
