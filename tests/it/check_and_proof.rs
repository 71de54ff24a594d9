//! The check and the proof of an edit agree, and a replay is checked like an edit: damage is reported with its key and
//! value, at a place inside the file, and never as a fault of the program.

use std::collections::{BTreeMap, BTreeSet};

use hivewright::internals::edit::{Edits, Request, prepare};
use hivewright::internals::locate::Choice;
use hivewright::internals::locate::LogChoice;
use hivewright::internals::settings::nat_t::Wanted;
use hivewright_fixtures::bytes::{fix_checksum, get_u16, get_u32, payload, put_u16, put_u32, put_u64};
use hivewright_fixtures::damage::DAMAGES;
use hivewright_fixtures::logs::{TYPE_OLD, new_log, numbered, old_log};
use hivewright_fixtures::states::state;
use hivewright_fixtures::windows::service_path;
use hivewright_fixtures::{Built, KeySpec, Minor, Release, SETTING, STAMP, SystemHive};
use hivewright_hive::check::{Report, check};
use hivewright_hive::regf::key_value::TOMBSTONE;
use hivewright_hive::{EditOptions, Hive, Opened};

use crate::copies::Copied;
use crate::support::dirty_place::DirtyPlace;
use crate::support::requests::plan;

fn agent() -> String {
    service_path(1, "PolicyAgent")
}

/// Creates a hive of Windows 10 with the given contents of the key PolicyAgent, and of another key `Other`.
fn hive(minor: Minor, describe: impl FnOnce(KeySpec) -> KeySpec) -> Built {
    let other = service_path(1, "Other");
    let spec = SystemHive::new(Release::Win10).spec().minor(minor);
    spec.at(&agent(), describe).at(&other, |k| k.dword("One", 1).binary("Two", &[7; 24]).sz("Three", "three")).build()
}

/// Creates a hive with two services that share one values list.
fn shared_list(first: &str, second: &str) -> Vec<u8> {
    let mut built = hive(Minor::V5, |k| k.dword(SETTING, 2));
    let (from, to) = (built.offsets.key(&service_path(1, first)), built.offsets.key(&service_path(1, second)));
    let (list, count) = (from.values_list.unwrap(), get_u32(&built.bytes, payload(from.nk) + 36));
    let at = payload(to.nk);
    put_u32(&mut built.bytes, at + 36, count);
    put_u32(&mut built.bytes, at + 40, list);
    built.bytes
}

/// Creates a hive and a log with matching numbers from two moments: after the replay, the root's list is invalid.
fn torn(other_damage: bool) -> DirtyPlace {
    let mut before = state(2);
    let root = payload(get_u32(&before, 36));
    let list = get_u32(&before, root + 28);
    if other_damage {
        // The hash of the first subkey.
        before[payload(list) + 8] ^= 1;
    }
    let mut after = before.clone();
    put_u32(&mut after, root + 28, list + 8);
    let log = new_log(8, &[before.clone(), after]);
    DirtyPlace::new("torn", numbered(&before, 9, 8), vec![("SYSTEM.LOG1".to_owned(), log)], None)
}

#[test]
fn a_log_that_breaks_the_hive_is_reported_and_not_used() {
    let place = torn(false);
    let check = place.json(&["check", "SYSTEM"], 1);
    assert_eq!((&check["judged"], &check["sound"]), (&"replayed".into(), &false.into()));
    assert_eq!(check["primary_alone"]["sound"], true);
    assert_eq!(check["logs"]["usable"], false);
    assert!(check["logs"]["why"].as_str().unwrap().contains("SYSTEM.LOG1"), "{check:#}");
    for args in [&["recover", "SYSTEM"][..], &["set", "1", "SYSTEM"], &["set", "1", "SYSTEM", "--force"]] {
        let json = place.json(args, 3);
        assert_eq!(json["error"]["code"], "replay-breaks", "{args:?}");
        assert!(json["error"]["message"].as_str().unwrap().contains("SYSTEM.LOG1"), "{json:#}");
        place.is_untouched();
    }
    let get = place.json(&["get", "SYSTEM"], 0);
    assert_eq!((&get["hive_state"], &get["at_next_boot"]["value"]), (&"primary-alone".into(), &2.into()));
    assert!(get["not_recovered"].as_str().unwrap().contains("SYSTEM.LOG1"), "{get:#}");
    assert!(place.run(&["get", "SYSTEM"]).err.contains("SYSTEM.LOG1"));
    assert_eq!(place.run(&["set", "1", "SYSTEM", "--discard-logs"]).code, 0);
    assert_eq!(place.json(&["get", "SYSTEM"], 0)["at_next_boot"]["value"], 1);
    assert_eq!(place.json(&["check", "SYSTEM"], 0)["judged"], "primary");
}

