//! Files that are not targets, and unreadable files that must have a record.

use std::fs::{self, File};
use std::path::Path;

use hivewright_fixtures::folder::home as fixtures;
use hivewright_fixtures::images::{Can, IMAGES};
use hivewright_fixtures::{Release, SystemHive};

use super::large::peak;
use super::{audit, of, records};
use crate::support::hex::hex;
use crate::support::tools::have;

fn hive() -> Vec<u8> {
    SystemHive::new(Release::Win10).with_right_setting(1, 2).build().bytes
}

/// The fixtures of every format, including chains and images in segments: each is reported once, and so are the
/// dependents of each.
#[test]
fn every_format_in_a_folder_is_one_target() {
    let home = tempfile::tempdir().unwrap();
    let with_qemu = have(&["qemu-nbd"]);
    let mut wanted = Vec::new();
    for image in IMAGES.iter().filter(|image| with_qemu || image.reads != Can::WithQemu) {
        let folder = home.path().join("all").join(image.name);
        fs::create_dir_all(&folder).unwrap();
        image.unpack(&fixtures(), &folder).unwrap();
        wanted.push((format!("all/{}/{}", image.name, image.file), !matches!(image.reads, Can::No(_))));
    }
    let run = audit(home.path(), &["--json", "all"]);
    let all = records(&run.out);
    let tops = all.iter().filter(|(_, it)| it["dependents"] == serde_json::json!([]));
    let mut told: Vec<_> = tops.map(|((name, _), it)| (name.clone(), it["status"] == "read")).collect();
    wanted.sort();
    told.sort();
    assert_eq!(told, wanted);
    assert_eq!(of(&all, "all/luks/disk.luks").first().map_or(&"luks".into(), |it| &it["error"]["code"]), "luks");
}

#[test]
fn a_file_with_the_name_of_an_image_and_other_contents_is_reported() {
    let home = tempfile::tempdir().unwrap();
    let all = home.path().join("all");
    fs::create_dir(&all).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(all.join(name), bytes).unwrap();
    write("a.qcow2", b"");
    write("b.VHDX", &[0; 300]);
    write("c.vdi", &vec![b'x'; 100_000]);
    write("d.qcow2", b"QFI\xfb\0\0\0\x03");
    write("luks", &[&b"LUKS\xba\xbe\0\x02"[..], &[0; 5000]].concat());
    write("p.001", b"");
    write("p.002", &[0xee; 5000]);
    write("e.E02", &[&b"EVF\x09\x0d\x0a\xff\0\x01\x02\0\0\0"[..], &[0; 500]].concat());
    write("notes.001", b"");
    write("disk.img", b"");
    write("SYSTEM", &hive());
    let run = audit(home.path(), &["--json", "all"]);
    let told = records(&run.out);
    for (name, code, word) in [
        ("a.qcow2", "image-unrecognised", "is empty"),
        ("b.VHDX", "image-unrecognised", "b.VHDX"),
        ("c.vdi", "image-unrecognised", "no format matches"),
        ("d.qcow2", "qcow2-header", "truncated"),
        ("luks", "luks", "a LUKS volume"),
        ("p.001", "split-empty", "p.001"),
        ("e.E02", "no-file", "e.E01"),
        ("disk.img", "image-unrecognised", "is empty"),
    ] {
        let found = of(&told, &format!("all/{name}"));
        assert_eq!((found.len(), &found[0]["error"]["code"]), (1, &code.into()), "{name}: {found:?}");
        assert!(found[0]["error"]["message"].as_str().unwrap().contains(word), "{name}: {found:?}");
    }
    assert_eq!((run.code, told.len()), (2, 9), "{told:?}");
}

/// Logs of the old format may resemble a hive at the place of its first hive bin.
#[test]
fn logs_beside_their_hive_are_no_targets() {
    let home = tempfile::tempdir().unwrap();
    let all = home.path().join("all");
    fs::create_dir(&all).unwrap();
    fs::write(all.join("SYSTEM"), hive()).unwrap();
    let mut log = hive();
    log[28] = 1;
    hivewright_fixtures::bytes::fix_checksum(&mut log);
    // Beside its hive, the name is sufficient; elsewhere it is reported.
    fs::write(all.join("SYSTEM.LOG2"), &log).unwrap();
    fs::write(all.join("OTHER.LOG2"), &log).unwrap();
    log[512..516].copy_from_slice(b"DIRT");
    fs::write(all.join("SYSTEM.LOG1"), &log).unwrap();
    fs::write(all.join("lost.log1"), &log).unwrap();
    // The name of a hive is irrelevant.
    fs::write(all.join("SYSTEM.LOG"), hive()).unwrap();
    let told = records(&audit(home.path(), &["--json", "all"]).out);
    let names: Vec<&str> = told.keys().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["all/OTHER.LOG2", "all/SYSTEM", "all/SYSTEM.LOG"]);
}

#[test]
fn other_files_are_not_read_completely() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    for name in ["zeros", "zeros.LOG1"] {
        File::create(at(name)).unwrap().set_len(1 << 30).unwrap();
    }
    let kib = peak(home.path(), &["--json", "zeros"], &at("r.jsonl"));
    let told = records(&fs::read_to_string(at("r.jsonl")).unwrap());
    let record = &of(&told, "zeros")[0];
    assert_eq!(record["error"]["code"], "base-signature");
    assert!(record["bytes_read"].as_u64().unwrap() < 1 << 20, "{record}");
    // Linux alone reports how much memory was used.
    assert!(cfg!(windows) || (1..100 << 10).contains(&kib), "{kib} KiB");
}

/// An additional column has the bytes that a cell cannot represent.
// Names on Windows have no line ends.
#[cfg(unix)]
#[test]
fn a_row_has_the_bytes_of_a_name_that_it_cannot_show() {
    let home = tempfile::tempdir().unwrap();
    for name in ["plain", "new\nline", "=1+2"] {
        fs::write(home.path().join(name), hive()).unwrap();
        let row = audit(home.path(), &["--format", "csv", name]).out;
        let hex = hex(name.as_bytes());
        assert_eq!(row.contains(&format!(",{hex},")), name != "plain", "{row}");
        assert!(Path::new(name) == Path::new("plain") || !row.contains(&format!(",{name},")), "{row}");
    }
}
