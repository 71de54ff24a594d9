//! Power cuts at every operation of an edit of a dirty hive with unchanged logs: the file replays to the old state, or
//! is the new one, or an undo file marks it as neither and restores one of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hivewright::internals::edit::commit::{Edit, InPlace, Options, commit_edits_on};
use hivewright::internals::edit::{Request, prepare};
use hivewright::internals::settings::nat_t;
use hivewright::internals::settings::nat_t::Wanted;
use hivewright::internals::undo::{State, UnfinishedWrite, find_unfinished_on, recover_unfinished_on, undo_on};
use hivewright::{Kind, Result};
use hivewright_hive::check::check;
use hivewright_hive::recover::{Log, recover_without_base_block};
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::{EditOptions, Editor, Hive, Opened, PatchSet};

use crate::commit_faults::{Count, cut_everywhere, mentions_undo};
use crate::support::contents::{Contents, booted, contents};
use crate::support::dirty_place::{DirtyPlace, named};
use crate::support::lying_host::{Failure, Fate, Fault, LyingHost};
use crate::support::requests::{in_place, request};

const TARGET: &str = "/w/SYSTEM";
const UNDO: &str = "/w/SYSTEM.hivewright-undo";

/// An edit of a dirty fixture, and the file at each stage of it.
struct Case {
    logs: Vec<(String, Vec<u8>)>,
    primary: Vec<u8>,
    recovered: Vec<u8>,
    edited: Vec<u8>,
    /// Contents of the hive with its logs replayed.
    old: Contents,
    new: Contents,
    recovery: PatchSet,
    edit: PatchSet,
    whole: PatchSet,
}

impl Case {
    /// Sets the value to a different number.
    fn of(place: &DirtyPlace) -> Self {
        const NUMBER: u32 = 1;
        let options = EditOptions { timestamp: Some(FileTime(1)), ..EditOptions::default() };
        let request = Request { settle: false, options, ..request(Some(Wanted::Set(NUMBER))) };
        let prepared = prepare(&place.path("SYSTEM"), &request).unwrap();
        prepared.prove().unwrap();
        let prepared = &prepared.hives[0];
        let logs: Vec<Log<'_>> = place.logs.iter().map(|(name, bytes)| Log { name, bytes }).collect();
        let done = recover_without_base_block(&place.primary[..], &logs).unwrap();
        let recovery = done.patches().unwrap();
        let recovered = done.hive.bytes().to_vec().unwrap();
        let Opened::Clean(hive) = Hive::open(recovered.clone()).unwrap() else { panic!("dirty") };
        let mut editor: Editor = hive.edit(EditOptions { above_sequence: place.highest(), ..options });
        for change in &prepared.changes {
            editor
                .set_value_at(change.operation.key.unwrap(), nat_t::NAME, ValueType::DWORD, &NUMBER.to_le_bytes())
                .unwrap();
        }
        let done = editor.finish().unwrap();
        assert!(done.bytes == prepared.edited.bytes, "the test edits otherwise than the library");
        assert!(!recovery.is_empty() && !done.patches.is_empty());
        Case {
            logs: place.logs.clone(),
            primary: place.primary.clone(),
            old: contents(&recovered),
            recovered,
            new: contents(&done.bytes),
            edited: done.bytes,
            recovery,
            edit: done.patches,
            whole: prepared.edited.patches.clone(),
        }
    }

    fn commit(&self, host: &LyingHost, options: &Options) -> Result<()> {
        let edit = Edit {
            target: Path::new(TARGET),
            patches: &self.whole,
            image: &self.edited,
            phases: Some((&self.recovery, &self.edit)),
        };
        commit_edits_on(host, &[edit], &|| Ok(()), options).map(drop)
    }

    /// Returns the name of the stage with this file.
    fn stage(&self, file: &[u8]) -> Option<&'static str> {
        let stages = [("old", &self.primary), ("recovered", &self.recovered), ("new", &self.edited)];
        stages.into_iter().find(|(_, stage)| *stage == file).map(|(name, _)| name)
    }

    /// Boots a partial write without regard to undo files. Garbage in a sector cannot be handled; any other result of a
    /// power cut is valid, and has the old or the new state.
    fn boot(&self, file: &[u8], about: &str) -> &'static str {
        let garbage = about.contains("Garbage");
        let logs: Vec<Log<'_>> = self.logs.iter().map(|(name, bytes)| Log { name, bytes }).collect();
        let (booted, sort) = match (Hive::open(file), recover_without_base_block(file, &logs)) {
            (_, Ok(done)) => (done.hive.bytes().to_vec().unwrap(), "partly, dirty, replays to the old state"),
            (Ok(Opened::Clean(_)), _) => (file.to_vec(), "partly, clean, holds the old or the new state"),
            (_, Err(failed)) => {
                assert!(garbage, "{}: {about}", failed.error);
                return "partly, garbage";
            }
        };
        let states = [&self.old, &self.new];
        let holds = check(&booted).is_consistent() && states.contains(&&contents(&booted));
        if garbage && !holds {
            return "partly, garbage";
        }
        assert!(holds, "a boot finds neither the old state nor the new one: {about}");
        sort
    }

    /// Asserts that it is a complete stage, which boots to the old or the new state with the old logs.
    fn assert_whole(&self, host: &LyingHost, about: &str) -> &'static str {
        let file = host.see(TARGET).expect("the target has its name");
        let stage = self.stage(&file).unwrap_or_else(|| panic!("neither old nor recovered nor new: {about}"));
        let (after, _) = booted(&file, &self.logs);
        assert!(after == if stage == "new" { &*self.edited } else { &*self.recovered }, "{stage}: {about}");
        stage
    }
}

