//! Large zeroed buffers of which little is used. A map is reused after the used parts are cleared; an allocator would
//! clear all of it. With a new map for each hive, an audit of 30 images (`benches/audit`) takes 1.2 to 1.6 times the
//! processor time: 1,450 page faults instead of 550.

use std::cell::Cell;
use std::ops::{Deref, Range};

use super::mapped::Anonymous;
use hivewright_error::Result;

thread_local! {
    /// The cleared map of this thread's last [`SparseBuffer`], and the number of bytes that were ever copied into it.
    static SPARE: Cell<Option<(Anonymous, usize)>> = const { Cell::new(None) };
}

/// A zeroed buffer whose parts are set by [`SparseBuffer::lay`].
pub struct SparseBuffer {
    map: Option<Anonymous>,
    len: usize,
    laid: Vec<Range<usize>>,
    /// Bytes copied into the map since it was made.
    used: usize,
}

impl SparseBuffer {
    /// Limits for keeping a map: bytes ever copied into it, because their pages stay resident, and its size.
    const MOST_USED: usize = 4 << 20;
    const MOST_KEPT: usize = 256 << 20;

    /// Returns `len` zeros.
    ///
    /// # Errors
    /// `no-memory`: the host cannot map `len` bytes.
    pub fn new(len: usize) -> Result<Self> {
        let (map, used) = match SPARE.take() {
            Some(spare) if spare.0.len() >= len => spare,
            _ => (Anonymous::new(len)?, 0),
        };
        Ok(SparseBuffer { map: Some(map), len, laid: Vec::new(), used })
    }

    /// Copies `bytes` to `start`, if they fit.
    pub fn lay(&mut self, start: usize, bytes: &[u8]) {
        let place = start..start.saturating_add(bytes.len());
        let into = self.map.as_mut().and_then(|map| map[..self.len].get_mut(place.clone()));
        if let Some(into) = into {
            into.copy_from_slice(bytes);
            self.used += bytes.len();
            self.laid.push(place);
        }
    }
}

impl Drop for SparseBuffer {
    fn drop(&mut self) {
        let is_worth_it = |map: &Anonymous| self.used < Self::MOST_USED && map.len() <= Self::MOST_KEPT;
        if let Some(mut map) = self.map.take().filter(is_worth_it) {
            self.laid.drain(..).for_each(|place| map[place].fill(0));
            SPARE.set(Some((map, self.used)));
        }
    }
}

impl Deref for SparseBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| &map[..self.len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_bytes_are_zeros_but_for_what_is_laid_in_whoever_had_them_before() {
        let bytes = |len| vec![0xa5; len];
        for len in [9000, 0, 1, 4096, 3 << 20, 5000] {
            let mut blank = SparseBuffer::new(len).unwrap();
            assert!(blank.len() == len && blank.iter().all(|&byte| byte == 0), "{len}");
            for (start, count) in
                [(0, 10), (len / 2, 1), (len.saturating_sub(5), 5), (usize::MAX, 2), (len, 1), (0, len)]
            {
                blank.lay(start, &bytes(count));
                let fits = start.checked_add(count).is_some_and(|end| end <= len);
                assert!(!fits || blank[start..start + count] == bytes(count), "{len} {start}");
            }
            assert!(blank.iter().all(|&byte| byte == 0xa5), "{len}");
        }
        assert!(has_spare());
        assert_eq!(SparseBuffer::new(usize::MAX / 4).map(|_| ()).unwrap_err().code(), "no-memory");
    }

    /// Returns whether this thread keeps a map, and drops it.
    fn has_spare() -> bool {
        SPARE.take().is_some()
    }

    #[test]
    fn what_takes_much_memory_is_given_back() {
        drop(SparseBuffer::new(SparseBuffer::MOST_KEPT).unwrap());
        assert!(has_spare());
        drop(SparseBuffer::new(SparseBuffer::MOST_KEPT + 1).unwrap());
        assert!(!has_spare());
        let bytes = vec![1; SparseBuffer::MOST_USED / 2];
        for is_kept in [true, false] {
            SparseBuffer::new(bytes.len()).unwrap().lay(0, &bytes);
            assert_eq!(SPARE.take().map(|spare| SPARE.set(Some(spare))).is_some(), is_kept);
        }
    }
}
