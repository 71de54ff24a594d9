//! Files other than disks and hives are reported with their type by every command, with advice.

use super::*;
use crate::command::hivewright_in;
use crate::support::tools::have;
use serde_json::Value;

/// Every command with a target.
const VERBS: [&[&str]; 8] = [
    &["get"],
    &["check"],
    &["info"],
    &["set", "2", "--dry-run"],
    &["set", "2"],
    &["unset"],
    &["recover", "--dry-run"],
    &["audit"],
];

/// Returns the code and the text of every command for the file, which must be equal.
fn report(folder: &Path, name: &str) -> (String, String) {
    let before = fs::read(folder.join(name)).unwrap();
    let mut all = Vec::new();
    for verb in VERBS {
        let text = hivewright_in(folder, [verb, &[name]].concat());
        assert_eq!(text.code, 2, "{verb:?} {name}: {text:?}");
        let run = hivewright_in(folder, [verb, &[name, "--json"]].concat());
        assert_eq!(run.code, 2, "{verb:?} {name}: {run:?}");
        let line = run.out.lines().next().filter(|_| verb[0] == "audit").unwrap_or(&run.out);
        let value: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{verb:?} {name}: {error}: {run:?}"));
        let error = &value["error"];
        all.push((
            error["code"].as_str().unwrap().to_owned(),
            error["message"].as_str().unwrap_or_default().to_owned(),
        ));
        assert!(error["advice"].is_string(), "{verb:?} {name}: {value}");
    }
    all.dedup_by(|a, b| a.0 == b.0);
    assert_eq!(all.len(), 1, "{name}: {all:?}");
    assert!(fs::read(folder.join(name)).unwrap() == before);
    all.remove(0)
}

/// Creates a file of `len` bytes that begins with `bytes`.
fn padded(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut file = bytes.to_vec();
    file.resize(len.max(bytes.len()), 0);
    file
}

#[test]
fn other_files_of_registries_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let wide = |text: &str| [vec![0xff, 0xfe], text.encode_utf16().flat_map(u16::to_le_bytes).collect()].concat();
    let reg = "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SYSTEM]\r\n";
    let log = |name: &str| fs::read(crate::command::fixtures().join("dirty").join(name)).unwrap();
    let new = log("new-clean/SYSTEM.LOG1");
    let old = [&new[..28], &[1, 0, 0, 0], &new[32..512], b"DIRT\xff\xff", &[0; 4000]].concat();
    for (name, bytes, code) in [
        ("wide.reg", wide(reg), "reg-file"),
        ("short.reg", wide("Windows Registry Editor Version 5.00\r\n"), "reg-file"),
        ("plain.reg", reg.as_bytes().to_vec(), "reg-file"),
        ("marked.reg", [b"\xef\xbb\xbf", reg.as_bytes()].concat(), "reg-file"),
        ("old.reg", b"REGEDIT4\r\n\r\n[HKEY_LOCAL_MACHINE\\SYSTEM]\r\n".to_vec(), "reg-file"),
        ("by-another-name", wide(&reg.repeat(3000)), "reg-file"),
        ("SYSTEM.DAT", padded(b"CREG\0\0\x01\0\x20\0\0\0", 8192), "hive-9x"),
        ("SYSTEM.LOG1", new.clone(), "transaction-log"),
        ("SYSTEM.LOG2", new[..512].to_vec(), "transaction-log"),
        ("copy-of-a-log", new, "transaction-log"),
        ("SYSTEM.LOG", old, "transaction-log"),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        assert_eq!(report(folder.path(), name).0, code, "{name}");
    }
}

