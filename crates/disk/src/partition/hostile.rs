//! Damaged and invalid tables: a result or an error, in bounded time, without reads past the end of the disk.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::maker::{BASIC, GptMaker, mbr_entry, ntfs};
use super::{Table, partitions};
use hivewright_storage::memory::Memory;

/// Reads the table of `image`, checks the invariants of the result, and returns the image.
fn judge(image: Vec<u8>) -> (Vec<u8>, Option<Table>) {
    let (len, before) = (image.len() as u64, crc32fast::hash(&image));
    let disk = Memory::new(image);
    let start = Instant::now();
    let table = partitions(&disk).map_err(|e| assert_eq!(e.code(), "gpt-damaged", "{e}")).ok();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for partition in table.iter().flat_map(|t| &t.partitions) {
        let end = partition.offset.checked_add(partition.len).unwrap();
        assert!(partition.available <= partition.len);
        assert!(partition.available == 0 || partition.offset + partition.available <= len);
        assert_eq!(partition.available < partition.len, end > len);
    }
    assert!(table.iter().all(|t| t.warnings.len() <= 65 && t.partitions.len() <= 40_000));
    let image = disk.into_bytes();
    assert_eq!(crc32fast::hash(&image), before, "reading wrote");
    (image, table)
}

#[test]
fn every_changed_byte_of_the_first_34_sectors_is_handled() {
    let maker = GptMaker::new(512, 2048).with(1, BASIC, 64, 1000, "Windows").with(2, BASIC, 1001, 1900, "Data");
    let mut image = maker.build();
    ntfs(&mut image, 64 * 512);
    let (mut image, whole) = judge(image);
    let whole = whole.unwrap();
    let (mut backup, mut lost) = (0, 0);
    for at in 0..34 * 512 {
        for flip in [1, 0x80, 0xff] {
            image[at] ^= flip;
            let (back, table) = judge(image);
            image = back;
            image[at] ^= flip;
            let Some(table) = table else { panic!("{at:#x}: the backup is whole") };
            let same = table.partitions.len() == whole.partitions.len()
                && table.partitions.iter().zip(&whole.partitions).all(|(a, b)| (a.offset, a.len) == (b.offset, b.len));
            // Only the MBR has no checksum: 0xEE itself, a status or the signature of the sector.
            assert!(same || at < 512, "{at:#x} ^ {flip:#x}: {table:?}");
            lost += u32::from(!same);
            backup += u32::from(matches!(table.source, super::TableSource::Backup { .. }));
        }
    }
    // Every byte of the header that its checksum covers, and every byte of the entries.
    assert_eq!(backup, 3 * (92 + 128 * 128));
    println!("{backup} flips led to the backup, {lost} in the MBR hid the GPT");
}

#[test]
fn every_changed_byte_of_a_chain_of_logical_partitions_is_handled() {
    let mut image = vec![0; 256 << 10];
    mbr_entry(&mut image, 0, 0x80, 7, 63, 100);
    mbr_entry(&mut image, 1, 0, 0x0f, 200, 300);
    for (record, next) in [(200, 50), (250, 100)] {
        mbr_entry(&mut image[record * 512..], 0, 0, 7, 10, 30);
        mbr_entry(&mut image[record * 512..], 1, 0, 5, next, 50);
    }
    for record in [0, 200, 250, 300] {
        for at in record * 512 + 440..record * 512 + 512 {
            for flip in 1..=255 {
                image[at] ^= flip;
                image = judge(image).0;
                image[at] ^= flip;
            }
        }
    }
}

#[test]
fn a_long_chain_is_limited() {
    // Each record links to the next sector; there are far more records than the limit.
    let mut image = vec![0; 4 << 20];
    mbr_entry(&mut image, 0, 0, 5, 1, 8000);
    for sector in 1..8000 {
        mbr_entry(&mut image[sector * 512..], 0, 0, 7, 1, 1);
        mbr_entry(&mut image[sector * 512..], 1, 0, 5, sector as u32, 1);
    }
    let table = judge(image).1.unwrap();
    assert!(table.warnings.iter().any(|w| w.code == "extended-cycle"));
    assert_eq!(table.partitions.len(), 1025);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_mbrs_are_handled(
        slots in prop::collection::vec((0..40usize, 0..4usize, prop_oneof![Just(5u8), Just(0x0f), any::<u8>()],
            prop_oneof![0..60u32, any::<u32>()], prop_oneof![0..60u32, any::<u32>()]), 0..40),
    ) {
        let mut image = vec![0; 40 * 512];
        for (sector, slot, kind, start, sectors) in slots {
            mbr_entry(&mut image[sector * 512..], slot, 0, kind, start, sectors);
        }
        judge(image);
    }

    #[test]
    fn random_gpts_are_handled(
        entries in prop::collection::vec((1..128usize, prop_oneof![0..400u64, any::<u64>()],
            prop_oneof![0..400u64, any::<u64>()], any::<u64>()), 0..40),
        large in any::<bool>(), count in prop_oneof![Just(128u32), any::<u32>()],
    ) {
        let mut maker = GptMaker::new(if large { 4096 } else { 512 }, 400).entry_count(count);
        for (number, first, last, bits) in entries {
            maker = maker.with(number, BASIC, first, last, "x").attributes(number, bits);
        }
        judge(maker.build());
    }

    #[test]
    fn random_bytes_are_handled(mut bytes in prop::collection::vec(any::<u8>(), 0..20_000), magic in any::<bool>()) {
        if magic && bytes.len() > 1024 {
            bytes[512..520].copy_from_slice(b"EFI PART");
            mbr_entry(&mut bytes, 0, 0, 0xee, 1, u32::MAX);
        }
        judge(bytes);
    }
}