/// Creates a hive with the setting 2, and a log with matching numbers: after the replay, the setting is `after`, and a
/// key without relation to the answer has a wrong hash.
fn torn_beside(after: u32) -> DirtyPlace {
    let (before, mut after) = (state(2), state(after));
    let root = payload(get_u32(&after, 36));
    after[payload(get_u32(&before, root + 28)) + 8] ^= 1;
    let log = new_log(8, &[before.clone(), after]);
    DirtyPlace::new("torn beside", numbered(&before, 9, 8), vec![("SYSTEM.LOG1".to_owned(), log)], None)
}

#[test]
fn a_log_that_breaks_the_hive_gives_no_other_answer() {
    let place = torn_beside(3);
    let get = place.json(&["get", "SYSTEM"], 0);
    assert_eq!((&get["hive_state"], &get["at_next_boot"]["value"]), (&"primary-alone".into(), &2.into()));
    assert!(get["not_recovered"].as_str().unwrap().contains("SYSTEM.LOG1"), "{get:#}");
    // An answer that is equal without the logs does not depend on them. A write does.
    let place = torn_beside(2);
    let get = place.json(&["get", "SYSTEM"], 0);
    assert_eq!((&get["hive_state"], &get["at_next_boot"]["value"]), (&"recovered".into(), &2.into()));
    assert_eq!(place.json(&["check", "SYSTEM"], 1)["logs"]["usable"], false);
    for args in [&["recover", "SYSTEM"][..], &["set", "1", "SYSTEM"]] {
        assert_eq!(place.json(args, 3)["error"]["code"], "replay-breaks", "{args:?}");
        place.is_untouched();
    }
}

#[test]
fn a_log_that_breaks_a_hive_without_base_block_is_reported() {
    let torn = torn(false);
    let mut primary = torn.hive();
    primary[0] = 0;
    let log = std::fs::read(torn.path("SYSTEM.LOG1")).unwrap();
    let place = DirtyPlace::new("torn, no base block", primary, vec![("SYSTEM.LOG1".to_owned(), log)], None);
    for args in [["get", "SYSTEM"], ["recover", "SYSTEM"]] {
        assert_eq!(place.json(&args, 3)["error"]["code"], "replay-breaks", "{args:?}");
    }
}

/// Creates a hive with a damaged base block, `bins` seconds older or newer than an old log, and the log, which sets 3.
fn old_without_base(bins: i64, damage: impl FnOnce(&mut [u8])) -> DirtyPlace {
    let mut primary = numbered(&state(0), 6, 5);
    let mut after = state(3);
    damage(&mut after);
    let log = old_log(TYPE_OLD, 6, &primary, &after);
    put_u64(&mut primary, 4096 + 20, STAMP.checked_add_signed(bins * 10_000_000).unwrap());
    primary[508] ^= 0xFF;
    DirtyPlace::new("old-torn-base", primary, vec![("SYSTEM.LOG1".to_owned(), log)], None)
}

#[test]
fn an_old_log_rebuilds_a_base_block_unless_the_bins_are_newer_or_break() {
    let place = old_without_base(1, |_| {});
    assert_eq!(place.json(&["recover", "SYSTEM"], 3)["error"]["code"], "dirty");
    place.is_untouched();
    // A matching time is no proof.
    let break_list = |after: &mut [u8]| {
        let root = payload(get_u32(after, 36));
        let list = get_u32(after, root + 28);
        put_u32(after, root + 28, list + 8);
    };
    let place = old_without_base(-3600, break_list);
    assert_eq!(place.json(&["recover", "SYSTEM"], 3)["error"]["code"], "replay-breaks");
    place.is_untouched();
}

