//! Bytes with addresses, and the one seam through which the file system of the host is touched.
//!
//! A [`Storage`] is a run of bytes. A plain file is one; a volume, a partition and a disk image are each a storage on
//! top of another. [`Host`] is everything else a commit asks of the file system, so that tests can put a lying one
//! in its place. Nothing here knows a format.

#![cfg_attr(test, allow(clippy::cast_possible_truncation))]

pub mod advised;
pub mod availability;
pub mod counting;
pub mod dirty_flag;
pub mod exact;
mod file;
pub mod fitting;
pub mod folder;
pub mod fresh;
pub mod hex;
mod host;
pub mod joined;
mod mapped;
pub mod memory;
#[cfg(target_os = "linux")]
mod metadata;
pub mod private;
pub mod probe;
#[cfg(target_os = "linux")]
mod ranges;
mod real;
pub mod recorder;
pub mod scratch;
pub mod shell;
mod slots;
pub mod span;
mod sparse_buffer;
pub mod split;
pub mod temp_files;
pub mod window;

pub use file::FileStorage;
pub use host::{About, Access, Carried, FileId, Host, HostFile, Times};
pub use mapped::Mapped;
pub use mapped::zeros_in_large_pages;
pub use real::RealHost;
pub use slots::Slots;
pub use sparse_buffer::SparseBuffer;

use hivewright_error::{Code, Error, Kind, Place, Result};

/// All bytes of the file at `path`, if there are at most `most`.
///
/// # Errors
/// There are more (`too-large`), or it cannot be read.
pub fn read_whole(file: &dyn Storage, path: &std::path::Path, most: usize) -> Result<Vec<u8>> {
    let len = file.len()?;
    let Some(size) = usize::try_from(len).ok().filter(|&size| size <= most) else {
        return Err(Error::new(Kind::Unsupported, Code::TooLarge, format!("{} has {len} bytes", path.display())));
    };
    let mut bytes = zeros_in_large_pages(size);
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// A run of bytes with its own addresses, from 0 to [`Storage::len`].
///
/// All methods take `&self`, so that several layers can share one storage. Writing is for
/// the commit, and for a layer that passes a write on.
pub trait Storage: Send + Sync {
    /// Bytes from the first to the end.
    ///
    /// # Errors
    /// The host could not tell.
    fn len(&self) -> Result<u64>;

    /// Fills `buf` with the bytes from `offset` on. Past the end is an error, not a short answer.
    ///
    /// # Errors
    /// The end comes first, or the host could not read.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Writes all of `bytes` at `offset`. Durable only after [`Storage::flush`].
    ///
    /// # Errors
    /// The host could not write; any part of it may have been.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Returns when everything written is on the medium.
    ///
    /// # Errors
    /// It is not known what of it is on the medium.
    fn flush(&self) -> Result<()>;

    /// Changes the length, where the storage has one that can change. New bytes are zeros.
    ///
    /// # Errors
    /// The length is fixed, or the host could not change it.
    fn set_len(&self, len: u64) -> Result<()> {
        let _ = len;
        Err(Error::new(Kind::Unsupported, Code::FixedLength, "the length of this storage cannot be changed"))
    }

    /// Where the byte at `offset` lies, innermost address space first, down to the file of the host.
    fn locate(&self, offset: u64) -> Vec<Place>;

    /// Whether there are no bytes.
    ///
    /// # Errors
    /// As [`Storage::len`].
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
}
