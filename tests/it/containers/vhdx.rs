//! VHDX images: those of qemu-img, and those of [`maker`].

mod hostile;
pub(crate) mod log;
pub(crate) mod maker;
mod parents;
mod replay;

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::support::tools::{have, output};
use hivewright_error::Code;
use maker::{Block, MIB, Maker};

fn qemu_img(args: &[&str]) {
    output("qemu-img", args);
}

/// Sequence number, identifiers of file write, data write and log.
type Header = (u64, [u8; 16], [u8; 16], [u8; 16]);

/// Returns both headers. Asserts that their checksums are valid.
fn headers(path: &Path) -> [Header; 2] {
    let file = File::open(path).unwrap();
    [64 << 10, 128 << 10].map(|at| {
        let mut bytes = vec![0; 4096];
        file.read_exact_at(&mut bytes, at).unwrap();
        let sum = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
        bytes[4..8].fill(0);
        assert_eq!(maker::crc32c(&bytes), sum, "the header at {at:#x}");
        let sequence = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
        let guid = |at: usize| bytes[at..at + 16].try_into().unwrap();
        (sequence, guid(16), guid(32), guid(48))
    })
}

#[test]
fn reads_and_writes_what_qemu_makes() {
    if !have(&["qemu-img"]) {
        return;
    }
    for options in [
        "subformat=dynamic",
        "subformat=dynamic,block_size=1M,log_size=3M",
        "subformat=dynamic,block_size=2M,block_state_zero=off",
        "subformat=dynamic,block_size=256M",
        "subformat=fixed,block_size=1M",
        "subformat=fixed,block_size=32M",
    ] {
        let (folder, raw) = raw_in_folder(17);
        let vhdx = folder.path().join("disk.vhdx");
        qemu_img(&["convert", "-f", "raw", "-O", "vhdx", "-o", options, text(&raw), text(&vhdx)]);
        let (image, recording) = open(&vhdx).unwrap();
        assert_eq!(image.about.format, "vhdx");
        assert!(options.contains(&image.about.variant), "{options}: {:?}", image.about);
        assert_eq!((image.about.remarks.len(), &image.about.refusal), (0, &None), "{options}: {:?}", image.about);
        assert_same(&image, &raw);
        let before = headers(&vhdx);
        let mut expected = fs::read(&raw).unwrap();
        // The same bytes again, one byte, and some across blocks of 1 MiB.
        let same = expected[100 * 512..][..600].to_vec();
        image.disk.write_at(100 * 512, &same).unwrap();
        for (at, bytes) in [(513, vec![0xa5; 1]), ((2 << 20) - 700, vec![0x5a; 1400])] {
            image.disk.write_at(at, &bytes).unwrap();
            expected[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        image.disk.flush().unwrap();
        recording.bring_to_disk();
        fs::write(&raw, &expected).unwrap();
        check_with_qemu(&vhdx, &raw);
        let after = headers(&vhdx);
        let newest = before.iter().map(|header| header.0).max().unwrap();
        let mut sequences = after.each_ref().map(|header| header.0);
        sequences.sort_unstable();
        assert_eq!(sequences, [newest + 1, newest + 2], "{options}");
        assert!(after.iter().all(|header| before.iter().all(|b| b.1 != header.1 && b.2 != header.2)), "{options}");
        assert!(after[0].1 == after[1].1 && after[0].2 == after[1].2 && after[0].3 == [0; 16], "{options}");
        assert_same(&open(&vhdx).unwrap().0, &raw);
    }
}

/// Checks an image with qemu-img and compares it with a raw disk.
fn check_with_qemu(image: &Path, raw: &Path) {
    qemu_img(&["check", "-f", "vhdx", text(image)]);
    compare(raw, image, "vhdx");
}

#[test]
fn unallocated_places_are_not_written_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let vhdx = folder.path().join("disk.vhdx");
    let mut maker = Maker { sector: 512, size: 5 * MIB, ..Maker::default() };
    maker.blocks.insert(1, Block::Full(vec![0x11; MIB]));
    (0..4).zip([0, 2, 3, 4]).for_each(|(state, block)| {
        maker.blocks.insert(block, Block::State(state));
    });
    fs::write(&vhdx, maker.build()).unwrap();
    let (image, recording) = open(&vhdx).unwrap();
    let mut expected = vec![0; 5 * MIB];
    expected[MIB..2 * MIB].fill(0x11);
    let raw = folder.path().join("disk.raw");
    fs::write(&raw, &expected).unwrap();
    assert_same(&image, &raw);
    for at in [0, MIB - 1, 2 * MIB - 1, 2 * MIB, 3 * MIB + 5, 5 * MIB - 2] {
        let error = image.disk.write_at(at as u64, b"xy").unwrap_err();
        assert_eq!((error.code(), error.kind()), (Code::NotAllocated, hivewright::Kind::NoRoom), "{at:#x}");
    }
    assert_eq!(image.disk.write_at(5 << 20, b"x").unwrap_err().code(), "past-end");
    assert!(recording.0.lock().unwrap().iter().all(|(.., file)| file.take().unwrap().1.is_empty()));
    let places = |at: usize| image.disk.locate(at as u64).iter().map(|place| place.offset).collect::<Vec<_>>();
    assert_eq!(places(MIB + 7), [MIB as u64 + 7, 4 * MIB as u64 + 7]);
    assert_eq!(places(7), [7]);
}

#[test]
fn new_headers_are_durable_before_data() {
    let folder = tempfile::tempdir().unwrap();
    let vhdx = folder.path().join("disk.vhdx");
    let mut maker = Maker { sector: 512, size: MIB, fixed: true, ..Maker::default() };
    maker.blocks.insert(0, Block::Full(vec![0x11; MIB]));
    fs::write(&vhdx, maker.build()).unwrap();
    let (image, recording) = open(&vhdx).unwrap();
    assert_eq!(image.about.variant, "fixed");
    image.disk.write_at(0, &[0x11; 600]).unwrap();
    image.disk.write_at(5, b"data").unwrap();
    let written = recording.0.lock().unwrap()[0].2.take().unwrap().1;
    let epoch_of = |range: std::ops::Range<u64>| {
        let epochs: Vec<u32> = written.iter().filter(|w| range.contains(&w.offset)).map(|w| w.epoch).collect();
        assert!(!epochs.is_empty() && epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
        epochs[0]
    };
    // The second header was the current one.
    let (older, newer) = (epoch_of(64 << 10..68 << 10), epoch_of(128 << 10..132 << 10));
    assert!(older < newer && newer < epoch_of(4 << 20..5 << 20));
    image.disk.write_at(50, b"more").unwrap();
    let written = recording.0.lock().unwrap()[0].2.take().unwrap().1;
    assert_eq!(written.iter().map(|w| w.offset).collect::<Vec<_>>(), [(4 << 20) + 50], "only data is left to write");
}

#[test]
fn the_table_is_right_on_disks_of_many_chunks() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let places: [u64; 6] = [0, (4 << 30) - 4096, 4 << 30, (8 << 30) - 512, (8 << 30) + (1 << 20), (9 << 30) - 4096];
    for block_size in ["1M", "256M"] {
        let folder = tempfile::tempdir().unwrap();
        let vhdx = folder.path().join("disk.vhdx");
        qemu_img(&["create", "-f", "vhdx", "-o", &format!("block_size={block_size}"), text(&vhdx), "9G"]);
        for (i, at) in places.iter().enumerate() {
            output("qemu-io", &["-f", "vhdx", "-c", &format!("write -P {} {at} 512", i + 1), text(&vhdx)]);
        }
        assert_reads_little(&vhdx, &places);
        let (image, recording) = open(&vhdx).unwrap();
        for (i, at) in places.iter().enumerate() {
            let mut buf = [0; 512];
            image.disk.read_at(*at, &mut buf).unwrap();
            assert!(buf.iter().all(|byte| usize::from(*byte) == i + 1), "{block_size}, {at:#x}: {}", buf[0]);
            image.disk.write_at(*at, &[0xc0 | i as u8; 256]).unwrap();
        }
        recording.bring_to_disk();
        qemu_img(&["check", "-f", "vhdx", text(&vhdx)]);
        for (i, at) in places.iter().enumerate() {
            let first = format!("read -P {} {at} 256", 0xc0 | i);
            let second = format!("read -P {} {} 256", i + 1, at + 256);
            let told = output("qemu-io", &["-f", "vhdx", "-c", &first, "-c", &second, text(&vhdx)]);
            assert!(!String::from_utf8_lossy(&told).contains("failed"), "{}", String::from_utf8_lossy(&told));
        }
    }
}

/// Asserts the costs of opening: headers, a region table, a metadata table; then a page of the table for each distant
/// place.
fn assert_reads_little(vhdx: &Path, places: &[u64]) {
    let (image, total) = open_counted(vhdx);
    for _ in 0..3 {
        places.iter().for_each(|at| image.disk.read_at(*at, &mut [0; 512]).unwrap());
    }
    let read = total.load(Ordering::Relaxed);
    assert!((1..200_000).contains(&read), "{read} bytes were read");
}

#[test]
fn sectors_of_4096_bytes_are_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let (vhdx, raw) = (folder.path().join("disk.vhdx"), folder.path().join("disk.raw"));
    let mut maker = Maker { sector: 4096, size: 3 * MIB + 8192, ..Maker::default() };
    let bytes: Vec<u8> = (0..MIB).map(|i| ((i * 7) >> 8) as u8).collect();
    maker.blocks.insert(0, Block::Full(bytes.clone()));
    maker.blocks.insert(3, Block::Full(bytes.clone()));
    fs::write(&vhdx, maker.build()).unwrap();
    let mut expected = [&bytes[..], &vec![0; 2 * MIB], &bytes[..8192]].concat();
    fs::write(&raw, &expected).unwrap();
    let (image, recording) = open(&vhdx).unwrap();
    assert!(image.about.facts.contains(&("sector size", "4096 logical, 4096 physical".into())));
    assert_same(&image, &raw);
    image.disk.write_at(3 * MIB as u64 + 100, b"small").unwrap();
    expected[3 * MIB + 100..][..5].copy_from_slice(b"small");
    fs::write(&raw, &expected).unwrap();
    recording.bring_to_disk();
    // QEMU does not open such images, so only the maker judges.
    assert_same(&open(&vhdx).unwrap().0, &raw);
}
