//! Disks made from volumes by independent tools.

use std::fs::{self, File};
use std::path::Path;

use hivewright_fixtures::{Release, SystemHive};

use super::ntfs_volume::{NtfsVolume, windows};
use super::tools::{have, output};
use crate::support::file_ext::FileExt;

/// Offset of the volume on each disk.
pub(crate) const START: u64 = 1 << 20;

/// Creates an NTFS volume with a Windows folder, whose SYSTEM hive is `hive`; `more` adds files.
pub(crate) fn windows_volume(mib: u64, hive: &[u8], more: impl FnOnce(&Path)) -> Option<NtfsVolume> {
    let volume = NtfsVolume::make(mib, &[])?;
    volume.fill(|root| {
        windows(root, hive, 300);
        more(root);
    })?;
    Some(volume)
}

/// Writes a disk of `len` bytes with a GPT and `volume` as its first partition. Prints a line and returns `None`
/// without sgdisk.
pub(crate) fn gpt(volume: &[u8], len: u64, path: &Path) -> Option<()> {
    if !have(&["sgdisk"]) {
        return None;
    }
    put(volume, len, path);
    let end = START / 512 + volume.len() as u64 / 512 - 1;
    output("sgdisk", &["-n", &format!("1:2048:{end}"), "-t", "1:0700", path.to_str().unwrap()]);
    Some(())
}

/// Writes a disk with an MBR and `volume` as its first partition.
pub(crate) fn mbr(volume: &[u8], path: &Path) {
    put(volume, START + volume.len() as u64, path);
    let mut sector = [0; 512];
    sector[446 + 4] = 7;
    sector[446 + 8..446 + 12].copy_from_slice(&2048u32.to_le_bytes());
    sector[446 + 12..446 + 16].copy_from_slice(&((volume.len() / 512) as u32).to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let disk = File::options().write(true).open(path).unwrap();
    disk.write_all_at(&sector, 0).unwrap();
}

/// Path of the hive of [`xp_on_fat32`] for mtools.
pub(crate) const XP_HIVE: &str = "::WINDOWS/system32/config/system";

/// Creates a FAT32 volume labelled XP, with a Windows XP whose setting is `value`. Needs mkfs.vfat, mmd and mcopy.
pub(crate) fn xp_on_fat32(path: &Path, value: u32) {
    let hive = SystemHive::new(Release::XpSp3).with_right_setting(1, value).build();
    let from = path.with_extension("hive");
    fs::write(&from, &hive.bytes).unwrap();
    File::create(path).unwrap().set_len(64 << 20).unwrap();
    let image = path.to_str().unwrap();
    output("mkfs.vfat", &["-F", "32", "-n", "XP", image]);
    for name in ["::WINDOWS", "::WINDOWS/system32", "::WINDOWS/system32/config"] {
        output("mmd", &["-i", image, name]);
    }
    output("mcopy", &["-i", image, from.to_str().unwrap(), XP_HIVE]);
}

fn put(volume: &[u8], len: u64, path: &Path) {
    let disk = File::create(path).unwrap();
    disk.set_len(len).unwrap();
    for (i, piece) in volume.chunks(1 << 16).enumerate().filter(|(_, piece)| piece.iter().any(|&b| b != 0)) {
        disk.write_all_at(piece, START + ((i as u64) << 16)).unwrap();
    }
}

/// Splits a file into segments of `len` bytes, from `NAME.001` on.
pub(crate) fn split(path: &Path, len: usize, name: &Path) {
    for (i, part) in fs::read(path).unwrap().chunks(len).enumerate() {
        fs::write(name.with_extension(format!("{:03}", i + 1)), part).unwrap();
    }
}
