//! Replay of the new format: entries of one or both logs, by sequence number (specification, "Log entries", notes 4
//! to 11, and "Multiple transaction log files", new format).

use std::cmp::Reverse;

use super::{Candidate, EntryReport, LogReport, Plan, Primary, Recovery, Stop, distance};
use crate::regf::base_block::BaseBlock;
use crate::regf::log::entry::{self, Entry};
use crate::regf::log::{LogFormat, Page, Rejection, SECTOR};

/// Bits of the base block's flags (at 144) that an entry sets.
const CARRIED_FLAGS: u32 = 1;
/// Range of the flags in [`BaseBlock::reserved`].
const FLAGS: std::ops::Range<usize> = 144 - 112..148 - 112;

/// Replays `logs` as far as possible; `None` if no entry applies.
pub(super) fn plan<'l>(primary: &Primary, logs: Vec<Candidate<'l>>, report: &mut Recovery) -> Option<Plan<'l>> {
    let mut replay = Replay { pages: Vec::new(), first: None, last: None };
    let base = match primary.head {
        Some(head) => {
            let start = head.secondary_sequence.get();
            in_turn(logs, start, &mut replay, report);
            head
        }
        None => latest_alone(logs, &mut replay, report)?,
    };
    let last = replay.last?;
    report.format = Some(LogFormat::Hvle);
    report.applied = Some([replay.first?, last.header.sequence.get()]);
    report.base_block_rebuilt = primary.head.is_none();
    Some(Plan { base: finished(base, &last), pages: replay.pages })
}

struct Replay<'l> {
    pages: Vec<Page<'l>>,
    first: Option<u32>,
    last: Option<Entry<'l>>,
}

/// Applies the earlier log first. The first applied log may begin at any number from `start`, the file's secondary
/// sequence number, on: earlier entries have already reached the file. Each next log must continue where the last one
/// ended.
fn in_turn<'l>(mut logs: Vec<Candidate<'l>>, start: u32, replay: &mut Replay<'l>, report: &mut Recovery) {
    logs.sort_by_key(|log| distance(log.base.primary_sequence.get(), start));
    let mut begun = false;
    for log in logs {
        let number = log.base.primary_sequence.get();
        let ahead = match &replay.last {
            Some(last) => distance(number, last.header.sequence.get().wrapping_add(1)),
            // After an applied log without entries there is a gap that no other log closes.
            None if begun => 1,
            None => distance(number, start).min(0),
        };
        let report = &mut report.logs[log.index];
        match ahead {
            0 => {
                begun = true;
                replay.log(&log, report);
            }
            ..0 => report.reject(&log.log, Rejection::EntryStale),
            1.. => report.reject(&log.log, Rejection::EntryGap),
        }
    }
}

/// Replays for an invalid base block: the log with the latest entries has the base block, and no other log is applied.
fn latest_alone<'l>(mut logs: Vec<Candidate<'l>>, replay: &mut Replay<'l>, report: &mut Recovery) -> Option<BaseBlock> {
    let anchor = logs.first()?.base.primary_sequence.get();
    logs.sort_by_key(|log| Reverse(distance(log.base.primary_sequence.get(), anchor)));
    let mut base = None;
    for log in logs {
        let report = &mut report.logs[log.index];
        if base.is_some() {
            report.reject(&log.log, Rejection::LogNotUsed);
            continue;
        }
        replay.log(&log, report);
        base = replay.last.is_some().then_some(log.base);
    }
    base
}

impl<'l> Replay<'l> {
    /// Applies the entries of one log, up to the first damaged one.
    fn log(&mut self, log: &Candidate<'l>, report: &mut LogReport) {
        let bytes = log.log.bytes;
        let mut expected = log.base.primary_sequence.get();
        let mut at = SECTOR;
        let stop = loop {
            let Some(entry) = Entry::parse(bytes, at) else { break None };
            match entry.and_then(|entry| applicable(&entry, expected).map(|()| entry)) {
                Ok(entry) => {
                    self.apply(&entry);
                    report.entries.push(EntryReport::of(&entry, None));
                    at = entry.end();
                    expected = expected.wrapping_add(1);
                }
                Err(flaw) => break Some(flaw),
            }
        };
        report.stopped = stop.map(|why| Stop { offset: at as u64, why });
        if at == SECTOR {
            report.left = Some(stop.unwrap_or(Rejection::LogEmpty));
        }
        report.entries.extend(entry::scan(bytes, at, true).map(|entry| {
            let left = match stop {
                Some(flaw) if entry.at == at => flaw,
                _ if distance(entry.header.sequence.get(), expected) < 0 => Rejection::EntryStale,
                _ => Rejection::EntryBehindStop,
            };
            EntryReport::of(&entry, Some(left))
        }));
    }

    fn apply(&mut self, entry: &Entry<'l>) {
        self.pages.extend(entry.pages());
        self.first.get_or_insert(entry.header.sequence.get());
        self.last = Some(*entry);
    }
}

/// Checks whether an entry may be applied: the number first, since a stale entry is not damage.
fn applicable(entry: &Entry<'_>, expected: u32) -> Result<(), Rejection> {
    match distance(entry.header.sequence.get(), expected) {
        0 => entry.check(),
        ..0 => Err(Rejection::EntryStale),
        1.. => Err(Rejection::EntryGap),
    }
}

/// Returns the base block as Windows writes it. Both sequence numbers are that of the last entry plus 1; the length and
/// bit 0 of the flags are those of the last entry. Only the checksum changes too, and the file type of a log becomes 0.
fn finished(mut base: BaseBlock, last: &Entry<'_>) -> BaseBlock {
    let sequence = last.header.sequence.get().wrapping_add(1);
    base.primary_sequence = sequence.into();
    base.secondary_sequence = sequence.into();
    base.length = last.header.length;
    base.file_type = 0.into();
    let flags = &mut base.reserved[FLAGS];
    let carried = last.header.flags.get() & CARRIED_FLAGS;
    let old = u32::from_le_bytes([flags[0], flags[1], flags[2], flags[3]]);
    flags.copy_from_slice(&(old & !CARRIED_FLAGS | carried).to_le_bytes());
    base.checksum = base.computed_checksum().into();
    base
}
