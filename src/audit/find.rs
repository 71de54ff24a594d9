//! Finding targets: files, folders with all that is below, and patterns of names. They stream to the caller, and so do the
//! files that are no targets.
//!
//! Of a file that nobody named only the first [`HEAD`] bytes are read. Links and special files in folders are left alone.

mod kin;
mod looks;
mod names;
pub(in crate::audit) mod pattern;
mod walk;

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub use looks::{HEAD, Looks, looks_of};

use super::account::{Passed, Reason};
use hivewright_error::{Code, Error, Kind};
use hivewright_storage::FileId;
use hivewright_storage::folder::EntryKind;
use hivewright_storage::probe::{self, Seen};
use hivewright_storage::split;

/// Something to audit.
#[derive(Debug)]
pub struct Target {
    /// Its name in its records.
    pub name: OsString,
    /// The file or folder.
    pub path: PathBuf,
    /// What is known of it.
    pub kind: TargetKind,
    /// The user named it, so that it has a record whatever it turns out to be.
    pub named: bool,
    /// It is a regular file, which the account counts.
    pub is_file: bool,
    /// It was given before: only its parts are asked for.
    pub is_repeated: bool,
    /// Files of its folder that are no targets because they are parts of it.
    pub parts: Vec<Part>,
    /// Images that stand on it.
    pub dependents: Dependents,
}

/// A file that is a part of a target.
#[derive(Debug)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// What it looks like alone.
    pub looks: Looks,
    /// Only the headers of the target claim it, which may be wrong, or lie.
    pub is_claimed: bool,
}

/// Images that stand on a target directly.
#[derive(Debug)]
pub enum Dependents {
    /// The folder of the target was not looked at for them.
    Unknown,
    /// All of its folder.
    Known(Vec<PathBuf>),
}

impl Target {
    /// A file that was met in a folder.
    pub fn met(path: &Path) -> Self {
        Target {
            name: path.into(),
            path: path.to_owned(),
            kind: TargetKind::File,
            named: false,
            is_file: true,
            is_repeated: false,
            parts: Vec::new(),
            dependents: Dependents::Unknown,
        }
    }

    /// What the user named, or what is told of in any case.
    pub fn named(path: &Path, kind: TargetKind) -> Self {
        Target { kind, named: true, is_file: false, ..Target::met(path) }
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

/// What a search comes upon.
#[derive(Debug)]
pub enum Found {
    /// Something to audit.
    Target(Box<Target>),
    /// A file without a record of its own.
    Passed(Passed),
}

/// The one that takes what is found. `false`: no more is wanted.
pub type Taker<'a> = dyn FnMut(Found) -> bool + 'a;

/// Finds targets, each once.
pub struct Finder<'a> {
    take: &'a mut Taker<'a>,
    /// Files and folders that were seen: a few bytes for each target and each folder, none for other files.
    seen: HashSet<FileId>,
    done: bool,
    /// Files that were looked into.
    looked: &'a AtomicU64,
}

impl<'a> Finder<'a> {
    /// What is found goes to `take`; `looked` counts the files whose first bytes are read.
    pub fn new(take: &'a mut Taker<'a>, looked: &'a AtomicU64) -> Self {
        Finder { take, seen: HashSet::new(), done: false, looked }
    }

    /// Whether no more are wanted.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Finds what `path` stands for. What is not there, and has `*`, `?`, `[` or `{` in its name, is a pattern.
    pub fn named(&mut self, path: &Path) {
        match probe::see(path) {
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
                Some((first, about)) if !self.is_hive(path) => self.once(&first, about.id, true),
                _ => self.once(path, seen.id, true),
            },
            EntryKind::Device => self.once(path, seen.id, false),
            EntryKind::Other => {
                let what = format!("{} is neither a file nor a folder", path.display());
                self.lost(path, Error::new(Kind::Unsupported, Code::TargetKind, what));
            }
        }
    }

    /// Segments of an image are never hives; copies of hives are often numbered.
    fn is_hive(&mut self, path: &Path) -> bool {
        self.looked.fetch_add(1, Ordering::Relaxed);
        matches!(probe::peek(path, 4, true), Ok(Some((_, head))) if head == b"regf")
    }

    fn once(&mut self, path: &Path, id: Option<FileId>, is_file: bool) {
        if id.is_none_or(|id| self.seen.insert(id)) {
            self.give(Target { is_file, ..Target::named(path, TargetKind::File) });
        }
    }

    /// A target that cannot even be looked at.
    pub fn lost(&mut self, path: &Path, error: Error) {
        self.give(Target::named(path, TargetKind::Lost(error)));
    }

    fn give(&mut self, target: Target) {
        self.done |= !(self.take)(Found::Target(Box::new(target)));
    }

    fn pass(&mut self, passed: Passed) {
        self.done |= !(self.take)(Found::Passed(passed));
    }

    fn skip(&mut self, path: PathBuf, reason: Reason) {
        self.pass(Passed::skipped(path, reason));
    }
}

/// The first segment of the split image that `path` is a later one of.
fn first_of(path: &Path) -> Option<(PathBuf, Seen)> {
    let name = path.file_name()?;
    // What makes a piece of a name stands behind the last dot, so the rest of it may be any bytes.
    split::firsts(&name.to_string_lossy()).into_iter().find_map(|first| {
        let first = path.with_extension(Path::new(&first).extension()?);
        let seen = probe::see(&first).ok().filter(|seen| seen.kind == EntryKind::File)?;
        Some((first, seen))
    })
}
