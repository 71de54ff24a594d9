//! Setting the value in every dirty fixture: the contents of the logs are kept, and no replay follows the edit.

use std::fs;

use hivewright_hive::recover::{Log, highest_sequence};

use crate::judges::{oracle_diff, oracle_finds};
use crate::support::contents::{booted, contents, differences};
use crate::support::dirty_place::{DirtyPlace, all, named, recoverable};

const PLACE: &str = "ASSUMEUDPENCAPSULATIONCONTEXTONSENDRULE";

fn sequences(file: &[u8]) -> [u32; 2] {
    [4, 8].map(|at| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()))
}

fn is_above(number: u32, other: u32) -> bool {
    number.wrapping_sub(other).cast_signed() > 0
}

/// Asserts that the hive in the folder is clean, has `number`, differs from `from` only in that, and is not affected by
/// old logs.
fn assert_edited(place: &DirtyPlace, from: &[u8], number: u32) {
    let about = &place.name;
    let made = place.hive();
    let [first, second] = sequences(&made);
    assert_eq!(first, second, "{about}: dirty");
    if let Some(highest) = place.highest() {
        assert!(is_above(first, highest), "{about}: {first} is not above {highest}");
    }
    let (old, new) = (contents(from), contents(&made));
    let changed = differences(&old, &new);
    let there = old.iter().find(|((_, value), _)| value.as_deref() == Some(PLACE)).unwrap();
    if there.1.1 == number.to_le_bytes() {
        assert_eq!(changed, [], "{about}");
    } else {
        assert_eq!(changed.len(), 1, "{about}: {changed:?}");
        assert_eq!(changed[0].1.as_deref(), Some(PLACE), "{about}");
    }
    let (_, (kind, data)) = new.iter().find(|((_, value), _)| value.as_deref() == Some(PLACE)).unwrap();
    assert_eq!((*kind, &data[..]), (4, &number.to_le_bytes()[..]), "{about}");
    let (after, replayed) = booted(&made, &place.logs);
    assert!(!replayed && after == made, "{about}: the old logs are replayed over the edit");
    place.logs_are_untouched();
}

/// Returns the fixture after the replay of its logs.
fn expected(place: &DirtyPlace) -> Vec<u8> {
    place.expected.clone().unwrap()
}

/// Returns the number after the replay.
fn number_in(file: &[u8]) -> u32 {
    let all = contents(file);
    let (_, (_, data)) = all.iter().find(|((_, value), _)| value.as_deref() == Some(PLACE)).unwrap();
    u32::from_le_bytes(data[..].try_into().unwrap())
}

/// Returns 2, or 1 if the replay results in 2, which would need no edit.
fn other_number(place: &DirtyPlace) -> u32 {
    if number_in(&expected(place)) == 2 { 1 } else { 2 }
}

#[test]
fn setting_recovers_first_and_keeps_all_data() {
    let (mut edited, mut judged) = (0, 0);
    for place in recoverable() {
        let number = other_number(&place);
        let json = place.json(&["set", &number.to_string(), "SYSTEM", "--undo", "undo"], 0);
        assert!(json["recovery"]["applied"].is_array(), "{}: {json:#}", place.name);
        assert_edited(&place, &expected(&place), number);
        fs::write(place.path("EXPECTED"), expected(&place)).unwrap();
        if let Some(lines) = oracle_diff("dirty_edits", &place.path("EXPECTED"), &place.path("SYSTEM")) {
            assert_eq!(lines.len(), 1, "{}: {lines:?}", place.name);
            assert_eq!(lines[0]["new"]["data"], format!("0{number}000000"), "{}: {lines:?}", place.name);
            let found = oracle_finds("dirty_edits", &place.path("SYSTEM")).unwrap();
            assert_eq!(found, serde_json::json!({}), "{}", place.name);
            judged += 1;
        }
        let get = place.json(&["get", "SYSTEM"], 0);
        assert_eq!(
            (&get["hive_state"], &get["at_next_boot"]["value"]),
            (&"clean".into(), &number.into()),
            "{}",
            place.name
        );
        assert_eq!(place.run(&["check", "SYSTEM"]).code, 0, "{}", place.name);
        let again = place.run(&["set", &number.to_string(), "SYSTEM"]);
        assert!(again.code == 0 && again.out.contains(&format!("already {number}")), "{}: {again:?}", place.name);
        let undo = place.run(&["undo", "undo"]);
        assert_eq!(undo.code, 0, "{}: {undo:?}", place.name);
        assert!(place.hive() == place.primary, "{}: undo did not bring the dirty hive back", place.name);
        place.logs_are_untouched();
        edited += 1;
    }
    assert_eq!(edited, 21);
    println!("{edited} edited, {judged} of them judged by another program");
}

