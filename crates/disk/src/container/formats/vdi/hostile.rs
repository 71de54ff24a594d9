//! Damaged and invalid images: a result or an error, in bounded time.

use std::sync::Arc;

use super::FORMAT;
use crate::container::Image;
use crate::container::helpers::block_mapping::hostile::{self, Tally};
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;
use hivewright_storage::recorder::Recorder;

const BLOCK: usize = 4096;
/// Five blocks; the last is truncated.
const SIZE: usize = 4 * BLOCK + 1000;
const DATA: usize = 1024;

fn open(bytes: Vec<u8>) -> Result<(Image, Arc<Recorder>)> {
    hostile::open(&FORMAT, bytes)
}

fn judge(bytes: Vec<u8>) -> Option<Vec<u8>> {
    hostile::judge(&FORMAT, bytes, b"n")
}

/// Returns a dynamic image and its disk. The image has the blocks 0, 4 and 2, in this order, with 16 bytes before each;
/// block 3 is zeros.
fn dynamic() -> (Vec<u8>, Vec<u8>) {
    let mut image = vec![0; DATA];
    let mut disk = vec![0; 5 * BLOCK];
    image[64..76].copy_from_slice(b"\x7f\x10\xda\xbe\x01\0\x01\0\x80\x01\0\0");
    for (at, value) in
        [(76, 1), (340, 512), (344, DATA), (368, SIZE), (376, BLOCK), (380, 16), (384, 5), (388, 3), (392, 7)]
    {
        image[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
    }
    for (block, number) in [(0, 0), (1, u32::MAX), (2, 2), (3, u32::MAX - 1), (4, 1u32)] {
        image[512 + block * 4..][..4].copy_from_slice(&number.to_le_bytes());
    }
    for block in [0, 4, 2] {
        let data: Vec<u8> = (0..BLOCK).map(|i| (i / 7 + block) as u8).collect();
        disk[block * BLOCK..][..BLOCK].copy_from_slice(&data);
        image.extend([vec![0xee; 16], data].concat());
    }
    disk.truncate(SIZE);
    (image, disk)
}

#[test]
fn every_changed_byte_is_an_error_or_harmless() {
    let (image, disk) = dynamic();
    assert_eq!(judge(image.clone()).unwrap(), disk);
    let mut tally = Tally::default();
    for at in 0..DATA {
        for value in [image[at] ^ 1, image[at] ^ 0x80, !image[at], 0, 0x7f, 0xff] {
            let mut damaged = image.clone();
            damaged[at] = value;
            tally.count(judge(damaged), &disk);
        }
    }
    tally.is_above(5000, 100);
}

#[test]
fn every_truncation_is_an_error_or_harmless() {
    let (image, disk) = dynamic();
    // The last block of the file is in the middle of the disk, so a truncation is an error.
    for len in (0..image.len()).step_by(7).chain([image.len() - 1]) {
        assert_eq!(judge(image[..len].to_vec()), None, "{len}");
    }
    // No data follows it.
    assert_eq!(judge([image, vec![1; 100]].concat()).unwrap(), disk);
}

#[test]
fn contradictions_of_header_and_map_are_errors() {
    let (image, disk) = dynamic();
    let with = |at: usize, value: u32| {
        let mut image = image.clone();
        image[at..at + 4].copy_from_slice(&value.to_le_bytes());
        open(image)
    };
    for (at, value, code) in [
        (64, 0, "vdi-header"),
        (68, 0x0002_0001, "vdi-version"),
        (68, 0x0000_0001, "vdi-version"),
        (72, 383, "vdi-header"),
        (76, 3, "vdi-type"),
        (76, 4, "vdi-parent"),
        (340, 100, "vdi-header"),
        (340, u32::MAX, "vdi-header"),
        (344, 531, "vdi-header"),
        (344, u32::MAX, "vdi-header"),
        (372, u32::MAX, "vdi-header"),
        (368, 0, "vdi-header"),
        (376, 0, "vdi-header"),
        (376, 511, "vdi-header"),
        (376, u32::MAX - 511, "vdi-header"),
        (380, u32::MAX, "vdi-header"),
        (384, 4, "vdi-header"),
        (384, u32::MAX, "vdi-header"),
        (424, 1, "no-file"),
    ] {
        assert_eq!(with(at, value).map(|_| ()).unwrap_err().code(), code, "{at} {value:#x}");
    }
    let write = |opened: &Image, block: usize| opened.disk.write_at((block * BLOCK) as u64, b"x").map_err(|e| e.code());
    // A block past the end of the file, a block of another entry, a block above the count.
    let (opened, _) = with(512, 3).unwrap();
    assert_eq!(opened.disk.read_at(0, &mut [0]).unwrap_err().code(), "vdi-block");
    assert_eq!(write(&opened, 4), Err(Code::VdiBlocks));
    for (at, value) in [(512, 2), (388, 2)] {
        let (opened, file) = with(at, value).unwrap();
        opened.disk.read_at(0, &mut vec![0; SIZE]).unwrap();
        assert_eq!(write(&opened, 4), Err(Code::VdiBlocks));
        assert_eq!(file.take().unwrap().1, []);
    }
    let (opened, file) = open(image).unwrap();
    assert_eq!(write(&opened, 2), Ok(()));
    assert_eq!(file.len().unwrap(), (DATA + 3 * (16 + BLOCK)) as u64);
    // Missing blocks are allocated at the end.
    assert_eq!([1, 3].map(|block| write(&opened, block)), [Ok(()); 2]);
    assert_eq!(file.len().unwrap(), (DATA + 5 * (16 + BLOCK)) as u64);
    let mut whole = vec![0; SIZE];
    opened.disk.read_at(0, &mut whole).unwrap();
    let mut expected = disk.clone();
    for block in [1, 2, 3] {
        expected[block * BLOCK] = b'x';
    }
    assert!(whole == expected);
}
