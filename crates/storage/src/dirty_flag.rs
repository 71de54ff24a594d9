//! Which of several files were written to since they were last flushed: the others need not be.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Storage;
use hivewright_error::Result;

/// Whether a file was written to since it was last flushed.
#[derive(Debug, Default)]
pub struct DirtyFlag(AtomicBool);

impl DirtyFlag {
    /// To be said before it is written to.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Flushes every file that was written to since it was last flushed; all of them are tried.
///
/// # Errors
/// The first of a file that could not be flushed. The next flush tries it again.
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
