//! Formats that qemu-nbd reads, compared with qemu-img.

use super::*;
use crate::support::tools::{have, output};

/// Options of each kind.
const KINDS: [(&str, &[&str]); 3] = [("qed", &[]), ("qcow", &[]), ("parallels", &["-o", "cluster_size=64k"])];

const FORMATS: [&str; 3] = ["qed", "qcow", "parallels"];

/// Converts `raw_disk` to an image of `format` with `options`.
fn convert(raw: &Path, format: &str, options: &[&str]) -> PathBuf {
    let image = raw.with_extension(format);
    let arguments = [&["convert", "-f", "raw", "-O", format], options, &[text(raw), text(&image)]].concat();
    output("qemu-img", &arguments);
    image
}

fn check(path: &Path, format: &str) {
    if format != "qcow" {
        output("qemu-img", &["check", "-f", format, text(path)]);
    }
}

#[test]
fn every_byte_is_that_of_the_raw_disk() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let (_folder, raw) = raw_in_folder(12);
    for (format, options) in KINDS {
        let path = convert(&raw, format, options);
        let before = fs::read(&path).unwrap();
        let (image, recording) = open(&path).unwrap();
        assert_eq!((image.about.format, image.about.size), (format, 12 << 20));
        assert_same(&image, &raw);
        drop(image);
        recording.bring_to_disk();
        assert!(fs::read(&path).unwrap() == before, "{format}: reading changed it");
    }
}

#[test]
fn what_is_allocated_is_written_in_place() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    for format in FORMATS {
        let (_folder, raw) = raw_in_folder(12);
        let path = convert(&raw, format, &[]);
        let len = fs::metadata(&path).unwrap().len();
        let (image, recording) = open(&path).unwrap();
        write(&image, &raw, 4100 * 512 + 77, b"in one sector");
        write(&image, &raw, 4200 * 512 - 3, b"across");
        write(&image, &raw, (12 << 20) - 5, b"last.");
        image.disk.flush().unwrap();
        assert_same(&image, &raw);
        drop(image);
        recording.bring_to_disk();
        assert_eq!(fs::metadata(&path).unwrap().len(), len, "{format} grew");
        check(&path, format);
        compare(&raw, &path, format);
    }
}

#[test]
fn what_is_not_allocated_is_where_the_format_can() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    for (format, options) in
        [("qed", "cluster_size=4k"), ("qed", "cluster_size=64k"), ("parallels", "cluster_size=64k")]
    {
        let (_folder, raw) = raw_in_folder(20);
        let path = convert(&raw, format, &["-o", options]);
        let (image, recording) = open(&path).unwrap();
        for (i, at) in [15 << 20, (16 << 20) - 7_000, 10_000_000].into_iter().enumerate() {
            write(&image, &raw, at, &vec![i as u8 + 1; 14_001]);
            assert_same(&image, &raw);
        }
        image.disk.flush().unwrap();
        write(&image, &raw, (16 << 20) - 2, b"again");
        assert_same(&image, &raw);
        drop(image);
        recording.bring_to_disk();
        check(&path, format);
        compare(&raw, &path, format);
    }
}

#[test]
fn qcow_is_not_written_where_nothing_is_allocated() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let (_folder, raw) = raw_in_folder(12);
    let (image, _) = open(&convert(&raw, "qcow", &[])).unwrap();
    assert_eq!(image.disk.write_at(8 << 20, b"new").unwrap_err().code(), "not-allocated");
}

/// Writes to allocated room change only data, so that a commit can write the data last.
#[test]
fn where_there_is_room_only_data_is_written() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    for (format, options) in KINDS {
        let (_folder, raw) = raw_in_folder(12);
        let path = convert(&raw, format, options);
        let sectors = [4100, 4400, if format == "qcow" { 4500 } else { 9000 }, 12 * 2048 - 1];
        let (image, recording) = open(&path).unwrap();
        for sector in sectors {
            let mut same = [0; 512];
            image.disk.read_at(sector * 512, &mut same).unwrap();
            image.disk.write_at(sector * 512, &same).unwrap();
        }
        drop(image);
        recording.bring_to_disk();
        compare(&raw, &path, format);
        let before = fs::read(&path).unwrap();
        let (image, recording) = open(&path).unwrap();
        for sector in sectors {
            write(&image, &raw, sector * 512, &[sector as u8 ^ 0x5a; 512]);
        }
        drop(image);
        recording.bring_to_disk();
        compare(&raw, &path, format);
        check(&path, format);
        let after = fs::read(&path).unwrap();
        let changed: std::collections::BTreeSet<usize> =
            (0..after.len()).filter(|&i| before[i] != after[i]).map(|i| i / 512).collect();
        assert_eq!((after.len(), changed.len()), (before.len(), sectors.len()), "{format} {options:?}: {changed:?}");
    }
}

/// Creates an overlay `top.FORMAT` of `format` over `base`.
fn overlay(base: &Path, base_format: &str, format: &str) -> PathBuf {
    let top = base.with_file_name(format!("top.{format}"));
    output("qemu-img", &["create", "-q", "-f", format, "-b", text(base), "-F", base_format, text(&top)]);
    top
}

#[test]
fn writes_change_the_overlay_and_no_backing_file() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let (folder, raw) = raw_in_folder(12);
    let base = convert(&raw, "qed", &[]);
    let untouched = fs::read(&base).unwrap();
    for (format, below, below_format) in [("qed", &base, "qed"), ("qed", &raw, "raw"), ("qcow", &base, "qed")] {
        let top = overlay(below, below_format, format);
        let expected = folder.path().join("expected.raw");
        fs::copy(&raw, &expected).unwrap();
        let (image, recording) = open(&top).unwrap();
        assert_eq!(image.about.below.as_ref().unwrap().format, below_format);
        assert_same(&image, &expected);
        if format == "qed" {
            write(&image, &expected, 4100 * 512 + 77, b"over the data below");
            write(&image, &expected, 8 << 20, b"over nothing");
            assert_same(&image, &expected);
        } else {
            assert_eq!(image.disk.write_at(4100 * 512, b"new").unwrap_err().code(), "not-allocated");
        }
        drop(image);
        if format == "qed" {
            recording.bring_to_disk();
            check(&top, format);
            compare(&expected, &top, format);
        }
        assert!(fs::read(&base).unwrap() == untouched, "{format}");
    }
}

#[test]
fn images_that_were_not_closed_are_read_and_not_written() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let (_folder, raw) = raw_in_folder(12);
    for (format, at, mark) in [("qed", 16, &[2][..]), ("parallels", 44, b"Ynot".as_slice())] {
        let path = convert(&raw, format, &[]);
        File::options().write(true).open(&path).unwrap().write_all_at(mark, at).unwrap();
        let before = fs::read(&path).unwrap();
        let (image, recording) = open(&path).unwrap();
        assert_same(&image, &raw);
        assert_eq!(image.about.refusal.as_ref().unwrap().code, "image-dirty", "{format}");
        assert_eq!(image.disk.write_at(0, b"x").unwrap_err().code(), "image-dirty", "{format}");
        drop(image);
        recording.bring_to_disk();
        assert!(fs::read(&path).unwrap() == before, "{format} was mended or marked");
    }
}

#[test]
fn an_encrypted_qcow_has_advice_to_decrypt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.qcow");
    let mut header = vec![0; 560];
    header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x01");
    header[39] = 1;
    fs::write(&path, header).unwrap();
    let error = open(&path).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "encrypted");
    assert!(error.advice().unwrap().contains("encrypt.format=aes,encrypt.key-secret="), "{error:?}");
}
