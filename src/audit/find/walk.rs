//! Discovery in a folder tree, without recursion.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::file_kind::{FileKind, HEAD, classify};
use super::names::is_foreign;
use super::relations::{Candidate, Relations, log_beside, relate};
use super::{Dependents, Finder, Part, Target, TargetKind, first_of};
use crate::audit::account::{Reason, Unrecorded, Why};
use crate::locate::installation_at;
use hivewright_disk::container::known_whole;
use hivewright_error::{Code, Error, Kind};
use hivewright_storage::probe::{self, EntryKind, FolderEntry};

/// The most files of one folder that are held back to be related to each other.
const MOST_WAITING: usize = 1 << 16;
/// The subfolder in which VirtualBox stores the images that depend on the disks of a machine.
const SNAPSHOTS: &str = "Snapshots";

impl Finder<'_> {
    /// Finds all targets below `root`, ordered by name; the files of a folder come before its subfolders.
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
                Err(error) => self.unreadable(&folder, error),
            }
        }
    }

    /// Returns whether a folder is new: links and mounts can form cycles.
    fn is_new(&mut self, folder: &Path) -> bool {
        match probe::metadata(folder) {
            Ok(metadata) => metadata.id.is_none_or(|id| self.seen.insert(id)),
            // The listing returns the error.
            Err(_) => true,
        }
    }

    /// Emits the targets of one folder. Returns the subfolders to search.
    fn folder(&mut self, folder: &Path, names: &[FolderEntry]) -> Vec<PathBuf> {
        let path = |named: &FolderEntry| folder.join(&named.name);
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
        // Everything below belongs to Windows itself, and is large.
        let is_usual = is_windows && folder.file_name().is_some_and(is_usual);
        let mut below = Vec::new();
        for named in names.iter().filter(|named| named.kind == EntryKind::Folder) {
            match is_usual || is_windows && is_system32(&named.name) {
                true => self.emit_unrecorded(Unrecorded { path: path(named), why: Why::OfWindows(folder.to_owned()) }),
                false => below.push(path(named)),
            }
        }
        below
    }

    /// Returns whether the folder is a Windows folder, and emits it as a target.
    fn windows(&mut self, folder: &Path, names: &[FolderEntry]) -> bool {
        if !names.iter().any(|named| named.kind == EntryKind::Folder && is_system32(&named.name)) {
            return false;
        }
        // If access is denied, the walk of the folder emits the error.
        let hives = installation_at(folder).unwrap_or_default();
        let several = hives.len() > 1;
        for found in &hives {
            let is_new = probe::metadata(&found.hive)
                .ok()
                .and_then(|metadata| metadata.id)
                .is_none_or(|id| self.seen.insert(id));
            if is_new {
                let name = if several { &found.hive } else { folder };
                self.emit(Target::named(name, TargetKind::Windows(found.hive.clone())));
            }
        }
        !hives.is_empty()
    }

    /// Classifies a file and adds it to `waiting`, until the other files of its folder are known.
    pub(super) fn file(&mut self, path: &Path, waiting: &mut Vec<Candidate>) {
        self.looked.fetch_add(1, Ordering::Relaxed);
        let (metadata, head) = match probe::peek(path, HEAD, false) {
            Ok(Some(found)) => found,
            // It is no longer a regular file.
            Ok(None) => return,
            Err(error) => {
                return self.emit(Target { is_file: true, ..Target::named(path, TargetKind::Unreadable(error)) });
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut file_kind = classify(&head, metadata.len, &name);
        if matches!(file_kind, FileKind::Other(_)) && is_foreign(&name) {
            file_kind = match known_whole(path) {
                Some((_, true)) => FileKind::Container,
                Some((known, false)) => FileKind::Other(Reason::Known(known)),
                None => file_kind,
            };
        }
        let mut candidate = Candidate::new(path, metadata, &head, file_kind);
        if metadata.len == 0 && name.ends_with(".001") && probe::metadata(&path.with_extension("002")).is_ok() {
            candidate.fault = Some(empty_segment(path));
        }
        waiting.push(candidate);
    }

    /// Emits all files in `waiting` that are not parts of others. `is_whole`: every image that may depend on one of
    /// them is in `waiting`.
    pub(super) fn release(&mut self, waiting: &mut Vec<Candidate>, is_whole: bool) {
        let Relations { part_of, dependents } = relate(waiting);
        let mut parts: Vec<Vec<Part>> = waiting.iter().map(|_| Vec::new()).collect();
        for (candidate, part_of) in waiting.iter().zip(&part_of) {
            if let Some((whole, is_claimed)) = *part_of {
                parts[whole].push(Part { path: candidate.path.clone(), file_kind: candidate.file_kind, is_claimed });
            }
        }
        let path = |image: &usize| waiting[*image].path.clone();
        let dependents: Vec<Vec<PathBuf>> = dependents.iter().map(|images| images.iter().map(path).collect()).collect();
        let all = waiting.drain(..).zip(part_of).zip(parts).zip(dependents);
        for (((candidate, part_of), parts), dependents) in all {
            if self.done {
                return;
            }
            if part_of.is_none() {
                let dependents = if is_whole { Dependents::Known(dependents) } else { Dependents::Unknown };
                self.one(candidate, parts, dependents);
            }
        }
    }

    /// Emits a file that is not a part of another one in its folder.
    fn one(&mut self, candidate: Candidate, parts: Vec<Part>, dependents: Dependents) {
        let hive = log_beside(&candidate);
        let Candidate { path, metadata, file_kind, fault, .. } = candidate;
        if let Some(error) = fault {
            self.seen.extend(metadata.id);
            return self.emit(Target { is_file: true, parts, ..Target::named(&path, TargetKind::Unreadable(error)) });
        }
        if let Some(hive) = hive {
            return self.emit_unrecorded(Unrecorded::part(path, &hive));
        }
        if let FileKind::Other(reason) = file_kind {
            return self.skip(path, reason);
        }
        // Only some files of the folder were requested, and this may be a later segment.
        let may_be_later = matches!(dependents, Dependents::Unknown) && file_kind != FileKind::Hive;
        if let Some((first, about)) = first_of(&path).filter(|_| may_be_later) {
            if about.id.is_none_or(|id| self.seen.insert(id)) {
                self.emit(Target { is_file: false, ..Target::discovered(&first) });
            }
            return self.emit_unrecorded(Unrecorded::part(path, &first));
        }
        if metadata.id.is_none_or(|id| self.seen.insert(id)) {
            return self.emit(Target { parts, dependents, ..Target::discovered(&path) });
        }
        if !parts.is_empty() {
            self.emit(Target { parts, is_file: false, is_repeated: true, ..Target::discovered(&path) });
        }
        if metadata.is_linked {
            self.skip(path, Reason::SameFile);
        }
    }
}

fn empty_segment(path: &Path) -> Error {
    let what = format!("{} is empty, but is the first segment of an image", path.display());
    Error::new(Kind::Corrupt, Code::SplitEmpty, what).advise("copy it again from its source")
}

fn is_system32(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case("System32")
}

fn is_usual(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case("Windows") || name.eq_ignore_ascii_case("WINNT")
}
