//! Hostile segments: every header byte set to what it is not, and every length.

use std::path::Path;

use super::*;
use crate::container::PathPolicy;
use hivewright_error::Result;
use hivewright_storage::memory::Memory;
use hivewright_storage::{Host, RealHost};
use segments::name_of;

fn open_bytes(bytes: Vec<u8>) -> Result<Image> {
    let policy = PathPolicy::shut();
    let path = RealHost.resolve(Path::new(".")).unwrap().join("image.E01");
    open(Opening::of(&policy, Arc::new(Memory::new(bytes)), &path))
}

fn section(image: &mut Vec<u8>, kind: &str, contents: &[u8]) {
    let (at, size) = (image.len() as u64, contents.len() as u64 + 76);
    let mut head = vec![0; 72];
    head[..kind.len()].copy_from_slice(kind.as_bytes());
    let next = if kind == "done" { at } else { at + size };
    head[16..24].copy_from_slice(&next.to_le_bytes());
    head[24..32].copy_from_slice(&size.to_le_bytes());
    image.extend(summed(&head));
    image.extend(contents);
}

fn summed(bytes: &[u8]) -> Vec<u8> {
    [bytes, &adler32(&bytes).to_le_bytes()].concat()
}

/// Three chunks of 1 KiB: one compressed, one as it is, one that is half used.
fn sound() -> (Vec<u8>, Vec<u8>) {
    sound_behind(&[])
}

/// Returns the same with sections in front.
fn sound_behind(sections: &[(&str, &[u8])]) -> (Vec<u8>, Vec<u8>) {
    let disk: Vec<u8> = (0..2560u32).map(|i| ((i * i) >> 3) as u8).collect();
    let mut image = segments::MAGIC.to_vec();
    image.extend([1, 1, 0, 0, 0]);
    sections.iter().for_each(|(kind, contents)| section(&mut image, kind, contents));
    let mut volume = vec![0; 90];
    for (at, n) in [(4, 3u32), (8, 2), (12, 512), (16, 5)] {
        volume[at..at + 4].copy_from_slice(&n.to_le_bytes());
    }
    section(&mut image, "volume", &summed(&volume));
    let packed = crate::container::helpers::inflate::deflate(&disk[..1024]);
    let chunks = [packed, summed(&disk[1024..2048]), summed(&disk[2048..])];
    let start = image.len() + 76;
    section(&mut image, "sectors", &chunks.concat());
    let mut at = start as u32;
    let mut entries = Vec::new();
    for (i, chunk) in chunks.iter().enumerate() {
        entries.extend((at | u32::from(i == 0) << 31).to_le_bytes());
        at += chunk.len() as u32;
    }
    let mut head = vec![0; 20];
    head[0] = 3;
    section(&mut image, "table", &[summed(&head), summed(&entries)].concat());
    section(&mut image, "hash", &summed(&[0; 32]));
    section(&mut image, "done", &[]);
    (image, disk)
}

fn read(bytes: Vec<u8>) -> Result<Vec<u8>> {
    let image = open_bytes(bytes)?;
    let mut disk = vec![0; usize::try_from(image.about.size.min(1 << 20)).unwrap()];
    image.disk.read_at(0, &mut disk)?;
    Ok(disk)
}

#[test]
fn a_changed_byte_is_an_error_or_makes_no_difference() {
    let (image, disk) = sound();
    assert_eq!(read(image.clone()).unwrap(), disk);
    for at in 0..image.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, image[at] ^ 1, image[at] ^ 0x80] {
            let mut bytes = image.clone();
            bytes[at] = value;
            if let Ok(found) = read(bytes) {
                assert!(found == disk, "byte {at:#x} as {value:#x}");
            }
        }
    }
}

