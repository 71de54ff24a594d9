//! Runs of bytes with addresses, and the only access to the file system of the host.
//!
//! A [`Storage`] is a run of bytes: a file, or a volume, a partition or a disk image on top of another storage.
//! [`Host`] has the other operations that a commit asks of a file system, so that tests can inject faults. Nothing here
//! knows a format.

#![cfg_attr(test, allow(clippy::cast_possible_truncation))]

pub mod advised;
pub mod availability;
pub mod counting;
pub mod dirty_flag;
pub mod exact;
mod file;
pub mod fitting;
pub mod hex;
mod host;
pub mod joined;
mod mapped;
pub mod memory;
// Modes and extended attributes of Linux.
#[cfg(target_os = "linux")]
mod metadata;
pub mod new_file;
pub mod private;
pub mod probe;
// Windows has no locks of virtual machines.
#[cfg(target_os = "linux")]
mod ranges;
mod real;
pub mod recorder;
pub mod scratch;
pub mod shell;
pub mod span;
mod sparse_buffer;
pub mod split;
pub mod spool;
pub mod temp_files;
#[cfg(windows)]
mod win32;
pub mod window;

pub use file::FileStorage;
pub use host::{About, Access, Carried, FileId, Host, HostFile, Times};
pub use mapped::Mapped;
pub use mapped::zeros_in_large_pages;
pub use real::RealHost;
pub use sparse_buffer::SparseBuffer;

use hivewright_error::{Code, Error, Kind, Place, Result};

/// Reads all bytes of `file`; `path` names it in errors.
///
/// # Errors
/// `too-large` if there are more than `most` bytes; I/O errors.
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
/// All methods take `&self`, so that several layers can share one storage. Only a commit writes, and layers that pass
/// its writes on.
pub trait Storage: Send + Sync {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// I/O errors.
    fn len(&self) -> Result<u64>;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// An error if the range ends after the storage, never a short read; I/O errors.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Writes all of `bytes` at `offset`. Durable only after [`Storage::flush`].
    ///
    /// # Errors
    /// I/O errors; any part of `bytes` may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Returns when all written bytes are on the medium.
    ///
    /// # Errors
    /// I/O errors; some of the written bytes may not be durable.
    fn flush(&self) -> Result<()>;

    /// Changes the length, if the storage supports that. New bytes are zeros.
    ///
    /// # Errors
    /// `fixed-length` if it does not; I/O errors.
    fn set_len(&self, len: u64) -> Result<()> {
        let _ = len;
        Err(Error::new(Kind::Unsupported, Code::FixedLength, "the length of this storage cannot be changed"))
    }

    /// Returns the places of the byte at `offset`, the innermost address space first, the file of the host last.
    fn locate(&self, offset: u64) -> Vec<Place>;

    /// Returns whether the length is 0.
    ///
    /// # Errors
    /// As [`Storage::len`].
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
}
