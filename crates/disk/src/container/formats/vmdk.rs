//! VMDK, the disks of VMware: a text descriptor, extents with the data, and parents of snapshots.
//!
//! Facts: VMware, *Virtual Disk Format 5.0* (technical note), compared with Joachim Metz's *VMware Virtual Disk (VMDK)
//! format* (libvmdk); each module names its section. They do not cover space-efficient sparse extents: see
//! [`se_sparse`].
//!
//! **Parents.** A child records the content identifier (CID) that its parent had when the child was made. A different
//! CID means that the parent has changed since; the disk would then be a mixture of two states. This is an error
//! (`vmdk-parent-changed`) for reading too, as in VMware.
//!
//! **The CID.** A writer sets a new CID at the first write, so that children notice ("The Descriptor File"). It is
//! flushed before the data: a crash between the two leaves a child that is refused although nothing has changed; the
//! other order could leave a child that is read with wrong data.
//!
//! **Writes** go to flat extents, and to grains that the top layer has allocated. In a sparse extent of Workstation
//! without a parent, absent grains are allocated at the end of the file; over a parent, and in extents of ESX, none
//! are allocated. Writes are refused if an extent was not closed (`vmdk-unclean`), has compressed grains
//! (`vmdk-stream`) or has an unpublished format (`vmdk-sesparse`).

mod compressed;
mod content_id;
mod cowd;
mod descriptor;
mod disk;
mod extents;
mod grains;
mod hosted;
mod overlap;
mod parent;
mod se_sparse;

use crate::container::helpers::block_mapping;
use crate::container::{About, Format, Image, Opening, Probe, Refusal, Variant, cut_short};
use content_id::ContentId;
use descriptor::Descriptor;
use disk::Extents;
use grains::Grains;
use hivewright_error::{Code, Error, Kind, Result};

pub(in crate::container) const FORMAT: Format = Format {
    name: "vmdk",
    title: "VMDK",
    variants: &[
        Variant { what: "flat, monolithic or split", reads: "yes", writes: "yes" },
        Variant { what: "fullDevice, partitionedDevice over files", reads: "yes", writes: "yes" },
        Variant { what: "sparse, monolithic or split", reads: "yes", writes: "yes, allocating where needed" },
        Variant { what: "snapshots (delta)", reads: "yes, with their parents", writes: "where allocated" },
        Variant { what: "snapshots (seSparse)", reads: "yes, with their parents", writes: "refused" },
        Variant { what: "streamOptimized", reads: "yes", writes: "refused, with the command of a conversion" },
    ],
    is,
    open,
    endings: &["vmdk"],
    references: Some(parent::references),
};

/// Bytes of a sector, the unit of nearly all numbers of the format.
const SECTOR: u64 = 512;

fn is(probe: &Probe<'_>) -> bool {
    let magics: [&[u8]; 3] = [hosted::MAGIC, cowd::MAGIC, se_sparse::MAGIC];
    magics.iter().any(|magic| probe.head.starts_with(magic)) || descriptor::is_one(probe.head)
}

fn open(opening: Opening<'_>) -> Result<Image> {
    let mut head = [0; 512];
    let there = opening.file.len()?.min(SECTOR);
    // At most 512.
    opening.file.read_at(0, &mut head[..usize::try_from(there).unwrap_or(0)])?;
    if head.starts_with(hosted::MAGIC) {
        return open_embedded(opening);
    }
    if head.starts_with(cowd::MAGIC) || head.starts_with(se_sparse::MAGIC) {
        return Err(name_the_descriptor(&opening));
    }
    if !descriptor::is_one(&head[..usize::try_from(there).unwrap_or(0)]) {
        let what = format!("{} is neither a descriptor nor a sparse extent of VMware", opening.path.display());
        return Err(broken(Code::VmdkMagic, what));
    }
    let (text, descriptor) = descriptor::read(&opening.file, 0, opening.file.len()?)?;
    build(opening, 0, &text, descriptor, None)
}

/// Opens an image whose descriptor is embedded in its only file.
fn open_embedded(opening: Opening<'_>) -> Result<Image> {
    let header = hosted::Header::read(&opening.file)?;
    let Some((at, len)) = header.descriptor()? else { return Err(name_the_descriptor(&opening)) };
    let Some((text, descriptor)) = descriptor::read_embedded(&opening.file, at, len)? else {
        let (there, needed) = (opening.file.len()?, at.saturating_add(SECTOR));
        if needed > there && needed < 1 << 50 {
            return Err(cut_short(Code::VmdkHeader, "its descriptor is past its end", needed, there));
        }
        return Err(name_the_descriptor(&opening));
    };
    let grains = Grains::new(opening.file.clone(), header.layout(&opening.file)?)?;
    build(opening, at, &text, descriptor, Some(grains))
}

