//! `get`, `check` and `info` on disks.

use std::fs::{self, File};
use std::path::Path;

use hivewright::internals::locate::{Choice, Disk};

use super::{hive, json, run, sha256};
use crate::corpus;
use crate::support::disk::{START, gpt, mbr, split, windows_volume, xp_on_fat32};
use crate::support::file_ext::FileExt;
use crate::support::tools::{have, output};

/// Asserts the results of the reading commands on a disk whose setting is `1`.
fn all_read_one(folder: &Path, name: &str) {
    let before = sha256(&folder.join(name));
    let get = run(folder, &["get", "--value", name]);
    assert_eq!((get.code, get.out.as_str()), (0, "1\n"), "{name}: {}", get.err);
    let get = json(&run(folder, &["get", "--json", name]));
    assert_eq!((&get["hive_state"], &get["confirmed"]), (&"clean".into(), &true.into()), "{name}");
    assert!(get["bytes_read"].as_u64().unwrap() < 4 << 20, "{name}: {}", get["bytes_read"]);
    let check = run(folder, &["check", name]);
    assert_eq!(check.code, 0, "{name}: {}{}", check.out, check.err);
    let info = run(folder, &["info", name]);
    assert_eq!(info.code, 0, "{name}: {}", info.err);
    assert!(info.out.contains("\\Windows") && info.out.contains("SYSTEM: clean"), "{name}: {}", info.out);
    assert_eq!(sha256(&folder.join(name)), before, "{name}: reading wrote");
}

#[test]
fn every_partition_table_around_a_volume() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(volume) = windows_volume(16, &hive(), |_| {}) else { return };
    let bytes = volume.bytes();
    fs::write(folder.join("volume.raw"), &bytes).unwrap();
    mbr(&bytes, &folder.join("mbr.raw"));
    let mut names = vec!["volume.raw", "mbr.raw"];
    if gpt(&bytes, START + bytes.len() as u64 + START, &folder.join("gpt.raw")).is_some() {
        names.push("gpt.raw");
        // Without its primary GPT, the backup is used and info reports it.
        let mut disk = fs::read(folder.join("gpt.raw")).unwrap();
        disk[512..1024].fill(0);
        fs::write(folder.join("backup.raw"), disk).unwrap();
        assert!(run(folder, &["info", "backup.raw"]).out.contains("the backup table was used"));
        names.push("backup.raw");
    }
    split(&folder.join("mbr.raw"), 5 << 20, &folder.join("parts"));
    names.push("parts.001");
    names.push("parts.003");
    names.iter().for_each(|name| all_read_one(folder, name));
    fs::remove_file(folder.join("parts.002")).unwrap();
    let lost = run(folder, &["get", "--json", "parts.001"]);
    assert_eq!((lost.code, &json(&lost)["error"]["code"]), (2, &"split-missing".into()));
}

#[test]
fn the_hive_found_is_the_one_that_others_find() {
    let Some(volume) = windows_volume(16, &hive(), |_| {}) else { return };
    if !have(&["ntfscat"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mbr.raw");
    mbr(&volume.bytes(), &path);
    let disk = Disk::open(&path).unwrap().unwrap();
    let found = disk.system_hive(&Choice::default()).unwrap();
    let theirs = output("ntfscat", &[volume.path().to_str().unwrap(), "Windows/System32/config/SYSTEM"]);
    assert!(found.whole().unwrap() == theirs && theirs == hive());
    let places = hivewright_storage::Storage::locate(found.file().unwrap(), 0);
    let spaces: Vec<String> = places.iter().map(ToString::to_string).collect();
    assert_eq!(places.len(), 3, "{spaces:?}");
    assert_eq!(places[1].offset, places[0].offset + START);
    assert_eq!(places[2].offset, places[1].offset);
    let image = fs::read(&path).unwrap();
    let start = places[2].offset as usize;
    assert_eq!(image[start..start + 4096], theirs[..4096]);
}

#[test]
fn several_installations_need_a_selection() {
    let other = hivewright_fixtures::SystemHive::new(hivewright_fixtures::Release::XpSp3).build().bytes;
    let made = windows_volume(16, &hive(), |root| {
        fs::create_dir_all(root.join("WINNT/system32/config")).unwrap();
        fs::write(root.join("WINNT/system32/config/system"), &other).unwrap();
        fs::create_dir_all(root.join("Old/Windows/System32/config")).unwrap();
        fs::write(root.join("Old/Windows/System32/config/SYSTEM"), &other).unwrap();
    });
    let Some(volume) = made else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    mbr(&volume.bytes(), &folder.join("d"));
    let refused = run(folder, &["get", "--json", "d"]);
    let error = &json(&refused)["error"];
    assert_eq!((refused.code, &error["code"]), (3, &"several-installations".into()));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("\\WINNT of partition 1") && message.contains("\\Windows of partition 1"), "{message}");
    for (root, expected) in [("windows", "1\n"), ("\\WINNT", ""), ("Old/Windows", "")] {
        assert_eq!(run(folder, &["get", "--value", "d", "--windows-root", root]).out, expected, "{root}");
    }
    assert_eq!(run(folder, &["get", "d", "--windows-root", "Users"]).code, 2);
    let wrong = run(folder, &["get", "--json", "d", "--partition", "7"]);
    assert_eq!((wrong.code, &json(&wrong)["error"]["code"]), (2, &"no-partition".into()));
    let info = json(&run(folder, &["info", "--json", "d"]));
    assert_eq!(info["volumes"][0]["installations"].as_array().unwrap().len(), 2);
}

#[test]
fn unsupported_volumes_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let volume = |magic: &[u8]| {
        let mut bytes = vec![0; 2 << 20];
        bytes[3..3 + magic.len()].copy_from_slice(magic);
        bytes
    };
    for (magic, code) in [(&b"-FVE-FS-"[..], "volume-bitlocker"), (b"ReFS\0\0\0\0", "volume-refs")] {
        mbr(&volume(magic), &folder.join("d"));
        let refused = run(folder, &["get", "--json", "d"]);
        assert_eq!((refused.code, &json(&refused)["error"]["code"]), (2, &code.into()));
        assert!(run(folder, &["info", "d"]).out.contains(code));
    }
    fs::write(folder.join("q"), [b"VMA\0\0\0\0\x01".as_slice(), &[0; 4096]].concat()).unwrap();
    let refused = run(folder, &["get", "--json", "q"]);
    assert_eq!((refused.code, &json(&refused)["error"]["code"]), (2, &"container".into()));
}

