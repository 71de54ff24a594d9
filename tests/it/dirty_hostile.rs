//! Hostile logs: time and memory are bounded by their size.

use hivewright_error::Code;
use std::fs;
use std::path::Path;
use std::process::Command;

use hivewright_fixtures::bytes::{fix_checksum, put_u32};
use hivewright_fixtures::logs::{DATA_HASH, TYPE_NEW, TYPE_OLD, log_base, seal};
use hivewright_fixtures::marvin::{SEED, marvin32};
use hivewright_hive::recover::{Log, highest_sequence, recover_without_base_block};

use crate::support::dirty_place::{DirtyPlace, named};

/// A log entry with arbitrary fields and valid hashes.
struct Entry {
    sequence: u32,
    length: u32,
    /// Offset and size of each page in the references.
    pages: Vec<(u32, u32)>,
    /// A false number of pages.
    count: Option<u32>,
    /// A false size.
    size: Option<u32>,
    /// Actual bytes of page data.
    data: usize,
}

impl Entry {
    fn new(sequence: u32, pages: &[(u32, u32)]) -> Self {
        let data = pages.iter().map(|&(_, size)| size as usize).sum::<usize>();
        Entry { sequence, length: 8192, pages: pages.to_vec(), count: None, size: None, data }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"HvLE".to_vec();
        out.resize(40, 0);
        put_u32(&mut out, 12, self.sequence);
        put_u32(&mut out, 16, self.length);
        put_u32(&mut out, 20, self.count.unwrap_or(self.pages.len() as u32));
        for (offset, size) in &self.pages {
            out.extend(offset.to_le_bytes());
            out.extend(size.to_le_bytes());
        }
        // The state of the second page: an entry that is applied leaves a hive.
        out.resize(out.len() + self.data, 0x77);
        out.resize(out.len().next_multiple_of(512), 0);
        let size = out.len() as u32;
        put_u32(&mut out, 4, self.size.unwrap_or(size));
        let hash = marvin32(SEED, &out[40..]);
        out[DATA_HASH..DATA_HASH + 8].copy_from_slice(&hash.to_le_bytes());
        seal(&mut out);
        out
    }
}

/// Creates the primary file of all cases: sequence numbers 12/11, with slack after its hive bins.
fn place(logs: Vec<(&str, Vec<u8>)>) -> DirtyPlace {
    let primary = named("new-no-logs").primary;
    let logs = logs.into_iter().map(|(ending, bytes)| (format!("SYSTEM.{ending}"), bytes)).collect();
    DirtyPlace::new("hostile", primary, logs, None)
}

fn new_log(first: u32, entries: &[u8]) -> Vec<u8> {
    let mut log = log_base(&named("new-no-logs").primary, TYPE_NEW, first);
    log.extend_from_slice(entries);
    log
}

fn old_log(length: u32, tail: &[u8]) -> Vec<u8> {
    let mut log = log_base(&named("new-no-logs").primary, TYPE_OLD, 12);
    put_u32(&mut log, 40, length);
    fix_checksum(&mut log);
    log.extend_from_slice(tail);
    log
}

/// Runs the command with a limit of its address space: its initial size and four times its input. Windows has no such
/// limit.
#[cfg(windows)]
fn under_limit(folder: &Path, args: &str, _: u64) -> (i32, String) {
    let run = crate::command::hivewright_in(folder, args.split(' '));
    (run.code, run.err)
}

