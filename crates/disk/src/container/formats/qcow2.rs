//! qcow2, QEMU's format: clusters with refcounts, found through two levels of tables, over backing files.
//!
//! Facts: QEMU, docs/interop/qcow2.rst. The header has the offsets of the tables ([`header`]); an L1 table points to L2
//! tables, and these to clusters ([`clusters`], [`entry`]). The first write compares all tables with the refcounts
//! ([`consistency`]); clusters that cannot be written in place are allocated ([`write`], [`refcounts`]).

mod clusters;
mod compressed;
mod consistency;
mod entry;
mod header;
mod refcounts;
mod snapshot_sharing;
mod snapshots;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;
use std::sync::Arc;

use crate::container::helpers::block_mapping;
use crate::container::references::{References, named_in_header};
use crate::container::{About, Format, Image, Opening, Refusal, Variant, cut_short, open_backing};
use clusters::Clusters;
use header::{BITMAPS, COMPRESSION, CORRUPT, DATA_FILE, DIRTY, EXTENDED_L2, Header, RAW_DATA_FILE};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

pub(in crate::container) const FORMAT: Format = Format {
    name: "qcow2",
    title: "qcow2",
    variants: &[
        Variant {
            what: "v2, v3: all cluster sizes, zlib, zstd, extended L2, backing chains, snapshots, external data file",
            reads: "yes",
            writes: "yes, allocating in the top layer where needed",
        },
        Variant { what: "LUKS, AES", reads: "named", writes: "refused" },
    ],
    is: |probe| probe.head.starts_with(header::MAGIC),
    open,
    endings: &["qcow2"],
    references: Some(references),
};

fn open(opening: Opening<'_>) -> Result<Image> {
    let (mut magic, len) = ([0; 4], opening.file.len()?);
    if len >= 4 {
        opening.file.read_at(0, &mut magic)?;
    }
    if magic == header::MAGIC && len < 104 {
        return Err(cut_short(Code::Qcow2Header, "it ends inside its header", 104, len).at(Space::File, 0));
    }
    if magic != header::MAGIC {
        let what = format!("{} is not a qcow2 image", opening.path.display());
        return Err(Error::new(Kind::Corrupt, Code::Qcow2Header, what).at(Space::File, 0).expected("QFI\\xfb", "none"));
    }
    let header = header::read(&*opening.file)?;
    let mut about = about(&opening, &header)?;
    let data = data_file(&opening, &header, &mut about)?;
    let backing = backing(&opening, &header, &mut about)?;
    let parent = backing.as_ref().map(|backing| Arc::clone(&backing.disk));
    Ok(block_mapping::image(Clusters::new(opening.file, header, data, parent), backing, about))
}

/// Reads the references. The name of the backing file has the same offset in all versions, encrypted or not. A data
/// file that the header does not name is not found.
pub(in crate::container) fn references(file: &Arc<dyn Storage>) -> Result<References> {
    let mut head = [0; 20];
    file.read_at(0, &mut head)?;
    let number = |at: &[u8]| at.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let parents = named_in_header(&**file, number(&head[8..16]), number(&head[16..20])).unwrap_or_default();
    let parts = data_file_in_header(file).unwrap_or_default().into_iter().collect();
    Ok(References { parents, parts, ..References::default() })
}

fn data_file_in_header(file: &Arc<dyn Storage>) -> Result<Option<String>> {
    let number = |at: u64| -> Result<u64> {
        let mut bytes = [0; 4];
        file.read_at(at, &mut bytes)?;
        Ok(u32::from_be_bytes(bytes).into())
    };
    if number(4)? < 3 || number(header::INCOMPATIBLE + 4)? & DATA_FILE == 0 {
        return Ok(None);
    }
    let mut at = number(100)?;
    for _ in 0..MOST_EXTENSIONS {
        let (kind, len) = (number(at)?, number(at + 4)?);
        if kind == header::DATA_FILE_NAME && len <= 4096 {
            let mut name = vec![0; usize::try_from(len).unwrap_or(0)];
            file.read_at(at + 8, &mut name)?;
            return Ok(Some(String::from_utf8_lossy(&name).into_owned()));
        }
        if kind == 0 {
            break;
        }
        at += 8 + len.next_multiple_of(8);
    }
    Ok(None)
}

/// Maximum number of header extensions that are searched for the name of a data file.
const MOST_EXTENSIONS: usize = 64;

/// Returns whether the bytes at these offsets of the file belong to the current disk alone and to no internal snapshot;
/// true for files that are not qcow2 images.
///
/// # Errors
/// The header is damaged, or the file cannot be read.
pub fn is_unshared(file: &dyn Storage, offsets: &[u64]) -> Result<bool> {
    let mut head = [0; 8];
    if file.len()? >= 104 {
        file.read_at(0, &mut head)?;
    }
    // Version 1 is a different format without snapshots.
    if !head.starts_with(header::MAGIC) || head[4..] < [0, 0, 0, 2][..] {
        return Ok(true);
    }
    snapshot_sharing::are_own(file, &header::read(file)?, offsets)
}

