//! Parallels bundles: a folder of images and `DiskDescriptor.xml`, which names the parent of each image; the images
//! themselves do not. Every image but the root has only the changes since its snapshot.
//!
//! Facts from QEMU's `docs/interop/prl-xml`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::container::helpers::xml::Tags;
use crate::container::{Opening, Role, last_part};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::probe::open_plain;

const DESCRIPTOR: &str = "DiskDescriptor.xml";
/// Maximum size of a descriptor in bytes.
const MOST: u64 = 1 << 20;
/// Maximum number of images and snapshots of one disk.
const MOST_IMAGES: usize = 1024;
/// The parent GUID of a root.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
/// Returns the advice for a disk with snapshots.
pub(in crate::container) fn merge() -> String {
    let command = advised::MERGE_PARALLELS;
    format!(
        "merge its snapshots in Parallels Desktop, or in a copy of the folder: {command}; then name the one .hds file that \
         remains"
    )
}
/// The advice for a split disk.
const JOIN: &str =
    "convert it to one file in Parallels Desktop (do not split, in the settings of the disk), and name that file";

/// An image of a bundle. Its GUID is without braces.
#[derive(Default)]
struct Listed {
    guid: String,
    file: String,
}

/// A snapshot: an image and its parent.
#[derive(Default)]
struct Snapshot {
    guid: String,
    parent: String,
}

/// The contents of a descriptor.
#[derive(Default)]
struct Bundle {
    /// The parts of a split disk, each with its images.
    storages: usize,
    images: Vec<Listed>,
    shots: Vec<Snapshot>,
}

fn broken(what: &str) -> Error {
    Error::new(Kind::Corrupt, Code::ParallelsDescriptor, format!("{DESCRIPTOR} beside the image {what}")).advise(
        "copy the folder again from its source; if the image is complete, move it to another folder and read it there",
    )
}

/// Returns whether a file with these first bytes is a descriptor.
pub(in crate::container) fn is_descriptor(head: &[u8]) -> bool {
    String::from_utf8_lossy(head).contains("<Parallels_disk_image")
}

impl Bundle {
    fn read(file: &dyn Storage) -> Result<Self> {
        let len = file.len()?;
        if len > MOST {
            return Err(broken("is too long").expected(format_args!("at most {MOST} bytes"), len));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_at(0, &mut bytes)?;
        Self::of(&String::from_utf8_lossy(&bytes))
    }

    fn of(text: &str) -> Result<Self> {
        enum Inside {
            Nothing,
            Image,
            Snapshot,
        }
        if !text.contains("</Parallels_disk_image>") {
            return Err(broken("is truncated or is not a Parallels descriptor"));
        }
        let (mut all, mut inside) = (Bundle::default(), Inside::Nothing);
        let guid = |text: String| text.trim_matches(['{', '}']).to_ascii_lowercase();
        for tag in Tags::of(text) {
            if all.images.len() > MOST_IMAGES || all.shots.len() > MOST_IMAGES {
                return Err(broken("has more than 1024 images"));
            }
            match (tag.name, &inside) {
                ("Storage", _) => (all.storages, inside) = (all.storages + 1, Inside::Nothing),
                ("Snapshots", _) => inside = Inside::Nothing,
                ("Image", _) => {
                    all.images.push(Listed::default());
                    inside = Inside::Image;
                }
                ("Shot", _) => {
                    all.shots.push(Snapshot::default());
                    inside = Inside::Snapshot;
                }
                ("GUID", Inside::Image) => all.images.last_mut().into_iter().for_each(|i| i.guid = guid(tag.text())),
                ("File", Inside::Image) => all.images.last_mut().into_iter().for_each(|i| i.file = tag.text()),
                ("GUID", Inside::Snapshot) => all.shots.last_mut().into_iter().for_each(|s| s.guid = guid(tag.text())),
                ("ParentGUID", Inside::Snapshot) => {
                    all.shots.last_mut().into_iter().for_each(|s| s.parent = guid(tag.text()));
                }
                _ => {}
            }
        }
        Ok(all)
    }

    /// Returns the entry of the file at `path`: by its name, else by the GUID in its name, since a name may have two
    /// encodings.
    fn image(&self, path: &Path) -> Option<&Listed> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        // File names on macOS are usually not case-sensitive.
        let is_called = |image: &&Listed| last_part(&image.file).is_some_and(|file| file.to_lowercase() == name);
        let by_name = self.images.iter().find(is_called);
        let has = |guid: &str| !guid.is_empty() && name.contains(&format!("{{{guid}}}"));
        by_name.or_else(|| self.images.iter().find(|image| has(&image.guid)))
    }

