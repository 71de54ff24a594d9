//! Discovery of targets: files, folder trees and name patterns. Targets and all other files stream to the caller.
//!
//! Of a discovered file, only the first [`HEAD`] bytes are read. Links and special files in folders are skipped.

mod file_kind;
mod libvirt;
mod names;
pub(crate) mod pattern;
mod relations;
mod walk;

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub use file_kind::{FileKind, HEAD, classify};

use super::account::{Reason, Unrecorded};
use hivewright_error::{Code, Error, Kind};
use hivewright_storage::FileId;
use hivewright_storage::probe::{self, EntryKind, Metadata};
use hivewright_storage::split;

/// A file, device or folder to audit.
#[derive(Debug)]
pub struct Target {
    /// Its name in the records.
    pub name: OsString,
    /// The file or folder.
    pub path: PathBuf,
    /// Its kind, or the error that prevents the audit.
    pub kind: TargetKind,
    /// Whether the user named it; then it has a record in any case.
    pub named: bool,
    /// Whether it is a regular file; the account counts those.
    pub is_file: bool,
    /// Whether it was emitted before; then only its parts are read.
    pub is_repeated: bool,
    /// Files of its folder that are parts of it, and therefore no targets.
    pub parts: Vec<Part>,
    /// Images that have it as their backing file or parent.
    pub dependents: Dependents,
}

/// A file that is a part of a target.
#[derive(Debug)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// Its kind without regard to the target.
    pub file_kind: FileKind,
    /// Whether only the headers of the target name it; headers may be wrong or forged.
    pub is_claimed: bool,
}

/// Images that have a target as their direct backing file or parent.
#[derive(Debug)]
pub enum Dependents {
    /// The folder of the target was not searched.
    Unknown,
    /// All such images in its folder.
    Known(Vec<PathBuf>),
}

impl Target {
    /// Creates a target for a file that was discovered in a folder.
    pub fn discovered(path: &Path) -> Self {
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

    /// Creates a target that the user named, or that has a record in any case.
    pub fn named(path: &Path, kind: TargetKind) -> Self {
        Target { kind, named: true, is_file: false, ..Target::discovered(path) }
    }
}

/// Kind of a target, as the discovery determines it.
#[derive(Debug)]
pub enum TargetKind {
    /// A hive, an image or any other file that the user named, or a block device.
    File,
    /// A Windows folder of the host; contains the path of its SYSTEM hive.
    Windows(PathBuf),
    /// A target that cannot be accessed.
    Unreadable(Error),
}

/// Result of the discovery.
#[derive(Debug)]
pub enum Found {
    /// A target.
    Target(Box<Target>),
    /// A file without a record of its own.
    Unrecorded(Unrecorded),
}

/// Receiver of the results. It returns `false` to end the discovery.
pub type Receiver<'a> = dyn FnMut(Found) -> bool + 'a;

/// Discovery of targets; emits each target once.
pub struct Finder<'a> {
    receive: &'a mut Receiver<'a>,
    /// Files and folders that were seen: a few bytes for each target and each folder, nothing for other files.
    seen: HashSet<FileId>,
    done: bool,
    /// Number of files of which the first bytes were read.
    looked: &'a AtomicU64,
}

impl<'a> Finder<'a> {
    /// Creates a finder that hands its results to `receive`; `looked` counts the files of which the first bytes are
    /// read.
    pub fn new(receive: &'a mut Receiver<'a>, looked: &'a AtomicU64) -> Self {
        Finder { receive, seen: HashSet::new(), done: false, looked }
    }

    /// Returns whether the receiver has ended the discovery.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Finds the targets that `path` names. A path that does not exist and contains `*`, `?`, `[` or `{` is a pattern.
    pub fn named(&mut self, path: &Path) {
        match probe::metadata(path) {
            Ok(metadata) => self.target(path, &metadata),
            Err(error) if error.kind() == Kind::NotFound && pattern::is_pattern(path) => {
                if let Err(error) = self.matching(path) {
                    self.unreadable(path, error);
                }
            }
            Err(error) => self.unreadable(path, error),
        }
    }

