//! Opening of images in an audit: files outside of their folders, and qemu-nbd.

use std::fs;
use std::path::Path;

use hivewright_fixtures::{Release, SystemHive};
use serde_json::Value;

use super::{audit, of, records};
use crate::command::Run;
use crate::support::disk::{mbr, windows_volume};
use crate::support::file_ext::FileExt;
use crate::support::tools::{have, output};

fn one(run: &Run, target: &str) -> Value {
    let mut found = of(&records(&run.out), target);
    assert_eq!(found.len(), 1, "{}{}", run.out, run.err);
    found.remove(0)
}

/// Creates `fleet/top.qcow2` with the backing file `base/base.raw`, which has a Windows with the number 2.
fn chain(home: &Path) -> Option<()> {
    if !have(&["qemu-img"]) {
        return None;
    }
    let hive = SystemHive::new(Release::Win10).with_right_setting(1, 2).build().bytes;
    let volume = windows_volume(8, &hive, |_| {})?;
    for folder in ["fleet", "base", "other"] {
        fs::create_dir(home.join(folder)).unwrap();
    }
    mbr(&volume.bytes(), &home.join("base/base.raw"));
    let top = home.join("fleet/top.qcow2");
    output("qemu-img", &["create", "-q", "-f", "qcow2", "-b", "../base/base.raw", "-F", "raw", top.to_str().unwrap()]);
    Some(())
}

#[test]
fn a_backing_file_elsewhere_needs_an_allowed_folder() {
    let home = tempfile::tempdir().unwrap();
    let Some(()) = chain(home.path()) else { return };
    fs::write(home.path().join("fleet/alone"), SystemHive::new(Release::Win10).build().bytes).unwrap();
    let without = audit(home.path(), &["--json", "fleet"]);
    let record = one(&without, "fleet/top.qcow2");
    assert_eq!(
        (without.code, &record["status"], &record["error"]["code"]),
        (2, &"error".into(), &"outside-folder".into())
    );
    let advice = record["error"]["advice"].as_str().unwrap();
    let folder = advice.split("--allow-path ").nth(1).unwrap();
    // The advice is effective.
    let with = audit(home.path(), &["--json", "--expect", "2", "--allow-path", folder, "fleet/top.qcow2"]);
    let record = one(&with, "fleet/top.qcow2");
    assert_eq!((with.code, &record["at_next_boot"]["value"]), (0, &2.into()), "{}", with.err);
    assert!(record["files"][0].as_str().unwrap().ends_with("base/base.raw"), "{record}");
    let absent = audit(home.path(), &["--json", "--allow-path", "nowhere", "fleet"]);
    assert_eq!((absent.code, absent.out.as_str()), (2, ""));
    assert!(absent.err.contains("--allow-path") && absent.err.contains("nowhere"), "{}", absent.err);
}

/// An unreadable image does not hide other files, whatever its headers reference.
#[test]
fn an_unreadable_image_hides_no_other() {
    let home = tempfile::tempdir().unwrap();
    let Some(()) = chain(home.path()) else { return };
    let make = |name: &str, base: &str, format: &str| {
        output(
            "qemu-img",
            &["create", "-q", "-f", "qcow2", "-b", base, "-F", format, home.path().join(name).to_str().unwrap()],
        );
    };
    make("base/middle.qcow2", "base.raw", "raw");
    make("base/top.qcow2", "middle.qcow2", "qcow2");
    let status = || {
        let run = audit(home.path(), &["--json", "base"]);
        let told = records(&run.out).into_iter();
        let mut told: Vec<(String, String)> = told
            .map(|(_, record)| (record["target"].as_str().unwrap().into(), record["status"].as_str().unwrap().into()))
            .collect();
        told.sort();
        told
    };
    let record = |name: &str, status: &str| (format!("base/{name}"), status.to_owned());
    let all = ["base.raw", "middle.qcow2", "top.qcow2"];
    assert_eq!(status(), all.map(|name| record(name, "read")));
    // A table of the image far after its end.
    fs::OpenOptions::new()
        .write(true)
        .open(home.path().join("base/top.qcow2"))
        .unwrap()
        .write_all_at(&[0x7f; 8], 40)
        .unwrap();
    assert_eq!(status(), [record("base.raw", "read"), record("middle.qcow2", "read"), record("top.qcow2", "error")]);
    fs::OpenOptions::new()
        .write(true)
        .open(home.path().join("base/middle.qcow2"))
        .unwrap()
        .write_all_at(&[0x7f; 8], 40)
        .unwrap();
    assert_eq!(status(), [record("base.raw", "read"), record("middle.qcow2", "error"), record("top.qcow2", "error")]);
}

