//! Storages that count reads: in memory, and a read-only file.

use hivewright_error::Code;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hivewright::{Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;

use crate::support::file_ext::FileExt;

/// Storage in memory.
pub(crate) struct Memory {
    bytes: Mutex<Vec<u8>>,
    read: AtomicU64,
}

impl Memory {
    pub(crate) fn new(bytes: Vec<u8>) -> Arc<Memory> {
        Arc::new(Memory { bytes: Mutex::new(bytes), read: AtomicU64::new(0) })
    }

    /// Returns the number of bytes read so far.
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
        buf.copy_from_slice(part.ok_or_else(|| Error::new(Kind::Io, Code::PastEnd, "the memory ends"))?);
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

/// A read-only file, for volumes that exceed memory.
pub(crate) struct ReadOnly {
    file: File,
    read: AtomicU64,
}

impl ReadOnly {
    pub(crate) fn open(path: &std::path::Path) -> Arc<ReadOnly> {
        Arc::new(ReadOnly { file: File::open(path).unwrap(), read: AtomicU64::new(0) })
    }

    /// Returns the number of bytes read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Storage for ReadOnly {
    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().unwrap().len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.file.read_exact_at(buf, offset).map_err(|error| Error::io("reading", error))
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::refused(Code::ReadOnly, "this is only read"))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        vec![Place { space: Space::File, offset }]
    }
}
