//! OVA: a tar archive of the description and the disks of a virtual machine. The disk is read in place.
//!
//! Facts: DMTF DSP0243, *Open Virtualization Format Specification*, 5.3 "Distribution as a single file" and 7.1
//! (references to files). The specification puts the description first and knows no folders. Archives that were packed
//! by hand have their members in any order and in folders; files are then named relative to the description, or by
//! their last name.
//!
//! Of several disks, the first disk of the description that has a file is opened; the fact `disks` lists all of them,
//! and a remark warns. The bytes of a disk decide its format. OVA is read-only: the archive has the hashes of its
//! members, and often a signature of them.

mod ovf;
mod tar;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::container::formats::{qcow2, vdi, vhd, vhdx, vmdk};
use crate::container::path_policy::percents;
use crate::container::probe::Ends;
use crate::container::{
    About, FORMATS, Format, Image, Opening, Probe, Refusal, Role, Variant, open_layer, unsupported,
};
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::window::Window;

pub(in crate::container) const FORMAT: Format = Format {
    name: "ova",
    title: "OVA",
    variants: &[
        Variant {
            what: "with a VMDK, VHD, VHDX, VDI or qcow2",
            reads: "its disk, without unpacking; of several disks the first, with a warning",
            writes: "refused, with the command of a conversion",
        },
        Variant { what: "with a compressed or split disk", reads: "named", writes: "no" },
    ],
    is,
    open,
    endings: &["ova"],
    references: None,
};

/// The formats of disks in an archive; each disk is one file.
const INSIDE: [&str; 5] =
    [vmdk::FORMAT.name, vhd::FORMAT.name, vhdx::FORMAT.name, vdi::FORMAT.name, qcow2::FORMAT.name];
/// Maximum size of a description in bytes.
const MAX_OVF: u64 = 4 << 20;

/// Returns the advice to unpack the archive.
fn unpack(then: &str) -> String {
    format!("unpack the archive ({}){then}", advised::UNTAR)
}

/// Returns the advice for an edit.
fn advice() -> String {
    unpack(&format!(
        ", convert the disk ({}), edit the result, and make a new archive with a new manifest",
        advised::TO_SPARSE_VMDK
    ))
}

fn is(probe: &Probe<'_>) -> bool {
    let Some(first) = first_member(probe.head).filter(|first| first != unsupported::XVA) else { return false };
    let ends = |name: &str, with: &str| name.to_ascii_lowercase().ends_with(with);
    // If another member comes first, the file name decides: other archives are tar files too.
    ends(&first, ".ovf") || ends(probe.name, ".ova")
}

/// Returns the path of the first member, if a file with these first bytes is an archive.
pub(in crate::container) fn first_member(head: &[u8]) -> Option<String> {
    tar::first(head)
}

fn open(opening: Opening<'_>) -> Result<Image> {
    let members = tar::members(&opening.file)?;
    let is_ovf = |name: &str| name.to_ascii_lowercase().ends_with(".ovf");
    let ovfs = members.iter().filter(|(name, member)| is_ovf(name) && member.plain);
    let Some((ovf_name, ovf)) = ovfs.min_by_key(|(_, member)| member.start) else {
        return Err(Error::new(Kind::Corrupt, Code::OvaOvf, "the archive has no description (.ovf)")
            .advise(unpack(", and name the disk itself")));
    };
    if ovf.len > MAX_OVF {
        return Err(Error::new(Kind::Corrupt, Code::OvaOvf, "the description is too long").expected(MAX_OVF, ovf.len));
    }
    let mut text = vec![0; usize::try_from(ovf.len).unwrap_or(0)];
    opening.file.read_at(ovf.start, &mut text)?;
    let disks = ovf::disks(&String::from_utf8_lossy(&text));
    let Some(disk) = disks.first() else { return Err(no_disk("its description has no disk with a file")) };
    if let Some(how) = &disk.compression {
        let unpack = if how == "gzip" { advised::GUNZIP.line } else { "with the program that compressed it" };
        return Err(packed(&disk.file, &format!("compressed as a whole ({how})"), unpack));
    }
    if disk.in_pieces {
        let what = format!("the disk {} is split into several files", disk.file);
        return Err(Error::new(Kind::Unsupported, Code::OvaDisk, what)
            .advise(unpack(", join the files (cat), and name the result")));
    }
    let Some(member) = find(&members, ovf_name, &disk.file) else {
        return Err(no_disk(&format!("its first disk {} is not in the archive", disk.file)));
    };
    let inner = open_disk(&opening, member, disk)?;
    let names: Vec<&str> = disks.iter().map(|disk| disk.file.as_str()).collect();
    let mut about = About {
        format: FORMAT.name,
        variant: format!("{} disk{}", disks.len(), if disks.len() == 1 { "" } else { "s" }),
        file: opening.path.to_owned(),
        size: inner.about.size,
        facts: vec![("disk", disk.file.clone()), ("disks", names.join(", "))],
        refusal: Some(Refusal { code: Code::OvaReadOnly, what: READ_ONLY.into(), advice: advice() }),
        ..About::default()
    };
    if disks.len() > 1 {
        let what = format!(
            "only the first of {} disks is read, {}: {} for {}",
            disks.len(),
            disk.file,
            unpack(""),
            names[1..].join(", ")
        );
        about.remarks.push((Code::OvaDisks, what));
    }
    about.below = Some(Box::new(inner.about));
    Ok(Image::of_disk(inner.disk, about))
}

