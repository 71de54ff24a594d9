//! Images that stand on another one. Nothing in that one names them, but those in its folder can be found, by the parent
//! that each of them names.
//!
//! Whoever writes to an image changes what its children show where they hold nothing themselves, and what they do hold,
//! such as half of a file system's metadata, may no longer fit. So this is asked before a write in place.
//!
//! The neighbours may be anybody's, and hostile: at most [`MOST`] are looked at, none but regular files, at most
//! [`MOST_BYTES`] of each. The names in them are looked up and lead to nothing that is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::FORMATS;
use super::gate::{neighbours, on_this_host};
use super::looks::Ends;
use super::vhdx;
use crate::error::{Error, Kind, Place, Result};
use crate::storage::look::{Seen, open_plain, see};
use crate::storage::{FileStorage, Storage};

/// Files of the folder that are looked at, those whose names begin as the image's first.
const MOST: usize = 512;
/// Bytes that are read of each: of nearly all it is the first sectors and the last, of a VHDX its tables too.
const MOST_BYTES: u64 = 512 << 10;

/// The image on which others may stand, as a format asks about it.
pub struct Parent<'a> {
    /// Its files, the one that was named first.
    files: &'a [(PathBuf, Option<Seen>)],
    /// The folder where names lead from.
    folder: &'a Path,
    /// The first file.
    pub(super) file: Arc<dyn Storage>,
}

impl Parent<'_> {
    /// Whether `name`, in an image of the same folder, leads to one of the files. A name that leads nowhere from here,
    /// such as that of a folder on another machine, is taken for the file of that name in this folder.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let name = on_this_host(name);
        let beside = || self.folder.join(name.file_name().unwrap_or_default());
        let Ok(seen) = see(&self.folder.join(&name)).or_else(|_| see(&beside())) else { return false };
        match seen.id {
            Some(id) => self.files.iter().any(|(_, own)| own.is_some_and(|own| own.id == Some(id))),
            None => self.files.iter().any(|(path, _)| path.file_name() == name.file_name()),
        }
    }
}

/// The images in the folder of `files`, which are one image's, that stand on any of them. What cannot be read is none.
pub fn children(files: &[PathBuf]) -> Vec<PathBuf> {
    let known: Vec<(PathBuf, Option<Seen>)> = files.iter().map(|path| (path.clone(), see(path).ok())).collect();
    let Some((first, Some(_))) = known.first() else { return Vec::new() };
    let (Some(folder), Some((_, own))) = (first.parent(), neighbours(first, &|path| path == first, 1).next()) else {
        return Vec::new();
    };
    let parent = Parent { files: &known, folder, file: Arc::new(Little::of(own)) };
    let is_other = |path: &Path| !files.iter().any(|own| own == path);
    let found = neighbours(first, &is_other, MOST).filter_map(|(path, file)| {
        let is_child = stands_on(&path, Arc::new(Little::of(file)), &parent);
        is_child.unwrap_or(false).then_some(path)
    });
    found.collect()
}

/// The names by which the VHDX at `path` calls its parent: they stand far behind its first bytes. None where it has no
/// parent, or cannot be read.
pub fn parents_of_vhdx(path: &Path) -> Vec<String> {
    let Ok(Some(file)) = open_plain(path) else { return Vec::new() };
    vhdx::parents(&Little::of(file)).unwrap_or_default()
}

fn stands_on(path: &Path, file: Arc<dyn Storage>, parent: &Parent<'_>) -> Result<bool> {
    let ends = Ends::read(&*file, path)?;
    let probe = ends.probe();
    match FORMATS.iter().find(|format| (format.is)(&probe)).and_then(|format| format.stands_on) {
        Some(stands_on) => stands_on(&file, parent),
        None => Ok(false),
    }
}

/// Whether the name of `len` bytes at `at` of the file, as the header of QEMU's formats has it, is the parent's. Their
/// names may be descriptions in JSON too, in which every string is tried.
pub(super) fn names_in_header(file: &dyn Storage, at: u64, len: u64, parent: &Parent<'_>) -> Result<bool> {
    if at == 0 || len == 0 || len > 1023 {
        return Ok(false);
    }
    let mut name = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_at(at, &mut name)?;
    let name = String::from_utf8_lossy(&name);
    Ok(match name.strip_prefix("json:") {
        Some(json) => json.split('"').any(|part| !part.is_empty() && parent.is_called(part)),
        None => parent.is_called(&name),
    })
}

/// A file of which only so much is read.
struct Little {
    file: FileStorage,
    left: AtomicU64,
}

impl Little {
    fn of(file: FileStorage) -> Self {
        Little { file, left: MOST_BYTES.into() }
    }
}

impl Storage for Little {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let take = |left: u64| left.checked_sub(buf.len() as u64);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Err(Error::new(Kind::Unsupported, "too-large", "more than the headers of an image would be read"));
        }
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::refused("neighbour", "a file of another image would be written to"))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        self.file.locate(offset)
    }
}