    fn target(&mut self, path: &Path, metadata: &Metadata) {
        match metadata.kind {
            EntryKind::Folder => self.walk(path),
            EntryKind::File if libvirt::may_be(path) => self.domain(path, metadata),
            EntryKind::File => match first_of(path) {
                Some((first, about)) if !self.is_hive(path) => self.once(&first, about.id, true),
                _ => self.once(path, metadata.id, true),
            },
            EntryKind::Device => self.once(path, metadata.id, false),
            EntryKind::Other => {
                let what = format!("{} is not a file, folder or block device", path.display());
                self.unreadable(path, Error::new(Kind::Unsupported, Code::TargetKind, what));
            }
        }
    }

    /// Finds the disks of a libvirt domain. Other XML is treated as a named file.
    fn domain(&mut self, path: &Path, metadata: &Metadata) {
        let disks = match libvirt::disks(path) {
            Ok(Some(disks)) => disks,
            Ok(None) => return self.once(path, metadata.id, true),
            Err(error) => return self.unreadable(path, error),
        };
        let unusable = |what: String| Error::new(Kind::Unsupported, Code::TargetKind, what);
        if disks.is_empty() {
            self.unreadable(path, unusable(format!("the domain {} has no disk", path.display())));
        }
        for disk in disks {
            match disk {
                libvirt::Disk::Path(disk) => match probe::metadata(&disk) {
                    Ok(metadata) if matches!(metadata.kind, EntryKind::File | EntryKind::Device) => {
                        self.once(&disk, metadata.id, metadata.kind == EntryKind::File);
                    }
                    Ok(_) => self.unreadable(&disk, unusable(format!("{} is not a file", disk.display()))),
                    Err(error) => self.unreadable(&disk, error),
                },
                libvirt::Disk::Other(kind) => {
                    self.unreadable(
                        path,
                        unusable(format!("a disk of the domain has the type {kind}, which is not supported")),
                    );
                }
            }
        }
    }

    /// Returns whether a file is a hive: copies of hives are often numbered, and segments of an image are never hives.
    fn is_hive(&mut self, path: &Path) -> bool {
        self.looked.fetch_add(1, Ordering::Relaxed);
        matches!(probe::peek(path, 4, true), Ok(Some((_, head))) if head == b"regf")
    }

    fn once(&mut self, path: &Path, id: Option<FileId>, is_file: bool) {
        if id.is_none_or(|id| self.seen.insert(id)) {
            self.emit(Target { is_file, ..Target::named(path, TargetKind::File) });
        }
    }

    /// Emits a target that cannot be accessed.
    pub fn unreadable(&mut self, path: &Path, error: Error) {
        self.emit(Target::named(path, TargetKind::Unreadable(error)));
    }

    fn emit(&mut self, target: Target) {
        self.done |= !(self.receive)(Found::Target(Box::new(target)));
    }

    fn emit_unrecorded(&mut self, unrecorded: Unrecorded) {
        self.done |= !(self.receive)(Found::Unrecorded(unrecorded));
    }

    fn skip(&mut self, path: PathBuf, reason: Reason) {
        self.emit_unrecorded(Unrecorded::skipped(path, reason));
    }
}

/// Returns the first segment of a split image, if `path` is a later segment.
fn first_of(path: &Path) -> Option<(PathBuf, Metadata)> {
    let name = path.file_name()?;
    // Only the extension marks a segment, so the rest of the name may be any bytes.
    split::firsts(&name.to_string_lossy()).into_iter().find_map(|first| {
        let first = path.with_extension(Path::new(&first).extension()?);
        let metadata = probe::metadata(&first).ok().filter(|metadata| metadata.kind == EntryKind::File)?;
        Some((first, metadata))
    })
}
