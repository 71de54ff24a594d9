//! Hives that outgrow their files inside an image: the volume allocates clusters, and undo frees them.

use std::fs;
use std::path::Path;

use hivewright::internals::locate::ImageOptions;
use hivewright_disk::files::Files;
use hivewright_disk::ntfs::Ntfs;
use hivewright_fixtures::disks::ntfs;
use hivewright_fixtures::{Release, SystemHive};
use serde_json::Value;

use super::faults::{self, volume};
use super::formats::{convert, set_and_undo};
use super::{json, run, sha256};
use crate::support::disk::{XP_HIVE, mbr, windows_volume};
use crate::support::hex::bytes_of;
use crate::support::memory::Memory;
use crate::support::ntfs_volume::{NtfsVolume, noise};
use crate::support::real::Real;
use crate::support::tools::{have, output};

/// Creates a hive without a free cell, whose setting is absent: any edit enlarges it.
fn full_hive() -> Vec<u8> {
    SystemHive::new(Release::Win10).spec().free_at_end(0).build().bytes
}

const HIVE: &str = "Windows/System32/config/SYSTEM";

/// Returns the file of the hive in the NTFS volume at `path` according to ntfscat.
fn of_ntfscat(path: &Path) -> Vec<u8> {
    output("ntfscat", &["-f", path.to_str().unwrap(), HIVE])
}

/// Checks the volume with the judges of NTFS, and fails on their findings.
pub(crate) fn judge(path: &Path) {
    if !have(&["ntfsresize", "ntfsfix", "fls"]) {
        return;
    }
    let path = path.to_str().unwrap();
    output("ntfsresize", &["-i", "-f", path]);
    output("ntfsfix", &["-n", path]);
    output("fls", &["-r", path]);
}

