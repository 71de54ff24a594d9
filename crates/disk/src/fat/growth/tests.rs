//! Growth on volumes of mkfs.fat and mtools, checked by fsck.fat, mtools and The Sleuth Kit, after every prefix of its
//! writes.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Chain, FREE_COUNT};
use crate::fat::against_tools::contents;
use crate::fat::{Fat, FatType};
use crate::files::Files;
use crate::files::growth::VolumePatch;
use hivewright_storage::Storage;
use hivewright_storage::memory::Memory;

const HIVE: &str = "WINDOWS/system32/config/system";

/// Returns the output of a tool, and whether it succeeded; `None`, with a message, if it is not installed.
fn run(tool: &str, arguments: &[&str]) -> Option<(bool, Vec<u8>)> {
    let Ok(output) = Command::new(tool).args(arguments).env("MTOOLS_SKIP_CHECK", "1").output() else {
        hivewright_fixtures::skip::missing(format_args!("{tool} is not installed"));
        return None;
    };
    Some((output.status.success(), output.stdout))
}

/// A volume for growth. Files of these lengths are in its root, some of them are deleted, and the hive uses free
/// clusters.
struct Made {
    folder: tempfile::TempDir,
    image: String,
}

impl Made {
    fn new(kib: u64, arguments: &[&str], files: &[(usize, bool)], hive: usize) -> Option<Made> {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("volume");
        std::fs::File::create(&image).unwrap().set_len(kib << 10).unwrap();
        let image = image.into_os_string().into_string().unwrap();
        let made = Made { folder, image };
        assert!(run("mkfs.vfat", &[arguments, &[&made.image]].concat())?.0);
        for folder in ["::WINDOWS", "::WINDOWS/system32", "::WINDOWS/system32/config"] {
            assert!(run("mmd", &["-i", &made.image, folder])?.0);
        }
        let mut there = Vec::new();
        for (i, (len, _)) in files.iter().enumerate() {
            there.push(made.copy(&format!("fill{i}"), &contents(*len))?);
        }
        for (i, _) in files.iter().enumerate().filter(|(i, (_, goes))| there[*i] && *goes) {
            assert!(run("mdel", &["-i", &made.image, &format!("::fill{i}")])?.0);
        }
        made.forget_hint();
        assert!(made.copy(HIVE, &contents(hive))?);
        Some(made)
    }

    fn copy(&self, name: &str, bytes: &[u8]) -> Option<bool> {
        let from = self.folder.path().join("from");
        std::fs::write(&from, bytes).unwrap();
        Some(run("mcopy", &["-i", &self.image, from.to_str()?, &format!("::{name}")])?.0)
    }

    /// Clears the last allocated cluster of FAT32, so that mtools fill holes.
    fn forget_hint(&self) {
        let mut bytes = self.bytes();
        if let Some(at) = open(&bytes).1.geometry().fs_info {
            bytes[at as usize + FREE_COUNT + 4..][..4].fill(0xff);
            self.put(&bytes);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(Path::new(&self.image)).unwrap()
    }

    fn put(&self, bytes: &[u8]) {
        std::fs::write(&self.image, bytes).unwrap();
    }

    /// Returns whether fsck has no findings, and mtools and The Sleuth Kit read these bytes.
    fn judged(&self, expected: &[u8]) -> Option<()> {
        let (done, text) = run("fsck.vfat", &["-n", &self.image])?;
        assert!(done, "{}", String::from_utf8_lossy(&text));
        assert!(run("mtype", &["-i", &self.image, &format!("::{HIVE}")])?.1 == expected, "mtype reads something else");
        let inode = String::from_utf8(run("ifind", &["-f", "fat", "-n", HIVE, &self.image])?.1).unwrap();
        assert!(run("icat", &["-f", "fat", &self.image, inode.trim()])?.1 == expected, "icat reads something else");
        Some(())
    }
}

fn open(bytes: &[u8]) -> (Arc<Memory>, Fat) {
    let memory = Arc::new(Memory::new(bytes.to_vec()));
    (memory.clone(), Fat::open(memory).unwrap())
}

fn all(memory: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; memory.len().unwrap() as usize];
    memory.read_at(0, &mut bytes).unwrap();
    bytes
}

