//! Formats that qemu-nbd reads for us, held against qemu-img.

use super::*;
use crate::support::tools::{have, output};

const FORMATS: [&str; 3] = ["qed", "qcow", "parallels"];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `raw_disk` as an image of `format` with `options`.
fn convert(raw: &Path, format: &str, options: &[&str]) -> PathBuf {
    let image = raw.with_extension(format);
    let arguments = [&["convert", "-f", "raw", "-O", format], options, &[text(raw), text(&image)]].concat();
    output("qemu-img", &arguments);
    image
}

/// Writes the same to the image and to the raw disk.
fn write(image: &Image, raw: &Path, offset: u64, bytes: &[u8]) {
    image.disk.write_at(offset, bytes).unwrap();
    File::options().write(true).open(raw).unwrap().write_all_at(bytes, offset).unwrap();
}

fn check(path: &Path, format: &str) {
    if format != "qcow" {
        output("qemu-img", &["check", "-f", format, text(path)]);
    }
}

fn compare(raw: &Path, image: &Path, format: &str) {
    output("qemu-img", &["compare", "-f", "raw", "-F", format, text(raw), text(image)]);
}

#[test]
fn every_byte_is_that_of_the_raw_disk() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    raw_disk(&raw, 12);
    for format in FORMATS {
        let path = convert(&raw, format, &[]);
        let before = fs::read(&path).unwrap();
        let started = std::time::Instant::now();
        let (image, recording) = open(&path).unwrap();
        println!("{format}: opened in {:?}", started.elapsed());
        assert_eq!((image.about.format, image.about.size), (format, 12 << 20));
        assert_same(&image, &raw);
        let t = std::time::Instant::now();
        drop(image);
        println!("drop {:?}", t.elapsed());
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
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("disk.raw");
        raw_disk(&raw, 12);
        let path = convert(&raw, format, &[]);
        let len = fs::metadata(&path).unwrap().len();
        let (image, recording) = open(&path).unwrap();
        write(&image, &raw, 4100 * 512 + 77, b"in one sector");
        write(&image, &raw, 4200 * 512 - 3, b"across");
        write(&image, &raw, (12 << 20) - 5, b"last.");
        image.disk.flush().unwrap();
        assert_same(&image, &raw);
        let t = std::time::Instant::now();
        drop(image);
        println!("drop {:?}", t.elapsed());
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
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("disk.raw");
        raw_disk(&raw, 40);
        let path = convert(&raw, format, &[]);
        let (image, recording) = open(&path).unwrap();
        if format == "qcow" {
            assert_eq!(image.disk.write_at(30 << 20, b"new").unwrap_err().code(), "not-allocated");
            continue;
        }
        for (i, at) in [30 << 20, (33 << 20) - 70_000, 10_000_000].into_iter().enumerate() {
            let t = std::time::Instant::now();
            write(&image, &raw, at, &vec![i as u8 + 1; 140_001]);
            println!("write {:?}", t.elapsed());
            assert_same(&image, &raw);
        }
        image.disk.flush().unwrap();
        write(&image, &raw, (33 << 20) - 2, b"again");
        assert_same(&image, &raw);
        let t = std::time::Instant::now();
        drop(image);
        println!("drop {:?}", t.elapsed());
        recording.bring_to_disk();
        println!("{format}: now {} bytes", fs::metadata(&path).unwrap().len());
        check(&path, format);
        compare(&raw, &path, format);
    }
}
