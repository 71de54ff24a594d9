//! Compressed clusters with references to before their start.

use std::fs;

use super::*;
use crate::support::real::Real;

/// Returns a deflate stream of `len` bytes, from 258 on: each byte repeats the previous one, including the first.
fn echo(len: usize) -> Vec<u8> {
    let (mut bytes, mut used) = (Vec::new(), 0);
    let mut put = |value: u32, bits: u32, from_high: bool| {
        for i in 0..bits {
            if used % 8 == 0 {
                bytes.push(0);
            }
            let bit = value >> if from_high { bits - 1 - i } else { i } & 1;
            *bytes.last_mut().unwrap() |= (bit << (used % 8)) as u8;
            used += 1;
        }
    };
    // The last block, with fixed codes (RFC 1951, 3.2.6).
    put(1, 1, false);
    put(1, 2, false);
    for _ in 0..len.div_ceil(258) {
        // Length 258, distance 1.
        put(0b1100_0101, 8, true);
        put(0, 5, true);
    }
    put(0, 7, true);
    bytes
}

#[test]
fn a_cluster_with_references_before_its_start_is_neither_read_nor_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().real().join("disk.qcow2");
    let mut bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/qcow2/compressed-v2")).unwrap();
    fs::write(&path, &bytes).unwrap();
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let cluster = 1_u64 << bytes[23];
    let table = (word(word(40) as usize) & 0x00ff_ffff_ffff_fe00) as usize;
    let compressed = |index: &u64| word(table + *index as usize * 8) >> 62 == 1;
    let index = (0..cluster / 8).rfind(compressed).unwrap();
    let start = (word(table + index as usize * 8) & 0xffff_ffff) as usize;
    open(&path).unwrap().0.disk.read_at(index * cluster, &mut [0; 8]).unwrap();
    let stream = echo(cluster as usize);
    bytes[start..start + stream.len()].copy_from_slice(&stream);
    fs::write(&path, &bytes).unwrap();
    let disk = open(&path).unwrap().0.disk;
    let mut byte = [0];
    assert_eq!(disk.read_at(index * cluster + 9, &mut byte).unwrap_err().code(), "qcow2-tables");
    assert_eq!(disk.write_at(index * cluster + 9, b"x").unwrap_err().code(), "qcow2-tables");
    assert_eq!(disk.read_at(index * cluster + 9, &mut byte).unwrap_err().code(), "qcow2-tables");
}
