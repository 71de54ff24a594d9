//! Edits of hives inside a disk image: prepared through its file system, written to the image's files.

use super::commit::{Committed, Options, Part, Wanted, commit_on_disk, lock_image, plan_write, write_alone};
use super::{Edits, Logs, Prepared, PreparedHive, Request};
use crate::locate::{HiveHandle, logs};
use crate::transaction::{Locked, Member, folder_of};
use crate::undo::refuse_left_over;
use hivewright_disk::container::ImageOverlay;
use hivewright_error::{Place, Result, Space};
use hivewright_hive::PatchSet;
use hivewright_storage::availability::may_make_files;
use hivewright_storage::{Access, Host, Storage};

/// Size of the smallest sector; clusters and blocks of images are multiples of it.
const SECTOR: u64 = 512;

/// Returns whether the output is the recovered hive instead of a copy of the image, because the image is read-only.
pub(super) fn is_for_hive_alone(request: &Request, hive: &HiveHandle) -> bool {
    let is_recovery = matches!(request.edits, Edits::Recovery);
    is_recovery && request.elsewhere && hive.disk().is_some_and(|disk| disk.about().refusal.is_some())
}

impl PreparedHive {
    /// Returns the place of a byte of the hive in every address space; for a hive file of the host, only in the hive.
    pub fn places(&self, offset: u64) -> Vec<Place> {
        let own = Place { space: Space::Hive, offset };
        let inside = self.hive.disk().and_then(|_| self.hive.file().ok());
        let below = inside.map(|file| file.locate(offset)).unwrap_or_default();
        std::iter::once(own).chain(below).collect()
    }

    /// Returns the contiguous pieces of `len` bytes from `offset` on, each with its length and the places of its first
    /// byte. Contiguous bytes of the hive need not be contiguous below.
    pub fn pieces(&self, offset: u64, len: u64) -> Vec<(u64, Vec<Place>)> {
        let is_next = |(so_far, first): &(u64, Vec<Place>), next: &[Place]| {
            first.len() == next.len()
                && first.iter().zip(next).all(|(a, b)| a.space == b.space && a.offset + so_far == b.offset)
        };
        let mut pieces: Vec<(u64, Vec<Place>)> = Vec::new();
        let (mut at, end) = (offset, offset.saturating_add(len));
        while at < end {
            // A sector is contiguous in every layer below.
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
}

impl Prepared {
    /// Takes the locks of a write, and makes the change in memory, down to the bytes of the image's files for hives
    /// inside an image.
    pub(super) fn try_out_on<H: Host>(&self, host: &H) -> Result<()> {
        let Some(first) = self.hives.first().map(|first| &first.hive) else { return Ok(()) };
        let Some(disk) = first.disk() else {
            let member = |hive: &PreparedHive| Member::new(hive.hive.host_file().to_owned(), 0);
            let members: Vec<Member> = self.hives.iter().map(member).collect();
            let locked = Locked::take_all(host, first.host_file(), &members)?;
            return locked.all().try_for_each(|locked| may_make_files(folder_of(&locked.path)));
        };
        first.refuse_children(&self.request.ignore)?;
        let (locked, _shared) = lock_image(host, first.host_file(), first)?;
        may_make_files(folder_of(&locked.path))?;
        refuse_left_over(host, &disk.own_files())?;
        let host = host.clone();
        let overlay = ImageOverlay::new(move |path, _| Ok(std::sync::Arc::new(host.open(path, Access::Read)?)));
        self.with_wanted(&[], true, |wanted| plan_write(wanted, &overlay)).map(|_| ())
    }

    pub(super) fn commit_on_disk<H: Host>(&self, host: &H, logs: Logs, options: &Options) -> Result<Committed> {
        let Some(first) = self.hives.first() else { return Ok(Committed::unchanged(self.path.clone())) };
        if let Some(output) = options.output.as_deref().filter(|_| is_for_hive_alone(&self.request, &first.hive)) {
            return write_alone(host, output, &first.edited.bytes, &|| self.prove());
        }
        let mut emptied = Vec::new();
        if logs == Logs::Emptied {
            for log in
                self.hives.iter().map(|hive| hive.hive.log_handles()).collect::<Result<Vec<_>>>()?.into_iter().flatten()
            {
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
            first.hive.refuse_children(&self.request.ignore)?;
        }
        // The check is repeated under the locks, since an obstacle may have appeared meanwhile.
        self.with_wanted(&parts, in_place, |wanted| {
            commit_on_disk(host, first.hive.host_file(), wanted, &|| self.prove(), options)
        })
    }

    fn check(&self, again: &HiveHandle, in_place: bool) -> Result<()> {
        if in_place {
            again.refuse_children(&self.request.ignore)?;
        }
        again.may_be_written(&self.request.ignore)
    }

    fn with_wanted<T>(
        &self,
        logs: &[Part<'_>],
        in_place: bool,
        with: impl FnOnce(&Wanted<'_>) -> Result<T>,
    ) -> Result<T> {
        let phases: Vec<Vec<&PatchSet>> = self.hives.iter().map(PreparedHive::phases).collect();
        let mut hives = Vec::new();
        for (hive, phases) in self.hives.iter().zip(&phases) {
            hives.push(Part { file: &hive.hive, old: hive.hive.whole()?, new: &hive.edited.bytes, phases });
        }
        let time = self.request.options.timestamp;
        with(&Wanted { hives: &hives, logs, check: &|again| self.check(again, in_place), time })
    }
}
