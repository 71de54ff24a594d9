//! The lowest storey: a file of the host, its segments, or a block device.

use std::path::Path;

use crate::error::{Error, Kind, Result, Space};
use crate::storage::folder::{EntryKind, entries, kind_of};
use crate::storage::split::{Split, order};
use crate::storage::window::Window;
use crate::storage::{FileStorage, Storage};

pub(super) struct Bottom {
    /// Names of the segments; one for an image in one file.
    pub(super) segments: Vec<String>,
    pub(super) storage: Box<dyn Storage>,
    pub(super) is_device: bool,
}

/// Opens `path` for reading. `None` for a hive, a folder and whatever has no bytes to address.
pub(super) fn open(path: &Path) -> Result<Option<Bottom>> {
    let is_device = match kind_of(path)? {
        EntryKind::File => false,
        EntryKind::Device => true,
        EntryKind::Folder | EntryKind::Other => return Ok(None),
    };
    let file = FileStorage::open(path)?;
    let mut head = [0; 72];
    let some = usize::try_from(file.len()?).unwrap_or(usize::MAX).min(head.len());
    file.read_at(0, &mut head[..some])?;
    if head.starts_with(b"regf") || some < head.len() {
        return Ok(None);
    }
    refuse_container(path, &head)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(segments) = if is_device { None } else { segments(path, &name)? } {
        let mut opened: Vec<(String, Box<dyn Storage>)> = Vec::new();
        for segment in &segments {
            opened.push((segment.clone(), Box::new(FileStorage::open(&path.with_file_name(segment))?)));
        }
        return Ok(Some(Bottom { segments, storage: Box::new(Split::new(opened)?), is_device }));
    }
    let len = file.len()?;
    let file: Box<dyn Storage> = Box::new(file);
    let storage = Box::new(Window::new(file, 0, len, Space::Disk)?);
    Ok(Some(Bottom { segments: vec![name], storage, is_device }))
}

/// The segments of the split image that `path` is one of.
fn segments(path: &Path, name: &str) -> Result<Option<Vec<String>>> {
    // Listing a folder can cost more than all of the reading: the name alone says whether it is worth it.
    if matches!(order(name, [name]), Ok(None)) {
        return Ok(None);
    }
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let names: Vec<String> = entries(folder, EntryKind::File, &|_| true)?
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    order(name, names.iter().map(String::as_str))
}

/// Names the containers that are not raw: their bytes are not those of a disk.
fn refuse_container(path: &Path, head: &[u8; 72]) -> Result<()> {
    const MAGICS: [(usize, &[u8], &str); 8] = [
        (0, b"QFI\xfb", "a qcow2 image"),
        (0, b"vhdxfile", "a VHDX image"),
        (0, b"conectix", "a VHD image"),
        (0, b"KDMV", "a VMDK image"),
        (0, b"# Disk DescriptorFile", "a VMDK descriptor"),
        (64, b"\x7f\x10\xda\xbe", "a VDI image"),
        (0, b"EVF\x09", "an EWF (E01) image"),
        (0, b"MSWIM\0\0\0", "a WIM image"),
    ];
    let found = MAGICS.iter().find(|(at, magic, _)| head[*at..].starts_with(magic));
    let Some((_, _, what)) = found else { return Ok(()) };
    Err(Error::new(Kind::Unsupported, "container", format!("{} is {what}: only raw images are read", path.display()))
        .advise("convert a copy of it: qemu-img convert -O raw IMAGE DISK.raw (EWF: ewfexport, WIM: wimapply)"))
}
