//! What `undo` and its neighbours say where they refuse: true of the files at hand, and of use.

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
    assert!(run.err.contains("snapshot") && run.err.contains("hivewright set"), "{run:?}");
    assert!(!run.err.contains("backup"), "{run:?}");
}

/// What is neither old nor new may be another file, or the right one after a snapshot was brought back: its undo file is
/// not to be thrown away for that.
#[test]
fn what_is_neither_old_nor_new_costs_no_undo_file() {
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
        let says = |words: &[&str]| words.iter().all(|word| run.err.contains(word));
        assert!(run.code == 3 && says(&["snapshot", "--target FILE", "hivewright set"]), "{option}: {run:?}");
        assert!(!says(&["remove"]) && !says(&["backup"]), "{option}: {run:?}");
    }
}

#[test]
fn a_change_that_was_taken_back_is_told_from_the_one_that_came_after_it() {
    let image = Unpacked::named("qcow2");
    let names = ["disk.qcow2.hivewright-undo", "disk.qcow2.hivewright-undo.1"];
    assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
    assert_eq!(image.run(&["undo", names[0]]).code, 0);
    assert_eq!(image.run(&["set", "0", "IMAGE"]).code, 0);
    let run = image.run(&["undo", names[0]]);
    assert!(run.code == 3 && run.err.contains("taken back already") && run.err.contains(names[1]), "{run:?}");
    assert_eq!(image.run(&["undo", names[1]]).code, 0);
}

/// What is in the way may be the image itself.
#[test]
fn nothing_but_an_undo_file_that_is_done_with_is_to_be_removed() {
    let image = Unpacked::named("qcow2");
    let at = |name: &str| image.folder.path().join(name);
    fs::hard_link(image.path(), at("link")).unwrap();
    fs::write(at("other"), b"x").unwrap();
    for name in ["disk.qcow2", "link", "other"] {
        for option in ["--undo", "--output"] {
            let run = image.run(&["set", "2", "IMAGE", option, name]);
            assert!(run.code == 3 && run.err.contains("name a file that does not exist"), "{option} {name}: {run:?}");
            assert!(!run.err.contains("remove"), "{option} {name}: {run:?}");
        }
    }
    assert_eq!(image.run(&["set", "2", "IMAGE", "--undo", "undo"]).code, 0);
    let run = image.run(&["set", "0", "IMAGE", "--undo", "undo"]);
    assert!(run.code == 3 && run.err.contains("remove that one if its change need not be undone"), "{run:?}");
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
    // Of another file it is told that this one is not what was changed.
    fs::write(at("another"), vec![7; before.len()]).unwrap();
    let run = image.run(&["undo", "new/undo", "--target", "another"]);
    assert!(run.code == 3 && run.err.contains("another is neither"), "{run:?}");
}
