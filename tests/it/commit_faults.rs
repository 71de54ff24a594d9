//! Commits and undos on a file system with faults: the file is old or new, or is restored to one of them, after every
//! cut.

use hivewright_error::Code;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hivewright::internals::edit::commit::{InPlace, Options, commit_on};
use hivewright::internals::undo::{find_unfinished_on, recover_unfinished_on, undo_on};
use hivewright::{Kind, Result};
use hivewright_hive::{Patch, PatchSet, Step};

use crate::support::lying_host::{Failure, Fate, Fault, LyingHost};
use crate::support::requests::in_place;

const TARGET: &str = "/w/SYSTEM";
const OUTPUT: &str = "/w/edited";
const UNDO: &str = "/w/SYSTEM.hivewright-undo";

/// Returns whether a message names the undo file, with the separators of any system.
pub(crate) fn mentions_undo(message: &str) -> bool {
    message.replace('\\', "/").contains(UNDO)
}

/// A change, with the old and new bytes.
struct Case {
    set: PatchSet,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// Creates patches of all steps: within a sector, across sectors and blocks, two steps in one sector, and (if the file
/// grows) across and after the old end, with new space outside of all patches.
fn case(old_len: usize, new_len: usize) -> Case {
    let old: Vec<u8> = (0..old_len).map(|i| (i * 7 + i / 256) as u8).collect();
    let mut new = old.clone();
    new.resize(new_len, 0);
    let mut plan = vec![
        (Step::Prepare, 5000, 1100),
        (Step::Allocate, 4996, 4),
        (Step::Base, 4, 8),
        (Step::Base, 508, 4),
        (Step::Link, 4090, 12),
        (Step::Link, 300, 2),
        (Step::Finish, 12, 4),
        (Step::Finish, 512, 4),
        (Step::Release, 7168, 4),
    ];
    if new_len > old_len {
        plan.push((Step::Prepare, old_len - 6, 600));
        plan.push((Step::Prepare, old_len + 1000, 32));
    }
    plan.sort_by_key(|p| p.0);
    let patches: Vec<Patch> = plan
        .into_iter()
        .map(|(step, offset, len)| {
            let bytes: Vec<u8> = (0..len).map(|i| !(offset + i) as u8 | 1).collect();
            new[offset..offset + len].copy_from_slice(&bytes);
            let old = old[offset.min(old_len)..(offset + len).min(old_len)].to_vec();
            Patch { offset: offset as u64, old, new: bytes, what: "a test".into(), step }
        })
        .collect();
    let set = PatchSet { old_len: old_len as u64, new_len: new_len as u64, patches };
    Case { set, old, new }
}

fn commit(host: &LyingHost, case: &Case, options: &Options) -> Result<()> {
    commit_on(host, Path::new(TARGET), &case.set, &case.new, options).map(|_| ())
}

fn undo(host: &LyingHost) -> Result<()> {
    undo_on(host, Path::new(UNDO), None).map(|_| ())
}

/// Returns fates of unflushed changes: all equal, each different, and mixtures.
pub(crate) fn fates(sectors: &[usize]) -> Vec<Vec<Fate>> {
    let n = sectors.len();
    let uniform = [Fate::Done, Fate::Lost, Fate::Torn(1), Fate::Garbage];
    let mut plans: Vec<Vec<Fate>> = uniform.iter().map(|f| vec![*f; n]).collect();
    for (i, &length) in sectors.iter().enumerate() {
        let mut own = vec![Fate::Done, Fate::Lost];
        if length > 0 {
            own.push(Fate::Garbage);
            own.extend([1, length / 2, length.saturating_sub(1)].into_iter().filter(|&k| k > 0).map(Fate::Torn));
        }
        for (others, fate) in [Fate::Done, Fate::Lost].into_iter().flat_map(|o| own.iter().map(move |f| (o, *f))) {
            let mut plan = vec![others; n];
            plan[i] = fate;
            plans.push(plan);
        }
    }
    let mut random = 0x9e37_79b9_u32;
    for _ in 0..4 {
        plans.push(
            (0..n)
                .map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    uniform[(random >> 24) as usize % 4]
                })
                .collect(),
        );
    }
    plans.sort_by_key(|p| format!("{p:?}"));
    plans.dedup();
    if n == 0 { vec![vec![]] } else { plans }
}

