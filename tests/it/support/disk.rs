//! Disks made of volumes by other people's tools.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::ntfs_volume::{NtfsVolume, windows};
use super::tools::{have, output};

/// Where the volume begins on every disk made here.
pub(crate) const START: u64 = 1 << 20;

/// An NTFS volume with a Windows folder in it, whose hive is `hive`; more files by `more`.
pub(crate) fn windows_volume(mib: u64, hive: &[u8], more: impl FnOnce(&Path)) -> Option<NtfsVolume> {
    let volume = NtfsVolume::make(mib, &[])?;
    volume.fill(|root| {
        windows(root, hive, 300);
        more(root);
    })?;
    Some(volume)
}

/// A disk with a GPT and `volume` as its first partition, `len` bytes in all. `None`, having said so, without sgdisk.
pub(crate) fn gpt(volume: &[u8], len: u64, path: &Path) -> Option<()> {
    if !have(&["sgdisk"]) {
        return None;
    }
    put(volume, len, path);
    let end = START / 512 + volume.len() as u64 / 512 - 1;
    output("sgdisk", &["-n", &format!("1:2048:{end}"), "-t", "1:0700", path.to_str().unwrap()]);
    Some(())
}

/// A disk with an MBR and `volume` as its first partition.
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

fn put(volume: &[u8], len: u64, path: &Path) {
    let disk = File::create(path).unwrap();
    disk.set_len(len).unwrap();
    for (i, piece) in volume.chunks(1 << 16).enumerate().filter(|(_, piece)| piece.iter().any(|&b| b != 0)) {
        disk.write_all_at(piece, START + ((i as u64) << 16)).unwrap();
    }
}

/// Cuts a file into segments of `len` bytes: `NAME.001` and on.
pub(crate) fn split(path: &Path, len: usize, name: &Path) {
    for (i, part) in fs::read(path).unwrap().chunks(len).enumerate() {
        fs::write(name.with_extension(format!("{:03}", i + 1)), part).unwrap();
    }
}
