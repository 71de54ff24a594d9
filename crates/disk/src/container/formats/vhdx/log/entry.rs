//! Log entries, and the sequence of valid ones ([MS-VHDX] 2.3.1, 2.3.2).

use std::collections::HashMap;

use super::super::crc::Crc;
use super::super::fields::{Guid, index};
use super::broken;
use crate::little_endian::{u32_at, u64_at};
use hivewright_error::Result;
use hivewright_storage::Storage;

/// Bytes of a log sector; an entry has a whole number of sectors.
pub(super) const SECTOR: usize = 4096;
/// Bytes of an entry's header.
const HEADER: usize = 64;
const DESCRIPTOR: usize = 32;
/// Limit of checksum work, in multiples of the log's size. Valid entries do not overlap.
const SUMS: usize = 4;

/// The log, a ring buffer.
pub(super) struct Ring {
    bytes: Vec<u8>,
    guid: Guid,
    /// Offset of the log in the file.
    at: u64,
}

/// An entry with a valid checksum.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its first sector.
    pub(super) at: usize,
    /// Number of sectors.
    pub(super) sectors: usize,
    /// The first sector of the oldest valid entry when this one was written.
    tail: usize,
    pub(super) sequence: u64,
    pub(super) descriptors: usize,
    /// Bytes of the file that were on the medium then.
    pub(super) flushed: u64,
    /// File size that was sufficient for all data then.
    pub(super) last: u64,
}

impl Entry {
    /// Returns the number of sectors before the data.
    pub(super) fn descriptor_sectors(&self) -> usize {
        (HEADER + self.descriptors * DESCRIPTOR).div_ceil(SECTOR)
    }
}

impl Ring {
    pub(super) fn read(file: &dyn Storage, at: u64, len: u64, guid: Guid) -> Result<Ring> {
        // At most MOST_BYTES, which the file was checked to have.
        let mut bytes = vec![0; index(len)];
        file.read_at(at, &mut bytes)?;
        Ok(Ring { bytes, guid, at })
    }

    pub(super) fn sectors(&self) -> usize {
        self.bytes.len() / SECTOR
    }

    pub(super) fn sector(&self, number: usize) -> &[u8] {
        let start = number % self.sectors() * SECTOR;
        &self.bytes[start..start + SECTOR]
    }

    /// Returns descriptor `i` of an entry. Descriptors do not cross sectors.
    pub(super) fn descriptor(&self, entry: &Entry, i: usize) -> &[u8] {
        let start = HEADER + i * DESCRIPTOR;
        &self.sector(entry.at + start / SECTOR)[start % SECTOR..][..DESCRIPTOR]
    }

    /// Returns the entry at this sector, if there is a complete one of this log.
    fn entry(&self, at: usize, sums_left: &mut usize) -> Result<Option<Entry>> {
        let head = self.sector(at);
        let (len, tail) = (index(u32_at(head, 8).into()), index(u32_at(head, 12).into()));
        let (sequence, descriptors) = (u64_at(head, 16), index(u32_at(head, 24).into()));
        let sectors = len / SECTOR;
        let is_ours = head.starts_with(b"loge") && Guid::at(head, 32) == self.guid && sequence > 0;
        let fits = len % SECTOR == 0 && tail % SECTOR == 0 && sectors <= self.sectors() && tail < self.bytes.len();
        if !is_ours || !fits || descriptors > len / DESCRIPTOR {
            return Ok(None);
        }
        let (flushed, last) = (u64_at(head, 48), u64_at(head, 56));
        let entry = Entry { at, sectors, tail: tail / SECTOR, sequence, descriptors, flushed, last };
        if entry.descriptor_sectors() > sectors {
            return Ok(None);
        }
        let Some(left) = sums_left.checked_sub(sectors) else {
            return Err(broken("entries of the log overlap", self.at + (at * SECTOR) as u64));
        };
        *sums_left = left;
        let crc = Crc::new().with(&head[..4]).with(&[0; 4]).with(&head[8..]);
        let crc = (at + 1..at + sectors).fold(crc, |crc, number| crc.with(self.sector(number)));
        Ok((crc.sum() == u32_at(head, 4)).then_some(entry))
    }

    /// Returns the active sequence, oldest entry first: of all sequences of entries with consecutive numbers that reach
    /// back to the tail of their last entry, the one with the highest number.
    pub(super) fn active(&self) -> Result<Vec<Entry>> {
        let mut sums_left = self.sectors() * SUMS;
        let mut seen: HashMap<usize, Option<Entry>> = HashMap::new();
        let mut best: Vec<Entry> = Vec::new();
        let mut tail = 0;
        while tail < self.sectors() {
            let mut run: Vec<Entry> = Vec::new();
            let mut head = tail;
            loop {
                let at = head % self.sectors();
                let entry = match seen.get(&at) {
                    Some(entry) => entry.clone(),
                    None => {
                        let entry = self.entry(at, &mut sums_left)?;
                        seen.insert(at, entry.clone());
                        entry
                    }
                };
                let follows = |entry: &Entry| {
                    run.last().is_none_or(|last| last.sequence.checked_add(1) == Some(entry.sequence))
                        && head + entry.sectors - tail <= self.sectors()
                };
                let Some(entry) = entry.filter(follows) else { break };
                head += entry.sectors;
                run.push(entry);
            }
            let oldest = run.last().and_then(|newest| run.iter().position(|entry| entry.at == newest.tail));
            if let (Some(oldest), Some(newest)) = (oldest, run.last())
                && best.last().is_none_or(|best| best.sequence < newest.sequence)
            {
                best = run.split_off(oldest);
            }
            // A sequence that begins later inside this one would end with the same entry and be shorter.
            tail = head.max(tail + 1);
        }
        Ok(best)
    }
}
