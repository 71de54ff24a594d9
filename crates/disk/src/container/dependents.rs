//! Images that depend on another one. An image does not name its children, but the children in its folder are found by
//! the parent that each of them names; those of Parallels by the descriptor beside them.
//!
//! A write to an image changes the disks of its children wherever they have no blocks of their own; metadata of a file
//! system that lies half in the child may then be inconsistent. So dependents are searched before a write in place.
//!
//! A file may also be part of an image that another file describes: a VMDK extent, the data file of a qcow2 image. A
//! write to it by its own name bypasses that image and the image's children.
//!
//! The other images may be hostile: at most [`MOST_FILES`] are opened, only regular ones, and at most [`MOST_IMAGES`]
//! are read beyond their first and last bytes. Names in them are compared, and never opened. The result says whether it
//! is incomplete.

use std::path::{Path, PathBuf};

use super::FORMATS;
use super::formats::parallels::bundle::{merge, standing_on};
use super::references::{last_part, meant_by, said};
use hivewright_error::Kind;
use hivewright_storage::folder::EntryKind;
use hivewright_storage::probe::{Seen, folders_on_the_way, list, open_plain, see};

/// Files opened at most; those whose names begin as the image's come first.
const MOST_FILES: usize = 1 << 16;
/// Images read beyond their first and last bytes at most.
const MOST_IMAGES: usize = 4096;
/// The subfolder of a machine's folder where VirtualBox keeps differencing images.
const SNAPSHOTS: &str = "Snapshots";

/// The names and the identifier of an image, by which others may refer to it.
struct ImageNames<'a> {
    /// The files of the image; the one that the user named comes first.
    files: &'a [(PathBuf, Option<Seen>)],
    /// The identifier by which children refer to it that have no name of it.
    own: Option<[u8; 16]>,
}

impl ImageNames<'_> {
    /// Returns whether `name`, in an image of `folder`, refers to one of the files.
    fn is_called(&self, name: &str, folder: &Path) -> bool {
        let own = self.files.first().and_then(|(path, _)| path.parent());
        let Some(seen) = meant_by(name, folder, own) else { return self.resembles(name) };
        match (seen.id, last_part(name)) {
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
    /// Whether a limit cut the search short.
    pub is_cut: bool,
    /// The advice where children can only be merged.
    pub advice: Option<String>,
}

/// Searches the images in the folder of `files`, the files of one image without links; in the folders of `named`, the
/// name that the user gave, and of the links that it goes through; and in their VirtualBox snapshot folders. Damaged
/// images are ignored.
pub fn find_dependents(files: &[PathBuf], named: &Path) -> FoundDependents {
    let mut found = look(files, named);
    if !found.wholes.is_empty() {
        // Children of the whole image depend on its parts.
        let all: Vec<PathBuf> = files.iter().chain(&found.wholes).cloned().collect();
        found.children = look(&all, named).children;
    }
    found
}

fn look(files: &[PathBuf], named: &Path) -> FoundDependents {
    let known: Vec<(PathBuf, Option<Seen>)> = files.iter().map(|path| (path.clone(), see(path).ok())).collect();
    let mut found = FoundDependents::default();
    let Some((first, Some(_))) = known.first() else { return found };
    match standing_on(first) {
        Ok(above) => {
            found.children.extend(above.into_iter().filter(|path| !files.contains(path)));
            found.advice = (!found.children.is_empty()).then(merge);
        }
        Err(descriptor) => found.closed.push(descriptor),
    }
    let (Some(folder), Ok(Some(own))) = (first.parent(), open_plain(first)) else { return found };
    let own = said(first, own).and_then(|said| said.own);
    let (known, mut images) = (ImageNames { files: &known, own }, 0);
    let paths = candidates(first, named, &mut found.is_cut);
    for path in paths.into_iter().filter(|path| !files.contains(path)) {
        let file = match open_plain(&path) {
            Ok(Some(file)) => file,
            Err(error) if error.kind() != Kind::NotFound && may_be_image(&path, first) => {
                found.closed.push(path);
                continue;
            }
            _ => continue,
        };
        let Some(said) = said(&path, file) else { continue };
        if said.piece.is_some() {
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
            found.children.push(path);
        } else if files.len() == 1 && is_one_of(&said.parts) {
            found.wholes.push(path);
        }
    }
    found
}

/// Returns the regular files in the folder of the image at `first` and in its snapshot folder, those first whose names
/// begin as the image's; then those of the folders of `named` and of its links. Skips links and special files.
fn candidates(first: &Path, named: &Path, is_cut: &mut bool) -> Vec<PathBuf> {
    let folder = first.parent().unwrap_or(Path::new("/"));
    let own = first.file_stem().unwrap_or_default().as_encoded_bytes();
    let mut paths = Vec::new();
    let folders = std::iter::once(folder.to_owned());
    let folders = folders.chain(folders_on_the_way(named).into_iter().filter(|other| other != folder));
    for folder in folders.flat_map(|folder| [folder.join(SNAPSHOTS), folder].into_iter().rev()) {
        let mut names = list(&folder).unwrap_or_default();
        names.retain(|named| named.kind == EntryKind::File);
        names.sort_by_key(|named| !named.name.as_encoded_bytes().starts_with(own));
        paths.extend(names.into_iter().map(|named| folder.join(named.name)));
    }
    *is_cut = paths.len() > MOST_FILES;
    paths.truncate(MOST_FILES);
    paths
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
