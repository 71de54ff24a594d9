//! The parent of a differencing image. The image does not name it; VirtualBox keeps the name in its registry. It is
//! searched by its identifier among the images in the same folder and in the folders that the user allows.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::header::{Header, Uuid};
use crate::container::{Image, Opening, Role, open_layer};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::probe::{EntryKind, select};

/// Maximum number of images that are examined in one folder.
const MOST: usize = 4096;

/// Opens the parent.
pub(super) fn open(opening: &Opening<'_>, header: &Header, remarks: &mut Vec<(Code, String)>) -> Result<Image> {
    let (name, parent) = find(opening, header)?;
    let (path, file) = opening.policy.named(opening.path, &name, Role::Backing)?;
    if parent.changed != header.parent_changed {
        let what = format!(
            "the parent {} has changed since this image was made, so the two may not match: its identifier is {} instead of {}",
            path.display(),
            parent.changed,
            header.parent_changed
        );
        remarks.push((Code::VdiParentChanged, what));
    }
    if parent.size != header.size {
        let what = format!("the parent's disk has {} bytes, this one {}", parent.size, header.size);
        remarks.push((Code::VdiParentSize, what));
    }
    let below = Opening { policy: opening.policy, file, path: &path, role: Role::Backing, depth: opening.depth + 1 };
    // A parent that was named with its format either opens or is an error.
    let image = open_layer(below, Some(super::FORMAT.name))?;
    image.ok_or_else(|| Error::new(Kind::Corrupt, Code::VdiParent, "the parent is not an image"))
}

/// Returns the name and header of the parent. Of several images with the parent's identifier, the one with unchanged
/// contents is chosen.
fn find(opening: &Opening<'_>, header: &Header) -> Result<(String, Header)> {
    if header.parent_made == Uuid([0; 16]) {
        return Err(super::corrupt(
            Code::VdiParent,
            "the differencing image does not contain the identifier of its parent",
            424,
        ));
    }
    let mut found: Vec<(String, Header)> = Vec::new();
    for path in images(opening) {
        // If the name is not text, the same folders are searched.
        let name = path.to_str().map_or_else(|| path.file_name().unwrap_or_default().to_string_lossy(), Cow::from);
        // Files that cannot be read are not the parent.
        let Ok((_, file)) = opening.policy.look_at(opening.path, &name) else { continue };
        let Ok(this) = Header::read(&*file) else { continue };
        if this.made == header.parent_made {
            found.push((name.into_owned(), this));
        }
    }
    if found.iter().any(|(_, this)| this.changed == header.parent_changed) {
        found.retain(|(_, this)| this.changed == header.parent_changed);
    }
    match (found.pop(), found.pop()) {
        (Some(parent), None) => Ok(parent),
        (Some((one, _)), Some((two, _))) => {
            let what = format!("{one} and {two} both have the identifier of the parent, {}", header.parent_made);
            Err(Error::refused(Code::VdiParentAmbiguous, what)
                .advise("remove the wrong one from the folders that are searched"))
        }
        (None, _) => {
            let what = format!("the image {} needs its parent, {}", opening.path.display(), header.parent_made);
            Err(Error::new(Kind::NotFound, Code::NoFile, what).advise(
                "copy it beside the image, or give --allow-path with the folder of the parent: \
                 VirtualBox keeps it one folder above its snapshots",
            ))
        }
    }
}

/// Returns the other images in the folder of this image and in the folders that the user allows, each once.
fn images(opening: &Opening<'_>) -> Vec<PathBuf> {
    let is_image = |name: &OsStr| name.to_ascii_lowercase().as_encoded_bytes().ends_with(b".vdi");
    let own = opening.path.parent().map(Path::to_owned);
    let mut images: Vec<PathBuf> = Vec::new();
    for folder in own.into_iter().chain(opening.policy.folders()) {
        let here = select(&folder, EntryKind::File, &is_image).unwrap_or_default();
        images.extend(here.into_iter().take(MOST));
    }
    images.sort();
    images.dedup();
    images.retain(|path| path != opening.path);
    images
}