/// The replay results in the wanted number: the hive is recovered as by `recover`, without an edit.
#[test]
fn setting_the_number_of_the_logs_only_recovers() {
    let mut met = 0;
    for place in recoverable().filter(|place| number_in(&expected(place)) == 2) {
        assert_eq!(place.run(&["recover", "SYSTEM", "--output", "recovered"]).code, 0);
        let run = place.run(&["set", "2", "SYSTEM"]);
        assert_eq!(run.code, 0, "{}: {run:?}", place.name);
        assert!(run.out.contains("was dirty"), "{}: {run:?}", place.name);
        assert!(place.hive() == place.read("recovered"), "{}", place.name);
        let (after, replayed) = booted(&place.hive(), &place.logs);
        assert!(!replayed && after == place.hive(), "{}", place.name);
        met += 1;
    }
    assert!(met > 5, "{met}");
}

/// In place: the recovery, then the edit, with one undo file for both.
#[test]
fn setting_in_place_leaves_one_undo_file() {
    for place in recoverable() {
        let json = place.json(&["set", "1", "SYSTEM", "--in-place"], 0);
        assert_eq!(json["commit"]["how"], "in-place", "{}: {json:#}", place.name);
        assert_edited(&place, &expected(&place), 1);
        let undo_files: Vec<String> = place.names().into_iter().filter(|name| name.contains("undo")).collect();
        assert_eq!(undo_files.len(), 1, "{}: {undo_files:?}", place.name);
        let run = place.run(&["undo", &undo_files[0]]);
        assert_eq!(run.code, 0, "{}: {run:?}", place.name);
        assert!(place.hive() == place.primary, "{}: undo did not bring the dirty hive back", place.name);
        let run = place.run(&["undo", &undo_files[0]]);
        assert_eq!(run.code, 0, "{}: {run:?}", place.name);
        // Recovered and edited again, beside the earlier undo file.
        assert_eq!(place.run(&["set", "1", "SYSTEM", "--in-place"]).code, 0, "{}", place.name);
        assert_edited(&place, &expected(&place), 1);
    }
}

#[test]
fn a_hive_with_two_names_keeps_both() {
    for place in recoverable() {
        fs::hard_link(place.path("SYSTEM"), place.path("twin")).unwrap();
        let json = place.json(&["set", "1", "SYSTEM"], 0);
        assert_eq!(json["commit"]["how"], "in-place", "{}: {json:#}", place.name);
        assert!(json["commit"]["why_in_place"].as_str().unwrap().contains("2 names"), "{json:#}");
        assert_edited(&place, &expected(&place), 1);
        assert!(place.read("twin") == place.hive(), "{}", place.name);
        #[cfg(unix)]
        {
            let inode = |name: &str| std::os::unix::fs::MetadataExt::ino(&fs::metadata(place.path(name)).unwrap());
            assert_eq!(inode("twin"), inode("SYSTEM"), "{}", place.name);
        }
        let undo = json["commit"]["undo"].as_str().unwrap();
        assert_eq!(place.run(&["undo", undo]).code, 0, "{}", place.name);
        assert!(place.hive() == place.primary && place.read("twin") == place.primary, "{}", place.name);
    }
}