#[derive(Default)]
pub(crate) struct Count {
    pub(crate) operations: usize,
    pub(crate) cuts: usize,
    pub(crate) nested: usize,
    pub(crate) failures: usize,
}

impl Count {
    pub(crate) fn print(&self, kind: &str, start: Instant) {
        println!(
            "{kind}: {} operations; {} power cuts, {} more during recovery, {} failed operations; {:.1} s",
            self.operations,
            self.cuts,
            self.nested,
            self.failures,
            start.elapsed().as_secs_f32()
        );
    }
}

/// Cuts the power before every operation of `run` and after the last, with every fate of the unflushed changes.
pub(crate) fn cut_everywhere(
    count: &mut Count,
    start: &LyingHost,
    run: impl Fn(&LyingHost) -> Result<()>,
    check: impl Fn(&LyingHost, bool, &str) -> usize,
) {
    let whole = start.healed();
    run(&whole).unwrap();
    count.operations = whole.log().len();
    for cut in 0..=count.operations {
        let host = start.faulty(Fault::Cut(cut), Fate::Lost);
        // The process of the result has ended.
        let _ = run(&host);
        for plan in fates(&host.unflushed()) {
            let about = format!("cut before operation {cut} of {:?}, {plan:?}", whole.log());
            count.cuts += 1;
            // The worst states for recovery are also cut during recovery.
            let nested = plan.iter().all(|&fate| fate == Fate::Garbage);
            count.nested += check(&host.reboot(&plan), nested, &about);
        }
    }
}

/// State for the user after a failed run.
struct Outcome<'a> {
    host: &'a LyingHost,
    result: Result<()>,
    about: String,
}

