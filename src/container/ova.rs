//! OVA: a virtual machine in one file, a tar archive of its description and its disks. Its disk is read in place.
//!
//! Facts: DMTF DSP0243, *Open Virtualization Format Specification*, 5.3 "Distribution as a single file" (the
//! description is the first member) and 7.1 (references to files).
//!
//! Of several disks, the one that is opened is the first of the description's disks that has a file; the fact `disks`
//! lists them all. Nothing is written: the archive comes with the hashes of its members, and often their signature.

mod ovf;
mod tar;

use std::sync::Arc;

use super::{About, Format, Image, Opening, Probe, Refusal, Role, Variant, open_layer, vmdk};
use crate::error::{Error, Kind, Place, Result, Space};
use crate::storage::Storage;
use crate::storage::window::Window;

pub(super) const FORMAT: Format = Format {
    name: "ova",
    title: "OVA",
    variants: &[Variant { what: "with a VMDK", reads: "its disk, in place", writes: "refused, naming the conversion" }],
    is,
    open,
    endings: &["ova"],
    relatives: None,
};

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
    if disk.changed {
        let what = format!("the disk {} is compressed as a whole, or cut into pieces", disk.file);
        return Err(Error::new(Kind::Unsupported, "ova-disk", what).advise("unpack the archive (tar -xf) and the disk"));
    }
    let Some(member) = members.get(&disk.file).or_else(|| members.get(&ovf::percents(&disk.file))) else {
        return Err(no_disk(&format!("its first disk {} is not in it", disk.file)));
    };
    let inner = open_disk(&opening, member, &disk.file)?;
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
        let what = format!("only the first of {} disks is looked at: unpack the archive for the others", disks.len());
        about.remarks.push(("ova-disks", what));
    }
    about.below = Some(Box::new(inner.about));
    Ok(Image { disk: inner.disk, about })
}

const READ_ONLY: &str = "it is an archive with hashes of what is in it";

fn no_disk(what: &str) -> Error {
    Error::new(Kind::NotFound, "ova-no-disk", format!("no disk of the archive can be read: {what}"))
}

fn open_disk(opening: &Opening<'_>, member: &tar::Member, name: &str) -> Result<Image> {
    if !member.plain {
        let what = format!("{name} is stored in the archive as a link or a sparse file");
        return Err(Error::new(Kind::Unsupported, "ova-disk", what).advise("unpack the archive: tar -xf"));
    }
    let window = Window::new(opening.file.clone(), member.start, member.len, Space::File)?;
    let file: Arc<dyn Storage> = Arc::new(Sealed(window));
    let (gate, path, depth) = (opening.gate, opening.path, opening.depth + 1);
    let before = gate.files().len();
    let inner = open_layer(Opening { gate, file, path, role: Role::Backing, depth }, Some(vmdk::FORMAT.name))?;
    // Its neighbours are in the archive; one of that name beside the archive is somebody else.
    match inner {
        Some(image) if gate.files().len() == before => Ok(image),
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
