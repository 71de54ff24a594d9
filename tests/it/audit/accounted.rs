//! Every regular file below a target has a record, is a part of another file, or is skipped with a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hivewright_fixtures::{HiveSpec, Minor, Release, SystemHive};
use serde_json::Value;

use super::{audit, of, records, slashed, steady};
use crate::command::Run;
use crate::support::disk::{mbr, split, windows_volume};
use crate::support::tools::{have, output};

fn hive(value: u32) -> Vec<u8> {
    SystemHive::new(Release::Win10).with_right_setting(1, value).build().bytes
}

/// Returns the regular files below `folder`, named as in an audit.
fn files(home: &Path, folder: &str) -> BTreeSet<String> {
    let (mut files, mut folders) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(home.join(&folder)).unwrap().map(Result::unwrap) {
            let name = format!("{folder}/{}", entry.file_name().into_string().unwrap());
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(name),
                kind if kind.is_file() => assert!(files.insert(name)),
                _ => {}
            }
        }
    }
    files
}

/// Returns the result of each file in a run: the status or the error code of its record, `part of` another file, or the
/// reason.
fn results(run: &Run) -> BTreeMap<String, String> {
    let mut results = BTreeMap::new();
    for ((name, _), record) in records(&run.out) {
        let code = record["error"]["code"].as_str().or(record["status"].as_str()).unwrap();
        results.insert(name, code.to_owned());
    }
    for line in run.err.lines().filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line).unwrap();
        let word = |field: &str| line[field].as_str().unwrap_or_default();
        let what = match word("is") {
            "part" => format!("part of {}", word("part_of")),
            "skipped" => format!("skipped: {}", word("reason")),
            _ => continue,
        };
        assert!(results.insert(word("file").to_owned(), what).is_none(), "twice: {line}");
    }
    results
}

/// Returns the numbers of files, records, parts and skipped files in the summary.
fn counts(run: &Run) -> [u64; 4] {
    let line = run.err.lines().find_map(|line| line.strip_prefix("hivewright: ").filter(|line| line.contains(" file")));
    let line = line.unwrap_or_else(|| panic!("no account: {}", run.err)).replace(':', ",");
    let number = |what: &str| {
        let part = line.split(['(', ';']).next().unwrap().split(", ").find(|part| part.contains(what));
        part.map_or(0, |part| part.split(' ').next().unwrap().parse().unwrap())
    };
    [number(" file"), number(" with a record"), number(" part"), number(" skipped")]
}

fn list(run: &Run) -> [u64; 4] {
    let results = results(run);
    let count = |word: &str| results.values().filter(|what| what.starts_with(word)).count() as u64;
    let [parts, skipped] = ["part of", "skipped: "].map(count);
    [results.len() as u64, results.len() as u64 - parts - skipped, parts, skipped]
}

/// Returns a disk with a Windows whose setting has that number.
fn disk(path: &Path, value: u32) -> Option<()> {
    mbr(&windows_volume(8, &hive(value), |_| {})?.bytes(), path);
    Some(())
}

