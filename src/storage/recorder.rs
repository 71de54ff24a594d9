//! Keeps in memory what is written: the bytes below stay as they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Storage;
use crate::error::{Error, Kind, Place, Result};

/// Bytes that are kept together.
const PAGE: u64 = 4096;
/// Pages that one recorder holds at most: what an edit of a hive writes is far less.
const MAX_PAGES: usize = 1 << 18;

/// Counts flushes, for recorders that record one after the other what belongs together.
#[derive(Debug, Default)]
pub struct Clock(Mutex<(u32, bool)>);

impl Clock {
    /// The epoch of a write that is made now.
    fn stamp(&self) -> u32 {
        let mut now = self.now();
        now.1 = true;
        now.0
    }

    /// A flush: a new epoch, if anything was written in this one.
    fn flush(&self) {
        let mut now = self.now();
        if std::mem::take(&mut now.1) {
            now.0 += 1;
        }
    }

    fn reset(&self) {
        *self.now() = (0, false);
    }

    fn now(&self) -> MutexGuard<'_, (u32, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A storage that reads as if it had been written to. See [`Recorder::take`].
pub struct Recorder {
    below: Arc<dyn Storage>,
    below_len: u64,
    clock: Arc<Clock>,
    state: Mutex<State>,
}

type Pages = BTreeMap<u64, Box<[u8]>>;

struct State {
    len: u64,
    /// The length at the last [`Recorder::take`].
    settled_len: u64,
    /// Pages that differ from the storage below.
    now: Pages,
    /// As they were at the last `take`, those that were written to since.
    settled: Pages,
    /// Start, end and epoch of every write since the last `take`, in order.
    log: Vec<(u64, u64, u32)>,
}

/// Bytes that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where.
    pub offset: u64,
    /// What was there before; shorter than `new` where the storage ended.
    pub old: Vec<u8>,
    /// What was written.
    pub new: Vec<u8>,
    /// How often a storage of the same clock was flushed between the last [`Recorder::take`] and this.
    pub epoch: u32,
}

impl Recorder {
    /// Records what is written to `below`.
    ///
    /// # Errors
    /// Its length cannot be read.
    pub fn new(below: Arc<dyn Storage>) -> Result<Self> {
        Self::timed(below, Arc::default())
    }

    /// As [`Recorder::new`], with a clock that others share.
    ///
    /// # Errors
    /// As [`Recorder::new`].
    pub fn timed(below: Arc<dyn Storage>, clock: Arc<Clock>) -> Result<Self> {
        let len = below.len()?;
        let (now, settled, log) = (Pages::new(), Pages::new(), Vec::new());
        let state = Mutex::new(State { len, settled_len: len, now, settled, log });
        Ok(Recorder { below, below_len: len, clock, state })
    }

    /// Bytes of the storage below.
    pub fn len_below(&self) -> u64 {
        self.below_len
    }

