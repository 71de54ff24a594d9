//! Opens an image and the images below it.

use std::path::Path;
use std::sync::Arc;

use super::formats::{named_format, raw};
use super::probe::{Ends, held_against};
use super::{About, FORMATS, PathPolicy, Role, error_context, packed, unsupported};
use crate::wim::Archive;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// Maximum number of images in a chain: backing files, parents, an image in an archive.
pub const MAX_DEPTH: usize = 32;

/// An image to be opened by a format.
pub struct Opening<'a> {
    /// Opens other files.
    pub policy: &'a PathPolicy,
    /// The file of the image.
    pub file: Arc<dyn Storage>,
    /// Its path; names in the image are relative to its folder.
    pub path: &'a Path,
    /// [`Role::Image`] for the image that the user named, [`Role::Backing`] for one below it.
    pub role: Role,
    /// The number of images above this one.
    pub depth: usize,
}

/// An opened image.
pub struct Image {
    /// The guest's disk; of an archive of images, its own bytes.
    pub disk: Arc<dyn Storage>,
    /// Its description.
    pub about: About,
    /// The archive, if the image is an archive instead of a disk.
    pub archive: Option<Arc<Archive>>,
}

impl Image {
    /// Returns an image of a disk.
    pub(super) fn of_disk(disk: Arc<dyn Storage>, about: About) -> Self {
        Image { disk, about, archive: None }
    }
}

impl<'a> Opening<'a> {
    /// Creates the opening of `file` as the image that the user named. Names in it are relative to the folder of
    /// `path`.
    pub fn of(policy: &'a PathPolicy, file: Arc<dyn Storage>, path: &'a Path) -> Self {
        Opening { policy, file, path, role: Role::Image, depth: 0 }
    }

    /// Returns the role of a further file of this image.
    pub fn part(&self) -> Role {
        if self.role == Role::Image { Role::Part } else { Role::Backing }
    }
}

/// Opens the image at `path` as `format`, or in the detected format. `None` for a hive, and for a file that is too
/// short for a disk.
///
/// # Errors
/// `format-unknown`: there is no format of that name. `format-mismatch`: the image has another format. Errors of the
/// format.
pub fn open(policy: &PathPolicy, path: &Path, format: Option<&str>) -> Result<Option<Image>> {
    let (path, file) = policy.image(path)?;
    let opening = Opening::of(policy, file.clone(), &path);
    let opened = match format {
        Some(format) => held_against(open_layer(opening, Some(format)), &*file, &path, format),
        None => open_layer(opening, None),
    };
    opened.map_err(|error| error_context::explained(error, &policy.files()))
}

/// Opens the backing image of `opening`, which names it `name` and may name its `format`. A hive, or a file too short
/// for a disk, is opened as raw.
pub(super) fn open_backing(opening: &Opening<'_>, name: &str, format: Option<&str>) -> Result<Image> {
    let (path, file) = opening.policy.named(opening.path, name, Role::Backing)?;
    let (policy, depth) = (opening.policy, opening.depth + 1);
    let below = || Opening { policy, file: file.clone(), path: &path, role: Role::Backing, depth };
    match open_layer(below(), format)? {
        Some(image) => Ok(image),
        None => error_context::open(&raw::FORMAT, below()),
    }
}

/// Opens a lower image of a chain for a format. See [`open`].
///
/// # Errors
/// `image-depth`: the chain is too long. `image-circle`: the chain is a cycle. As [`open`].
pub fn open_layer(opening: Opening<'_>, format: Option<&str>) -> Result<Option<Image>> {
    if opening.depth >= MAX_DEPTH {
        return Err(too_deep(&opening));
    }
    if let Some(name) = format {
        let unknown = || {
            let names: Vec<&str> = FORMATS.iter().map(|known| known.name).collect();
            Error::new(Kind::Unsupported, Code::FormatUnknown, format!("there is no format {name}"))
                .advise(format!("give one of {}", names.join(", ")))
        };
        return error_context::open(named_format(name).ok_or_else(unknown)?, opening).map(Some);
    }
    let ends = Ends::read(&*opening.file, opening.path)?;
    let probe = ends.probe();
    if probe.head.starts_with(b"regf") {
        unsupported::refuse_log(&opening, &probe)?;
        return Ok(None);
    }
    if let Some(format) = FORMATS.iter().find(|format| (format.is)(&probe)) {
        return error_context::open(format, opening).map(Some);
    }
    if let Some(image) = packed::open(&opening, &probe)? {
        return Ok(Some(image));
    }
    unsupported::refuse(&opening, &probe)?;
    if probe.head.len() < 72 {
        return Ok(None);
    }
    error_context::open(&raw::FORMAT, opening).map(Some)
}

/// Returns the error for a chain of more than [`MAX_DEPTH`] images.
fn too_deep(opening: &Opening<'_>) -> Error {
    let opened = opening.policy.files().iter().filter(|file| file.path == opening.path).count();
    if opened > 1 {
        let what = format!("{} is its own backing file or parent", opening.path.display());
        return Error::new(Kind::Corrupt, Code::ImageCircle, what)
            .advise(format!("show the chain: {}", advised::SHOW_CHAIN));
    }
    let what = format!("the chain has more than {MAX_DEPTH} images, which is the limit of this program");
    Error::new(Kind::Unsupported, Code::ImageDepth, what)
        .advise("shorten the chain first: merge images into their parents or backing files")
}