#[test]
fn names_that_a_code_page_hides_are_those_of_the_wide_header() {
    let text = |examiner: &str| format!("1\nmain\nc\te\n7\t{examiner}\n");
    let pack = crate::container::helpers::inflate::deflate;
    let latin1: Vec<u8> = text("M\u{fc}ller").chars().map(|c| c as u8).collect();
    let wide: Vec<u8> =
        "\u{feff}".encode_utf16().chain(text("M\u{fc}ller").encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let examiner = |sections: &[(&str, &[u8])]| {
        let facts = open_bytes(sound_behind(sections).0).unwrap().about.facts;
        facts.into_iter().filter(|(name, _)| *name == "examiner").map(|(_, value)| value).collect::<Vec<_>>()
    };
    let (latin1, wide, plain) = (pack(&latin1), pack(&wide), pack(text("Miller").as_bytes()));
    assert_eq!(examiner(&[("header", &latin1), ("header2", &wide), ("header2", &wide)]), ["M\u{fc}ller"]);
    assert_eq!(examiner(&[("header", &latin1), ("header2", b"no text")]), ["M\u{fffd}ller"]);
    assert_eq!(examiner(&[("header", &plain)]), ["Miller"]);
}

#[test]
fn a_cut_segment_is_an_error() {
    let (image, _) = sound();
    for len in 0..image.len() {
        assert!(read(image[..len].to_vec()).is_err(), "{len}");
    }
}

#[test]
fn numbers_that_are_too_large_are_errors_with_sound_checksums_too() {
    let (image, _) = sound();
    let volume = 13 + 76;
    for (at, value) in [(4, u32::MAX), (8, u32::MAX), (12, u32::MAX), (16, u32::MAX), (8, 0), (12, 0), (4, 2)] {
        let mut bytes = image.clone();
        bytes[volume + at..volume + at + 4].copy_from_slice(&value.to_le_bytes());
        let sum = adler32(&&bytes[volume..volume + 90]);
        bytes[volume + 90..volume + 94].copy_from_slice(&sum.to_le_bytes());
        assert!(read(bytes).is_err(), "{at} {value:#x}");
    }
}

/// Chunks of 1 KiB that all lie in one place, in one table of `count` entries, of which that many are there.
fn with_a_table_of(count: u32, written: usize) -> Vec<u8> {
    let mut image = segments::MAGIC.to_vec();
    image.extend([1, 1, 0, 0, 0]);
    let mut volume = vec![0; 90];
    for (at, n) in [(4, count), (8, 2), (12, 512), (16, count * 2)] {
        volume[at..at + 4].copy_from_slice(&n.to_le_bytes());
    }
    section(&mut image, "volume", &summed(&volume));
    let start = image.len() as u32 + 76;
    section(&mut image, "sectors", &summed(&[7; 1024]));
    let mut head = vec![0; 20];
    head[..4].copy_from_slice(&count.to_le_bytes());
    let entries = start.to_le_bytes().repeat(written);
    section(&mut image, "table", &[summed(&head), summed(&entries)].concat());
    section(&mut image, "done", &[]);
    image
}

#[test]
fn a_table_larger_than_is_kept_is_read_in_pages_and_checked() {
    for count in [1 << 16, (1 << 16) + 1, 300_000] {
        let image = with_a_table_of(count, count as usize);
        let opened = open_bytes(image.clone()).unwrap();
        for chunk in [0, 1, count - 1] {
            let mut bytes = [0; 1024];
            opened.disk.read_at(u64::from(chunk) * 1024, &mut bytes).unwrap();
            assert_eq!(bytes, [7; 1024], "{chunk} of {count}");
        }
        let mut damaged = image;
        let last = damaged.len() - 76 - 8;
        damaged[last] ^= 1;
        let error = open_bytes(damaged).unwrap().disk.read_at(0, &mut [0]).unwrap_err();
        assert!(error.what().contains("checksum of a table"), "{error}");
    }
    let error = open_bytes(with_a_table_of((1 << 24) + 1, 1)).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "ewf-table");
}

#[test]
fn a_hash_that_does_not_hold_is_told() {
    let image = open_bytes(sound().0).unwrap();
    let hashes = verify(&*image.disk, &image.about).unwrap();
    assert_eq!((hashes.len(), hashes[0].name, hashes[0].holds()), (1, "md5", false));
    assert_eq!(hashes[0].stored, "0".repeat(32));
}

#[test]
fn segments_have_names_up_to_the_last() {
    let of = |number| name_of("a.b.E01", number).unwrap_or_default();
    assert_eq!([of(1), of(99), of(100), of(125), of(126)], ["a.b.E01", "a.b.E99", "a.b.EAA", "a.b.EAZ", "a.b.EBA"]);
    assert_eq!([of(775), of(776), of(99 + 22 * 676)], ["a.b.EZZ", "a.b.FAA", "a.b.ZZZ"]);
    assert_eq!(of(100 + 22 * 676), "");
    assert_eq!([name_of("x.e07", 100).unwrap(), name_of("x.s02", 1).unwrap()], ["x.eaa", "x.s01"]);
    assert_eq!(name_of("x.SAA", 1).unwrap(), "x.E01");
    assert_eq!([name_of("none", 1), name_of("a.E001", 1)], [None, None]);
}
