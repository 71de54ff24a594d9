//! `hivewright get`: text, JSON and the bare number agree, and reading writes nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::command::hivewright;
use crate::copies::{Copied, fixture, fixtures_in};

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

/// Removes the line breaks of wrapping.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn text_json_and_value_agree_on_every_sound_fixture() {
    let (mut seen, mut others) = (0, 0);
    for name in fixtures_in(&["windows", "findings", "shapes"]) {
        let copy = Copied::of(&name);
        let (text, value, json) = (
            copy.run(["get", "SYSTEM"]),
            copy.run(["get", "--value", "SYSTEM"]),
            copy.run(["get", "--json", "SYSTEM"]),
        );
        let document = json.json();
        if document["error"]["code"] == "not-system" {
            assert_eq!((text.code, value.code, json.code), (2, 2, 2), "{name}");
            others += 1;
            continue;
        }
        let number = document["at_next_boot"]["value"].as_u64();
        let code = i32::from(number.is_none());
        assert_eq!((text.code, value.code, json.code), (code, code, code), "{name}");
        assert_eq!(value.out, number.map(|n| format!("{n}\n")).unwrap_or_default(), "{name}");
        let head = match (document["at_next_boot"]["state"].as_str().unwrap(), number) {
            (_, Some(number)) => number.to_string(),
            ("unset", None) => "not set".to_owned(),
            ("unknown", None) => "unknown".to_owned(),
            ("undefined", None) => "not usable".to_owned(),
            (other, None) => panic!("{name}: {other}"),
        };
        assert!(text.out.starts_with(&format!("{head} at next boot: ")), "{name}: {}", text.out);
        for set in document["control_sets"].as_array().unwrap() {
            assert!(text.out.contains(&format!("\n  {}  ", set["name"].as_str().unwrap())), "{name}: {}", text.out);
        }
        for run in [&text, &value, &json] {
            assert_eq!(run.err, "", "{name}");
        }
        assert_eq!(document["confirmed"], true, "{name}");
        copy.assert_untouched(&name);
        seen += 1;
    }
    assert_eq!(others, 4, "fixtures that are no hive SYSTEM");
    assert!(seen > 56, "{seen}");
}

