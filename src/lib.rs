//! Edits the registry of Windows installations that are not running.

#[cfg(doc)]
pub mod design;
pub mod error;
pub mod hive;
pub mod regf;
pub mod session;
pub mod storage;

pub use error::{Error, Kind, Place, Result, Space};
