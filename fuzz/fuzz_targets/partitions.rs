//! Partition tables: any bytes give a table within the disk, or an error. The volumes are opened as those of a disk.
//! The checksums of a GPT are repaired on request, so that its entries are read.
#![no_main]

mod poked;

use std::sync::{Arc, LazyLock};

use hivewright::Space;
use hivewright_disk::fat::Fat;
use hivewright_disk::ntfs::Ntfs;
use hivewright_disk::partition::{Partition, VolumeKind, partitions};
use hivewright_storage::window::Window;
use libfuzzer_sys::fuzz_target;
use poked::{Poked, ask_all, fixture};

/// A disk, its sector size, and the offsets of its tables.
type Disk = (&'static [u8], usize, Vec<usize>);

static DISKS: LazyLock<Vec<Disk>> = LazyLock::new(|| {
    let zeros: &[u8] = vec![0; 1 << 20].leak();
    let of_512 = ["gpt", "logical", "two-windows", "fat32-xp", "superfloppy"].map(|name| (fixture(name), 512));
    of_512
        .into_iter()
        .chain([(zeros, 512), (fixture("gpt-4kn"), 4096)])
        .map(|(disk, sector)| {
            let end = disk.len() - 33 * 512;
            let tables =
                [0, sector, 2 * sector, 2048 * 512, 2048 * 512 + 63 * 512, 2800 * 512, end, disk.len() - sector];
            (disk, sector, tables.to_vec())
        })
        .collect()
});

/// Updates both checksums of the GPT header at `at`.
fn mend(disk: &mut Poked, at: usize, sector: usize) {
    let Some(mut header) = disk.get(at, 92).filter(|header| header.starts_with(b"EFI PART")) else { return };
    let number = |header: &[u8], at: usize, len: usize| {
        header[at..at + len].iter().rev().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte))
    };
    let len = number(&header, 80, 4).saturating_mul(number(&header, 84, 4)).min(1 << 20);
    if let Some(entries) = number(&header, 72, 8).checked_mul(sector).and_then(|at| disk.get(at, len)) {
        header[88..92].copy_from_slice(&crc32fast::hash(&entries).to_le_bytes());
    }
    header[16..20].fill(0);
    let checksum = crc32fast::hash(&header).to_le_bytes();
    header[16..20].copy_from_slice(&checksum);
    disk.pokes.push((at, header));
}

fuzz_target!(|data: &[u8]| {
    let [which, rest @ ..] = data else { return };
    let (base, sector, tables) = &DISKS[usize::from(*which) % DISKS.len()];
    let mut disk = Poked::new(base, tables, rest);
    if which & 0x80 != 0 {
        mend(&mut disk, *sector, *sector);
        mend(&mut disk, base.len() - sector, *sector);
    }
    let disk = Arc::new(disk);
    let Ok(table) = partitions(&*disk) else { return };
    for partition in &table.partitions {
        let end = partition.offset.checked_add(partition.available).unwrap();
        assert!(partition.available <= partition.len && (partition.available == 0 || end <= base.len() as u64));
    }
    // As many volumes as a disk of this size may have; a table may name one of them thousands of times.
    table.partitions.iter().take(8).for_each(|partition| open(&disk, partition));
});

/// Opens a volume as a disk does. Of a partition past the end, whose kind says so, nothing is.
fn open(disk: &Arc<Poked>, partition: &Partition) {
    let window = || {
        let window = Window::new(disk.clone(), partition.offset, partition.available, Space::Volume);
        Arc::new(window.expect("a volume whose kind was read is inside of the disk"))
    };
    match partition.kind {
        VolumeKind::Fat => ask_all(Fat::open(window())),
        VolumeKind::Ntfs => ask_all(Ntfs::open(window())),
        VolumeKind::Unknown | VolumeKind::Empty => ask_all(Ntfs::open_by_backup(window())),
        _ => {}
    }
}