#[test]
fn other_allowed_folders_cause_dependent_images_to_be_read_again() {
    let home = tempfile::tempdir().unwrap();
    let Some(()) = chain(home.path()) else { return };
    fs::write(home.path().join("fleet/alone"), SystemHive::new(Release::Win10).build().bytes).unwrap();
    let top = |args: &[&str], kept: bool| {
        let run = audit(home.path(), &[&["--json", "fleet"], args].concat());
        assert_eq!(run.err.contains("1 reused"), kept, "{args:?}: {}", run.err);
        fs::write(home.path().join("r.jsonl"), &run.out).unwrap();
        one(&run, "fleet/top.qcow2")["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(top(&[], false), "error");
    // The hive depends on no other file: its record is reused with any allowed folder.
    assert_eq!(top(&["--resume", "r.jsonl"], true), "error");
    assert_eq!(top(&["--resume", "r.jsonl", "--allow-path", "base"], true), "read");
    let same = audit(home.path(), &["--json", "--resume", "r.jsonl", "--allow-path", "base", "fleet"]);
    assert!(same.err.contains("2 reused"), "{}", same.err);
    assert_eq!(top(&["--resume", "r.jsonl", "--allow-path", "other"], true), "error");
}

#[test]
fn a_missing_engine_is_in_each_record_and_tried_again() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("fleet")).unwrap();
    for format in ["qed", "parallels"] {
        let image = home.path().join("fleet").join(format);
        output("qemu-img", &["create", "-q", "-f", format, image.to_str().unwrap(), "8M"]);
    }
    let without = audit(home.path(), &["--json", "--qemu-nbd", "/nowhere/nbd", "fleet"]);
    for format in ["qed", "parallels"] {
        let error = &one(&without, &format!("fleet/{format}"))["error"];
        assert_eq!(error["code"], "no-qemu-nbd");
        assert!(error["message"].as_str().unwrap().contains("/nowhere/nbd"), "{error}");
        assert!(error["advice"].as_str().unwrap().contains("--qemu-nbd FILE"), "{error}");
    }
    fs::write(home.path().join("r.jsonl"), &without.out).unwrap();
    let with = audit(home.path(), &["--json", "--resume", "r.jsonl", "fleet"]);
    let states: Vec<_> = records(&with.out).into_values().map(|record| record["status"].clone()).collect();
    assert_eq!((with.code, states), (0, vec!["no-windows".into(); 2]), "{}", with.err);
    // A named disk without Windows is an error, even if it was discovered before.
    fs::write(home.path().join("r.jsonl"), &with.out).unwrap();
    let named = audit(home.path(), &["--json", "--resume", "r.jsonl", "fleet/qed"]);
    let error = &one(&named, "fleet/qed")["error"];
    assert_eq!((named.code, &error["code"]), (2, &"no-installation".into()));
    let advice = error["advice"].as_str().unwrap();
    assert!(advice.contains("`hivewright info`"), "{advice}");
}

/// One disk of an archive with several is read, and the others are reported.
#[test]
fn further_disks_of_an_archive_are_reported() {
    if !have(&["qemu-img", "tar"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let hive = SystemHive::new(Release::Win10).with_right_setting(1, 2).build().bytes;
    let Some(volume) = windows_volume(8, &hive, |_| {}) else { return };
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    mbr(&volume.bytes(), &home.path().join("windows.raw"));
    fs::write(home.path().join("data.raw"), vec![0; 1 << 20]).unwrap();
    for name in ["windows", "data"] {
        output("qemu-img", &["convert", "-O", "vmdk", &path(&format!("{name}.raw")), &path(&format!("{name}.vmdk"))]);
    }
    for (name, disks) in [("first.ova", ["windows", "data"]), ("second.ova", ["data", "windows"])] {
        let files = disks.map(|disk| format!("<File id=\"{disk}\" href=\"{disk}.vmdk\"/>")).concat();
        let disks = disks.map(|disk| format!("<Disk fileRef=\"{disk}\"/>")).concat();
        fs::write(home.path().join("vm.ovf"), format!("<Envelope>{files}{disks}</Envelope>")).unwrap();
        output("tar", &["-C", &path(""), "-cf", &path(name), "vm.ovf", "windows.vmdk", "data.vmdk"]);
    }
    let says = "only the first of 2 disks is read";
    let get = crate::command::hivewright_in(home.path(), ["get", "--value", "first.ova"]);
    assert!(
        get.out == "2\n"
            && get.err.contains("warning: ")
            && get.err.contains(&format!("first.ova: {says}, windows.vmdk")),
        "{get:?}"
    );
    let second = crate::command::hivewright_in(home.path(), ["get", "second.ova"]);
    assert!(second.code == 2 && second.err.contains(says) && second.err.contains("windows.vmdk"), "{second:?}");
    let run = audit(home.path(), &["--json", "first.ova", "second.ova"]);
    for (format, hint) in [("table", "1 finding"), ("junit", "ova-disks: ")] {
        let told = audit(home.path(), &["--format", format, "first.ova"]);
        assert!(told.out.contains(hint), "{told:?}");
    }
    let record = one(&run, "first.ova");
    let remark = &record["image_remarks"][0];
    assert_eq!((&record["status"], &remark["code"]), (&"read".into(), &"ova-disks".into()), "{record}");
    assert!(remark["what"].as_str().unwrap().contains("data.vmdk"), "{remark}");
    let message = one(&run, "second.ova")["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(says), "{message}");
}
