//! The only room that knows both hives and the files of the host.
//!
//! [`target`] finds the hive that the user means, [`disk`] inside an image too, [`reading`] reads it where it lies, [`edit`] prepares and proves a
//! change, [`commit`] brings patches to the disk, [`undo`] takes them back. Nobody else writes.

pub mod commit;
pub mod disk;
pub mod edit;
mod host_files;
pub mod logs;
pub mod reading;
pub mod surroundings;
pub mod target;
pub mod undo;

pub use logs::LogChoice;
pub use reading::{Answer, HiveFile, Judged, Logs, Reading, State};