/// Returns about forty files of every kind, with the expected result of each.
fn mixed(home: &Path) -> Option<BTreeMap<&'static str, &'static str>> {
    if !have(&["qemu-img"]) {
        return None;
    }
    let folder = home.join("all");
    fs::create_dir_all(folder.join("more")).unwrap();
    disk(&home.join("disk"), 2)?;
    let bytes = fs::read(home.join("disk")).unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let write = |name: &str, bytes: &[u8]| fs::write(at(name), bytes).unwrap();
    let convert = |format: &str, name: &str| {
        output("qemu-img", &["convert", "-O", format, home.join("disk").to_str().unwrap(), &at(name)]);
    };
    let stand = |format: &str, base: &str, name: &str| {
        output("qemu-img", &["create", "-q", "-f", format, "-b", base, "-F", format, &at(name)]);
    };
    let mut said = BTreeMap::new();
    // Read.
    for (format, name) in [
        ("raw", "a.raw"),
        ("vpc", "b.vhd"),
        ("vhdx", "c.vhdx"),
        ("vdi", "d.vdi"),
        ("vmdk", "e.vmdk"),
        ("qcow2", "f.jpg"),
    ] {
        convert(format, name);
        said.insert(name, "read");
    }
    write("SYSTEM", &hive(2));
    write("more/photo.png", &hive(2));
    said.extend([("SYSTEM", "read"), ("more/photo.png", "read")]);
    // Chains: each image has a record.
    convert("qcow2", "golden.qcow2");
    stand("qcow2", "golden.qcow2", "top-1.qcow2");
    stand("qcow2", "top-1.qcow2", "top-2.qcow2");
    convert("vmdk", "parent.vmdk");
    stand("vmdk", "parent.vmdk", "child.vmdk");
    said.extend(["golden.qcow2", "top-1.qcow2", "top-2.qcow2", "parent.vmdk", "child.vmdk"].map(|name| (name, "read")));
    // Parts.
    output(
        "qemu-img",
        &[
            "convert",
            "-O",
            "vmdk",
            "-o",
            "subformat=monolithicFlat",
            home.join("disk").to_str().unwrap(),
            &at("more/pc.vmdk"),
        ],
    );
    split(&home.join("disk"), 3 << 20, &folder.join("pieces"));
    write("SYSTEM.LOG1", b"");
    write("SYSTEM.LOG2", &[0; 512]);
    said.extend([("more/pc.vmdk", "read"), ("more/pc-flat.vmdk", "part of all/more/pc.vmdk")]);
    said.extend([("pieces.001", "read"), ("pieces.002", "part of all/pieces.001")]);
    said.extend([("pieces.003", "part of all/pieces.001")]);
    said.extend(["SYSTEM.LOG1", "SYSTEM.LOG2"].map(|log| (log, "part of all/SYSTEM")));
    // Compressed.
    let packers: [(&str, &[u8]); 7] = [
        ("a.raw.gz", b"\x1f\x8b\x08\0"),
        ("b.vhd.bz2", b"BZh91AY&SY"),
        ("c.vhdx.xz", b"\xfd7zXZ\0"),
        ("d.vdi.zst", b"\x28\xb5\x2f\xfd"),
        ("e.vmdk.7z", b"7z\xbc\xaf\x27\x1c\0"),
        ("f.qcow2.zip", b"PK\x03\x04"),
        ("System.gz", b"\x1f\x8b\x08\0"),
    ];
    for (name, magic) in packers {
        write(name, &[magic, &[7; 2000]].concat());
        said.insert(name, "compressed");
    }
    // Empty, cut, garbage.
    for (name, bytes, code) in [
        ("empty.qcow2", &b""[..], "image-unrecognised"),
        ("empty.img", b"", "image-unrecognised"),
        ("zeros.raw", &[0; 200_000], "image-unrecognised"),
        ("zeros.img", &[0; 200], "image-unrecognised"),
        ("garbage.dd", &[0xa7; 100_000], "image-unrecognised"),
        ("garbage.vhdx", b"hello", "image-unrecognised"),
        (
            "garbage.vdi.gz",
            b"no gzip file, although it is called so, nor anything else that is known here",
            "image-unrecognised",
        ),
        ("cut.qcow2", b"QFI\xfb\0\0\0\x03", "qcow2-header"),
        ("cut.vhd", &bytes[..70_000], "vhd-footer"),
        ("lost.E03", &[&b"EVF\x09\x0d\x0a\xff\0\x01\x03\0\0\0"[..], &[0; 500]].concat(), "no-file"),
        ("lost.E04", &[&b"EVF\x09\x0d\x0a\xff\0\x01\x04\0\0\0"[..], &[0; 500]].concat(), "part of all/lost.E03"),
        ("more/SYSTEM", &[0; 8192], "base-signature"),
        ("apple.dmg", &[&[7; 4096][..], b"koly\0\0\0\x04\0\0\x02\0", &[0; 500]].concat(), "container"),
        ("half.001", b"", "split-empty"),
        ("half.002", &[0xee; 5000], "part of all/half.001"),
    ] {
        write(name, bytes);
        said.insert(name, code);
    }
    // Skipped.
    let software = HiveSpec::new(Minor::V5).file_name("SOFTWARE").build().bytes;
    let mut disc = vec![0; 40 << 10];
    disc[32_769..32_774].copy_from_slice(b"CD001");
    let mut log = hive(2);
    log[28] = 6;
    log[4096..4100].fill(0);
    for (name, bytes, reason) in [
        ("notes.txt", &b"text"[..], "skipped: no-image"),
        ("notes.001", b"text", "skipped: no-image"),
        ("notes.002", b"text", "skipped: no-image"),
        ("more/empty.log", b"", "skipped: empty"),
        ("more/backup.tar.gz", b"\x1f\x8b\x08\0\0\0", "skipped: compressed"),
        ("more/paper.docx", b"PK\x03\x04\0\0", "skipped: compressed"),
        ("virtio.iso", &disc, "skipped: container"),
        ("text.iso", b"text", "skipped: no-image"),
        ("rules.reg", b"Windows Registry Editor Version 5.00\r\n", "skipped: reg-file"),
        ("SOFTWARE", &software, "skipped: other-hive"),
        ("more/stray.LOG1", &log, "skipped: transaction-log"),
    ] {
        write(name, bytes);
        said.insert(name, reason);
    }
    fs::hard_link(at("a.raw"), at("more/link")).unwrap();
    said.insert("more/link", "skipped: same-file");
    #[cfg(unix)]
    std::os::unix::fs::symlink(at("a.raw"), at("symbolic.raw")).unwrap();
    Some(said)
}