/// Makes every operation of `run` fail in every way.
fn fail_everywhere(
    count: &mut Count,
    start: &LyingHost,
    run: impl Fn(&LyingHost) -> Result<()>,
    check: impl Fn(Outcome<'_>),
) {
    let failures = [Failure::Io, Failure::Full, Failure::DoneAllTheSame];
    let whole = start.healed();
    run(&whole).unwrap();
    for (at, name) in whole.log().iter().enumerate() {
        // The fate of a failed flush only matters if a flush fails.
        let fates: &[Fate] =
            if name.starts_with("flush") { &[Fate::Lost, Fate::Done, Fate::Garbage] } else { &[Fate::Lost] };
        for failure in failures {
            for fault in [Fault::Fail(at, failure), Fault::FailFrom(at, failure)] {
                for &flush_fate in fates {
                    let host = start.faulty(fault, flush_fate);
                    let result = run(&host);
                    count.failures += 1;
                    let about = format!("{fault:?} {flush_fate:?} of {:?}: {result:?}", host.log());
                    let healed = host.healed();
                    check(Outcome { host: &healed, result, about });
                }
            }
        }
    }
}

/// Returns the file system after a power cut that loses all unflushed changes.
fn all_lost(host: &LyingHost) -> LyingHost {
    host.reboot(&vec![Fate::Lost; host.unflushed().len()])
}

fn all_done(host: &LyingHost) -> LyingHost {
    host.reboot(&vec![Fate::Done; host.unflushed().len()])
}

/// Asserts that the file is old or new without recovery.
fn old_or_new(host: &LyingHost, case: &Case, about: &str) {
    let there = host.see(TARGET).expect("the target has its name");
    assert!(there == case.old || there == case.new, "neither old nor new: {about}");
    assert_eq!(host.metadata(TARGET), "kept", "{about}");
}

/// Asserts that the file is old or new after recovery; with `nested`, also if the power is cut during recovery. Returns
/// the number of those cuts.
fn recovers(host: &LyingHost, case: &Case, nested: bool, about: &str) -> usize {
    let run = |host: &LyingHost| recover_unfinished_on(host, Path::new(TARGET)).map(|_| ());
    let whole = host.healed();
    run(&whole).unwrap_or_else(|e| panic!("{e}: {about}"));
    old_or_new(&whole, case, about);
    old_or_new(&all_lost(&whole), case, about);
    assert_eq!(find_unfinished_on(&whole, Path::new(TARGET)).unwrap(), None, "{about}");
    let mut tried = 0;
    let operations = if nested { whole.log().len() } else { 0 };
    for cut in 0..operations {
        let cut_again = host.faulty(Fault::Cut(cut), Fate::Lost);
        let _ = run(&cut_again);
        for fate in [Fate::Lost, Fate::Garbage] {
            let again = cut_again.reboot(&vec![fate; cut_again.unflushed().len()]);
            run(&again).unwrap_or_else(|e| panic!("{e}: cut again before {cut}, {fate:?}: {about}"));
            old_or_new(&again, case, about);
            tried += 1;
        }
    }
    tried
}

/// Asserts that the target is in the state of the result's message.
fn assert_result_is_true(outcome: Outcome<'_>, case: &Case) {
    let Outcome { host, result, about } = outcome;
    match result {
        Ok(()) => {
            assert!(host.see(TARGET).as_ref() == Some(&case.new), "not the new bytes: {about}");
            assert!(all_lost(host).see(TARGET).as_ref() == Some(&case.new), "not the new bytes: {about}");
        }
        Err(error) if error.kind() == Kind::Unfinished && error.code() == "unfinished-write" => {
            assert!(mentions_undo(&error.to_string()), "{about}");
            assert!(mentions_undo(error.advice().unwrap()), "{about}");
            for host in [all_lost(host), all_done(host), host.healed()] {
                undo(&host).unwrap_or_else(|e| panic!("{e}: {about}"));
                assert!(host.see(TARGET).as_ref() == Some(&case.old), "not the old bytes: {about}");
                assert!(all_lost(&host).see(TARGET).as_ref() == Some(&case.old), "not the old bytes: {about}");
            }
            for host in [all_lost(host), host.healed()] {
                recovers(&host, case, false, &about);
            }
        }
        Err(error) if error.kind() == Kind::Unfinished => {
            assert!(matches!(error.code(), Code::NotDurable | Code::ReadBack), "{about}");
            old_or_new(host, case, &about);
            old_or_new(&all_lost(host), case, &about);
        }
        Err(error) => {
            assert!(matches!(error.kind(), Kind::Refused | Kind::Io), "{about}");
            for host in [host.healed(), all_done(host), all_lost(host)] {
                assert!(host.see(TARGET).as_ref() == Some(&case.old), "not the old bytes: {about}");
                assert_eq!(host.metadata(TARGET), "kept", "{about}");
            }
            recovers(host, case, false, &about);
        }
    }
}

fn faults_of_commit(kind: &str, case: &Case, options: &Options, nested: bool) {
    let (start, mut count) = (Instant::now(), Count::default());
    let host = LyingHost::with(TARGET, &case.old);
    let run = |host: &LyingHost| commit(host, case, options);
    let replaces = options.in_place == InPlace::Auto;
    cut_everywhere(&mut count, &host, run, |host, worst, about| {
        if replaces {
            old_or_new(host, case, about);
        }
        recovers(host, case, nested && worst, about)
    });
    fail_everywhere(&mut count, &host, run, |outcome| assert_result_is_true(outcome, case));
    count.print(kind, start);
}

#[test]
fn changes_by_others_are_detected_until_the_rename() {
    let case = case(12288, 12288);
    let host = LyingHost::with(TARGET, &case.old);
    let whole = host.healed();
    commit(&whole, &case, &Options::default()).unwrap();
    let mut meddled = case.old.clone();
    *meddled.last_mut().unwrap() ^= 1;
    let rename = whole.log().iter().position(|name| name == "rename").unwrap();
    for at in 0..rename {
        let host = host.faulty(Fault::Meddle(at), Fate::Lost);
        let error = commit(&host, &case, &Options::default()).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Refused, Code::ChangedSince), "before operation {at}");
        assert!(host.see(TARGET).as_ref() == Some(&meddled), "before operation {at}");
    }
}

