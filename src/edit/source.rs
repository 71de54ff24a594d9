//! The hive to edit, in memory: clean, or recovered from its logs.

use std::path::Path;

use super::Request;
use crate::locate::logs::LogFiles;
use crate::locate::{HiveHandle, no_hive_no_disk, of_dirty};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::recover::{Recovered, Recovery, Unrecovered, highest_sequence, recover_without_base_block};
use hivewright_hive::regf::base_block::{self, BaseBlock};
use hivewright_hive::{DirtyHive, Hive, Opened, PatchSet};
use hivewright_storage::Storage;

/// State of the hive before the edit.
#[derive(Debug)]
pub enum Origin {
    /// Clean.
    Clean,
    /// Dirty, with its logs replayed before the edit.
    Recovered(Box<Recovery>),
    /// Dirty, and used without its logs at the user's request; contains the error of the replay.
    LogsDiscarded(Error),
}

pub(super) struct Source {
    pub(super) hive: Hive<Vec<u8>>,
    pub(super) origin: Origin,
    /// Patches from the file to the recovered hive.
    pub(super) recovery: PatchSet,
    pub(super) highest_sequence: Option<u32>,
}

/// Reads a hive, and its logs if it is dirty. `is_edit`: the request does more than recover it.
pub(super) fn open_source(hive: &HiveHandle, is_edit: bool, request: &Request) -> Result<Source> {
    let path = hive.host_file();
    let file = hive.file()?;
    let len = file.len()?;
    let mut head = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(base_block::SIZE)];
    file.read_at(0, &mut head)?;
    let logs = || LogFiles::read(hive, &request.logs);
    match validate_base_block(&head, len) {
        Ok(()) => match Hive::open(hive.to_vec()?)? {
            Opened::Clean(hive) => Ok(Source::new(hive, Origin::Clean, None)),
            Opened::Dirty(dirty) => recovered(path, dirty, &logs()?, is_edit, request),
        },
        Err(error) => {
            let files = logs()?;
            if files.is_empty() && hive.disk().is_none() {
                return Err(no_hive_no_disk(error, path));
            }
            rebuilt(hive.to_vec()?, &files, error)
        }
    }
}

/// Restores an invalid base block from a log. `error` describes the invalid base block.
fn rebuilt(bytes: Vec<u8>, files: &LogFiles, error: Error) -> Result<Source> {
    let highest = highest_sequence(&files.logs());
    let mut recovered =
        recover_without_base_block(bytes, &files.logs()).map_err(|failed| match failed.error.code() {
            Code::ReplayBreaks => failed.error,
            _ => error,
        })?;
    files.name(&mut recovered.report.logs);
    materialized(recovered, highest)
}

fn recovered(
    path: &Path,
    dirty: DirtyHive<Vec<u8>>,
    files: &LogFiles,
    is_edit: bool,
    request: &Request,
) -> Result<Source> {
    let highest = highest_sequence(&files.logs());
    match dirty.recover(&files.logs()) {
        Ok(mut recovered) => {
            files.name(&mut recovered.report.logs);
            materialized(recovered, highest)
        }
        Err(failed) => {
            let Unrecovered { hive, error, .. } = *failed;
            if !request.discard_logs {
                return Err(dirty_without_logs(path, &error, hive.primary_alone(), is_edit));
            }
            Ok(Source::new(hive.without_logs(), Origin::LogsDiscarded(error), highest))
        }
    }
}

impl Source {
    fn new(hive: Hive<Vec<u8>>, origin: Origin, highest_sequence: Option<u32>) -> Self {
        let len = hive.bytes().len() as u64;
        let recovery = PatchSet { old_len: len, new_len: len, patches: Vec::new() };
        Source { hive, origin, recovery, highest_sequence }
    }
}

fn materialized(recovered: Recovered<'_, Vec<u8>>, highest_sequence: Option<u32>) -> Result<Source> {
    let recovery = recovered.patches()?;
    let report = Box::new(recovered.report);
    let mut bytes = recovered.hive.into_bytes().into_base();
    recovery.apply(&mut bytes)?;
    let hive = match Hive::open(bytes)? {
        Opened::Clean(hive) => hive,
        Opened::Dirty(_) => {
            return Err(Error::new(Kind::Corrupt, Code::Proof, "the recovered hive is dirty; nothing was written")
                .advise("this is a bug: please report it with the hive and its logs"));
        }
    };
    Ok(Source { hive, origin: Origin::Recovered(report), recovery, highest_sequence })
}

/// Validates the base block in `head`, of a file of `len` bytes.
fn validate_base_block(head: &[u8], len: u64) -> Result<()> {
    BaseBlock::parse(head)?.validate(len)
}

fn dirty_without_logs(path: &Path, why: &Error, hive: &Hive<Vec<u8>>, is_edit: bool) -> Error {
    if why.code() == Code::ReplayBreaks {
        let advice = why.advice().unwrap_or_default();
        let discard = "; --discard-logs edits the hive without its logs and discards their contents";
        let discard = if is_edit { discard } else { "" };
        let error = Error::refused(Code::ReplayBreaks, format!("{}: {}", path.display(), why.what()));
        let error = error.advise(format!("{advice}{discard}"));
        return why.trail().iter().fold(error, |error, place| error.at(place.space, place.offset));
    }
    let base = hive.base_block();
    // Without an edit, there is no reason to discard the logs.
    let advice = match (base.primary_sequence == base.secondary_sequence, is_edit) {
        (true, true) => {
            "if another tool wrote a wrong checksum, --discard-logs corrects it; \
             if a write was torn, put .LOG, .LOG1 and .LOG2 beside the hive or name them with --log"
        }
        (false, true) => {
            "put .LOG, .LOG1 and .LOG2 beside the hive or name them with --log; --discard-logs discards their contents"
        }
        (_, false) => "put .LOG, .LOG1 and .LOG2 beside the hive or name them with --log",
    };
    Error::refused(of_dirty(why).code, format!("{}: {}", path.display(), why.what())).advise(advice)
}