#[test]
fn earlier_damage_is_not_attributed_to_the_log() {
    let place = torn(true);
    assert_eq!(place.json(&["recover", "SYSTEM"], 3)["error"]["code"], "replay-breaks");
    let mut before = state(2);
    let list = get_u32(&before, payload(get_u32(&before, 36)) + 28);
    before[payload(list) + 8] ^= 1;
    let mut after = state(3);
    after[payload(list) + 8] ^= 1;
    let log = new_log(8, &[before.clone(), after]);
    let place = DirtyPlace::new("old damage", numbered(&before, 9, 8), vec![("SYSTEM.LOG1".to_owned(), log)], None);
    let check = place.json(&["check", "SYSTEM"], 1);
    assert_eq!((&check["logs"]["usable"], &check["counts"]["subkey-hash"]), (&true.into(), &1.into()), "{check:#}");
    assert_eq!(place.json(&["recover", "SYSTEM"], 3)["error"]["code"], "damaged");
}

#[test]
fn an_old_log_rebuilds_a_base_block_while_the_bins_are_of_the_write_before() {
    let place = old_without_base(-60, |_| {});
    assert_eq!(place.json(&["get", "SYSTEM"], 0)["at_next_boot"]["value"], 3);
    assert_eq!(place.run(&["recover", "SYSTEM"]).code, 0);
    assert!(matches!(Hive::open(&place.hive()[..]).unwrap(), Opened::Clean(_)));
    assert!(check(&place.hive()).is_consistent());
}

#[test]
fn a_tombstone_is_no_value_until_one_is_set() {
    let mut built = hive(Minor::V6, |k| k.dword(SETTING, 2));
    let flags = payload(built.offsets.value(&agent(), SETTING).vk) + 16;
    let flagged = get_u16(&built.bytes, flags) | TOMBSTONE;
    put_u16(&mut built.bytes, flags, flagged);
    let copy = Copied::with(built.bytes.clone());
    copy.run(["unset", "SYSTEM"]).done();
    assert!(copy.bytes() == built.bytes);
    let json = copy.run(["set", "2", "SYSTEM", "--json"]).json();
    assert_eq!((&json["changes"][0]["before"][0]["tombstone"], &json["state"]), (&true.into(), &"written".into()));
    assert_eq!(get_u16(&copy.bytes(), flags), flagged & !TOMBSTONE);
    assert_eq!(check(&copy.bytes()).worst(), None);
    // Hives without layers have no tombstones: the bit has no meaning there.
    put_u32(&mut built.bytes, 24, 5);
    fix_checksum(&mut built.bytes);
    let copy = Copied::with(built.bytes.clone());
    copy.run(["set", "2", "SYSTEM"]).done();
    assert!(copy.bytes() == built.bytes);
    copy.run(["unset", "SYSTEM"]).done();
    assert!(copy.bytes() != built.bytes);
}

#[test]
fn a_tombstone_key_is_one_in_a_hive_with_layers_alone() {
    for (minor, get, set) in [(Minor::V5, 0, 0), (Minor::V6, 2, 3)] {
        let copy = Copied::with(hive(minor, |k| k.layered(1).dword(SETTING, 2)).bytes);
        assert_eq!(copy.run(["get", "SYSTEM"]).code, get, "{minor:?}");
        assert_eq!(copy.run(["set", "1", "SYSTEM"]).code, set, "{minor:?}");
        let noted =
            check(&copy.bytes()).findings.iter().any(|finding| finding.rule.code().as_str() == "tombstone-values");
        assert_eq!(noted, minor == Minor::V6);
    }
}

/// Returns the value of the only finding with this code.
fn value_of(report: &Report, code: &str) -> (Option<String>, Option<String>) {
    let found = report.findings.iter().find(|finding| finding.rule.code().as_str() == code).unwrap();
    (found.key.clone(), found.value.clone())
}

