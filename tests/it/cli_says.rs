//! Messages name what they are about, and their advice is true.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::command::{Run, hivewright, hivewright_in};

fn run(folder: &Path, args: &[&str]) -> Run {
    hivewright_in(folder, args)
}

/// A file with `bytes` at an offset, and zeros up to `len`.
fn file(folder: &Path, name: &str, len: u64, at: u64, bytes: &[u8]) {
    let file = File::create(folder.join(name)).unwrap();
    file.set_len(len).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn what_is_neither_hive_nor_image_is_named_and_has_advice() {
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
            assert!(run.err.contains("nor a disk image"), "{}", run.err);
        }
        run(folder.path(), &["get", "--json", name]).failed_as_json(2, "base-signature");
    }
}

#[test]
fn a_wrong_format_is_told_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "disk.raw", 4 << 20, 510, b"\x55\xaa");
    for format in ["vhd", "vpc", "vdi", "qcow2"] {
        run(folder.path(), &["get", "disk.raw", "--json", "--format", format]).failed_as_json(2, "format-mismatch");
    }
    // A fixed VHD that has lost its footer begins like that.
    fs::rename(folder.path().join("disk.raw"), folder.path().join("disk.vhd")).unwrap();
    run(folder.path(), &["get", "disk.vhd", "--json", "--format", "vhd"]).failed_as_json(2, "vhd-footer");
}

#[test]
fn a_folder_to_allow_must_be_one() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "disk.raw", 4 << 20, 510, b"\x55\xaa");
    for (allow, says) in [("nowhere", "there is no nowhere"), ("disk.raw", "it is no folder")] {
        let run = run(folder.path(), &["get", "disk.raw", "--allow-path", allow]);
        assert!(run.code == 2 && run.err.contains("--allow-path") && run.err.contains(says), "{}", run.err);
    }
    let conflict = run(folder.path(), &["set", "2", "disk.raw", "--undo", "x", "--output", "y"]);
    assert!(conflict.code == 2 && conflict.err.contains("'--output <FILE>'"), "{}", conflict.err);
    assert!(!conflict.err.contains("--dry-run"), "{}", conflict.err);
}

/// The keys that the examples of `help` show to jq.
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
