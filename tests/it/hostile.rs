//! Hostile input: every byte flipped, every length cut, damaged logs, the odd hives of the corpus. Nothing panics, the
//! reads of a report are bounded by the hive, and an edit of a valid hive leaves it valid.

use std::borrow::Cow;
use std::cell::Cell;
use std::path::Path;
use std::sync::Once;

use hivewright::internals::settings::nat_t::{self};
use hivewright::internals::windows::Selection;
use hivewright_error::Result;
use hivewright_hive::check::{Report, Severity, check};
use hivewright_hive::recover::{Log, highest_sequence, recover_without_base_block};
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::base_block::BaseBlock;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::{Delete, EditOptions, Edited, Hive, HiveBytes, Opened, witness};

use crate::copies::fixture;
use crate::{command, corpus};

const MASKS: [u8; 4] = [0xff, 0x01, 0x80, 0x18];

/// Fails the test if a reader exceeds the bound of reads, which detects a hang without a clock.
pub(crate) struct Bounded<'h> {
    bytes: &'h [u8],
    left: Cell<u64>,
}

impl<'h> Bounded<'h> {
    /// One read per byte is far more than a report of a small hive needs (some hundred).
    pub(crate) fn new(bytes: &'h [u8]) -> Self {
        Bounded { bytes, left: Cell::new(4096 + bytes.len() as u64) }
    }
}

impl HiveBytes for Bounded<'_> {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        self.left.set(self.left.get().checked_sub(1).expect("the reader reads on and on"));
        self.bytes.read(offset, len)
    }
}

/// Counts how far the inputs of a test got: inputs that are all rejected at once would show nothing.
#[derive(Debug, Default)]
struct Tally {
    inputs: u64,
    opened: u64,
    reported: u64,
    sound: u64,
    edited: u64,
}

/// Suppresses the output of the second parser's panics, which are caught.
pub(crate) fn quiet_witness() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !witness::is_asking() {
                usual(info);
            }
        }));
    });
}

/// Reads, checks and edits arbitrary bytes.
fn exercise(bytes: &[u8], tally: &mut Tally) {
    tally.inputs += 1;
    let report = check(bytes);
    assert_eq!(report.facts.file_len, bytes.len() as u64);
    assert!(report.facts.keys <= report.facts.allocated_cells, "no key is counted twice");
    let bounded = Bounded::new(bytes);
    let Ok(opened) = Hive::open(&bounded) else { return };
    tally.opened += 1;
    if let Ok(read) = nat_t::report(opened.primary_alone(), None) {
        tally.reported += 1;
        for service in read.control_sets.iter().flat_map(|set| &set.services) {
            let _ = witness::read(bytes, &service.path, nat_t::NAME);
        }
    }
    if let Ok(Opened::Clean(hive)) = Hive::open(bytes.to_vec()) {
        tally.sound += u64::from(report.is_consistent());
        tally.edited += u64::from(edit(hive, &report));
    }
}

/// Sets and removes the setting in the keys of a write, else in the root key. Returns whether that succeeded.
fn edit(hive: Hive<Vec<u8>>, before: &Report) -> bool {
    let places = nat_t::plan(&hive, &Selection::default(), None, false)
        .map(|places| places.into_iter().map(|place| place.key).collect())
        .or_else(|_| hive.root().map(|root| vec![root.at()]));
    let Ok(places) = places else { return false };
    let Some(set) = apply(hive, &places, Some(2)) else { return false };
    assert_no_new_findings(before, &set.bytes);
    let Ok(Opened::Clean(hive)) = Hive::open(set.bytes) else { panic!("an edit left the hive dirty") };
    let Some(unset) = apply(hive, &places, None) else { return false };
    assert_no_new_findings(before, &unset.bytes);
    true
}

