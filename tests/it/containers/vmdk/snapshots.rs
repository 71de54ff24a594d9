//! Chains: snapshots of Workstation made by qemu-img, and those of ESX built here and read by QEMU too.

use super::builder::{Wide, cowd, descriptor, se_sparse};
use super::*;
use hivewright_error::Code;

fn create(folder: &Path, image: &str, base: &str) {
    let (image, base) = (folder.join(image), folder.join(base));
    // Relative, as in VMware.
    let base = base.file_name().unwrap().to_str().unwrap();
    output("qemu-img", &["create", "-f", "vmdk", "-b", base, "-F", "vmdk", text(&image)]);
}

fn raw_of(vmdk: &Path) -> PathBuf {
    let raw = vmdk.with_extension("raw");
    output("qemu-img", &["convert", "-f", "vmdk", "-O", "raw", text(vmdk), text(&raw)]);
    raw
}

#[test]
fn chains_read_through_and_write_on_top() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let (folder, raw) = raw_in_folder(12);
    let base = folder.path().join("base.vmdk");
    convert(&raw, "twoGbMaxExtentSparse", &base);
    create(folder.path(), "mid.vmdk", "base.vmdk");
    output("qemu-io", &["-f", "vmdk", "-c", "write -P 0x31 1M 200k", text(&folder.path().join("mid.vmdk"))]);
    create(folder.path(), "top.vmdk", "mid.vmdk");
    let top = folder.path().join("top.vmdk");
    output("qemu-io", &["-f", "vmdk", "-c", "write -P 0x32 1100k 10k", "-c", "write -P 0x33 9M 64k", text(&top)]);
    let raw = raw_of(&top);
    let (image, recording) = open(&top).unwrap();
    assert_same(&image, &raw);
    let mid = image.about.below.as_deref().unwrap();
    assert!(mid.file.ends_with("mid.vmdk") && mid.below.as_ref().unwrap().file.ends_with("base.vmdk"));
    assert_eq!(image.disk.locate(1 << 20).len(), 2, "a parent's byte has a place too");
    for parents in [0, 1 << 20, 4000 * 512] {
        assert_eq!(code(image.disk.write_at(parents, b"x")), "not-allocated");
    }
    write(&image, &raw, (9 << 20) + 77, b"on top");
    recording.bring_to_disk();
    assert_same(&open(&top).unwrap().0, &raw);
    compare(&raw, &top, "vmdk");
    assert!(succeeds("qemu-img", &["check", "-f", "vmdk", text(&top)]));
    // A changed parent is no longer the one in its children.
    let (image, recording) = open(&base).unwrap();
    image.disk.write_at(0, b"changed").unwrap();
    recording.bring_to_disk();
    let error = open(&top).map(|_| ()).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::VmdkParentChanged, hivewright::Kind::Corrupt));
    fs::remove_file(folder.path().join("mid.vmdk")).unwrap();
    assert_eq!(code(open(&top)), "no-file");
}

const SECTORS: usize = 40_000;

/// Creates a base of ESX: a flat extent of bytes 0x77 and its descriptor, `vm.vmdk`.
fn esx_base(folder: &Path) {
    fs::write(folder.join("vm-flat.vmdk"), vec![0x77; SECTORS * 512]).unwrap();
    let extents = format!("RW {SECTORS} VMFS \"vm-flat.vmdk\"");
    fs::write(folder.join("vm.vmdk"), descriptor(0x1111_2222, None, "vmfs", &extents)).unwrap();
}

fn delta(folder: &Path, kind: &str, extent: &str, bytes: &[u8]) -> PathBuf {
    let file = format!("vm-000001-{}.vmdk", if kind == "vmfsSparse" { "delta" } else { "sesparse" });
    fs::write(folder.join(&file), bytes).unwrap();
    let extents = format!("RW {SECTORS} {extent} \"{file}\"");
    let path = folder.join("vm-000001.vmdk");
    fs::write(&path, descriptor(0x3333_4444, Some((0x1111_2222, "vm.vmdk")), kind, &extents)).unwrap();
    path
}

