//! The report of a replay.

use super::{Log, Plan, sequences};
use crate::regf::base_block::BaseBlock;
use crate::regf::log::entry::{self, Entry};
use crate::regf::log::{LogFormat, Rejection, SECTOR};

/// The report of a replay.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Recovery {
    /// The format of the applied logs.
    pub format: Option<LogFormat>,
    /// The logs, in the order given.
    pub logs: Vec<LogReport>,
    /// Sequence numbers of the first and the last applied entry; in the old format, those of the log.
    pub applied: Option<[u32; 2]>,
    /// Number of pages written, of 512 bytes each in the old format; a page that is written twice counts twice.
    pub pages: u64,
    /// Bytes of those pages.
    pub bytes: u64,
    /// Primary and secondary sequence number of the primary file.
    pub sequence_before: Option<[u32; 2]>,
    /// Both sequence numbers after the replay.
    pub sequence_after: Option<u32>,
    /// Size of all hive bins in bytes, from the base block of the file.
    pub length_before: Option<u32>,
    /// Size of all hive bins in bytes after the replay.
    pub length_after: Option<u32>,
    /// Whether the base block was invalid and was replaced by that of a log.
    pub base_block_rebuilt: bool,
}

/// One log.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LogReport {
    /// Its name.
    pub name: String,
    /// The bytes of the name in hexadecimal, if it is not UTF-8.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub name_hex: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// Whether its base block is valid.
    pub base_block_valid: bool,
    /// Its format, if the base block is valid.
    pub format: Option<LogFormat>,
    /// Its primary and secondary sequence number, if the base block is valid.
    pub sequence: Option<[u32; 2]>,
    /// The reason why no part of it was applied.
    pub left: Option<Rejection>,
    /// The end of its replay, if it is before the end of the log.
    pub stopped: Option<Stop>,
    /// New format: the entries, by offset, stale ones included.
    pub entries: Vec<EntryReport>,
}

/// The end of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Stop {
    /// Bytes from the start of the log.
    pub offset: u64,
    /// The reason.
    pub why: Rejection,
}

/// One log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct EntryReport {
    /// Its sequence number.
    pub sequence: u32,
    /// Bytes from the start of the log.
    pub offset: u64,
    /// Bytes of the entry.
    pub size: u32,
    /// The number of pages in its header.
    pub pages: u32,
    /// The reason why it was not applied; `None` if it was.
    pub left: Option<Rejection>,
}

impl Recovery {
    pub(super) fn new(head: Option<&BaseBlock>, logs: &[Log<'_>]) -> Self {
        Recovery {
            format: None,
            logs: logs.iter().map(LogReport::new).collect(),
            applied: None,
            pages: 0,
            bytes: 0,
            sequence_before: head.map(sequences),
            sequence_after: None,
            length_before: head.map(|head| head.length.get()),
            length_after: None,
            base_block_rebuilt: false,
        }
    }

    /// Adds the actions of the plan. A log of the unused format is rejected.
    pub(super) fn complete(&mut self, logs: &[Log<'_>], plan: Option<&Plan<'_>>) {
        if let Some(plan) = plan {
            self.bytes = plan.pages.iter().map(|page| page.data.len() as u64).sum();
            let sectors = self.bytes / SECTOR as u64;
            self.pages = if self.format == Some(LogFormat::Dirt) { sectors } else { plan.pages.len() as u64 };
            self.sequence_after = Some(plan.base.primary_sequence.get());
            self.length_after = Some(plan.base.length.get());
            for (report, log) in self.logs.iter_mut().zip(logs) {
                let untouched = report.left.is_none() && report.stopped.is_none() && report.entries.is_empty();
                if untouched && report.format != self.format {
                    report.reject(log, Rejection::LogNotUsed);
                }
            }
        }
    }

    /// Returns the logs of which an entry was applied.
    pub fn applied_logs(&self) -> impl Iterator<Item = &LogReport> {
        let took_part = |log: &&LogReport| {
            log.left.is_none() && (log.entries.is_empty() || log.entries.iter().any(|entry| entry.left.is_none()))
        };
        self.logs.iter().filter(took_part)
    }

    /// Returns each log and the reason why it was not applied, in one line.
    pub(super) fn reasons(&self) -> String {
        let reason = |log: &LogReport| {
            let why = log.left.or(log.stopped.map(|stop| stop.why));
            format!("{}: {}", log.name, why.map_or("nothing to apply", Rejection::what))
        };
        self.logs.iter().map(reason).collect::<Vec<_>>().join("; ")
    }
}

impl LogReport {
    pub(super) fn new(log: &Log<'_>) -> Self {
        LogReport {
            name: log.name.to_owned(),
            name_hex: None,
            size: log.bytes.len() as u64,
            base_block_valid: false,
            format: None,
            sequence: None,
            left: None,
            stopped: None,
            entries: Vec::new(),
        }
    }

    pub(super) fn head(&mut self, format: LogFormat, base: &BaseBlock) {
        self.base_block_valid = true;
        self.format = Some(format);
        self.sequence = Some(sequences(base));
    }

    /// Records that no part of the log is applied.
    pub(super) fn reject(&mut self, log: &Log<'_>, why: Rejection) {
        self.left = Some(why);
        if self.format != Some(LogFormat::Dirt) {
            self.entries.extend(entry::scan(log.bytes, SECTOR, true).map(|e| EntryReport::of(&e, Some(why))));
        }
    }
}

impl EntryReport {
    pub(super) fn of(entry: &Entry<'_>, left: Option<Rejection>) -> Self {
        EntryReport {
            sequence: entry.header.sequence.get(),
            offset: entry.at as u64,
            size: entry.header.size.get(),
            pages: entry.header.page_count.get(),
            left,
        }
    }
}
