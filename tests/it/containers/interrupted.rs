//! An interrupted write is detected by every file of the image, and by its dependents.

use std::fs::{self, File};
use std::path::Path;

use serde_json::Value;

use super::fixtures::Unpacked;
use crate::support::file_ext::FileExt;
use crate::support::hex::bytes_of;

/// Removes the mark of the undo file at `undo`. Returns its patches: offset, old and new bytes.
pub(crate) fn unmark(undo: &Path) -> Vec<(u64, Vec<u8>, Vec<u8>)> {
    let bytes = fs::read(undo).unwrap();
    let (mut end, mut patches) = (0, Vec::new());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        let line: Value = serde_json::from_slice(line).unwrap();
        if line["what"].is_string() {
            patches.push((line["offset"].as_u64().unwrap(), bytes_of(&line["old"]), bytes_of(&line["new"])));
        }
        if line["patches"].is_u64() {
            break;
        }
    }
    fs::write(undo, &bytes[..end]).unwrap();
    patches
}

/// Changes a complete write to `file` into one that was interrupted before its last patch.
fn interrupt(image: &Unpacked, file: &str) {
    let at = |name: &str| image.folder.path().join(name);
    let run = image.run(&["set", "2", file, "--ignore-children"]);
    assert_eq!(run.code, 0, "{run:?}");
    let patches = unmark(&at(&format!("{file}.hivewright-undo")));
    let (offset, old, _) = patches.last().unwrap();
    assert!(patches.len() > 1);
    File::options().write(true).open(at(file)).unwrap().write_all_at(old, *offset).unwrap();
}

/// Asserts that every reading command prints a warning or a blocker that names `undo`.
fn readers_warn(image: &Unpacked, named: &str, undo: &str, what: &str) {
    for verb in ["get", "check", "info"] {
        let run = image.run(&[verb, named]);
        assert!(run.err.contains(what) && run.err.contains(undo), "{verb:?} {named}: {run:?}");
    }
    let run = image.run(&["audit", named, "--json"]);
    assert!(run.out.contains("\"code\":\"unfinished\"") && run.out.contains(undo), "audit {named}: {run:?}");
}

fn dry_run_refuses(image: &Unpacked, named: &str, expected: &str) {
    for arguments in [&["set", "0", named, "--dry-run"][..], &["unset", named, "--output", "copy"]] {
        let told = image.json(&[arguments, &["--ignore-children"]].concat());
        assert_eq!(told["error"]["code"], expected, "{arguments:?}: {told}");
    }
}

const PARTLY: &str = "partly written";

#[test]
fn an_interrupted_write_is_seen_by_every_name_of_the_image() {
    for (name, file, other) in
        [("vmdk-flat", "disk-flat.vmdk", "disk.vmdk"), ("qcow2-data-file-raw", "disk.data", "disk.qcow2")]
    {
        let image = Unpacked::named(name);
        let before = image.hashes();
        interrupt(&image, file);
        let undo = format!("{file}.hivewright-undo");
        for named in [file, other] {
            readers_warn(&image, named, &undo, PARTLY);
            dry_run_refuses(&image, named, "unfinished-write");
        }
        // Rolled back first, then written, so all of it can be undone.
        let run = image.run(&["set", "0", other]);
        assert!(run.code == 0 && run.has("unfinished-write"), "{name}: {run:?}");
        assert_eq!(image.run(&["get", "--value", other]).out, "0\n");
        assert_eq!(image.run(&["undo", &format!("{other}.hivewright-undo")]).code, 0);
        let after = image.hashes();
        assert!(before.iter().all(|(name, hash)| after[name] == *hash), "{name}");
    }
}

