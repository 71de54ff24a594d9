//! Images with an active log, with QEMU's replay as the judge.

use super::maker::{BAT, Change, Entry, put, put_log};
use super::*;
use hivewright_error::Code;

pub(crate) const LOG: [u8; 16] = [0x77; 16];

pub(super) fn maker() -> Maker {
    let mut maker = Maker { sector: 512, size: 6 * MIB, ..Maker::default() };
    maker.blocks.insert(0, Block::Full(vec![0x10; MIB]));
    maker.blocks.insert(1, Block::Full(vec![0x20; MIB]));
    maker.blocks.insert(2, Block::Full(vec![0x30; MIB]));
    maker
}

/// Returns the first sector of the block table of `image`, with other entries.
pub(crate) fn table(image: &[u8], entries: &[(usize, u64)]) -> Vec<u8> {
    let mut sector = image[BAT..BAT + 4096].to_vec();
    entries.iter().for_each(|(i, entry)| put(&mut sector, i * 8, &entry.to_le_bytes()));
    sector
}

/// Returns three entries, of which the last enlarges the file: blocks 0 and 1 are swapped, block 4 gets a new place; a
/// sector of block 2 is zeroed, and one is written. Entry `i` begins in sector 2 `i`, from `from` on.
pub(super) fn entries(image: &[u8], from: usize, first: u64) -> Vec<Entry> {
    let at = |mib: u64| mib << 20 | 6;
    let len = image.len() as u64;
    let swapped = table(image, &[(0, at(5)), (1, at(4))]);
    let grown = table(image, &[(0, at(5)), (1, at(4)), (4, at(7))]);
    let sector: Vec<u8> = (0..4096).map(|i| (i % 251) as u8).collect();
    let entry = |i: u64, last: u64, changes| Entry {
        sequence: first + i,
        tail: (from * 4096 % MIB) as u32,
        flushed: len,
        last,
        changes,
    };
    vec![
        entry(0, len, vec![Change::Sector(BAT as u64, swapped)]),
        entry(1, len + 4096, vec![Change::Sector(BAT as u64, grown), Change::Zeros((6 << 20) + 8192, 8192)]),
        entry(2, len + 4096, vec![Change::Sector((6 << 20) + 12288, sector)]),
    ]
}

/// Writes the image, opens it, and replays the log of a copy with QEMU. QEMU ignores the start of a log: it cannot
/// judge logs that wrap around, or contain complete stale entries.
fn judge(folder: &Path, image: &[u8], with_qemu: bool) -> Vec<u8> {
    let (vhdx, copy, raw) = (folder.join("disk.vhdx"), folder.join("copy.vhdx"), folder.join("disk.raw"));
    fs::write(&vhdx, image).unwrap();
    let (opened, recording) = open(&vhdx).unwrap();
    let refusal = opened.about.refusal.clone().expect("a refusal");
    assert_eq!(refusal.code, "vhdx-log");
    let error = opened.disk.write_at(0, &[1]).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::VhdxLog, hivewright::Kind::Refused));
    let mut disk = vec![0; 6 * MIB];
    opened.disk.read_at(0, &mut disk).unwrap();
    fs::write(&raw, &disk).unwrap();
    recording.bring_to_disk();
    assert!(fs::read(&vhdx).unwrap() == image, "the image has changed");
    if with_qemu && have(&["qemu-img"]) {
        assert!(refusal.advice.contains("--replay-image-log") && refusal.advice.contains("qemu-img check -r all"));
        fs::write(&copy, image).unwrap();
        // It ends with 0 or, after a replay, 3.
        let _ =
            std::process::Command::new("qemu-img").args(["check", "-q", "-r", "all", text(&copy)]).output().unwrap();
        check_with_qemu(&copy, &raw);
        assert_same(&open(&copy).unwrap().0, &raw);
    }
    disk
}

