//! Undo when the image is no longer that of the undo file, and locks.

use std::fs;
use std::process::Command;

use super::fixtures::Unpacked;
use crate::command::{Run, fixtures, hivewright_in};
use crate::support::tools::{have, output, succeeds};

#[test]
fn a_copy_under_other_names_is_not_mixed_with_the_original() {
    let image = Unpacked::named("split-raw");
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
        // The first refers to the original, for which it was created.
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

/// Snapshots after a change, and their effect on undo: the image has room for them between its clusters, so its length
/// and the places of the written bytes are unchanged.
#[test]
fn bytes_shared_with_a_newer_snapshot_are_not_undone() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let (create, delete, apply) = (["-c"], ["-d"], ["-a"]);
    // Operation after the change to 2, whether it can be undone, and the final setting of the disk and the snapshot.
    let cases: [(&[&[&str]], bool, &str, &str); 6] = [
        (&[&create], false, "2\n", "2\n"),
        (&[&create, &delete], true, "1\n", ""),
        (&[&create, &delete, &create], false, "2\n", "2\n"),
        (&[&create, &["set"]], false, "0\n", "2\n"),
        (&[&create, &["set"], &delete], false, "0\n", ""),
        (&[&create, &["set"], &apply], false, "2\n", "2\n"),
    ];
    let mut told_shared = 0;
    for name in ["qcow2", "qcow2-v2", "qcow2-512", "qcow2-extended-l2"] {
        let with_room = room_for_snapshots(name);
        for (then, may, disk, inside) in &cases {
            let image = Unpacked::named(name);
            let path = image.path();
            let snapshot = |option: &str, name: &str| {
                output("qemu-img", &["snapshot", option, name, path.to_str().unwrap()]);
            };
            fs::write(&path, &with_room).unwrap();
            assert_eq!(image.run(&["set", "2", "IMAGE", "--undo", "undo"]).code, 0);
            let len = fs::metadata(&path).unwrap().len();
            for step in then.iter() {
                match step[0] {
                    "set" => assert_eq!(image.run(&["set", "0", "IMAGE"]).code, 0),
                    option => snapshot(option, "after"),
                }
            }
            let same_len = fs::metadata(&path).unwrap().len() == len;
            assert!(same_len || name == "qcow2-512", "{name} {then:?}: there was no room");
            let before = image.hashes();
            let run = image.run(&["undo", "undo"]);
            let case = format!("{name} {then:?}: {run:?}");
            let is_done = run.code == 0;
            assert!(is_done == *may || (!is_done && !same_len), "{case}");
            assert!(is_done || (run.code == 3 && image.hashes() == before), "{case}");
            told_shared += usize::from(run.has("undo-shared"));
            let expected = if *may && !is_done { "2\n" } else { disk };
            assert_eq!(image.run(&["get", "--value", "IMAGE"]).out, *expected, "{case}");
            assert!(succeeds("qemu-img", &["check", "-q", path.to_str().unwrap()]), "{case}");
            if !inside.is_empty() {
                snapshot("-a", "after");
                assert_eq!(image.run(&["get", "--value", "IMAGE"]).out, *inside, "the snapshot; {case}");
            }
        }
    }
    assert!(told_shared > 8, "{told_shared} were seen by what is shared");
}

/// Creates the image with room between its clusters for the tables of snapshots.
fn room_for_snapshots(name: &str) -> Vec<u8> {
    let image = Unpacked::named(name);
    for option in ["-c", "-d"] {
        for i in 0..4 {
            output("qemu-img", &["snapshot", option, &format!("room{i}"), image.path().to_str().unwrap()]);
        }
    }
    fs::read(image.path()).unwrap()
}

