//! Interrupts a change of several files at every point and in every way: the files have their old or their new bytes,
//! or the next run, which names any of them, restores one of these states.

use std::path::{Path, PathBuf};
use std::time::Instant;

use hivewright::internals::undo::{find_unfinished_on, recover_unfinished_on, undo_on};
use hivewright::{Kind, Result};

use super::lying_host::{Failure, Fate, Fault, LyingHost};
use crate::commit_faults::{Count, fates};
use crate::containers::vhdx::maker::crc32c;

/// Operations without effect: a power cut before one equals a power cut before the next one with effect.
const LOOKS: [&str; 9] = ["look", "list", "open Read", "open Write", "length", "read", "stat", "lock", "look at times"];

pub(crate) fn seen(host: &LyingHost, files: &[PathBuf]) -> Vec<Vec<u8>> {
    let see = |path: &PathBuf| host.see(path.to_str().unwrap()).expect("a file of the image is gone");
    files.iter().map(|path| without_chance(see(path))).collect()
}

/// Removes the random identifiers of a VHDX image, if a header is valid.
fn without_chance(mut bytes: Vec<u8>) -> Vec<u8> {
    for at in [64 << 10, 128 << 10].into_iter().filter(|_| bytes.starts_with(b"vhdxfile")).collect::<Vec<_>>() {
        let mut header = bytes[at..at + 4096].to_vec();
        header[4..8].fill(0);
        if crc32c(&header).to_le_bytes() == bytes[at + 4..at + 8] {
            bytes[at + 4..at + 8].fill(0);
            bytes[at + 16..at + 48].fill(0);
        }
    }
    bytes
}

/// Cuts the power, with the same fate for all unflushed changes.
fn all(host: &LyingHost, fate: Fate) -> LyingHost {
    host.reboot(&vec![fate; host.unflushed().len()])
}

/// Files that change together, with their old and new bytes.
pub(crate) struct Files<'a> {
    pub(crate) files: &'a [PathBuf],
    pub(crate) old: Vec<Vec<u8>>,
    pub(crate) new: Vec<Vec<u8>>,
    /// Every operation of the write is cut, with all unflushed changes durable, lost, torn or garbage. Of mixtures, of
    /// failures, and of cuts during the rollback of an interrupted write, one in this number is tested; see [`every`].
    pub(crate) every: usize,
}

/// Returns the sampling rate: `often` in the gate, or the number in `HIVEWRIGHT_EVERY`; with 1, a run takes minutes.
pub(crate) fn every(often: usize) -> usize {
    let named = std::env::var("HIVEWRIGHT_EVERY").ok().filter(|number| !number.is_empty());
    named.map_or(often, |number| number.parse().expect("HIVEWRIGHT_EVERY is a number"))
}

type Run<'a> = &'a dyn Fn(&LyingHost) -> Result<()>;