/// The undo file of a whole image is found from one of its parts.
#[test]
fn an_interrupted_write_is_seen_from_a_part_of_the_image() {
    let image = Unpacked::named("vmdk-flat");
    let run = image.run(&["set", "2", "disk.vmdk"]);
    assert_eq!(run.code, 0, "{run:?}");
    let undo = "disk.vmdk.hivewright-undo";
    let patches = unmark(&image.folder.path().join(undo));
    // The descriptor comes first, in its own block.
    let (offset, old, _) = patches.iter().rfind(|patch| patch.0 >= 4096).unwrap();
    let flat = File::options().write(true).open(image.folder.path().join("disk-flat.vmdk")).unwrap();
    flat.write_all_at(old, offset - 4096).unwrap();
    for named in ["disk.vmdk", "disk-flat.vmdk"] {
        readers_warn(&image, named, undo, PARTLY);
        dry_run_refuses(&image, named, "unfinished-write");
    }
}

#[test]
fn dependents_of_a_partial_image_are_partial() {
    let image = Unpacked::named("qcow2-chain");
    interrupt(&image, "base.raw");
    readers_warn(&image, "top.qcow2", "base.raw.hivewright-undo", PARTLY);
    dry_run_refuses(&image, "top.qcow2", "unfinished-write");
    let before = image.hashes();
    let told = image.json(&["set", "0", "top.qcow2"]);
    assert_eq!(told["error"]["code"], "unfinished-write", "{told}");
    assert!(image.hashes() == before);
    // The number in its name is irrelevant.
    let at = |name: &str| image.folder.path().join(name);
    fs::rename(at("base.raw.hivewright-undo"), at("base.raw.hivewright-undo.1")).unwrap();
    readers_warn(&image, "top.qcow2", "base.raw.hivewright-undo.1", PARTLY);
    dry_run_refuses(&image, "base.raw", "unfinished-write");
}

#[test]
fn changes_after_an_interruption_are_reported_and_not_overwritten() {
    let image = Unpacked::named("qcow2-chain");
    interrupt(&image, "base.raw");
    let at = |name: &str| image.folder.path().join(name);
    let undo = at("base.raw.hivewright-undo");
    let patches = unmark(&undo);
    let base = File::options().write(true).open(at("base.raw")).unwrap();
    patches.iter().for_each(|(offset, ..)| base.write_all_at(b"\x5a", *offset).unwrap());
    drop(base);
    let sound = fs::read(&undo).unwrap();
    for named in ["base.raw", "top.qcow2"] {
        let run = image.run(&["get", named]);
        assert!(run.has("unfinished-write") && run.err.contains("base.raw.hivewright-undo"), "{named}: {run:?}");
        dry_run_refuses(&image, named, "changed-since");
        let told = image.json(&["set", "0", named, "--ignore-children"]);
        assert_eq!(told["error"]["code"], "changed-since", "{told}");
    }
    // An invalid one.
    fs::write(&undo, &sound[..sound.len() / 2]).unwrap();
    for named in ["base.raw", "top.qcow2"] {
        let run = image.run(&["get", named]);
        assert!(run.has("unfinished-write") && run.err.contains("base.raw.hivewright-undo"), "{run:?}");
        let told = image.json(&["set", "0", named, "--ignore-children"]);
        assert_eq!(told["error"]["code"], "undo-damaged", "{told}");
    }
}

/// The undo file of another file, before the right one.
#[test]
fn every_undo_file_is_examined() {
    let image = Unpacked::named("qcow2-chain");
    let at = |name: &str| image.folder.path().join(name);
    let before = fs::read(at("base.raw")).unwrap();
    interrupt(&image, "base.raw");
    let torn = fs::read(at("base.raw")).unwrap();
    fs::rename(at("base.raw.hivewright-undo"), at("kept")).unwrap();
    // A complete write without its mark: it is completed.
    fs::write(at("base.raw"), before).unwrap();
    assert_eq!(image.run(&["set", "0", "base.raw", "--ignore-children"]).code, 0);
    fs::rename(at("kept"), at("base.raw.hivewright-undo.1")).unwrap();
    fs::write(at("base.raw"), torn).unwrap();
    readers_warn(&image, "base.raw", "base.raw.hivewright-undo.1", PARTLY);
    dry_run_refuses(&image, "base.raw", "unfinished-write");
}
