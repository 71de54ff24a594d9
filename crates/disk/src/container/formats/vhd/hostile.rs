//! Damaged and invalid images: a result or an error, in bounded time. Also the states after each step of a write.

use std::sync::Arc;

use super::{FORMAT, checksum};
use crate::container::helpers::block_mapping::hostile::{self, Tally};
use crate::container::{Image, Probe};
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;
use hivewright_storage::recorder::{Recorder, Written};

const BLOCK: usize = 4096;
/// Six blocks; the last is truncated.
const SIZE: usize = 5 * BLOCK + 1024;
/// Offsets of the copy of the footer, the header, the table and the first block.
const TABLE: usize = 1536;
const FIRST: usize = 2048;

fn open(bytes: Vec<u8>) -> Result<(Image, Arc<Recorder>)> {
    hostile::open(&FORMAT, bytes)
}

fn judge(bytes: Vec<u8>) -> Option<Vec<u8>> {
    hostile::judge(&FORMAT, bytes, b"new")
}

fn all(storage: &dyn Storage) -> Vec<u8> {
    let mut bytes = vec![0; storage.len().unwrap() as usize];
    storage.read_at(0, &mut bytes).unwrap();
    bytes
}

fn mend(bytes: &mut [u8], own: usize) {
    let sum = checksum(bytes, own).to_be_bytes();
    bytes[own..own + 4].copy_from_slice(&sum);
}

fn footer(kind: u8, header: u64, len: usize) -> Vec<u8> {
    let mut footer = vec![0; len];
    footer[..16].copy_from_slice(b"conectix\0\0\0\x02\0\x01\0\0");
    footer[16..24].copy_from_slice(&header.to_be_bytes());
    footer[28..32].copy_from_slice(b"test");
    footer[48..56].copy_from_slice(&(SIZE as u64).to_be_bytes());
    footer[63] = kind;
    mend(&mut footer, 64);
    footer
}

/// Returns a dynamic image with the blocks 0, 5 and 2 (in this order) and its disk.
fn dynamic() -> (Vec<u8>, Vec<u8>) {
    let mut header = vec![0; 1024];
    header[..8].copy_from_slice(b"cxsparse");
    header[16..24].copy_from_slice(&(TABLE as u64).to_be_bytes());
    header[24..32].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 6]);
    header[32..36].copy_from_slice(&(BLOCK as u32).to_be_bytes());
    mend(&mut header, 36);
    let mut image = [footer(3, 512, 512), header, vec![0xff; 512]].concat();
    let mut disk = vec![0; 6 * BLOCK];
    for block in [0, 5, 2] {
        let at = (image.len() / 512) as u32;
        image[TABLE + block * 4..][..4].copy_from_slice(&at.to_be_bytes());
        let data: Vec<u8> = (0..BLOCK).map(|i| (i / 7 + block) as u8).collect();
        disk[block * BLOCK..][..BLOCK].copy_from_slice(&data);
        image.extend([vec![0xf0; 512], data].concat());
    }
    disk.truncate(SIZE);
    (([image, footer(3, 512, 512)]).concat(), disk)
}

#[test]
fn every_changed_byte_with_and_without_valid_checksums_is_an_error_or_harmless() {
    let (image, disk) = dynamic();
    assert_eq!(judge(image.clone()).unwrap(), disk);
    let tail = image.len() - 512;
    let mut tally = Tally::default();
    for at in (0..FIRST).chain(tail..image.len()) {
        for value in [image[at] ^ 1, image[at] ^ 0x80, !image[at], 0, 0x7f] {
            let mut damaged = image.clone();
            damaged[at] = value;
            let mut mended = damaged.clone();
            mend(&mut mended[..512], 64);
            mend(&mut mended[512..1536], 36);
            mend(&mut mended[tail..], 64);
            for image in [damaged, mended] {
                tally.count(judge(image), &disk);
            }
        }
    }
    tally.is_above(10_000, 1000);
}

#[test]
fn every_truncation_is_an_error_or_harmless() {
    let (image, disk) = dynamic();
    for len in (0..image.len()).step_by(7).chain(image.len() - 600..image.len()) {
        if let Some(read) = judge(image[..len].to_vec()) {
            assert_eq!(read, disk, "{len}");
        }
    }
}

