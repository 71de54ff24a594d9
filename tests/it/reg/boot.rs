//! The boot configuration, which is on its own partition.

use std::fs;
use std::io::{Cursor, Write};

use hivewright_fixtures::{HiveSpec, Minor};
use serde_json::Value;

use super::lines;
use crate::command::hivewright_in;
use crate::support::windows_folder::{files, volume};

/// Creates a FAT volume with a boot configuration, like an EFI system partition.
fn efi() -> Vec<u8> {
    let objects = |key: hivewright_fixtures::KeySpec| key.key("{9dea862c-5cdd-4e70-acc1-f32b344d4795}", |key| key);
    let hive = HiveSpec::new(Minor::V3).file_name("BCD").free_at_end(2000);
    let hive = hive.key("Description", |key| key.sz("KeyName", "BCD00000000")).key("Objects", objects).build().bytes;
    let mut image = Cursor::new(vec![0; 512 << 10]);
    let options = fatfs::FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat12).bytes_per_cluster(512);
    fatfs::format_volume(&mut image, options).unwrap();
    {
        let made = fatfs::FileSystem::new(&mut image, fatfs::FsOptions::new()).unwrap();
        let folders = ["EFI", "Microsoft", "Boot"];
        let boot = folders.iter().fold(made.root_dir(), |folder, name| folder.create_dir(name).unwrap());
        boot.create_file("BCD").unwrap().write_all(&hive).unwrap();
    }
    image.into_inner()
}

/// Creates a disk with an MBR and two partitions: of EFI, and with Windows.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (number, (kind, mut volume)) in [(0xef, efi()), (7, volume(&files()))].into_iter().enumerate() {
        volume.resize(volume.len().next_multiple_of(512), 0);
        let entry = 446 + 16 * number;
        disk[entry + 4] = kind;
        let (start, count) = ((disk.len() / 512) as u32, (volume.len() / 512) as u32);
        disk[entry + 8..entry + 12].copy_from_slice(&start.to_le_bytes());
        disk[entry + 12..entry + 16].copy_from_slice(&count.to_le_bytes());
        disk.extend(volume);
    }
    disk
}

/// It is found on the EFI system partition, changes together with hives of the other partition, and is undone with
/// them.
#[test]
fn the_boot_configuration_is_on_another_partition() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let before = disk();
    fs::write(folder.join("disk"), &before).unwrap();
    let key = r"HKLM\BCD00000000\Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\25000004";
    let file = "Windows Registry Editor Version 5.00\r\n\r\n\
        [HKEY_LOCAL_MACHINE\\BCD00000000\\Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\\Elements\\25000004]\r\n\
        \"Element\"=hex:05,00,00,00,00,00,00,00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Example]\r\n";
    fs::write(folder.join("a.reg"), file).unwrap();
    let reg = |args: &[&str]| hivewright_in(folder, [&["reg"], args].concat());
    let made = reg(&["import", "disk", "a.reg", "--undo", "undo", "--json"]);
    assert_eq!(made.code, 0, "{made:?}");
    let document: Value = serde_json::from_str(&made.out).unwrap();
    assert_eq!(document["hives"].as_array().unwrap().len(), 2);
    let found = lines(&reg(&["query", "disk", key, "--json"]));
    assert_eq!(found[0]["values"][0]["data_hex"], "0500000000000000");
    assert_eq!(reg(&["extract", "disk", r"HKLM\BCD00000000", "--output", "BCD"]).code, 0);
    assert_eq!(hivewright_in(folder, ["check", "BCD"]).code, 0);
    assert_eq!(hivewright_in(folder, ["undo", "undo"]).code, 0);
    assert!(fs::read(folder.join("disk")).unwrap() == before);
}
