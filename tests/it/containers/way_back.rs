//! What must not be undone, and who must be kept out: the image is no longer what the undo file knows.

use std::fs;

use hivewright_fixtures::images::Image;

use super::fixtures::Unpacked;
use crate::support::tools::{have, output};

fn unpacked(name: &str) -> Unpacked {
    Unpacked::of(Image::named(name).unwrap())
}

#[test]
fn a_copy_under_other_names_is_not_mixed_with_the_original() {
    let image = unpacked("split-raw");
    assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
    for part in ["001", "002", "003", "004"] {
        let at = |name: &str| image.folder.path().join(format!("{name}.{part}"));
        fs::copy(at("disk"), at("copy")).unwrap();
    }
    let undo = |name: &str| image.folder.path().join(format!("{name}.001.hivewright-undo"));
    fs::copy(undo("disk"), undo("copy")).unwrap();
    let before = image.hashes();
    for arguments in
        [&["undo", "copy.001.hivewright-undo"][..], &["undo", "disk.001.hivewright-undo", "--target", "copy.001"]]
    {
        let code = image.json(arguments)["error"]["code"].clone();
        // The first leads to the original, which is what it was made for.
        if code.is_null() {
            let after = image.hashes();
            assert!(
                before
                    .iter()
                    .filter(|(name, _)| name.starts_with("copy.0") && !name.ends_with("undo"))
                    .all(|(name, hash)| after[name] == *hash)
            );
            assert_eq!(image.run(&["get", "--value", "disk.001"]).out, "1\n");
            assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
        } else {
            assert_eq!(code, "undo-other-image", "{arguments:?}");
            assert_eq!(image.run(&["get", "--value", "disk.001"]).out, "2\n");
        }
        assert_eq!(image.run(&["get", "--value", "copy.001"]).out, "2\n");
    }
}

#[test]
fn what_a_younger_snapshot_shares_is_not_undone() {
    if !have(&["qemu-img"]) {
        return;
    }
    let image = unpacked("qcow2");
    assert_eq!(image.run(&["set", "2", "IMAGE", "--undo", "undo"]).code, 0);
    // The time of a snapshot has seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    output("qemu-img", &["snapshot", "-c", "after", image.path().to_str().unwrap()]);
    output("qemu-img", &["snapshot", "-d", "after", image.path().to_str().unwrap()]);
    output("qemu-img", &["snapshot", "-c", "again", image.path().to_str().unwrap()]);
    let before = image.hashes();
    let refused = image.json(&["undo", "undo"]);
    assert!(["undo-shared", "changed-since"].contains(&refused["error"]["code"].as_str().unwrap()), "{refused}");
    assert!(image.hashes() == before);
}

#[test]
fn a_disk_that_vmware_has_open_is_left_alone() {
    let image = unpacked("vmdk-sparse");
    let lock = image.folder.path().join("disk.vmdk.lck");
    fs::create_dir(&lock).unwrap();
    fs::write(lock.join("M12345.lck"), b"x").unwrap();
    let before = fs::read(image.path()).unwrap();
    let refused = image.json(&["set", "2", "IMAGE"]);
    assert_eq!(refused["error"]["code"], "in-use", "{refused}");
    assert!(fs::read(image.path()).unwrap() == before);
    fs::remove_file(lock.join("M12345.lck")).unwrap();
    assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
}

#[test]
fn a_report_replaces_nothing_but_a_report() {
    let image = unpacked("qcow2");
    let before = image.hashes();
    let run = image.run(&["audit", "--report", "IMAGE", "IMAGE"]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(image.hashes() == before);
    for _ in 0..2 {
        assert_eq!(image.run(&["audit", "--report", "report.html", "IMAGE"]).code, 0);
    }
}
