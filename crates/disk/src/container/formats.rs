//! The formats of images. [`FORMATS`] is the only list of them. A format is one file or folder: it recognises an image by
//! its bytes, and opens it as a [`Storage`](hivewright_storage::Storage) of guest bytes.

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

use super::{Image, Opening, Probe, ReadReferences};
use hivewright_error::Result;

/// Every format, in the order in which they are tried. A file of no known format is a raw disk.
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

/// A format of image files.
pub struct Format {
    /// As `--format` takes it and `info` says it.
    pub name: &'static str,
    /// As people call it.
    pub title: &'static str,
    /// The kinds of it, and the limits of reading and writing each.
    pub variants: &'static [Variant],
    /// Whether a file is of this format, by its bytes. Not asked of a file whose format was named.
    pub is: fn(&Probe<'_>) -> bool,
    /// Opens an image.
    pub open: fn(Opening<'_>) -> Result<Image>,
    /// Endings of names that nothing but images of the format has, in lower case.
    pub endings: &'static [&'static str],
    /// Reads the references to other files from the headers of an image. `None` where no image of the format refers to a file
    /// that could be taken for a disk of its own.
    pub references: Option<ReadReferences>,
}

/// A kind of images of one format, as the README's table has it.
pub struct Variant {
    /// The kind.
    pub what: &'static str,
    /// Whether it is read, and with what limits.
    pub reads: &'static str,
    /// Whether it is written in place, and with what limits.
    pub writes: &'static str,
}

/// Returns the table of formats in Markdown, which the README has and `info --formats` prints.
pub fn table() -> String {
    let mut rows = String::from("| format | read | write in place |\n|---|---|---|\n");
    for format in FORMATS {
        for Variant { what, reads, writes } in format.variants {
            rows += &format!("| {}: {what} | {reads} | {writes} |\n", format.title);
        }
    }
    rows
}

/// Returns the format of that name. QEMU calls VHD `vpc`.
pub(super) fn named_format(name: &str) -> Option<&'static Format> {
    let name = if name == "vpc" { vhd::FORMAT.name } else { name };
    FORMATS.iter().copied().find(|known| known.name == name)
}
