//! A folder and all that is below, without recursion.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::looks::{HEAD, Looks, looks_like_target};
use super::{Finder, TargetKind, first_of};
use crate::container::{Relatives, has_type_of_log, last_part, relatives};
use crate::error::{Error, Kind};
use crate::session::target::installation_at;
use crate::storage::FileId;
use crate::storage::folder::EntryKind;
use crate::storage::look::{self, Named};

/// Candidates of one folder that wait for what others of it say; further ones no longer wait.
const MOST_WAITING: usize = 1 << 16;

/// A file that looks like a target, until the whole folder was seen.
pub(super) struct Candidate {
    path: PathBuf,
    id: Option<FileId>,
    /// Names of files beside it that it says are parts of it.
    parts: HashSet<String>,
    /// What images that have no names of each other go by: its own identifier, and that of what it stands on.
    own: Option<[u8; 16]>,
    parent: Option<[u8; 16]>,
}

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
            match look::list(&folder) {
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
        match look::see(folder) {
            Ok(seen) => seen.id.is_none_or(|id| self.seen.insert(id)),
            // Listing it will say why.
            Err(_) => true,
        }
    }

    /// Gives the targets of one folder, and says which folders below it are to be seen.
    fn folder(&mut self, folder: &Path, names: &[Named]) -> Vec<PathBuf> {
        let path = |named: &Named| folder.join(&named.name);
        let is_windows = self.windows(folder, names);
        let mut waiting = Vec::new();
        for file in names.iter().filter(|named| named.kind == EntryKind::File) {
            if self.done {
                return Vec::new();
            }
            self.file(&path(file), &mut waiting);
        }
        self.release(&mut waiting);
        if is_windows && folder.file_name().is_some_and(is_usual) {
            // Nothing but Windows' own files, and there are many.
            return Vec::new();
        }
        let below = names.iter().filter(|named| named.kind == EntryKind::Folder);
        below.filter(|named| !(is_windows && is_system32(&named.name))).map(path).collect()
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
            let is_new = look::see(&found.hive).ok().and_then(|seen| seen.id).is_none_or(|id| self.seen.insert(id));
            if is_new {
                let name = if several { &found.hive } else { folder };
                self.give(name, TargetKind::Windows(found.hive.clone()));
            }
        }
        !hives.is_empty()
    }

    /// Looks at a file; one that looks like a target waits for what others beside it say.
    pub(super) fn file(&mut self, path: &Path, waiting: &mut Vec<Candidate>) {
        if waiting.len() >= MOST_WAITING {
            self.release(waiting);
        }
        self.looked.fetch_add(1, Ordering::Relaxed);
        let (seen, head) = match look::peek(path, HEAD, false) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(error) => return self.lost(path, error),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if seen.len == 0 && name.ends_with(".001") && look::see(&path.with_extension("002")).is_ok() {
            self.seen.extend(seen.id);
            return self.lost(path, empty_piece(path));
        }
        let Some(looks) = looks_like_target(&head, seen.len, &name) else { return };
        let said = if looks == Looks::Container { relatives(path) } else { Relatives::default() };
        if said.piece.is_some() && !is_without_first(path, &said) || is_log_beside(path, &head) {
            return;
        }
        let parts = said.parents.iter().chain(&said.parts).filter_map(|name| last_part(name)).collect();
        let (path, id) = match first_of(path) {
            Some((first, seen)) if looks != Looks::Hive => (first, seen.id),
            _ => (path.to_owned(), seen.id),
        };
        waiting.push(Candidate { path, id, parts, own: said.own, parent: said.parent });
    }

    /// Gives the candidates that are no parts of others.
    pub(super) fn release(&mut self, waiting: &mut Vec<Candidate>) {
        name_parents(waiting);
        let is_part_of = parts_of_others(waiting);
        let mut parts: Vec<Vec<PathBuf>> = vec![Vec::new(); waiting.len()];
        for (part, whole) in is_part_of.iter().enumerate() {
            if let Some(whole) = whole {
                parts[*whole].push(waiting[part].path.clone());
            }
        }
        for ((candidate, parts), whole) in waiting.drain(..).zip(parts).zip(is_part_of) {
            if !self.done && whole.is_none() {
                self.come_across(&candidate.path, candidate.id, parts);
            }
        }
    }
}

