//! OVA archives, packed by tar around a disk of qemu-img.

use super::vmdk::builder::{S, descriptor, hosted};
use super::vmdk::{code, convert};
use super::*;
use crate::support::tools::{have, output};

const OVF: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <References>
    <File ovf:href="second.vmdk" ovf:id="file2"/>
    <File ovf:href="disk.vmdk" ovf:id="file1" ovf:size="1"/>
  </References>
  <DiskSection>
    <Disk ovf:capacity="12" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1" ovf:fileRef="file1"/>
  </DiskSection>
</Envelope>"#;

/// Packs the members, in that order.
fn pack(folder: &Path, format: &str, members: &[&str]) -> PathBuf {
    let ova = folder.join(format!("{format}.ova"));
    let format = format!("--format={format}");
    output("tar", &[&["-C", text(folder), &format, "-cf", text(&ova)], members].concat());
    ova
}

#[test]
fn its_disk_is_read_in_place() {
    if !have(&["qemu-img", "tar"]) {
        return;
    }
    let (folder, raw) = raw_in_folder(12);
    let vmdk = folder.path().join("disk.vmdk");
    fs::write(folder.path().join("vm.ovf"), OVF).unwrap();
    fs::write(folder.path().join("vm.mf"), "SHA256(vm.ovf)= 00\n").unwrap();
    for subformat in ["streamOptimized", "monolithicSparse"] {
        convert(&raw, subformat, &vmdk);
        for format in ["ustar", "gnu", "pax", "v7"] {
            let ova = pack(folder.path(), format, &["vm.ovf", "vm.mf", "disk.vmdk"]);
            let (image, recording) = open(&ova).unwrap();
            if format == "v7" {
                // Without a signature, the archive is not recognized.
                assert_eq!(image.about.format, "raw");
                continue;
            }
            assert_same(&image, &raw);
            let inner = image.about.below.as_deref().unwrap();
            assert_eq!((image.about.format, image.about.size), ("ova", 12 << 20));
            assert_eq!((inner.format, inner.variant.as_str()), ("vmdk", subformat));
            assert_eq!(image.about.facts[0], ("disk", "disk.vmdk".into()));
            assert_eq!(image.about.refusal.as_ref().unwrap().code, "ova-read-only");
            let refused = code(image.disk.write_at(0, b"x"));
            assert!(["ova-read-only", "vmdk-stream"].contains(&refused), "{refused}");
            image.disk.flush().unwrap();
            recording.bring_to_disk();
            assert!(recording.0.lock().unwrap().len() == 1, "other files were opened");
            let bytes = fs::read(&ova).unwrap();
            let cut = folder.path().join("cut.ova");
            fs::write(&cut, &bytes[..bytes.len() - (30 << 10)]).unwrap();
            assert_eq!(code(open(&cut)), "ova-tar");
        }
    }
}