/// Count of each state after a cut.
type States = RefCell<BTreeMap<&'static str, usize>>;

fn cuts(kind: &str, name: &str, options: &Options) {
    let (start, mut count) = (Instant::now(), Count::default());
    let case = Case::of(&named(name));
    let states = States::default();
    let add = |what: &'static str| *states.borrow_mut().entry(what).or_default() += 1;
    let host = LyingHost::with(TARGET, &case.primary);
    let replaces = options.in_place == InPlace::Auto;
    cut_everywhere(
        &mut count,
        &host,
        |host| case.commit(host, options),
        |host, _, about| {
            let file = host.see(TARGET).expect("the target has its name");
            let unfinished = find_unfinished_on(host, Path::new(TARGET)).unwrap_or_else(|e| panic!("{e}: {about}"));
            let partly = matches!(unfinished, Some(UnfinishedWrite { state: State::Partly, .. }));
            match case.stage(&file) {
                Some(stage) => add(stage),
                None => {
                    assert!(partly && !replaces, "neither, and nothing says so: {about}");
                    add(case.boot(&file, about));
                }
            }
            recover_unfinished_on(host, Path::new(TARGET)).unwrap_or_else(|e| panic!("{e}: {about}"));
            case.assert_whole(host, about);
            let lost = host.reboot(&vec![Fate::Lost; host.unflushed().len()]);
            case.assert_whole(&lost, about);
            assert_eq!(find_unfinished_on(host, Path::new(TARGET)).unwrap(), None, "{about}");
            0
        },
    );
    count.print(&format!("{kind}, {name}"), start);
    println!("  on the disk: {:?}", states.borrow());
    assert!(states.borrow().contains_key("old") && states.borrow().contains_key("new"));
    assert_eq!(states.borrow().contains_key("recovered"), !replaces, "the recovery is durable before the edit");
}

/// Makes every operation fail in every way: the message is true, and the file is a complete stage or can be undone.
fn failures(kind: &str, name: &str, options: &Options) {
    let (start, mut count) = (Instant::now(), 0);
    let case = Case::of(&named(name));
    let host = LyingHost::with(TARGET, &case.primary);
    let whole = host.healed();
    case.commit(&whole, options).unwrap();
    for at in 0..whole.log().len() {
        for failure in [Failure::Io, Failure::Full, Failure::DoneAllTheSame] {
            for fault in [Fault::Fail(at, failure), Fault::FailFrom(at, failure)] {
                let host = host.faulty(fault, Fate::Garbage);
                let result = case.commit(&host, options);
                let about = format!("{fault:?} of {:?}: {result:?}", whole.log());
                count += 1;
                let healed = host.healed();
                let lost = host.reboot(&vec![Fate::Lost; host.unflushed().len()]);
                for host in [&healed, &lost] {
                    match &result {
                        Ok(()) => assert_eq!(case.assert_whole(host, &about), "new", "{about}"),
                        Err(error) if error.kind() == Kind::Unfinished => {}
                        Err(_) => assert_eq!(case.assert_whole(host, &about), "old", "{about}"),
                    }
                    recover_unfinished_on(host, Path::new(TARGET)).unwrap_or_else(|e| panic!("{e}: {about}"));
                    let stage = case.assert_whole(host, &about);
                    if let Err(error) = &result
                        && error.code() == "recovered-only"
                    {
                        assert_eq!(stage, "recovered", "{about}");
                        assert!(mentions_undo(&error.to_string()), "{about}");
                        undo_on(host, Path::new(UNDO), None).unwrap_or_else(|e| panic!("{e}: {about}"));
                        assert_eq!(case.assert_whole(host, &about), "old", "{about}");
                    }
                }
            }
        }
    }
    println!("{kind}, {name}: {count} failed operations; {:.1} s", start.elapsed().as_secs_f32());
}

#[test]
fn cuts_while_a_dirty_hive_is_edited_in_place() {
    for name in ["new-two-logs", "new-growth", "new-gap-between-logs", "old-one-log", "new-bad-base"] {
        cuts("in place", name, &in_place());
    }
}

#[test]
fn cuts_while_a_dirty_hive_is_replaced() {
    for name in ["new-two-logs", "new-growth", "old-one-log", "new-bad-base"] {
        cuts("replace", name, &Options::default());
    }
    cuts(
        "replace, with an undo file",
        "new-two-logs",
        &Options { undo: Some(PathBuf::from(UNDO)), ..Options::default() },
    );
}

#[test]
fn failures_while_a_dirty_hive_is_edited() {
    for name in ["new-two-logs", "new-growth"] {
        failures("in place", name, &in_place());
        failures("replace", name, &Options::default());
    }
}
