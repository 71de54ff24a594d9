//! Keeps in memory what is written: the bytes below stay as they are.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Storage;
use super::span::{end_within, lay_over, read_then_zeros};
use hivewright_error::{Code, Error, Kind, Place, Result};

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
    state: Mutex<Recording>,
}

type Pages = BTreeMap<u64, Box<[u8]>>;

struct Recording {
    len: u64,
    /// The length when the epoch began.
    settled_len: u64,
    /// Pages that differ from the storage below.
    now: Pages,
    /// As they were when the epoch began, those that were written to since.
    settled: Pages,
    /// Start and end of every write of the epoch, in order.
    log: Vec<(u64, u64)>,
    epoch: u32,
    /// The length at the last [`Recorder::take`], and what earlier epochs have written since.
    taken_len: u64,
    done: Vec<Written>,
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
        let (now, settled, log, done) = <_>::default();
        let state = Recording { len, settled_len: len, now, settled, log, epoch: 0, taken_len: len, done };
        let state = Mutex::new(state);
        Ok(Recorder { below, below_len: len, clock, state })
    }

    /// Bytes of the storage below.
    pub fn len_below(&self) -> u64 {
        self.below_len
    }

    /// What was written since the last call, sorted by epoch, then offset: of each epoch stretches that do not overlap and
    /// differ in their first and last byte from what was there before it; where the storage grew, all of the new bytes. What
    /// is written in two epochs is told twice: a stop between them leaves the first. And the length before. The clock
    /// begins anew: recorders that share one are asked together.
    ///
    /// # Errors
    /// The storage below cannot be read.
    pub fn take(&self) -> Result<(u64, Vec<Written>)> {
        let mut state = self.state();
        self.settle(&mut state)?;
        self.clock.reset();
        state.epoch = 0;
        let len = state.len;
        let len_before = std::mem::replace(&mut state.taken_len, len);
        Ok((len_before, std::mem::take(&mut state.done)))
    }

    /// A write or a change of the length: what earlier epochs have written is settled before.
    fn begin(&self, state: &mut Recording) -> Result<()> {
        let now = self.clock.stamp();
        if now != state.epoch {
            self.settle(state)?;
            state.epoch = now;
        }
        Ok(())
    }

    /// Tells what the epoch has written, and ends it.
    fn settle(&self, state: &mut Recording) -> Result<()> {
        let mut spans = std::mem::take(&mut state.log);
        spans.push((state.settled_len, state.len));
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
            split(state.settled_len, state.epoch, start, &old, &new, &mut state.done);
        }
        state.settled_len = state.len;
        state.settled.clear();
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, Recording> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page as the storage below has it; zeros past its end.
    fn page_below(&self, page: u64) -> Result<Box<[u8]>> {
        let mut bytes = vec![0; index(PAGE)].into_boxed_slice();
        read_then_zeros(&*self.below, self.below_len, page * PAGE, &mut bytes)?;
        Ok(bytes)
    }
}

/// Cuts a stretch into what differs and what is new.
fn split(settled_len: u64, epoch: u32, start: u64, old: &[u8], new: &[u8], written: &mut Vec<Written>) {
    let counts = |i: usize| start + i as u64 >= settled_len || old[i] != new[i];
    // Stretches with few equal bytes between are one: a write costs more than a byte.
    const NEAR: usize = 8;
    let mut i = 0;
    while i < new.len() {
        if !counts(i) {
            i += 1;
            continue;
        }
        let (first, mut last) = (i, i);
        while i < new.len() && i - last <= NEAR {
            if counts(i) {
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

impl Storage for Recorder {
    fn len(&self) -> Result<u64> {
        Ok(self.state().len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let state = self.state();
        let end = end_within("the storage", state.len, offset, buf.len())?;
        read_then_zeros(&*self.below, self.below_len, offset, buf)?;
        for (page, bytes) in state.now.range(pages(offset, end)) {
            lay_over(buf, offset, page * PAGE, bytes);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        let end = end_within("the storage", state.len, offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.begin(&mut state)?;
        for page in pages(offset, end) {
            let had = state.now.get(&page).cloned();
            if had.is_none() && state.now.len() == MAX_PAGES {
                let what = "one edit writes more than a gigabyte: that is not what it is for";
                return Err(Error::new(Kind::Unsupported, Code::TooLarge, what));
            }
            let before = had.map_or_else(|| self.page_below(page), Ok)?;
            state.settled.entry(page).or_insert_with(|| before.clone());
            let mut after = before;
            lay_over(&mut after, page * PAGE, offset, bytes);
            state.now.insert(page, after);
        }
        state.log.push((offset, end));
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
            return Err(Error::new(Kind::Unsupported, Code::FixedLength, "a file that is written to is not cut short"));
        }
        if len > state.len {
            self.begin(&mut state)?;
            state.len = len;
        }
        Ok(())
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        self.below.locate(offset)
    }
}
