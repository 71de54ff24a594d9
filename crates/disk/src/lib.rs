//! Disk images, partition tables and file systems: maps files of the host to files of the guest.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
#![cfg_attr(test, allow(clippy::cast_possible_truncation))]

pub mod container;
pub mod fat;
pub mod files;
pub mod host_folder;
mod little_endian;
pub mod ntfs;
pub mod partition;
pub mod wim;
