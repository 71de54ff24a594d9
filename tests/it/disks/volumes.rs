//! Kinds of volumes in public bug reports.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use hivewright_fixtures::disks::ntfs::records;
use hivewright_fixtures::{Release, SystemHive};
use serde_json::{Value, json};

use super::fixtures::bytes_of;
use super::{hive, json as document, run, sha256};
use crate::support::disk::{XP_HIVE, windows_volume, xp_on_fat32};
use crate::support::file_ext::FileExt;
use crate::support::tools::{answer, have, output};

/// Returns the records of an audit with further arguments, and its exit status.
fn audit(folder: &Path, more: &[&str]) -> (i32, Vec<Value>) {
    let ran = run(folder, &[&["audit", "--json"], more].concat());
    (ran.code, ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn codes(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect()
}

#[test]
fn a_damaged_root_record_leaves_it_open_whether_a_session_is_saved() {
    let mut bytes = bytes_of("superfloppy");
    let root = records(&bytes, ".")[0];
    bytes[root..root + 4].fill(0);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("v"), bytes).unwrap();
    let info = document(&run(folder.path(), &["info", "v", "--json"]));
    let volume = &info["volumes"][0];
    assert_eq!(volume["unreadable"]["code"], "ntfs-record");
    assert_eq!(volume["state"]["hibernation"]["unreadable"]["code"], "ntfs-record");
    assert_eq!(volume["state"]["shadow_copies"], Value::Null);
    assert_eq!(codes(&volume["obstacles"]), ["volume-hibernation-unknown"]);
}

/// Creates a FAT32 volume with Windows: with as many clusters as Microsoft's document requires, and then truncated to
/// about 15 thousand, as tools create EFI system partitions. mtools, which fill it, do not support small ones.
fn small_fat32() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("esp");
    xp_on_fat32(&path, 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(SMALL);
    for sector in [0, 6 * 512] {
        bytes[sector + 32..sector + 36].copy_from_slice(&(SMALL as u32 / 512).to_le_bytes());
    }
    // FSInfo counts free clusters that no longer exist.
    bytes[512 + 488..512 + 496].fill(0xff);
    bytes
}

/// Size of that volume in bytes.
const SMALL: usize = 9 << 20;

#[test]
fn a_small_fat32_is_one_by_its_fields() {
    if !have(&["mkfs.vfat", "mmd", "mcopy", "fsck.fat", "sfdisk", "icat", "ifind"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (folder, esp) = (folder.path(), folder.path().join("esp"));
    let image = esp.to_str().unwrap().to_owned();
    fs::write(&esp, small_fat32()).unwrap();
    output("fsck.fat", &["-n", &image]);
    let state = &document(&run(folder, &["info", "esp", "--json"]))["volumes"][0]["state"];
    assert_eq!((&state["file_system"], &state["label"]), (&json!("FAT32"), &json!("XP")));
    assert_eq!(run(folder, &["set", "2", "esp"]).code, 0);
    assert_eq!(run(folder, &["get", "--value", "esp"]).out, "2\n");
    output("fsck.fat", &["-n", &image]);
    let found = output("ifind", &["-f", "fat32", "-n", XP_HIVE.trim_start_matches(':'), &image]);
    let number = String::from_utf8(found).unwrap();
    fs::write(folder.join("hive"), output("icat", &["-f", "fat32", &image, number.trim()])).unwrap();
    assert_eq!(run(folder, &["get", "--value", "hive"]).out, "2\n", "The Sleuth Kit read the same");
    // Without Windows, in a GPT before a volume with Windows: one record, and no error.
    output("mkfs.fat", &["-F", "32", "-s", "1", &image]);
    let (esp, volume) = (fs::read(&esp).unwrap(), bytes_of("superfloppy"));
    gpt(&folder.join("disk"), 20 << 20, &[(2048, ESP, &esp), (22528, BASIC_DATA, &volume)]);
    let (code, records) = audit(folder, &["disk"]);
    assert_eq!((code, records.len(), &records[0]["status"]), (0, 1, &json!("read")));
    let info = document(&run(folder, &["info", "disk", "--json"]));
    assert_eq!(info["volumes"][0]["unreadable"], Value::Null);
}

const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const BASIC_DATA: &str = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7";
const RESERVED: &str = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE";
const LDM_METADATA: &str = "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3";
const LDM_DATA: &str = "AF9B60A0-1431-4F62-BC68-3311714A69AD";

/// Creates a disk with a GPT by sfdisk: partitions by first sector, type and bytes.
fn gpt(path: &Path, len: u64, parts: &[(u64, &str, &[u8])]) {
    let disk = File::create(path).unwrap();
    disk.set_len(len).unwrap();
    let line =
        |(first, kind, bytes): &(u64, &str, &[u8])| format!("start={first}, size={}, type={kind}\n", bytes.len() / 512);
    let script = format!("label: gpt\n{}", parts.iter().map(line).collect::<String>());
    let made = answer(Command::new("sfdisk").arg("-q").arg(path), script.as_bytes());
    assert!(made.status.success(), "{made:?}");
    parts.iter().for_each(|(first, _, bytes)| disk.write_all_at(bytes, first * 512).unwrap());
}

#[test]
fn the_label_of_fat_is_that_of_the_root_folder() {
    if !have(&["mkfs.fat", "blkid"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("v"));
    let label = || document(&run(folder, &["info", "v", "--json"]))["volumes"][0]["state"]["label"].clone();
    let by_blkid = || {
        let out = Command::new("blkid").args(["-p", "-o", "value", "-s", "LABEL"]).arg(&path).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    };
    for (bits, at) in [("12", 43), ("16", 43), ("32", 71)] {
        let size = if bits == "12" { 1 << 20 } else { 40 << 20 };
        File::create(&path).unwrap().set_len(size).unwrap();
        output("mkfs.fat", &["-F", bits, "-n", "ROOT", path.to_str().unwrap()]);
        let mut bytes = fs::read(&path).unwrap();
        assert_eq!(&bytes[at..at + 11], b"ROOT       ");
        bytes[at..at + 11].copy_from_slice(b"BOOT SECTOR");
        fs::write(&path, &bytes).unwrap();
        assert_eq!((label(), by_blkid()), (json!("ROOT"), "ROOT".into()), "FAT{bits}");
        // Without the entry, there is no label, as in Windows and blkid.
        let entry = bytes[..1 << 20].windows(11).rposition(|part| part == b"ROOT       ").unwrap();
        bytes[entry] = 0xe5;
        fs::write(&path, &bytes).unwrap();
        assert_eq!((label(), by_blkid()), (json!(""), String::new()), "FAT{bits}");
    }
}

pub(crate) fn fat_with_windows(path: &Path, bits: &str) {
    let from = path.with_extension("hive");
    fs::write(&from, SystemHive::new(Release::XpSp3).with_right_setting(1, 1).build().bytes).unwrap();
    File::create(path).unwrap().set_len(40 << 20).unwrap();
    let image = path.to_str().unwrap();
    output("mkfs.fat", &["-F", bits, image]);
    for name in ["::WINDOWS", "::WINDOWS/system32", "::WINDOWS/system32/config"] {
        output("mmd", &["-i", image, name]);
    }
    output("mcopy", &["-i", image, from.to_str().unwrap(), XP_HIVE]);
}

#[test]
fn a_dynamic_disk_is_one_error_and_a_reserved_partition_none() {
    if !have(&["sfdisk"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("disk"));
    let empty = vec![0; 256 << 10];
    // LDM metadata, reserved, and two partitions of LDM data.
    let parts = [(2048, LDM_METADATA), (4096, RESERVED), (6144, LDM_DATA), (8192, LDM_DATA)];
    gpt(&path, 6 << 20, &parts.map(|(first, kind)| (first, kind, &empty[..])));
    let info = document(&run(folder, &["info", "disk", "--json"]));
    let told = |info: &Value| -> Vec<Value> {
        info["volumes"].as_array().unwrap().iter().map(|volume| volume["unreadable"]["code"].clone()).collect()
    };
    assert_eq!(told(&info), [Value::Null, Value::Null, json!("volume-dynamic-disk"), Value::Null]);
    let (code, records) = audit(folder, &["disk"]);
    let errors: Vec<_> = records.iter().map(|record| (&record["error"]["code"], &record["partition"])).collect();
    assert_eq!((code, errors), (2, vec![(&json!("volume-dynamic-disk"), &json!(3))]));
    fs::write(&path, bytes_of("gpt")).unwrap();
    assert_eq!(told(&document(&run(folder, &["info", "disk", "--json"]))), [Value::Null, Value::Null]);
    // A selected one is reported.
    gpt(&path, 6 << 20, &parts.map(|(first, kind)| (first, kind, &empty[..])));
    let get = document(&run(folder, &["get", "disk", "--partition", "4", "--json"]));
    assert_eq!(get["error"]["code"], "volume-dynamic-disk");
}

/// Suffix of the names of shadow copy files.
const VSS: &str = "{3808876b-c176-4e48-b7ae-04046e6cc752}";

fn add_shadow_copies(root: &Path, count: u32) {
    let folder = root.join("System Volume Information");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(VSS), "the catalog").unwrap();
    for i in 0..count {
        fs::write(folder.join(format!("{{600f0b69-5bdf-11e3-9d6c-0050{i:08x}}}{VSS}")), [1; 9000]).unwrap();
    }
}

/// Returns the header of the volume and a catalog of two blocks at `at`, with `count` shadow copies.
fn catalog(volume: &mut [u8], at: usize, count: usize) {
    let record = |kind: u8| {
        let mut record = vec![0; 128];
        record[..16].copy_from_slice(&[
            0x6b, 0x87, 0x08, 0x38, 0x76, 0xc1, 0x48, 0x4e, 0xb7, 0xae, 0x04, 0x04, 0x6e, 0x6c, 0xc7, 0x52,
        ]);
        (record[16], record[20]) = (1, kind);
        record
    };
    let put = |volume: &mut [u8], at: usize, bytes: &[u8]| volume[at..at + bytes.len()].copy_from_slice(bytes);
    put(volume, 0x1e00, &record(1));
    put(volume, 0x1e00 + 48, &(at as u64).to_le_bytes());
    let second = at + (16 << 10);
    put(volume, at, &record(2));
    put(volume, at + 40, &(second as u64).to_le_bytes());
    put(volume, second, &record(2));
    for i in 0..count {
        let block = if i % 2 == 0 { at } else { second };
        let entry = block + 128 * (1 + i);
        // Each has one entry for its identity and one for the place of its store.
        volume[entry] = 2;
        volume[entry + 64 * 128] = 3;
    }
}

#[test]
fn shadow_copies_are_counted_and_warned_of() {
    let Some(made) = windows_volume(16, &hive(), |root| add_shadow_copies(root, 2)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let named = made.bytes();
    let mut listed = named.clone();
    // Near the end, which is unused.
    catalog(&mut listed, named.len() - (64 << 10), 3);
    let mut without = bytes_of("superfloppy");
    fs::write(folder.join("none"), &without).unwrap();
    let len = without.len();
    catalog(&mut without, len - (64 << 10), 1);
    // The catalog is a ring.
    let mut ring = without.clone();
    let end = ring.len();
    ring[end - (48 << 10) + 40..][..8].copy_from_slice(&(end as u64 - (64 << 10)).to_le_bytes());
    for (name, bytes, count) in [
        ("named", &named, json!(2)),
        ("listed", &listed, json!(3)),
        ("by the catalog alone", &without, json!(1)),
        ("a ring", &ring, Value::Null),
    ] {
        fs::write(folder.join("v"), bytes).unwrap();
        let info = document(&run(folder, &["info", "v", "--json"]));
        assert_eq!(info["volumes"][0]["state"]["shadow_copies"], count, "{name}");
        assert_eq!(audit(folder, &["v"]).1[0]["shadow_copies"], count, "{name}");
        assert_eq!(document(&run(folder, &["set", "2", "v", "--dry-run", "--json"]))["shadow_copies"], count, "{name}");
    }
    fs::create_dir_all(folder.join("mnt/Windows/System32/config")).unwrap();
    fs::write(folder.join("mnt/Windows/System32/config/SYSTEM"), hive()).unwrap();
    add_shadow_copies(&folder.join("mnt"), 2);
    fs::write(folder.join("v"), &named).unwrap();
    let warns = |target: &str| run(folder, &["set", "2", target, "--dry-run"]).has("shadow-copies");
    for target in ["v", "mnt"] {
        assert!(document(&run(folder, &["info", target, "--json"])).to_string().contains("\"shadow_copies\":2"));
        assert_eq!(audit(folder, &[target]).1[0]["shadow_copies"], 2, "{target}");
        let csv = run(folder, &["audit", "--format", "csv", target]).out;
        let cells = |line: usize| csv.lines().nth(line).unwrap().trim_end().split(',').rev().collect::<Vec<_>>();
        let column = cells(0).iter().position(|name| *name == "shadow_copies").unwrap();
        assert_eq!(cells(1)[column], "2", "{target}");
        let text = run(folder, &["audit", target]).out;
        assert!(text.contains("2 shadow copies"), "{text}");
        assert!(warns(target), "{target}");
        assert_eq!(run(folder, &["set", "2", target]).code, 0);
        assert!(!warns(target), "there is nothing to change");
    }
    assert!(!warns("none"));
}

#[test]
fn a_compressed_hive_of_windows_hides_nothing_else() {
    // Reparse tag, length, and the data of WOF: version, provider, algorithm.
    const WOF: &str = "0x170000801000000001000000020000000100000000000000";
    let made = windows_volume(16, &hive(), |root| {
        let config = root.join("WinOld/System32/config");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("SYSTEM"), hive()).unwrap();
        fs::write(config.join("SOFTWARE"), "no hive").unwrap();
        let system = root.join("Windows/System32/config/SYSTEM");
        fs::remove_file(&system).unwrap();
        fs::write(&system, "").unwrap();
        output("setfattr", &["-h", "-n", "system.ntfs_reparse_data", "-v", WOF, system.to_str().unwrap()]);
    });
    let Some(volume) = made else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("v"), volume.bytes()).unwrap();
    let before = sha256(&folder.join("v"));
    let info = document(&run(folder, &["info", "v", "--json"]));
    assert_eq!(info["volumes"][0]["unreadable"], Value::Null);
    let found = info["volumes"][0]["installations"].as_array().unwrap();
    let states: Vec<_> = found.iter().map(|it| (&it["root"], &it["hives"][0]["hive_state"])).collect();
    let expected = [(&json!("\\Windows"), &json!("file-filtered")), (&json!("\\WinOld"), &json!("clean"))];
    assert!(states.len() == 2 && expected.iter().all(|it| states.contains(it)), "{states:?}");
    let (code, records) = audit(folder, &["v"]);
    let of = |root: &str| records.iter().find(|record| record["windows_root"] == root).unwrap();
    assert_eq!((code, records.len(), &of("\\WinOld")["status"]), (2, 2, &json!("read")));
    assert_eq!(of("\\Windows")["error"]["code"], "file-filtered");
    for verb in [&["get"][..], &["set", "2"], &["check"]] {
        let told = document(&run(folder, &[verb, &["v", "--windows-root", "Windows", "--json"]].concat()));
        assert_eq!(told["error"]["code"], "file-filtered", "{verb:?}");
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains("\\Windows\\System32\\config\\SYSTEM"), "{message}");
        assert!(told["error"]["advice"].as_str().unwrap().contains("compact /u /exe"));
    }
    assert_eq!(run(folder, &["get", "--value", "v", "--windows-root", "WinOld"]).out, "1\n");
    assert_eq!(sha256(&folder.join("v")), before);
    assert_eq!(run(folder, &["set", "2", "v", "--windows-root", "WinOld"]).code, 0);
}
