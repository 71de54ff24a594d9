//! Builders and helpers that several subjects share.

pub mod memory;
pub mod ntfs_volume;
pub mod tools;
