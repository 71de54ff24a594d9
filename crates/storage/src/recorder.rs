//! Records writes in memory; the storage below stays unchanged.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Storage;
use super::span::{end_within, lay_over, read_then_zeros};
use hivewright_error::{Code, Error, Kind, Place, Result};

/// Bytes of a recorded page.
const PAGE: u64 = 4096;
/// Pages of one recorder at most; an edit of a hive writes far fewer.
const MAX_PAGES: usize = 1 << 18;

/// Counts flushes; shared by recorders of one change.
#[derive(Debug, Default)]
pub struct Clock(Mutex<(u32, bool)>);

impl Clock {
    /// Returns the epoch of a write that is made now.
    fn stamp(&self) -> u32 {
        let mut now = self.now();
        now.1 = true;
        now.0
    }

    /// Begins a new epoch if anything was written in this one.
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

/// A storage that reads as if its recorded writes had been made. See [`Recorder::take`].
pub struct Recorder {
    below: Arc<dyn Storage>,
    below_len: u64,
    clock: Arc<Clock>,
    state: Mutex<Recording>,
}

type Pages = BTreeMap<u64, Box<[u8]>>;

struct Recording {
    len: u64,
    /// Length when the epoch began.
    settled_len: u64,
    /// Pages that differ from the storage below.
    now: Pages,
    /// Pages written to in this epoch, as they were when it began.
    settled: Pages,
    /// Start and end of each write of the epoch, in order.
    log: Vec<(u64, u64)>,
    epoch: u32,
    /// Length at the last [`Recorder::take`].
    taken_len: u64,
    done: Vec<Written>,
}

/// A recorded write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Offset in the storage.
    pub offset: u64,
    /// The bytes before; shorter than `new` where the storage ended.
    pub old: Vec<u8>,
    /// The bytes after.
    pub new: Vec<u8>,
    /// Number of flushes of storages with this clock between the last [`Recorder::take`] and the write.
    pub epoch: u32,
}

impl Recorder {
    /// Records writes to `below`.
    ///
    /// # Errors
    /// I/O errors if its length cannot be read.
    pub fn new(below: Arc<dyn Storage>) -> Result<Self> {
        Self::timed(below, Arc::default())
    }

    /// As [`Recorder::new`], with a shared clock.
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

    /// Returns the length of the storage below.
    pub fn len_below(&self) -> u64 {
        self.below_len
    }

    /// Returns the length before and the writes since the last call, sorted by epoch, then offset. The writes of an
    /// epoch do not overlap, and their first and last bytes differ from the bytes before, or extend the storage. A
    /// range that is written in two epochs is returned twice, because a crash between them leaves the first write.
    /// Resets the clock: call it for all recorders that share one.
    ///
    /// # Errors
    /// I/O errors of the storage below.
    pub fn take(&self) -> Result<(u64, Vec<Written>)> {
        let mut state = self.state();
        self.settle(&mut state)?;
        self.clock.reset();
        state.epoch = 0;
        let len = state.len;
        let len_before = std::mem::replace(&mut state.taken_len, len);
        Ok((len_before, std::mem::take(&mut state.done)))
    }

    /// Ends the last epoch, if a new one has begun, before a write or a change of the length.
    fn begin(&self, state: &mut Recording) -> Result<()> {
        let now = self.clock.stamp();
        if now != state.epoch {
            self.settle(state)?;
            state.epoch = now;
        }
        Ok(())
    }

    /// Appends the writes of the epoch to `done`, and ends the epoch.
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

    /// Returns the page of the storage below, with zeros past its end.
    fn page_below(&self, page: u64) -> Result<Box<[u8]>> {
        let mut bytes = vec![0; index(PAGE)].into_boxed_slice();
        read_then_zeros(&*self.below, self.below_len, page * PAGE, &mut bytes)?;
        Ok(bytes)
    }
}

/// Splits a range into its changed and its new parts.
fn split(settled_len: u64, epoch: u32, start: u64, old: &[u8], new: &[u8], written: &mut Vec<Written>) {
    let counts = |i: usize| start + i as u64 >= settled_len || old[i] != new[i];
    // Parts with few equal bytes between them are joined: a write costs more than a byte.
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

/// Returns the spans sorted and merged, so that they neither touch nor overlap.
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

/// Converts a number that never exceeds a page or the length of a buffer.
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
                let what = "one edit writes more than 1 GiB, which is the limit";
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

    /// Grows the storage. Shrinking is not supported.
    fn set_len(&self, len: u64) -> Result<()> {
        let mut state = self.state();
        if len < state.len {
            return Err(Error::new(Kind::Unsupported, Code::FixedLength, "a recorded write cannot shrink a file"));
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
