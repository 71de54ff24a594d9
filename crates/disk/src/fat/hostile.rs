//! Damaged volumes of the crate fatfs in memory: a result or an error, in bounded time, and no write.

use std::io::{Cursor, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::against_tools::contents;
use super::{DISK_ERROR, Fat, Geometry, Hibernation};
use crate::files::Files;
use hivewright_storage::Storage;
use hivewright_storage::memory::Memory;

/// Returns a volume with `hiberfil.sys` and `Windows/System32/config/system hive`.
fn volume(len: usize, fat_type: fatfs::FatType) -> Vec<u8> {
    let mut image = Cursor::new(vec![0; len]);
    let options = fatfs::FormatVolumeOptions::new().fat_type(fat_type).bytes_per_cluster(512);
    fatfs::format_volume(&mut image, options).unwrap();
    image.set_position(0);
    {
        let made = fatfs::FileSystem::new(&mut image, fatfs::FsOptions::new()).unwrap();
        let root = made.root_dir();
        let mut hibernation = root.create_file("hiberfil.sys").unwrap();
        hibernation.write_all(&[b"hibr", &[0; 5000][..]].concat()).unwrap();
        root.create_dir("Windows").unwrap().create_dir("System32").unwrap().create_dir("config").unwrap();
        root.create_file("Windows/System32/config/system hive").unwrap().write_all(&contents(5000)).unwrap();
    }
    image.into_inner()
}

/// Reads all that the volume offers, and returns its bytes.
fn judge(image: Vec<u8>) -> Vec<u8> {
    let (len, start) = (image.len(), Instant::now());
    let sum = crc32fast::hash(&image[..len.min(1 << 20)]);
    let memory = Arc::new(Memory::new(image));
    if let Ok(fat) = Fat::open(memory.clone()) {
        let _ = fat.state();
        let _ = fat.list("Windows/System32/config");
        let _ = fat.list("");
        if let Ok(Some(file)) = fat.open("windows/system32/config/SYSTEM HIVE") {
            let covered: u64 = file.extents().iter().map(|e| e.len).sum();
            assert!(file.len().unwrap() <= covered && covered == file.facts().covered_len);
            assert!(file.extents().iter().all(|e| e.volume_offset.unwrap() >= fat.geometry().data_offset));
            let _ = file.read_at(0, &mut vec![0; file.len().unwrap().min(10_000) as usize]);
            let len = file.facts().covered_len;
            for more in [1, 100_000] {
                if let Ok(Some(growth)) = fat.plan_growth("windows/system32/config/SYSTEM HIVE", len + more) {
                    assert!(growth.extents.overlap().is_none());
                }
            }
        }
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let image = Arc::into_inner(memory).unwrap().into_bytes();
    assert_eq!(crc32fast::hash(&image[..len.min(1 << 20)]), sum, "reading wrote");
    image
}

fn geometry(image: &[u8]) -> Geometry {
    Geometry::parse(image.first_chunk().unwrap()).unwrap()
}

#[test]
fn files_of_fatfs_are_read() {
    for (len, fat_type) in
        [(1 << 20, fatfs::FatType::Fat12), (4 << 20, fatfs::FatType::Fat16), (36 << 20, fatfs::FatType::Fat32)]
    {
        let fat = Fat::open(Arc::new(Memory::new(volume(len, fat_type)))).unwrap();
        let file = fat.open("windows\\SYSTEM32/config\\System Hive").unwrap().unwrap();
        let mut read = vec![0; 5000];
        file.read_at(0, &mut read).unwrap();
        assert_eq!(read, contents(5000));
        let state = fat.state().unwrap();
        assert_eq!((state.hibernation, state.dirty, state.flags & DISK_ERROR != 0), (Hibernation::Saved, false, false));
    }
}

#[test]
fn every_changed_byte_of_the_metadata_is_an_error_or_harmless() {
    for (len, fat_type) in [(1 << 20, fatfs::FatType::Fat12), (3 << 20, fatfs::FatType::Fat16)] {
        let mut image = volume(len, fat_type);
        let geometry = geometry(&image);
        let fat = geometry.fat_offset as usize;
        let data = geometry.data_offset as usize;
        let root = geometry.root_offset as usize;
        // Three folders follow the ten clusters of the hibernation file.
        for at in (0..512).chain(fat..fat + 64).chain(root..root + 256).chain(data + 5120..data + 5120 + 2048) {
            for flip in [1, 0xff] {
                image[at] ^= flip;
                image = judge(image);
                image[at] ^= flip;
            }
        }
    }
    let mut image = volume(36 << 20, fatfs::FatType::Fat32);
    for at in (0..512).step_by(3).chain(11..90) {
        image[at] ^= 0xff;
        image = judge(image);
        image[at] ^= 0xff;
    }
}

#[test]
fn cyclic_chains_are_detected() {
    let mut image = volume(36 << 20, fatfs::FatType::Fat32);
    let geometry = geometry(&image);
    let entry = |cluster: u32| geometry.fat_offset as usize + 4 * cluster as usize;
    // The root: a long cycle of clusters full of deleted entries.
    let data = geometry.data_offset as usize;
    let set = |image: &mut Vec<u8>, cluster: u32, to: u32| {
        image[entry(cluster)..][..4].copy_from_slice(&to.to_le_bytes());
    };
    let whole = image.clone();
    for (last, code) in [(2, "fat-chain-cycle"), (700, "fat-chain-cycle"), (60_000, "fat-folder-long")] {
        image.copy_from_slice(&whole);
        for cluster in 2..=last {
            let at = data + (cluster as usize - 2) * 512;
            image[at..at + 512].chunks_exact_mut(32).for_each(|e| e[0] = 0xe5);
            set(&mut image, cluster, if cluster == last { 2.max(last / 2) } else { cluster + 1 });
        }
        let fat = Fat::open(Arc::new(Memory::new(image.clone()))).unwrap();
        assert_eq!(fat.list("").unwrap_err().code(), code, "{last}");
        image = judge(image);
    }
    // The file: every invalid cluster number.
    let first = {
        let fat = Fat::open(Arc::new(Memory::new(whole.clone()))).unwrap();
        fat.entry("windows/system32/config/system hive").unwrap().unwrap().first_cluster
    };
    for (to, code) in [
        (first, "fat-chain-cycle"),
        (0, "fat-chain-cluster"),
        (1, "fat-chain-cluster"),
        (geometry.clusters + 2, "fat-chain-cluster"),
        (0x0fff_fff7, "fat-chain-cluster"),
        (0x0fff_ffff, "fat-chain-short"),
    ] {
        image.copy_from_slice(&whole);
        set(&mut image, first + 1, to);
        let fat = Fat::open(Arc::new(Memory::new(image.clone()))).unwrap();
        assert_eq!(fat.open("windows/system32/config/system hive").unwrap_err().code(), code, "{to:#x}");
    }
}

#[test]
fn dirty_bits_of_both_kinds_are_reported() {
    for (len, fat_type, status) in [(3 << 20, fatfs::FatType::Fat16, 37), (36 << 20, fatfs::FatType::Fat32, 65)] {
        let whole = volume(len, fat_type);
        let geometry = geometry(&whole);
        // The byte of the FAT's entry 1 that holds its two high bits.
        let high = geometry.fat_offset as usize + if fat_type == fatfs::FatType::Fat16 { 3 } else { 7 };
        let clean = if fat_type == fatfs::FatType::Fat16 { 0x80 } else { 0x08 };
        for (at, bits, expected) in [
            (status, 1, (true, false)),
            (status, 2, (false, true)),
            (high, clean, (true, false)),
            (high, clean >> 1, (false, true)),
        ] {
            let mut image = whole.clone();
            image[at] ^= bits;
            let state = Fat::open(Arc::new(Memory::new(image))).unwrap().state().unwrap();
            assert_eq!((state.dirty, state.flags & DISK_ERROR != 0), expected, "{at:#x}");
        }
    }
}
