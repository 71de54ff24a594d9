//! Settings: registry values of which the place depends on the Windows, and what their data mean.
//!
//! A setting detects the Windows that a hive belongs to, reads and judges what it finds, and yields the [`Operation`]s of an
//! edit. Nothing outside of this module knows the name of a value.
//!
//! [`Operation`]: crate::edit::Operation

pub mod nat_t;