#[test]
fn without_usable_logs_it_is_refused() {
    let mut refused = 0;
    for place in all().filter(|place| place.expected.is_none()) {
        for args in [&["set", "2", "SYSTEM"][..], &["unset", "SYSTEM"], &["set", "2", "SYSTEM", "--dry-run"]] {
            let json = place.json(args, 3);
            assert_eq!(json["error"]["code"], "dirty", "{}: {json:#}", place.name);
            let advice = json["error"]["advice"].as_str().unwrap();
            for part in [".LOG1", "--log", "--discard-logs"] {
                assert!(advice.contains(part), "{}: {advice}", place.name);
            }
            place.is_untouched();
        }
        // It has no such option.
        let advice = place.json(&["recover", "SYSTEM"], 3)["error"]["advice"].as_str().unwrap().to_owned();
        assert!(advice.contains("--log") && !advice.contains("--discard-logs"), "{}: {advice}", place.name);
        refused += 1;
    }
    assert_eq!(refused, 7);
}

#[test]
fn discarded_logs_are_reported_as_a_warning() {
    for place in all().filter(|place| place.expected.is_none()) {
        let run = place.run(&["set", "2", "SYSTEM", "--discard-logs", "--undo", "undo"]);
        assert_eq!(run.code, 0, "{}: {run:?}", place.name);
        assert!((run.has("no-log") || run.has("no-usable-log")), "{}: {run:?}", place.name);
        assert_edited(&place, &place.primary, 2);
        assert_eq!(place.run(&["undo", "undo"]).code, 0, "{}", place.name);
        assert!(place.hive() == place.primary, "{}", place.name);
        let run = place.run(&["set", "2", "SYSTEM", "--discard-logs", "--dry-run"]);
        assert!(run.code == 0 && run.err.contains("warning"), "{}: {run:?}", place.name);
        assert!(place.hive() == place.primary, "{}", place.name);
    }
    // Applicable logs are applied all the same.
    for place in recoverable() {
        let number = other_number(&place);
        let run = place.run(&["set", &number.to_string(), "SYSTEM", "--discard-logs"]);
        assert_eq!(run.code, 0, "{}: {run:?}", place.name);
        assert!(run.err.is_empty() && run.out.contains("was dirty"), "{}: {run:?}", place.name);
        assert_edited(&place, &expected(&place), number);
    }
}

#[test]
fn a_dry_run_writes_nothing_and_shows_all() {
    for place in recoverable() {
        let run = place.run(&["set", "2", "SYSTEM", "--dry-run"]);
        assert_eq!(run.code, 0, "{}: {run:?}", place.name);
        assert!(run.out.contains("nothing was written") && run.out.contains("Patches"), "{}: {run:?}", place.name);
        place.is_untouched();
        let json = place.json(&["set", "2", "SYSTEM", "--dry-run"], 0);
        assert!(json["patches"].as_array().is_some_and(|patches| !patches.is_empty()), "{}", place.name);
        place.is_untouched();
    }
}

#[test]
fn an_output_leaves_the_original_alone() {
    for place in recoverable() {
        let run = place.run(&["set", "1", "SYSTEM", "--output", "out"]);
        assert_eq!(run.code, 0, "{}: {run:?}", place.name);
        assert!(place.hive() == place.primary, "{}", place.name);
        place.logs_are_untouched();
        fs::rename(place.path("out"), place.path("SYSTEM")).unwrap();
        assert_edited(&place, &expected(&place), 1);
    }
}

/// Returns the first 512 bytes of each nonempty log, ordered by name.
fn filled(place: &DirtyPlace) -> Vec<&str> {
    place.logs.iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(name, _)| name.as_str()).collect()
}

