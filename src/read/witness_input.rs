//! The bytes that the second parser is given: it wants all of them in one piece.

use std::borrow::Cow;

use crate::locate::HiveHandle;
use hivewright_error::Result;
use hivewright_storage::SparseBuffer;

pub(crate) trait WitnessInput {
    /// Whether all bytes cost more than some.
    fn is_partial(&self) -> bool;
    /// Bytes that have everything that was looked up, if that can be had for less than all of them.
    fn seen(&self) -> Result<Option<SparseBuffer>>;
    /// All bytes.
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