#[test]
fn deltas_of_esx() {
    let folder = tempfile::tempdir().unwrap();
    esx_base(folder.path());
    let grains = [(0, 1), (1, 2), (5, 3), (4095, 4), (4096, 5), (39_999, 6)];
    let top = delta(folder.path(), "vmfsSparse", "VMFSSPARSE", &cowd(SECTORS, &grains));
    let mut expected = vec![0x77; SECTORS * 512];
    grains.iter().for_each(|(grain, byte)| expected[grain * 512..][..512].fill(*byte));
    let raw = folder.path().join("expected.raw");
    fs::write(&raw, &expected).unwrap();
    let (image, recording) = open(&top).unwrap();
    assert_same(&image, &raw);
    assert_eq!(image.about.facts[0], ("cid", "33334444".into()));
    if have(&["qemu-img"]) {
        compare(&raw, &top, "vmdk");
    }
    image.disk.write_at(1000, &[0xee; 24]).unwrap();
    assert_eq!(code(image.disk.write_at(1000, &[0xee; 25])), "not-allocated");
    recording.bring_to_disk();
    expected[1000..1024].fill(0xee);
    fs::write(&raw, &expected).unwrap();
    assert_same(&open(&top).unwrap().0, &raw);
    if have(&["qemu-img"]) {
        compare(&raw, &top, "vmdk");
    }
    // The long identifier changes with the CID.
    let text = fs::read_to_string(&top).unwrap();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim_matches('"').to_owned();
    assert_ne!(value("CID="), "33334444");
    assert!(value("ddb.longContentID = \"").ends_with(&value("CID=")));
    assert!(!value("ddb.longContentID = \"").starts_with("0123456789abcdef"));
    assert_eq!(code(open(&folder.path().join("vm-000001-delta.vmdk"))), "vmdk-extent-alone");
}

#[test]
fn space_efficient_deltas_are_read() {
    let folder = tempfile::tempdir().unwrap();
    esx_base(folder.path());
    let grains =
        [(0, Wide::Data(1)), (1, Wide::Zero), (3, Wide::Unmapped), (4096, Wide::Data(2)), (4999, Wide::Data(3))];
    let mut expected = vec![0x77; SECTORS * 512];
    for (grain, what) in &grains {
        let byte = if let Wide::Data(byte) = what { *byte } else { 0 };
        expected[grain * 4096..][..4096].fill(byte);
    }
    let mut bytes = se_sparse(SECTORS, &grains);
    let top = delta(folder.path(), "seSparse", "SESPARSE", &bytes);
    let raw = folder.path().join("expected.raw");
    fs::write(&raw, &expected).unwrap();
    let (image, _) = open(&top).unwrap();
    assert_same(&image, &raw);
    if have(&["qemu-img"]) {
        compare(&raw, &top, "vmdk");
    }
    assert_eq!(code(image.disk.write_at(0, b"x")), "vmdk-sesparse");
    assert_eq!(code(open(&folder.path().join("vm-000001-sesparse.vmdk"))), "vmdk-extent-alone");
    bytes[512 + 24] = 1;
    assert_eq!(code(open(&delta(folder.path(), "seSparse", "SESPARSE", &bytes))), "vmdk-sesparse-journal");
}

#[test]
fn a_dangling_hint_is_a_name_beside_the_image() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    esx_base(folder.path());
    let top = delta(folder.path(), "vmfsSparse", "VMFSSPARSE", &cowd(SECTORS, &[]));
    for (hint, expected) in [
        ("/vmfs/volumes/5f1-2a/vm/vm.vmdk", Ok(())),
        (r"D:\machines\vm.vmdk", Ok(())),
        ("/vmfs/volumes/5f1-2a/vm/gone.vmdk", Err("no-file")),
        ("gone/vm.vmdk", Err("no-file")),
        (elsewhere.path().to_str().unwrap(), Err("outside-folder")),
        #[cfg(unix)]
        ("/dev/zero", Err("outside-folder")),
        // It is its own parent, and its CID is not that of its parent.
        ("vm-000001.vmdk", Err("image-circle")),
        ("vm-flat.vmdk", Err("vmdk-magic")),
    ] {
        let extents = format!("RW {SECTORS} VMFSSPARSE \"vm-000001-delta.vmdk\"");
        fs::write(&top, descriptor(1, Some((0x1111_2222, hint)), "vmfsSparse", &extents)).unwrap();
        assert_eq!(open(&top).map(|_| ()).map_err(|e| e.code().as_str()), expected, "{hint}");
    }
}
