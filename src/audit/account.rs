//! Account of the regular files below the targets: each has a record, is a part of another file, or is skipped.
//!
//! Only counts are kept in memory. Files without a record of their own stream to the caller, one [`Unrecorded`] each.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use hivewright_disk::container::Known;
use hivewright_storage::exact;

/// A regular file without a record of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrecorded {
    /// The file, or a folder below a Windows folder, whose files are not classified one by one.
    pub path: PathBuf,
    /// The reason.
    pub why: Why,
}

/// Reason why a file has no record of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is a part of this file: an extent, a segment or a log.
    PartOf(PathBuf),
    /// An audit does not read it.
    Skipped(Reason),
    /// It is a folder of Windows itself, and belongs to the Windows folder that has a record.
    OfWindows(PathBuf),
}

/// Reason why a file is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Neither its name nor its first bytes are those of a hive or an image.
    NoImage,
    /// It is empty.
    Empty,
    /// It has this known, unsupported type, and its name is not that of an image or a hive.
    Known(Known),
    /// It is the transaction log of a hive that is not in its folder.
    Log,
    /// It is a hive other than SYSTEM.
    OtherHive,
    /// It is another link to a file that was found before.
    SameFile,
}

impl Reason {
    /// Returns its stable name, in kebab case.
    pub fn code(self) -> &'static str {
        match self {
            Reason::NoImage => "no-image",
            Reason::Empty => "empty",
            Reason::Known(known) => known.code.as_str(),
            Reason::Log => "transaction-log",
            Reason::OtherHive => "other-hive",
            Reason::SameFile => "same-file",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoImage => f.write_str("no hive or disk image by its name or first bytes"),
            Reason::Empty => f.write_str("empty"),
            Reason::Known(known) => {
                write!(f, "{}, without the name of a hive or a disk image", known.what)
            }
            Reason::Log => f.write_str("a transaction log without its hive"),
            Reason::OtherHive => f.write_str("a hive other than SYSTEM"),
            Reason::SameFile => f.write_str("another link to a file that was already found"),
        }
    }
}

impl Unrecorded {
    /// Creates a skipped file.
    pub fn skipped(path: PathBuf, reason: Reason) -> Self {
        Unrecorded { path, why: Why::Skipped(reason) }
    }

    /// Creates a part of `whole`.
    pub fn part(path: PathBuf, whole: &Path) -> Self {
        Unrecorded { path, why: Why::PartOf(whole.to_owned()) }
    }

    /// Returns one line of JSON without a line feed: an object with `file`, `is` (`part`, `skipped`, `folder`),
    /// `part_of`, `reason` and `what`; `file_hex` and `part_of_hex` as in [`exact`].
    pub fn line(&self) -> String {
        let (is, part_of, reason) = match &self.why {
            Why::PartOf(whole) => ("part", Some(whole), None),
            Why::Skipped(reason) => ("skipped", None, Some(reason)),
            Why::OfWindows(whole) => ("folder", Some(whole), None),
        };
        serde_json::json!({
            "file": self.path.to_string_lossy(),
            "file_hex": exact::hex(&self.path),
            "is": is,
            "part_of": part_of.map(|whole| whole.to_string_lossy()),
            "part_of_hex": part_of.and_then(exact::hex),
            "reason": reason.map(|reason| reason.code()),
            "what": reason.map(ToString::to_string),
        })
        .to_string()
    }
}

impl fmt::Display for Unrecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Why::PartOf(whole) => write!(f, "{path}: part of {}", whole.display()),
            Why::Skipped(reason) => write!(f, "{path}: skipped: {reason}"),
            Why::OfWindows(whole) => {
                write!(f, "{path}: folder of the Windows folder {}", whole.display())
            }
        }
    }
}

/// Numbers of files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Files with a record of their own.
    pub recorded: u64,
    /// Parts of other files.
    pub parts: u64,
    /// Skipped files.
    pub skipped: u64,
    /// Folders of Windows itself, whose files are not counted.
    pub windows_folders: u64,
    /// Skipped files by [`Reason::code`].
    pub reasons: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Returns the number of all files.
    pub fn files(&self) -> u64 {
        self.recorded + self.parts + self.skipped
    }
}

/// Receiver of the files without a record of their own.
pub type Listener = Box<dyn Fn(&Unrecorded) + Send + Sync>;

/// Account that the threads of an audit share.
pub struct Account {
    counts: Mutex<Counts>,
    listener: Listener,
}

impl Account {
    /// Creates an account that also hands each file without a record to `listener`.
    pub fn new(listener: Listener) -> Self {
        Account { counts: Mutex::default(), listener }
    }

    /// Counts files with a record of their own.
    pub fn recorded(&self, count: u64) {
        self.lock().recorded += count;
    }

    /// Counts a file without a record, and hands it to the listener.
    pub fn unrecorded(&self, unrecorded: &Unrecorded) {
        let mut counts = self.lock();
        match unrecorded.why {
            Why::PartOf(_) => counts.parts += 1,
            Why::Skipped(reason) => {
                counts.skipped += 1;
                *counts.reasons.entry(reason.code()).or_default() += 1;
            }
            Why::OfWindows(_) => counts.windows_folders += 1,
        }
        drop(counts);
        (self.listener)(unrecorded);
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
