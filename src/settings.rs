//! Settings: registry values whose place depends on the version of Windows, and the meaning of their data.
//!
//! A setting detects the version of Windows of a hive, reads and judges the values, and yields the [`Operation`]s of an
//! edit. Nothing outside this module knows the name of a value.
//!
//! [`Operation`]: crate::edit::Operation

pub mod nat_t;
