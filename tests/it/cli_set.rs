//! `hivewright set` and `unset` make the requested change and no other.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::copies::{Copied, REPLACES, fixtures_in, long_ago};
use crate::support::hex::bytes_of;

const SETTING: &str = "AssumeUDPEncapsulationContextOnSendRule";
/// Fixtures that `set` refuses, with the code.
const REFUSED: [(&str, &str); 9] = [
    ("windows/win2000-sp4", "windows-2000"),
    ("shapes/empty", "not-system"),
    ("shapes/layered", "not-system"),
    ("shapes/many-descriptors", "not-system"),
    ("shapes/minor-4", "not-system"),
    ("shapes/no-select", "select-missing"),
    ("shapes/no-policyagent", "service-key-missing"),
    ("shapes/select-zero", "select-zero"),
    ("shapes/select-nowhere", "control-set-missing"),
];

/// Applies patches (hive offset, old and new bytes) to a copy of `bytes`.
fn patched(bytes: &[u8], patches: &[(usize, Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (offset, old, new) in patches {
        let end = (offset + new.len()).max(bytes.len());
        let there = &bytes[*offset..(offset + new.len()).min(bytes.len())];
        assert_eq!(there, old, "old bytes at {offset:#x}");
        bytes.resize(end, 0);
        bytes[*offset..offset + new.len()].copy_from_slice(new);
    }
    bytes
}

fn patches_of(json: &Value) -> Vec<(usize, Vec<u8>, Vec<u8>)> {
    let patches = json["patches"].as_array().unwrap().iter();
    patches.map(|p| (p["hive_offset"].as_u64().unwrap() as usize, bytes_of(&p["old"]), bytes_of(&p["new"]))).collect()
}

/// Parses the patches in text.
fn patches_in(text: &str) -> Vec<(usize, Vec<u8>, Vec<u8>)> {
    let mut found: Vec<(usize, Vec<u8>, Vec<u8>)> = Vec::new();
    let bytes = |text: &str| -> Vec<u8> {
        match text {
            "(new space)" => Vec::new(),
            text => text.split(' ').map(|b| u8::from_str_radix(b, 16).unwrap()).collect(),
        }
    };
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("0x") {
            let fields: Vec<&str> = rest.split("  ").collect();
            assert_eq!(fields.len(), 3, "offset, size, what: {line}");
            assert!(!fields[2].is_empty(), "{line}");
            found.push((usize::from_str_radix(fields[0], 16).unwrap(), Vec::new(), Vec::new()));
        } else if let Some(old) = line.strip_prefix("    - ") {
            found.last_mut().unwrap().1.extend(bytes(old));
        } else if let Some(new) = line.strip_prefix("    + ") {
            found.last_mut().unwrap().2.extend(bytes(new));
        }
    }
    found
}

#[test]
fn every_fixture_is_set_or_refused_for_its_reason() {
    let (mut set, mut refused) = (0, BTreeSet::new());
    for name in fixtures_in(&["windows", "findings", "shapes"]) {
        let copy = Copied::of(&name);
        if name == "shapes/evidence-disagrees" {
            continue;
        }
        if let Some((_, code)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            let (exit, kind) = if *code == "not-system" { (2, "unsupported: ") } else { (3, "refused: ") };
            for verb in [&["set", "2"][..], &["unset"]] {
                copy.run(verb.iter().copied().chain(["SYSTEM", "--json"])).failed_as_json(exit, code);
                copy.run(verb.iter().copied().chain(["SYSTEM", "--force"])).failed(exit, kind);
            }
            copy.assert_untouched(&name);
            refused.insert(name);
            continue;
        }
        for (number, text) in [(0, "0"), (1, "1"), (2, "2")] {
            copy.run(["set", text, "SYSTEM"]).done();
            let value = copy.run(["get", "--value", "SYSTEM"]).done();
            assert_eq!(value.out, format!("{number}\n"), "{name}");
        }
        let check = copy.run(["check", "--json", "SYSTEM"]).json();
        assert_eq!(check["sound"], true, "{name}: {check}");
        copy.run(["unset", "SYSTEM"]).done();
        let value = copy.run(["get", "--value", "SYSTEM"]);
        assert_eq!((value.code, value.out.as_str()), (1, ""), "{name}");
        let mut names = copy.names();
        if !REPLACES {
            names.retain(|name| !name.starts_with("SYSTEM.hivewright-undo"));
        }
        assert_eq!(names, ["SYSTEM"], "{name}: something was left behind");
        set += 1;
    }
    assert_eq!(refused.len(), REFUSED.len());
    assert!(set > 50, "{set}");
}

#[test]
fn an_equal_setting_is_not_changed() {
    let copy = Copied::of("shapes/setting-set");
    let run = copy.run(["set", "2", "SYSTEM"]).done();
    assert!(run.out.starts_with("SYSTEM: already 2, nothing was changed\n"), "{}", run.out);
    copy.assert_untouched("set");
    let json = copy.run(["set", "2", "SYSTEM", "--json", "--undo", "U"]).done().json();
    assert_eq!(
        (&json["state"], &json["changed_bytes"], &json["commit"]),
        (&"already-so".into(), &0.into(), &Value::Null)
    );
    copy.assert_untouched("set --json --undo");
    copy.run(["set", "2", "SYSTEM", "--in-place"]).done();
    copy.assert_untouched("set --in-place");

    let copy = Copied::of("windows/win10");
    let run = copy.run(["unset", "SYSTEM"]).done();
    assert!(run.out.starts_with("SYSTEM: already not set, nothing was changed\n"), "{}", run.out);
    copy.assert_untouched("unset");
}

#[test]
fn the_output_describes_the_change() {
    let copy = Copied::of("windows/win10");
    let run = copy.run(["set", "2", "SYSTEM"]).done();
    assert!(run.out.starts_with(&format!("{SETTING} is now 2\n")), "{}", run.out);
    assert!(run.out.contains("  ControlSet001\\Services\\PolicyAgent: not set -> 2\n"), "{}", run.out);
    let how = if REPLACES { "SYSTEM was replaced: " } else { "SYSTEM was changed in place: " };
    assert!(run.out.contains(how), "{}", run.out);
    let json = copy.run(["unset", "SYSTEM", "--json"]).done().json();
    let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "changed_bytes",
        "commit",
        "hive",
        "new_len",
        "old_len",
        "patches",
        "changes",
        "state",
        "value_name",
        "wanted",
    ];
    assert!(expected.iter().all(|key| keys.contains(key)), "{keys:?}");
    assert_eq!(
        (&json["state"], &json["wanted"], &json["value_name"]),
        (&"written".into(), &Value::Null, &SETTING.into())
    );
    assert_eq!(json["commit"]["how"], if REPLACES { "replaced" } else { "in-place" });
    let place = &json["changes"][0];
    assert_eq!((&place["control_set"], &place["changes"]), (&1.into(), &true.into()));
    assert_eq!(place["key"], "ControlSet001\\Services\\PolicyAgent");
    assert_eq!(place["before"][0]["data_hex"], "02000000");
    assert_eq!(place["before"][0]["data_type"], "REG_DWORD");
}

