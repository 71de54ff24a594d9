//! A folder and all that is below, without recursion.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::kin::{Kin, Met, kin, log_beside};
use super::looks::{HEAD, Looks, looks_of};
use super::names::is_foreign;
use super::{Dependents, Finder, Part, Target, TargetKind, first_of};
use crate::audit::account::{Passed, Reason, Why};
use crate::locate::installation_at;
use hivewright_disk::container::known_whole;
use hivewright_error::{Code, Error, Kind};
use hivewright_storage::folder::EntryKind;
use hivewright_storage::probe::{self, Named};

/// Files of one folder that wait until all of it was seen; further ones no longer wait.
const MOST_WAITING: usize = 1 << 16;
/// The folder below that of a machine's disks where VirtualBox keeps the images that stand on them.
const SNAPSHOTS: &str = "Snapshots";

impl Finder<'_> {
    /// Finds all targets in `root`, in the order of their names: a folder's files before what is below it.
    pub(super) fn walk(&mut self, root: &Path) {
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            if self.done {
                return;
            }
            if !self.is_new(&folder) {
                continue;
            }
            match probe::list(&folder) {
                Ok(names) => {
                    let below = self.folder(&folder, &names);
                    folders.extend(below.into_iter().rev());
                }
                Err(error) => self.lost(&folder, error),
            }
        }
    }

    /// Whether a folder was not seen before: links and mounts can lead in circles.
    fn is_new(&mut self, folder: &Path) -> bool {
        match probe::see(folder) {
            Ok(seen) => seen.id.is_none_or(|id| self.seen.insert(id)),
            // Listing it will say why.
            Err(_) => true,
        }
    }

    /// Gives the targets of one folder, and says which folders below it are to be seen.
    fn folder(&mut self, folder: &Path, names: &[Named]) -> Vec<PathBuf> {
        let path = |named: &Named| folder.join(&named.name);
        let is_windows = self.windows(folder, names);
        let is_whole = !names.iter().any(|named| named.name == SNAPSHOTS);
        let mut waiting = Vec::new();
        for file in names.iter().filter(|named| named.kind == EntryKind::File) {
            if self.done {
                return Vec::new();
            }
            if waiting.len() >= MOST_WAITING {
                self.release(&mut waiting, false);
            }
            self.file(&path(file), &mut waiting);
        }
        self.release(&mut waiting, is_whole);
        // Below are nothing but Windows' own files, and there are many.
        let is_usual = is_windows && folder.file_name().is_some_and(is_usual);
        let mut below = Vec::new();
        for named in names.iter().filter(|named| named.kind == EntryKind::Folder) {
            match is_usual || is_windows && is_system32(&named.name) {
                true => self.pass(Passed { path: path(named), why: Why::OfWindows(folder.to_owned()) }),
                false => below.push(path(named)),
            }
        }
        below
    }

    /// Whether the folder is one of Windows, which then is a target.
    fn windows(&mut self, folder: &Path, names: &[Named]) -> bool {
        if !names.iter().any(|named| named.kind == EntryKind::Folder && is_system32(&named.name)) {
            return false;
        }
        // A folder that is closed here is closed when it is walked, and told there.
        let hives = installation_at(folder).unwrap_or_default();
        let several = hives.len() > 1;
        for found in &hives {
            let is_new = probe::see(&found.hive).ok().and_then(|seen| seen.id).is_none_or(|id| self.seen.insert(id));
            if is_new {
                let name = if several { &found.hive } else { folder };
                self.give(Target::named(name, TargetKind::Windows(found.hive.clone())));
            }
        }
        !hives.is_empty()
    }

    /// Looks at a file, which then waits for what others beside it say.
    pub(super) fn file(&mut self, path: &Path, waiting: &mut Vec<Met>) {
        self.looked.fetch_add(1, Ordering::Relaxed);
        let (seen, head) = match probe::peek(path, HEAD, false) {
            Ok(Some(found)) => found,
            // No regular file any more.
            Ok(None) => return,
            Err(error) => return self.give(Target { is_file: true, ..Target::named(path, TargetKind::Lost(error)) }),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut looks = looks_of(&head, seen.len, &name);
        if matches!(looks, Looks::Other(_)) && is_foreign(&name) {
            looks = match known_whole(path) {
                Some((_, true)) => Looks::Container,
                Some((known, false)) => Looks::Other(Reason::Known(known)),
                None => looks,
            };
        }
        let mut met = Met::new(path, seen, &head, looks);
        if seen.len == 0 && name.ends_with(".001") && probe::see(&path.with_extension("002")).is_ok() {
            met.fault = Some(empty_piece(path));
        }
        waiting.push(met);
    }

    /// Gives what is a target of its own, and passes what is not. `is_whole`: all images that may stand on one of them are
    /// among them.
    pub(super) fn release(&mut self, waiting: &mut Vec<Met>, is_whole: bool) {
        let Kin { part_of, dependents } = kin(waiting);
        let mut parts: Vec<Vec<Part>> = waiting.iter().map(|_| Vec::new()).collect();
        for (met, part_of) in waiting.iter().zip(&part_of) {
            if let Some((whole, is_claimed)) = *part_of {
                parts[whole].push(Part { path: met.path.clone(), looks: met.looks, is_claimed });
            }
        }
        let path = |image: &usize| waiting[*image].path.clone();
        let dependents: Vec<Vec<PathBuf>> = dependents.iter().map(|images| images.iter().map(path).collect()).collect();
        let all = waiting.drain(..).zip(part_of).zip(parts).zip(dependents);
        for (((met, part_of), parts), dependents) in all {
            if self.done {
                return;
            }
            if part_of.is_none() {
                let dependents = if is_whole { Dependents::Known(dependents) } else { Dependents::Unknown };
                self.one(met, parts, dependents);
            }
        }
    }

    /// Gives or passes a file that is no part of another one that was met.
    fn one(&mut self, met: Met, parts: Vec<Part>, dependents: Dependents) {
        let hive = log_beside(&met);
        let Met { path, seen, looks, fault, .. } = met;
        if let Some(error) = fault {
            self.seen.extend(seen.id);
            return self.give(Target { is_file: true, parts, ..Target::named(&path, TargetKind::Lost(error)) });
        }
        if let Some(hive) = hive {
            return self.pass(Passed::part(path, &hive));
        }
        if let Looks::Other(reason) = looks {
            return self.skip(path, reason);
        }
        // Only some files of the folder are meant, and this is a later piece.
        let may_be_later = matches!(dependents, Dependents::Unknown) && looks != Looks::Hive;
        if let Some((first, about)) = first_of(&path).filter(|_| may_be_later) {
            if about.id.is_none_or(|id| self.seen.insert(id)) {
                self.give(Target { is_file: false, ..Target::met(&first) });
            }
            return self.pass(Passed::part(path, &first));
        }
        if seen.id.is_none_or(|id| self.seen.insert(id)) {
            return self.give(Target { parts, dependents, ..Target::met(&path) });
        }
        if !parts.is_empty() {
            self.give(Target { parts, is_file: false, is_repeated: true, ..Target::met(&path) });
        }
        if seen.is_linked {
            self.skip(path, Reason::SameFile);
        }
    }
}

fn empty_piece(path: &Path) -> Error {
    let what = format!("{} is empty, and is the first piece of an image in pieces", path.display());
    Error::new(Kind::Corrupt, Code::SplitEmpty, what).advise("copy it again from where it came")
}

fn is_system32(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case("System32")
}

fn is_usual(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case("Windows") || name.eq_ignore_ascii_case("WINNT")
}