fn read(volume: &Fat, path: &str) -> Vec<u8> {
    let file = volume.open(path).unwrap().unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn grown(bytes: &[u8], len: u64) -> Vec<u8> {
    let (memory, volume) = open(bytes);
    let growth = volume.plan_growth(HIVE, len).unwrap().unwrap();
    growth.make_room().unwrap();
    assert!(all(&memory) == bytes, "making room changes nothing");
    growth.write().unwrap();
    let after = all(&memory);
    let (_, volume) = open(&after);
    let file = volume.open(HIVE).unwrap().unwrap();
    assert_eq!(file.extents(), growth.extents.as_slice());
    assert_eq!(file.facts().len, len);
    after
}

/// Checks that all FATs are alike, that no cluster is in two chains, and that a FAT has no others in use. Gives how
/// many are.
fn account(volume: &Fat, bytes: &[u8]) -> u32 {
    let geometry = volume.geometry();
    let mut used = HashSet::new();
    let mut count = |first: u32| {
        let mut chain = Chain::new(&*volume.volume, geometry, first);
        while let Some(cluster) = (first != 0).then(|| chain.next().unwrap()).flatten() {
            assert!(used.insert(cluster), "a cluster was given twice");
        }
    };
    count(geometry.root_cluster);
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in volume.entries(&folder).unwrap().unwrap() {
            count(entry.first_cluster);
            if entry.is_folder {
                folders.push(format!("{folder}/{}", entry.name));
            }
        }
    }
    let mut fat = Chain::new(&*volume.volume, geometry, 0);
    let marked: HashSet<u32> = (2..geometry.clusters + 2).filter(|&cluster| fat.entry(cluster).unwrap() != 0).collect();
    assert!(used == marked);
    let copy = |at: &u64| &bytes[*at as usize..][..geometry.fat_len as usize];
    assert!(geometry.fats.iter().all(|at| copy(at) == copy(&geometry.fats[0])));
    marked.len() as u32
}

const VOLUMES: [(u64, &[&str], FatType); 6] = [
    (2048, &["-F", "12", "-s", "1"], FatType::Fat12),
    (2880, &["-F", "12", "-s", "4"], FatType::Fat12),
    (8192, &["-F", "16", "-s", "2"], FatType::Fat16),
    (40_000, &["-F", "16", "-S", "4096", "-s", "1"], FatType::Fat16),
    (40_000, &["-F", "32", "-s", "1"], FatType::Fat32),
    (40_000, &["-F", "32", "-s", "1", "-f", "1"], FatType::Fat32),
];

const FILES: [(usize, bool); 12] = [
    (3000, true),
    (9000, false),
    (700, true),
    (1, false),
    (20_000, true),
    (513, false),
    (1500, true),
    (4096, false),
    (6000, true),
    (2048, false),
    (30_000, true),
    (100, false),
];

#[test]
fn other_tools_read_the_grown_file() {
    for (kib, arguments, fat_type) in VOLUMES {
        let Some(made) = Made::new(kib, arguments, &FILES, 25_000) else { return };
        let (mut bytes, mut expected) = (made.bytes(), contents(25_000));
        let (_, volume) = open(&bytes);
        assert_eq!(volume.geometry().fat_type, fat_type);
        account(&volume, &bytes);
        for len in [25_000, 25_001, 26_000, 32_768, 32_769, 262_144] {
            bytes = grown(&bytes, len);
            expected.resize(len as usize, 0);
            let (memory, volume) = open(&bytes);
            assert!(read(&volume, HIVE) == expected);
            for (i, (len, _)) in FILES.iter().enumerate().filter(|(_, (_, goes))| !goes) {
                assert!(read(&volume, &format!("fill{i}")) == contents(*len));
            }
            let marked = account(&volume, &bytes);
            // FSInfo agrees with the FAT.
            if let Some(at) = volume.geometry().fs_info {
                let count = &bytes[at as usize + FREE_COUNT..][..4];
                assert_eq!(count, (volume.geometry().clusters - marked).to_le_bytes(), "{arguments:?} {len}");
            }
            expected = contents(len as usize + 1)[1..].to_vec();
            volume.open(HIVE).unwrap().unwrap().write_at(0, &expected).unwrap();
            bytes = all(&memory);
            made.put(&bytes);
            if made.judged(&expected).is_none() {
                return;
            }
        }
    }
}