#[test]
fn unsupported_containers_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let koly = padded(b"koly\0\0\0\x04\0\0\x02\0\0\0\0\x01", 512);
    let sparse_ustar = |first: &str| {
        let mut header = padded(first.as_bytes(), 512);
        header[257..263].copy_from_slice(b"ustar\0");
        padded(&header, 4096)
    };
    let zip = |name: &str, comment: &str| {
        let mut file = padded(b"PK\x03\x04", 30);
        file.extend(padded(name.as_bytes(), 4000));
        file.extend(padded(b"PK\x05\x06", 22));
        file.extend(comment.as_bytes());
        file
    };
    for (name, bytes, word, code) in [
        ("disk.dmg", [vec![0; 4096], koly].concat(), "DMG", "container"),
        ("vm.xva", sparse_ustar("ova.xml"), "XVA", "container"),
        ("vm.tar", sparse_ustar("any"), "tar", "compressed"),
        ("vzdump.vma", padded(b"VMA\0\0\0\0\x01", 12288), "VMA", "container"),
        ("job.vbk", padded(b"\x0d\0\0\0\x01\0\0\0\x03\0\0\0md5", 8192), "Veeam", "container"),
        ("disk.aff", padded(b"AFF10\r\n\0AFF\0", 4096), "AFF", "container"),
        ("disk.aff4", zip("container.description", ""), "AFF4", "container"),
        ("old.aff4", zip("information.turtle", "aff4://685e15cc-d0fb-4dbc-ba47-48117fc77044"), "AFF4", "container"),
        ("any.zip", zip("a", "comment"), "zip", "compressed"),
        ("a.rar", padded(b"Rar!\x1a\x07\x01\0", 4096), "RAR", "compressed"),
        ("b.rar", padded(b"Rar!\x1a\x07\0", 4096), "RAR", "compressed"),
        ("a.lz4", padded(b"\x04\x22\x4d\x18\x64", 4096), "LZ4", "compressed"),
        ("b.lz4", padded(b"\x02\x21\x4c\x18", 4096), "LZ4", "compressed"),
        ("a.wim", padded(b"MSWIM\0\0\0\xd0", 4096), "version", "wim-version"),
        ("b.wim", padded(b"MSWIM\0\0\0", 4096), "WIM", "wim-header"),
        ("a.gz", padded(b"\x1f\x8b\x08", 4096), "gzip", "compressed"),
        ("a.luks", padded(b"LUKS\xba\xbe\0\x02", 4096), "LUKS", "luks"),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        let (found, what) = report(folder.path(), name);
        assert!(found == code && what.contains(word), "{name}: {found}: {what}");
    }
}

#[test]
fn optical_discs_and_squashfs_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut made = Vec::new();
    fs::create_dir(at("files")).unwrap();
    fs::write(at("files/a"), "a").unwrap();
    if have(&["genisoimage"]) {
        output("genisoimage", &["-quiet", "-o", text(&at("a.iso")), text(&at("files"))]);
        output("genisoimage", &["-quiet", "-udf", "-o", text(&at("bridge.iso")), text(&at("files"))]);
        // As of isohybrid, with the boot sector of a disk.
        let mut hybrid = fs::read(at("a.iso")).unwrap();
        hybrid[446..462].copy_from_slice(&[0x80, 0, 1, 0, 0x17, 0, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0]);
        hybrid[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(at("hybrid.iso"), &hybrid).unwrap();
        // A disk with remnants of one is a disk.
        hybrid.resize(8 << 20, 0);
        fs::write(at("stick.raw"), hybrid).unwrap();
        assert_eq!(open(&at("stick.raw")).unwrap().0.about.format, "raw");
        made.extend([("a.iso", "ISO 9660"), ("bridge.iso", "ISO 9660"), ("hybrid.iso", "ISO 9660")]);
    }
    if have(&["mkudffs"]) {
        File::create(at("a.udf")).unwrap().set_len(2 << 20).unwrap();
        output("mkudffs", &[text(&at("a.udf"))]);
        made.push(("a.udf", "UDF"));
    }
    if have(&["mksquashfs"]) {
        output("mksquashfs", &[text(&at("files")), text(&at("a.squashfs")), "-quiet", "-no-progress"]);
        made.push(("a.squashfs", "squashfs"));
    }
    for (name, word) in made {
        let (code, what) = report(folder.path(), name);
        assert!(code == "container" && what.contains(word), "{name}: {code}: {what}");
    }
}
