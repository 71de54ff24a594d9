//! `set`, `recover` and `undo` on disks.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use hivewright::internals::locate::{Choice, Disk};
use hivewright_storage::{Access, Host, HostFile, RealHost, Storage};
use serde_json::Value;

use super::{hive, json, run, sha256};
use crate::corpus;
use crate::support::disk::{START, XP_HIVE, gpt, mbr, split, windows_volume, xp_on_fat32};
use crate::support::file_ext::FileExt;
use crate::support::hex::bytes_of;
use crate::support::ntfs_volume::NtfsVolume;
use crate::support::tools::{have, output, succeeds};

const SYSTEM: &str = "Windows/System32/config/SYSTEM";

/// Returns the ranges of the image that belong to the hive.
pub(super) fn clusters(image: &Path, choice: &Choice) -> Vec<(u64, u64)> {
    let found = Disk::open(image).unwrap().unwrap().system_hive(choice).unwrap();
    let file = found.file().unwrap();
    let place = |offset| file.locate(offset).last().unwrap().offset;
    file.extents().iter().map(|e| (place(e.file_offset), e.len)).collect()
}

/// Returns the number of bytes that differ, and whether all of them are in `ranges`.
pub(super) fn differences(before: &[u8], after: &[u8], ranges: &[(u64, u64)]) -> (usize, bool) {
    assert_eq!(before.len(), after.len());
    let at: Vec<u64> = (0..before.len()).filter(|&i| before[i] != after[i]).map(|i| i as u64).collect();
    let inside = at.iter().all(|at| ranges.iter().any(|(start, len)| (*start..start + len).contains(at)));
    (at.len(), inside)
}

/// Extracts the volume from the disk, for tools without support of partitions.
fn volume_of(disk: &[u8], len: usize, folder: &Path) -> PathBuf {
    let path = folder.join("cut");
    fs::write(&path, &disk[START as usize..START as usize + len]).unwrap();
    path
}

/// Sets the value to 2, runs the judges, and undoes it.
fn set_and_undo(folder: &Path, name: &str, volume_len: usize) {
    let path = folder.join(name);
    let (before, sum, ranges) = (fs::read(&path).unwrap(), sha256(&path), clusters(&path, &Choice::default()));
    let dry = json(&run(folder, &["set", "2", name, "--dry-run", "--json"]));
    let spaces: Vec<&str> =
        dry["patches"][0]["places"].as_array().unwrap().iter().map(|p| p["space"].as_str().unwrap()).collect();
    assert_eq!(spaces, ["hive", "volume", "disk", "file"]);
    assert_eq!(sha256(&path), sum, "a dry run wrote");
    let set = run(folder, &["set", "2", name, "--json"]);
    assert_eq!(set.code, 0, "{name}: {}", set.err);
    let after = fs::read(&path).unwrap();
    let (count, inside) = differences(&before, &after, &ranges);
    assert!(count > 0 && inside, "{name}: {count} bytes differ, inside of the hive's clusters: {inside}");
    assert_eq!(run(folder, &["get", "--value", name]).out, "2\n");
    if have(&["ntfscat", "ntfsfix"]) {
        let volume = volume_of(&after, volume_len, folder);
        assert!(succeeds("ntfsfix", &["-n", volume.to_str().unwrap()]), "{name}");
        let theirs = output("ntfscat", &[volume.to_str().unwrap(), SYSTEM]);
        fs::write(folder.join("theirs"), &theirs).unwrap();
        assert_eq!(run(folder, &["get", "--value", "theirs"]).out, "2\n");
        assert_eq!(run(folder, &["check", "theirs"]).code, 0);
    }
    let again = run(folder, &["set", "2", name]);
    assert!(again.code == 0 && again.out.contains("already"), "{again:?}");
    let undo = json(&set)["commit"]["undo"].as_str().unwrap().to_owned();
    let undone = run(folder, &["undo", &undo]);
    assert_eq!((undone.code, sha256(&path)), (0, sum), "{name}: {}", undone.err);
    fs::remove_file(undo).unwrap();
    println!("{name}: {count} bytes in {} extents changed and restored", ranges.len());
}

