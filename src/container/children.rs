//! Images that stand on another one. Nothing in that one names them, but those in its folder can be found, by the parent
//! that each of them names.
//!
//! Whoever writes to an image changes what its children show where they hold nothing themselves, and what they do hold,
//! such as half of a file system's metadata, may no longer fit. So this is asked before a write in place.
//!
//! A file may also be part of an image that another one describes: an extent of VMware, the data file of a qcow2 image.
//! Who writes to it by its own name goes past whatever that image knows, and past its children.
//!
//! The neighbours may be anybody's, and hostile: at most [`MOST_FILES`] are opened, none but regular files, of at most
//! [`MOST_IMAGES`] more than the ends are read, and at most [`MOST_BYTES`] of each. The names in them are looked up and lead
//! to nothing that is opened. What cannot be found out for all that is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::gate::on_this_host;
use super::looks::Ends;
use super::{FORMATS, Format, StandsOn, vhdx};
use crate::error::{Error, Kind, Place, Result};
use crate::storage::folder::EntryKind;
use crate::storage::look::{Seen, list, open_plain, see};
use crate::storage::{FileStorage, Storage};

/// Files that are opened, those whose names begin as the image's first.
const MOST_FILES: usize = 1 << 16;
/// Images of which more than the ends are read.
const MOST_IMAGES: usize = 4096;
/// The folder below that of a machine's disks where VirtualBox keeps what stands on them.
const SNAPSHOTS: &str = "Snapshots";
/// Bytes that are read of each: of nearly all it is the first sectors and the last, of a VHDX its tables too.
const MOST_BYTES: u64 = 512 << 10;

/// The image on which others may stand, as a format asks about it.
pub struct Parent<'a> {
    /// Its files, the one that was named first.
    files: &'a [(PathBuf, Option<Seen>)],
    /// The folder from which names lead: that of the image that is asked.
    folder: PathBuf,
    /// The first file.
    pub(super) file: Arc<dyn Storage>,
}

impl Parent<'_> {
    /// Whether `name`, in an image of the same folder, leads to one of the files. A name that leads nowhere from here,
    /// such as that of a folder on another machine, is taken for the file of that name in this folder.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let name = on_this_host(name);
        let last = name.file_name().unwrap_or_default();
        let own = self.files.first().and_then(|(path, _)| path.parent()).unwrap_or(&self.folder);
        let beside = || see(&self.folder.join(last)).or_else(|_| see(&own.join(last)));
        let Ok(seen) = see(&self.folder.join(&name)).or_else(|_| beside()) else { return false };
        match seen.id {
            Some(id) => self.files.iter().any(|(_, own)| own.is_some_and(|own| own.id == Some(id))),
            None => self.files.iter().any(|(path, _)| path.file_name() == name.file_name()),
        }
    }
}

/// What is known of the images around one.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// Those that stand on it.
    pub children: Vec<PathBuf>,
    /// Those of which it is a part, where it has but one file.
    pub wholes: Vec<PathBuf>,
    /// What may be an image, and cannot be opened.
    pub closed: Vec<PathBuf>,
    /// Whether there is more than is looked at.
    pub is_cut: bool,
}

/// The names by which the VHDX at `path` calls its parent: they stand far behind its first bytes. None where it has no
/// parent, or cannot be read.
pub fn parents_of_vhdx(path: &Path) -> Vec<String> {
    let Ok(Some(file)) = open_plain(path) else { return Vec::new() };
    vhdx::parents(&Little::of(file)).unwrap_or_default()
}

/// The images around that of `files` that stand on any of them.
pub fn children(files: &[PathBuf]) -> Vec<PathBuf> {
    neighbours(files).children
}

/// Looks at the images in the folder of `files`, which are one image's, and in the one where VirtualBox keeps snapshots.
/// What is damaged is no image.
pub fn neighbours(files: &[PathBuf]) -> Neighbours {
    let mut found = look(files);
    if !found.wholes.is_empty() {
        // What stands on the whole stands on its parts.
        let all: Vec<PathBuf> = files.iter().chain(&found.wholes).cloned().collect();
        found.children = look(&all).children;
    }
    found
}

