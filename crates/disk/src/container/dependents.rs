//! Images that depend on another one. An image does not name its children, but the children in its folder are found by
//! the parent that each of them names; those of Parallels by the descriptor beside them.
//!
//! A write to an image changes the disks of its children wherever they have no blocks of their own; metadata of a file
//! system that is partly in the child may then be inconsistent. So dependents are searched before a write in place.
//!
//! A file may also be part of an image that another file describes: a VMDK extent, the data file of a qcow2 image. A
//! write to it by its own name bypasses that image and the image's children.
//!
//! The other images may be hostile: at most [`MOST_FILES`] are opened, only regular ones, and at most [`MOST_IMAGES`]
//! are read beyond their first and last bytes. Names in them are compared, and never opened. The result says whether it
//! is incomplete.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::FORMATS;
use super::formats::parallels::bundle::{merge, standing_on};
use super::references::{References, last_part, meant_by, said};
use hivewright_error::Kind;
use hivewright_storage::probe::{EntryKind, Metadata, folders_on_the_way, list, metadata, open_plain};

/// Maximum number of opened files. Files whose names begin with that of the image come first.
const MOST_FILES: usize = 1 << 16;
/// Maximum number of images that are read beyond their first and last bytes.
const MOST_IMAGES: usize = 4096;
/// The subfolder of a machine's folder where VirtualBox keeps differencing images.
const SNAPSHOTS: &str = "Snapshots";

/// Folders that a [`DependentSearch`] remembers.
const MOST_FOLDERS: usize = 16;

/// The names and the identifier of an image, by which others may refer to it.
struct ImageNames<'a> {
    /// The files of the image; the one that the user named comes first.
    files: &'a [(PathBuf, Option<Metadata>)],
    /// The identifier by which children without its name refer to it.
    own: Option<[u8; 16]>,
}

impl ImageNames<'_> {
    /// Returns whether `name`, in an image of `folder`, refers to one of the files.
    fn is_called(&self, name: &str, folder: &Path) -> bool {
        let own = self.files.first().and_then(|(path, _)| path.parent());
        let Some(found) = meant_by(name, folder, own) else { return self.resembles(name) };
        match (found.id, last_part(name)) {
            (Some(id), _) => self.files.iter().any(|(_, own)| own.is_some_and(|own| own.id == Some(id))),
            (None, Some(last)) => self.files.iter().any(|(path, _)| path.ends_with(&last)),
            (None, None) => false,
        }
    }

    /// Returns whether `name`, the lossy text of a name that is not UTF-8, may be the name of one of the files.
    fn resembles(&self, name: &str) -> bool {
        let Some(name) = last_part(name).filter(|name| name.contains(char::REPLACEMENT_CHARACTER)) else {
            return false;
        };
        self.files.iter().any(|(path, _)| path.file_name().unwrap_or_default().to_string_lossy() == name)
    }
}

/// The images that depend on another one.
#[derive(Debug, Default)]
pub struct FoundDependents {
    /// Images that use it as parent or backing file.
    pub children: Vec<PathBuf>,
    /// Images of which it is a part; empty if it has several files.
    pub wholes: Vec<PathBuf>,
    /// Possible images that cannot be opened.
    pub closed: Vec<PathBuf>,
    /// Whether a limit ended the search.
    pub is_cut: bool,
    /// The advice if children can only be merged.
    pub advice: Option<String>,
}

/// Searches the images in the folder of `files`, the files of one image without links; in the folders of `named`, the
/// name that the user gave, and of the links that it goes through; and in their VirtualBox snapshot folders. Damaged
/// images are ignored.
pub fn find_dependents(files: &[PathBuf], named: &Path) -> FoundDependents {
    DependentSearch::default().find(files, named)
}

/// A search for the dependents of several images. It remembers the files of the last folders, so that the search is
/// linear for images of one folder; it does not notice later changes.
#[derive(Debug, Default)]
pub struct DependentSearch {
    folders: Mutex<VecDeque<(PathBuf, Arc<[Entry]>)>>,
}

/// A regular file of a folder.
#[derive(Debug)]
struct Entry {
    path: PathBuf,
    contents: OnceLock<Contents>,
}

/// The contents of a file, as far as they may make it a dependent.
#[derive(Debug)]
enum Contents {
    Image(Box<References>),
    /// It exists and cannot be opened.
    Closed,
    Other,
}

impl Entry {
    fn new(path: PathBuf) -> Self {
        Entry { path, contents: OnceLock::new() }
    }

    fn contents(&self) -> &Contents {
        self.contents.get_or_init(|| match open_plain(&self.path) {
            Ok(Some(file)) => said(&self.path, file).map_or(Contents::Other, |said| Contents::Image(Box::new(said))),
            Err(error) if error.kind() != Kind::NotFound => Contents::Closed,
            _ => Contents::Other,
        })
    }
}

impl DependentSearch {
    /// Searches the dependents of an image. See [`find_dependents`].
    pub fn find(&self, files: &[PathBuf], named: &Path) -> FoundDependents {
        let mut found = self.search(files, named);
        if !found.wholes.is_empty() {
            // Children of the whole image depend on its parts.
            let all: Vec<PathBuf> = files.iter().chain(&found.wholes).cloned().collect();
            found.children = self.search(&all, named).children;
        }
        found
    }