#[test]
fn replacing() {
    faults_of_commit("replace", &case(12288, 12288), &Options::default(), true);
}

#[test]
fn replacing_with_an_undo_file() {
    let options = Options { undo: Some(PathBuf::from(UNDO)), keep_times: true, ..Options::default() };
    faults_of_commit("replace, with an undo file", &case(12288, 16384), &options, true);
}

#[test]
fn writing_in_place() {
    faults_of_commit("in place", &case(12288, 12288), &in_place(), false);
}

#[test]
fn growing_in_place() {
    faults_of_commit("in place, growing", &case(12288, 16384), &in_place(), true);
}

#[test]
fn growing_in_place_from_an_odd_length() {
    faults_of_commit("in place, growing from an odd length", &case(12000, 16385), &in_place(), false);
}

#[test]
fn writing_elsewhere() {
    let (start, mut count) = (Instant::now(), Count::default());
    let case = case(12288, 16384);
    let host = LyingHost::with(TARGET, &case.old);
    let options = Options { output: Some(PathBuf::from(OUTPUT)), ..Options::default() };
    let run = |host: &LyingHost| commit(host, &case, &options);
    cut_everywhere(&mut count, &host, run, |host, _, about| {
        assert!(host.see(TARGET).as_ref() == Some(&case.old), "not the old bytes: {about}");
        let output = host.see(OUTPUT);
        assert!(output.is_none_or(|bytes| bytes == case.new), "a part of the output: {about}");
        0
    });
    fail_everywhere(&mut count, &host, run, |Outcome { host, result, about }| {
        assert!(all_lost(host).see(TARGET).as_ref() == Some(&case.old), "not the old bytes: {about}");
        match result {
            Ok(()) => assert_eq!(all_lost(host).see(OUTPUT).unwrap(), case.new, "{about}"),
            Err(error) => assert!(error.kind() == Kind::Io, "{about}"),
        }
    });
    count.print("output", start);
}

fn faults_of_undo(kind: &str, case: &Case, options: &Options) {
    let (start, mut count) = (Instant::now(), Count::default());
    let host = LyingHost::with(TARGET, &case.old);
    if options.in_place == InPlace::Always {
        host.keep();
    }
    commit(&host, case, options).unwrap();
    let host = all_done(&host);
    cut_everywhere(&mut count, &host, undo, |host, nested, about| {
        let cuts = recovers(host, case, nested, about);
        undo(host).unwrap_or_else(|e| panic!("{e}: {about}"));
        assert!(host.see(TARGET).as_ref() == Some(&case.old), "not the old bytes: {about}");
        undo(host).unwrap();
        assert!(host.see(TARGET).as_ref() == Some(&case.old), "not the old bytes: {about}");
        cuts
    });
    fail_everywhere(&mut count, &host, undo, |Outcome { host, result, about }| {
        match &result {
            Ok(()) => assert_eq!(all_lost(host).see(TARGET).unwrap(), case.old, "{about}"),
            Err(error) if error.kind() == Kind::Unfinished => {
                assert!(error.code() != "unfinished-write" || mentions_undo(&error.to_string()), "{about}");
            }
            Err(error) => {
                assert!(error.kind() == Kind::Io, "{about}");
                assert!(host.see(TARGET).as_ref() == Some(&case.new), "not the new bytes: {about}");
            }
        }
        for host in [host.healed(), all_lost(host)] {
            undo(&host).unwrap_or_else(|e| panic!("{e}: {about}"));
            assert!(host.see(TARGET).as_ref() == Some(&case.old), "not the old bytes: {about}");
            assert!(all_lost(&host).see(TARGET).as_ref() == Some(&case.old), "not the old bytes: {about}");
        }
    });
    count.print(kind, start);
}

#[test]
fn undoing_a_replacement() {
    let options = Options { undo: Some(PathBuf::from(UNDO)), ..Options::default() };
    faults_of_undo("undo by replacing", &case(12288, 16384), &options);
}

#[test]
fn undoing_in_place() {
    faults_of_undo("undo in place", &case(12288, 16384), &in_place());
}
