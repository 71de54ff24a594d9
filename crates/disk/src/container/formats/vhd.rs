//! VHD images of Virtual PC, Hyper-V and Windows: fixed, dynamic and differencing.
//!
//! Facts: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (2006). All numbers are big-endian.
//! The size of the disk is the footer's "current size" and not its geometry, as in Windows and VirtualBox; QEMU uses
//! the geometry only for images whose creator is Virtual PC.

mod footer;
#[cfg(test)]
mod hostile;
mod parent;
mod sparse;

use std::sync::Arc;

use crate::container::helpers::block_mapping;
use crate::container::{About, Format, Image, Opening, Probe, Refusal, Variant};
use footer::{Footer, Type};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::window::Window;
use sparse::{Header, Sparse};

pub(in crate::container) const FORMAT: Format = Format {
    name: "vhd",
    title: "VHD",
    variants: &[
        Variant { what: "fixed, dynamic", reads: "yes", writes: "yes" },
        Variant { what: "differencing", reads: "chain", writes: "where its own blocks hold the data" },
    ],
    is,
    open,
    endings: &["vhd", "avhd"],
    references: Some(parent::references),
};

/// Decides by the copy of the footer at the start. A fixed image has only the footer at its end, whose size must match
/// the file, so that a raw disk whose last sector happens to be a footer is not mistaken for a VHD.
fn is(probe: &Probe<'_>) -> bool {
    if probe.head.starts_with(footer::COOKIE) {
        return true;
    }
    let named = probe.name.to_ascii_lowercase().ends_with(".vhd");
    let fits = |footer: &Footer| match footer.kind {
        Type::Fixed => footer.at == footer.size || (named && footer.at > footer.size),
        _ => {
            let header = usize::try_from(footer.header).ok().and_then(|at| probe.head.get(at..));
            header.is_some_and(|header| header.starts_with(sparse::COOKIE))
        }
    };
    footer::LENGTHS.iter().any(|&len| {
        let bytes = probe.tail.len().checked_sub(len).map(|from| &probe.tail[from..]);
        bytes.is_some_and(|bytes| Footer::parse(bytes, probe.len - len as u64).is_ok_and(|footer| fits(&footer)))
    })
}

fn open(opening: Opening<'_>) -> Result<Image> {
    let file = opening.file.clone();
    let mut about = About { format: FORMAT.name, file: opening.path.to_owned(), ..About::default() };
    let footer = footer::find(&*file, &mut about.remarks)?;
    describe(&footer, &mut about);
    if footer.kind == Type::Fixed {
        let disk = Arc::new(Window::new(file, 0, footer.size, Space::Disk)?);
        return Ok(Image::of_disk(disk, about));
    }
    let header = Header::read(&*file, &footer)?;
    about.facts.push(("block-size", header.block.to_string()));
    let (parent, locators) = match footer.kind {
        Type::Differencing => {
            let (image, locators) = parent::open(&opening, &header, &footer, &mut about.remarks)?;
            (Some(image), locators)
        }
        _ => (None, Vec::new()),
    };
    Ok(block_mapping::image(Sparse::new(file, header, footer, locators), parent, about))
}

fn describe(footer: &Footer, about: &mut About) {
    about.size = footer.size;
    about.variant = match footer.kind {
        Type::Fixed => "fixed",
        Type::Dynamic => "dynamic",
        Type::Differencing => "differencing",
    }
    .into();
    about.facts.push(("creator", footer.creator.clone()));
    about.facts.push(("uuid", footer.uuid.to_string()));
    if footer.geometry != footer.size {
        about.facts.push(("geometry-size", footer.geometry.to_string()));
    }
    if footer.saved_state {
        about.refusal = Some(Refusal {
            code: Code::VhdSavedState,
            what: "the virtual machine of this disk is suspended, and its saved memory may hold data of the disk"
                .into(),
            advice: "resume it and shut it down first".into(),
        });
    }
}

/// Returns an error of the format at an offset of the file.
fn corrupt(code: Code, what: impl Into<String>, at: u64) -> Error {
    Error::new(Kind::Corrupt, code, what)
        .at(Space::File, at)
        .advise("copy the image again; if it is in fact a raw disk, give --format raw")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Returns the one's complement of the sum of all bytes except the checksum (specification, "Checksum").
fn checksum(bytes: &[u8], own: usize) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().fold(0u32, |sum, &byte| sum.wrapping_add(byte.into()));
    !sum(bytes).wrapping_sub(sum(&bytes[own..own + 4]))
}

/// A UUID as stored in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Uuid([u8; 16]);

impl Uuid {
    fn at(bytes: &[u8], at: usize) -> Self {
        Uuid(bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default())
    }
}

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}