#[test]
fn on_ntfs() {
    let Some(made) = windows_volume(8, &full_hive(), |root| fs::write(root.join("other"), noise(99_999, 2)).unwrap())
    else {
        return;
    };
    if !have(&["ntfscat", "ntfsresize", "ntfsfix", "fls"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("v"));
    fs::write(&path, made.bytes()).unwrap();
    let sum = sha256(&path);
    let dry = json(&run(folder, &["set", "2", "v", "--dry-run", "--json"]));
    assert_eq!((dry["state"].as_str(), sha256(&path)), (Some("dry-run"), sum.clone()), "{dry}");
    let set = json(&run(folder, &["set", "2", "v", "--json", "--keep-timestamps"]));
    let lens = [&set["old_len"], &set["new_len"]].map(|len| len.as_u64().unwrap());
    assert!(set["state"] == "written" && lens[0] < lens[1], "{set}");
    assert_eq!(set["commit"]["notes"].as_array().unwrap().len(), 1, "{set}");
    assert_eq!(run(folder, &["get", "--value", "v"]).out, "2\n");
    judge(&path);
    // Bit for bit the result of the same edit of the hive alone.
    fs::write(folder.join("bare"), full_hive()).unwrap();
    assert_eq!(run(folder, &["set", "2", "bare", "--keep-timestamps"]).code, 0);
    let bare = fs::read(folder.join("bare")).unwrap();
    assert!(of_ntfscat(&path) == bare && bare.len() as u64 == lens[1]);
    assert!(output("ntfscat", &["-f", path.to_str().unwrap(), "other"]) == noise(99_999, 2));
    // A driver that mounts it reads the same, and writes to it.
    let mounted = NtfsVolume::of(&fs::read(&path).unwrap());
    mounted.fill(|root| {
        assert!(fs::read(root.join(HIVE)).unwrap() == bare);
        fs::write(root.join("more"), noise(300_000, 3)).unwrap();
    });
    judge(&mounted.path());
    assert!(of_ntfscat(&mounted.path()) == bare);
    // A copy is the same changed volume.
    let undo = set["commit"]["undo"].as_str().unwrap();
    let written = sha256(&path);
    assert_eq!(run(folder, &["undo", undo]).code, 0);
    assert_eq!(sha256(&path), sum);
    assert_eq!(run(folder, &["set", "2", "v", "--keep-timestamps", "--output", "copy"]).code, 0);
    assert_eq!((sha256(&folder.join("copy")), sha256(&path)), (written, sum));
}

#[test]
fn on_fat32() {
    if !have(&["mkfs.vfat", "mmd", "mcopy", "mtype", "fsck.vfat"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("xp"));
    crate::support::disk::xp_on_fat32(&path, 1);
    let image = path.to_str().unwrap();
    let hive = SystemHive::new(Release::XpSp3).spec().free_at_end(0).build().bytes;
    fs::write(folder.join("bare"), &hive).unwrap();
    output("mcopy", &["-o", "-i", image, folder.join("bare").to_str().unwrap(), XP_HIVE]);
    let sum = sha256(&path);
    let set = json(&run(folder, &["set", "2", "xp", "--json", "--keep-timestamps"]));
    assert_eq!(set["state"], "written", "{set}");
    output("fsck.vfat", &["-n", image]);
    assert_eq!(run(folder, &["set", "2", "bare", "--keep-timestamps"]).code, 0);
    let bare = fs::read(folder.join("bare")).unwrap();
    assert!(output("mtype", &["-i", image, XP_HIVE]) == bare && bare.len() > hive.len());
    assert_eq!(run(folder, &["undo", set["commit"]["undo"].as_str().unwrap()]).code, 0);
    assert_eq!(sha256(&path), sum);
}

#[test]
fn in_every_format() {
    let Some(made) = windows_volume(4, &full_hive(), |_| {}).filter(|_| have(&["qemu-img"])) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    mbr(&made.bytes(), &folder.join("disk"));
    for (name, format, options) in [
        ("d.qcow2", "qcow2", &[][..]),
        ("small.qcow2", "qcow2", &["-o", "cluster_size=512"]),
        ("d.vhd", "vpc", &["-o", "subformat=dynamic,force_size=on"]),
        ("d.vhdx", "vhdx", &["-o", "subformat=dynamic"]),
        ("d.vdi", "vdi", &[]),
        ("d.vmdk", "vmdk", &[]),
        ("d.qed", "qed", &[]),
        ("d.hdd", "parallels", &[]),
    ] {
        convert(folder, format, options, name);
        set_and_undo(folder, name, &[name], &[]);
    }
}

/// Every prefix of the writes, also torn, is rolled back by the next run.
#[test]
fn an_interrupted_growth_is_rolled_back_by_the_next_run() {
    let Some(made) = windows_volume(4, &full_hive(), |root| fs::write(root.join("other"), noise(9999, 2)).unwrap())
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("v"));
    let before = made.bytes();
    fs::write(&path, &before).unwrap();
    assert_eq!(run(folder, &["set", "2", "v"]).code, 0);
    let undo = folder.join("v.hivewright-undo");
    let whole = fs::read(&undo).unwrap();
    // The mark of the complete write is the last block.
    let open = &whole[..whole.len() - 4096];
    let text = String::from_utf8_lossy(open);
    let patches: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let patches: Vec<&Value> = patches.iter().filter(|line| line["new"].is_string()).collect();
    for cut in 0..patches.len() {
        let mut image = before.clone();
        for patch in &patches[..cut] {
            let (at, new) = (patch["offset"].as_u64().unwrap() as usize, bytes_of(&patch["new"]));
            image[at..at + new.len()].copy_from_slice(&new);
        }
        // Whatever the state of the hive, the volume has all other contents.
        let volume = Ntfs::open(Memory::new(image.clone())).unwrap();
        let other = volume.open("other").unwrap().unwrap();
        volume.confirm(&other).unwrap();
        fs::write(&path, &image).unwrap();
        fs::write(&undo, open).unwrap();
        assert_eq!(run(folder, &["set", "2", "v"]).code, 0, "cut {cut}");
        assert_eq!(run(folder, &["get", "--value", "v"]).out, "2\n", "cut {cut}");
        let _ = fs::remove_file(&undo);
    }
}

#[test]
fn on_a_file_system_with_faults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().real().join("d.raw");
    fs::write(&path, volume(64, &[("SYSTEM", &full_hive()), ("OTHER", &noise(3000, 1))])).unwrap();
    faults::test_image("set of a hive that grows in its volume", &path, &[], ImageOptions::default(), [40, 100]);
}

#[test]
fn growth_beyond_the_volume_is_refused() {
    let Some(made) = windows_volume(4, &full_hive(), |_| {}) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("v"));
    let refused = |bytes: &[u8], code: &str, more: &[&str]| {
        fs::write(&path, bytes).unwrap();
        for last in [&["--dry-run"][..], &[]] {
            let set = run(folder, &[&["set", "2", "v", "--json"], more, last].concat());
            assert_eq!((json(&set)["error"]["code"].as_str(), set.code != 0), (Some(code), true), "{}", set.out);
            assert!(fs::read(&path).unwrap() == bytes && !folder.join("v.hivewright-undo").exists());
        }
    };
    let mut full = made.bytes();
    (0..24).for_each(|power| drop(ntfs::leave_pieces(&mut full, 1 << power)));
    refused(&full, "no-room", &[]);
    let mut dirty = made.bytes();
    ntfs::set_dirty(&mut dirty);
    refused(&dirty, "volume-dirty", &[]);
    refused(&dirty, "growth-in-doubt", &["--ignore-dirty-volume"]);
}