impl Files<'_> {
    /// Cuts the power before every writing operation of `run`, and makes every operation fail; `next` is the next run.
    pub(crate) fn test_all(&self, kind: &str, start: &LyingHost, run: Run<'_>, next: Run<'_>, least: [usize; 2]) {
        assert!(self.old != self.new);
        let (began, mut count) = (Instant::now(), Count::default());
        let whole = start.healed();
        run(&whole).unwrap();
        let log = whole.log();
        count.operations = log.len();
        let changes = |at: usize| log.get(at).is_none_or(|name| !LOOKS.contains(&name.as_str()));
        for cut in (0..=log.len()).filter(|&at| changes(at)) {
            let host = start.faulty(Fault::Cut(cut), Fate::Lost);
            // The process of the result has ended.
            let _ = run(&host);
            let is_played = |i: usize, plan: &[Fate]| {
                plan.windows(2).all(|pair| pair[0] == pair[1]) || (cut + i).is_multiple_of(self.every)
            };
            let plans = fates(&host.unflushed());
            for (i, plan) in plans.iter().enumerate().filter(|(i, plan)| is_played(*i, plan)) {
                let about = format!("{kind}, cut before operation {cut} ({:?}), {plan:?}", log.get(cut));
                let after = host.reboot(plan);
                let worst = plan.iter().all(|&fate| fate == Fate::Garbage);
                count.cuts += 1;
                count.nested += self.recovers(&after, i, worst, &about);
                if i == 0 {
                    next(&after).unwrap_or_else(|e| panic!("{e}: {about}"));
                    self.is(&all(&after, Fate::Lost), &self.new, &about);
                }
            }
        }
        for (at, name) in log.iter().enumerate().step_by(self.every) {
            let (failures, fates): (&[Failure], &[Fate]) = match name.as_str() {
                name if LOOKS.contains(&name) => (&[Failure::Io], &[Fate::Lost]),
                "flush" => (&[Failure::Io, Failure::DoneAllTheSame], &[Fate::Lost, Fate::Done, Fate::Garbage]),
                _ => (&[Failure::Io, Failure::Full, Failure::DoneAllTheSame], &[Fate::Lost]),
            };
            for (&failure, &fate) in failures.iter().flat_map(|failure| fates.iter().map(move |fate| (failure, fate))) {
                for fault in [Fault::Fail(at, failure), Fault::FailFrom(at, failure)] {
                    let host = start.faulty(fault, fate);
                    let result = run(&host);
                    count.failures += 1;
                    let about = format!("{kind}, {name} fails: {fault:?} {fate:?}: {result:?}");
                    self.assert_result_is_true(&host.healed(), result, &about);
                }
            }
        }
        count.print(kind, began);
        assert!(count.cuts >= least[0] && count.failures >= least[1], "{kind}: too few were tried");
    }

    fn is(&self, host: &LyingHost, expected: &[Vec<u8>], about: &str) {
        assert!(seen(host, self.files) == expected, "not the bytes that they should be: {about}");
    }

    fn is_old_or_new(&self, host: &LyingHost, about: &str) {
        let there = seen(host, self.files);
        let differs = |other: &[Vec<u8>]| -> Vec<String> {
            let first = |(a, b): (&Vec<u8>, &Vec<u8>)| a.iter().zip(b).position(|(a, b)| a != b);
            let pairs = there.iter().zip(other).filter(|(a, b)| a != b);
            pairs.map(|(a, b)| format!("{} of {} bytes, first at {:?}", a.len(), b.len(), first((a, b)))).collect()
        };
        let is = there == self.old || there == self.new;
        assert!(is, "neither old ({:?}) nor new ({:?}): {about}", differs(&self.old), differs(&self.new));
    }

    /// Asserts that the next run, which names any of the files, restores the old or new bytes, also if its own power is
    /// cut. Returns the number of those cuts.
    fn recovers(&self, host: &LyingHost, turn: usize, nested: bool, about: &str) -> usize {
        let named = &self.files[turn % self.files.len()];
        let run = |host: &LyingHost| recover_unfinished_on(host, named).map(drop);
        let whole = host.healed();
        run(&whole).unwrap_or_else(|e| panic!("{e}: {about}"));
        self.is_old_or_new(&whole, about);
        self.is_old_or_new(&all(&whole, Fate::Lost), about);
        assert_eq!(find_unfinished_on(&whole, named).unwrap(), None, "{about}");
        let log = if nested { whole.log() } else { Vec::new() };
        let cuts: Vec<usize> = (0..log.len())
            .filter(|&at| !LOOKS.contains(&log[at].as_str()))
            .skip(turn % self.every)
            .step_by(self.every)
            .collect();
        for &cut in &cuts {
            let cut_again = host.faulty(Fault::Cut(cut), Fate::Lost);
            let _ = run(&cut_again);
            for fate in [Fate::Lost, Fate::Garbage] {
                let again = all(&cut_again, fate);
                run(&again).unwrap_or_else(|e| panic!("{e}: cut again before {cut}, {fate:?}: {about}"));
                self.is_old_or_new(&again, about);
            }
        }
        2 * cuts.len()
    }

    /// Asserts that the result of a run with a fault is true.
    fn assert_result_is_true(&self, host: &LyingHost, result: Result<()>, about: &str) {
        let error = match result {
            Ok(()) => {
                self.is(host, &self.new, about);
                return self.is(&all(host, Fate::Lost), &self.new, about);
            }
            Err(error) => error,
        };
        if error.kind() == Kind::Unfinished {
            assert_eq!(error.code(), "unfinished-write", "{about}");
            let undo = error.advice().unwrap().strip_prefix("hivewright undo ").unwrap().to_owned();
            for host in [all(host, Fate::Lost), all(host, Fate::Done), host.healed()] {
                undo_on(&host, Path::new(&undo), None).unwrap_or_else(|e| panic!("{e}: {about}"));
                self.is(&host, &self.old, about);
                self.is(&all(&host, Fate::Lost), &self.old, about);
            }
        } else {
            assert!(matches!(error.kind(), Kind::Refused | Kind::Io), "{about}");
            for host in [host.healed(), all(host, Fate::Done), all(host, Fate::Lost)] {
                self.is(&host, &self.old, about);
            }
        }
        self.recovers(host, 1, false, about);
        self.recovers(&all(host, Fate::Lost), 2, false, about);
    }
}