    /// What has changed since the last call, sorted by epoch, then offset: stretches that do not overlap and differ in
    /// their first and last byte; where the storage grew, all of the new bytes. And the length before. The clock begins
    /// anew: recorders that share one are asked together.
    ///
    /// # Errors
    /// The storage below cannot be read.
    pub fn take(&self) -> Result<(u64, Vec<Written>)> {
        let mut state = self.state();
        let (len_before, mut written) = (state.settled_len, Vec::new());
        let epochs = epochs(&state.log);
        let mut spans: Vec<(u64, u64)> = state.log.iter().map(|&(start, end, _)| (start, end)).collect();
        spans.push((len_before, state.len));
        for (start, end) in merged(spans) {
            let (mut old, mut new) = (Vec::new(), Vec::new());
            for page in pages(start, end) {
                let (from, to) = (start.max(page * PAGE), end.min((page + 1) * PAGE));
                let within = index(from - page * PAGE)..index(to - page * PAGE);
                let before = match state.settled.get(&page).or(state.now.get(&page)) {
                    Some(bytes) => bytes.clone(),
                    None => self.page_below(page)?,
                };
                old.extend_from_slice(&before[within.clone()]);
                match state.now.get(&page) {
                    Some(bytes) => new.extend_from_slice(&bytes[within]),
                    None => new.extend_from_slice(&before[within]),
                }
            }
            split(state.settled_len, &epochs, start, &old, &new, &mut written);
        }
        written.sort_by_key(|w| (w.epoch, w.offset));
        state.settled_len = state.len;
        self.clock.reset();
        state.settled.clear();
        state.log.clear();
        Ok((len_before, written))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page as the storage below has it; zeros past its end.
    fn page_below(&self, page: u64) -> Result<Box<[u8]>> {
        let mut bytes = vec![0; index(PAGE)].into_boxed_slice();
        let there = self.below_len.saturating_sub(page * PAGE).min(PAGE);
        if there > 0 {
            self.below.read_at(page * PAGE, &mut bytes[..index(there)])?;
        }
        Ok(bytes)
    }
}

/// Cuts a stretch into what differs and what is new, by epoch.
fn split(settled_len: u64, epochs: &Epochs, start: u64, old: &[u8], new: &[u8], written: &mut Vec<Written>) {
    let counts = |i: usize| start + i as u64 >= settled_len || old[i] != new[i];
    // Stretches with few equal bytes between are one: a write costs more than a byte.
    const NEAR: usize = 8;
    let epoch_at = |at: u64| epochs.range(..=at).next_back().filter(|e| at < e.1.0).map_or(0, |e| e.1.1);
    let mut i = 0;
    while i < new.len() {
        if !counts(i) {
            i += 1;
            continue;
        }
        let (first, mut last, epoch) = (i, i, epoch_at(start + i as u64));
        while i < new.len() && i - last <= NEAR {
            if counts(i) {
                if epoch_at(start + i as u64) != epoch {
                    break;
                }
                last = i;
            }
            i += 1;
        }
        let offset = start + first as u64;
        let old_end = index(settled_len.saturating_sub(start)).clamp(first, last + 1);
        written.push(Written { offset, old: old[first..old_end].to_vec(), new: new[first..=last].to_vec(), epoch });
        i = last + 1;
    }
}

/// End and epoch of what was written last, by its start.
type Epochs = BTreeMap<u64, (u64, u32)>;

fn epochs(log: &[(u64, u64, u32)]) -> Epochs {
    let mut epochs = Epochs::new();
    for &(start, end, epoch) in log {
        while let Some((&at, &(stop, older))) = epochs.range(..end).next_back().filter(|e| e.1.0 > start) {
            epochs.remove(&at);
            if at < start {
                epochs.insert(at, (start, older));
            }
            if stop > end {
                epochs.insert(end, (stop, older));
            }
        }
        epochs.insert(start, (end, epoch));
    }
    epochs
}

/// The spans as sorted ones that neither touch nor overlap.
fn merged(mut spans: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    spans.retain(|(start, end)| start < end);
    spans.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

fn pages(start: u64, end: u64) -> std::ops::Range<u64> {
    start / PAGE..end.div_ceil(PAGE)
}

/// Never above a page, or the length of a buffer.
fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn past_end(offset: u64, len: usize, total: u64) -> Error {
    Error::new(Kind::Corrupt, "past-end", "the storage ends before what is asked of it")
        .expected(format_args!("{len} bytes at {offset:#x}"), format_args!("{total} bytes in all"))
}

impl Storage for Recorder {
    fn len(&self) -> Result<u64> {
        Ok(self.state().len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let state = self.state();
        let end = offset.checked_add(buf.len() as u64).filter(|&end| end <= state.len);
        let end = end.ok_or_else(|| past_end(offset, buf.len(), state.len))?;
        let below = self.below_len.clamp(offset, end) - offset;
        let (there, new) = buf.split_at_mut(index(below));
        new.fill(0);
        if !there.is_empty() {
            self.below.read_at(offset, there)?;
        }
        for (page, bytes) in state.now.range(pages(offset, end)) {
            let (from, to) = (offset.max(page * PAGE), end.min((page + 1) * PAGE));
            buf[index(from - offset)..index(to - offset)]
                .copy_from_slice(&bytes[index(from - page * PAGE)..index(to - page * PAGE)]);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= state.len);
        let end = end.ok_or_else(|| past_end(offset, bytes.len(), state.len))?;
        for page in pages(offset, end) {
            let had = state.now.get(&page).cloned();
            if had.is_none() && state.now.len() == MAX_PAGES {
                let what = "one edit writes more than a gigabyte: that is not what it is for";
                return Err(Error::new(Kind::Unsupported, "too-large", what));
            }
            let before = had.map_or_else(|| self.page_below(page), Ok)?;
            state.settled.entry(page).or_insert_with(|| before.clone());
            let (from, to) = (offset.max(page * PAGE), end.min((page + 1) * PAGE));
            let mut after = before;
            after[index(from - page * PAGE)..index(to - page * PAGE)]
                .copy_from_slice(&bytes[index(from - offset)..index(to - offset)]);
            state.now.insert(page, after);
        }
        if offset < end {
            state.log.push((offset, end, self.clock.stamp()));
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.clock.flush();
        Ok(())
    }

    /// Grows it. Nothing that is recorded shrinks.
    fn set_len(&self, len: u64) -> Result<()> {
        let mut state = self.state();
        if len < state.len {
            return Err(Error::new(Kind::Unsupported, "fixed-length", "a file that is written to is not cut short"));
        }
        state.len = len;
        Ok(())
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        self.below.locate(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    fn recorder(bytes: Vec<u8>) -> (Arc<Memory>, Recorder) {
        let below = Arc::new(Memory::new(bytes));
        (below.clone(), Recorder::new(below).unwrap())
    }

    fn all(storage: &dyn Storage) -> Vec<u8> {
        let mut bytes = vec![0; storage.len().unwrap() as usize];
        storage.read_at(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn reads_what_was_written_and_leaves_the_bytes_below() {
        let (below, recorder) = recorder((0..10_000).map(|i| i as u8).collect());
        let mut expected = all(&*below);
        recorder.write_at(4090, &[0xaa; 20]).unwrap();
        expected[4090..4110].fill(0xaa);
        assert_eq!(all(&recorder), expected);
        recorder.set_len(20_000).unwrap();
        recorder.write_at(9_995, &[0xbb; 10]).unwrap();
        recorder.write_at(15_000, &[]).unwrap();
        recorder.write_at(16_384, &[0xcc; 3]).unwrap();
        recorder.read_at(16_384, &mut [0; 3]).unwrap();
        expected.resize(20_000, 0);
        expected[16_384..16_387].fill(0xcc);
        expected[9_995..10_005].fill(0xbb);
        assert_eq!(all(&recorder), expected);
        assert_eq!(all(&*below), (0..10_000).map(|i| i as u8).collect::<Vec<_>>());
        for (offset, len) in [(19_999, 2), (20_000, 1), (u64::MAX, 2)] {
            assert_eq!(recorder.write_at(offset, &vec![0; len]).unwrap_err().code(), "past-end");
            assert_eq!(recorder.read_at(offset, &mut vec![0; len]).unwrap_err().code(), "past-end");
        }
        assert_eq!(recorder.set_len(5).unwrap_err().code(), "fixed-length");
    }

    #[test]
    fn tells_what_changed_since_it_was_last_asked() {
        let (_, recorder) = recorder(vec![0; 9000]);
        recorder.write_at(10, &[1, 0, 3]).unwrap();
        recorder.flush().unwrap();
        recorder.flush().unwrap();
        recorder.write_at(8190, &[0, 7, 7, 0]).unwrap();
        recorder.write_at(500, &[0; 50]).unwrap();
        let at = |offset, old: &[u8], new: &[u8], epoch| Written { offset, old: old.into(), new: new.into(), epoch };
        let (first, second) = (at(10, &[0; 3], &[1, 0, 3], 0), at(8191, &[0; 2], &[7, 7], 1));
        assert_eq!(recorder.take().unwrap(), (9000, vec![first, second]));
        recorder.write_at(11, &[2]).unwrap();
        recorder.set_len(9003).unwrap();
        recorder.write_at(8999, &[5, 6]).unwrap();
        let (first, second) = (at(11, &[0], &[2], 0), at(8999, &[0], &[5, 6, 0, 0], 0));
        assert_eq!(recorder.take().unwrap(), (9000, vec![first, second]));
        assert_eq!(recorder.take().unwrap(), (9003, vec![]));
    }

    #[test]
    fn recorders_of_one_clock_know_what_came_first() {
        let clock = Arc::new(Clock::default());
        let make = || Recorder::timed(Arc::new(Memory::new(vec![0; 100])), clock.clone()).unwrap();
        let (a, b) = (make(), make());
        a.write_at(0, &[1; 8]).unwrap();
        a.flush().unwrap();
        b.write_at(0, &[2]).unwrap();
        a.write_at(2, &[3; 2]).unwrap();
        let of = |recorder: &Recorder| -> Vec<(u64, usize, u32)> {
            recorder.take().unwrap().1.iter().map(|w| (w.offset, w.new.len(), w.epoch)).collect()
        };
        assert_eq!(of(&a), [(0, 2, 0), (4, 4, 0), (2, 2, 1)]);
        assert_eq!(of(&b), [(0, 1, 1)]);
        b.write_at(1, &[2]).unwrap();
        assert_eq!(of(&b), [(1, 1, 0)]);
    }

    #[test]
    fn a_byte_written_twice_belongs_to_the_later_epoch() {
        let (_, recorder) = recorder(vec![0; 100]);
        recorder.write_at(0, &[1, 1, 1, 1]).unwrap();
        recorder.flush().unwrap();
        recorder.write_at(1, &[2, 2]).unwrap();
        let (_, written) = recorder.take().unwrap();
        let found: Vec<_> = written.iter().map(|w| (w.epoch, w.offset, w.new.clone())).collect();
        assert_eq!(found, [(0, 0, vec![1]), (0, 3, vec![1]), (1, 1, vec![2, 2])]);
    }
}
