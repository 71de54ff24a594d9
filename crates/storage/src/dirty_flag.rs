//! Tracks which of several files were written to since their last flush, so that only those are flushed.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Storage;
use hivewright_error::Result;

/// Whether a file was written to since its last flush.
#[derive(Debug, Default)]
pub struct DirtyFlag(AtomicBool);

impl DirtyFlag {
    /// Marks the file as written to; called before the write.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Flushes every file that was written to since its last flush. A failure does not keep the others from being flushed.
///
/// # Errors
/// The first failure. The next flush tries that file again.
pub fn flush<'f, S>(files: impl Iterator<Item = (&'f DirtyFlag, &'f S)>) -> Result<()>
where
    S: Storage + ?Sized + 'f,
{
    let mut first_error = None;
    for (touched, file) in files {
        if touched.0.swap(false, Ordering::SeqCst)
            && let Err(error) = file.flush()
        {
            touched.set();
            first_error.get_or_insert(error);
        }
    }
    first_error.map_or(Ok(()), Err)
}
