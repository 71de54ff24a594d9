//! The input of the second parser, which needs all bytes in one slice.

use std::borrow::Cow;

use crate::locate::HiveHandle;
use hivewright_error::Result;
use hivewright_storage::SparseBuffer;

pub(crate) trait WitnessInput {
    /// Returns whether reading all bytes costs more than using the read ones.
    fn is_partial(&self) -> bool;
    /// Returns a buffer with the bytes that were looked up, and zeros elsewhere, if that costs less than all bytes.
    fn seen(&self) -> Result<Option<SparseBuffer>>;
    /// Returns all bytes.
    fn all(&self) -> Result<Cow<'_, [u8]>>;
}

impl WitnessInput for [u8] {
    fn is_partial(&self) -> bool {
        false
    }

    fn seen(&self) -> Result<Option<SparseBuffer>> {
        Ok(None)
    }

    fn all(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self))
    }
}

impl WitnessInput for HiveHandle {
    fn is_partial(&self) -> bool {
        self.paged().is_some()
    }

    fn seen(&self) -> Result<Option<SparseBuffer>> {
        HiveHandle::seen(self)
    }

    fn all(&self) -> Result<Cow<'_, [u8]>> {
        self.whole().map(Cow::Borrowed)
    }
}