#[test]
fn logs_are_emptied_on_request_and_restored() {
    for extra in [&["--undo", "undo"][..], &["--in-place", "--undo", "undo"]] {
        for place in recoverable() {
            let json = place.json(&[&["set", "1", "SYSTEM", "--truncate-logs"], extra].concat(), 0);
            let emptied = json["logs_emptied"].as_array().unwrap();
            assert_eq!(emptied.len(), filled(&place).len(), "{}: {json:#}", place.name);
            for (name, bytes) in &place.logs {
                let now = place.read(name);
                assert_eq!(now.len(), bytes.len(), "{}: {name}", place.name);
                assert!(now.iter().take(512).all(|&b| b == 0), "{}: {name}", place.name);
                let log = [Log { name, bytes: &now }];
                let report = hivewright_hive::recover::list(&log);
                assert_eq!(report[0].left.unwrap().code(), "log-empty", "{}: {name}", place.name);
            }
            // The file's sequence numbers exceed all numbers in the logs, including their stale parts.
            let [number, _] = sequences(&place.hive());
            assert!(is_above(number, place.highest().unwrap()), "{}", place.name);
            assert_eq!(place.run(&["get", "--value", "SYSTEM"]).out, "1\n", "{}", place.name);
            // One undo file restores the hive and its logs, which belong together.
            assert!(
                std::path::Path::new(json["commit"]["undo"].as_str().unwrap()).ends_with("undo"),
                "{}: {json:#}",
                place.name
            );
            assert_eq!(place.names().iter().filter(|name| name.contains("undo")).count(), 1, "{:?}", place.names());
            for how in ["in-place", "already"] {
                assert_eq!(place.json(&["undo", "undo"], 0)["how"], how, "{}", place.name);
            }
            assert!(place.hive() == place.primary, "{}", place.name);
            place.logs_are_untouched();
        }
    }
}

#[test]
fn emptied_logs_of_a_hive_that_is_already_so() {
    let place = named("new-clean");
    let number = place.run(&["get", "--value", "SYSTEM"]).out.trim().to_owned();
    let args = match number.as_str() {
        "0" | "1" | "2" => ["set", &number, "SYSTEM", "--truncate-logs"],
        _ => ["recover", "SYSTEM", "--keep-timestamps", "--truncate-logs"],
    };
    let json = place.json(&args, 0);
    assert_eq!(json["logs_emptied"].as_array().unwrap().len(), 2, "{json:#}");
    assert!(place.hive() == place.primary);
    let again = place.json(&args, 0);
    assert_eq!((&again["state"], again["logs_emptied"].as_array().unwrap().len()), (&"already-so".into(), 0));
    // If one file has changed since, all are refused.
    let undo = json["commit"]["undo"].as_str().unwrap();
    let log = place.read("SYSTEM.LOG2");
    fs::write(place.path("SYSTEM.LOG2"), [&[1][..], &log[1..]].concat()).unwrap();
    assert_eq!(place.json(&["undo", undo], 3)["error"]["code"], "changed-since");
    assert!(place.read("SYSTEM.LOG1")[..512].iter().all(|&b| b == 0));
    fs::write(place.path("SYSTEM.LOG2"), log).unwrap();
    for (name, _) in &place.logs {
        assert!(place.read(name)[..512].iter().all(|&b| b == 0), "{name}");
    }
    assert_eq!(place.run(&["undo", undo]).code, 0);
    place.logs_are_untouched();
}

#[test]
fn the_hive_is_not_one_of_its_logs() {
    let place = named("new-clean");
    let json = place.json(&["set", "2", "SYSTEM", "--truncate-logs", "--log", "SYSTEM"], 3);
    assert_eq!(json["error"]["code"], "log-is-hive");
    assert!(place.hive() == place.primary);
}

/// Sequence numbers exceed the stale entries too, which another reader might apply.
#[test]
fn numbers_are_above_stale_entries() {
    for name in ["new-stale-tail", "new-gap-inside", "new-bad-data-hash", "new-gap-between-logs"] {
        let place = named(name);
        let logs: Vec<Log<'_>> = place.logs.iter().map(|(name, bytes)| Log { name, bytes }).collect();
        let highest = highest_sequence(&logs).unwrap();
        let reached = sequences(place.expected.as_ref().unwrap())[0];
        assert_eq!(place.run(&["set", "1", "SYSTEM"]).code, 0);
        let [number, _] = sequences(&place.hive());
        assert!(is_above(number, highest) && is_above(number, reached), "{name}: {number}, {highest}, {reached}");
    }
}