#[test]
fn the_first_disk_of_the_description_is_taken() {
    if !have(&["tar"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = |text: &[u8], byte| hosted(text, &[(0, byte)]);
    let own = descriptor(7, None, "monolithicSparse", "RW 512 SPARSE \"was-called-so.vmdk\"");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("disk.vmdk", &image(&own, 1));
    write("second.vmdk", &image(&own, 2));
    let two = OVF.replace("</DiskSection>", "<Disk ovf:diskId=\"d2\" ovf:fileRef=\"file2\"/></DiskSection>");
    let members = ["vm.ovf", "second.vmdk", "disk.vmdk"];
    let opened = |ovf: &str, members: &[&str]| {
        write("vm.ovf", ovf.as_bytes());
        let (image, _) = open(&pack(folder.path(), "ustar", members)).map_err(|e| e.code().as_str())?;
        let mut byte = [0];
        image.disk.read_at(0, &mut byte).unwrap();
        let others =
            image.about.warnings().iter().all(|(_, what)| what.contains("disk.vmdk") && what.contains("second.vmdk"));
        assert!(others, "{:?}", image.about);
        Ok((byte[0], image.about.warnings().len()))
    };
    assert_eq!(opened(OVF, &members), Ok((1, 0)));
    assert_eq!(opened(&two, &members), Ok((1, 1)));
    assert_eq!(opened(&two.replace("fileRef=\"file1\"", ""), &members), Ok((2, 0)));
    assert_eq!(opened(&OVF.replace("\"disk.vmdk\"", "\"%64isk.vmdk\""), &members), Ok((1, 0)));
    assert_eq!(opened("<Envelope/>", &members), Err("ova-no-disk"));
    assert_eq!(opened(OVF, &members[..2]), Err("ova-no-disk"));
    let compressed = OVF.replace("ovf:size", "ovf:compression=\"gzip\" ovf:size");
    assert_eq!(opened(&compressed, &members), Err("ova-disk-compressed"));
    assert_eq!(opened(&OVF.replace("ovf:size", "ovf:chunkSize=\"9\" ovf:size"), &members), Err("ova-disk"));
    assert_eq!(opened(OVF, &["vm.ovf", "disk.vmdk", "disk.vmdk"]), Err("ova-tar"), "which of the two?");
    // The extents of the disk are in the archive, not beside it.
    write("flat.bin", &[3; 4 * S]);
    write("disk.vmdk", &image(&descriptor(7, None, "custom", "RW 512 SPARSE \"a\"\nRW 4 FLAT \"flat.bin\" 0"), 1));
    assert_eq!(opened(OVF, &members), Err("ova-disk"));
    write("disk.vmdk", &descriptor(7, None, "monolithicFlat", "RW 4 FLAT \"flat.bin\" 0"));
    assert_eq!(opened(OVF, &members), Err("ova-disk"));
    write("disk.vmdk", &[9; 4096]);
    assert_eq!(opened(OVF, &members), Err("vmdk-magic"));
}

#[test]
fn damaged_archives_are_errors() {
    if !have(&["tar"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = descriptor(7, None, "monolithicSparse", "RW 512 SPARSE \"x\"");
    fs::write(folder.path().join("disk.vmdk"), hosted(&text, &[(0, 1)])).unwrap();
    fs::write(folder.path().join("vm.ovf"), OVF).unwrap();
    for format in ["ustar", "pax"] {
        let ova = pack(folder.path(), format, &["vm.ovf", "disk.vmdk"]);
        let bytes = fs::read(&ova).unwrap();
        let heads: Vec<usize> =
            (0..bytes.len() / S).map(|i| i * S).filter(|at| bytes[at + 257..].starts_with(b"ustar")).collect();
        for at in heads.into_iter().flat_map(|head| head..head + S) {
            for value in [0, b'7', 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                super::vmdk::read_all(changed, "ova");
            }
        }
        for len in (0..bytes.len()).step_by(97) {
            super::vmdk::read_all(bytes[..len].to_vec(), "ova");
        }
    }
}

#[test]
fn a_disk_of_another_format_is_read_by_its_bytes() {
    if !have(&["qemu-img", "tar"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, disk) = (folder.path().join("disk.raw"), folder.path().join("disk.vmdk"));
    raw_disk(&raw, 12);
    fs::write(folder.path().join("vm.ovf"), OVF).unwrap();
    for (format, options) in [
        ("qcow2", "compat=1.1"),
        ("vpc", "subformat=dynamic,force_size=on"),
        ("vpc", "subformat=fixed,force_size=on"),
        ("vhdx", "subformat=dynamic"),
        ("vdi", "static=off"),
    ] {
        output("qemu-img", &["convert", "-f", "raw", "-O", format, "-o", options, text(&raw), text(&disk)]);
        let (image, recording) = open(&pack(folder.path(), "ustar", &["vm.ovf", "disk.vmdk"])).unwrap();
        assert_same(&image, &raw);
        let inner = image.about.below.as_deref().unwrap().format;
        assert_eq!((image.about.format, inner), ("ova", if format == "vpc" { "vhd" } else { format }));
        assert!(image.disk.write_at(0, b"x").is_err(), "{format}");
        drop(image);
        recording.bring_to_disk();
        assert!(recording.0.lock().unwrap().iter().all(|(path, ..)| path.extension().unwrap() == "ova"));
    }
    // A disk with a backing file beside the archive is not read.
    let overlay = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "disk.raw", text(&disk)];
    output("qemu-img", &overlay);
    assert_eq!(code(open(&pack(folder.path(), "ustar", &["vm.ovf", "disk.vmdk"]))), "ova-disk");
    fs::remove_file(&raw).unwrap();
    assert_eq!(code(open(&pack(folder.path(), "ustar", &["vm.ovf", "disk.vmdk"]))), "ova-disk");
}

#[test]
fn other_contents_of_an_archive_are_reported() {
    if !have(&["tar"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let told = |file: &str, bytes: &[u8]| {
        let ovf = OVF.replace("disk.vmdk", file).replace("ovf:fileRef", "ovf:format=\"http://of.raw\" ovf:fileRef");
        fs::write(folder.path().join("vm.ovf"), ovf).unwrap();
        fs::write(folder.path().join(file), bytes).unwrap();
        let error = open(&pack(folder.path(), "ustar", &["vm.ovf", file])).map(|_| ()).unwrap_err();
        assert!(error.what().contains(file), "{error}");
        (error.code(), format!("{} {}", error.what(), error.advice().unwrap()))
    };
    let (code, text) = told("disk.gz", &[&b"\x1f\x8b\x08"[..], &[0; 4096]].concat());
    assert!(code == "ova-disk-compressed" && text.contains("a gzip file") && text.contains("gzip -dc"), "{text}");
    let (code, text) = told("disk.img", &[7; 4096]);
    assert!(code == "ova-disk-format" && text.contains("http://of.raw") && text.contains("tar -xf"), "{text}");
    let (code, text) = told("disk.e01", &[&b"EVF\x09\x0d\x0a\xff\x00\x01\x01\0\0\0"[..], &[0; 4096]].concat());
    assert!(code == "ova-disk-format" && text.contains("E01 (EWF)"), "{text}");
    let (code, text) = told("short.vmdk", &[9; 4096]);
    assert!(code == "vmdk-magic" && text.contains("the disk short.vmdk of the archive"), "{text}");
    fs::write(folder.path().join("vm.ovf"), OVF).unwrap();
    let gone = open(&pack(folder.path(), "ustar", &["vm.ovf"])).map(|_| ()).unwrap_err();
    assert!(gone.code() == "ova-no-disk" && gone.advice().unwrap().contains("tar -tvf"), "{gone:?}");
}

/// Manually packed archives have their members in any order, and in folders.
#[test]
fn members_come_in_any_order_and_in_folders() {
    if !have(&["tar"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let disk = hosted(&descriptor(7, None, "monolithicSparse", "RW 512 SPARSE \"disk.vmdk\""), &[(0, 5)]);
    ["vm/disks", "other"].iter().for_each(|name| fs::create_dir_all(at(name)).unwrap());
    for name in ["disk.vmdk", "vm/disk.vmdk", "vm/disks/disk.vmdk"] {
        fs::write(at(name), &disk).unwrap();
    }
    fs::write(
        at("other/disk.vmdk"),
        hosted(&descriptor(7, None, "monolithicSparse", "RW 512 SPARSE \"x\""), &[(0, 6)]),
    )
    .unwrap();
    fs::write(at("vm.mf"), "SHA256(vm.ovf)= 00\n").unwrap();
    let href = |href: &str| OVF.replace("\"disk.vmdk\"", &format!("\"{href}\""));
    ["vm.ovf", "vm/vm.ovf"].iter().for_each(|name| fs::write(at(name), OVF).unwrap());
    fs::write(at("deep.ovf"), href("vm/disks/disk.vmdk")).unwrap();
    fs::write(at("steps.ovf"), href("./other/../vm/disk.vmdk")).unwrap();
    fs::write(at("vm/backslash.ovf"), href("disks\\disk.vmdk")).unwrap();
    for format in ["ustar", "gnu", "pax"] {
        for members in [
            &["disk.vmdk", "vm.ovf"][..],
            &["vm.mf", "disk.vmdk", "vm.ovf"],
            &["vm.mf", "./vm.ovf", "./disk.vmdk"],
            &["vm/vm.ovf", "vm/disk.vmdk", "other/disk.vmdk"],
            &["other", "vm/disk.vmdk", "vm/vm.ovf"],
            // The folder with its contents.
            &["vm/disks", "deep.ovf"],
            &["vm/disk.vmdk", "other/disk.vmdk", "steps.ovf"],
            &["vm/disks/disk.vmdk", "vm/backslash.ovf"],
            // Not at its path, but the only one with its name.
            &["vm/disks/disk.vmdk", "vm.ovf"],
        ] {
            let ova = pack(folder.path(), format, members);
            let (image, _) = open(&ova).unwrap_or_else(|error| panic!("{format} {members:?}: {error}"));
            let mut byte = [0];
            image.disk.read_at(0, &mut byte).unwrap();
            assert_eq!((image.about.format, byte), ("ova", [5]), "{format} {members:?}");
        }
        let told = |members: &[&str]| code(open(&pack(folder.path(), format, members)));
        assert_eq!(told(&["vm/disk.vmdk", "other/disk.vmdk", "vm.ovf"]), "ova-no-disk", "which of the two?");
        assert_eq!(told(&["disk.vmdk", "vm.mf"]), "ova-ovf");
        // With another name, it is any archive.
        let ova = pack(folder.path(), format, &["disk.vmdk", "vm.ovf"]);
        fs::rename(ova, at("vm.tar")).unwrap();
        assert_eq!(code(open(&at("vm.tar"))), "compressed");
        let policy = PathPolicy::new(Arc::<Recording>::default(), &[]);
        assert!(container::open(&policy, &at("vm.tar"), Some("ova")).is_ok());
    }
}
