//! Whether the files that an image says are parts of it are read with it, and are nothing else.

use std::path::{Path, PathBuf};

use crate::container::{About, HostFile, relatives};
use crate::fleet::find::{HEAD, Looks, looks_like_target};
use crate::session::disk::{Disk, ImageOptions};
use crate::storage::{Host, RealHost, look};

/// An image that was read, and those that it stands on.
pub(super) struct Whole {
    files: Vec<PathBuf>,
    /// Each image of the chain, and whether it was taken for raw.
    layers: Vec<(PathBuf, bool)>,
    /// The disk that each of them shows.
    disks: Vec<Disk>,
}

impl Whole {
    /// The image at `path`. `None` where it cannot be opened, and so has no parts.
    pub(super) fn of(path: &Path, options: &ImageOptions) -> Option<Self> {
        let top = Disk::open_as(path, options).ok()??;
        let files = top.files().iter().map(|HostFile { path, .. }| path.clone()).collect();
        let abouts = top.about().layers();
        let layers: Vec<_> = abouts.map(|About { file, format, .. }| (file.clone(), *format == "raw")).collect();
        let below = layers.iter().skip(1).filter_map(|(file, _)| Disk::open_as(file, options).ok()?);
        let disks = below.collect::<Vec<_>>();
        Some(Whole { files, layers, disks: std::iter::once(top).chain(disks).collect() })
    }

    /// Whether what `part` holds is read with this one, and it is no disk or hive of its own of which only a piece, or
    /// nothing but the bytes of its container, stands in this one.
    pub(super) fn has(&self, part: &Path) -> bool {
        let Ok(part) = RealHost.resolve(part) else { return false };
        if !self.files.contains(&part) {
            return false;
        }
        let Ok(Some((seen, head))) = look::peek(&part, HEAD, true) else { return false };
        let looks = looks_like_target(&head, seen.len, &part.file_name().unwrap_or_default().to_string_lossy());
        let layer = self.layers.iter().find(|(file, _)| *file == part);
        match (looks, layer) {
            (Some(Looks::Container | Looks::Hive), Some((_, is_raw))) => !is_raw,
            (_, Some(_)) | (None | Some(Looks::DiskByName), None) => true,
            (Some(Looks::Hive), None) => false,
            (Some(Looks::Container), None) => relatives(&part).is_fragment,
            (Some(Looks::Disk), None) => self.disks.iter().any(|disk| disk.begins_with(&part)),
        }
    }
}