#[test]
fn every_prefix_of_the_writes_is_harmless() {
    for (kib, arguments, _) in [VOLUMES[0], VOLUMES[2], VOLUMES[4]] {
        let Some(made) = Made::new(kib, arguments, &FILES, 25_000) else { return };
        let mut bytes = made.bytes();
        let (_, volume) = open(&bytes);
        let growth = volume.plan_growth(HIVE, 60_000).unwrap().unwrap();
        assert!(growth.added.len() > 1, "{arguments:?}");
        let zeros = growth.fresh.iter().map(|extent| (extent.volume_offset.unwrap(), vec![0; extent.len as usize]));
        let of_group = |patch: &VolumePatch| (patch.offset, patch.new.clone());
        let patches = growth.groups.iter().flat_map(|group| &group.patches).map(of_group);
        for (mut offset, mut new) in zeros.chain(patches) {
            while !new.is_empty() {
                let len = (512 - offset % 512).min(new.len() as u64);
                let rest = new.split_off(len as usize);
                bytes[offset as usize..][..new.len()].copy_from_slice(&new);
                (offset, new) = (offset + len, rest);
                let (_, volume) = open(&bytes);
                let now = read(&volume, HIVE);
                assert!(now.starts_with(&contents(25_000)) && now[25_000..].iter().all(|&byte| byte == 0));
                for (i, (len, _)) in FILES.iter().enumerate().filter(|(_, (_, goes))| !goes) {
                    assert!(read(&volume, &format!("fill{i}")) == contents(*len));
                }
            }
        }
        assert_eq!(read(&open(&bytes).1, HIVE).len(), 60_000);
        made.put(&bytes);
        made.judged(&[contents(25_000), vec![0; 35_000]].concat());
    }
}

#[test]
fn files_that_cannot_grow_are_refused() {
    let Some(made) = Made::new(2048, &["-F", "12", "-s", "1"], &FILES, 25_000) else { return };
    assert!(made.copy("empty", b"").unwrap());
    let bytes = made.bytes();
    let (memory, volume) = open(&bytes);
    let code = |volume: &Fat, len| volume.plan_growth(HIVE, len).unwrap_err().code();
    for (len, expected) in [(24_999, "fixed-length"), (2 << 20, "no-room"), (1 << 32, "no-room"), (u64::MAX, "no-room")]
    {
        assert_eq!(code(&volume, len), expected, "{len}");
    }
    assert_eq!(volume.plan_growth("WINDOWS", 1).unwrap_err().code(), "file-is-folder");
    assert!(volume.plan_growth("WINDOWS/nothing", 1).unwrap().is_none());
    assert!(volume.plan_growth(HIVE, 25_000).unwrap().unwrap().is_empty());
    assert!(all(&memory) == bytes);
    // The volume is marked as dirty.
    let mut dirty = bytes.clone();
    dirty[37] |= 1;
    assert_eq!(code(&open(&dirty).1, 30_000), "growth-in-doubt");
    // The second FAT marks clusters as in use that are free in the first one.
    let (_, volume) = open(&bytes);
    let growth = volume.plan_growth(HIVE, 60_000).unwrap().unwrap();
    let of_second = growth.groups[0].patches.last().unwrap();
    assert!(of_second.offset >= volume.geometry().fats[1]);
    let mut differs = bytes.clone();
    differs[of_second.offset as usize + 1] = 0x11;
    assert_eq!(code(&open(&differs).1, 60_000), "fat-copies");
    // A file without clusters gets its first one with its length.
    let (memory, volume) = open(&bytes);
    volume.plan_growth("empty", 5000).unwrap().unwrap().write().unwrap();
    let after = all(&memory);
    assert!(read(&open(&after).1, "empty") == vec![0; 5000]);
    made.put(&after);
    made.judged(&contents(25_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 8, ..ProptestConfig::default() })]

    #[test]
    fn no_cluster_is_allocated_twice(
        which in 0usize..5,
        files in prop::collection::vec((1usize..40_000, any::<bool>()), 1..25),
        hive in 1usize..60_000,
        lens in prop::collection::vec(1u64..200_000, 1..6),
    ) {
        let (kib, arguments, _) = VOLUMES[which];
        let Some(made) = Made::new(kib, arguments, &files, hive) else { return Ok(()) };
        let (mut bytes, mut expected) = (made.bytes(), contents(hive));
        for more in lens {
            let len = expected.len() as u64 + more;
            match open(&bytes).1.plan_growth(HIVE, len) {
                Err(error) => prop_assert_eq!(error.code(), "no-room"),
                Ok(_) => {
                    bytes = grown(&bytes, len);
                    expected.resize(len as usize, 0);
                }
            }
            let (_, volume) = open(&bytes);
            prop_assert!(read(&volume, HIVE) == expected);
            account(&volume, &bytes);
        }
        made.put(&bytes);
        made.judged(&expected);
    }
}