fn apply(hive: Hive<Vec<u8>>, keys: &[CellOffset], number: Option<u32>) -> Option<Edited> {
    let options = EditOptions { timestamp: Some(FileTime(1)), max_file_len: 1 << 30, above_sequence: None };
    let mut editor = hive.edit(options);
    for &key in keys {
        match number {
            Some(number) => editor.set_value_at(key, nat_t::NAME, ValueType::DWORD, &number.to_le_bytes()),
            None => editor.delete_value_at(key, nat_t::NAME, Delete::Any),
        }
        .ok()?;
    }
    editor.finish().ok()
}

/// Asserts that a valid hive is still valid, without new findings worse than a note.
fn assert_no_new_findings(before: &Report, after: &[u8]) {
    if !before.is_consistent() {
        return;
    }
    let after = check(after);
    let errors: Vec<_> = after.errors().map(ToString::to_string).collect();
    assert_eq!(errors, [""; 0], "an edit damaged a sound hive");
    for (code, count) in after.counts.iter().filter(|(code, _)| code.severity() > Severity::Note) {
        assert!(count <= before.counts.of(code), "an edit added {code} to {:?}", before.findings);
    }
}

/// Corrects the checksum of the base block, so that the rest is reached.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Ok(base) = BaseBlock::parse(&bytes) {
        bytes[508..512].copy_from_slice(&base.computed_checksum().to_le_bytes());
    }
    bytes
}

/// Returns the places where damage has most effect: the fields of the base block, and all nonzero bytes.
fn effective_places(bytes: &[u8]) -> Vec<usize> {
    let field = |at: usize| at < 256 || (504..512).contains(&at);
    (0..bytes.len()).filter(|&at| if at < 4096 { field(at) } else { bytes[at] != 0 }).collect()
}

/// Flips every byte of `places`; every second one with the checksum corrected.
fn flip(bytes: &[u8], places: impl Iterator<Item = usize>, mask: impl Fn(usize) -> u8, tally: &mut Tally) {
    for at in places {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= mask(at);
        exercise(&if (at / 4 + at) % 2 == 0 { with_checksum(bytes) } else { bytes }, tally);
    }
}

#[test]
fn every_byte_of_a_hive_flipped() {
    quiet_witness();
    let (bytes, mut tally) = (fixture("windows/win10"), Tally::default());
    flip(&bytes, 0..bytes.len(), |at| MASKS[at / 8 % 4], &mut tally);
    println!("{tally:?}");
    assert_eq!(tally.inputs, bytes.len() as u64);
    assert!(tally.reported > tally.inputs / 2 && tally.edited > tally.inputs / 4, "{tally:?}");
}

#[test]
fn effective_bytes_flipped_in_several_ways() {
    quiet_witness();
    for (name, every) in
        [("windows/win10", 6), ("windows/xp-sp3", 11), ("shapes/odd-values", 11), ("shapes/old-lists", 11)]
    {
        let (bytes, mut tally) = (fixture(name), Tally::default());
        for (turn, mask) in MASKS.into_iter().enumerate() {
            let places = effective_places(&bytes).into_iter().skip(turn).step_by(every);
            flip(&bytes, places, |_| mask, &mut tally);
        }
        println!("{name}: {tally:?}");
        assert!(tally.sound > 0 && tally.sound < tally.inputs, "{name}: {tally:?}");
    }
}

#[test]
fn every_length_of_a_hive() {
    quiet_witness();
    let bytes = fixture("windows/win10");
    let mut tally = Tally::default();
    for len in 0..bytes.len() {
        exercise(&bytes[..len], &mut tally);
    }
    println!("{tally:?}");
    assert_eq!(tally.sound, 0, "a hive that was cut short is not sound");
}

/// Hives whose base block has the length of the cut file.
#[test]
fn lengths_that_the_base_block_confirms() {
    quiet_witness();
    for name in ["windows/win10", "shapes/big-data"] {
        let bytes = fixture(name);
        let mut tally = Tally::default();
        for pages in 1..bytes.len() / 4096 {
            for more in [0, 1, 32, 4095] {
                let mut cut = bytes[..(pages * 4096 + more).min(bytes.len())].to_vec();
                cut[40..44].copy_from_slice(&((pages as u32 - 1) * 4096).to_le_bytes());
                exercise(&with_checksum(cut), &mut tally);
            }
        }
        println!("{name}: {tally:?}");
    }
}