#[test]
fn large_data_in_the_form_of_another_version_is_a_warning_and_no_obstacle() {
    let data: Vec<u8> = (0..20_480u32).map(|i| i as u8).collect();
    // Segments in version 1.3, and one cell in version 1.5.
    for (made, shown) in [(Minor::V5, 3), (Minor::V3, 5)] {
        let mut bytes = hive(made, |k| k.binary("Large", &data)).bytes;
        put_u32(&mut bytes, 24, shown);
        fix_checksum(&mut bytes);
        let report = check(&bytes);
        assert_eq!(value_of(&report, "big-data-version"), (Some(agent()), Some("Large".to_owned())), "{shown}");
        assert!(report.is_consistent());
        let copy = Copied::with(bytes);
        assert_eq!(copy.run(["check", "SYSTEM"]).code, 1);
        copy.run(["set", "2", "SYSTEM"]).done();
        let edited = copy.bytes();
        let hive = Hive::open(&edited[..]).unwrap();
        let key = hive.primary_alone().key(&agent()).unwrap().unwrap();
        let value = key.value("Large").unwrap().unwrap();
        assert!(value.raw_data().unwrap() == data);
    }
}

#[test]
fn shared_cells_are_reported_and_not_edited() {
    // The check reaches one of them before the key of the setting, the other after it.
    for other in ["Other", "Tcpip"] {
        let copy = Copied::with(shared_list("PolicyAgent", other));
        for args in [&["unset", "SYSTEM"][..], &["set", "1", "SYSTEM"]] {
            for force in [&[][..], &["--force"]] {
                let run = copy.run([args, force].concat());
                run.failed(3, "cell-shared");
                copy.assert_untouched(other);
            }
        }
    }
}

#[test]
fn the_exit_status_of_check_distinguishes_notes_findings_and_no_hive() {
    for (fixture, code) in [
        ("sound", 0),
        ("root-flag", 0),
        ("ragged-end", 0),
        ("list-empty", 1),
        ("subkey-hash", 1),
        ("base-signature", 1),
    ] {
        let run = Copied::of(&format!("check/{fixture}")).run(["check", "SYSTEM"]);
        assert_eq!(run.code, code, "{fixture}: {run:?}");
    }
    let log = new_log(8, &[state(0), state(1)]);
    for none in [vec![0; 8192], b"Windows Registry Editor Version 5.00".to_vec(), Vec::new(), log] {
        let copy = Copied::with(none);
        assert_eq!(copy.run(["check", "SYSTEM"]).code, 2);
        assert!(copy.run(["check", "--json", "SYSTEM"]).json()["error"]["code"].is_string());
    }
}

#[test]
fn recovering_a_damaged_clean_hive_changes_nothing() {
    for damage in ["subkey-hash", "cell-shared", "value-data", "list-signature"] {
        let copy = Copied::of(&format!("check/{damage}"));
        for extra in [&[][..], &["--dry-run"]] {
            let run = copy.run([&["recover", "SYSTEM", "--json"][..], extra].concat());
            assert_eq!(run.code, 0, "{damage}: {run:?}");
            assert_eq!(run.json()["patches"], serde_json::json!([]));
        }
        copy.assert_untouched(damage);
    }
}

#[test]
fn findings_lie_inside_the_file_and_name_their_value() {
    let of_values = ["value-data", "data-not-inline", "dword-size", "big-data", "big-data-version", "duplicate-value"];
    for damage in DAMAGES {
        let bytes = (damage.make)();
        let report = check(&bytes);
        for finding in &report.findings {
            assert!(finding.offset < bytes.len() as u64, "{}: {finding}", damage.code);
            if of_values.contains(&finding.rule.code().as_str()) {
                assert!(finding.key.is_some() && finding.value.is_some(), "{}: {finding}", damage.code);
            }
        }
    }
}