#[test]
fn every_file_of_a_mixed_folder_is_accounted_for() {
    let home = tempfile::tempdir().unwrap();
    let Some(said) = mixed(home.path()) else { return };
    let said: BTreeMap<String, String> =
        said.into_iter().map(|(name, what)| (format!("all/{name}"), what.to_owned())).collect();
    assert!(said.len() >= 40);
    assert_eq!(said.keys().cloned().collect::<BTreeSet<_>>(), files(home.path(), "all"));
    let mut first = None;
    for jobs in ["1", "2", "3", "8", "8", "1"] {
        let run = audit(home.path(), &["--json", "--list-skipped", "--expect", "2", "--jobs", jobs, "all"]);
        assert_eq!(run.code, 2, "{}", run.err);
        assert_eq!(results(&run), said, "--jobs {jobs}");
        let [files, recorded, parts, skipped] = counts(&run);
        assert_eq!([files, recorded, parts, skipped], list(&run), "{}", run.err);
        assert_eq!(files, recorded + parts + skipped);
        assert_eq!(files, said.len() as u64);
        let all = steady(records(&run.out));
        assert!(*first.get_or_insert_with(|| all.clone()) == all, "--jobs {jobs}");
    }
    // Without --list-skipped, the counts are the same, and nothing is listed.
    let plain = audit(home.path(), &["--json", "all"]);
    assert_eq!(counts(&plain), [said.len() as u64, list(&plain)[1], counts(&plain)[2], counts(&plain)[3]]);
    assert!(!plain.err.lines().any(|line| line.starts_with('{')), "{}", plain.err);
    // As text, one line each.
    let text = audit(home.path(), &["--list-skipped", "all"]);
    let lines = |word: &str| text.err.lines().filter(|line| line.contains(word)).count() as u64;
    assert_eq!([lines(": part of "), lines(": skipped: ")], counts(&plain)[2..]);
    // Shards divide the files too.
    let shards = ["1/3", "2/3", "3/3"].map(|shard| counts(&audit(home.path(), &["--json", "--shard", shard, "all"])));
    for (number, whole) in counts(&plain).into_iter().enumerate() {
        assert_eq!(shards.iter().map(|shard| shard[number]).sum::<u64>(), whole, "{shards:?}");
    }
    // Reused records count like new ones.
    fs::write(home.path().join("r.jsonl"), &plain.out).unwrap();
    let again = audit(home.path(), &["--json", "--list-skipped", "--resume", "r.jsonl", "all"]);
    assert_eq!((results(&again), counts(&again)), (said.clone(), counts(&plain)));
    assert!(again.err.contains("reused"), "{}", again.err);
}