/// Opens the image of the descriptor at offset `at` of the file; `own` are the grains that follow it in the same file.
fn build(opening: Opening<'_>, at: u64, text: &[u8], descriptor: Descriptor, own: Option<Grains>) -> Result<Image> {
    refuse_strangers(&descriptor)?;
    let extents = extents::open(&opening, &descriptor, own)?;
    let size = extents.last().map_or(0, |last| last.start + last.len);
    let mut about = About {
        format: "vmdk",
        variant: descriptor.create_type.clone(),
        file: opening.path.to_owned(),
        size,
        facts: facts(&descriptor, &extents),
        refusal: extents.iter().find_map(|extent| extent.refusal().cloned()),
        remarks: extents.iter().flat_map(extents::Extent::remark).collect(),
        below: None,
    };
    if let Some(path) = &descriptor.change_track {
        let what = format!("changes are tracked in {path}, which an edit does not update: make a full backup next");
        about.remarks.push((Code::VmdkChangeTracking, what));
    }
    let content_id = ContentId::new(opening.file.clone(), at, text, &descriptor);
    let parent = descriptor.parent.as_ref();
    let parent = parent.map(|(cid, hint)| parent::open(&opening, hint, *cid)).transpose()?;
    Ok(block_mapping::image(Extents::new(extents, content_id, parent.is_some()), parent, about))
}

fn facts(descriptor: &Descriptor, extents: &[extents::Extent]) -> Vec<(&'static str, String)> {
    let mut facts = vec![("cid", format!("{:08x}", descriptor.cid))];
    if let Some((cid, hint)) = &descriptor.parent {
        facts.push(("parent-cid", format!("{cid:08x}")));
        facts.push(("parent", hint.clone()));
    }
    facts.push(("extents", extents.len().to_string()));
    if let Some(grain) = extents.iter().find_map(extents::Extent::grain_size) {
        facts.push(("grain-size", grain.to_string()));
    }
    facts
}

/// Refuses images that refer to hardware, and encrypted ones.
///
/// `fullDevice` and `partitionedDevice` are judged by their extents, since tools write such descriptors for raw images
/// too; an extent that is a device is refused by its name or by the policy.
fn refuse_strangers(descriptor: &Descriptor) -> Result<()> {
    const DEVICES: [&str; 5] = ["vmfsRaw", "vmfsRDM", "vmfsRDMP", "vmfsRawDeviceMap", "vmfsPassthroughRawDeviceMap"];
    let kind = &descriptor.create_type;
    if DEVICES.iter().any(|device| kind.eq_ignore_ascii_case(device)) {
        return Err(device(kind));
    }
    if descriptor.encrypted {
        let what = "the image is encrypted by VMware";
        return Err(Error::new(Kind::Unsupported, Code::VmdkEncrypted, what)
            .advise("remove the encryption in VMware, or clone the machine without it"));
    }
    Ok(())
}

fn device(what: &str) -> Error {
    let what = format!("the descriptor refers to a device of the host ({what}) and not to files");
    Error::new(Kind::Unsupported, Code::VmdkDevice, what).advise("name the device, or an image of it, instead")
}

/// Returns the error for one of several extents, or for an extent with a separate descriptor.
fn name_the_descriptor(opening: &Opening<'_>) -> Error {
    let name = opening.path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".vmdk").unwrap_or(&name);
    let is_number = |part: &str| part.len() > 1 && part[1..].bytes().all(|b| b.is_ascii_digit());
    let guess = match stem.rsplit_once('-') {
        Some((disk, "delta" | "sesparse" | "cowd")) => Some(disk),
        Some((disk, part)) if part.starts_with(['s', 'f']) && is_number(part) => Some(disk),
        _ => None,
    };
    let advice = match guess {
        Some(disk) => format!("name its descriptor, which is a small text file: probably {disk}.vmdk"),
        None => "name its descriptor, which is a small text file with the extension .vmdk".to_owned(),
    };
    let what = format!("{} is an extent, and its descriptor is a separate file", opening.path.display());
    Error::new(Kind::Unsupported, Code::VmdkExtentAlone, what).advise(advice)
}

fn broken(code: Code, what: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, code, what)
}

/// Returns the reason why an image is not written to.
fn refusal(code: Code, what: &str, advice: &str) -> Refusal {
    Refusal { code, what: what.into(), advice: advice.into() }
}