#[test]
fn every_finding_is_in_the_json_and_in_the_text() {
    let (mut codes, mut near) = (BTreeSet::new(), 0);
    for name in fixtures_in(&["findings"]) {
        let target = format!("{name}/SYSTEM");
        let (text, json) = (hivewright(["get", &target]), hivewright(["get", "--json", &target]).json());
        let findings = json["findings"].as_array().unwrap();
        let on: Vec<_> = json["related"].as_array().unwrap().iter().filter(|n| n["on"] == true).collect();
        assert!(!findings.is_empty() || !on.is_empty(), "{name}: nothing is said");
        assert_eq!(text.out.contains("\nFindings:\n"), !findings.is_empty(), "{name}: {}", text.out);
        for finding in findings {
            assert_eq!(keys(finding), BTreeSet::from(["advice", "code", "offset", "place", "what"]), "{name}");
            let place = finding["place"].as_str().unwrap();
            assert!(text.out.lines().any(|line| line == format!("  {place}")), "{name}: {place}: {}", text.out);
            for field in ["what", "advice"] {
                let said = finding[field].as_str().unwrap();
                assert!(flat(&text.out).contains(&flat(said)), "{name}: {said}: {}", text.out);
            }
            codes.insert(finding["code"].as_str().unwrap().to_owned());
        }
        for related in on {
            let line = format!("\n  {} = {}\n", related["place"].as_str().unwrap(), related["value"]);
            assert!(text.out.contains(&line), "{name}: {line}: {}", text.out);
            near += 1;
        }
    }
    let expected = [
        "current-control-set-key",
        "current-control-set-value",
        "name-space",
        "not-the-booted-set",
        "out-of-range",
        "same-name-twice",
        "sets-differ",
        "subkey-not-value",
        "weak-crypto-misplaced",
        "wrong-key",
        "wrong-size",
        "wrong-type",
    ];
    assert_eq!(codes.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert_eq!(near, 3);
}

#[test]
fn the_names_of_the_json_fields_are_stable() {
    let json = hivewright(["get", "--json", "shapes/default-differs/SYSTEM"]).json();
    let top = [
        "at_capture",
        "at_next_boot",
        "confirmed",
        "control_sets",
        "hive",
        "findings",
        "related",
        "select",
        "sequence_numbers",
        "hive_state",
        "target",
        "file",
        "partition",
        "software",
        "hives_agree",
        "value_name",
        "windows",
    ];
    // Fields may be added, but not removed.
    let has = |value: &Value, names: &[&str]| {
        let there = keys(value);
        let missing: Vec<_> = names.iter().filter(|name| !there.contains(**name)).collect();
        assert!(missing.is_empty(), "missing {missing:?} in {value}");
    };
    has(&json, &top);
    for verdict in ["at_capture", "at_next_boot"] {
        has(&json[verdict], &["control_set", "effective", "meaning", "value", "state"]);
    }
    has(&json["windows"], &["because", "decision", "evidence", "family", "override_era", "service"]);
    has(&json["select"], &["current", "default", "failed", "last_known_good", "present"]);
    let set = &json["control_sets"][0];
    has(set, &["decision", "name", "number", "roles", "services"]);
    let service = &set["services"][0];
    has(service, &["counts", "key", "last_written", "lookalikes", "path", "service", "state", "key_value"]);
    has(&service["key_value"], &["data_hex", "data_type", "data_type_number", "inline", "name", "value", "size"]);
    assert_eq!(json["at_capture"]["value"], 2);
    assert_eq!(json["at_capture"]["control_set"], 1);
    assert_eq!(json["at_next_boot"]["state"], "unset");
    assert_eq!(json["at_next_boot"]["control_set"], 2);
    assert_eq!(json["hive_state"], "clean");
}

#[test]
fn an_override_is_reported() {
    let run = hivewright(["get", "--windows", "xp", "shapes/setting-set/SYSTEM"]);
    assert_eq!(run.code, 1, "{}", run.out);
    assert!(run.out.contains("by --windows"), "{}", run.out);
    let json = hivewright(["get", "--json", "--windows", "xp", "shapes/setting-set/SYSTEM"]).json();
    assert!(json["findings"].as_array().unwrap().iter().any(|m| m["code"] == "override-disagrees"), "{json}");
    let run = hivewright(["get", "--value", "--windows", "vista+", "shapes/setting-set/SYSTEM"]).done();
    assert_eq!(run.out, "2\n");
}

#[test]
fn a_file_that_is_not_a_hive_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let whole = fixture("windows/win10");
    let log = crate::command::fixtures().join("dirty/new-one-log/SYSTEM.LOG1");
    let targets = [
        (folder.path().join("none").to_str().unwrap().to_owned(), "no-file", "does not exist"),
        (write("empty", b""), "base-signature", "not a registry hive"),
        (write("short", b"regf"), "base-signature", "not a registry hive"),
        (
            write("text", &b"These are the notes of nobody at all.\r\n".repeat(300)),
            "base-signature",
            "not a registry hive",
        ),
        (write("log", &std::fs::read(log).unwrap()), "transaction-log", "a transaction log"),
        (write("cut", &whole[..whole.len() - 4096]), "length-past-end", "the file ends before its hive bins do"),
        (write("head", &whole[..4096]), "length-past-end", "the file ends before its hive bins do"),
        (folder.path().to_str().unwrap().to_owned(), "no-installation", "contains no Windows installation"),
    ];
    for (target, code, text) in &targets {
        for verb in [&["get"][..], &["set", "2"], &["unset"], &["set", "2", "--dry-run"], &["set", "2", "--force"]] {
            hivewright(verb.iter().copied().chain([target.as_str()])).failed(2, text);
            hivewright(verb.iter().copied().chain(["--json", target])).failed_as_json(2, code);
        }
        hivewright(["get", "--value", target]).failed(2, text);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6, "something was left behind");
}

#[test]
fn wrong_words_are_usage() {
    let cases: &[&[&str]] = &[
        &[],
        &["get"],
        &["set", "2"],
        &["set", "3", "SYSTEM"],
        &["set", "-1", "SYSTEM"],
        &["set", "two", "SYSTEM"],
        &["set", "0x2", "SYSTEM"],
        &["get", "--value", "SYSTEM", "--", "--json"],
        &["set", "2", "SYSTEM", "--dry-run", "--output", "x"],
        &["set", "2", "SYSTEM", "--in-place", "--output", "x"],
        &["set", "2", "SYSTEM", "--windows", "7"],
        &["set", "2", "SYSTEM", "--control-set"],
        &["set", "2", "SYSTEM", "--control-set", "last"],
        &["frobnicate", "SYSTEM"],
        &["completions", "tcsh"],
    ];
    let copy = Copied::of("windows/win10");
    for case in cases {
        let run = copy.run(*case);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{case:?}: {}", run.err);
        assert!(!run.err.is_empty(), "{case:?}");
    }
    copy.run(["get", "--json", "--value", "SYSTEM"]).failed_as_json(2, "usage");
    copy.assert_untouched("usage");
}

#[test]
fn a_dirty_hive_is_answered_with_a_warning() {
    let run = hivewright(["get", "--value", "dirty/new-no-logs/SYSTEM"]);
    assert!(run.err.starts_with("hivewright: warning: ") && run.err.contains("dirty"), "{}", run.err);
    let json = hivewright(["get", "--json", "dirty/new-no-logs/SYSTEM"]).json();
    assert_eq!(json["hive_state"], "primary-alone");
}
