//! The full check of a hive as Windows will load it: with its logs replayed, if it needs them and they can be applied.

use super::Reading;
use crate::locate::logs::LogFiles;
use hivewright_error::{Code, Result};
use hivewright_hive::check::{self, Report, Rule};
use hivewright_hive::recover;
use hivewright_hive::regf::BASE_BLOCK_SIZE;
use hivewright_hive::regf::base_block::BaseBlock;
use hivewright_hive::{Hive, Opened};

/// The result of a check.
#[derive(Debug)]
pub struct CheckedHive {
    /// The report on the hive with its logs replayed and on the base block of its primary file; on the primary file
    /// alone if no log is applied.
    pub report: Report,
    /// The report on the primary file alone, if logs were replayed for `report`.
    pub primary_alone: Option<Report>,
}

impl Reading {
    /// Runs the full structural check on the hive as Windows will load it.
    ///
    /// # Errors
    /// `base-signature` and similar codes for a file that is not a hive; I/O errors.
    pub fn check(&self) -> Result<CheckedHive> {
        let whole = self.hive.whole()?;
        let alone = check::check(whole);
        let replayed = match Hive::open(whole) {
            Ok(Opened::Clean(_)) => None,
            Ok(Opened::Dirty(_)) => self.replayed(whole)?,
            Err(_) if BaseBlock::parse(whole).is_ok_and(|base| !base.is_dirty()) => None,
            Err(_) => self.replayed(whole)?,
        };
        let Some(replayed) = replayed else {
            if let Some(error) = no_hive(whole, &alone) {
                return Err(self.no_hive(error));
            }
            return Ok(CheckedHive { report: alone, primary_alone: None });
        };
        let mut report = check::check(&replayed);
        let is_new = |code: Rule| report.counts.of(code) == 0;
        let of_base = |offset| offset < u64::from(BASE_BLOCK_SIZE);
        let state: Vec<_> = alone.findings.iter().filter(|f| of_base(f.offset) && is_new(f.rule)).cloned().collect();
        state.into_iter().for_each(|finding| report.include(finding));
        Ok(CheckedHive { report, primary_alone: Some(alone) })
    }

    /// Returns the hive with its logs replayed, even if that is damaged; `None` if no log can be applied.
    fn replayed(&self, whole: &[u8]) -> Result<Option<Vec<u8>>> {
        let files = LogFiles::read(&self.hive, &self.logs)?;
        match recover::replay(whole, &files.logs()) {
            Ok(recovered) => recovered.hive.bytes().to_vec().map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// Returns the error for a file that cannot be read as a hive at all: another kind of file, or a transaction log.
fn no_hive(whole: &[u8], report: &Report) -> Option<hivewright_error::Error> {
    if report.facts.bins > 0 {
        return None;
    }
    let base = match BaseBlock::parse(whole) {
        Ok(base) => base,
        Err(error) => return Some(error),
    };
    base.validate(whole.len() as u64).err().filter(|error| error.code() == Code::FileType)
}
