//! Recovery: the transaction logs of a dirty hive are replayed in memory, as Windows does when it loads the hive.
//!
//! The rules are those of the specification ("Format of transaction log files", "Multiple transaction log files").
//! Damage in a log ends the replay at that point. It is not an error: Windows did not complete the entries after it.
//! A hive to which no log can be applied is returned unchanged. Only the offsets of the pages are copied: the recovered
//! hive is an [`Overlay`]. Time is linear in the size of the logs, and memory is a fraction of it. Only the check of
//! the result by [`DirtyHive::recover`] needs the hive as one slice.

mod judge;
mod new_format;
mod old_format;
mod patches;
mod report;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod writer;

pub use report::{EntryReport, LogReport, Recovery, Stop};

use super::{DirtyHive, Hive, HiveBytes, Overlay, PatchSet};
use crate::regf::base_block::{BaseBlock, SIZE};
use crate::regf::bin::{self, BinHeader};
use crate::regf::log::{LogFormat, Page, Rejection, SECTOR, entry, parse_head};
use crate::regf::{BASE_BLOCK_SIZE, CellOffset};
use hivewright_error::{Code, Error, Result};
use zerocopy::IntoBytes;

/// A transaction log file.
#[derive(Clone, Copy, Debug)]
pub struct Log<'l> {
    /// The name, for the report. In the old format, it also distinguishes `.LOG1` and `.LOG2`.
    pub name: &'l str,
    /// The whole file.
    pub bytes: &'l [u8],
}

/// A hive after the replay.
#[derive(Debug)]
pub struct Recovered<'l, B> {
    /// The clean hive: the pages of the logs over the bytes of the primary file.
    pub hive: Hive<Overlay<'l, B>>,
    /// The report of the replay.
    pub report: Recovery,
}

/// A hive that could not be recovered, unchanged.
#[derive(Debug)]
pub struct Unrecovered<H> {
    /// The hive.
    pub hive: H,
    /// The reason.
    pub error: Error,
    /// The report of the logs.
    pub report: Recovery,
}

impl<B: HiveBytes> DirtyHive<B> {
    /// Replays `logs`, given in any order. An invalid base block is replaced by that of a log.
    ///
    /// # Errors
    /// `no-log`, `no-usable-log`; `replay-breaks`: the check finds damage that the logs cause. The error contains the
    /// hive.
    pub fn recover<'l>(
        self,
        logs: &[Log<'l>],
    ) -> std::result::Result<Recovered<'l, B>, Box<Unrecovered<DirtyHive<B>>>> {
        let base = self.0.base;
        recover(self.0.bytes, Some(base), logs).map_err(|failed| {
            let Unrecovered { hive: bytes, error, report } = *failed;
            Box::new(Unrecovered { hive: DirtyHive(Hive { bytes, base }), error, report })
        })
    }
}

/// Recovers a hive file with an unreadable base block, which [`Hive::open`](crate::Hive::open) refuses. The base
/// block is taken from the log with the latest entries, and only that log is applied (specification, "New format", last
/// paragraph). A valid base block is used.
///
/// # Errors
/// As [`DirtyHive::recover`]. The error contains the bytes.
pub fn recover_without_base_block<'l, B: HiveBytes>(
    bytes: B,
    logs: &[Log<'l>],
) -> std::result::Result<Recovered<'l, B>, Box<Unrecovered<B>>> {
    let head = head_of(&bytes);
    recover(bytes, head, logs)
}

/// Replays `logs` as [`recover_without_base_block`] does, without a check of the result; Windows does not check it
/// either. For callers that check the result themselves, by [`Recovered::breach`] or otherwise.
///
/// # Errors
/// `no-log`, `no-usable-log`; the result has no root. The error contains the bytes.
pub fn replay<'l, B: HiveBytes>(
    bytes: B,
    logs: &[Log<'l>],
) -> std::result::Result<Recovered<'l, B>, Box<Unrecovered<B>>> {
    let head = head_of(&bytes);
    replay_over(bytes, head, logs)
}

fn head_of<B: HiveBytes>(bytes: &B) -> Option<BaseBlock> {
    bytes.read(0, SIZE).ok().and_then(|head| BaseBlock::parse(&head).ok())
}

/// Reports the logs of a clean hive. None of them is applied.
pub fn list(logs: &[Log<'_>]) -> Vec<LogReport> {
    let describe = |log: &Log<'_>| {
        let mut report = LogReport::new(log);
        let why = match parse_head(log.bytes) {
            Ok((format, base)) => {
                report.head(format, &base);
                Rejection::HiveClean
            }
            Err(flaw) => flaw,
        };
        report.reject(log, why);
        report
    };
    logs.iter().map(describe).collect()
}