/// Replays possibly damaged logs and edits the result.
fn replay(hive: &[u8], logs: &[(&str, &[u8])], tally: &mut Tally) {
    tally.inputs += 1;
    let logs: Vec<_> = logs.iter().map(|&(name, bytes)| Log { name, bytes }).collect();
    let _ = highest_sequence(&logs);
    let recovered = match Hive::open(hive) {
        Ok(Opened::Dirty(dirty)) => dirty.recover(&logs).ok(),
        _ => recover_without_base_block(hive, &logs).ok(),
    };
    let Some(recovered) = recovered else { return };
    let set = recovered.patches().unwrap();
    let mut whole = hive.to_vec();
    whole.resize(set.new_len as usize, 0);
    for patch in &set.patches {
        whole[patch.offset as usize..][..patch.new.len()].copy_from_slice(&patch.new);
    }
    assert!(
        whole.len() <= hive.len() + logs.iter().map(|log| log.bytes.len()).sum::<usize>(),
        "nothing comes of nothing"
    );
    exercise(&whole, tally);
    tally.inputs -= 1;
}

fn dirty(name: &str) -> (Vec<u8>, Vec<(&'static str, Vec<u8>)>) {
    let folder = command::fixtures().join("dirty").join(name);
    let logs = ["SYSTEM.LOG", "SYSTEM.LOG1", "SYSTEM.LOG2"].into_iter();
    let logs = logs.filter_map(|log| Some((log, std::fs::read(folder.join(log)).ok()?))).collect();
    (std::fs::read(folder.join("SYSTEM")).unwrap(), logs)
}

#[test]
fn damaged_logs() {
    quiet_witness();
    for name in ["new-two-logs", "new-growth", "new-bad-base", "old-one-log", "old-growth"] {
        let (hive, logs) = dirty(name);
        let mut tally = Tally::default();
        for damaged in 0..logs.len() {
            let log = &logs[damaged].1;
            let mut run = |changed: &[u8]| {
                let log = |i: usize| if i == damaged { changed } else { &logs[i].1 };
                let logs: Vec<(&str, &[u8])> = (0..logs.len()).map(|i| (logs[i].0, log(i))).collect();
                replay(&hive, &logs, &mut tally);
            };
            // Headers byte by byte, samples of pages; half of the headers with a valid checksum.
            let heads = (0..log.len()).filter(|at| at % 512 < 64 && log[at / 512 * 512..].starts_with(b"HvLE"));
            let places = (0..log.len().min(512)).chain(heads).chain((512..log.len()).step_by(131));
            for at in places {
                let mut log = log.clone();
                log[at] ^= MASKS[at % 4];
                run(&if at % 2 == 0 { with_checksum(log) } else { log });
            }
            (0..log.len()).filter(|len| len % 37 == 0 || len % 512 < 2).for_each(|len| run(&log[..len]));
        }
        println!("{name}: {tally:?}");
        assert!(tally.opened > 0, "{name}: {tally:?}");
    }
}

#[test]
fn odd_hives_of_the_corpus() {
    let Some(folder) = corpus::folder("hostile").filter(|_| corpus::can_unpack("hostile")) else { return };
    quiet_witness();
    let (mut tally, mut todo) =
        (Tally::default(), vec![folder.join("edge"), folder.join("synthetic"), folder.join("fragments")]);
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = corpus::read(&folder, relative(&path, &folder)).unwrap();
            exercise(&bytes, &mut tally);
            exercise(&with_checksum(bytes), &mut tally);
        }
    }
    println!("{tally:?}");
    assert!(tally.inputs > 100 && tally.edited > 10, "{tally:?}");
}

fn relative<'p>(path: &'p Path, folder: &Path) -> &'p str {
    path.strip_prefix(folder).unwrap().to_str().unwrap()
}
