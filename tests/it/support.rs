//! Builders and helpers that several subjects share.

pub(crate) mod memory;
pub(crate) mod ntfs_volume;
pub(crate) mod tools;
