//! Transaction logs (specification, "Format of transaction log files"): a copy of the base block's first sector,
//! then, from 512 on, either a dirty vector with its pages (old format) or log entries (new format).

pub mod dirty_vector;
pub mod entry;

use std::fmt;

use super::base_block::{BaseBlock, SIZE};

/// Sector size of logs, independent of that of the medium.
pub const SECTOR: usize = 512;

/// The two formats of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum LogFormat {
    /// Up to Windows 8: one dirty vector; file type 1, or 2 up to Windows 2000.
    Dirt,
    /// Windows 8.1, Server 2012 R2 and later: log entries; file type 6.
    Hvle,
}

/// The reason why a log, or an entry, is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The log is empty, has only zeros, or only a valid base block.
    LogEmpty,
    /// The base block is not one of a log.
    LogNotALog,
    /// The base block's checksum is wrong.
    LogChecksum,
    /// New format: the two sequence numbers of the base block differ.
    LogSequence,
    /// The log belongs to another hive.
    LogForeign,
    /// Another log was used, and this one is not needed.
    LogNotUsed,
    /// The hive is clean and needs no log.
    HiveClean,
    /// Hash-1, over references and pages, is wrong.
    EntryHash1,
    /// Hash-2, over the header, is wrong.
    EntryHash2,
    /// The size is not a multiple of 512, or exceeds the log.
    EntrySize,
    /// The hive bins data size is not a positive multiple of 4096 below 2 GiB.
    EntryLength,
    /// The sequence number is too high: entries are missing.
    EntryGap,
    /// A page is empty, unaligned, outside the hive bins or outside the entry; or there are no pages.
    EntryPageBounds,
    /// The entry is outdated: the primary file includes it, or the log was restarted.
    EntryStale,
    /// A valid entry after the one at which the replay stopped.
    EntryBehindStop,
    /// Old format: the log ends within its bitmap or its pages.
    DirtTorn,
    /// Old format: the last-written timestamp is not the primary file's.
    DirtTimestamp,
    /// Old format: the two sequence numbers of the base block differ.
    DirtSequence,
}

impl Rejection {
    /// Returns the stable code.
    pub fn code(self) -> &'static str {
        match self {
            Rejection::LogEmpty => "log-empty",
            Rejection::LogNotALog => "log-not-a-log",
            Rejection::LogChecksum => "log-checksum",
            Rejection::LogSequence => "log-sequence",
            Rejection::LogForeign => "log-foreign",
            Rejection::LogNotUsed => "log-not-used",
            Rejection::HiveClean => "hive-clean",
            Rejection::EntryHash1 => "entry-hash-1",
            Rejection::EntryHash2 => "entry-hash-2",
            Rejection::EntrySize => "entry-size",
            Rejection::EntryLength => "entry-length",
            Rejection::EntryGap => "entry-gap",
            Rejection::EntryPageBounds => "entry-page-bounds",
            Rejection::EntryStale => "entry-stale",
            Rejection::EntryBehindStop => "entry-behind-stop",
            Rejection::DirtTorn => "dirt-torn",
            Rejection::DirtTimestamp => "dirt-timestamp",
            Rejection::DirtSequence => "dirt-sequence",
        }
    }

    /// Returns a description, for users.
    pub fn what(self) -> &'static str {
        match self {
            Rejection::LogEmpty => "the log has nothing to apply",
            Rejection::LogNotALog => "not a transaction log of a known format",
            Rejection::LogChecksum => "the checksum of the log's base block is wrong",
            Rejection::LogSequence | Rejection::DirtSequence => "a write of the log was begun and not finished",
            Rejection::LogForeign => "the log belongs to another hive",
            Rejection::LogNotUsed => "another log is used, and this one is not needed with it",
            Rejection::HiveClean => "the hive is clean and needs no log",
            Rejection::EntryHash1 => "the hash of the entry's pages is wrong",
            Rejection::EntryHash2 => "the hash of the entry's header is wrong",
            Rejection::EntrySize => "the entry's size is invalid",
            Rejection::EntryLength => "the entry's hive bins data size is invalid",
            Rejection::EntryGap => "entries are missing before this one",
            Rejection::EntryPageBounds => "a page of the entry has an invalid offset or size",
            Rejection::EntryStale => "the entry is outdated",
            Rejection::EntryBehindStop => "the entry is after the end of the replay",
            Rejection::DirtTorn => "the log ends before its pages do",
            Rejection::DirtTimestamp => "the log does not belong to the primary file's last write",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Rejection {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// A page that replaces bytes of the primary file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'l> {
    /// Offset from the start of the first hive bin; a multiple of 512.
    pub offset: u32,
    /// The bytes; a positive multiple of 512, within the hive bins.
    pub data: &'l [u8],
}

/// Returns the copy of the base block at the start of a log, and its format. Does not compare sequence numbers.
pub fn parse_head(log: &[u8]) -> Result<(LogFormat, BaseBlock), Rejection> {
    let Ok(base) = BaseBlock::parse(log) else {
        let head = &log[..log.len().min(SIZE)];
        return Err(if head.iter().all(|&b| b == 0) { Rejection::LogEmpty } else { Rejection::LogNotALog });
    };
    if !base.checksum_holds() {
        return Err(Rejection::LogChecksum);
    }
    let format = match base.file_type.get() {
        1 | 2 => LogFormat::Dirt,
        6 => LogFormat::Hvle,
        _ => return Err(Rejection::LogNotALog),
    };
    let version = (base.major_version.get(), base.minor_version.get());
    // A clustering factor above 1 moves the second part; Windows writes 1 (specification, "Sector size").
    let known = base.file_format.get() == 1
        && base.clustering_factor.get() == 1
        && version.0 == 1
        && (3..=6).contains(&version.1);
    if known && is_length(base.length.get()) { Ok((format, base)) } else { Err(Rejection::LogNotALog) }
}

/// Returns whether the length of hive bins is valid.
fn is_length(length: u32) -> bool {
    length != 0 && length.is_multiple_of(4096) && i32::try_from(length).is_ok()
}
