//! VDI images of VirtualBox: static, dynamic and differencing.
//!
//! Facts: VirtualBox's public header `VDICore.h`, and the description of the format at the head of QEMU's `block/vdi.c`.
//! All numbers are little-endian. The disk is kept in blocks of one size (1 MiB by custom), in static images too; the
//! block map has for each block its number among those in the file, or that it is free (the parent's, else zeros), or
//! that it is zeros. In front of each block in the file may stand extra bytes that are not the disk's.
//!
//! Nothing in a VDI says that it is encrypted: the keys stand in the settings of the machine. Such a disk looks like
//! noise, and no volume is found in it.

mod header;
#[cfg(test)]
mod hostile;
mod map;
mod parent;

use std::sync::Arc;

use crate::container::helpers::block_mapping;
use crate::container::references::References;
use crate::container::{About, Format, Image, Opening, Probe, Variant};
use header::{Header, Type};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use map::Map;

pub(in crate::container) const FORMAT: Format = Format {
    name: "vdi",
    title: "VDI",
    variants: &[
        Variant { what: "static, dynamic", reads: "yes", writes: "where allocated" },
        Variant { what: "differencing", reads: "chain", writes: "where allocated" },
    ],
    is,
    open,
    endings: &["vdi"],
    references: Some(references),
};

fn is(probe: &Probe<'_>) -> bool {
    probe.head.get(header::MAGIC_AT..).is_some_and(|head| head.starts_with(header::MAGIC))
}

/// A differencing image has no name of its parent, but its identifier.
fn references(file: &Arc<dyn Storage>) -> Result<References> {
    let header = Header::read(&**file)?;
    let (own, parent) = (Some(header.made.0), header.parent_made.0);
    let parent = (header.kind == Type::Differencing).then_some(parent);
    Ok(References { own, parent, ..References::default() })
}

fn open(opening: Opening<'_>) -> Result<Image> {
    let header = Header::read(&*opening.file)?;
    let mut about = About { format: FORMAT.name, file: opening.path.to_owned(), size: header.size, ..About::default() };
    about.variant = match header.kind {
        Type::Dynamic => "dynamic",
        Type::Static => "static",
        Type::Differencing => "differencing",
    }
    .into();
    about.facts.push(("block-size", header.block.to_string()));
    about.facts.push(("uuid", header.made.to_string()));
    let parent = match header.kind {
        Type::Differencing => Some(parent::open(&opening, &header, &mut about.remarks)?),
        _ => None,
    };
    Ok(block_mapping::image(Map::new(opening.file, header), parent, about))
}

/// An error of the format, at an offset of the file.
fn corrupt(code: Code, what: impl Into<String>, at: u64) -> Error {
    Error::new(Kind::Corrupt, code, what)
        .at(Space::File, at)
        .advise("take another copy of the image; if it is a raw disk all the same, say so: --format raw")
}
