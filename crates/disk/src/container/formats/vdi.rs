//! VDI images of VirtualBox: static, dynamic and differencing.
//!
//! Facts: VirtualBox's public header `VDICore.h`, and the description of the format at the head of QEMU's
//! `block/vdi.c`. All numbers are little-endian. The disk is stored in blocks of one size (usually 1 MiB), in static
//! images too. The block map has for each block its number among the blocks in the file, or a mark: free (the parent's
//! block, else zeros) or zero. Each block in the file may be preceded by extra bytes that are not data of the disk.
//!
//! A VDI does not show that it is encrypted: the keys are in the machine's settings. Such a disk looks random, and no
//! volume is found in it.

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
        Variant { what: "static, dynamic", reads: "yes", writes: "yes, allocating where needed" },
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

/// Reads the references: a differencing image has the identifier of its parent and not its name.
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

/// Returns an error of the format at an offset of the file.
fn corrupt(code: Code, what: impl Into<String>, at: u64) -> Error {
    Error::new(Kind::Corrupt, code, what)
        .at(Space::File, at)
        .advise("copy the image again; if it is in fact a raw disk, give --format raw")
}