#[test]
fn a_log_is_read_as_if_replayed() {
    // In the middle of the log, around its end, and with a sequence number of more than 32 bits.
    for (from, first) in [(0, 1), (100, 5), (10, 0xffff_ffff), (253, 9), (255, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let mut image = maker().build();
        let entries = entries(&image, from, first);
        put_log(&mut image, LOG, from, &entries);
        let goes_round = from > 250;
        let disk = judge(folder.path(), &image, !goes_round);
        let advice = open(&folder.path().join("disk.vhdx")).unwrap().0.about.refusal.unwrap().advice;
        assert_eq!(advice.contains("do not use qemu-img"), goes_round);
        assert!(disk[..MIB].iter().all(|b| *b == 0x20) && disk[MIB..2 * MIB].iter().all(|b| *b == 0x10));
        assert!(disk[2 * MIB..][8192..12288].iter().all(|b| *b == 0) && disk[2 * MIB..][8191] == 0x30);
        assert_eq!(disk[2 * MIB..][12288..][..252], (0..252).map(|i| (i % 251) as u8).collect::<Vec<_>>()[..]);
        assert!(disk[2 * MIB..][16384] == 0x30 && disk[4 * MIB..5 * MIB].iter().all(|b| *b == 0));
    }
}

#[test]
fn torn_stale_and_foreign_entries_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut image = maker().build();
    let entries = entries(&image, 20, 30);
    // A foreign log with higher numbers, then an older sequence of this one, then the active one.
    let stale =
        |sequence, tail| Entry { sequence, tail, flushed: 0, last: 0, changes: vec![Change::Zeros(BAT as u64, 4096)] };
    put_log(&mut image, [0x55; 16], 200, &[stale(900, 200 * 4096)]);
    put_log(&mut image, LOG, 100, &[stale(7, 100 * 4096), stale(8, 100 * 4096)]);
    put_log(&mut image, LOG, 20, &entries);
    let whole = judge(folder.path(), &image, true);
    let mut tailless = image.clone();
    put_log(&mut tailless, LOG, 120, &[stale(500, 90 * 4096)]);
    assert!(judge(folder.path(), &tailless, false) == whole, "an entry whose tail is gone counts");
    // The last entry is torn: the two before it count.
    let last = (1 << 20) + (20 + 4) * 4096 + 4096;
    image[last + 100] ^= 1;
    let torn = judge(folder.path(), &image, true);
    assert!(whole != torn);
    assert_eq!((torn[0], torn[2 * MIB + 12288], whole[2 * MIB + 12289]), (0x20, 0, 1));
}

#[test]
fn an_invalid_log_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let vhdx = folder.path().join("disk.vhdx");
    let code = |image: &[u8]| {
        fs::write(&vhdx, image).unwrap();
        open(&vhdx).map(|_| ()).map_err(|error| error.code().as_str())
    };
    let clean = maker().build();
    assert_eq!(code(&clean), Ok(()));
    let mut empty = clean.clone();
    put_log(&mut empty, LOG, 0, &[]);
    assert_eq!(code(&empty), Err("vhdx-log-corrupt"), "nothing of the log is there");
    let with = |change: &dyn Fn(&mut Entry)| {
        let mut image = clean.clone();
        let mut entries = entries(&image, 0, 1);
        change(&mut entries[1]);
        put_log(&mut image, LOG, 0, &entries);
        image
    };
    assert_eq!(code(&with(&|_| ())), Ok(()));
    assert_eq!(code(&with(&|entry| entry.flushed += 1 << 30)), Err("vhdx-log-corrupt"));
    assert_eq!(code(&with(&|entry| entry.changes[1] = Change::Zeros(4096, 100))), Err("vhdx-log-corrupt"));
    assert_eq!(code(&with(&|entry| entry.changes[1] = Change::Zeros(u64::MAX - 4095, 8192))), Err("vhdx-log-corrupt"));
    assert_eq!(code(&with(&|entry| entry.changes[1] = Change::Zeros(100, 4096))), Err("vhdx-log-corrupt"));
    assert_eq!(code(&with(&|entry| entry.last = u64::MAX)), Ok(()), "a length costs nothing");
}
