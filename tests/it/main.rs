//! The one integration-test binary, a module for each subject.
// The exceptions of clippy.toml reach functions with #[test] only, not their helpers; numbers here are small.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod commit_faults;
mod commit_files;
mod support;