#[test]
fn a_disk_open_in_vmware_is_not_changed() {
    let image = Unpacked::named("vmdk-sparse");
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
    let image = Unpacked::named("qcow2");
    let before = image.hashes();
    let run = image.run(&["audit", "--report", "IMAGE", "IMAGE"]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(image.hashes() == before);
    for _ in 0..2 {
        assert_eq!(image.run(&["audit", "--report", "report.html", "IMAGE"]).code, 0);
    }
}

/// Runs the command as a user without root's permissions. Prints a line and returns `None` if that is impossible.
fn as_a_user(image: &Unpacked, arguments: &[&str]) -> Option<Run> {
    let folder = image.folder.path().to_str().unwrap();
    if output("id", &["-u"]) != b"0\n" {
        return Some(image.run(arguments));
    }
    let user = ["--reuid=65534", "--clear-groups"];
    let binary = env!("CARGO_BIN_EXE_hivewright");
    if !have(&["setpriv"]) || !succeeds("setpriv", &[&user[..], &["test", "-x", binary]].concat()) {
        hivewright_fixtures::skip::impossible("nobody else can be played here");
        return None;
    }
    output("chown", &["-R", "65534", folder]);
    let all = [&user[..], &["env", "-C", folder, binary], arguments].concat();
    let done = Command::new("setpriv").args(all).env("NO_COLOR", "1").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some(Run { code: done.status.code().unwrap(), out: text(done.stdout), err: text(done.stderr) })
}

/// An unreadable undo file blocks only an image to which it may belong: by its name, or by the files of the image.
// Windows has no permission bits.
#[cfg(unix)]
#[test]
fn an_undo_file_that_cannot_be_read_blocks_its_own_image_alone() {
    let cases = [
        ("split-raw", "disk.001", "fedora.qcow2", false),
        ("split-raw", "disk.001", "disk2.001", false),
        ("split-raw", "disk.001", "disk.001", true),
        ("split-raw", "disk.001", "disk.002", true),
        ("vmdk-split-flat", "disk.vmdk", "disk-f001.vmdk", true),
        ("qcow2", "disk.qcow2", "disk.data", true),
        ("qcow2", "disk.qcow2", "other.qcow2", false),
    ];
    for (name, named, other, blocks) in cases {
        let image = Unpacked::named(name);
        let undo = format!("{other}.hivewright-undo");
        let path = image.folder.path().join(&undo);
        fs::write(&path, b"what another user has").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
        let Some(run) = as_a_user(&image, &["set", "2", named]) else { return };
        let expected = if blocks { 3 } else { 0 };
        assert_eq!(run.code, expected, "{name}, {other}: {run:?}");
        let told = run.err.contains(&undo) && run.has("undo-unreadable");
        assert_eq!(told, blocks, "{name}, {other}: {run:?}");
        let now = image.run(&["get", "--value", named]).out;
        assert_eq!(now, if blocks { "1\n" } else { "2\n" }, "{name}, {other}");
    }
}

/// During the write, the undo file is beside the image: a folder without permission for it is an error with advice.
// Windows has no permission bits.
#[cfg(unix)]
#[test]
fn a_folder_without_permission_for_an_undo_file_is_an_error_with_advice() {
    let image = Unpacked::named("qcow2");
    let before = image.hashes();
    let folder = image.folder.path();
    let mode = |mode| fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::set_permissions(elsewhere.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let at = |name: &str| elsewhere.path().join(name).to_str().unwrap().to_owned();
    mode(0o555);
    let run = as_a_user(&image, &["set", "2", "disk.qcow2", "--undo", &at("undo")]);
    let copied = as_a_user(&image, &["set", "2", "disk.qcow2", "--output", &at("copy.qcow2")]);
    mode(0o755);
    let Some(run) = run else { return };
    assert!(run.code == 2 && run.err.contains("advice: ") && run.err.contains("--output FILE"), "{run:?}");
    assert_eq!(copied.unwrap().code, 0);
    assert!(image.hashes() == before);
}

// Windows has no permission bits.
#[cfg(unix)]
#[test]
fn a_dry_run_has_the_refusals_of_the_write() {
    let image = Unpacked::named("qcow2");
    fs::set_permissions(image.path(), std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    for more in [&[][..], &["--dry-run"]] {
        let Some(run) = as_a_user(&image, &[&["set", "2", "disk.qcow2"], more].concat()) else { return };
        assert!(run.code == 2 && run.has("read-only"), "{more:?}: {run:?}");
    }
    let Some(run) = as_a_user(&image, &["set", "1", "disk.qcow2", "--dry-run"]) else { return };
    assert_eq!(run.code, 0, "nothing would be written: {run:?}");
}

/// The folder of the undo file is checked before anything is written.
#[test]
fn an_undo_file_without_a_folder_is_an_error_before_anything_is_written() {
    for (name, named) in [("qcow2", "disk.qcow2"), ("split-raw", "disk.001")] {
        let image = Unpacked::named(name);
        let before = image.hashes();
        let run = image.run(&["set", "2", named, "--output", "missing/copy"]);
        assert!(run.code == 2 && run.has("output-folder"), "{run:?}");
        for more in [&[][..], &["--in-place"]] {
            let run = image.run(&[&["set", "2", named, "--undo", "missing/undo"], more].concat());
            assert!(run.code == 2 && run.has("undo-folder"), "{run:?}");
            assert!(image.hashes() == before, "{name}: something was written");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixtures().join("windows/win10/SYSTEM"), folder.path().join("SYSTEM")).unwrap();
    let before = fs::read(folder.path().join("SYSTEM")).unwrap();
    for more in [&[][..], &["--in-place"]] {
        let arguments = [&["set", "2", "SYSTEM", "--undo", "missing/undo"], more].concat();
        let run = hivewright_in(folder.path(), arguments);
        assert!(run.code == 2 && run.has("undo-folder"), "{run:?}");
        assert!(fs::read(folder.path().join("SYSTEM")).unwrap() == before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left");
    }
}
