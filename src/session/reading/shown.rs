//! What the witness is shown: it wants all bytes in one piece.

use std::borrow::Cow;

use super::called::HiveFile;
use crate::session::disk::{HiveOnDisk, Paged};
use hivewright_error::Result;
use hivewright_storage::Blank;

pub(super) trait Shown {
    /// Whether all bytes cost more than some.
    fn is_partial(&self) -> bool {
        true
    }
    /// Bytes that have everything that was looked up, if that can be had for less than all of them.
    fn seen(&self) -> Result<Option<Blank>>;
    /// All bytes.
    fn all(&self) -> Result<Cow<'_, [u8]>>;
}

/// A hive of which only the pages that are asked for are read.
pub(super) trait ByPages: Shown {
    /// Its pages.
    fn pages(&self) -> &Paged;
}

impl Shown for [u8] {
    fn is_partial(&self) -> bool {
        false
    }

    fn seen(&self) -> Result<Option<Blank>> {
        Ok(None)
    }

    fn all(&self) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self))
    }
}

impl Shown for HiveOnDisk {
    fn seen(&self) -> Result<Option<Blank>> {
        HiveOnDisk::seen(self)
    }

    fn all(&self) -> Result<Cow<'_, [u8]>> {
        self.whole().map(Cow::Borrowed)
    }
}

impl ByPages for HiveOnDisk {
    fn pages(&self) -> &Paged {
        self.paged()
    }
}

impl Shown for HiveFile {
    fn seen(&self) -> Result<Option<Blank>> {
        HiveFile::seen(self)
    }

    fn all(&self) -> Result<Cow<'_, [u8]>> {
        self.whole().map(Cow::Borrowed)
    }
}

impl ByPages for HiveFile {
    fn pages(&self) -> &Paged {
        self.paged()
    }
}