/// Returns the highest sequence number in any log: of base blocks and of all entries, stale ones included. Numbers are
/// compared by signed difference, since they wrap. A writer that keeps the logs uses a higher number.
pub fn highest_sequence(logs: &[Log<'_>]) -> Option<u32> {
    let heads = logs.iter().filter_map(|log| parse_head(log.bytes).ok()).flat_map(|(_, base)| sequences(&base));
    let entries = logs.iter().flat_map(|log| entry::scan(log.bytes, SECTOR, false));
    heads.chain(entries.map(|e| e.header.sequence.get())).reduce(|a, b| if is_after(b, a) { b } else { a })
}

impl<B: HiveBytes> Recovered<'_, B> {
    /// Returns the damage that the logs cause, by the full check; see [`DirtyHive::recover`]. `whole` is the bytes of
    /// the hive.
    ///
    /// # Errors
    /// The primary file cannot be read.
    pub fn breach(&self, whole: &[u8]) -> Result<Option<Error>> {
        judge::breach(&self.hive, whole, &self.report)
    }

    /// Returns the hive without the replay.
    pub fn into_unrecovered(self, error: Error) -> Box<Unrecovered<B>> {
        Box::new(Unrecovered { hive: self.hive.bytes.into_base(), error, report: self.report })
    }

    /// Returns the patches from the primary file to this state: the pages first, the base block last. Until the base
    /// block is written, the file remains dirty, and a replay of the same logs has the same result.
    pub fn patches(&self) -> Result<PatchSet> {
        patches::of(self.hive.bytes())
    }
}

/// The bytes that a replay writes over the primary file.
struct Plan<'l> {
    base: BaseBlock,
    /// In the order of writing: later pages replace earlier ones.
    pages: Vec<Page<'l>>,
}

fn recover<'l, B: HiveBytes>(
    bytes: B,
    head: Option<BaseBlock>,
    logs: &[Log<'l>],
) -> std::result::Result<Recovered<'l, B>, Box<Unrecovered<B>>> {
    let recovered = replay_over(bytes, head, logs)?;
    match recovered.hive.bytes.to_vec().and_then(|whole| recovered.breach(&whole)) {
        Ok(None) => Ok(recovered),
        Ok(Some(error)) | Err(error) => Err(recovered.into_unrecovered(error)),
    }
}

fn replay_over<'l, B: HiveBytes>(
    bytes: B,
    head: Option<BaseBlock>,
    logs: &[Log<'l>],
) -> std::result::Result<Recovered<'l, B>, Box<Unrecovered<B>>> {
    let mut report = Recovery::new(head.as_ref(), logs);
    if head.as_ref().is_some_and(|head| !head.is_dirty()) {
        let error = Error::refused(
            Code::HiveClean,
            "the hive is clean: it contains the contents of its logs, or they were discarded",
        );
        return Err(Box::new(Unrecovered { hive: bytes, error, report }));
    }
    let plan = match plan(&bytes, head, logs, &mut report) {
        Ok(plan) => plan,
        Err(error) => return Err(Box::new(Unrecovered { hive: bytes, error, report })),
    };
    let base = plan.base;
    let mut overlay = Overlay::new(bytes, base.end_of_bins());
    for page in plan.pages {
        overlay.put(CellOffset(page.offset).in_file(), page.data);
    }
    overlay.put(0, base.as_bytes().to_vec());
    let hive = Hive { bytes: overlay, base };
    match examine(&hive) {
        Ok(()) => Ok(Recovered { hive, report }),
        Err(error) => Err(Box::new(Unrecovered { hive: hive.bytes.into_base(), error, report })),
    }
}

/// Returns the reason why the hive needs its logs.
fn cause(head: Option<&BaseBlock>) -> &'static str {
    match head {
        Some(head) if !head.checksum_holds() && head.primary_sequence == head.secondary_sequence => {
            "the checksum of the base block is wrong, although its sequence numbers agree"
        }
        Some(head) if !head.checksum_holds() => "the hive is dirty, and the checksum of its base block is wrong",
        _ => "the hive is dirty",
    }
}

