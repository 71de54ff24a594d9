//! VHDX, the format of Hyper-V: fixed, dynamic and differencing disks. Source of every fact: [MS-VHDX], "Virtual Hard
//! Disk v2 (VHDX) File Format".
//!
//! The disk is divided into payload blocks; the block allocation table has the offset of each in the file. Blocks that
//! are in the file are written; others are `not-allocated`. The first write to data is preceded by new headers with new
//! identifiers, which tell children and caches that the disk has changed ([MS-VHDX] 2.2.2).

mod blocks;
mod claims;
mod crc;
mod fields;
mod header;
mod locator;
mod log;
mod metadata;
mod region;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::blocks::Blocks;
use self::fields::{Guid, MIB, corrupt, text};
use self::header::Header;
use self::metadata::Metadata;
use crate::container::helpers::block_mapping;
use crate::container::references::References;
use crate::container::{About, Format, Image, Opening, PathPolicy, Role, Variant, cut_short, open_layer};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;

pub(in crate::container) const FORMAT: Format = Format {
    name: "vhdx",
    title: "VHDX",
    variants: &[
        Variant { what: "fixed, dynamic", reads: "yes", writes: "yes, with new write GUIDs" },
        Variant { what: "differencing", reads: "chain", writes: "where its own blocks hold the data" },
        Variant {
            what: "with a non-empty log",
            reads: "replayed in memory",
            writes: "refused, or after --replay-image-log",
        },
    ],
    is: |probe| probe.head.starts_with(SIGNATURE),
    open,
    endings: &["vhdx", "avhdx"],
    references: Some(references),
};

const SIGNATURE: &[u8] = b"vhdxfile";
/// The name of the fact by which a child identifies its parent.
const DATA_WRITE: &str = "data write identifier";

fn open(opening: Opening<'_>) -> Result<Image> {
    let mut about = About { format: FORMAT.name, file: opening.path.to_owned(), ..About::default() };
    let creator = creator(&*opening.file)?;
    let mut header = Header::current(&*opening.file, &mut about.remarks)?;
    let file = replayed(&opening, &mut header, &mut about)?;
    let regions = region::read(&*file, header.log(), &mut about.remarks)?;
    let metadata = metadata::read(&*file, regions.metadata)?;
    about.size = metadata.size;
    about.variant = variant(&metadata).into();
    about.facts = facts(&metadata, &header, creator);
    let parent = match &metadata.locator {
        Some((item, at)) => Some(parent(&opening, item, *at)?),
        None => None,
    };
    Ok(block_mapping::image(Blocks::new(file, regions, &metadata, header)?, parent, about))
}

/// Returns the file with its log replayed in memory, or the file itself if the log was written to it.
fn replayed(opening: &Opening<'_>, header: &mut Header, about: &mut About) -> Result<Arc<dyn Storage>> {
    let file = &opening.file;
    if header.log_guid() == Guid::ZERO {
        return Ok(file.clone());
    }
    let replayed = log::replay(file.clone(), header)?;
    if !(opening.policy.replay_log && opening.role == Role::Image && replayed.can_be_written()) {
        about.refusal = Some(replayed.refusal());
    } else if opening.policy.writing {
        replayed.write_back(&**file, header)?;
        return Ok(file.clone());
    }
    let what = "it was not closed: its log has changes that were not applied, and is replayed in memory";
    about.remarks.push((Code::VhdxLogWaits, what.to_owned()));
    Ok(Arc::new(replayed.file))
}

/// Returns the paths of a differencing disk's parent. Does not replay the log: no writer moves the locator.
fn references(file: &Arc<dyn Storage>) -> Result<References> {
    let remarks = &mut Vec::new();
    let header = Header::current(&**file, remarks)?;
    let regions = region::read(&**file, header.log(), remarks)?;
    let locator = metadata::read(&**file, regions.metadata)?.locator;
    let parents = locator.map(|(item, at)| locator::parse(&item, at)).transpose()?;
    Ok(References::under(parents.map(|found| found.paths).unwrap_or_default()))
}

/// Returns the name of the program that made the image ([MS-VHDX] 2.2.1). Fails if the file is too short.
fn creator(file: &dyn Storage) -> Result<String> {
    let mut start = [0; 520];
    let len = file.len()?;
    if len < MIB {
        return Err(cut_short(Code::VhdxTruncated, "it ends inside its headers", MIB, len).at(Space::File, 0));
    }
    file.read_at(0, &mut start)?;
    if !start.starts_with(SIGNATURE) {
        return Err(corrupt(Code::VhdxSignature, "the file is not a VHDX image", 0));
    }
    let name = start[8..].chunks_exact(2).take_while(|unit| *unit != [0, 0]).flatten().copied().collect::<Vec<u8>>();
    Ok(text(&name))
}

fn variant(metadata: &Metadata) -> &'static str {
    match (metadata.locator.is_some(), metadata.fixed) {
        (true, _) => "differencing",
        (_, true) => "fixed",
        _ => "dynamic",
    }
}

fn facts(metadata: &Metadata, header: &Header, creator: String) -> Vec<(&'static str, String)> {
    let sectors = format!("{} logical, {} physical", metadata.logical_sector, metadata.physical_sector);
    vec![
        ("block size", metadata.block_size.to_string()),
        ("sector size", sectors),
        ("disk identifier", metadata.disk_id.to_string()),
        (DATA_WRITE, header.data_write().to_string()),
        ("creator", creator),
    ]
}

/// Opens the parent that the locator names and compares it with the child's record.
fn parent(opening: &Opening<'_>, item: &[u8], at: u64) -> Result<Image> {
    let locator = locator::parse(item, at)?;
    let (path, file) = find_parent(opening.policy, opening.path, &locator.paths)?;
    let below = Opening { policy: opening.policy, file, path: &path, role: Role::Backing, depth: opening.depth + 1 };
    let missing = || Error::new(Kind::Corrupt, Code::VhdxParent, format!("{} is not a VHDX image", path.display()));
    let image = open_layer(below, Some(FORMAT.name))?.ok_or_else(missing)?;
    let actual = image.about.facts.iter().find(|(name, _)| *name == DATA_WRITE).map_or("", |(_, value)| value);
    let expected: Vec<String> = locator.linkages.iter().map(Guid::to_string).collect();
    if !expected.iter().any(|expected| expected == actual) {
        let what = format!("{} is not the parent of {}", path.display(), opening.path.display());
        return Err(Error::new(Kind::Corrupt, Code::VhdxParent, what)
            .expected(format_args!("{DATA_WRITE} {}", expected.join(" or ")), actual)
            .advise("the parent has changed, or it is another image: look for the copy that belongs to the child"));
    }
    Ok(image)
}

/// Returns the first path that leads to a file. If none does, the error is that of the first path.
fn find_parent(policy: &PathPolicy, child: &Path, paths: &[String]) -> Result<(PathBuf, Arc<dyn Storage>)> {
    let mut first = None;
    for path in paths {
        match policy.named(child, path, Role::Backing) {
            Ok(found) => return Ok(found),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| {
        Error::new(Kind::NotFound, Code::NoFile, "the image does not contain the path of its parent")
    }))
}
