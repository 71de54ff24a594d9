//! The one integration-test binary, a module for each subject.

mod commit_faults;
mod commit_files;
mod support;
