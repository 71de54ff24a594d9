//! Edits the registry of Windows installations that are not running.

#![cfg_attr(test, allow(clippy::cast_possible_truncation))]

#[cfg(doc)]
pub mod design;
pub mod error;
pub mod fat;
pub mod files;
pub mod hive;
pub mod ntfs;
pub mod partition;
pub mod regf;
pub mod session;
pub mod storage;
pub mod windows;

pub use error::{Error, Kind, Place, Result, Space};