fn plan<'l, B: HiveBytes>(
    bytes: &B,
    head: Option<BaseBlock>,
    logs: &[Log<'l>],
    report: &mut Recovery,
) -> Result<Plan<'l>> {
    if logs.is_empty() {
        let what = format!("{}, and it has no transaction log", cause(head.as_ref()));
        return Err(Error::refused(Code::NoLog, what)
            .advise("look for the files of the same name that end in .LOG, .LOG1 and .LOG2"));
    }
    let primary = Primary { head: head.filter(|head| head.checksum_holds()), first_bin: first_bin_timestamp(bytes) };
    let mut found = Vec::new();
    for (index, log) in logs.iter().enumerate() {
        match parse_head(log.bytes) {
            Ok((format, base)) => {
                report.logs[index].head(format, &base);
                match primary.refuse(format, &base) {
                    None => found.push(Candidate { index, log: *log, format, base }),
                    Some(flaw) => report.logs[index].reject(log, flaw),
                }
            }
            Err(flaw) => report.logs[index].reject(log, flaw),
        }
    }
    let (new, old): (Vec<_>, Vec<_>) = found.into_iter().partition(|log| log.format == LogFormat::Hvle);
    // If both apply, the old-format log is older than an upgrade to Windows 8.1.
    let plan = new_format::plan(&primary, new, report).or_else(|| old_format::plan(&primary, &old, report));
    report.complete(logs, plan.as_ref());
    plan.ok_or_else(|| {
        Error::refused(Code::NoUsableLog, format!("no transaction log can be applied: {}", report.reasons()))
            .advise("look for other copies of the logs, taken at the same time as the hive")
    })
}

/// The state of the primary file.
struct Primary {
    /// Its base block, if that is valid.
    head: Option<BaseBlock>,
    /// The timestamp of its first bin.
    first_bin: Option<u64>,
}

impl Primary {
    /// Returns the reason why a log does not belong to this file, according to its base block.
    fn refuse(&self, format: LogFormat, log: &BaseBlock) -> Option<Rejection> {
        let stamp = log.last_written.get();
        if self.head.as_ref().is_some_and(|head| is_foreign(head, log)) {
            return Some(Rejection::LogForeign);
        }
        let finished = log.primary_sequence == log.secondary_sequence;
        match format {
            LogFormat::Hvle if !finished => Some(Rejection::LogSequence),
            // Writers of this format do not update the timestamps; 0 is not compared.
            LogFormat::Hvle => {
                let other = self.first_bin.unwrap_or(0);
                (self.head.is_none() && stamp != 0 && other != 0 && stamp != other).then_some(Rejection::LogForeign)
            }
            LogFormat::Dirt if !finished => Some(Rejection::DirtSequence),
            LogFormat::Dirt => {
                let fits = match &self.head {
                    Some(head) => head.last_written.get() == stamp,
                    // The specification requires the time of the first bin (Old format, note 3), and lets Windows
                    // repair mismatches. A write puts its time into the log and the base block before the bins. If it
                    // tears the base block, the first bin still has the time of the previous write, and the log
                    // completes the torn one. Other readers ignore the time; but a log that is older than the bins
                    // would revert a later write. The check of the result decides about logs that are not older.
                    None => self.first_bin.is_some_and(|bin| bin <= stamp),
                };
                (!fits).then_some(Rejection::DirtTimestamp)
            }
        }
    }
}

/// A log whose base block is valid and matches the hive.
struct Candidate<'l> {
    index: usize,
    log: Log<'l>,
    format: LogFormat,
    base: BaseBlock,
}

/// Returns whether a log's base block, a copy of a hive's, belongs to another hive. The resource manager's id decides,
/// if there is one; otherwise the file names must be equal.
fn is_foreign(hive: &BaseBlock, log: &BaseBlock) -> bool {
    if hive.minor_version != log.minor_version || hive.root_cell != log.root_cell {
        return true;
    }
    let id = |block: &BaseBlock| {
        let mut id = [0; 16];
        id.copy_from_slice(&block.reserved[..16]);
        (block.has_rmtm() && id != [0; 16]).then_some(id)
    };
    match (id(hive), id(log)) {
        (Some(a), Some(b)) => a != b,
        _ => !hive.file_name.eq_ignore_ascii_case(&log.file_name),
    }
}

fn first_bin_timestamp<B: HiveBytes>(bytes: &B) -> Option<u64> {
    let raw = bytes.read(u64::from(BASE_BLOCK_SIZE), bin::HEADER_SIZE as usize).ok()?;
    BinHeader::parse(&raw, 0, i32::MAX as u32).ok().map(|bin| bin.timestamp.get())
}

/// Checks that the result is a hive. [`judge`] determines whether it is as consistent as before.
fn examine<B: HiveBytes>(hive: &Hive<Overlay<'_, B>>) -> Result<()> {
    if let Some(hole) = hive.bytes.first_hole() {
        return Err(Error::corrupt(Code::RecoveredHole, "the hive grows beyond the pages in its logs", hole)
            .advise("a log is missing or damaged: look for other copies"));
    }
    hive.base.validate(hive.bytes.len())?;
    hive.root().map(drop)
}

fn sequences(base: &BaseBlock) -> [u32; 2] {
    [base.primary_sequence.get(), base.secondary_sequence.get()]
}

/// Returns the distance from `from` to `number`; negative if before. The numbers wrap.
fn distance(number: u32, from: u32) -> i32 {
    number.wrapping_sub(from).cast_signed()
}

fn is_after(number: u32, other: u32) -> bool {
    distance(number, other) > 0
}