/// Turns identifiers into names. Copies of an image have the same one; which of them is meant, reading will show.
fn name_parents(all: &mut [Candidate]) {
    let mut called: HashMap<[u8; 16], Vec<String>> = HashMap::new();
    for (own, candidate) in all.iter().filter_map(|candidate| Some((candidate.own?, candidate))) {
        let name = candidate.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        called.entry(own).or_default().push(name);
    }
    for candidate in all {
        candidate.parts.extend(candidate.parent.and_then(|parent| called.get(&parent)).into_iter().flatten().cloned());
    }
}

/// Whether it is the second piece of an image whose first is not there to be told of.
fn is_without_first(path: &Path, said: &Relatives) -> bool {
    let is_there = |ending: &str| look::see(&path.with_extension(ending)).is_ok();
    let has_first = |ending: &&str| is_there(ending) || is_there(&ending.to_ascii_uppercase());
    said.piece.is_some_and(|piece| piece.number == 2 && !piece.firsts.iter().any(has_first))
}

/// Whether it is a transaction log by its name and by what its base block says, and stands beside the file it is of.
fn is_log_beside(path: &Path, head: &[u8]) -> bool {
    let is_log = |ending: &OsStr| ["LOG", "LOG1", "LOG2"].iter().any(|log| ending.eq_ignore_ascii_case(log));
    head.starts_with(b"regf")
        && has_type_of_log(head)
        && path.extension().is_some_and(is_log)
        && look::see(&path.with_extension("")).is_ok_and(|seen| seen.kind == EntryKind::File)
}

fn empty_piece(path: &Path) -> Error {
    let what = format!("{} is empty, and is the first piece of an image in pieces", path.display());
    Error::new(Kind::Corrupt, "split-empty", what).advise("copy it again from where it came")
}

/// Of which other candidate each is a part; that one is no part itself. Of files that name each other in a circle, the first
/// is kept: none gets lost by what another says.
fn parts_of_others(all: &[Candidate]) -> Vec<Option<usize>> {
    if all.iter().all(|candidate| candidate.parts.is_empty()) {
        return vec![None; all.len()];
    }
    let name = |candidate: &Candidate| candidate.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let places: HashMap<String, usize> = all.iter().enumerate().map(|(i, candidate)| (name(candidate), i)).collect();
    let parts = |i: usize| all[i].parts.iter().filter_map(|part| places.get(part).copied()).filter(move |&j| j != i);
    let mut named = vec![false; all.len()];
    (0..all.len()).for_each(|i| parts(i).for_each(|j| named[j] = true));
    let (mut part_of, mut kept) = (vec![None; all.len()], vec![false; all.len()]);
    let order = (0..all.len()).filter(|&i| !named[i]).chain((0..all.len()).filter(|&i| named[i]));
    for i in order {
        if part_of[i].is_some() {
            continue;
        }
        kept[i] = true;
        let mut reached = vec![i];
        while let Some(at) = reached.pop() {
            for part in parts(at).filter(|&part| !kept[part] && part_of[part].is_none()).collect::<Vec<_>>() {
                part_of[part] = Some(i);
                reached.push(part);
            }
        }
    }
    part_of
}

fn is_system32(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case("System32")
}

fn is_usual(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case("Windows") || name.eq_ignore_ascii_case("WINNT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_left_out_and_circles_are_not() {
        let all = |links: &[(&str, &[&str])]| {
            let candidate = |(name, parts): &(&str, &[&str])| {
                let parts = parts.iter().map(|&part| part.to_owned()).collect();
                Candidate { path: PathBuf::from(name), id: None, parts, own: None, parent: None }
            };
            parts_of_others(&links.iter().map(candidate).collect::<Vec<_>>())
        };
        assert_eq!(all(&[("base", &[]), ("middle", &["base"]), ("top", &["middle"])]), [Some(2), Some(2), None]);
        assert_eq!(all(&[("a", &["b"]), ("b", &["a"])]), [None, Some(0)]);
        assert_eq!(all(&[("a", &["a", "elsewhere"]), ("b", &[])]), [None, None]);
        assert_eq!(all(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]), [None, Some(0), Some(0)]);
    }
}
