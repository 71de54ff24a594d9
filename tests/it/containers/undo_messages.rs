//! Refusals of `undo` and related commands are true and useful.

use std::fs;

use super::fixtures::Unpacked;
use crate::support::tools::{have, output};

#[test]
fn out_of_order_the_newer_undo_file_is_named() {
    let image = Unpacked::named("qcow2");
    let before = image.hashes();
    for value in ["2", "0", "2"] {
        assert_eq!(image.run(&["set", value, "IMAGE"]).code, 0);
    }
    let names = ["disk.qcow2.hivewright-undo", "disk.qcow2.hivewright-undo.1", "disk.qcow2.hivewright-undo.2"];
    for first in &names[..2] {
        let run = image.run(&["undo", first]);
        assert!(run.code == 3 && run.err.contains("hivewright undo ") && run.err.contains(names[2]), "{run:?}");
        assert!(!run.err.contains("backup"), "{run:?}");
    }
    names.iter().rev().for_each(|name| assert_eq!(image.run(&["undo", name]).code, 0));
    assert!(before.iter().all(|(name, hash)| image.hashes()[name] == *hash));
}

#[test]
fn a_snapshot_that_was_made_since_is_named() {
    if !have(&["qemu-img"]) {
        return;
    }
    let image = Unpacked::named("qcow2");
    assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
    output("qemu-img", &["snapshot", "-c", "s", image.path().to_str().unwrap()]);
    let told = image.json(&["undo", "disk.qcow2.hivewright-undo"]);
    assert_eq!(told["error"]["code"], "undo-shared", "{told}");
    let run = image.run(&["undo", "disk.qcow2.hivewright-undo"]);
    assert!(run.has("undo-shared") && run.err.contains("hivewright set"), "{run:?}");
    assert!(!run.err.contains("backup"), "{run:?}");
}

/// Bytes that are neither old nor new may belong to another file, or to the right one after a snapshot was restored:
/// the advice does not discard the undo file.
#[test]
fn bytes_neither_old_nor_new_keep_the_undo_file() {
    if !have(&["qemu-img"]) {
        return;
    }
    for option in ["-d", "-a"] {
        let image = Unpacked::named("qcow2");
        let snapshot = |option: &str| output("qemu-img", &["snapshot", option, "s", image.path().to_str().unwrap()]);
        snapshot("-c");
        assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
        snapshot(option);
        let run = image.run(&["undo", "disk.qcow2.hivewright-undo"]);
        assert!(run.code == 3 && run.has("changed-since"), "{option}: {run:?}");
        assert!(["--target FILE", "hivewright set"].iter().all(|way| run.err.contains(way)), "{option}: {run:?}");
    }
}

#[test]
fn an_undone_change_is_distinguished_from_a_later_one() {
    let image = Unpacked::named("qcow2");
    let names = ["disk.qcow2.hivewright-undo", "disk.qcow2.hivewright-undo.1"];
    assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
    assert_eq!(image.run(&["undo", names[0]]).code, 0);
    assert_eq!(image.run(&["set", "0", "IMAGE"]).code, 0);
    let run = image.run(&["undo", names[0]]);
    assert!(run.code == 3 && run.has("changed-since") && run.err.contains(names[1]), "{run:?}");
    assert_eq!(image.run(&["undo", names[1]]).code, 0);
}

/// The obstacle may be the image itself.
#[test]
fn only_completed_undo_files_may_be_removed() {
    let image = Unpacked::named("qcow2");
    let at = |name: &str| image.folder.path().join(name);
    fs::hard_link(image.path(), at("link")).unwrap();
    fs::write(at("other"), b"x").unwrap();
    for name in ["disk.qcow2", "link", "other"] {
        for (option, code) in [("--undo", "undo-exists"), ("--output", "output-exists")] {
            let run = image.run(&["set", "2", "IMAGE", option, name]);
            assert!(run.code == 3 && run.has(code), "{option} {name}: {run:?}");
            assert!(!run.err.contains("remove"), "{option} {name}: {run:?}");
        }
    }
    assert_eq!(image.run(&["set", "2", "IMAGE", "--undo", "undo"]).code, 0);
    let run = image.run(&["set", "0", "IMAGE", "--undo", "undo"]);
    assert!(run.code == 3 && run.has("undo-exists"), "{run:?}");
}

#[test]
fn a_target_that_moved_is_found_beside_the_undo_file_or_asked_for() {
    let image = Unpacked::named("qcow2");
    let at = |name: &str| image.folder.path().join(name);
    let before = fs::read(image.path()).unwrap();
    assert_eq!(image.run(&["set", "2", "IMAGE", "--undo", "undo"]).code, 0);
    fs::create_dir(at("new")).unwrap();
    fs::rename(at("undo"), at("new/undo")).unwrap();
    fs::rename(image.path(), at("new/disk.qcow2")).unwrap();
    assert_eq!(image.run(&["undo", "new/undo"]).code, 0);
    assert!(fs::read(at("new/disk.qcow2")).unwrap() == before);
    fs::rename(at("new/disk.qcow2"), at("disk-b.qcow2")).unwrap();
    let run = image.run(&["undo", "new/undo"]);
    assert!(run.code == 2 && run.err.contains("--target FILE") && run.err.contains("disk.qcow2"), "{run:?}");
    assert_eq!(image.run(&["undo", "new/undo", "--target", "disk-b.qcow2"]).code, 0);
    // Another file is reported as not the changed one.
    fs::write(at("another"), vec![7; before.len()]).unwrap();
    let run = image.run(&["undo", "new/undo", "--target", "another"]);
    assert!(run.code == 3 && run.has("changed-since"), "{run:?}");
}
