//! OVA: a virtual machine in one file, a tar archive of its description and its disks. Its disk is read in place.
//!
//! Facts: DMTF DSP0243, *Open Virtualization Format Specification*, 5.3 "Distribution as a single file" (the
//! description is the first member) and 7.1 (references to files).
//!
//! Of several disks, the one that is opened is the first of the description's disks that has a file; the fact `disks`
//! lists them all, and a remark says it. What format it has, its bytes say. Nothing is written: the archive comes with the
//! hashes of its members, and often their signature.

mod ovf;
mod tar;

use std::sync::Arc;

use super::looks::Ends;
use super::{About, FORMATS, Format, Image, Opening, Probe, Refusal, Role, Variant, named, open_layer};
use super::{qcow2, vdi, vhd, vhdx, vmdk};
use crate::error::{Error, Kind, Place, Result, Space};
use crate::storage::Storage;
use crate::storage::window::Window;

pub(super) const FORMAT: Format = Format {
    name: "ova",
    title: "OVA",
    variants: &[
        Variant {
            what: "with a VMDK, VHD, VHDX, VDI or qcow2",
            reads: "its disk, in place; of several the first, with a warning",
            writes: "refused, naming the conversion",
        },
        Variant { what: "with a compressed disk, or one in pieces", reads: "named", writes: "no" },
    ],
    is,
    open,
    endings: &["ova"],
    relatives: None,
};

/// What its disks may be: each whole in one file.
const INSIDE: [&str; 5] =
    [vmdk::FORMAT.name, vhd::FORMAT.name, vhdx::FORMAT.name, vdi::FORMAT.name, qcow2::FORMAT.name];
const UNPACK: &str = "unpack the archive (tar -xf), and name the disk itself";
/// Bytes of a description at most.
const MAX_OVF: u64 = 4 << 20;
const ADVICE: &str = "unpack it (tar -xf), convert the disk (qemu-img convert -O vmdk -o subformat=monolithicSparse), edit \
                      that, and pack it anew with a new manifest";

fn is(probe: &Probe<'_>) -> bool {
    let Some(header) = probe.head.get(..512).filter(|head| head[257..262] == *b"ustar") else { return false };
    let ends = |name: &[u8], with: &str| name.to_ascii_lowercase().ends_with(with.as_bytes());
    let end = header[..100].iter().position(|&b| b == 0).unwrap_or(100);
    // A member that only says more of the next one comes first: the name of the file must do.
    let is_about_the_next = matches!(header[156], b'x' | b'g' | b'L');
    ends(&header[..end], ".ovf") || (is_about_the_next && ends(probe.name.as_bytes(), ".ova"))
}

fn open(opening: Opening<'_>) -> Result<Image> {
    let members = tar::members(&opening.file)?;
    let ovf = members
        .iter()
        .min_by_key(|(_, member)| member.start)
        .filter(|(name, _)| name.to_ascii_lowercase().ends_with(".ovf"));
    let Some((_, ovf)) = ovf else {
        return Err(Error::new(Kind::Corrupt, "ova-ovf", "the first member of the archive is no description (.ovf)"));
    };
    if ovf.len > MAX_OVF {
        return Err(Error::new(Kind::Corrupt, "ova-ovf", "the description is too long").expected(MAX_OVF, ovf.len));
    }
    let mut text = vec![0; usize::try_from(ovf.len).unwrap_or(0)];
    opening.file.read_at(ovf.start, &mut text)?;
    let disks = ovf::disks(&String::from_utf8_lossy(&text));
    let Some(disk) = disks.first() else { return Err(no_disk("it describes no disk that has a file")) };
    if let Some(how) = &disk.compression {
        let unpack = if how == "gzip" { "gzip -dc FILE > DISK" } else { "with what compressed it" };
        return Err(packed(&disk.file, &format!("compressed as a whole ({how})"), unpack));
    }
    if disk.in_pieces {
        let what = format!("the disk {} is cut into pieces", disk.file);
        return Err(Error::new(Kind::Unsupported, "ova-disk", what)
            .advise("unpack the archive (tar -xf), join the pieces (cat), and name the result"));
    }
    let Some(member) = members.get(&disk.file).or_else(|| members.get(&ovf::percents(&disk.file))) else {
        return Err(no_disk(&format!("its first disk {} is not in it", disk.file)));
    };
    let inner = open_disk(&opening, member, disk)?;
    let names: Vec<&str> = disks.iter().map(|disk| disk.file.as_str()).collect();
    let mut about = About {
        format: FORMAT.name,
        variant: format!("{} disk{}", disks.len(), if disks.len() == 1 { "" } else { "s" }),
        file: opening.path.to_owned(),
        size: inner.about.size,
        facts: vec![("disk", disk.file.clone()), ("disks", names.join(", "))],
        refusal: Some(Refusal { code: "ova-read-only", what: READ_ONLY.into(), advice: ADVICE.into() }),
        ..About::default()
    };
    if disks.len() > 1 {
        let what = format!(
            "only the first of {} disks is looked at, {}: unpack the archive (tar -xf) for {}",
            disks.len(),
            disk.file,
            names[1..].join(", ")
        );
        about.remarks.push(("ova-disks", what));
    }
    about.below = Some(Box::new(inner.about));
    Ok(Image { disk: inner.disk, about })
}

