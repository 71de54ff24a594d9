//! Whether the files that an image says are parts of it are read with it, and are nothing else.

use std::path::{Path, PathBuf};

use crate::container::{About, HostFile};
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
        let abouts = std::iter::successors(Some(top.about()), |about| about.below.as_deref());
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
            (Some(Looks::Container), None) => is_extent(&head),
            (Some(Looks::Disk), None) => self.disks.iter().any(|disk| disk.begins_with(&part)),
        }
    }
}

/// Whether it is an extent of a VMDK that no descriptor stands in: without that of another file it is nothing. (VMware's
/// "Virtual Disk Format 5.0": the descriptor's place in sectors is at 28 of a hosted sparse extent, and QEMU leaves the place
/// empty; COWD extents have none. The magic of seSparse is from QEMU's `block/vmdk.c`.)
fn is_extent(head: &[u8]) -> bool {
    match head.get(..4) {
        Some(b"KDMV") => {
            let place = head.get(28..36).and_then(|place| place.first_chunk()).map(|place| u64::from_le_bytes(*place));
            let start = place.and_then(|sectors| usize::try_from(sectors.checked_mul(512)?).ok());
            let text = start.and_then(|start| head.get(start..start.checked_add(512)?));
            place == Some(0) || text.is_some_and(|text| text.iter().all(|&byte| byte == 0))
        }
        Some(magic) => magic == b"COWD" || magic == 0xcafe_babe_u32.to_le_bytes(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_without_a_descriptor_are_nothing_alone() {
        let mut sparse = vec![0; 512];
        sparse[..4].copy_from_slice(b"KDMV");
        assert!(is_extent(&sparse));
        sparse[28] = 1;
        assert!(!is_extent(&sparse), "it has its own");
        sparse.resize(1024, 0);
        assert!(is_extent(&sparse), "there is room for one");
        sparse[512] = b'#';
        assert!(!is_extent(&sparse));
        sparse[28..36].fill(0xff);
        assert!(!is_extent(&sparse));
        assert!(is_extent(b"COWD\x01") && is_extent(b"\xbe\xba\xfe\xca\0\0\0\0"));
        assert!(!is_extent(b"QFI\xfb") && !is_extent(b"# Disk") && !is_extent(b"KD"));
    }
}