fn about(opening: &Opening<'_>, header: &Header) -> Result<About> {
    let compression = if header.incompatible & COMPRESSION == 0 { "zlib" } else { "zstd" };
    let mut facts = vec![
        ("version", header.version.to_string()),
        ("cluster-size", header.cluster.to_string()),
        ("refcount-bits", header.refcount_bits.to_string()),
        ("compression", format!("{compression}, where compressed")),
    ];
    if header.incompatible & EXTENDED_L2 != 0 {
        facts.push(("extended-l2", "yes".to_owned()));
    }
    if header.compatible & 1 != 0 {
        facts.push(("lazy-refcounts", "yes".to_owned()));
    }
    if header.snapshots.1 > 0 {
        let (found, _) = snapshots::read(&*opening.file, header)?;
        let shown: Vec<&str> = found.iter().take(20).map(|snapshot| snapshot.name.as_str()).collect();
        let more = if found.len() > shown.len() { ", ..." } else { "" };
        facts.push(("snapshots", format!("{}: {}{more}", found.len(), shown.join(", "))));
    }
    if header.incompatible & DATA_FILE != 0 {
        let raw = if header.autoclear & RAW_DATA_FILE != 0 { " (raw)" } else { "" };
        facts.push(("data-file", format!("{}{raw}", header.data_file.as_deref().unwrap_or_default())));
    }
    let mut remarks = Vec::new();
    if header.incompatible & CORRUPT != 0 {
        remarks.push((Code::Qcow2Corrupt, "QEMU has marked this image as corrupt".to_owned()));
    }
    if header.incompatible & DIRTY != 0 {
        remarks.push((Code::Qcow2Dirty, "its last writer did not close it, or still has it open".to_owned()));
    }
    let (variant, file) = (format!("v{}", header.version), opening.path.to_owned());
    let refusal = refusal(header);
    Ok(About { format: "qcow2", variant, file, size: header.size, facts, refusal, remarks, below: None })
}

/// Returns the reason why the image is not written to, if there is one.
fn refusal(header: &Header) -> Option<Refusal> {
    let (code, what, advice) = if header.incompatible & CORRUPT != 0 {
        (
            Code::Qcow2Corrupt,
            "QEMU has marked the image as corrupt",
            format!("repair a copy of it: {}", advised::CHECK_REPAIR),
        )
    } else if header.incompatible & DIRTY != 0 {
        let what = "the image was not closed: its refcounts may be outdated, and a virtual machine may use it";
        // Not `-r leaks`, which clears the dirty flag without a recount.
        (
            Code::Qcow2Dirty,
            what,
            format!("shut down the virtual machine that uses it, then repair the image: {}", advised::CHECK_REPAIR),
        )
    } else if header.autoclear & BITMAPS != 0 {
        let what = "the image has persistent bitmaps, which a write would invalidate";
        let [show, remove, copy] = [advised::SHOW, advised::REMOVE_BITMAP, advised::TO_QCOW2];
        let advice = format!("remove each that `{show}` names: {remove}; or work on a copy without them: {copy}");
        (Code::Qcow2Bitmaps, what, advice)
    } else {
        return None;
    };
    Some(Refusal { code, what: what.to_owned(), advice })
}

fn data_file(opening: &Opening<'_>, header: &Header, about: &mut About) -> Result<Option<Arc<dyn Storage>>> {
    if header.incompatible & DATA_FILE == 0 {
        return Ok(None);
    }
    let Some(name) = &header.data_file else {
        let what = "the image has an external data file and does not name it";
        return Err(Error::new(Kind::Unsupported, Code::Qcow2DataFile, what)
            .advise("copy the image again: its header is incomplete"));
    };
    let (_, file) = opening.policy.named(opening.path, plain(opening.path, name)?, opening.part())?;
    let len = file.len()?;
    if len < header.size {
        let what = format!("the data file {name} has {len} bytes, the disk {}; the rest reads as zeros", header.size);
        about.remarks.push((Code::Qcow2DataFileShort, what));
    }
    Ok(Some(file))
}

/// Opens the disk of the backing file and describes it in `about`.
fn backing(opening: &Opening<'_>, header: &Header, about: &mut About) -> Result<Option<Image>> {
    let Some(name) = &header.backing else { return Ok(None) };
    let said = header.backing_format.as_deref();
    // QEMU's names of formats that have another name here.
    let format = said.map(|said| match said {
        "file" | "host_device" => "raw",
        "vpc" => "vhd",
        other => other,
    });
    let image = open_backing(opening, plain(opening.path, name)?, format)?;
    about.facts.push(("backing-file", name.clone()));
    about.facts.push(("backing-format", said.unwrap_or("not said").to_owned()));
    if said.is_none() {
        let what =
            format!("the image does not contain the format of its backing file; {} was detected", image.about.format);
        about.remarks.push((Code::BackingProbed, what));
    }
    let below = image.disk.len()?;
    if below < header.size {
        let what =
            format!("its backing file {name} has {below} bytes, the disk {}; the rest reads as zeros", header.size);
        about.remarks.push((Code::BackingShort, what));
    }
    Ok(Some(image))
}

/// Returns the name of a local file; QEMU also accepts URLs and JSON.
fn plain<'a>(path: &Path, name: &'a str) -> Result<&'a str> {
    let elsewhere = name.starts_with("json:") || name.contains("://") && !name.starts_with("file://");
    if elsewhere {
        let what = format!("the image {} needs {name}, which is not a file of the host", path.display());
        return Err(Error::new(Kind::Unsupported, Code::Qcow2Backing, what).advise(format!(
            "on a machine where QEMU can open it, convert the image to one file: {}",
            advised::TO_QCOW2
        )));
    }
    Ok(name)
}

/// Returns the error for bytes at `offset` of the file that violate the format.
fn damaged(what: impl Into<String>, offset: u64) -> Error {
    Error::new(Kind::Corrupt, Code::Qcow2Header, what).at(Space::File, offset)
}
