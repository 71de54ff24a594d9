//! The image formats. [`FORMATS`] is the only list of them. A format is one file or folder: it recognises an image by
//! its bytes and opens it as a [`Storage`](hivewright_storage::Storage) of guest bytes.

pub(super) mod ewf;
pub(super) mod ova;
pub(super) mod parallels;
pub(super) mod qcow;
pub(super) mod qcow2;
pub(super) mod qed;
pub(super) mod raw;
pub(super) mod vdi;
pub(super) mod vhd;
pub(super) mod vhdx;
pub(super) mod vmdk;
pub(super) mod wim;

use super::{Image, Opening, Probe, ReadReferences};
use hivewright_error::Result;

/// All formats, in the order in which they are probed. A file of no known format is a raw disk.
pub const FORMATS: &[&Format] = &[
    &vhd::FORMAT,
    &vdi::FORMAT,
    &vhdx::FORMAT,
    // Its magic includes the version; that of qcow2 does not.
    &qcow::FORMAT,
    &qcow2::FORMAT,
    &ewf::FORMAT,
    &qed::FORMAT,
    &parallels::FORMAT,
    &vmdk::FORMAT,
    &ova::FORMAT,
    &wim::FORMAT,
    &raw::FORMAT,
];

/// A format of image files.
pub struct Format {
    /// The name that `--format` takes and `info` prints.
    pub name: &'static str,
    /// The usual name, for text.
    pub title: &'static str,
    /// Its variants, and the limits of reading and writing each.
    pub variants: &'static [Variant],
    /// Returns whether a file has this format, by its bytes. Not called for a file whose format the user named.
    pub is: fn(&Probe<'_>) -> bool,
    /// Opens an image.
    pub open: fn(Opening<'_>) -> Result<Image>,
    /// File name extensions that only images of this format have, in lower case.
    pub endings: &'static [&'static str],
    /// Reads the references to other files from the headers of an image. `None` if no image of the format refers to a
    /// file that could itself pass for a disk.
    pub references: Option<ReadReferences>,
}

/// A variant of a format: a row of the table in the README.
pub struct Variant {
    /// The variant.
    pub what: &'static str,
    /// Whether it is read, and the limits.
    pub reads: &'static str,
    /// Whether it is written in place, and the limits.
    pub writes: &'static str,
}

/// Returns the table of formats in Markdown, as in the README and in `info --formats`.
pub fn table() -> String {
    let mut rows = String::from("| format | read | write in place |\n|---|---|---|\n");
    for format in FORMATS {
        for Variant { what, reads, writes } in format.variants {
            rows += &format!("| {}: {what} | {reads} | {writes} |\n", format.title);
        }
    }
    rows
}

/// Returns the format of that name. `vpc` is QEMU's name of VHD.
pub(super) fn named_format(name: &str) -> Option<&'static Format> {
    let name = if name == "vpc" { vhd::FORMAT.name } else { name };
    FORMATS.iter().copied().find(|known| known.name == name)
}