#[test]
fn a_dry_run_prints_the_bytes_of_the_write() {
    let mut grown = 0;
    for name in fixtures_in(&["windows", "findings", "shapes"]) {
        if name == "shapes/evidence-disagrees" || REFUSED.iter().any(|(refused, _)| *refused == name) {
            continue;
        }
        let copy = Copied::of(&name);
        let text = copy.run(["set", "2", "SYSTEM", "--dry-run", "--keep-timestamps"]).done().out;
        let json = copy.run(["set", "2", "SYSTEM", "--dry-run", "--keep-timestamps", "--json"]).done().json();
        copy.assert_untouched(&name);
        let shown = patches_of(&json);
        assert_eq!(patches_in(&text), shown, "{name}: {text}");
        for patch in json["patches"].as_array().unwrap() {
            assert!(!patch["what"].as_str().unwrap().is_empty(), "{name}: {patch}");
        }
        let mut expected = patched(&copy.before, &shown);
        let new_len = json["new_len"].as_u64().unwrap() as usize;
        assert!(new_len >= expected.len(), "{name}");
        // Growth beyond the patches is zero.
        expected.resize(new_len, 0);
        if json["state"] == "dry-run" {
            assert!(text.contains("nothing was written"), "{name}: {text}");
        } else {
            assert_eq!((&json["state"], shown.len()), (&"already-so".into(), 0), "{name}");
        }
        copy.run(["set", "2", "SYSTEM", "--keep-timestamps"]).done();
        assert!(copy.bytes() == expected, "{name}: something else was written than was shown");
        assert_eq!(fs::metadata(&copy.hive).unwrap().modified().unwrap(), long_ago(), "{name}: --keep-timestamps");
        grown += usize::from(expected.len() > copy.before.len());
        // A second run from the same state writes the same bytes.
        let again = Copied::of(&name);
        again.run(["set", "2", "SYSTEM", "--keep-timestamps"]).done();
        assert!(again.bytes() == expected, "{name}: not reproducible");
    }
    assert!(grown > 0, "no fixture has grown");
}

