//! The source of a hive's bytes.

use std::borrow::Cow;

use hivewright_error::{Code, Error, Result};

/// The bytes of a hive file, addressed by file offset. Slices implement it; so can a page cache or a file.
pub trait HiveBytes {
    /// Returns the length of the file in bytes.
    fn len(&self) -> u64;

    /// Reads `len` bytes from `offset` on.
    ///
    /// # Errors
    /// `past-end` if the range exceeds the file; a short read is never returned.
    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>>;

    /// Returns whether the file has no bytes.
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
            .ok_or_else(|| Error::corrupt(Code::PastEnd, "the file ends before the requested bytes", offset))
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
