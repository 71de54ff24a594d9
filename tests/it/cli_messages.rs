//! Messages contain their subject, and their advice is true.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use crate::command::{Run, hivewright, hivewright_in};
use crate::support::file_ext::FileExt;

fn run(folder: &Path, args: &[&str]) -> Run {
    hivewright_in(folder, args)
}

/// Creates a file with `bytes` at an offset, and zeros up to `len`.
fn file(folder: &Path, name: &str, len: u64, at: u64, bytes: &[u8]) {
    let file = File::create(folder.join(name)).unwrap();
    file.set_len(len).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn files_other_than_hives_and_images_are_reported_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "empty.qcow2", 0, 0, b"");
    file(folder.path(), "text.txt", 5, 0, b"hello");
    file(folder.path(), "zeros.img", 4 << 20, 0, b"");
    for (name, advice) in
        [("empty.qcow2", "the file is empty"), ("text.txt", "name a SYSTEM"), ("zeros.img", "--format raw")]
    {
        for verb in [&["get"][..], &["info"], &["set", "2"], &["recover"]] {
            let run = run(folder.path(), &[verb, &[name]].concat()).failed(2, advice);
            assert!(
                run.err.starts_with(&format!("hivewright: {name}: unsupported: not a registry hive")),
                "{}",
                run.err
            );
            assert!(run.has("base-signature"), "{}", run.err);
        }
        run(folder.path(), &["get", "--json", name]).failed_as_json(2, "base-signature");
    }
}

/// Formats of compressed files are reported, with the program to decompress them. In folders, such files are not
/// targets.
#[test]
fn compressed_files_have_advice_to_decompress() {
    let folder = tempfile::tempdir().unwrap();
    for (name, magic, tool) in [
        ("a.gz", &b"\x1f\x8b\x08\0"[..], "gzip -dc"),
        ("a.zst", b"\x28\xb5\x2f\xfd", "zstd -dc"),
        ("a.xz", b"\xfd7zXZ\0", "xz -dc"),
        ("a.bz2", b"BZh91AY&SY", "bzip2 -dc"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "7z x"),
        ("a.zip", b"PK\x03\x04", "unzip"),
        ("a.vhd", b"PK\x03\x04", "unzip"),
    ] {
        file(folder.path(), name, 1 << 20, 0, magic);
        for verb in [&["get"][..], &["check"], &["info"], &["set", "2"]] {
            let run = run(folder.path(), &[verb, &[name]].concat()).failed(2, tool);
            assert!(run.has("compressed"), "{}", run.err);
        }
        run(folder.path(), &["get", "--json", name]).failed_as_json(2, "compressed");
    }
    let told = run(folder.path(), &["audit", "--json", "a.zip", "."]);
    // Records come as they are ready.
    let targets: BTreeSet<&str> =
        told.out.lines().filter_map(|line| line.split("\"target\":\"").nth(1)?.split('"').next()).collect();
    assert_eq!(
        (told.code, targets),
        (2, BTreeSet::from(["a.zip", if cfg!(windows) { r".\\a.vhd" } else { "./a.vhd" }])),
        "{}",
        told.out
    );
    assert_eq!(told.out.matches("\"code\":\"compressed\"").count(), 2, "{}", told.out);
}

#[test]
fn a_wrong_format_is_distinguished_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "disk.raw", 4 << 20, 510, b"\x55\xaa");
    for format in ["vhd", "vpc", "vdi", "qcow2"] {
        run(folder.path(), &["get", "disk.raw", "--json", "--format", format]).failed_as_json(2, "format-mismatch");
    }
    // A fixed VHD without its footer begins like this.
    fs::rename(folder.path().join("disk.raw"), folder.path().join("disk.vhd")).unwrap();
    run(folder.path(), &["get", "disk.vhd", "--json", "--format", "vhd"]).failed_as_json(2, "vhd-footer");
}

#[test]
fn a_folder_to_allow_must_be_one() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "disk.raw", 4 << 20, 510, b"\x55\xaa");
    for (allow, says) in [("nowhere", "cannot access nowhere"), ("disk.raw", "not a folder")] {
        let run = run(folder.path(), &["get", "disk.raw", "--allow-path", allow]);
        assert!(run.code == 2 && run.err.contains("--allow-path") && run.err.contains(says), "{}", run.err);
    }
    let conflict = run(folder.path(), &["set", "2", "disk.raw", "--undo", "x", "--output", "y"]);
    assert!(conflict.code == 2 && conflict.err.contains("'--output <FILE>'"), "{}", conflict.err);
    assert!(!conflict.err.contains("--dry-run"), "{}", conflict.err);
}

/// The examples of `help` use existing JSON keys with jq.
#[test]
fn examples_with_jq_name_keys_that_exist() {
    for (verb, target) in [("get", "windows/win10"), ("check", "check/subkey-hash")] {
        let help = hivewright(["help", verb]);
        let (_, filter) = help.out.split_once("| jq ").unwrap_or_else(|| panic!("{verb}: no example: {}", help.out));
        let key: String =
            filter.trim_start_matches(['\'', '.']).chars().take_while(|c| c.is_alphabetic() || *c == '_').collect();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("SYSTEM"), crate::copies::fixture(target)).unwrap();
        let told = run(folder.path(), &[verb, "--json", "SYSTEM"]);
        let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
        assert!(!told[&key].is_null(), "{verb}: .{key} is null");
    }
}
