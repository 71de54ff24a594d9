//! Edits the registry of Windows installations that are not running.

pub mod error;
pub mod hive;
pub mod regf;
pub mod storage;

pub use error::{Error, Kind, Place, Result, Space};
