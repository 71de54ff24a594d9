//! Counts the bytes that are read from a storage, so that a program can report the cost of an answer.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Storage;
use hivewright_error::{Place, Result};

/// A storage that counts the bytes read from it.
#[derive(Debug)]
pub struct Counting<S> {
    below: S,
    read: Arc<AtomicU64>,
}

impl<S> Counting<S> {
    /// Returns a storage that counts from zero.
    pub fn new(below: S) -> Self {
        Counting::into_total(below, Arc::default())
    }

    /// Adds to `total`, which several storages may share.
    pub fn into_total(below: S, total: Arc<AtomicU64>) -> Self {
        Counting { below, read: total }
    }

    /// Returns the number of bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl<S: Deref<Target: Storage> + Send + Sync> Storage for Counting<S> {
    fn len(&self) -> Result<u64> {
        self.below.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.below.read_at(offset, buf)?;
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.below.write_at(offset, bytes)
    }

    fn flush(&self) -> Result<()> {
        self.below.flush()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.below.set_len(len)
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        self.below.locate(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    #[test]
    fn counts_what_is_read() {
        let counting = Counting::new(Box::new(Memory::new(vec![7; 100])));
        let mut buf = [0; 30];
        counting.read_at(1, &mut buf).unwrap();
        counting.read_at(70, &mut buf).unwrap();
        assert_eq!((counting.bytes_read(), buf), (60, [7; 30]));
    }
}
