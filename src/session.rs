//! The only room that knows both hives and the files of the host.
//!
//! [`commit`] brings patches to the disk, [`undo`] takes them back. Nobody else writes.

pub mod commit;
pub mod undo;
