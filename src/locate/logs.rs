//! The transaction logs of a hive. Those of a clean hive are not opened.

use std::path::PathBuf;

use super::{HiveHandle, Paged};
use hivewright_disk::files::FileInVolume;
use hivewright_disk::host_folder::{FilesOf, HostFiles};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::recover::{Log, LogReport};
use hivewright_hive::regf::base_block;
use hivewright_hive::{Patch, PatchSet, Step};
use hivewright_storage::exact;
use hivewright_storage::probe::{EntryKind, kind_of};
use hivewright_storage::{FileStorage, RealHost, Storage};

/// Extensions of transaction logs: one until Windows XP, two since Windows Vista.
pub(crate) const ENDINGS: [&str; 3] = ["LOG", "LOG1", "LOG2"];

/// Selects the transaction logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogChoice {
    /// Beside the hive, under its name with `.LOG`, `.LOG1` or `.LOG2`.
    #[default]
    Beside,
    /// These files.
    Files(Vec<PathBuf>),
}

impl LogChoice {
    /// Refuses if a named log does not exist or cannot be read, whether or not the hive needs it.
    ///
    /// # Errors
    /// I/O errors; `not-a-file`.
    pub fn expect(&self) -> Result<()> {
        let LogChoice::Files(paths) = self else { return Ok(()) };
        let expect = |path: &PathBuf| {
            if kind_of(path)? != EntryKind::File {
                return Err(Error::new(
                    Kind::Unsupported,
                    Code::NotAFile,
                    format!("{} is not a regular file", path.display()),
                ));
            }
            let file = FileStorage::open(path)?;
            let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
            file.read_at(0, &mut vec![0; len.min(base_block::SIZE)])
        };
        let advise = |error: Error| error.advise("omit --log to use the logs beside the hive");
        paths.iter().try_for_each(expect).map_err(advise)
    }

    /// Returns the log files on the host of a hive of the host.
    pub(crate) fn paths(&self, hive: &HiveHandle) -> Result<Vec<PathBuf>> {
        match self {
            LogChoice::Beside => Ok(hive.logs()?.into_iter().map(|(path, _)| path).collect()),
            LogChoice::Files(paths) => Ok(paths.clone()),
        }
    }
}

/// The transaction logs of a hive, read into memory.
#[derive(Debug)]
pub struct LogFiles(Vec<LogFile>);

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    name: String,
    bytes: Vec<u8>,
}

impl LogFiles {
    /// Reads the logs of `hive`. Of a file that does not begin as a log, only the first bytes are kept.
    ///
    /// # Errors
    /// A named log does not exist; a log cannot be read; `too-large`.
    pub fn read(hive: &HiveHandle, choice: &LogChoice) -> Result<Self> {
        let files = match choice {
            LogChoice::Beside => hive.logs()?,
            LogChoice::Files(paths) => {
                let host = FilesOf::new(RealHost);
                paths.iter().map(|path| Ok((path.clone(), host.file(path)?))).collect::<Result<_>>()?
            }
        };
        let most = if *choice == LogChoice::Beside { hive.most() } else { MOST_BYTES };
        let logs = files.into_iter().map(|(path, file)| LogFile::read(path, file, most));
        logs.collect::<Result<_>>().map(LogFiles)
    }

    /// Returns the logs for a replay.
    pub fn logs(&self) -> Vec<Log<'_>> {
        self.0.iter().map(|log| Log { name: &log.name, bytes: &log.bytes }).collect()
    }

    /// Sets the full names in the reports on [`LogFiles::logs`], which are in the same order.
    pub(crate) fn name(&self, reports: &mut [LogReport]) {
        for (report, log) in reports.iter_mut().zip(&self.0) {
            report.name_hex = exact::hex(log.path.file_name().unwrap_or_default());
        }
    }

    /// Returns whether none of the files begins as a log.
    pub fn hold_nothing(&self) -> bool {
        !self.0.iter().any(|log| is_log(&log.bytes))
    }

    /// Returns whether there is no log.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Bytes of a log at most.
const MOST_BYTES: u64 = 3 << 30;

fn is_log(head: &[u8]) -> bool {
    head.starts_with(&base_block::SIGNATURE)
}

impl LogFile {
    fn read(path: PathBuf, file: FileInVolume, most: u64) -> Result<Self> {
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(base_block::SIZE)];
        file.read_at(0, &mut bytes)?;
        if is_log(&bytes) {
            bytes = Paged::new(file).whole(most)?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(LogFile { path, name, bytes })
    }
}

/// Zeroes the base block of a log and returns the patches; `None` if it is zero already.
pub(crate) fn emptied(log: &mut [u8]) -> Option<PatchSet> {
    let len = log.len() as u64;
    let head = log.first_chunk_mut::<{ base_block::SIZE }>().filter(|head| **head != [0; base_block::SIZE])?;
    let patch = Patch {
        offset: 0,
        old: head.to_vec(),
        new: vec![0; base_block::SIZE],
        what: "base block of the log".into(),
        step: Step::Link,
    };
    head.fill(0);
    Some(PatchSet { old_len: len, new_len: len, patches: vec![patch] })
}
