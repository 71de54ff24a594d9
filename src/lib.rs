//! Edits the registry of Windows installations that are not running.

pub mod cli;
pub mod error;
pub mod hive;
pub mod regf;
pub mod windows;

pub use error::{Error, Kind, Place, Result, Space};