#[test]
fn without_keep_timestamps_the_key_has_a_new_time() {
    let copy = Copied::of("windows/win10");
    let stamp =
        || copy.run(["get", "--json", "SYSTEM"]).json()["control_sets"][0]["services"][0]["last_written"].clone();
    let before = stamp();
    copy.run(["set", "1", "SYSTEM", "--keep-timestamps"]).done();
    assert_eq!(stamp(), before);
    copy.run(["set", "2", "SYSTEM"]).done();
    assert_ne!(stamp(), before);
    assert_ne!(fs::metadata(&copy.hive).unwrap().modified().unwrap(), long_ago());
}

#[test]
fn control_sets_are_edited_on_request() {
    // The next boot uses 002, the captured boot used 001, whose setting is 2.
    let cases: [(&[&str], Option<u64>, Option<u64>); 7] = [
        (&[], Some(1), Some(1)),
        (&["--control-set", "current"], Some(1), None),
        (&["--control-set", "default"], Some(2), Some(1)),
        (&["--control-set", "all"], Some(1), Some(1)),
        (&["--control-set", "1"], Some(1), None),
        (&["--control-set", "002"], Some(2), Some(1)),
        (&["--control-set", "ControlSet001"], Some(1), None),
    ];
    for (option, first, second) in cases {
        let copy = Copied::of("shapes/default-differs");
        copy.run(["set", "1", "SYSTEM"].iter().chain(option)).done();
        assert_eq!((copy.number_in("ControlSet001"), copy.number_in("ControlSet002")), (first, second), "{option:?}");
    }
    // 003 is current and default, 001 has no role.
    let cases: [(&[&str], Option<u64>, Option<u64>); 4] = [
        (&[], None, Some(2)),
        (&["--control-set", "all"], Some(2), Some(2)),
        (&["--control-set", "001"], Some(2), None),
        (&["--control-set", "current"], None, Some(2)),
    ];
    for (option, first, third) in cases {
        let copy = Copied::of("shapes/sparse-control-sets");
        copy.run(["set", "2", "SYSTEM"].iter().chain(option)).done();
        assert_eq!((copy.number_in("ControlSet001"), copy.number_in("ControlSet003")), (first, third), "{option:?}");
    }
    let copy = Copied::of("shapes/sparse-control-sets");
    copy.run(["set", "2", "SYSTEM", "--control-set", "2"]).failed(3, "there is no ControlSet002");
    copy.run(["set", "2", "SYSTEM", "--json", "--control-set", "2"]).failed_as_json(3, "control-set-missing");
    copy.assert_untouched("a control set that is not there");
    let copy = Copied::of("shapes/setting-set-everywhere");
    copy.run(["unset", "SYSTEM", "--control-set", "all"]).done();
    assert_eq!((copy.number_in("ControlSet001"), copy.number_in("ControlSet002")), (None, None));
}

#[test]
fn the_user_decides_on_contradictory_evidence() {
    let copy = Copied::of("shapes/evidence-disagrees");
    let run = copy.run(["set", "2", "SYSTEM"]).failed(3, "has evidence of XP and of later Windows");
    assert!(run.err.contains("--windows"), "no way out is named: {}", run.err);
    copy.run(["set", "2", "SYSTEM", "--json"]).failed_as_json(3, "windows-contradictory");
    copy.run(["set", "2", "SYSTEM", "--windows", "xp"]).failed(3, "there is no key ControlSet001\\Services\\IPSec");
    copy.assert_untouched("refused");
    copy.run(["set", "2", "SYSTEM", "--windows", "vista+"]).done();
    assert_eq!(copy.run(["get", "--value", "--windows", "vista+", "SYSTEM"]).done().out, "2\n");
}
