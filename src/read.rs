//! Reading a hive where it lies: mapped, or by calls, or inside of a disk, page by page; nothing written.

mod hash;
mod judged;
mod witness_input;

pub(crate) use witness_input::WitnessInput;

use std::path::Path;

pub use judged::Judged;

use crate::locate::logs::LogFiles;
use crate::locate::{Choice, HiveHandle, Image, LogChoice, no_hive_no_disk};
use crate::undo;
use crate::windows;
use hivewright_error::{Error, Result};
use hivewright_hive::recover::{self, LogReport};
use hivewright_hive::regf::base_block::BaseBlock;
use hivewright_hive::{Hive, Opened};

/// A hive that is read.
#[derive(Debug)]
pub struct Reading {
    hive: HiveHandle,
    logs: LogChoice,
}

/// The transaction logs of a hive.
#[derive(Debug, serde::Serialize)]
pub struct Logs {
    /// Whether the hive is dirty, so that it needs them.
    pub needed: bool,
    /// Whether they can be applied.
    pub usable: bool,
    /// Why not, if they are needed.
    pub why: Option<String>,
    /// Each of them.
    pub logs: Vec<LogReport>,
}

impl Reading {
    /// Finds the hive that `path` stands for, on the host or inside of the disk that it is.
    ///
    /// # Errors
    /// As [`Image::open`], [`Image::system_hive`] and [`LogChoice::expect`]; `not-a-disk` for a choice where there is none.
    pub fn choose(path: &Path, choice: &Choice, logs: LogChoice) -> Result<Self> {
        logs.expect()?;
        let hive = Image::open_as(path, &choice.image)?.mapped_system_hive(choice)?;
        Ok(Self::new(hive, logs))
    }

    /// Reads a hive that was found.
    pub fn new(hive: HiveHandle, logs: LogChoice) -> Self {
        Reading { hive, logs }
    }

    /// The hive.
    pub fn hive(&self) -> &HiveHandle {
        &self.hive
    }

    /// Bytes of the primary file, and whether it is `clean` or `dirty`.
    ///
    /// # Errors
    /// It is no hive, or cannot be read.
    pub fn size_and_state(&self) -> Result<(u64, &'static str)> {
        let whole = self.hive.whole()?;
        let state = match Hive::open(whole).map_err(|error| self.no_hive(error))? {
            Opened::Clean(_) => "clean",
            Opened::Dirty(_) => "dirty",
        };
        Ok((whole.len() as u64, state))
    }

    pub(crate) fn log_files(&self) -> Result<LogFiles> {
        LogFiles::read(&self.hive, &self.logs)
    }

    /// The error of a file that is no hive.
    pub(crate) fn no_hive(&self, error: Error) -> Error {
        if self.hive.disk().is_some() { error } else { no_hive_no_disk(error, self.hive.host_file()) }
    }

    /// Which hive it is, as far as its primary file shows: `SYSTEM`, `SOFTWARE`.
    pub fn kind(&self) -> Option<&'static str> {
        windows::kind(Hive::open(self.hive.whole().ok()?).ok()?.primary_alone())
    }

    /// What writes that did not end have against what is read, a sentence fragment each: then it may be neither the old
    /// state nor the new one. Asked of every file that is read of a disk.
    pub fn unfinished(&self) -> Vec<String> {
        undo::unfinished(self.hive.image(), self.hive.host_file())
    }

    /// What the logs hold and what a replay would make of them; none for a clean hive, unless `always`.
    ///
    /// # Errors
    /// Logs that cannot be read.
    pub fn logs(&self, always: bool) -> Result<Option<Logs>> {
        let whole = self.hive.whole()?;
        let (clean, readable) = match Hive::open(whole) {
            Ok(Opened::Clean(_)) => (true, true),
            Ok(Opened::Dirty(_)) => (false, true),
            // Damage elsewhere than in what tells clean from dirty is no matter of the logs.
            Err(_) => (BaseBlock::parse(whole).is_ok_and(|base| !base.is_dirty()), false),
        };
        if clean && !always {
            return Ok(None);
        }
        let files = self.log_files()?;
        if !readable && !always && files.is_empty() {
            return Ok(None);
        }
        let logs = files.logs();
        let (needed, usable, why, mut logs) = if clean {
            (false, false, None, recover::list(&logs))
        } else {
            match recover::recover_headless(whole, &logs) {
                Ok(recovered) => (true, true, None, recovered.report.logs),
                Err(failed) => (true, false, Some(failed.error.what().to_owned()), failed.report.logs),
            }
        };
        files.name(&mut logs);
        Ok(Some(Logs { needed, usable, why, logs }))
    }
}
