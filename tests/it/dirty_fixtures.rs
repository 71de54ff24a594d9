//! Recovering, reading and checking every dirty fixture, by the library and by the command.

use hivewright_hive::recover::{Log, recover_without_base_block};
use serde_json::Value;

use crate::support::contents::contents;
use crate::support::dirty_place::{DirtyPlace, all, named, recoverable};

/// Asserts that the result is that of the fixture's maker. In the old format, the maker keeps the log's sequence
/// numbers; Windows 7 raised them by 2 (see `windows_7_made_the_same_pages`), and so does hivewright.
fn assert_expected(place: &DirtyPlace, made: &[u8], by: &str) {
    let mut expected = place.expected.clone().unwrap();
    if place.is_old_format() {
        let number = u32::from_le_bytes(expected[4..8].try_into().unwrap()) + 2;
        for at in [4, 8] {
            expected[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        hivewright_fixtures::bytes::fix_checksum(&mut expected);
    }
    assert!(made == expected, "{}: {by} made another file", place.name);
}

/// Returns the number in the primary file and after the replay.
fn numbers(place: &DirtyPlace) -> (u64, u64) {
    let number = |file: &[u8]| {
        let all = contents(file);
        let (_, (_, data)) = all
            .iter()
            .find(|((_, value), _)| value.as_deref() == Some("ASSUMEUDPENCAPSULATIONCONTEXTONSENDRULE"))
            .unwrap();
        u64::from(u32::from_le_bytes(data[..].try_into().unwrap()))
    };
    let mut primary = place.primary.clone();
    hivewright_fixtures::bytes::fix_checksum(&mut primary);
    (number(&primary), number(place.expected.as_ref().unwrap()))
}

fn state_of(place: &DirtyPlace) -> &'static str {
    match (place.is_clean(), &place.expected) {
        (true, _) => "clean",
        (false, Some(_)) => "recovered",
        (false, None) => "primary-alone",
    }
}

#[test]
fn fixtures_on_disk_are_those_of_the_maker() {
    let folder = crate::command::fixtures().join("dirty");
    let mut seen = 0;
    for place in all() {
        let read = |name: &str| std::fs::read(folder.join(&place.name).join(name)).ok();
        assert!(read("SYSTEM").as_ref() == Some(&place.primary), "{}", place.name);
        assert!(read("EXPECTED") == place.expected, "{}", place.name);
        for (name, bytes) in &place.logs {
            assert!(read(name).as_ref() == Some(bytes), "{}: {name}", place.name);
        }
        seen += 1;
    }
    assert_eq!(seen, std::fs::read_dir(folder).unwrap().count());
}

#[test]
fn recovering_returns_the_expected_file() {
    let (mut made, mut refused) = (0, 0);
    for place in all() {
        let logs: Vec<Log<'_>> = place.logs.iter().map(|(name, bytes)| Log { name, bytes }).collect();
        let library =
            recover_without_base_block(&place.primary[..], &logs).map(|done| done.hive.bytes().to_vec().unwrap());
        let run = place.run(&["recover", "SYSTEM", "--output", "out"]);
        match (state_of(&place), library) {
            ("recovered", Ok(whole)) => {
                assert_eq!(run.code, 0, "{}: {run:?}", place.name);
                assert_expected(&place, &whole, "the library");
                assert_expected(&place, &place.read("out"), "the command");
                made += 1;
            }
            ("clean", Err(failed)) => {
                assert_eq!(failed.error.code(), "hive-clean");
                assert_eq!(run.code, 0, "{}: {run:?}", place.name);
                assert!(run.out.contains("already clean"), "{run:?}");
                assert!(place.read("out") == place.primary);
            }
            ("primary-alone", Err(failed)) => {
                let wanted = if place.logs.is_empty() { "no-log" } else { "no-usable-log" };
                assert_eq!(failed.error.code(), wanted, "{}", place.name);
                assert!(failed.hive == &place.primary[..], "{}: handed back changed", place.name);
                assert_eq!(run.code, 3, "{}: {run:?}", place.name);
                assert!(run.has("dirty") && run.err.contains("--log"), "{}: {run:?}", place.name);
                assert!(run.out.is_empty());
                place.is_untouched();
                refused += 1;
            }
            (state, library) => panic!("{}: {state}, but {:?}", place.name, library.map_err(|e| e.error)),
        }
        assert!(place.hive() == place.primary, "{}", place.name);
        place.logs_are_untouched();
    }
    assert_eq!((made, refused), (21, 7));
    println!("{made} recovered as expected, {refused} refused");
}

#[test]
fn recovering_in_place_is_the_same() {
    for place in recoverable() {
        for extra in [&["--dry-run"][..], &[], &["--in-place"]] {
            std::fs::write(place.path("SYSTEM"), &place.primary).unwrap();
            let run = place.run(&[&["recover", "SYSTEM"], extra].concat());
            assert_eq!(run.code, 0, "{} {extra:?}: {run:?}", place.name);
            if extra == ["--dry-run"] {
                place.is_untouched();
                assert!(run.out.contains("nothing was written"), "{run:?}");
                continue;
            }
            assert_expected(&place, &place.hive(), "the command");
            place.logs_are_untouched();
            assert_eq!(place.run(&["recover", "SYSTEM"]).code, 0);
            assert_expected(&place, &place.hive(), "a second recovery");
        }
        let undo = place.run(&["undo", "SYSTEM.hivewright-undo"]);
        assert_eq!(undo.code, 0, "{}: {undo:?}", place.name);
        assert!(place.hive() == place.primary, "{}: undo did not bring the dirty hive back", place.name);
        place.logs_are_untouched();
    }
}

#[test]
fn reading_returns_both_answers() {
    for place in all() {
        let state = state_of(&place);
        let alone = named_number(&place.json(&["get", "SYSTEM"], 0), &["at_next_boot", "value"]);
        let json = place.json(&["get", "SYSTEM"], 0);
        assert_eq!(json["hive_state"], state, "{}", place.name);
        let text = place.run(&["get", "SYSTEM"]);
        let bare = place.run(&["get", "--value", "SYSTEM"]);
        assert_eq!(bare.out.trim(), alone.to_string(), "{}", place.name);
        let warned = [&text.err, &bare.err].iter().all(|err| err.contains("warning") && err.contains("primary file"));
        assert_eq!(warned, state == "primary-alone", "{}: {text:?}", place.name);
        if state != "primary-alone" {
            assert!(text.err.is_empty() && bare.err.is_empty(), "{}: {text:?}", place.name);
        }
        match state {
            "clean" => {
                assert!(json.get("recovery").is_none() && json.get("primary_alone").is_none());
                assert!(text.out.contains("Hive: clean"), "{text:?}");
            }
            "primary-alone" => {
                assert!(json.get("primary_alone").is_none());
                assert!(json["not_recovered"].as_str().is_some_and(|why| !why.is_empty()), "{json}");
                assert_eq!(json["at_next_boot"]["value"], 0);
                let logs = json["recovery"]["logs"].as_array().unwrap();
                assert_eq!(logs.len(), place.logs.len(), "{}", place.name);
                assert!(logs.iter().all(has_a_reason), "{json:#}");
            }
            _ => {
                let (before, after) = numbers(&place);
                assert_eq!(named_number(&json, &["at_next_boot", "value"]), after, "{}", place.name);
                assert_eq!(named_number(&json, &["primary_alone", "at_next_boot", "value"]), before);
                assert_ne!(before, after);
                assert_eq!(json["recovery"]["base_block_rebuilt"], !place.has_head(), "{}", place.name);
                assert!(json["recovery"]["pages"].as_u64() > Some(0));
                assert!(json["recovery"]["applied"].is_array() && json["recovery"]["sequence_after"].is_u64());
                assert!(text.out.contains("applied") && text.out.contains("pages"), "{text:?}");
            }
        }
        place.is_untouched();
    }
}

fn named_number(json: &Value, path: &[&str]) -> u64 {
    let found = path.iter().fold(json, |json, name| &json[*name]);
    found.as_u64().unwrap_or_else(|| panic!("{path:?} is {found}: {json:#}"))
}

fn has_a_reason(log: &Value) -> bool {
    log["left"].is_string() || log["stopped"]["why"].is_string()
}

/// The exact text of `get`, with both answers.
#[test]
fn the_text_shows_the_change_by_the_replay() {
    let place = named("new-two-logs");
    let text = place.run(&["get", "SYSTEM"]).out;
    for part in ["4 at next boot", "entries 11 to 14", "SYSTEM.LOG1", "SYSTEM.LOG2", "0 at next boot"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let alone = text.lines().find(|line| line.to_lowercase().contains("primary file alone")).unwrap_or_default();
    assert!(!alone.is_empty(), "{text}");
}

#[test]
fn logs_elsewhere_are_named() {
    for place in recoverable() {
        let elsewhere = place.path("evidence");
        std::fs::create_dir(&elsewhere).unwrap();
        let mut named = Vec::new();
        for (number, (name, _)) in place.logs.iter().enumerate() {
            // The names are irrelevant in the new format; in the old format, they distinguish .LOG1 from .LOG2.
            let new = if place.is_old_format() { name.clone() } else { format!("log {number}") };
            std::fs::rename(place.path(name), elsewhere.join(&new)).unwrap();
            named.extend(["--log".to_owned(), format!("evidence/{new}")]);
        }
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        assert_eq!(place.json(&["get", "SYSTEM"], 0)["hive_state"], "primary-alone", "{}", place.name);
        assert_eq!(place.run(&["set", "2", "SYSTEM"]).code, 3, "{}", place.name);
        assert_eq!(
            place.json(&[&["get", "SYSTEM"], &named[..]].concat(), 0)["hive_state"],
            "recovered",
            "{}",
            place.name
        );
        let run = place.run(&[&["recover", "SYSTEM", "--output", "out"], &named[..]].concat());
        assert_eq!(run.code, 0, "{}: {run:?}", place.name);
        assert_expected(&place, &place.read("out"), "the command");
        assert!(place.hive() == place.primary);
    }
    let place = named("new-one-log");
    let run = place.run(&["get", "SYSTEM", "--log", "nowhere.LOG1"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.err.contains("nowhere.LOG1"), "{run:?}");
}

#[test]
fn names_of_logs_may_have_any_case() {
    for (hive, log1, log2) in [
        ("SYSTEM", "system.log1", "System.Log2"),
        ("system", "SYSTEM.LOG1", "sYsTeM.lOg2"),
        ("System", "SYSTEM.LOG1", "SYSTEM.log2"),
    ] {
        let place = named("new-two-logs");
        for (from, to) in [("SYSTEM.LOG1", log1), ("SYSTEM.LOG2", log2), ("SYSTEM", hive)] {
            std::fs::rename(place.path(from), place.path(to)).unwrap();
        }
        let json = place.json(&["get", hive], 0);
        assert_eq!(
            (&json["hive_state"], &json["recovery"]["applied"]),
            (&"recovered".into(), &serde_json::json!([11, 14]))
        );
        let run = place.run(&["recover", ".", "--output", "out"]);
        assert_eq!(run.code, 0, "{run:?}");
        assert_expected(&place, &place.read("out"), "the command");
    }
}

/// Codes that `check` prints for the logs of a fixture, by its name.
const LOG_CODES: &[(&str, &[&str])] = &[
    ("new-gap-inside", &["entry-gap"]),
    ("new-gap-between-logs", &["entry-gap"]),
    ("new-stale-tail", &["entry-stale"]),
    ("new-bad-data-hash", &["entry-hash-1"]),
    ("new-bad-head-hash", &["entry-hash-2"]),
    ("new-bad-data", &["entry-hash-1"]),
    ("new-torn", &["entry-size"]),
    ("new-older-logs", &["entry-stale"]),
    ("new-empty-logs", &["log-empty"]),
    ("new-no-entries", &["log-empty"]),
    ("new-one-log", &["log-empty"]),
    ("new-bad-base", &["log-not-used"]),
    ("old-log1", &["log-empty"]),
    ("old-other-time", &["dirt-timestamp"]),
    ("old-torn-head", &["dirt-sequence"]),
    ("old-torn-pages", &["dirt-torn"]),
];

#[test]
fn checking_names_the_dirty_state_and_log_damage() {
    for place in all() {
        let clean = place.is_clean();
        let text = place.run(&["check", "SYSTEM"]);
        let json = place.json(&["check", "SYSTEM"], i32::from(!clean));
        assert_eq!(text.code, i32::from(!clean), "{}", place.name);
        if clean {
            assert!(json.get("logs").is_none() && !text.out.contains("Transaction logs"), "{text:?}");
            continue;
        }
        let code = if place.has_head() { "dirty-sequence" } else { "base-checksum" };
        assert!(text.out.contains(code), "{}: {}", place.name, text.out);
        assert!(json["counts"][code].as_u64() > Some(0), "{}: {json:#}", place.name);
        assert_eq!(json["logs"]["needed"], true, "{}", place.name);
        assert_eq!(json["logs"]["usable"], place.expected.is_some(), "{}", place.name);
        let wanted = if place.expected.is_some() { "can be recovered" } else { "cannot be recovered" };
        assert!(text.out.contains(wanted), "{}: {}", place.name, text.out);
        let codes = LOG_CODES.iter().find(|(name, _)| *name == place.name).map_or(&[][..], |(_, codes)| codes);
        for code in codes {
            assert!(text.out.contains(code), "{}: {code}: {}", place.name, text.out);
            assert!(json["logs"].to_string().contains(&format!("\"{code}\"")), "{}: {code}: {json:#}", place.name);
        }
        place.is_untouched();
    }
    assert!(named("new-no-logs").run(&["check", "SYSTEM"]).out.contains("none found"));
}

#[test]
fn checking_lists_the_entries() {
    for place in all() {
        let text = place.run(&["check", "--logs", "SYSTEM"]).out;
        let json = place.json(&["check", "--logs", "SYSTEM"], i32::from(!place.is_clean()));
        let logs = json["logs"]["logs"].as_array().unwrap();
        assert_eq!(logs.len(), place.logs.len(), "{}", place.name);
        for (name, _) in &place.logs {
            assert!(text.contains(name.as_str()), "{}: {text}", place.name);
        }
        for entry in logs.iter().flat_map(|log| log["entries"].as_array().unwrap()) {
            let line = format!("entry {}, {} pages, {} bytes", entry["sequence"], entry["pages"], entry["size"]);
            let line = text.lines().find(|l| l.contains(&line)).unwrap_or_else(|| panic!("{line}: {text}"));
            let left = entry["left"].as_str().unwrap_or("applied");
            assert!(line.ends_with(left), "{}: {line}", place.name);
        }
        place.is_untouched();
    }
    let json = named("new-stale-tail").json(&["check", "--logs", "SYSTEM"], 1);
    let entries = json["logs"]["logs"][0]["entries"].as_array().unwrap();
    let list: Vec<_> = entries.iter().map(|e| (e["sequence"].as_u64().unwrap(), e["left"].as_str())).collect();
    assert_eq!(list, [(11, None), (12, None), (7, Some("entry-stale")), (8, Some("entry-stale"))]);
}