#[test]
fn a_hive_in_a_partition_is_changed_in_place() {
    let Some(volume) = windows_volume(16, &hive(), |_| {}) else { return };
    let (bytes, folder) = (volume.bytes(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    mbr(&bytes, &folder.join("mbr"));
    set_and_undo(folder, "mbr", bytes.len());
    if gpt(&bytes, bytes.len() as u64 + 2 * START, &folder.join("gpt")).is_some() {
        set_and_undo(folder, "gpt", bytes.len());
    }
}

/// Restores the first byte of the last patch from its undo file: in one of several files, which are concatenated at
/// multiples of 4096.
fn tear_last_patch(undo: &[u8], folder: &Path) {
    let lines = String::from_utf8_lossy(undo);
    let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let last = lines.iter().rfind(|line| line["new"].is_string()).unwrap();
    let mut at = last["offset"].as_u64().unwrap();
    for file in lines[0]["files"].as_array().unwrap() {
        let len = file["len"].as_u64().unwrap();
        if at < len {
            let torn = File::options().write(true).open(folder.join(file["name"].as_str().unwrap())).unwrap();
            return torn.write_all_at(&bytes_of(&last["old"])[..1], at).unwrap();
        }
        at -= len.next_multiple_of(4096);
    }
    panic!("no file holds {last}");
}

/// Returns the places of `len` bytes of the disk in its segments of `segment` bytes: number and offset.
fn in_segments(at: u64, segment: u64) -> (u64, u64) {
    (at / segment, at % segment)
}

#[test]
fn a_split_disk_is_changed_in_all_its_segments() {
    let Some(volume) = windows_volume(8, &hive(), |_| {}) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (folder, whole) = (folder.path(), folder.path().join("whole"));
    mbr(&volume.bytes(), &whole);
    let before = fs::read(&whole).unwrap();
    assert_eq!(run(folder, &["set", "2", "whole", "--keep-timestamps"]).code, 0);
    let after = fs::read(&whole).unwrap();
    let changed: Vec<u64> = (0..before.len()).filter(|&i| before[i] != after[i]).map(|i| i as u64).collect();
    // With this length, the changes are in two segments, and a sector crosses their border.
    let (first, last) = (changed[0], *changed.last().unwrap());
    let middle = ((first + last) / 2) | 1;
    let segment = (2..).map(|n| middle / n + 1).find(|len| len % 512 != 0 && first / len != last / len).unwrap();
    assert!(in_segments(first, segment).0 != in_segments(last, segment).0);
    fs::write(&whole, &before).unwrap();
    split(&whole, segment as usize, &folder.join("d"));
    fs::remove_file(&whole).unwrap();
    let names: Vec<String> = (1..=before.len() as u64 / segment + 1).map(|i| format!("d.{i:03}")).collect();
    let all = || names.iter().flat_map(|name| fs::read(folder.join(name)).unwrap()).collect::<Vec<u8>>();
    assert!(all() == before);
    for named in [&names[0], names.last().unwrap()] {
        let dry = json(&run(folder, &["set", "2", named, "--dry-run", "--json"]));
        assert_eq!(dry["state"], "dry-run", "{dry}");
        let spaces = dry["patches"].as_array().unwrap().iter().map(|p| p["places"][3]["space"].as_str().unwrap());
        assert!(spaces.clone().all(|space| space.starts_with("file")), "{:?}", spaces.collect::<Vec<_>>());
        let set = run(folder, &["set", "2", named, "--json", "--keep-timestamps"]);
        assert_eq!(set.code, 0, "{}", set.err);
        assert!(all() == after, "the segments are not what the whole image became");
        let undo = json(&set)["commit"]["undo"].as_str().unwrap().to_owned();
        // As after an interruption: found by any segment, and rolled back.
        let record = fs::read(&undo).unwrap();
        for other in &names[..names.len().min(3)] {
            fs::write(&undo, &record[..record.len() - 4096]).unwrap();
            tear_last_patch(&record, folder);
            let get = run(folder, &["get", other]);
            assert!(get.has("unfinished-write"), "{other}: {}", get.err);
            let again = run(folder, &["set", "1", other, "--keep-timestamps"]);
            assert_eq!((again.code, all() == before), (0, true), "{other}: {}", again.err);
            assert!(again.has("unfinished-write"), "{other}: {}", again.err);
            fs::remove_file(&undo).unwrap();
            assert_eq!(run(folder, &["set", "2", named, "--keep-timestamps"]).code, 0);
        }
        assert_eq!(run(folder, &["undo", &undo]).code, 0);
        assert!(all() == before, "the segments are not what they were");
        fs::remove_file(undo).unwrap();
    }
    println!("{} bytes changed in segments of {segment} bytes", changed.len());
}

#[test]
fn a_hive_of_hundreds_of_fragments_is_changed_in_place() {
    let spec =
        hivewright_fixtures::SystemHive::new(hivewright_fixtures::Release::Win10).with_right_setting(1, 1).spec();
    let filled =
        spec.at("Filler", |key| (0..100u8).fold(key, |key, i| key.value(format!("v{i}").as_str(), 3, vec![i; 16_000])));
    let Some(volume) = NtfsVolume::make(24, &["-c", "4096"]) else { return };
    let folders = volume.fill(|root| fs::create_dir_all(root.join("Windows/System32/config")).unwrap());
    if folders.and_then(|()| volume.fragment(SYSTEM, &filled.build().bytes, 4096)).is_none() {
        return;
    }
    let (bytes, folder) = (volume.bytes(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    mbr(&bytes, &folder.join("d"));
    let pieces = clusters(&folder.join("d"), &Choice::default()).len();
    assert!(pieces > 322, "only {pieces} fragments");
    set_and_undo(folder, "d", bytes.len());
}

#[test]
fn each_obstacle_to_a_write_has_its_code() {
    let hibernated = |root: &Path| {
        let mut session = vec![0; 8192];
        session[..4].copy_from_slice(b"hibr");
        fs::write(root.join("hiberfil.sys"), session).unwrap();
    };
    let compressed = |root: &Path| {
        let system = root.join(SYSTEM);
        fs::remove_file(&system).unwrap();
        let config = system.parent().unwrap().to_str().unwrap();
        output("setfattr", &["-h", "-n", "system.ntfs_attrib", "-v", "0x00080000", config]);
        fs::write(&system, hive()).unwrap();
    };
    let sparse = |root: &Path| {
        let bytes = hive();
        let file = File::create(root.join(SYSTEM)).unwrap();
        file.set_len(bytes.len() as u64 + (1 << 20)).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
    };
    type Make<'a> = (&'static str, &'a dyn Fn(&Path));
    let cases: [Make<'_>; 3] =
        [("volume-hibernated", &hibernated), ("file-compressed", &compressed), ("file-sparse", &sparse)];
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (code, make) in cases {
        let Some(volume) = windows_volume(16, &hive(), |root| make(root)) else { return };
        fs::write(folder.join("v"), volume.bytes()).unwrap();
        refused(folder, code, &[]);
        refused(folder, code, &["--dry-run"]);
        assert_eq!(run(folder, &["get", "--value", "v"]).out, "1\n", "{code}: reading is fine");
    }
}

fn refused(folder: &Path, code: &str, more: &[&str]) {
    let sum = sha256(&folder.join("v"));
    let set = run(folder, &[&["set", "2", "v", "--json"], more].concat());
    assert_eq!((set.code, &json(&set)["error"]["code"]), (3, &Value::from(code)), "{}", set.err);
    assert_eq!(sha256(&folder.join("v")), sum);
    assert!(!folder.join("v.hivewright-undo").exists());
}

/// QEMU with an open image, whose byte-range locks it holds until it is dropped.
pub(super) struct Qemu(Child, Option<ChildStdin>);

impl Qemu {
    pub(super) fn open(path: &Path) -> Qemu {
        Qemu::open_with(&["-f", "raw"], path)
    }

    fn open_with(args: &[&str], path: &Path) -> Qemu {
        let mut command = Command::new("qemu-io");
        command.args(args).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut qemu = command.spawn().unwrap();
        let mut input = qemu.stdin.take().unwrap();
        input.write_all(b"length\n").unwrap();
        let mut told = BufReader::new(qemu.stdout.take().unwrap());
        told.read_line(&mut String::new()).unwrap();
        Qemu(qemu, Some(input))
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        drop(self.1.take());
        let _ = self.0.wait();
    }
}

#[test]
fn an_image_in_use_is_not_changed() {
    let Some(volume) = windows_volume(16, &hive(), |_| {}) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("v"));
    fs::write(&path, volume.bytes()).unwrap();
    let held = File::open(&path).unwrap();
    held.lock().unwrap();
    refused(folder, "in-use", &[]);
    drop(held);
    if !have(&["qemu-io"]) {
        return;
    }
    let told = || {
        let (get, info) = (run(folder, &["get", "--value", "v"]), json(&run(folder, &["info", "v", "--json"])));
        assert_eq!(get.out, "1\n");
        let obstacle = info["obstacles"].as_array().unwrap().iter().any(|obstacle| obstacle["code"] == "in-use");
        (get.has("in-use"), obstacle)
    };
    let qemu = Qemu::open(&path);
    refused(folder, "in-use", &[]);
    assert_eq!(told(), (true, true), "who reads it meanwhile is warned");
    drop(qemu);
    assert_eq!(told(), (false, false));
    assert_eq!(run(folder, &["set", "2", "v"]).code, 0);
    // The same for undo.
    let changed = sha256(&path);
    let held = Qemu::open(&path);
    let undo = run(folder, &["undo", "v.hivewright-undo", "--json"]);
    assert_eq!((undo.code, &json(&undo)["error"]["code"], sha256(&path)), (3, &Value::from("in-use"), changed));
    drop(held);
    assert_eq!(run(folder, &["undo", "v.hivewright-undo"]).code, 0);
}

/// The backing file of an image may be read by many, and written by none.
#[test]
fn a_file_that_is_only_read_is_shared_with_readers() {
    if !have(&["qemu-io"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base");
    fs::write(&path, vec![1; 1 << 20]).unwrap();
    let share = || RealHost.open(&path, Access::Read).unwrap().try_share().unwrap();
    assert!(share());
    let reader = Qemu::open_with(&["-r", "-f", "raw"], &path);
    assert!(share(), "a reader keeps nobody out");
    drop(reader);
    let writer = Qemu::open(&path);
    assert!(!share(), "a writer was not seen");
    drop(writer);
    assert!(share());
    // QEMU's check of our locks excludes a later writer; other handles are opened and closed.
    let opens = |options: &[&str]| {
        let closed =
            Command::new("qemu-io").args(options).args(["-f", "raw", "-c", "quit"]).arg(&path).output().unwrap();
        closed.status.success()
    };
    let ours = RealHost.open(&path, Access::Read).unwrap();
    assert!(ours.try_share().unwrap());
    drop(RealHost.open(&path, Access::Read).unwrap());
    assert!(!opens(&[]), "QEMU writes to what we read");
    assert!(opens(&["-r"]), "QEMU may read it too");
    drop(ours);
    assert!(opens(&[]));
    let ours = RealHost.open(&path, Access::Write).unwrap();
    assert!(ours.try_lock_ranges().unwrap());
    drop(RealHost.open(&path, Access::Read).unwrap());
    assert!(!opens(&["-r"]), "QEMU reads what we write");
    drop(ours);
    let held = File::open(&path).unwrap();
    held.lock_shared().unwrap();
    assert!(share());
    drop(held);
    let held = File::open(&path).unwrap();
    held.lock().unwrap();
    assert!(!share());
}

#[test]
fn a_dirty_hive_is_recovered_and_changed_under_one_undo_file() {
    let test = "a_dirty_hive_is_recovered_and_changed_under_one_undo_file";
    let Some(corpus) = corpus::folder(test).filter(|_| corpus::can_unpack(test)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("d"));
    fs::write(&path, corpus::read(&corpus, "images/synthetic_win81_volume.raw.zst").unwrap()).unwrap();
    let (before, sum, ranges) = (fs::read(&path).unwrap(), sha256(&path), clusters(&path, &Choice::default()));
    let set = json(&run(folder, &["set", "1", "d", "--json"]));
    assert_eq!(set["state"], "written", "{set}");
    let (count, inside) = differences(&before, &fs::read(&path).unwrap(), &ranges);
    assert!(count > 0 && inside);
    let get = json(&run(folder, &["get", "d", "--json"]));
    assert_eq!((&get["hive_state"], &get["at_next_boot"]["value"]), (&"clean".into(), &1.into()));
    let undo = set["commit"]["undo"].as_str().unwrap();
    let left = fs::read_dir(folder).unwrap().count();
    assert_eq!(left, 2, "the image and one undo file");
    assert_eq!(run(folder, &["undo", undo]).code, 0);
    assert_eq!(sha256(&path), sum);
}

/// Every prefix of the writes, as after an interruption: reading reports it, and the next run rolls it back.
#[test]
fn an_interrupted_write_is_rolled_back_by_the_next_run() {
    let Some(volume) = windows_volume(8, &hive(), |_| {}) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("d"));
    mbr(&volume.bytes(), &path);
    let (before, sum) = (fs::read(&path).unwrap(), sha256(&path));
    assert_eq!(run(folder, &["set", "2", "d"]).code, 0);
    let undo = folder.join("d.hivewright-undo");
    let whole = fs::read(&undo).unwrap();
    // The mark of the complete write is the last block.
    let open = &whole[..whole.len() - 4096];
    let text = String::from_utf8_lossy(open);
    let patches: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let patches: Vec<&Value> = patches.iter().filter(|line| line["new"].is_string()).collect();
    assert!(patches.len() > 2);
    for cut in 0..=patches.len() {
        for torn in [false, true] {
            let mut image = before.clone();
            for (i, patch) in patches[..cut].iter().enumerate() {
                let new = bytes_of(&patch["new"]);
                let at = patch["offset"].as_u64().unwrap() as usize;
                let some = if torn && i + 1 == cut { new.len().div_ceil(2) } else { new.len() };
                image[at..at + some].copy_from_slice(&new[..some]);
            }
            fs::write(&path, &image).unwrap();
            fs::write(&undo, open).unwrap();
            let get = run(folder, &["get", "d"]);
            let partly = get.has("unfinished-write");
            assert!(partly || image == before || cut == patches.len(), "cut {cut}: {}", get.err);
            assert_eq!(run(folder, &["set", "2", "d"]).code, 0, "cut {cut}");
            assert_eq!(run(folder, &["get", "--value", "d"]).out, "2\n", "cut {cut}");
            let mut undos: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
            undos.retain(|p| *p != path);
            undos.sort();
            let last = undos.last().unwrap().to_str().unwrap().to_owned();
            assert_eq!(run(folder, &["undo", &last]).code, 0, "cut {cut}: {undos:?}");
            assert_eq!(sha256(&path), sum, "cut {cut}");
            undos.iter().for_each(|undo| fs::remove_file(undo).unwrap());
        }
    }
    println!("{} cut points, each whole and torn", patches.len() + 1);
}

#[test]
fn windows_xp_on_fat32_is_changed_in_place() {
    if !have(&["mkfs.vfat", "mmd", "mcopy", "mtype", "fsck.vfat"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("fat"));
    xp_on_fat32(&path, 1);
    let image = path.to_str().unwrap();
    let (before, sum, ranges) = (fs::read(&path).unwrap(), sha256(&path), clusters(&path, &Choice::default()));
    let set = run(folder, &["set", "2", "fat"]);
    assert_eq!(set.code, 0, "{}", set.err);
    let (count, inside) = differences(&before, &fs::read(&path).unwrap(), &ranges);
    assert!(count > 0 && inside);
    fs::write(folder.join("theirs"), output("mtype", &["-i", image, XP_HIVE])).unwrap();
    assert_eq!(run(folder, &["get", "--value", "theirs"]).out, "2\n");
    output("fsck.vfat", &["-n", image]);
    assert_eq!(run(folder, &["undo", "fat.hivewright-undo"]).code, 0);
    assert_eq!(sha256(&path), sum);
}
