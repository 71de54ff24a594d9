//! Helpers shared by tests.

pub(crate) mod contents;
pub(crate) mod dirty_place;
pub(crate) mod disk;
pub(crate) mod file_ext;
pub(crate) mod hex;
pub(crate) mod lying_host;
pub(crate) mod memory;
pub(crate) mod ntfs_volume;
pub(crate) mod pages;
pub(crate) mod real;
pub(crate) mod requests;
mod shared;
pub(crate) mod stopped;
pub(crate) mod tools;
pub(crate) mod windows_folder;