#[test]
fn the_size_of_the_disk_costs_nothing() {
    let Some(volume) = windows_volume(16, &hive(), |_| {}) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let read = |name: &str, len: u64| {
        gpt(&volume.bytes(), len, &folder.join(name))?;
        let get = json(&run(folder, &["get", "--json", name]));
        Some(get["bytes_read"].as_u64().unwrap())
    };
    let Some(small) = read("small", 2 << 30) else { return };
    let large = read("large", 2 << 40).unwrap();
    println!("{small} bytes read of 2 GiB, {large} of 2 TiB");
    assert!(large <= small + (64 << 10) && small < 1 << 20);
}

#[test]
fn a_dirty_hive_is_read_with_the_logs_beside_it() {
    let test = "a_dirty_hive_is_read_with_the_logs_beside_it";
    let Some(corpus) = corpus::folder(test).filter(|_| corpus::can_unpack(test)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let image = corpus::read(&corpus, "images/synthetic_win81_volume.raw.zst").unwrap();
    fs::write(folder.join("win81"), image).unwrap();
    let before = sha256(&folder.join("win81"));
    let get = json(&run(folder, &["get", "--json", "win81"]));
    assert_eq!((&get["hive_state"], &get["at_next_boot"]["value"]), (&"recovered".into(), &2.into()));
    assert_eq!(get["primary_alone"]["at_next_boot"]["value"], serde_json::Value::Null);
    let image = corpus::read(&corpus, "images/synthetic_xp_mbr.raw.zst").unwrap();
    fs::write(folder.join("xp"), image).unwrap();
    let get = json(&run(folder, &["get", "--json", "xp"]));
    assert_eq!((&get["hive_state"], &get["confirmed"]), (&"clean".into(), &true.into()));
    // The second parser read the touched pages, not all of the 2.3 MB.
    assert!(get["bytes_read"].as_u64().unwrap() < 1 << 20, "{}", get["bytes_read"]);
    assert_eq!(sha256(&folder.join("win81")), before);
}

#[test]
fn a_hibernated_volume_is_read_with_a_warning() {
    let made = windows_volume(16, &hive(), |root| {
        let mut hibernated = vec![0; 8192];
        hibernated[..4].copy_from_slice(b"HIBR");
        fs::write(root.join("hiberfil.sys"), hibernated).unwrap();
    });
    let Some(volume) = made else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("v"), volume.bytes()).unwrap();
    let get = run(folder.path(), &["get", "--value", "v"]);
    assert_eq!((get.code, get.out.as_str()), (0, "1\n"));
    assert!(get.has("volume-hibernated"), "{}", get.err);
    let info = json(&run(folder.path(), &["info", "--json", "v"]));
    assert_eq!(info["volumes"][0]["obstacles"][0]["code"], "volume-hibernated");
}

#[test]
fn windows_xp_on_fat32() {
    if !have(&["mkfs.vfat", "mmd", "mcopy"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    xp_on_fat32(&folder.join("fat"), 2);
    let get = run(folder, &["get", "--value", "fat"]);
    assert_eq!((get.code, get.out.as_str()), (0, "2\n"), "{}", get.err);
    let info = run(folder, &["info", "fat"]);
    assert!(info.out.contains("FAT32") && info.out.contains("\"XP\""), "{}", info.out);
}

/// Any contents of a disk lead to an answer or an error, soon.
#[test]
fn flipped_bytes_neither_panic_nor_hang() {
    let Some(volume) = windows_volume(8, &hive(), |_| {}) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d");
    mbr(&volume.bytes(), &path);
    let image = fs::read(&path).unwrap();
    let found = Disk::open(&path).unwrap().unwrap().system_hive(&Choice::default()).unwrap();
    let hive_at = hivewright_storage::Storage::locate(found.file().unwrap(), 0)[2].offset as usize;
    let file = File::options().write(true).open(&path).unwrap();
    let places = (0..512).step_by(7).chain((START as usize..START as usize + 512).step_by(5));
    for at in places.chain((hive_at..hive_at + 4096).step_by(97)) {
        file.write_all_at(&[!image[at]], at as u64).unwrap();
        if let Ok(Some(disk)) = Disk::open(&path) {
            let info = disk.info(&Choice::default());
            assert!(info.is_ok(), "{at:#x}: {info:?}");
            let _ = disk.system_hive(&Choice::default()).map(|hive| hive.whole().map(<[u8]>::len));
        }
        file.write_all_at(&image[at..at + 1], at as u64).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), image);
}