fn look(files: &[PathBuf]) -> Neighbours {
    let known: Vec<(PathBuf, Option<Seen>)> = files.iter().map(|path| (path.clone(), see(path).ok())).collect();
    let mut found = Neighbours::default();
    let Some((first, Some(_))) = known.first() else { return found };
    let (Some(folder), Ok(Some(own))) = (first.parent(), open_plain(first)) else { return found };
    let mut parent = Parent { files: &known, folder: folder.to_owned(), file: Arc::new(Little::of(own)) };
    let mut images = 0;
    let paths = around(first, &mut found.is_cut);
    for path in paths.into_iter().filter(|path| !files.contains(path)) {
        let file = match open_plain(&path) {
            Ok(Some(file)) => file,
            Err(error) if error.kind() != Kind::NotFound && may_be_image(&path, first) => {
                found.closed.push(path);
                continue;
            }
            _ => continue,
        };
        let file: Arc<dyn Storage> = Arc::new(Little::of(file));
        let Some(format) = format_of(&path, &*file).unwrap_or(None) else { continue };
        images += 1;
        if images > MOST_IMAGES {
            found.is_cut = true;
            break;
        }
        parent.folder = path.parent().unwrap_or(folder).to_owned();
        let asked = |ask: Option<StandsOn>| ask.is_some_and(|ask| ask(&file, &parent).unwrap_or(false));
        if asked(format.stands_on) {
            found.children.push(path);
        } else if files.len() == 1 && asked(format.has_part) {
            found.wholes.push(path);
        }
    }
    found
}

/// Regular files in the folder of the image at `first`, those first whose names begin as its own, and in the one of its
/// snapshots. Links and all that is special are passed over.
fn around(first: &Path, is_cut: &mut bool) -> Vec<PathBuf> {
    let folder = first.parent().unwrap_or(Path::new("/"));
    let own = first.file_stem().unwrap_or_default().as_encoded_bytes();
    let mut paths = Vec::new();
    for folder in [folder.to_owned(), folder.join(SNAPSHOTS)] {
        let mut names = list(&folder).unwrap_or_default();
        names.retain(|named| named.kind == EntryKind::File);
        names.sort_by_key(|named| !named.name.as_encoded_bytes().starts_with(own));
        paths.extend(names.into_iter().map(|named| folder.join(named.name)));
    }
    *is_cut = paths.len() > MOST_FILES;
    paths.truncate(MOST_FILES);
    paths
}

/// Its format, if images of it can name other files.
fn format_of(path: &Path, file: &dyn Storage) -> Result<Option<&'static Format>> {
    let ends = Ends::read(file, path)?;
    let probe = ends.probe();
    let found = FORMATS.iter().copied().find(|format| (format.is)(&probe));
    Ok(found.filter(|format| format.stands_on.is_some() || format.has_part.is_some()))
}

/// Whether a file that cannot be opened has a name as images have it: one that says so, or that of `image` and more, as
/// libvirt calls what stands on it.
fn may_be_image(path: &Path, image: &Path) -> bool {
    const OF_IMAGES: [&str; 9] = ["qcow2", "qcow", "qed", "vmdk", "vhd", "avhd", "vhdx", "avhdx", "vdi"];
    const OF_OTHERS: [&str; 10] = ["log", "vmx", "vmxf", "vmsd", "nvram", "xml", "txt", "json", "iso", "lock"];
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let (name, stem) = (path.file_name().unwrap_or_default(), image.file_stem().unwrap_or_default());
    let is_named_alike = name.as_encoded_bytes().starts_with(stem.as_encoded_bytes());
    OF_IMAGES.contains(&&*ending)
        || is_named_alike && !OF_OTHERS.contains(&&*ending) && !name.to_string_lossy().contains("hivewright")
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