    fn search(&self, files: &[PathBuf], named: &Path) -> FoundDependents {
        let known: Vec<(PathBuf, Option<Metadata>)> =
            files.iter().map(|path| (path.clone(), metadata(path).ok())).collect();
        let mut found = FoundDependents::default();
        let Some((first, Some(data))) = known.first() else { return found };
        match standing_on(first) {
            Ok(above) => {
                found.children.extend(above.into_iter().filter(|path| !files.contains(path)));
                found.advice = (!found.children.is_empty()).then(merge);
            }
            Err(descriptor) => found.closed.push(descriptor),
        }
        let (Some(folder), EntryKind::File) = (first.parent(), data.kind) else { return found };
        let folders = self.folders_of(folder, named);
        // The list of its folder may be older than the image, or impossible.
        let unlisted = Entry::new(first.clone());
        let listed = folders.iter().flat_map(|files| files.iter()).find(|entry| entry.path == *first);
        let own = match listed.unwrap_or(&unlisted).contents() {
            Contents::Image(said) => said.own,
            Contents::Other => None,
            Contents::Closed => return found,
        };
        let (known, mut images) = (ImageNames { files: &known, own }, 0);
        for entry in candidates(&folders, first, &mut found.is_cut) {
            let path = &entry.path;
            let said = match entry.contents() {
                Contents::Image(said) if said.piece.is_none() => said,
                Contents::Closed if may_be_image(path, first) && !files.contains(path) => {
                    found.closed.push(path.clone());
                    continue;
                }
                _ => continue,
            };
            if files.contains(path) {
                continue;
            }
            images += 1;
            if images > MOST_IMAGES {
                found.is_cut = true;
                break;
            }
            let folder = path.parent().unwrap_or(folder);
            let is_one_of = |names: &[String]| names.iter().any(|name| known.is_called(name, folder));
            if is_one_of(&said.parents) || said.parent.is_some_and(|parent| known.own == Some(parent)) {
                found.children.push(path.clone());
            } else if files.len() == 1 && is_one_of(&said.parts) {
                found.wholes.push(path.clone());
            }
        }
        found
    }

    /// Returns the regular files in `folder` and in its snapshot folder, then those of the folders of `named` and of
    /// its links.
    fn folders_of(&self, folder: &Path, named: &Path) -> Vec<Arc<[Entry]>> {
        let folders = std::iter::once(folder.to_owned());
        let folders = folders.chain(folders_on_the_way(named).into_iter().filter(|other| other != folder));
        folders
            .flat_map(|folder| [folder.join(SNAPSHOTS), folder].into_iter().rev())
            .map(|f| self.files_of(f))
            .collect()
    }

    fn files_of(&self, folder: PathBuf) -> Arc<[Entry]> {
        // An entry is inserted completely or not at all.
        let known = || self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, files)) = known().iter().find(|known| known.0 == folder) {
            return files.clone();
        }
        let mut files = list(&folder).unwrap_or_default();
        files.retain(|named| named.kind == EntryKind::File);
        let files: Arc<[Entry]> = files.into_iter().map(|named| Entry::new(folder.join(named.name))).collect();
        let mut known = known();
        known.truncate(MOST_FOLDERS - 1);
        known.push_front((folder, files.clone()));
        files
    }
}

/// Returns the files of each folder, those first whose names begin as that of the image at `first`.
fn candidates<'f>(folders: &'f [Arc<[Entry]>], first: &Path, is_cut: &mut bool) -> Vec<&'f Entry> {
    let own = first.file_stem().unwrap_or_default().as_encoded_bytes();
    let is_similar =
        |entry: &&Entry| entry.path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(own));
    let mut entries = Vec::new();
    for folder in folders {
        let (similar, others): (Vec<_>, Vec<_>) = folder.iter().partition(is_similar);
        entries.extend(similar.into_iter().chain(others));
    }
    *is_cut = entries.len() > MOST_FILES;
    entries.truncate(MOST_FILES);
    entries
}

/// Returns whether a file that cannot be opened may be an image: it has an extension of images, or its name begins as
/// that of `image`, as libvirt names overlays.
fn may_be_image(path: &Path, image: &Path) -> bool {
    const OF_OTHERS: [&str; 10] = ["log", "vmx", "vmxf", "vmsd", "nvram", "xml", "txt", "json", "iso", "lock"];
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let (name, stem) = (path.file_name().unwrap_or_default(), image.file_stem().unwrap_or_default());
    let is_named_alike = name.as_encoded_bytes().starts_with(stem.as_encoded_bytes());
    let mut of_images = FORMATS.iter().filter(|format| format.references.is_some()).flat_map(|format| format.endings);
    of_images.any(|of_image| *of_image == ending)
        || is_named_alike && !OF_OTHERS.contains(&&*ending) && !name.to_string_lossy().contains("hivewright")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a qcow2 image with the backing file `base`.
    fn overlay() -> Vec<u8> {
        const NAME: &[u8] = b"base";
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
        bytes[8..16].copy_from_slice(&256u64.to_be_bytes());
        bytes[16..20].copy_from_slice(&4u32.to_be_bytes());
        bytes[256..260].copy_from_slice(NAME);
        bytes
    }

    #[test]
    fn an_image_that_no_list_has_has_dependents() {
        let folder = tempfile::tempdir().unwrap();
        let home = std::fs::canonicalize(folder.path()).unwrap();
        let (base, above) = (home.join("base"), home.join("above.qcow2"));
        std::fs::write(&above, overlay()).unwrap();
        let search = DependentSearch::default();
        search.folders_of(&home, &above);
        std::fs::write(&base, [0; 512]).unwrap();
        assert_eq!(search.find(std::slice::from_ref(&base), &base).children, [above]);
    }
}
