//! VMDK images: those of qemu-img, and those of VMware alone, built here.

pub(super) mod builder;
mod hostile;
mod shipped;
mod snapshots;

pub(super) use hostile::read_all;

use super::*;
use crate::support::tools::{have, output, succeeds};

const SUBFORMATS: [&str; 5] =
    ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"];

/// Writes to places of [`raw_disk`] that every subformat has allocated.
const EDITS: [(u64, &[u8]); 4] = [
    (0, b"boot"),
    (4000 * 512 + 65_530, b"from one grain to the next"),
    (4000 * 512 - 3, b"12345"),
    (2047 * 512, b"end"),
];

pub(super) fn convert(raw: &Path, subformat: &str, to: &Path) {
    let option = format!("subformat={subformat}");
    output("qemu-img", &["convert", "-f", "raw", "-O", "vmdk", "-o", &option, text(raw), text(to)]);
}

pub(super) fn code<T>(result: hivewright::Result<T>) -> &'static str {
    result.map(|_| ()).expect_err("an error").code().as_str()
}

/// Makes the same edits to the image and to the raw disk.
fn edit(image: &Image, raw: &Path) {
    EDITS.iter().for_each(|&(offset, bytes)| write(image, raw, offset, bytes));
    image.disk.flush().unwrap();
}

#[test]
fn every_subformat_reads_and_writes_as_its_raw_disk() {
    if !have(&["qemu-img"]) {
        return;
    }
    for subformat in SUBFORMATS {
        let (folder, raw) = raw_in_folder(12);
        let vmdk = folder.path().join("disk.vmdk");
        convert(&raw, subformat, &vmdk);
        let (image, recording) = open(&vmdk).unwrap();
        assert_same(&image, &raw);
        assert_eq!((image.about.format, image.about.variant.as_str(), image.about.size), ("vmdk", subformat, 12 << 20));
        let before = fs::read(&vmdk).unwrap();
        if subformat == "streamOptimized" {
            let refusal = image.about.refusal.as_ref().unwrap();
            assert_eq!((refusal.code.as_str(), code(image.disk.write_at(0, b"x"))), ("vmdk-stream", "vmdk-stream"));
            assert!(refusal.advice.contains("subformat=monolithicSparse"));
            assert_eq!(image.disk.locate(0).len(), 1, "a compressed byte has no place");
            continue;
        }
        assert_eq!(image.about.refusal, None);
        assert_eq!(image.disk.locate(3).len(), 2);
        let hole = 9 << 20;
        if subformat.ends_with("Sparse") {
            assert_eq!(image.disk.locate(hole).len(), 1);
            write(&image, &raw, hole, b"made");
            write(&image, &raw, hole + (1 << 20) - 3, b"over grains");
            assert_eq!(image.disk.locate(hole).len(), 2);
        }
        edit(&image, &raw);
        assert!(fs::read(&vmdk).unwrap() == before, "a recorder let bytes through");
        recording.bring_to_disk();
        compare(&raw, &vmdk, "vmdk");
        // qemu-img checks only sparse images.
        assert!(!subformat.ends_with("Sparse") || succeeds("qemu-img", &["check", "-f", "vmdk", text(&vmdk)]));
        let (again, _) = open(&vmdk).unwrap();
        assert_same(&again, &raw);
        assert_ne!(again.about.facts[0], image.about.facts[0], "the CID is the same as before");
        assert_eq!(again.about.facts[0].0, "cid");
    }
}

#[test]
fn a_write_changes_the_cid_its_own_bytes_and_nothing_else() {
    if !have(&["qemu-img"]) {
        return;
    }
    let (folder, raw) = raw_in_folder(8);
    let vmdk = folder.path().join("disk.vmdk");
    convert(&raw, "monolithicSparse", &vmdk);
    let before = fs::read(&vmdk).unwrap();
    let digits = before.windows(4).position(|w| w == b"CID=").unwrap() + 4;
    let (image, recording) = open(&vmdk).unwrap();
    let mut same = [0; 600];
    image.disk.read_at(100, &mut same).unwrap();
    image.disk.write_at(100, &same).unwrap();
    let file = recording.0.lock().unwrap()[0].2.clone();
    let (_, written) = file.take().unwrap();
    assert!(!written.is_empty() && written.iter().all(|w| w.offset >= digits as u64 && w.offset < digits as u64 + 8));
    image.disk.write_at(100, b"later").unwrap();
    let (_, written) = file.take().unwrap();
    let place = image.disk.locate(100)[1].offset;
    assert!(written.iter().all(|w| w.offset >= place && w.offset < place + 5), "metadata again: {written:?}");
    // The CID and the data at once: the CID is flushed first.
    let (image, recording) = open(&vmdk).unwrap();
    image.disk.write_at(100, b"other").unwrap();
    let file = recording.0.lock().unwrap()[0].2.clone();
    let (_, written) = file.take().unwrap();
    for w in written {
        assert_eq!(w.epoch, u32::from(w.offset >= place), "{w:?}");
    }
}

