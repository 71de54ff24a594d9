//! Damaged images: every byte of the header and of the tables changed, and every truncation.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::container::PathPolicy;
use hivewright_storage::memory::Memory;
use hivewright_storage::recorder::Recorder;
use hivewright_storage::{Host, RealHost};

const CLUSTER: usize = 512;

/// Returns a disk of 8 KiB: header, refcount table, a block of refcounts, L1, L2, then clusters 1 and 3 of the disk.
fn sound() -> Vec<u8> {
    let mut image = vec![0; 7 * CLUSTER];
    let own = |cluster: usize| (u64::MAX / 2 + 1 + (cluster * CLUSTER) as u64).to_be_bytes();
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x03");
    put(20, &9u32.to_be_bytes());
    put(24, &8192u64.to_be_bytes());
    put(36, &1u32.to_be_bytes());
    put(40, &(3 * CLUSTER as u64).to_be_bytes());
    put(48, &(CLUSTER as u64).to_be_bytes());
    put(56, &1u32.to_be_bytes());
    put(96, &4u32.to_be_bytes());
    put(100, &104u32.to_be_bytes());
    put(CLUSTER, &(2 * CLUSTER as u64).to_be_bytes());
    (0..7).for_each(|i| put(2 * CLUSTER + 2 * i, &[0, 1]));
    put(3 * CLUSTER, &own(4));
    put(4 * CLUSTER + 8, &own(5));
    put(4 * CLUSTER + 24, &own(6));
    put(5 * CLUSTER, &[0xaa; 2 * CLUSTER]);
    image
}

fn open_bytes(bytes: Vec<u8>) -> Result<(Image, Arc<Recorder>)> {
    let mut policy = PathPolicy::shut();
    policy.writing = true;
    let path = RealHost.resolve(Path::new(".")).unwrap().join("image.qcow2");
    let file = Arc::new(Recorder::new(Arc::new(Memory::new(bytes)))?);
    let opening = Opening::of(&policy, file.clone(), &path);
    Ok((open(opening)?, file))
}

/// Reads the disk, writes to all kinds of clusters, and reads the disk again.
fn exercise(bytes: Vec<u8>) -> Result<()> {
    let (image, file) = open_bytes(bytes)?;
    let len = usize::try_from(image.about.size.min(1 << 16)).unwrap();
    let mut disk = vec![0; len];
    image.disk.read_at(0, &mut disk)?;
    for at in [0, 500, 1600, 8191] {
        if at < len {
            image.disk.write_at(at as u64, &[0x5c])?;
            disk[at] = 0x5c;
        }
    }
    image.disk.flush()?;
    let mut again = vec![0; len];
    image.disk.read_at(0, &mut again)?;
    assert!(again == disk, "what was written is not what is read");
    // Read the disk again through a new opening of the file.
    let mut whole = vec![0; usize::try_from(file.len()?).unwrap()];
    file.read_at(0, &mut whole)?;
    open_bytes(whole)?.0.disk.read_at(0, &mut again)?;
    assert!(again == disk, "what was flushed is not what is in the file");
    Ok(())
}

#[test]
fn a_consistent_image_is_read_and_written() {
    exercise(sound()).unwrap();
    let (image, file) = open_bytes(sound()).unwrap();
    let mut disk = vec![0; 8192];
    image.disk.read_at(0, &mut disk).unwrap();
    let expected: Vec<u8> = (0..8192).map(|i| if matches!(i / 512, 1 | 3) { 0xaa } else { 0 }).collect();
    assert_eq!(disk, expected);
    assert_eq!(file.take().unwrap(), (7 * 512, vec![]), "opening and reading wrote something");
    assert_eq!(image.disk.read_at(8000, &mut [0; 193]).unwrap_err().code(), "past-end");
    assert_eq!(image.disk.write_at(u64::MAX, &[0; 2]).unwrap_err().code(), "past-end");
}

#[test]
fn damaged_tables_never_give_wrong_data() {
    let image = sound();
    let tables = (0..104).chain([512..520, 1024..1040, 1536..1544, 2048..2080].into_iter().flatten());
    for at in tables {
        for value in [0, 1, 2, 0x3f, 0x40, 0x7f, 0x80, 0xff, image[at] ^ 1] {
            let mut bytes = image.clone();
            bytes[at] = value;
            if let Err(error) = exercise(bytes) {
                assert!(error.kind() != Kind::Io, "{at}: {error}");
            }
        }
    }
}

#[test]
fn a_truncated_image_is_an_error_for_missing_bytes() {
    let image = sound();
    for len in 0..image.len() - CLUSTER {
        let found = open_bytes(image[..len].to_vec()).and_then(|(image, _)| {
            let mut disk = vec![0; 8192];
            image.disk.read_at(0, &mut disk)
        });
        assert!(found.is_err(), "{len}");
    }
}

#[test]
fn wrong_refcounts_prevent_writing() {
    let code = |at: usize, bytes: &[u8]| {
        let mut image = sound();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        let (image, file) = open_bytes(image).unwrap();
        let code = image.disk.write_at(0, &[1]).unwrap_err().code();
        assert_eq!(file.take().unwrap().1, []);
        code
    };
    for cluster in 0..7 {
        assert_eq!(code(2 * CLUSTER + 2 * cluster, &[0, 0]), Code::Qcow2Unsound, "cluster {cluster} is not counted");
    }
    assert_eq!(code(2 * CLUSTER + 11, &[2]), Code::Qcow2Unsound, "shared, and taken for unshared");
    assert_eq!(code(4 * CLUSTER + 22, &[0x0a]), Code::Qcow2Unsound, "two clusters in one place");
    assert_eq!(code(4 * CLUSTER, &[0, 0, 0, 0, 0, 0, 0xc, 0]), Code::Qcow2Unsound, "one of them not unshared");
    assert_eq!(code(4 * CLUSTER + 22, &[2]), Code::Qcow2Unsound, "data in the refcount table");
    assert_eq!(code(CLUSTER + 14, &[0x40]), Code::Qcow2Unsound, "a block of refcounts past the end");
}