const READ_ONLY: &str = "it is an archive with hashes of what is in it";

fn no_disk(what: &str) -> Error {
    Error::new(Kind::NotFound, "ova-no-disk", format!("no disk of the archive can be read: {what}"))
        .advise("look what is in it (tar -tvf): if the disk lies elsewhere, name that; else take a whole copy")
}

fn packed(file: &str, what: &str, unpack: &str) -> Error {
    let what = format!("the disk {file} is {what}");
    let advice = format!("unpack the archive (tar -xf), then the disk, and name that: {unpack}");
    Error::new(Kind::Unsupported, "ova-disk-compressed", what).advise(advice)
}

/// The format of a disk in the archive, by its bytes: they and what is said of them often disagree.
fn format_of(file: &dyn Storage, opening: &Opening<'_>, disk: &ovf::Disk) -> Result<&'static str> {
    let ends = Ends::read(file, opening.path)?;
    // The name of the archive says nothing of the disk.
    let probe = Probe { name: "", ..ends.probe() };
    let unsupported = |what: &str| {
        let what = format!("the disk {} is {what}", disk.file);
        Err(Error::new(Kind::Unsupported, "ova-disk-format", what).advise(UNPACK))
    };
    if let Some(format) = FORMATS.iter().find(|format| (format.is)(&probe)) {
        let found = INSIDE.into_iter().find(|name| *name == format.name);
        return found.map_or_else(|| unsupported(&format!("in the format {}", format.title)), Ok);
    }
    if let Some((what, unpack)) = named::packed(&probe) {
        return Err(packed(&disk.file, what, unpack));
    }
    if disk.file.to_ascii_lowercase().ends_with(".vmdk") {
        // It will say what is missing.
        return Ok(vmdk::FORMAT.name);
    }
    match disk.format.as_str() {
        "" => unsupported("of no format that is known inside of an archive"),
        said => unsupported(&format!("of no format that is known inside of an archive; its description says {said}")),
    }
}

fn open_disk(opening: &Opening<'_>, member: &tar::Member, disk: &ovf::Disk) -> Result<Image> {
    let name = &disk.file;
    if !member.plain {
        let what = format!("{name} is stored in the archive as a link or a sparse file");
        return Err(Error::new(Kind::Unsupported, "ova-disk", what).advise("unpack the archive: tar -xf"));
    }
    let window = Window::new(opening.file.clone(), member.start, member.len, Space::File)?;
    let file: Arc<dyn Storage> = Arc::new(Sealed(window));
    let format = format_of(&*file, opening, disk)?;
    let (gate, path, depth) = (opening.gate, opening.path, opening.depth + 1);
    let before = gate.files().len();
    let inner = open_layer(Opening { gate, file, path, role: Role::Backing, depth }, Some(format));
    // Its neighbours are in the archive; one of that name beside the archive is somebody else.
    let is_apart = |error: &Error| matches!(error.code(), "no-file" | "outside-folder" | "not-a-file");
    match inner {
        Ok(Some(image)) if gate.files().len() == before => Ok(image),
        Err(error) if gate.files().len() == before && !is_apart(&error) => {
            Err(error.adding(&format!("it is the disk {name} of the archive")))
        }
        _ => {
            let what = format!("the disk {name} is not whole in itself: it names further files");
            Err(Error::new(Kind::Unsupported, "ova-disk", what).advise("unpack the archive: tar -xf"))
        }
    }
}

/// A member of the archive: read only.
struct Sealed(Window<Arc<dyn Storage>>);

impl Storage for Sealed {
    fn len(&self) -> Result<u64> {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buf)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::refused("ova-read-only", READ_ONLY).advise(ADVICE))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// The archive's places: what lies in a member has no address that people could use.
    fn locate(&self, offset: u64) -> Vec<Place> {
        self.0.locate(offset).split_off(1)
    }
}