/// Returns everything readable, by key node and value: damage may make one key reachable by two paths.
fn readable(bytes: &[u8]) -> BTreeMap<(u32, u32), (Vec<u8>, Vec<u8>)> {
    let opened = Hive::open(bytes).unwrap();
    let hive = opened.primary_alone();
    let (mut found, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let mut rest: Vec<_> = hive.root().into_iter().collect();
    while let Some(key) = rest.pop() {
        if !seen.insert(key.at()) {
            continue;
        }
        for value in key.values().into_iter().flatten().flatten() {
            if let Ok(data) = value.raw_data() {
                found.insert((key.at().0, value.index()), (value.name().bytes().to_vec(), data.into_owned()));
            }
        }
        if let Ok(subkeys) = key.subkeys().and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            rest.extend(subkeys);
        }
    }
    found
}

fn request(wanted: Wanted, force: bool) -> Request {
    Request {
        edits: Edits::of_plan(plan(wanted)),
        force,
        logs: LogChoice::Beside,
        discard_logs: false,
        all_users: false,
        settle: false,
        elsewhere: false,
        options: EditOptions { timestamp: None, ..EditOptions::default() },
        choice: Choice::default(),
        ignore: Vec::new(),
    }
}

/// Damages one byte, one number or one reference in the cells of a hive.
fn spoil(built: &Built, seed: &mut u64) -> Vec<u8> {
    let mut random = |below: usize| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as usize % below
    };
    let mut bytes = built.bytes.clone();
    let cells: Vec<u32> = built.offsets.cells.iter().filter(|cell| cell.allocated).map(|cell| cell.offset).collect();
    let end = 4096 + get_u32(&bytes, 40) as usize;
    let is_cell = |word: u32| cells.contains(&word);
    match random(4) {
        0 => bytes[4096 + 32 + random(end - 4096 - 32)] ^= 1 << random(8),
        1 => put_u32(&mut bytes, (4096 + 32 + random(end - 4096 - 40)) & !3, random(64) as u32),
        // A reference to another cell, usually one near the setting.
        _ => {
            let places: Vec<usize> =
                (4096 + 32..end - 4).step_by(4).filter(|&at| is_cell(get_u32(&built.bytes, at))).collect();
            put_u32(&mut bytes, places[random(places.len())], cells[random(cells.len())]);
        }
    }
    bytes
}

#[test]
fn random_damage_is_left_or_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("SYSTEM");
    let built = hive(Minor::V5, |k| k.dword(SETTING, 2).sz("Near", "a text in a cell"));
    let (mut seed, mut done, mut refused) = (13, 0, 0);
    let rounds = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150);
    for round in 0..rounds {
        let bytes = spoil(&built, &mut seed);
        let before = check(&bytes);
        assert!(before.findings.iter().all(|finding| finding.offset < bytes.len() as u64), "{round}");
        std::fs::write(&path, &bytes).unwrap();
        let wanted = if round % 2 == 0 { Wanted::Set(1) } else { Wanted::Unset };
        for force in [false, true] {
            let outcome = prepare(&path, &request(wanted, force)).and_then(|prepared| {
                prepared.prove()?;
                Ok(prepared)
            });
            match outcome {
                Ok(prepared) => {
                    done += 1;
                    assert!(force || before.is_consistent() || prepared.is_already_so(), "round {round}");
                    let after = check(&prepared.hives[0].edited.bytes);
                    assert!(after.errors().count() <= before.errors().count(), "round {round}");
                    let keys: Vec<u32> =
                        prepared.hives[0].changes.iter().map(|change| change.operation.key.unwrap().0).collect();
                    let others = |bytes: &[u8]| {
                        let mut all = readable(bytes);
                        all.retain(|(key, _), _| !keys.contains(key));
                        all
                    };
                    assert!(
                        others(&bytes) == others(&prepared.hives[0].edited.bytes),
                        "round {round}: another key changed"
                    );
                }
                Err(error) => {
                    refused += 1;
                    assert_ne!(error.code(), "proof", "round {round}, {wanted:?}, force {force}: {error}");
                    assert!(!before.findings.is_empty() || error.code() != "damaged", "round {round}: {error}");
                }
            }
        }
    }
    assert!(done > rounds / 4 && refused > rounds / 4, "{done} done, {refused} refused");
}
