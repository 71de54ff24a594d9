//! Reads a hive in place: with a memory map, with read calls, or page by page in a disk. Never writes.

mod check;
mod hash;
mod witness_input;

pub(crate) use witness_input::WitnessInput;

use std::path::Path;
use std::sync::Arc;

pub use check::CheckedHive;

use crate::locate::logs::LogFiles;
use crate::locate::{Choice, HiveHandle, Image, LogChoice, no_hive_no_disk};
use crate::undo;
use crate::windows;
use hivewright_error::{Error, Result};
use hivewright_hive::recover::{self, LogReport};
use hivewright_hive::regf::base_block::BaseBlock;
use hivewright_hive::{Hive, Opened};

/// A hive that is being read.
#[derive(Debug)]
pub struct Reading {
    hive: Arc<HiveHandle>,
    logs: LogChoice,
}

/// The transaction logs of a hive.
#[derive(Debug, serde::Serialize)]
pub struct Logs {
    /// Whether the hive is dirty, so that it needs them.
    pub needed: bool,
    /// Whether they can be applied.
    pub usable: bool,
    /// The reason if they are needed and cannot be applied.
    pub why: Option<String>,
    /// The reports on each log.
    pub logs: Vec<LogReport>,
}

impl Reading {
    /// Finds the hive at `path`, on the host or in a disk.
    ///
    /// # Errors
    /// As [`Image::open`], [`Image::system_hive`] and [`LogChoice::expect`]; `not-a-disk` if `choice` selects something
    /// outside a disk.
    pub fn choose(path: &Path, choice: &Choice, logs: LogChoice) -> Result<Self> {
        logs.expect()?;
        Self::of(&Image::open_as(path, &choice.image)?, choice, logs)
    }

    /// As [`Reading::choose`], of an image that is open.
    ///
    /// # Errors
    /// As there.
    pub fn of(image: &Image, choice: &Choice, logs: LogChoice) -> Result<Self> {
        Ok(Self::new(image.mapped_system_hive(choice)?, logs))
    }

    /// Reads a hive that was found before.
    pub fn new(hive: impl Into<Arc<HiveHandle>>, logs: LogChoice) -> Self {
        Reading { hive: hive.into(), logs }
    }

    /// Returns the hive.
    pub fn hive(&self) -> &HiveHandle {
        &self.hive
    }

    /// Returns the installation of the hive, which includes the hive as opened here.
    pub(crate) fn installation(&self) -> crate::Installation {
        crate::Installation::of(self.hive.clone())
    }

    /// Returns the length of the primary file in bytes, and `clean` or `dirty`.
    ///
    /// # Errors
    /// It is not a hive, or cannot be read.
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

    /// Returns the error for a file that is not a hive.
    pub(crate) fn no_hive(&self, error: Error) -> Error {
        if self.hive.disk().is_some() { error } else { no_hive_no_disk(error, self.hive.host_file()) }
    }

    /// Returns the kind of the hive by its primary file: `SYSTEM`, `SOFTWARE`.
    pub fn kind(&self) -> Option<&'static str> {
        windows::kind(Hive::open(self.hive.whole().ok()?).ok()?.primary_alone())
    }

    /// Returns the interrupted writes to any file that is read, each as a fragment of a sentence: the read data may be
    /// a mixture of old and new.
    pub fn unfinished(&self) -> Vec<String> {
        undo::unfinished(self.hive.image(), self.hive.host_file())
    }

    /// Returns the report on the logs and on a replay of them; `None` for a clean hive, unless `always`.
    ///
    /// # Errors
    /// I/O errors of the logs.
    pub fn logs(&self, always: bool) -> Result<Option<Logs>> {
        let whole = self.hive.whole()?;
        let (clean, readable) = match Hive::open(whole) {
            Ok(Opened::Clean(_)) => (true, true),
            Ok(Opened::Dirty(_)) => (false, true),
            // Damage of fields other than the sequence numbers does not concern the logs.
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
            match recover::recover_without_base_block(whole, &logs) {
                Ok(recovered) => (true, true, None, recovered.report.logs),
                Err(failed) => (true, false, Some(failed.error.what().to_owned()), failed.report.logs),
            }
        };
        files.name(&mut logs);
        Ok(Some(Logs { needed, usable, why, logs }))
    }
}