    /// Returns the file name of the image with this GUID.
    fn name(&self, guid: &str) -> String {
        let listed = self.images.iter().find(|image| image.guid == guid);
        listed.and_then(|image| last_part(&image.file)).unwrap_or_else(|| format!("the snapshot {{{guid}}}"))
    }

    /// Returns the children of that image.
    fn on(&self, image: &Listed) -> Vec<String> {
        let own = self.shots.iter().filter(|shot| shot.parent == image.guid && shot.guid != image.guid);
        own.map(|shot| self.name(&shot.guid)).collect()
    }

    /// Returns the children of that image if it is the root, else the error.
    fn judge(&self, image: &Listed) -> Result<Vec<String>> {
        if self.storages > 1 {
            let what = format!("the disk is split into {} files, and this is one of them", self.storages);
            return Err(Error::new(Kind::Unsupported, Code::ParallelsSplit, what).advise(JOIN));
        }
        let mut shots = self.shots.iter().filter(|shot| shot.guid == image.guid).peekable();
        if shots.peek().is_none() && self.images.len() > 1 {
            return Err(broken("does not name the parent of this image"));
        }
        match shots.find(|shot| shot.parent != NOBODY) {
            None => Ok(self.on(image)),
            Some(shot) => {
                let what =
                    format!("the image contains only the changes since a snapshot, over {}", self.name(&shot.parent));
                Err(Error::new(Kind::Unsupported, Code::ParallelsSnapshot, what).advise(merge()))
            }
        }
    }

    fn advice(&self, folder: &Path) -> String {
        match self.images.as_slice() {
            [image] => match last_part(&image.file) {
                Some(name) => format!("name the image in it: {}", folder.join(name).display()),
                None => "name the .hds file in it".to_owned(),
            },
            _ if self.storages > 1 => JOIN.to_owned(),
            _ => merge(),
        }
    }
}

/// Checks by the descriptor beside the image that the image is the whole disk. Returns a remark if it has children.
///
/// # Errors
/// `parallels-snapshot`, `parallels-split`: it is not the whole disk. `parallels-descriptor`: the descriptor cannot
/// tell.
pub(in crate::container) fn look(opening: &Opening<'_>) -> Result<Option<(Code, String)>> {
    let bundle = match opening.policy.named(opening.path, DESCRIPTOR, Role::Backing) {
        Ok((_, file)) => Bundle::read(&*file)?,
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let unknown = || {
        let what = format!("{DESCRIPTOR} beside the image does not name it, so the image may not be the whole disk");
        Error::new(Kind::Unsupported, Code::ParallelsDescriptor, what).advise(
            "rename it to the name in the descriptor; if it is complete, move it to another folder and read it there",
        )
    };
    let image = bundle.image(opening.path).ok_or_else(unknown)?;
    let above = bundle.judge(image)?;
    let what = || format!("it is the disk before a snapshot; {} contains the later changes", above.join(", "));
    Ok((!above.is_empty()).then(|| (Code::ParallelsSnapshots, what())))
}

fn beside(folder: &Path) -> Result<Option<Bundle>> {
    match open_plain(&folder.join(DESCRIPTOR)) {
        Ok(Some(file)) => Bundle::read(&file).map(Some),
        Ok(None) => Err(broken("is not a regular file")),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the children of the image at `path`, or the path of the descriptor if that cannot be read.
pub(in crate::container) fn standing_on(path: &Path) -> std::result::Result<Vec<PathBuf>, PathBuf> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let is_of_bundle = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("hds"));
    match beside(folder) {
        Ok(Some(bundle)) => {
            let above = bundle.image(path).map(|image| bundle.on(image)).unwrap_or_default();
            Ok(above.into_iter().map(|name| folder.join(name)).collect())
        }
        Err(_) if is_of_bundle => Err(folder.join(DESCRIPTOR)),
        _ => Ok(Vec::new()),
    }
}

/// Returns the advice which file to name, if the folder is a bundle.
pub fn in_bundle(folder: &Path) -> Option<String> {
    Some(beside(folder).ok()??.advice(folder))
}

/// Returns the error for a descriptor that was named instead of an image.
pub(in crate::container) fn only_described(path: &Path, file: &Arc<dyn Storage>) -> Error {
    let what = format!("{} is the descriptor of a Parallels disk and contains no data", path.display());
    let folder = path.parent().unwrap_or(Path::new(""));
    let advice = Bundle::read(&**file).map_or_else(|_| "name the .hds file beside it".to_owned(), |b| b.advice(folder));
    Error::new(Kind::Unsupported, Code::ParallelsBundle, what).advise(advice)
}

#[cfg(test)]
mod tests;
