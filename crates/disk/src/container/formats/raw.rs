//! Raw images: the bytes of the disk and nothing else, in one file or in segments.

use crate::container::formats::parallels;
use crate::container::{About, Format, Image, Opening, Variant};
use hivewright_error::{Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::folder::{EntryKind, entries};
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
    // Nothing shows it: it is what is left.
    is: |_| false,
    open,
    endings: &[],
    references: None,
};

pub(in crate::container) fn open(opening: Opening<'_>) -> Result<Image> {
    let role = opening.part();
    let ending = opening.path.extension().unwrap_or_default();
    let remark = if ending.eq_ignore_ascii_case("hds") { parallels::bundle::look(&opening)? } else { None };
    let Opening { gate, file, path, .. } = opening;
    let about =
        About { format: "raw", file: path.to_owned(), remarks: remark.into_iter().collect(), ..About::default() };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(names) = segments(path, &name)? else {
        let size = file.len()?;
        let disk = Arc::new(Window::new(file, 0, size, Space::Disk)?);
        return Ok(Image { disk, about: About { size, variant: "whole".into(), ..about } });
    };
    let mut parts: Vec<(String, Arc<dyn Storage>)> = Vec::new();
    for segment in names {
        let storage = if segment == name { file.clone() } else { gate.segment(path, &segment, role)? };
        parts.push((segment, storage));
    }
    let variant = format!("{} segments", parts.len());
    let disk = Arc::new(Split::new(parts)?);
    Ok(Image { about: About { size: disk.len()?, variant, ..about }, disk })
}

/// The segments of the split image that `path` is one of.
fn segments(path: &Path, name: &str) -> Result<Option<Vec<String>>> {
    // Listing a folder can cost more than all of the reading: the name alone says whether it is worth it.
    if matches!(order(name, [name]), Ok(None)) {
        return Ok(None);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    // Two names that are not UTF-8 may look alike.
    let names: Vec<String> = entries(folder, EntryKind::File, &|_| true)?
        .iter()
        .filter(|other| other.file_stem() == path.file_stem())
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    order(name, names.iter().map(String::as_str))
}
