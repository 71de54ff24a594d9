//! Image files: from files of the host to the bytes of the disk that the guest sees.
//!
//! [`FORMATS`] is the only place that knows every format. A format is one file: it recognises an image by its bytes and
//! opens it as a [`Storage`] of guest bytes. Every file of the host comes through the [`Gate`].
//!
//! A guest disk is written to through [`Storage::write_at`] like any storage, under this law:
//! - it writes only to files that belong to the top layer, never to a backing file or parent;
//! - writing the bytes that are there already makes room: what a later write of the same range needs in metadata and
//!   clusters is done then, so that it touches data only;
//! - what has no place in the top layer, where the format (or this program) cannot make one, is `not-allocated`;
//! - opening an image writes nothing, but for its log where [`Gate::replay_log`] asks for that;
//! - after [`Storage::flush`] everything is in the storages of the files below, and those are flushed.
//!
//! The session never lets a format write to the host's files: it hands storages into the gate that keep what is
//! written in memory, and brings the collected bytes to the disk itself, under an undo file.

mod block_mapping;
mod children;
mod ewf;
pub mod gate;
mod inflate;
mod layer;
mod looks;
mod named;
mod nbd;
mod ova;
mod overlay;
mod parallels;
mod qcow;
mod qcow2;
mod qed;
mod random;
mod raw;
mod relatives;
mod tables;
mod unpacked;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;
mod xml;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use children::{Neighbours, neighbours};
pub use ewf::{Verified, verify};
pub use gate::{Gate, HostFile, Opener, Role};
pub use layer::explained;
pub use named::{has_type_of_log, is_transaction_log};
pub use overlay::{ImageOverlay, OverlayFiles, Taken};
pub use parallels::in_bundle;
pub use qcow2::is_unshared;
pub use relatives::{Ask, Piece, Relatives, last_part, meant_by, relatives};

use hivewright_error::{Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::exact::field;
use hivewright_storage::look::open_plain;
use hivewright_storage::span::end_within;

/// Every format, in the order in which they are tried; what nobody knows is a raw disk.
pub const FORMATS: &[&Format] = &[
    &vhd::FORMAT,
    &vdi::FORMAT,
    &vhdx::FORMAT,
    // Its magic has the version in it; that of qcow2 has not.
    &qcow::FORMAT,
    &qcow2::FORMAT,
    &ewf::FORMAT,
    &qed::FORMAT,
    &parallels::FORMAT,
    &vmdk::FORMAT,
    &ova::FORMAT,
    &raw::FORMAT,
];

/// How many images may stand on each other: backing files, parents, an image in an archive.
pub const MAX_DEPTH: usize = 32;

/// A format of image files.
pub struct Format {
    /// As `--format` takes it and `info` says it.
    pub name: &'static str,
    /// As people call it.
    pub title: &'static str,
    /// What can be done with which kind of it.
    pub variants: &'static [Variant],
    /// Whether a file is of this format, by its bytes. Not asked of a file whose format was named.
    pub is: fn(&Probe<'_>) -> bool,
    /// Opens an image.
    pub open: fn(Opening<'_>) -> Result<Image>,
    /// Endings of names that nothing but images of the format has, in lower case.
    pub endings: &'static [&'static str],
    /// What an image says of other files, by its headers alone. `None` where no image of the format knows of any that could
    /// be taken for a disk of its own.
    pub relatives: Option<Ask>,
}

/// A kind of images of one format, as the README's table has it.
pub struct Variant {
    /// Which.
    pub what: &'static str,
    /// Whether it is read, and with what limits.
    pub reads: &'static str,
    /// Whether it is written in place, and with what limits.
    pub writes: &'static str,
}

/// What is known of a file before it is opened as anything.
pub struct Probe<'a> {
    /// The first [`Probe::HEAD`] bytes, or all of a shorter file.
    pub head: &'a [u8],
    /// The last 512 bytes, or all of a shorter file.
    pub tail: &'a [u8],
    /// Bytes of the file.
    pub len: u64,
    /// Its name.
    pub name: &'a str,
}

impl Probe<'_> {
    /// Bytes of [`Probe::head`].
    pub const HEAD: usize = 1024;
}

/// What a format is given to open an image.
pub struct Opening<'a> {
    /// Through which other files are opened.
    pub gate: &'a Gate,
    /// The image.
    pub file: Arc<dyn Storage>,
    /// Its path; names in the image are relative to its folder.
    pub path: &'a Path,
    /// What its files are to the image that the user named: [`Role::Image`] for that itself, else [`Role::Backing`].
    pub role: Role,
    /// How many images stand on this one.
    pub depth: usize,
}

