//! Names of files on the system of an image's origin refer to the file with the same last component beside the image.

use super::vhd::{Parent, differencing, made, uuid_of};
use super::vhdx::maker::{MIB, Maker, guid_text};
use super::vmdk::builder::{descriptor, hosted};
use super::vmdk::code;
use super::*;
use crate::support::real::Real;
use crate::support::tools::have;

/// Absolute names of several systems, in folders that do not exist here.
const FOLDERS: [&str; 8] = [
    r"C:\VMs\",
    r"\\server\share\VMs\",
    r"\\?\D:\VMs\",
    r"\VMs\",
    "/vmfs/volumes/5f3c-99/vm/",
    "/Users/me/Virtual Machines.localized/vm.vmwarevm/",
    "/Volumes/VMs/",
    "//server/share/",
];

/// Returns the first byte of the image, with the named file beside it and without.
fn first_byte(image: &Path, named: &Path) -> u8 {
    let mut byte = [0];
    let opened = open(image).unwrap_or_else(|error| panic!("{}: {error:?}", image.display())).0;
    opened.disk.read_at(0, &mut byte).unwrap();
    drop(opened);
    let away = named.with_extension("away");
    fs::rename(named, &away).unwrap();
    assert_eq!(code(open(image)), "no-file", "{}", image.display());
    fs::rename(&away, named).unwrap();
    byte[0]
}

#[test]
fn vmdks_name_extents_and_parents() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("flat.bin"), [7; 4096]).unwrap();
    let base = hosted(&descriptor(7, None, "monolithicSparse", "RW 512 SPARSE \"base.vmdk\""), &[(0, 8)]);
    fs::write(at("base.vmdk"), base).unwrap();
    for there in FOLDERS {
        fs::write(at("disk.vmdk"), descriptor(1, None, "custom", &format!("RW 8 FLAT \"{there}flat.bin\" 0"))).unwrap();
        assert_eq!(first_byte(&at("disk.vmdk"), &at("flat.bin")), 7, "{there}");
        let hint = format!("{there}base.vmdk");
        let extents = "RW 512 SPARSE \"child.vmdk\"";
        fs::write(at("child.vmdk"), hosted(&descriptor(2, Some((7, &hint)), "monolithicSparse", extents), &[]))
            .unwrap();
        assert_eq!(first_byte(&at("child.vmdk"), &at("base.vmdk")), 8, "{there}");
    }
}

#[test]
fn overlays_name_backing_files() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("base.img"), vec![9; MIB]).unwrap();
    for format in ["qcow2", "qed"] {
        let image = at(&format!("top.{format}"));
        for there in FOLDERS {
            // qemu-img rejects such names, so they are written afterwards.
            let (name, placeholder) = (format!("{there}base.img"), "x".repeat(there.len() + 8));
            let create = ["create", "-q", "-f", format, "-u", "-F", "raw", "-b", &placeholder, text(&image), "1M"];
            output("qemu-img", &create);
            let mut bytes = fs::read(&image).unwrap();
            let place = bytes.windows(name.len()).position(|found| found == placeholder.as_bytes()).unwrap();
            bytes[place..place + name.len()].copy_from_slice(name.as_bytes());
            fs::write(&image, bytes).unwrap();
            if format == "qcow2" || have(&["qemu-nbd"]) {
                assert_eq!(first_byte(&image, &at("base.img")), 9, "{format} {there}");
            }
        }
    }
}

#[test]
fn differencing_disks_name_parents() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, base) = made(folder.path(), "subformat=fixed");
    let (uuid, child) = (uuid_of(&base), folder.path().join("child.vhd"));
    let (size, first) = (open(&base).unwrap().0.disk.len().unwrap(), fs::read(&raw).unwrap()[0]);
    let parent = Maker {
        sector: 512,
        size: MIB,
        data_write: [3; 16],
        blocks: [(0, super::vhdx::maker::Block::Full(vec![6; MIB]))].into(),
        ..Maker::default()
    };
    let (base_x, child_x) = (folder.path().join("base.vhdx"), folder.path().join("child.avhdx"));
    fs::write(&base_x, parent.build()).unwrap();
    for there in FOLDERS.iter().copied().chain(["file://localhost/Volumes/My%20VMs/"]) {
        let name = format!("{there}disk.vhd");
        for parent in
            [Parent { absolute: &name, uuid, ..Parent::default() }, Parent { name: &name, uuid, ..Parent::default() }]
        {
            differencing(&child, size, &parent, &[]);
            assert_eq!(first_byte(&child, &base), first, "{name}");
        }
        let locator = |key| Some(vec![("parent_linkage", guid_text(&[3; 16])), (key, format!("{there}base.vhdx"))]);
        for key in ["relative_path", "volume_path", "absolute_win32_path"] {
            let child = Maker { locator: locator(key), blocks: [].into(), data_write: [4; 16], ..parent.clone() };
            fs::write(&child_x, child.build()).unwrap();
            assert_eq!(first_byte(&child_x, &base_x), 6, "{key} {there}");
        }
    }
}

/// A file that exists under its full name is used, subject to the policy.
#[test]
fn a_file_under_its_full_name_is_used() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let named = there.path().real().join("flat.bin");
    [&named, &here.path().join("flat.bin")].into_iter().for_each(|path| fs::write(path, [7; 4096]).unwrap());
    let image = here.path().join("disk.vmdk");
    fs::write(&image, descriptor(1, None, "custom", &format!("RW 8 FLAT \"{}\" 0", named.display()))).unwrap();
    assert_eq!(code(open(&image)), "outside-folder");
    fs::remove_file(&named).unwrap();
    assert!(open(&image).is_ok());
}
