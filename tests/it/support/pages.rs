//! Recording of the pages of a hive that a reader touches.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;

use hivewright_error::Result;
use hivewright_hive::HiveBytes;

pub(crate) const PAGE: usize = 4096;

/// Numbers of pages.
pub(crate) type Pages = BTreeSet<usize>;

/// Bytes of a hive that record the pages read.
pub(crate) struct Counting<'h> {
    bytes: &'h [u8],
    pages: RefCell<Pages>,
}

impl<'h> Counting<'h> {
    pub(crate) fn new(bytes: &'h [u8]) -> Self {
        Counting { bytes, pages: RefCell::default() }
    }

    /// Returns the pages read since the last call.
    pub(crate) fn take(&self) -> Pages {
        self.pages.take()
    }
}

impl HiveBytes for Counting<'_> {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        if len > 0 {
            self.pages.borrow_mut().extend(offset as usize / PAGE..=(offset as usize + len - 1) / PAGE);
        }
        self.bytes.read(offset, len)
    }
}
