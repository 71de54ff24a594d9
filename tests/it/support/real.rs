//! The path of a file as the program reports it.

use std::path::{Path, PathBuf};

use hivewright_storage::{Host, RealHost};

pub(crate) trait Real {
    /// Returns the absolute path without links, and on Windows without a needless prefix.
    fn real(&self) -> PathBuf;
}

impl Real for Path {
    fn real(&self) -> PathBuf {
        RealHost.resolve(self).unwrap()
    }
}
