//! Where a hive's bytes come from.

use std::borrow::Cow;

use hivewright_error::{Error, Result};

/// The bytes of a hive file, addressed by file offset. A slice is one; whoever keeps a hive in pages, or loads it
/// piece by piece, implements it too.
pub trait HiveBytes {
    /// Bytes of the file.
    fn len(&self) -> u64;

    /// `len` bytes from `offset` on. Past the end is an error, not a short answer.
    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>>;

    /// Whether there is nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl HiveBytes for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(len)?))
            .map(Cow::Borrowed)
            .ok_or_else(|| Error::corrupt("past-end", "the file ends before what is looked for", offset))
    }
}

impl HiveBytes for Vec<u8> {
    fn len(&self) -> u64 {
        HiveBytes::len(self.as_slice())
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        self.as_slice().read(offset, len)
    }
}

impl<T: HiveBytes + ?Sized> HiveBytes for &T {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        (**self).read(offset, len)
    }
}