/// Discovered and named files are judged alike.
#[test]
fn named_and_discovered_files_are_judged_alike() {
    let home = tempfile::tempdir().unwrap();
    let Some(said) = mixed(home.path()) else { return };
    let (mut same, mut skipped) = (0, 0);
    for (name, what) in said {
        let target = format!("all/{name}");
        let run = audit(home.path(), &["--json", &target]);
        let results = results(&run);
        if what.starts_with("part of") || what == "skipped: same-file" {
            assert_eq!(results.len(), 1, "{name}: {}", run.out);
        } else if what.starts_with("skipped") {
            assert_eq!((run.code, records(&run.out).len()), (2, 1), "{name}: {}", run.out);
            skipped += 1;
        } else if what != "split-empty" {
            assert_eq!(results, BTreeMap::from([(target, what.to_owned())]), "{name}");
            assert_eq!(run.code, if what == "read" { 0 } else { 2 }, "{name}");
            same += 1;
        }
    }
    assert!(same > 30 && skipped > 5, "{same} {skipped}");
}

/// An unreadable image prevents success, despite a valid image beside it.
#[test]
fn an_unreadable_file_with_the_name_of_an_image_prevents_success() {
    let home = tempfile::tempdir().unwrap();
    let Some(()) = disk(&home.path().join("good"), 2) else { return };
    let bytes: [(&str, &[u8]); 8] = [
        ("pc.qcow2.gz", b"\x1f\x8b\x08\0\0\0\0\0"),
        ("pc.qcow2.xz", b"\xfd7zXZ\0\0\0"),
        ("pc.raw", &[0; 70_000]),
        ("pc.img", &[0; 70_000]),
        ("pc.dd", &[0x5a; 70_000]),
        ("pc.vhdx", b""),
        ("SYSTEM.7z", b"7z\xbc\xaf\x27\x1c\0"),
        ("SYSTEM", b""),
    ];
    for (name, bytes) in bytes {
        let folder = home.path().join("all");
        fs::create_dir(&folder).unwrap();
        fs::copy(home.path().join("good"), folder.join("good.qcow2")).unwrap();
        assert_eq!(audit(home.path(), &["--expect", "2", "all"]).code, 0, "{name}");
        fs::write(folder.join(name), bytes).unwrap();
        let run = audit(home.path(), &["--json", "--expect", "2", "all"]);
        let found = of(&records(&run.out), &format!("all/{name}"));
        assert_eq!((run.code, found.len(), &found[0]["status"]), (2, 1, &"error".into()), "{name}: {}", run.err);
        assert_eq!(counts(&run), [2, 2, 0, 0], "{name}");
        fs::remove_dir_all(&folder).unwrap();
    }
}

/// Files below a Windows folder belong to it; those in it and beside it are counted.
#[test]
fn the_files_of_a_windows_folder_belong_to_it() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("all/Windows/System32/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("SYSTEM"), hive(2)).unwrap();
    fs::write(home.path().join("all/Windows/win.ini"), b"text").unwrap();
    fs::write(home.path().join("all/notes.txt"), b"text").unwrap();
    let run = audit(home.path(), &["--json", "--list-skipped", "all"]);
    assert_eq!((run.code, counts(&run)), (0, [2, 0, 0, 2]), "{}", run.err);
    let folder = run.err.lines().find(|line| line.contains("\"folder\"")).unwrap();
    let folder: Value = serde_json::from_str(folder).unwrap();
    let path = |field: &str| slashed(folder[field].as_str().unwrap());
    assert_eq!((&*path("file"), &*path("part_of")), ("all/Windows/System32", "all/Windows"));
}

/// The list streams, so memory does not grow with it.
#[test]
fn many_skipped_files_cost_no_memory() {
    let home = tempfile::tempdir().unwrap();
    // Wine takes minutes for so many files, and Linux alone reports the memory.
    let count = if cfg!(windows) { 600 } else { 30_000 };
    for i in 0..count {
        let folder = home.path().join(format!("all/{}", i % 30));
        if i < 30 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(format!("{i:0>100}")), b"x").unwrap();
    }
    fs::write(home.path().join("all/SYSTEM"), hive(2)).unwrap();
    let run = audit(home.path(), &["--json", "--list-skipped", "all"]);
    assert_eq!(counts(&run), [count + 1, 1, 0, count]);
    assert_eq!(run.err.lines().filter(|line| line.starts_with('{')).count() as u64, count);
    let kib = super::large::peak(home.path(), &["--json", "--list-skipped", "all"], &home.path().join("r.jsonl"));
    assert!(cfg!(windows) || (1..60 << 10).contains(&kib), "{kib} KiB");
}
