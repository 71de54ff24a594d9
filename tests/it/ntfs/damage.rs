//! Damaged and hostile volumes: reported, with bounded reads.

use std::time::{Duration, Instant};

use hivewright::{Kind, Space};
use hivewright_disk::files::Files;
use hivewright_disk::ntfs::Ntfs;
use hivewright_storage::Storage;

use super::{HIVE, all_bytes};
use crate::support::memory::Memory;
use crate::support::ntfs_volume::{self as volumes, NtfsVolume, noise, poke};

/// Creates a small volume with all kinds of files.
fn small() -> Option<(Vec<u8>, Vec<u8>)> {
    let hive = noise(400 * 4096, 8);
    let made = NtfsVolume::make(16, &["-c", "4096"])?;
    made.fill(|root| {
        volumes::windows(root, &hive[..1000], 120);
        volumes::compressed(root);
    })?;
    made.fragment("Windows/System32/config/SYSTEM", &hive, 4096)?;
    Some((made.bytes(), hive))
}

fn word(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

/// Returns the offsets of all 1 KiB blocks with a signature, and of the boot sector.
fn metadata(bytes: &[u8]) -> Vec<usize> {
    let is = |at: &usize| [&b"FILE"[..], b"INDX"].contains(&&bytes[*at..at + 4]);
    std::iter::once(0).chain((0..bytes.len()).step_by(1024).filter(is)).collect()
}

#[test]
fn flipped_bytes_are_survived() {
    let Some((clean, _)) = small() else { return };
    let blocks = metadata(&clean);
    // Longer runs: HIVEWRIGHT_DAMAGE_SECONDS and HIVEWRIGHT_DAMAGE_SEED.
    let given = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = given("HIVEWRIGHT_DAMAGE_SECONDS").unwrap_or(4);
    let mut state = given("HIVEWRIGHT_DAMAGE_SEED").unwrap_or(0x1234_5678_9abc_def1);
    let (mut rounds, mut most) = (0, 0);
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below
    };
    let medium = Memory::new(clean.clone());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        let mut changed = Vec::new();
        for _ in 0..1 + random(3) {
            // Every path uses the records of the system and the first of the others.
            let block = blocks[if random(2) == 0 { random(40.min(blocks.len())) } else { random(blocks.len()) }];
            let at = block + random(if block == 0 { 84 } else { 1022 });
            let new = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
            let width = [1, 1, 1, 2, 8][random(5)];
            medium.write_at(at as u64, &vec![new; width]).unwrap();
            changed.push(at..at + width);
        }
        let began = Instant::now();
        let read = poke(&medium);
        for range in changed {
            medium.write_at(range.start as u64, &clean[range]).unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(5), "a damaged volume takes too long");
        most = most.max(read);
        rounds += 1;
    }
    assert!(medium.copy() == clean, "reading wrote");
    println!("{rounds} damaged volumes, at most {most} bytes read of {}", clean.len());
    assert!(rounds > 50 && most < 8 << 20);
}

#[test]
fn each_damage_has_its_code() {
    let Some((clean, hive)) = small() else { return };
    let open = |bytes: &[u8]| Ntfs::open(Memory::new(bytes.to_vec()));
    let file = open(&clean).unwrap().open(HIVE).unwrap().unwrap();
    assert!(all_bytes(&file) == hive);
    let mft = word(&clean, 48) * 4096;
    let record = |number: usize| mft + number * 1024;
    let code_of = |bytes: &[u8]| {
        let error = match open(bytes) {
            Ok(volume) => volume.open(HIVE).unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.trail().first().map(|place| place.space), Some(Space::Volume), "{error}");
        assert_eq!(error.trail().last().map(|place| place.space), Some(Space::File), "{error}");
        error.code()
    };
    let damaged = |changes: &[(usize, &[u8])]| {
        let mut bytes = clean.clone();
        for (at, new) in changes {
            bytes[*at..at + new.len()].copy_from_slice(new);
        }
        bytes
    };
    let id = usize::try_from(file.facts().id).unwrap();
    for (changes, code) in [
        (&[(record(5) + 510, &b"zz"[..])][..], "ntfs-record-torn"),
        (&[(record(5), b"BAAD")], "ntfs-record-torn"),
        (&[(record(5), b"XXXX")], "ntfs-record"),
        (&[(record(5) + 22, &[0])], "ntfs-record-free"),
        (&[(record(5) + 24, &[0xff, 0xff])], "ntfs-record"),
        (&[(record(id) + 16, &[0x77])], "ntfs-stale-reference"),
        (&[(record(id) + 32, &[9])], "ntfs-record-base"),
        (&[(record(10) + 1022, b"zz")], "ntfs-record-torn"),
        (&[(11, &[1])], "ntfs-boot-sector"),
        (&[(3, b"-FVE-FS-")], "bitlocker"),
    ] {
        // The backup would replace a damaged boot sector, so it is removed too.
        let mut bytes = damaged(changes);
        bytes.truncate(clean.len() - 512);
        assert_eq!(code_of(&bytes), code);
    }
}

