//! A storage in memory that counts what is asked of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hivewright::storage::Storage;
use hivewright::{Error, Kind, Place, Result, Space};

/// Bytes in memory.
pub(crate) struct Memory {
    bytes: Mutex<Vec<u8>>,
    read: AtomicU64,
}

impl Memory {
    pub(crate) fn new(bytes: Vec<u8>) -> Arc<Memory> {
        Arc::new(Memory { bytes: Mutex::new(bytes), read: AtomicU64::new(0) })
    }

    /// Bytes that were read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(crate) fn copy(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl Storage for Memory {
    fn len(&self) -> Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        let bytes = self.bytes.lock().unwrap();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = start.checked_add(buf.len()).and_then(|end| bytes.get(start..end));
        buf.copy_from_slice(part.ok_or_else(|| Error::new(Kind::Io, "past-end", "the memory ends"))?);
        Ok(())
    }

    fn write_at(&self, offset: u64, new: &[u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[start..start + new.len()].copy_from_slice(new);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        vec![Place { space: Space::File, offset }]
    }
}