/// Runs the command with a limit of its address space: its initial size and four times its input.
#[cfg(unix)]
fn under_limit(folder: &Path, args: &str, input: u64) -> (i32, String) {
    const START_KIB: u64 = 48 << 10;
    let limit = START_KIB + 4 * (input >> 10);
    let script = format!("ulimit -v {limit} && exec '{}' {args}", env!("CARGO_BIN_EXE_hivewright"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().unwrap_or_else(|| panic!("{args} ended by a signal within {limit} KiB: {err}"));
    (code, err)
}

/// Asserts that every command ends within its limits, with one of its exit codes.
fn survives(place: &DirtyPlace) {
    let size = |name: &String| fs::metadata(place.path(name)).unwrap().len();
    let input: u64 = place.names().iter().map(size).sum();
    for args in ["get SYSTEM", "get --json SYSTEM", "check SYSTEM", "check --logs SYSTEM", "set 2 --dry-run SYSTEM"] {
        let (code, err) = under_limit(place.folder(), args, input);
        assert!((0..=3).contains(&code) && !err.contains("panicked"), "{args}: {code}: {err}");
    }
    place.is_untouched();
}

/// Control: a command that exceeds the limit ends by a signal.
// Windows has no limit of the address space.
#[cfg(unix)]
#[test]
fn the_limit_is_a_limit() {
    let place = named("new-one-log");
    assert_eq!(under_limit(place.folder(), "get SYSTEM", 0).0, 0);
    let script = format!("ulimit -v 4096 && exec '{}' get SYSTEM", env!("CARGO_BIN_EXE_hivewright"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(place.folder()).output().unwrap();
    assert!(!output.status.success());
}

/// Each entry writes the same 512 bytes of free space: a very long sequence of applicable entries.
fn many(count: u32) -> DirtyPlace {
    let mut entries = Vec::new();
    let first = Entry::new(12, &[(7680, 512)]).bytes();
    for i in 0..count {
        let mut entry = first.clone();
        put_u32(&mut entry, 12, 12 + i);
        seal(&mut entry);
        entries.extend(entry);
    }
    place(vec![("LOG1", new_log(12, &entries))])
}

fn applied(place: &DirtyPlace) -> (u64, usize) {
    let logs: Vec<Log<'_>> = place.logs.iter().map(|(name, bytes)| Log { name, bytes }).collect();
    let done =
        recover_without_base_block(&place.primary[..], &logs).unwrap_or_else(|failed| panic!("{}", failed.error));
    (done.report.pages, done.hive.bytes().replaced().count())
}

#[test]
fn entries_without_end() {
    let place = many(1 << 14);
    assert_eq!(applied(&place), (1 << 14, 2), "one range for all the pages, one for the base block");
    survives(&place);
}

/// Run manually, since the log has 1 GiB: `cargo test --release -- --ignored two_to_the_20th`.
#[test]
#[ignore = "writes 1 GiB"]
fn two_to_the_20th_entries() {
    let place = many(1 << 20);
    assert_eq!(applied(&place), (1 << 20, 2));
    survives(&place);
}

/// Entries with a header only: none is applicable, all are listed.
#[test]
fn empty_entries_without_end() {
    let mut entries = Vec::new();
    let first = Entry::new(12, &[]).bytes();
    assert_eq!(first.len(), 512);
    for i in 0..1 << 16 {
        let mut entry = first.clone();
        put_u32(&mut entry, 12, 12 + i);
        seal(&mut entry);
        entries.extend(entry);
    }
    let place = place(vec![("LOG1", new_log(12, &entries))]);
    let logs = [Log { name: "SYSTEM.LOG1", bytes: &place.logs[0].1 }];
    assert_eq!(highest_sequence(&logs), Some(12 + 65535));
    let failed = recover_without_base_block(&place.primary[..], &logs).map(drop).unwrap_err();
    assert_eq!(failed.report.logs[0].entries.len(), 1 << 16);
    survives(&place);
}

/// Overlapping pages, each a sector further than the last, and back again.
#[test]
fn overlapping_pages() {
    let up = (0..4096_u32).map(|i| (4096 + i % 7 * 512, 1024));
    let down = (0..4096_u32).map(|i| (4096 + (6 - i % 7) * 512, 1024));
    let all: Vec<(u32, u32)> = up.chain(down).chain([(4096, 4096), (4608, 512)]).collect();
    let place = place(vec![("LOG1", new_log(12, &Entry::new(12, &all).bytes()))]);
    let logs = [Log { name: "SYSTEM.LOG1", bytes: &place.logs[0].1 }];
    // The last hive bin is overwritten with 0x77 and invalid; the check reports it.
    if let Ok(done) = recover_without_base_block(&place.primary[..], &logs) {
        assert!(done.hive.bytes().replaced().count() <= 8 * 2 + 1);
        assert_eq!(done.hive.bytes().to_vec().unwrap().len(), place.primary.len());
    }
    survives(&place);
}

#[test]
fn numbers_near_the_end_of_32_bits() {
    const TOP: u32 = 0xffff_fe00;
    let with = |change: fn(&mut Entry)| {
        let mut entry = Entry::new(12, &[(7680, 512)]);
        change(&mut entry);
        entry.bytes()
    };
    let entries = [
        ("size", with(|e| e.size = Some(TOP))),
        ("size of 2^32 - 1", with(|e| e.size = Some(u32::MAX))),
        ("size of 0", with(|e| e.size = Some(0))),
        ("size of a sector", with(|e| e.size = Some(512))),
        ("length", with(|e| e.length = TOP)),
        ("length of almost 2 GiB", with(|e| e.length = 0x7fff_f000)),
        ("length of 0", with(|e| e.length = 0)),
        ("page count", with(|e| e.count = Some(u32::MAX))),
        ("page count that wraps", with(|e| e.count = Some(1 << 29))),
        ("page offset", with(|e| e.pages[0].0 = TOP)),
        ("page size", with(|e| e.pages[0].1 = TOP)),
        ("page end", with(|e| (e.pages[0], e.length) = ((0x7fff_f000, 0x7fff_f000), 0x7fff_f000))),
        ("page outside", with(|e| e.pages[0].0 = 8192)),
        ("page across the end", with(|e| (e.pages[0], e.data) = ((7680, 1024), 1024))),
        ("page of no bytes", with(|e| e.pages[0].1 = 0)),
        ("ragged page", with(|e| e.pages[0] = (7681, 511))),
    ];
    for (what, entry) in entries {
        let place = place(vec![("LOG1", new_log(12, &entry)), ("LOG2", new_log(13, &entry))]);
        let logs = [Log { name: "SYSTEM.LOG1", bytes: &place.logs[0].1 }];
        let failed = recover_without_base_block(&place.primary[..], &logs).map(drop);
        assert!(failed.is_err(), "{what} was applied");
        let code = failed.unwrap_err().error.code();
        assert!(matches!(code, Code::NoUsableLog | Code::RecoveredHole), "{what}: {code}");
        survives(&place);
    }
}

#[test]
fn bitmaps_without_end() {
    let all = |bytes: usize| [b"DIRT".to_vec(), vec![0xff; bytes]].concat();
    let sparse = |bytes: usize| {
        let mut bitmap = all(bytes);
        bitmap[4..].fill(0);
        *bitmap.last_mut().unwrap() = 0x80;
        bitmap.resize(bitmap.len().next_multiple_of(512) + 512, 0);
        bitmap
    };
    for (what, log) in [
        ("no room for the bitmap", old_log(0x7fff_f000, &all(100))),
        ("a bitmap and no page", old_log(0x7fff_f000, &all(0x7_ffff))),
        ("the last page of 2 GiB", old_log(0x7fff_f000, &sparse(0x7_ffff))),
        ("a length above 2 GiB", old_log(0xffff_f000, &all(4096))),
        ("a length of 0", old_log(0, &all(4096))),
        ("pages without a hive", old_log(8192, &[all(2), vec![0xee; 512 + 16 * 512]].concat())),
    ] {
        let place = place(vec![("LOG", log)]);
        let logs = [Log { name: "SYSTEM.LOG", bytes: &place.logs[0].1 }];
        assert!(recover_without_base_block(&place.primary[..], &logs).is_err(), "{what} was applied");
        survives(&place);
    }
}
