//! The transaction logs of a hive: found, read, named. A clean hive's are not even opened.

use std::path::PathBuf;

use super::{HiveHandle, Paged};
use hivewright_disk::files::FileInVolume;
use hivewright_disk::host_folder::{FilesOf, HostFiles};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::recover::{Log, LogReport};
use hivewright_hive::regf::base_block;
use hivewright_hive::{Patch, PatchSet, Step};
use hivewright_storage::exact;
use hivewright_storage::folder::{EntryKind, kind_of};
use hivewright_storage::{FileStorage, RealHost, Storage};

/// Endings of the names of a hive's transaction logs: one until Windows XP, two since Windows Vista.
pub(crate) const ENDINGS: [&str; 3] = ["LOG", "LOG1", "LOG2"];

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
                    Code::NotAFile,
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

    /// The files of the host that are the logs of a hive of the host.
    pub(crate) fn paths(&self, hive: &HiveHandle) -> Result<Vec<PathBuf>> {
        match self {
            LogChoice::Beside => Ok(hive.logs()?.into_iter().map(|(path, _)| path).collect()),
            LogChoice::Files(paths) => Ok(paths.clone()),
        }
    }
}

/// The transaction logs of a hive, read.
#[derive(Debug)]
pub struct LogFiles(Vec<LogFile>);

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    name: String,
    bytes: Vec<u8>,
}

impl LogFiles {
    /// Reads the logs of `hive`. Of what does not begin as a log no more than its first bytes count, whatever its name.
    ///
    /// # Errors
    /// A log that was named and is not there, or one that cannot be read; `too-large`.
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

    /// The logs, for a replay.
    pub fn logs(&self) -> Vec<Log<'_>> {
        self.0.iter().map(|log| Log { name: &log.name, bytes: &log.bytes }).collect()
    }

    /// Gives the reports on [`LogFiles::logs`], which are in their order, the whole names of those.
    pub(crate) fn name(&self, reports: &mut [LogReport]) {
        for (report, log) in reports.iter_mut().zip(&self.0) {
            report.name_hex = exact::hex(log.path.file_name().unwrap_or_default());
        }
    }

    /// Whether none begins as a log does.
    pub fn hold_nothing(&self) -> bool {
        !self.0.iter().any(|log| is_log(&log.bytes))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The most bytes of a log.
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

/// Zeroes the base block of a log, and says so; `None` where there is nothing to zero.
pub(crate) fn emptied(log: &mut [u8]) -> Option<PatchSet> {
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
