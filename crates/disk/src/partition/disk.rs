//! The disk and the warnings while its table is read.

use super::Warning;
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;

/// A disk and its length, queried once.
pub(super) struct Disk<'a> {
    storage: &'a dyn Storage,
    pub(super) len: u64,
}

impl<'a> Disk<'a> {
    pub(super) fn new(storage: &'a dyn Storage) -> Result<Self> {
        Ok(Disk { len: storage.len()?, storage })
    }

    /// Returns `len` bytes at `offset`, or nothing if they exceed the disk.
    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Option<Vec<u8>>> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        self.storage.read_at(offset, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Returns the sector `lba` of `sector_size` bytes, or nothing if it does not lie inside the disk.
    pub(super) fn sector(&self, lba: u64, sector_size: u32) -> Result<Option<Vec<u8>>> {
        match lba.checked_mul(u64::from(sector_size)) {
            Some(offset) => self.read(offset, sector_size as usize),
            None => Ok(None),
        }
    }
}

/// Warnings, limited in number: a hostile table could cause one for each entry.
#[derive(Default)]
pub(super) struct Warnings {
    list: Vec<Warning>,
    dropped: usize,
}

/// Maximum number of warnings that are kept.
const MOST: usize = 64;

impl Warnings {
    pub(super) fn push(&mut self, code: Code, what: impl Into<String>) {
        if self.list.len() < MOST {
            self.list.push(Warning { code, what: what.into() });
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn into_vec(mut self) -> Vec<Warning> {
        if self.dropped > 0 {
            self.list.push(Warning { code: Code::MoreWarnings, what: format!("and {} more", self.dropped) });
        }
        self.list
    }
}