#[test]
fn contradictions_of_the_tables_are_errors() {
    let (image, disk) = dynamic();
    let with = |at: usize, bytes: &[u8]| {
        let mut image = image.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        mend(&mut image[512..1536], 36);
        open(image)
    };
    let code = |at, bytes: &[u8]| with(at, bytes).map(|_| ()).map_err(|error| error.code());
    assert_eq!(code(540, &u32::MAX.to_be_bytes()), Ok(()), "more entries than the disk needs");
    for (at, bytes) in [
        (528, &u64::MAX.to_be_bytes()[..]),
        (528, &(image.len() as u64 - 23).to_be_bytes()),
        (540, &5u32.to_be_bytes()),
        (544, &[0; 4]),
        (544, &[0, 0, 0, 1]),
        (544, &[0, 0, 0x18, 0]),
        (536, &[0, 2]),
    ] {
        assert_eq!(code(at, bytes), Err(Code::VhdHeader), "{at} {bytes:?}");
    }
    // Blocks in the tables, past the end, and over the footer.
    for sector in [0, 1, 3, 0x7fff_ffff, (image.len() / 512 - 9) as u32] {
        let (opened, _) = with(TABLE, &sector.to_be_bytes()).unwrap();
        let error = opened.disk.read_at(BLOCK as u64 - 1, &mut [0; 2]).unwrap_err();
        assert_eq!(error.code(), "vhd-block", "{sector}");
        opened.disk.read_at(BLOCK as u64, &mut vec![0; SIZE - BLOCK]).unwrap();
        assert_eq!(opened.disk.write_at(2 * BLOCK as u64, b"x").unwrap_err().code(), "vhd-block");
    }
    // Overlapping blocks are read, but a write to one would change the other.
    for sector in [FIRST as u32 / 512, FIRST as u32 / 512 + 1] {
        let (opened, file) = with(TABLE + 4, &sector.to_be_bytes()).unwrap();
        opened.disk.read_at(0, &mut vec![0; SIZE]).unwrap();
        let error = opened.disk.write_at(2 * BLOCK as u64, b"x").unwrap_err();
        assert_eq!(error.code(), "vhd-blocks-overlap");
        assert_eq!(file.take().unwrap().1, []);
    }
    let (opened, _) = open(image).unwrap();
    for (at, len) in [(SIZE as u64, 1), (SIZE as u64 - 1, 2), (u64::MAX, 1)] {
        assert_eq!(opened.disk.read_at(at, &mut vec![0; len]).unwrap_err().code(), "past-end");
        assert_eq!(opened.disk.write_at(at, &vec![0; len]).unwrap_err().code(), "past-end");
    }
    assert_eq!(all(&*opened.disk), disk);
}

/// Returns the old file with some of the writes applied.
fn after(before: &[u8], len: usize, written: &[Written]) -> Vec<u8> {
    let mut file = before.to_vec();
    file.resize(len, 0);
    written.iter().for_each(|w| file[w.offset as usize..][..w.new.len()].copy_from_slice(&w.new));
    file
}

#[test]
fn every_step_of_an_allocation_is_harmless() {
    let (image, disk) = dynamic();
    let (opened, file) = open(image.clone()).unwrap();
    opened.disk.write_at(3 * BLOCK as u64 + 5, &[0; 3]).unwrap();
    let (_, written) = file.take().unwrap();
    let epochs: Vec<u32> = written.iter().map(|w| w.epoch).collect();
    assert!(epochs.is_sorted() && epochs.contains(&2), "{epochs:?}");
    let len = file.len().unwrap() as usize;
    for steps in 0..=written.len() {
        let (image, _) = open(after(&image, len, &written[..steps])).unwrap();
        assert_eq!(all(&*image.disk), disk, "after {steps} of {} steps", written.len());
    }
    // Write data, also to the last block, which is allocated completely.
    opened.disk.write_at(3 * BLOCK as u64 + 5, b"new").unwrap();
    let mut expected = disk;
    expected[3 * BLOCK + 5..][..3].copy_from_slice(b"new");
    let (again, _) = open(all(&*file)).unwrap();
    assert_eq!((all(&*again.disk), again.about.remarks), (expected, vec![]));
}

#[test]
fn the_bitmap_of_a_dynamic_block_is_ignored_and_updated() {
    let (image, _) = dynamic();
    let (opened, file) = open(image).unwrap();
    // The bits of the sectors 0 to 3 of each 8 are set in the fixture.
    opened.disk.write_at(3 * 512 + 500, &[1; 513]).unwrap();
    let mut bits = [0];
    file.read_at(FIRST as u64, &mut bits).unwrap();
    assert_eq!(bits, [0xf8]);
}

#[test]
fn footers_of_511_bytes_are_read() {
    let disk: Vec<u8> = (0..SIZE).map(|i| (i % 251) as u8).collect();
    let fixed = [disk.clone(), footer(2, u64::MAX, 511)].concat();
    let tail = &fixed[fixed.len() - 512..];
    let probe = Probe { head: &fixed[..1024], tail, len: fixed.len() as u64, name: "x" };
    assert!((FORMAT.is)(&probe));
    assert_eq!(all(&*open(fixed).unwrap().0.disk), disk);
    let (mut image, disk) = dynamic();
    image.pop();
    let (opened, _) = open(image).unwrap();
    assert_eq!((all(&*opened.disk), opened.about.remarks), (disk, vec![]));
    opened.disk.write_at(0, b"in place").unwrap();
    assert_eq!(opened.disk.write_at(BLOCK as u64, b"x").unwrap_err().code(), "not-allocated");
}
