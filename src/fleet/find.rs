//! Finding targets: files, folders with all that is below, and patterns of names. They stream to whoever takes them.
//!
//! Of a file that nobody named only the first [`HEAD`] bytes are read. Links and special files in folders are left alone.

mod looks;
pub(in crate::fleet) mod pattern;
mod walk;

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub use looks::{HEAD, Looks, looks_like_target};

use crate::error::{Error, Kind};
use crate::storage::FileId;
use crate::storage::folder::EntryKind;
use crate::storage::look::{self, Seen};
use crate::storage::split;

/// Something to audit.
#[derive(Debug)]
pub struct Target {
    /// What it is called in its records.
    pub name: OsString,
    /// The file or folder.
    pub path: PathBuf,
    /// What is known of it.
    pub kind: TargetKind,
    /// The user named it, so that it has a record whatever it turns out to be.
    pub named: bool,
    /// Files beside it that are no targets because it says that they are parts of it. It may be wrong, or lie.
    pub parts: Vec<PathBuf>,
    /// Whether others of its folder may stand on it: where all of them were looked at, none does.
    pub may_bear: bool,
}

impl Target {
    /// Something that nobody named.
    pub fn come_across(path: &Path, parts: Vec<PathBuf>) -> Self {
        Target {
            name: path.into(),
            path: path.to_owned(),
            kind: TargetKind::File,
            named: false,
            parts,
            may_bear: false,
        }
    }

    /// What was left out as a part of another one.
    pub fn part(path: &Path) -> Self {
        Target { may_bear: true, ..Self::come_across(path, Vec::new()) }
    }
}

/// What a target is, as far as finding it has told.
#[derive(Debug)]
pub enum TargetKind {
    /// A file: a hive, an image, or something that the user takes for one. Or a block device.
    File,
    /// A Windows folder of the host with this SYSTEM hive.
    Windows(PathBuf),
    /// It could not even be looked at.
    Lost(Error),
}

/// Whoever takes targets. `false`: no more are wanted.
pub type Taker<'a> = dyn FnMut(Target) -> bool + 'a;

/// Finds targets, each once.
pub struct Finder<'a> {
    take: &'a mut Taker<'a>,
    /// Files and folders that were seen: a few bytes for each target and each folder, none for other files.
    seen: HashSet<FileId>,
    done: bool,
    /// A pattern chooses among the files of a folder.
    chosen: bool,
    /// Files that were looked into.
    looked: &'a AtomicU64,
}

impl<'a> Finder<'a> {
    /// Targets go to `take`; `looked` counts the files whose first bytes are read.
    pub fn new(take: &'a mut Taker<'a>, looked: &'a AtomicU64) -> Self {
        Finder { take, seen: HashSet::new(), done: false, chosen: false, looked }
    }

    /// Whether no more are wanted.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Finds what `path` stands for. What is not there, and has `*`, `?`, `[` or `{` in its name, is a pattern.
    pub fn named(&mut self, path: &Path) {
        match look::see(path) {
            Ok(seen) => self.named_and_seen(path, &seen),
            Err(error) if error.kind() == Kind::NotFound && pattern::is_pattern(path) => {
                if let Err(error) = self.matching(path) {
                    self.lost(path, error);
                }
            }
            Err(error) => self.lost(path, error),
        }
    }

    fn named_and_seen(&mut self, path: &Path, seen: &Seen) {
        match seen.kind {
            EntryKind::Folder => self.walk(path),
            EntryKind::File => match first_of(path) {
                Some((first, about)) if !self.is_hive(path) => self.once(&first, about.id),
                _ => self.once(path, seen.id),
            },
            EntryKind::Device => self.once(path, seen.id),
            EntryKind::Other => {
                let what = format!("{} is neither a file nor a folder", path.display());
                self.lost(path, Error::new(Kind::Unsupported, "target-kind", what));
            }
        }
    }

    /// Segments of an image are never hives; copies of hives are often numbered.
    fn is_hive(&mut self, path: &Path) -> bool {
        self.looked.fetch_add(1, Ordering::Relaxed);
        matches!(look::peek(path, 4, true), Ok(Some((_, head))) if head == b"regf")
    }

    fn once(&mut self, path: &Path, id: Option<FileId>) {
        if id.is_none_or(|id| self.seen.insert(id)) {
            self.give(path, TargetKind::File);
        }
    }

    /// A file that was come across, with the others that are left out because of it.
    fn come_across(&mut self, path: &Path, id: Option<FileId>, parts: Vec<PathBuf>) {
        if id.is_none_or(|id| self.seen.insert(id)) {
            let may_bear = self.chosen;
            self.done |= !(self.take)(Target { may_bear, ..Target::come_across(path, parts) });
        }
    }

    /// A target that cannot even be looked at.
    pub fn lost(&mut self, path: &Path, error: Error) {
        self.give(path, TargetKind::Lost(error));
    }

    fn give(&mut self, path: &Path, kind: TargetKind) {
        let (name, path) = (path.into(), path.to_owned());
        let target = Target { name, path, kind, named: true, parts: Vec::new(), may_bear: true };
        self.done |= !(self.take)(target);
    }
}

/// The first segment of the split image that `path` is a later one of.
fn first_of(path: &Path) -> Option<(PathBuf, Seen)> {
    let name = path.file_name()?;
    // What makes a piece of a name stands behind the last dot, so the rest of it may be any bytes.
    split::firsts(&name.to_string_lossy()).into_iter().find_map(|first| {
        let first = path.with_extension(Path::new(&first).extension()?);
        let seen = look::see(&first).ok().filter(|seen| seen.kind == EntryKind::File)?;
        Some((first, seen))
    })
}