/// An opened image.
pub struct Image {
    /// What the guest sees.
    pub disk: Arc<dyn Storage>,
    /// What it is.
    pub about: About,
}

impl<'a> Opening<'a> {
    /// `file` as the image that the user named. Names in it are relative to the folder of `path`.
    pub fn of(gate: &'a Gate, file: Arc<dyn Storage>, path: &'a Path) -> Self {
        Opening { gate, file, path, role: Role::Image, depth: 0 }
    }

    /// What a further file of this image is.
    pub fn part(&self) -> Role {
        if self.role == Role::Image { Role::Part } else { Role::Backing }
    }
}

/// What is known of an opened image, for people and for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// [`Format::name`].
    pub format: &'static str,
    /// Which kind of it, such as `dynamic`.
    pub variant: String,
    /// Its file.
    #[serde(flatten, serialize_with = "field::file")]
    pub file: PathBuf,
    /// Bytes of the disk that the guest sees.
    pub size: u64,
    /// Whatever else is worth to be known, by name; stored hashes, number of snapshots, identifiers.
    #[serde(serialize_with = "as_map")]
    pub facts: Vec<(&'static str, String)>,
    /// Why nothing in it can be written in place, if so.
    pub refusal: Option<Refusal>,
    /// What is out of order and did not keep it from being read, by a stable code.
    #[serde(serialize_with = "as_map")]
    pub remarks: Vec<(&'static str, String)>,
    /// The image that this one stands on: a backing file, a parent, what is inside of an archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<Box<About>>,
}

/// Codes of remarks that may be the reason why nothing, or something damaged, is found on the disk.
const DOUBTS: [&str; 5] = ["looks-like", "backing-short", "qcow2-data-file-short", "ova-disks", "parallels-snapshots"];
/// Codes of remarks that whoever reads the disk has to know: what he sees may not be all, or not what its user last saw.
const WARNINGS: [&str; 8] = [
    "looks-like",
    "ova-disks",
    "parallels-in-use",
    "parallels-snapshots",
    "qcow2-corrupt",
    "qcow2-dirty",
    "qed-need-check",
    vhdx::LOG_WAITS,
];

impl About {
    /// Whether the top image has a log that was read as if it were in its places, and that the next write brings there.
    pub fn log_waits(&self) -> bool {
        self.remarks.iter().any(|(code, _)| *code == vhdx::LOG_WAITS)
    }

    /// What the readers of the disk are to be warned of, of all images that it is made of.
    pub fn warnings(&self) -> Vec<String> {
        self.remarked(&WARNINGS).map(|(file, what)| format!("{}: {what}", file.display())).collect()
    }

    /// What speaks against the disk being what its maker meant, of all images that it is made of.
    pub fn doubts(&self) -> Vec<&str> {
        self.remarked(&DOUBTS).map(|(_, what)| what).collect()
    }

    /// The remarks of these codes, and about which file they are.
    fn remarked<'a>(&'a self, codes: &'static [&str]) -> impl Iterator<Item = (&'a Path, &'a str)> {
        let all =
            self.layers().flat_map(|about| about.remarks.iter().map(|(code, what)| (code, &*about.file, &**what)));
        all.filter(|(code, ..)| codes.contains(code)).map(|(_, file, what)| (file, what))
    }

    /// The remarks of all images that the disk is made of.
    pub fn all_remarks(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.layers().flat_map(|about| &about.remarks)
    }

    /// The images that the disk is made of, the top one first.
    pub fn layers(&self) -> impl Iterator<Item = &About> {
        std::iter::successors(Some(self), |about| about.below.as_deref())
    }
}

