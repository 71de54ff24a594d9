//! The transaction logs of a hive: found, mapped, named. A clean hive's are not even opened.

use std::path::{Path, PathBuf};

use super::target::logs_beside;
use hivewright_error::{Error, Kind, Result};
use hivewright_hive::recover::{Log, LogReport};
use hivewright_hive::regf::base_block;
use hivewright_hive::{Patch, PatchSet, Step};
use hivewright_storage::exact;
use hivewright_storage::folder::{EntryKind, kind_of};
use hivewright_storage::{FileStorage, Mapped, Storage};

/// Where the transaction logs are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogChoice {
    /// Beside the hive, under its name with `.LOG`, `.LOG1` or `.LOG2`.
    #[default]
    Beside,
    /// These files.
    Files(Vec<PathBuf>),
}

impl LogChoice {
    /// Refuses where a log that was named is not there or cannot be read, whether or not the hive turns out to need it.
    ///
    /// # Errors
    /// Those of the host; `not-a-file`.
    pub fn expect(&self) -> Result<()> {
        let LogChoice::Files(paths) = self else { return Ok(()) };
        let expect = |path: &PathBuf| {
            if kind_of(path)? != EntryKind::File {
                return Err(Error::new(
                    Kind::Unsupported,
                    "not-a-file",
                    format!("{} is not a regular file", path.display()),
                ));
            }
            let file = FileStorage::open(path)?;
            let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
            file.read_at(0, &mut vec![0; len.min(base_block::SIZE)])
        };
        let advise = |error: Error| error.advise("leave --log out to have the logs beside the hive used");
        paths.iter().try_for_each(expect).map_err(advise)
    }

    pub(in crate::session) fn paths(&self, hive: &Path) -> Result<Vec<PathBuf>> {
        match self {
            LogChoice::Beside => logs_beside(hive),
            LogChoice::Files(paths) => Ok(paths.clone()),
        }
    }
}

/// Transaction logs, mapped or read.
#[derive(Debug)]
pub struct LogFiles(Vec<LogFile>);

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    name: String,
    bytes: LogBytes,
}

#[derive(Debug)]
enum LogBytes {
    Mapped(Mapped),
    Memory(Vec<u8>),
}

impl std::ops::Deref for LogBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            LogBytes::Mapped(map) => map,
            LogBytes::Memory(bytes) => bytes,
        }
    }
}

impl LogFiles {
    /// Opens the logs of the hive at `hive`.
    ///
    /// # Errors
    /// A log that was named and is not there, or one that cannot be read.
    pub fn open(hive: &Path, choice: &LogChoice) -> Result<Self> {
        let open = |path: PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(LogFile { bytes: LogBytes::Mapped(Mapped::open(&path)?), path, name })
        };
        choice.paths(hive)?.into_iter().map(open).collect::<Result<_>>().map(LogFiles)
    }

    /// As [`LogFiles::open`], but read instead of mapped; at most `most` bytes of each. Of what does not begin as a log no
    /// more than its first bytes count, whatever its name.
    ///
    /// # Errors
    /// As [`LogFiles::open`]; `too-large`.
    pub fn read(hive: &Path, choice: &LogChoice, most: u64) -> Result<Self> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let read = |path: PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let file = FileStorage::open(&path)?;
            let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
            let mut bytes = vec![0; len.min(base_block::SIZE)];
            file.read_at(0, &mut bytes)?;
            if bytes.starts_with(&base_block::SIGNATURE) {
                bytes = file.read_whole(most)?;
            }
            Ok(LogFile { path, name, bytes: LogBytes::Memory(bytes) })
        };
        choice.paths(hive)?.into_iter().map(read).collect::<Result<_>>().map(LogFiles)
    }

    /// Logs that were read already, each with its name.
    pub(in crate::session) fn in_memory(logs: Vec<(String, Vec<u8>)>) -> Self {
        let log =
            |(name, bytes): (String, _)| LogFile { path: PathBuf::from(&name), name, bytes: LogBytes::Memory(bytes) };
        LogFiles(logs.into_iter().map(log).collect())
    }

    /// The logs, for a replay.
    pub fn logs(&self) -> Vec<Log<'_>> {
        self.0.iter().map(|log| Log { name: &log.name, bytes: &log.bytes }).collect()
    }

    /// Gives the reports on [`LogFiles::logs`], which are in their order, the whole names of those.
    pub(in crate::session) fn name(&self, reports: &mut [LogReport]) {
        for (report, log) in reports.iter_mut().zip(&self.0) {
            report.name_hex = exact::hex(log.path.file_name().unwrap_or_default());
        }
    }

    /// Whether none begins as a log does.
    pub fn hold_nothing(&self) -> bool {
        !self.0.iter().any(|log| log.bytes.starts_with(&base_block::SIGNATURE))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Zeroes the base block of a log, and says so; `None` where there is nothing to zero.
pub(in crate::session) fn emptied(log: &mut [u8]) -> Option<PatchSet> {
    let len = log.len() as u64;
    let head = log.first_chunk_mut::<{ base_block::SIZE }>().filter(|head| **head != [0; base_block::SIZE])?;
    let patch = Patch {
        offset: 0,
        old: head.to_vec(),
        new: vec![0; base_block::SIZE],
        what: "base block of the log".to_owned(),
        step: Step::Link,
    };
    head.fill(0);
    Some(PatchSet { old_len: len, new_len: len, patches: vec![patch] })
}
