//! Edits the registry of Windows installations that are not running.

#![cfg_attr(test, allow(clippy::cast_possible_truncation))]

pub mod error;
pub mod fat;
pub mod hive;
pub mod partition;
pub mod regf;
pub mod storage;

pub use error::{Error, Kind, Place, Result, Space};