#[test]
fn mirror_and_backup_are_used_and_reported() {
    let Some((clean, hive)) = small() else { return };
    let mft = word(&clean, 48) * 4096;
    for (at, remark) in
        [(0, "ntfs-backup-boot-sector"), (mft + 510, "ntfs-mft-mirror"), (mft + 3 * 1024, "ntfs-mft-mirror")]
    {
        let mut bytes = clean.clone();
        bytes[at..at + 2].fill(0x5a);
        if at == 0 {
            bytes[..512].fill(0);
        }
        let volume = Ntfs::open(Memory::new(bytes)).unwrap();
        assert!(all_bytes(&volume.open(HIVE).unwrap().unwrap()) == hive);
        let state = volume.state().unwrap();
        assert_eq!(state.remarks.iter().map(|remark| remark.code).collect::<Vec<_>>(), [remark]);
    }
    let volume = Ntfs::open_by_backup(Memory::new(clean.clone())).unwrap();
    assert_eq!(volume.state().unwrap().remarks.len(), 1);
    let short = Ntfs::open(Memory::new(clean[..clean.len() / 2].to_vec()));
    if let Ok(volume) = short {
        assert!(volume.state().unwrap().remarks.iter().any(|remark| remark.code == "volume-truncated"));
    }
}

#[test]
fn the_dirty_bit_and_the_journal_are_reported() {
    let Some((clean, _)) = small() else { return };
    let mft = word(&clean, 48) * 4096;
    let (mut bytes, record) = (clean, mft + 3 * 1024);
    // $VOLUME_INFORMATION is the attribute of type 0x70; its flags are 10 bytes into the value.
    let mut at = record + usize::from(bytes[record + 20]);
    while bytes[at] != 0x70 {
        at += usize::from(bytes[at + 4]);
    }
    let value = at + usize::from(bytes[at + 20]);
    bytes[value + 10] |= 1;
    let state = Ntfs::open(Memory::new(bytes)).unwrap().state().unwrap();
    assert!(state.dirty && state.flags == 1);
}

#[test]
fn a_cycle_in_an_index_ends() {
    let Some((clean, _)) = small() else { return };
    let mut cycles = 0;
    for block in metadata(&clean).into_iter().filter(|&at| clean[at..].starts_with(b"INDX")) {
        let mut bytes = clean.clone();
        // The first entry of the block becomes the parent of the block itself: 24 bytes longer than a leaf allows, so
        // its last eight bytes are used as the child.
        let first = block + 24 + word(&bytes, block + 24) % 0x1_0000_0000;
        let length = usize::from(bytes[first + 8]);
        bytes[first + 12] |= 1;
        let vcn: [u8; 8] = bytes[block + 16..block + 24].try_into().unwrap();
        bytes[first + length - 8..first + length].copy_from_slice(&vcn);
        let volume = Ntfs::open(Memory::new(bytes)).unwrap();
        for folder in ["", "Windows/System32", "packed", "Windows"] {
            match volume.list(folder) {
                Err(error) if error.code() == "ntfs-index-cycle" => {
                    assert_eq!(error.kind(), Kind::Corrupt);
                    cycles += 1;
                }
                // The child may have overwritten the name.
                Err(error) => assert_eq!(error.code(), "ntfs-index", "{error}"),
                Ok(_) => {}
            }
        }
    }
    println!("{cycles} cycles found");
    assert!(cycles > 0);
}
