//! The file with its log replayed in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::fields::index;
use hivewright_error::{Code, Error, Place, Result};
use hivewright_storage::Storage;
use hivewright_storage::span::{end_within, read_then_zeros};

/// A file with changes in memory.
pub(in super::super) struct Overlay {
    below: Arc<dyn Storage>,
    below_len: u64,
    /// Length of the file after the replay, in bytes.
    pub(super) len: u64,
    /// The changes by their start; they do not overlap.
    changes: BTreeMap<u64, Change>,
}

struct Change {
    end: u64,
    /// `None` for zeros, else one sector, which is never split: changes are aligned to sectors.
    bytes: Option<Box<[u8]>>,
}

impl Overlay {
    pub(super) fn new(below: Arc<dyn Storage>, below_len: u64) -> Overlay {
        Overlay { below, below_len, len: below_len, changes: BTreeMap::new() }
    }

    /// Sets the bytes of a range, and replaces earlier changes.
    pub(super) fn put(&mut self, start: u64, end: u64, bytes: Option<Box<[u8]>>) {
        if start >= end {
            return;
        }
        while let Some((&from, _)) = self.changes.range(..end).next_back().filter(|(_, change)| change.end > start) {
            let Some(change) = self.changes.remove(&from) else { break };
            if change.end > end {
                self.changes.insert(end, Change { end: change.end, bytes: None });
            }
            if from < start {
                self.changes.insert(from, Change { end: start, bytes: None });
            }
        }
        self.changes.insert(start, Change { end, bytes });
        self.len = self.len.max(end);
    }

    /// Returns whether a change overlaps the range from `start` to `end`.
    pub(super) fn touches(&self, start: u64, end: u64) -> bool {
        start < end && self.changes.range(..end).next_back().is_some_and(|(_, change)| change.end > start)
    }

    /// Returns the number of changed bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.changes.iter().map(|(start, change)| change.end - start).sum()
    }

    /// Writes the changes to `file`, the file below this overlay.
    pub(super) fn write_to(&self, file: &dyn Storage) -> Result<()> {
        const ZEROS: &[u8] = &[0; 1 << 16];
        if self.len > self.below_len {
            file.set_len(self.len)?;
        }
        for (&start, change) in &self.changes {
            if let Some(bytes) = &change.bytes {
                file.write_at(start, bytes)?;
                continue;
            }
            for at in (start..change.end).step_by(ZEROS.len()) {
                file.write_at(at, &ZEROS[..index(change.end - at).min(ZEROS.len())])?;
            }
        }
        Ok(())
    }
}

impl Storage for Overlay {
    fn len(&self) -> Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = end_within("the file", self.len, offset, buf.len())?;
        read_then_zeros(&*self.below, self.below_len, offset, buf)?;
        let first = self.changes.range(..=offset).next_back().map_or(offset, |(&from, _)| from);
        for (&from, change) in self.changes.range(first..end).filter(|(_, change)| change.end > offset) {
            let (start, stop) = (from.max(offset), change.end.min(end));
            let target = &mut buf[index(start - offset)..index(stop - offset)];
            match &change.bytes {
                Some(bytes) => target.copy_from_slice(&bytes[index(start - from)..index(stop - from)]),
                None => target.fill(0),
            }
        }
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::refused(Code::VhdxLog, "the log of the image must be replayed before a write"))
    }

    fn flush(&self) -> Result<()> {
        self.below.flush()
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        let changed = self.changes.range(..=offset).next_back().is_some_and(|(_, change)| change.end > offset);
        if changed || offset >= self.below_len { Vec::new() } else { self.below.locate(offset) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_storage::memory::Memory;

    #[test]
    fn later_changes_replace_earlier_ones() {
        let mut overlay = Overlay::new(Arc::new(Memory::new(vec![1; 6 * 4096])), 6 * 4096);
        let sector = |byte: u8| Some(vec![byte; 4096].into_boxed_slice());
        overlay.put(0, 5 * 4096, None);
        overlay.put(2 * 4096, 3 * 4096, sector(7));
        overlay.put(4096, 2 * 4096, sector(8));
        overlay.put(4096, 2 * 4096, sector(9));
        overlay.put(7 * 4096, 8 * 4096, sector(5));
        overlay.put(4096, 4096, None);
        let expected: Vec<u8> = [0, 9, 7, 0, 0, 1, 0, 5].into_iter().flat_map(|byte| [byte; 4096]).collect();
        for start in [0, 1, 4095, 4096, 9000, 8 * 4096 - 1] {
            let mut buf = vec![0xee; 8 * 4096 - start];
            overlay.read_at(start as u64, &mut buf).unwrap();
            assert!(buf == expected[start..], "from {start}");
        }
        assert_eq!(overlay.read_at(1, &mut vec![0; 8 * 4096]).unwrap_err().code(), "past-end");
        assert_eq!(overlay.write_at(0, &[1]).unwrap_err().code(), "vhdx-log");
    }
}
