//! Commits on the real file system.