fn as_map<S: serde::Serializer>(
    pairs: &[(&'static str, String)],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

/// Why an image is not written to in place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Stable code.
    pub code: &'static str,
    /// One sentence fragment.
    pub what: String,
    /// What to do instead.
    pub advice: String,
}

/// What is read and written, as a table in Markdown: the README has it, and `info --formats` prints it.
pub fn table() -> String {
    let mut rows = String::from("| format | read | write in place |\n|---|---|---|\n");
    for format in FORMATS {
        for Variant { what, reads, writes } in format.variants {
            rows += &format!("| {}: {what} | {reads} | {writes} |\n", format.title);
        }
    }
    rows
}

/// Whether the bytes of a file show that it is an image of a format, or something else that holds a disk and is not read.
pub fn is_known(probe: &Probe<'_>) -> bool {
    FORMATS.iter().any(|format| (format.is)(probe)) || named::is_one(probe)
}

/// What a file is that is recognised and not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The code of the error that opening it ends with.
    pub code: &'static str,
    /// In words.
    pub what: &'static str,
}

/// What a file is by its ends, if it is one of those that are not read.
pub fn known_as(probe: &Probe<'_>) -> Option<Known> {
    named::known(probe).map(|(known, _)| known)
}

/// The same by all of its bytes, and whether it holds a disk. For files whose first bytes do not tell.
pub fn known_whole(path: &Path) -> Option<(Known, bool)> {
    let file = open_plain(path).ok()??;
    let ends = looks::Ends::read(&file, path).ok()?;
    named::known_whole(&file, &ends.probe())
}

/// Opens the image at `path`: of the format of that name, or of the one that its bytes show. `None` for a hive, and
/// what is too short to be a disk.
///
/// # Errors
/// `format-unknown` for a name that no format has, `format-mismatch` where it is not the image's; whatever keeps the image
/// from being opened.
pub fn open(gate: &Gate, path: &Path, format: Option<&str>) -> Result<Option<Image>> {
    let (path, file) = gate.image(path)?;
    let opening = Opening::of(gate, file.clone(), &path);
    let opened = match format {
        Some(format) => looks::held_against(open_layer(opening, Some(format)), &*file, &path, format),
        None => open_layer(opening, None),
    };
    opened.map_err(|error| explained(error, &gate.files()))
}

/// The error for a file of `len` bytes that needs `needed`, as `what` in it says.
fn cut_short(code: &'static str, what: impl std::fmt::Display, needed: u64, len: u64) -> Error {
    Error::new(Kind::Corrupt, code, format!("the file is cut short: {what}"))
        .expected(format_args!("{needed} bytes or more"), len)
        .advise("copy it again from where it came; what is missing cannot be made up")
}

/// Refuses what does not lie in a disk of `size` bytes.
fn within_disk(size: u64, offset: u64, len: usize) -> Result<()> {
    let end = end_within("the disk", size, offset, len);
    end.map(drop).map_err(|error| error.at(Space::Disk, offset))
}

/// Opens the image on which the one of `opening` stands, which calls it `name` and, where it says that, of `format`. What is
/// too short to be anything, or a hive, is raw as well.
fn open_backing(opening: &Opening<'_>, name: &str, format: Option<&str>) -> Result<Image> {
    let (path, file) = opening.gate.named(opening.path, name, Role::Backing)?;
    let (gate, depth) = (opening.gate, opening.depth + 1);
    let below = || Opening { gate, file: file.clone(), path: &path, role: Role::Backing, depth };
    match open_layer(below(), format)? {
        Some(image) => Ok(image),
        None => layer::open(&raw::FORMAT, below()),
    }
}

/// The format of that name; `vpc` is what QEMU calls VHD.
fn named_format(name: &str) -> Option<&'static Format> {
    let name = if name == "vpc" { vhd::FORMAT.name } else { name };
    FORMATS.iter().copied().find(|known| known.name == name)
}

/// Opens what `opening` has, as [`open`] does. Formats call it for the image that theirs stands on.
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
            Error::new(Kind::Unsupported, "format-unknown", format!("there is no format {name}"))
                .advise(format!("give one of {}", names.join(", ")))
        };
        return layer::open(named_format(name).ok_or_else(unknown)?, opening).map(Some);
    }
    let ends = looks::Ends::read(&*opening.file, opening.path)?;
    let probe = ends.probe();
    if probe.head.starts_with(b"regf") {
        named::refuse_log(&opening, &probe)?;
        return Ok(None);
    }
    if let Some(format) = FORMATS.iter().find(|format| (format.is)(&probe)) {
        return layer::open(format, opening).map(Some);
    }
    named::refuse(&opening, &probe)?;
    if probe.head.len() < 72 {
        return Ok(None);
    }
    layer::open(&raw::FORMAT, opening).map(Some)
}

/// The error for one image more than [`MAX_DEPTH`].
fn too_deep(opening: &Opening<'_>) -> Error {
    let opened = opening.gate.files().iter().filter(|file| file.path == opening.path).count();
    if opened > 1 {
        let what = format!("{} stands on itself: the images go round in circles", opening.path.display());
        return Error::new(Kind::Corrupt, "image-circle", what)
            .advise(format!("look at the chain: {}", advised::SHOW_CHAIN));
    }
    let what = format!("more than {MAX_DEPTH} images stand on each other, which is the limit of this program");
    Error::new(Kind::Unsupported, "image-depth", what)
        .advise("shorten the chain first: merge images of it into those that they stand on")
}
