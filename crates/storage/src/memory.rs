//! Bytes in memory as a storage, for tests, fuzzing and data that was read whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Storage;
use crate::span::end_within;
use hivewright_error::{Place, Result};

/// A run of bytes in memory. It has no address space: [`Storage::locate`] returns no place.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Vec<u8>>);

impl Memory {
    /// Returns a storage of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Memory(Mutex::new(bytes))
    }

    /// Returns the bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        // A panic cannot leave half a write: each write is one copy.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the range `offset .. offset + len` of `total` bytes as indices.
fn range(offset: u64, len: usize, total: usize) -> Result<std::ops::Range<usize>> {
    let end = end_within("the storage", total as u64, offset, len)?;
    // Neither exceeds `total`.
    let index = |at: u64| usize::try_from(at).unwrap_or(total);
    Ok(index(offset)..index(end))
}

impl Storage for Memory {
    fn len(&self) -> Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let bytes = self.bytes();
        buf.copy_from_slice(&bytes[range(offset, buf.len(), bytes.len())?]);
        Ok(())
    }

    fn write_at(&self, offset: u64, new: &[u8]) -> Result<()> {
        let mut bytes = self.bytes();
        let range = range(offset, new.len(), bytes.len())?;
        bytes[range].copy_from_slice(new);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, _offset: u64) -> Vec<Place> {
        Vec::new()
    }
}
