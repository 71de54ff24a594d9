//! Applies damage of many kinds to the tiny hive: the check neither panics nor hangs.

use super::tiny::{Tiny, codes};
use super::{FINDINGS_KEPT, Report, Rule, check};
use crate::regf::BASE_BLOCK_SIZE;

fn bases() -> [Vec<u8>; 2] {
    [Tiny::new().bytes, Tiny::with_big_data().bytes]
}

fn assert_consistent(report: &Report, bytes: &[u8]) {
    assert_eq!(report.facts.file_len, bytes.len() as u64);
    assert_eq!(report.facts.cells, report.facts.allocated_cells + report.facts.free_cells);
    assert!(report.facts.keys <= report.facts.allocated_cells);
    assert!(report.findings.iter().all(|f| f.offset <= bytes.len() as u64 + u64::from(u32::MAX) + 8192));
}

#[test]
fn every_truncation_is_checked_without_panic() {
    for base in bases() {
        for len in (0..base.len()).filter(|len| len % 7 == 0 || len % 512 < 4) {
            let report = check(&base[..len]);
            assert_consistent(&report, &base[..len]);
            assert!(!report.is_consistent(), "{len} bytes of {} are not a consistent hive", base.len());
        }
    }
}

#[test]
fn every_changed_byte_is_checked_without_panic() {
    for base in bases() {
        // The fields of the base block, then all cells except free cells and the contents of segments.
        let places =
            (0..512).chain(BASE_BLOCK_SIZE as usize..base.len().min(4096 + 0x260)).chain(8192..base.len().min(8240));
        for at in places {
            for value in [0, 1, 0x7f, 0x80, 0xff, base[at] ^ 0x10, base[at].wrapping_add(8)] {
                let mut bytes = base.clone();
                bytes[at] = value;
                assert_consistent(&check(&bytes), &bytes);
            }
        }
    }
}

#[test]
fn every_changed_field_is_checked_without_panic() {
    let values =
        [0, 1, 8, 0x20, 0x24, 0x1000, 0x7fff_fff8, 0x7fff_ffff, 0x8000_0000, 0xffff_0000, 0xffff_fff8, u32::MAX];
    for base in bases() {
        for at in (0..512).step_by(4).chain((4096..4096 + 0x260).step_by(4)) {
            for value in values {
                let mut bytes = base.clone();
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
                assert_consistent(&check(&bytes), &bytes);
            }
        }
    }
}

#[test]
fn random_damage_is_checked_without_panic() {
    // xorshift: the same damage on every run.
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for round in 0..20_000 {
        let mut bytes = Tiny::new().bytes;
        for _ in 0..=round % 8 {
            let at = 4096 + next(0x240);
            bytes[at] = u8::try_from(next(256)).unwrap();
        }
        assert_consistent(&check(&bytes), &bytes);
    }
}

/// Returns the tiny hive with a second bin whose cells hold `cells`, back to back; gives the offset of the first.
fn with_bin(cells: &[Vec<u8>]) -> (Tiny, u32) {
    let used: usize = cells.iter().map(|cell| cell.len() + 4).sum();
    let size = (used + 32 + 8).next_multiple_of(4096);
    let mut tiny = Tiny::new();
    let mut bin = b"hbin".to_vec();
    bin.extend(4096u32.to_le_bytes());
    bin.extend(u32::try_from(size).unwrap().to_le_bytes());
    bin.resize(32, 0);
    for cell in cells {
        let size = i32::try_from(cell.len() + 4).unwrap();
        assert!(size % 8 == 0);
        bin.extend((-size).to_le_bytes());
        bin.extend(cell);
    }
    let free = u32::try_from(size - bin.len()).unwrap();
    bin.extend(free.to_le_bytes());
    bin.resize(size, 0);
    tiny.bytes.extend(bin);
    let length = u32::try_from(tiny.bytes.len() - 4096).unwrap();
    let bytes = tiny.put(40, length).sealed();
    (Tiny { bytes }, 4096 + 32)
}

/// Returns a key node called `k` (84 bytes) and its subkeys list of one element (12 bytes).
fn key_in_chain(tiny: &Tiny, parent: u32, list: u32) -> Vec<u8> {
    let beta = 4096 + Tiny::BETA as usize + 4;
    let mut key = tiny.bytes[beta..beta + 84].to_vec();
    for (field, value) in [(16, parent), (20, 1), (28, list), (44, Tiny::SECURITY), (52, 2)] {
        key[field..field + 4].copy_from_slice(&value.to_le_bytes());
    }
    key[72] = 1;
    key[76] = b'k';
    key
}

/// Returns a hive with `depth` nested keys below Beta.
fn chain(depth: u32) -> Vec<u8> {
    let tiny = Tiny::new();
    let (key_size, both) = (88, 104);
    let mut cells = Vec::new();
    for i in 0..depth {
        let at = 4096 + 32 + i * both;
        let parent = if i == 0 { Tiny::BETA } else { at - both };
        let mut key = key_in_chain(&tiny, parent, at + key_size);
        let mut list = b"li\x01\0".to_vec();
        list.extend((at + both).to_le_bytes());
        list.extend([0; 4]);
        if i + 1 == depth {
            key[20] = 0;
            key[28..32].fill(0xff);
            list[2] = 0;
        }
        cells.extend([key, list]);
    }
    // Beta refers to the last list.
    let last = cells.last_mut().unwrap();
    last[2] = 1;
    last[4..8].copy_from_slice(&(4096u32 + 32).to_le_bytes());
    let (tiny, first) = with_bin(&cells);
    let list = first + (depth - 1) * both + key_size;
    let tiny = tiny.data32(Tiny::BETA, 20, 1).data32(Tiny::BETA, 28, list).data16(Tiny::BETA, 52, 2);
    tiny.data32(Tiny::SECURITY, 12, depth + 2).bytes
}

#[test]
fn excessive_depth_is_reported() {
    assert_eq!(codes(&chain(511)), [""; 0], "Beta is the first level of 512");
    let report = check(&chain(700));
    let found: Vec<_> = report.findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(found, [Rule::KeyDepth]);
    let path = report.findings[0].key.clone().unwrap();
    assert!(path.starts_with("...\\k\\k") && path.len() < 1100, "{path}");
}

#[test]
fn equal_hashes_do_not_slow_the_check() {
    // 37 * a + b is the same for all of these, and they repeat.
    let value = |i: u32| {
        let (a, b) = (b'!' + u8::try_from(i % 2).unwrap(), 200 - 37 * u8::try_from(i % 2).unwrap());
        let mut cell = b"vk\x06\0".to_vec();
        cell.extend(0x8000_0000u32.to_le_bytes());
        cell.extend([0; 8]);
        cell.extend([1, 0, 0, 0, a, b]);
        cell.extend([a, b, a, b, 0, 0]);
        cell.resize(28, 0);
        cell
    };
    let count = 20_000u32;
    let mut cells: Vec<Vec<u8>> = (0..count).map(value).collect();
    let list = (0..count).flat_map(|i| (4096 + 32 + i * 32).to_le_bytes());
    cells.push(list.chain([0; 4]).collect());
    let (tiny, first) = with_bin(&cells);
    let tiny = tiny.data32(Tiny::BETA, 36, count).data32(Tiny::BETA, 40, first + count * 32);
    let report = check(&tiny.data32(Tiny::BETA, 60, 12).bytes);
    assert_eq!(report.counts.of(Rule::DuplicateValue), u64::from(count) - 2);
    assert_eq!(report.findings.len() as u64, FINDINGS_KEPT);
}
