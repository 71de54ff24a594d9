//! Raw images: the bytes of the disk, in one file or in segments.

use crate::container::formats::parallels;
use crate::container::{About, Format, Image, Opening, Variant};
use hivewright_error::{Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::probe::{EntryKind, select};
use hivewright_storage::split::{Split, order};
use hivewright_storage::window::Window;
use std::path::Path;
use std::sync::Arc;

pub(in crate::container) const FORMAT: Format = Format {
    name: "raw",
    title: "raw",
    variants: &[
        Variant { what: "one file, or a block device", reads: "yes", writes: "yes" },
        Variant { what: "split (.001, .002 ...)", reads: "yes", writes: "yes" },
    ],
    // A raw disk has no signature: it is the fallback.
    is: |_| false,
    open,
    endings: &[],
    references: None,
};

pub(in crate::container) fn open(opening: Opening<'_>) -> Result<Image> {
    let role = opening.part();
    let ending = opening.path.extension().unwrap_or_default();
    let remark = if ending.eq_ignore_ascii_case("hds") { parallels::bundle::look(&opening)? } else { None };
    let Opening { policy, file, path, .. } = opening;
    let about =
        About { format: "raw", file: path.to_owned(), remarks: remark.into_iter().collect(), ..About::default() };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(names) = segments(path, &name)? else {
        let size = file.len()?;
        let disk = Arc::new(Window::new(file, 0, size, Space::Disk)?);
        return Ok(Image::of_disk(disk, About { size, variant: "whole".into(), ..about }));
    };
    let mut parts: Vec<(String, Arc<dyn Storage>)> = Vec::new();
    for segment in names {
        let storage = if segment == name { file.clone() } else { policy.segment(path, &segment, role)? };
        parts.push((segment, storage));
    }
    let variant = format!("{} segments", parts.len());
    let disk = Arc::new(Split::new(parts)?);
    let about = About { size: disk.len()?, variant, ..about };
    Ok(Image::of_disk(disk, about))
}

/// Returns the segments of the split image that `path` belongs to.
fn segments(path: &Path, name: &str) -> Result<Option<Vec<String>>> {
    // Listing a large folder can cost more than reading the image, so the name is checked first.
    if matches!(order(name, [name]), Ok(None)) {
        return Ok(None);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    // Different names that are not UTF-8 may have the same text.
    let names: Vec<String> = select(folder, EntryKind::File, &|_| true)?
        .iter()
        .filter(|other| other.file_stem() == path.file_stem())
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    order(name, names.iter().map(String::as_str))
}