/// Returns the member that the description at `ovf` calls `href`: relative to it, from the root of the archive, or the
/// only member of that last name.
fn find<'a>(members: &'a BTreeMap<String, tar::Member>, ovf: &str, href: &str) -> Option<&'a tar::Member> {
    let folder = ovf.rsplit_once('/').map_or("", |(folder, _)| folder);
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let names = [href.to_owned(), percents(href)].map(|name| name.replace('\\', "/"));
    let exact = names.iter().flat_map(|name| [joined(folder, name), joined("", name)]);
    let mut exact = exact.filter_map(|name| members.get(&name));
    exact.next().or_else(|| {
        let mut alike = members.iter().filter(|(name, _)| names.iter().any(|wanted| last(wanted) == last(name)));
        alike.next().filter(|_| alike.next().is_none()).map(|(_, member)| member)
    })
}

/// Returns the path of `name` in `folder`, without `.` and `..`.
fn joined(folder: &str, name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

const READ_ONLY: &str = "the archive contains hashes of its members";

fn no_disk(what: &str) -> Error {
    Error::new(Kind::NotFound, Code::OvaNoDisk, format!("no disk of the archive can be read: {what}")).advise(format!(
        "list its members ({}): if the disk is another file, name that file; otherwise use a complete copy",
        advised::LIST_TAR
    ))
}

fn packed(file: &str, what: &str, unpack: &str) -> Error {
    let what = format!("the disk {file} is {what}");
    let advice = self::unpack(&format!(", then the disk, and name that: {unpack}"));
    Error::new(Kind::Unsupported, Code::OvaDiskCompressed, what).advise(advice)
}

/// Returns the format of a disk in the archive by its bytes, which often contradict the description.
fn format_of(file: &dyn Storage, opening: &Opening<'_>, disk: &ovf::Disk) -> Result<&'static str> {
    let ends = Ends::read(file, opening.path)?;
    // The name of the archive does not tell the format of the disk.
    let probe = Probe { name: "", ..ends.probe() };
    let unsupported = |what: &str| {
        let what = format!("the disk {} is {what}", disk.file);
        Err(Error::new(Kind::Unsupported, Code::OvaDiskFormat, what).advise(unpack(", and name the disk itself")))
    };
    if let Some(format) = FORMATS.iter().find(|format| (format.is)(&probe)) {
        let found = INSIDE.into_iter().find(|name| *name == format.name);
        return found.map_or_else(|| unsupported(&format!("in the format {}", format.title)), Ok);
    }
    if let Some((what, unpack)) = unsupported::packed(&probe) {
        return Err(packed(&disk.file, what, unpack.line));
    }
    if disk.file.to_ascii_lowercase().ends_with(".vmdk") {
        // Opening it will report the missing part.
        return Ok(vmdk::FORMAT.name);
    }
    match disk.format.as_str() {
        "" => unsupported("of an unsupported format"),
        said => unsupported(&format!("of an unsupported format; its description says {said}")),
    }
}

fn open_disk(opening: &Opening<'_>, member: &tar::Member, disk: &ovf::Disk) -> Result<Image> {
    let name = &disk.file;
    if !member.plain {
        let what = format!("{name} is stored in the archive as a link or a sparse file");
        return Err(Error::new(Kind::Unsupported, Code::OvaDisk, what).advise(unpack("")));
    }
    let window = Window::new(opening.file.clone(), member.start, member.len, Space::File)?;
    let file: Arc<dyn Storage> = Arc::new(ReadOnlyMember(window));
    let format = format_of(&*file, opening, disk)?;
    let (policy, path, depth) = (opening.policy, opening.path, opening.depth + 1);
    let before = policy.files().len();
    let inner = open_layer(Opening { policy, file, path, role: Role::Backing, depth }, Some(format));
    // Its related files are in the archive; a file of that name beside the archive is unrelated.
    let is_apart = |error: &Error| matches!(error.code(), Code::NoFile | Code::OutsideFolder | Code::NotAFile);
    match inner {
        Ok(Some(image)) if policy.files().len() == before => Ok(image),
        Err(error) if policy.files().len() == before && !is_apart(&error) => {
            Err(error.adding(&format!("it is the disk {name} of the archive")))
        }
        _ => {
            let what = format!("the disk {name} depends on other files");
            Err(Error::new(Kind::Unsupported, Code::OvaDisk, what).advise(unpack("")))
        }
    }
}

/// A read-only member of the archive.
struct ReadOnlyMember(Window<Arc<dyn Storage>>);

impl Storage for ReadOnlyMember {
    fn len(&self) -> Result<u64> {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buf)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::refused(Code::OvaReadOnly, READ_ONLY).advise(advice()))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// Returns the places of the archive: users cannot use an address in a member.
    fn locate(&self, offset: u64) -> Vec<Place> {
        self.0.locate(offset).split_off(1)
    }
}
