//! Finds hives from the path that the user named: file of the host, image, volume, files, Windows installation, hive.
//! Never writes.
//!
//! A bare hive and a folder of the host are images like any other: see [`Image`]. All layers above use a
//! [`HiveHandle`].

mod disk;
mod folder;
mod hive;
mod host_obstacles;
mod image;
mod installation;
pub mod logs;
mod obstacles;
mod options;
mod paged;
mod placement;
mod volume;

pub(crate) use disk::absolute;
pub use disk::{Choice, Disk, VolumeChoice};
pub(crate) use folder::no_hive_no_disk;
pub use folder::{HiveFile, installation_at};
pub use hive::HiveHandle;
pub use image::Image;
pub(crate) use installation::roots;
pub use installation::{Installation, Search, UnsearchedVolume};
pub use logs::LogChoice;
pub use obstacles::Obstacle;
pub(crate) use obstacles::{of_children, of_dirty, of_file, of_volume};
pub use options::ImageOptions;
pub use paged::Paged;
pub(crate) use placement::Placement;

use std::path::Path;

use hivewright_error::{Code, Error};

/// Returns the refusal of a file that has changed since it was read.
pub(crate) fn changed_since(path: &Path) -> Error {
    let what = format!("{} has changed since it was read", path.display());
    Error::refused(Code::ChangedSince, what).advise("close other programs that use the file, then try again")
}
