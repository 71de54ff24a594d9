//! Opening an image, and the images that it stands on.

use std::path::Path;
use std::sync::Arc;

use super::formats::{named_format, raw};
use super::probe::{Ends, held_against};
use super::{About, FORMATS, Gate, Role, error_context, unsupported};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// How many images may stand on each other: backing files, parents, an image in an archive.
pub const MAX_DEPTH: usize = 32;

/// An image to be opened by a format.
pub struct Opening<'a> {
    /// Through which other files are opened.
    pub gate: &'a Gate,
    /// The image.
    pub file: Arc<dyn Storage>,
    /// Its path; names in the image are relative to its folder.
    pub path: &'a Path,
    /// [`Role::Image`] for the image that the user named, [`Role::Backing`] for one that it stands on.
    pub role: Role,
    /// How many images stand on this one.
    pub depth: usize,
}

/// An opened image.
pub struct Image {
    /// The disk that the guest sees.
    pub disk: Arc<dyn Storage>,
    /// Its description.
    pub about: About,
}

impl<'a> Opening<'a> {
    /// `file` as the image that the user named. Names in it are relative to the folder of `path`.
    pub fn of(gate: &'a Gate, file: Arc<dyn Storage>, path: &'a Path) -> Self {
        Opening { gate, file, path, role: Role::Image, depth: 0 }
    }

    /// Returns the role of a further file of this image.
    pub fn part(&self) -> Role {
        if self.role == Role::Image { Role::Part } else { Role::Backing }
    }
}

/// Opens the image at `path` as the named format, or as the one that its bytes show. `None` for a hive, and for a file that
/// is too short to be a disk.
///
/// # Errors
/// `format-unknown` for a name that no format has, `format-mismatch` where it is not the image's; any error of the format.
pub fn open(gate: &Gate, path: &Path, format: Option<&str>) -> Result<Option<Image>> {
    let (path, file) = gate.image(path)?;
    let opening = Opening::of(gate, file.clone(), &path);
    let opened = match format {
        Some(format) => held_against(open_layer(opening, Some(format)), &*file, &path, format),
        None => open_layer(opening, None),
    };
    opened.map_err(|error| error_context::explained(error, &gate.files()))
}

/// Opens the backing image of `opening`, which names it `name` and may name its `format`. A hive, or a file too short to be
/// anything, is opened as raw.
pub(super) fn open_backing(opening: &Opening<'_>, name: &str, format: Option<&str>) -> Result<Image> {
    let (path, file) = opening.gate.named(opening.path, name, Role::Backing)?;
    let (gate, depth) = (opening.gate, opening.depth + 1);
    let below = || Opening { gate, file: file.clone(), path: &path, role: Role::Backing, depth };
    match open_layer(below(), format)? {
        Some(image) => Ok(image),
        None => error_context::open(&raw::FORMAT, below()),
    }
}

/// Opens an image as [`open`] does. Formats call it for the image that theirs stands on.
///
/// # Errors
/// `image-depth` where too many stand on each other, `image-circle` where one stands on itself; as [`open`].
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
    unsupported::refuse(&opening, &probe)?;
    if probe.head.len() < 72 {
        return Ok(None);
    }
    error_context::open(&raw::FORMAT, opening).map(Some)
}

/// Builds the error for one image more than [`MAX_DEPTH`].
fn too_deep(opening: &Opening<'_>) -> Error {
    let opened = opening.gate.files().iter().filter(|file| file.path == opening.path).count();
    if opened > 1 {
        let what = format!("{} stands on itself: the images go round in circles", opening.path.display());
        return Error::new(Kind::Corrupt, Code::ImageCircle, what)
            .advise(format!("look at the chain: {}", advised::SHOW_CHAIN));
    }
    let what = format!("more than {MAX_DEPTH} images stand on each other, which is the limit of this program");
    Error::new(Kind::Unsupported, Code::ImageDepth, what)
        .advise("shorten the chain first: merge images of it into those that they stand on")
}