#[test]
fn more_than_one_extent() {
    if !have(&["qemu-img"]) {
        return;
    }
    const GIB: u64 = 1 << 30;
    for subformat in ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let folder = tempfile::tempdir().unwrap();
        let (raw, vmdk) = (folder.path().join("disk.raw"), folder.path().join("disk.vmdk"));
        let host = File::options().create(true).truncate(true).write(true).read(true).open(&raw).unwrap();
        host.set_len(5 * GIB).unwrap();
        // QEMU's extents have 0x80000000 bytes, VMware's less.
        let places = [0, 2 * GIB - 700, 4 * GIB - 1, 3 * GIB, 5 * GIB - 300];
        places.iter().for_each(|&at| host.write_all_at(&[at as u8 | 7; 300], at).unwrap());
        convert(&raw, subformat, &vmdk);
        let (image, recording) = open(&vmdk).unwrap();
        assert_eq!((image.about.size, &image.about.facts[1]), (5 * GIB, &("extents", "3".to_owned())));
        let same = |image: &Image| {
            for around in places.map(|at| at.saturating_sub(100_000).min(5 * GIB - 200_000)) {
                let (mut ours, mut theirs) = (vec![1; 200_000], vec![0; 200_000]);
                image.disk.read_at(around, &mut ours).unwrap();
                host.read_exact_at(&mut theirs, around).unwrap();
                assert!(ours == theirs, "{subformat} near {around:#x}");
            }
        };
        same(&image);
        // Across the border of two extents with data.
        host.write_all_at(b"across the border", 4 * GIB - 5).unwrap();
        image.disk.write_at(4 * GIB - 5, b"across the border").unwrap();
        recording.bring_to_disk();
        same(&open(&vmdk).unwrap().0);
        compare(&raw, &vmdk, "vmdk");
        // An extent by itself.
        let (part, expected) = match subformat {
            "twoGbMaxExtentSparse" => ("disk-s001.vmdk", Err("vmdk-extent-alone")),
            _ => ("disk-f001.vmdk", Ok("raw")),
        };
        let opened = open(&folder.path().join(part));
        assert!(opened.as_ref().err().is_none_or(|e| e.advice().unwrap().contains("disk.vmdk")));
        assert_eq!(opened.map(|(image, _)| image.about.format).map_err(|e| e.code().as_str()), expected);
        fs::remove_file(folder.path().join(part.replace("001", "002"))).unwrap();
        assert_eq!(code(open(&vmdk)), "no-file");
    }
}

#[test]
fn a_large_disk_costs_little() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let vmdk = folder.path().join("disk.vmdk");
    output("qemu-img", &["create", "-f", "vmdk", text(&vmdk), "800G"]);
    output("qemu-io", &["-f", "vmdk", "-c", "write -P 0x5a 500G 1M", "-c", "write -P 0xa5 799G 64k", text(&vmdk)]);
    let (image, read) = open_counted(&vmdk);
    for (at, byte) in [(500 << 30, 0x5a), (799 << 30, 0xa5), (3 << 30, 0)] {
        let mut buf = [1; 5000];
        image.disk.read_at(at, &mut buf).unwrap();
        assert_eq!(buf, [byte; 5000]);
    }
    let read = read.load(Ordering::Relaxed);
    assert!(read < 100_000, "{read} bytes were read");
}

/// A stop at any point of the allocation in a sparse VMDK and in a VDI leaves the same disk, by our reading and by
/// QEMU's, of everything that was flushed and any one write that was not.
#[test]
fn a_stop_while_room_is_made_leaves_the_disk() {
    if !have(&["qemu-img"]) {
        return;
    }
    for (format, hole) in [("vmdk", (1 << 20) - 3), ("vdi", (3 << 20) - 3)] {
        let (folder, raw) = raw_in_folder(12);
        let path = folder.path().join(format!("disk.{format}"));
        let zeros = vec![0; 5 << 20];
        File::options().write(true).open(&raw).unwrap().write_all_at(&zeros, 1 << 20).unwrap();
        output("qemu-img", &["convert", "-f", "raw", "-O", format, text(&raw), text(&path)]);
        let sound = fs::read(&path).unwrap();
        let (image, recording) = open(&path).unwrap();
        // Over two grains or blocks, of which the image lacks at least one: the existing bytes.
        let mut there = [0; 100];
        image.disk.read_at(hole, &mut there).unwrap();
        image.disk.write_at(hole, &there).unwrap();
        let taken = |file: &Recorder| (file.len().unwrap(), file.take().unwrap().1);
        let taken: Vec<_> = recording.0.lock().unwrap().iter().map(|(_, _, file)| taken(file)).collect();
        let (len, written) = taken.into_iter().find(|(_, written)| !written.is_empty()).unwrap();
        assert!(len > sound.len() as u64 && written.len() > 2, "{format}: {len}");
        let epochs = written.last().unwrap().epoch;
        for stopped in 0..=epochs {
            let (done, open_ones): (Vec<_>, Vec<_>) =
                written.iter().filter(|w| w.epoch <= stopped).partition(|w| w.epoch < stopped);
            for alone in open_ones.iter().map(Some).chain([None]) {
                let mut bytes = sound.clone();
                bytes.resize(len as usize, 0);
                for write in done.iter().chain(alone) {
                    bytes[write.offset as usize..][..write.new.len()].copy_from_slice(&write.new);
                }
                fs::write(&path, &bytes).unwrap();
                assert_same(&open(&path).unwrap().0, &raw);
                compare(&raw, &path, format);
            }
        }
    }
}

#[test]
fn grains_of_zeros() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (vmdk, raw) = (folder.path().join("disk.vmdk"), folder.path().join("disk.raw"));
    output("qemu-img", &["create", "-f", "vmdk", "-o", "zeroed_grain=on", text(&vmdk), "4M"]);
    output("qemu-io", &["-f", "vmdk", "-c", "write -P 0x11 0 1M", "-c", "write -z 64k 192k", text(&vmdk)]);
    output("qemu-img", &["convert", "-f", "vmdk", "-O", "raw", text(&vmdk), text(&raw)]);
    let (image, _) = open(&vmdk).unwrap();
    assert_same(&image, &raw);
    write(&image, &raw, 70_000, b"x");
    write(&image, &raw, 60_000, b"x");
    assert_same(&image, &raw);
}
