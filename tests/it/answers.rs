//! Damage, links and tombstones near the setting: `get`, `info`, `audit` and `set` report the same for each.

mod kinds;
mod unmapped;

use hivewright_fixtures::bytes::{get_u16, get_u32, put_u16, put_u32};
use hivewright_fixtures::windows::service_path;
use hivewright_fixtures::{Built, Release, SETTING, SystemHive};
use hivewright_hive::check::check;
use serde_json::Value;

use crate::command::hivewright;
use crate::copies::Copied;
use crate::support::disk::windows_volume;

const NIL: u32 = u32::MAX;
const LINK: u16 = 0x10;

/// One defect of a hive whose setting is 2.
struct Case {
    name: &'static str,
    damage: fn(&mut Built),
    /// State of the next boot, and exit status of `get`.
    get: (&'static str, i32),
    /// Code and place of the finding.
    says: (&'static str, &'static str),
    /// Status of the audit's record.
    audit: &'static str,
    /// Exit status of `set --dry-run`.
    set: &'static [i32],
}

const fn beside(name: &'static str, place: &'static str, damage: fn(&mut Built)) -> Case {
    Case { name, damage, get: ("set", 0), says: ("unreadable", place), audit: "read", set: &[0, 2, 3] }
}

const fn on_the_way(name: &'static str, place: &'static str, damage: fn(&mut Built)) -> Case {
    Case { name, damage, get: ("unknown", 2), says: ("unreadable", place), audit: "error", set: &[2] }
}

const fn hidden(name: &'static str, place: &'static str, damage: fn(&mut Built)) -> Case {
    Case { says: ("subkey-hash", place), ..on_the_way(name, place, damage) }
}

const fn special(name: &'static str, place: &'static str, damage: fn(&mut Built)) -> Case {
    Case { says: ("key-special", place), set: &[3], ..on_the_way(name, place, damage) }
}

const CASES: &[Case] = &[
    beside("value beside the setting", r"ControlSet001\Services\PolicyAgent\Start", |b| value(b, AGENT, "Start")),
    beside("value that leads nowhere", r"ControlSet001\Services\PolicyAgent", |b| {
        let list = b.payload(b.offsets.key(AGENT).values_list.unwrap());
        put_u32(&mut b.bytes, list, 0x00f0_0000);
    }),
    beside("key beside the service", r"ControlSet001\Services\RasMan", |b| key(b, r"ControlSet001\Services\RasMan")),
    beside("related setting", r"ControlSet001\Services\RasMan\Parameters", |b| {
        key(b, r"ControlSet001\Services\RasMan\Parameters");
    }),
    beside("product type", r"ControlSet001\Control\ProductOptions\ProductType", |b| {
        value(b, r"ControlSet001\Control\ProductOptions", "ProductType");
    }),
    beside("version", "DriverDatabase", |b| key(b, "DriverDatabase")),
    beside("key beside the control set", "", |b| key(b, "MountedDevices")),
    on_the_way("key of the service", AGENT, |b| key(b, AGENT)),
    on_the_way(
        "data of the setting",
        r"ControlSet001\Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule",
        |b| {
            let vk = b.payload(b.offsets.value(AGENT, SETTING).vk);
            put_u32(&mut b.bytes, vk + 4, 4);
            put_u32(&mut b.bytes, vk + 8, NIL);
        },
    ),
    on_the_way("values list of the service", AGENT, |b| {
        let nk = b.payload(b.offsets.key(AGENT).nk);
        put_u32(&mut b.bytes, nk + 40, NIL);
    }),
    on_the_way("key Services", r"ControlSet001\Services", |b| key(b, r"ControlSet001\Services")),
    on_the_way("key of the control set", "ControlSet001", |b| key(b, "ControlSet001")),
    on_the_way("key Select", "Select", |b| key(b, "Select")),
    on_the_way("value of Select", r"Select\Default", |b| value(b, "Select", "Default")),
    hidden("hash of the service", AGENT, |b| hash(b, AGENT)),
    hidden("hash of Services", r"ControlSet001\Services", |b| hash(b, r"ControlSet001\Services")),
    hidden("hash of the control set", "ControlSet001", |b| hash(b, "ControlSet001")),
    hidden("hash of Select", "Select", |b| hash(b, "Select")),
    special("service is a link", AGENT, |b| flag(b, AGENT)),
    special("Services is a link", r"ControlSet001\Services", |b| flag(b, r"ControlSet001\Services")),
    special("control set is a link", "ControlSet001", |b| flag(b, "ControlSet001")),
    special("Select is a link", "Select", |b| flag(b, "Select")),
    special("service is a tombstone", AGENT, |b| {
        layered(b);
        let nk = b.payload(b.offsets.key(AGENT).nk);
        b.bytes[nk + 13] |= 1;
    }),
    Case {
        name: "setting is a tombstone",
        damage: |b| {
            layered(b);
            let vk = b.payload(b.offsets.value(AGENT, SETTING).vk);
            let flags = get_u16(&b.bytes, vk + 16);
            put_u16(&mut b.bytes, vk + 16, flags | 2);
        },
        get: ("unset", 1),
        says: ("tombstone-value", r"ControlSet001\Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule"),
        audit: "read",
        set: &[0, 3],
    },
];

const AGENT: &str = r"ControlSet001\Services\PolicyAgent";

fn key(built: &mut Built, path: &str) {
    let at = built.payload(built.offsets.key(path).nk);
    built.bytes[at..at + 2].copy_from_slice(b"xx");
}

fn value(built: &mut Built, path: &str, name: &str) {
    let at = built.payload(built.offsets.value(path, name).vk);
    built.bytes[at..at + 2].copy_from_slice(b"xx");
}

fn flag(built: &mut Built, path: &str) {
    let at = built.payload(built.offsets.key(path).nk) + 2;
    let flags = get_u16(&built.bytes, at);
    put_u16(&mut built.bytes, at, flags | LINK);
}

/// Corrupts the hash of a key in its parent's list.
fn hash(built: &mut Built, path: &str) {
    let parent = path.rsplit_once('\\').map_or("", |(parent, _)| parent);
    let (nk, leaves) = (built.offsets.key(path).nk, built.offsets.key(parent).leaves.clone());
    for leaf in leaves {
        let at = built.payload(leaf);
        for i in 0..usize::from(get_u16(&built.bytes, at + 2)) {
            if get_u32(&built.bytes, at + 4 + 8 * i) == nk {
                put_u32(&mut built.bytes, at + 8 + 8 * i, 0x1234_5678);
                return;
            }
        }
    }
    panic!("{path} is in no list");
}

fn layered(built: &mut Built) {
    put_u32(&mut built.bytes, 24, 6);
    built.fix_checksum();
}

/// Creates a hive whose setting is 2, with the values of the cases.
fn hive() -> Built {
    let spec = SystemHive::new(Release::Win10).with_right_setting(1, 2).spec();
    let spec = spec.at(&service_path(1, "RasMan\\Parameters"), |k| k.dword("ProhibitIpSec", 0));
    spec.at(AGENT, |k| k.without_value("Start").dword("Start", 2)).build()
}

/// Defects that make the answer unknown: the name, the hive, the code, and the exit status of `set`.
pub(crate) fn in_the_way() -> impl Iterator<Item = (&'static str, Vec<u8>, &'static str, i32)> {
    let cases = CASES.iter().filter(|case| case.get.0 == "unknown");
    cases.map(|case| (case.name, damaged(case.name), case.says.0, case.set[0]))
}

/// Returns the hive of the case with that name.
pub(crate) fn damaged(name: &str) -> Vec<u8> {
    let mut built = hive();
    (CASES.iter().find(|case| case.name == name).unwrap().damage)(&mut built);
    built.bytes
}

fn says<'v>(findings: &'v Value, (code, place): (&str, &str)) -> Option<&'v Value> {
    findings.as_array()?.iter().find(|it| it["code"] == code && it["place"] == place)
}

#[test]
fn every_command_reports_the_same_defects_near_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    for case in CASES {
        let mut built = hive();
        (case.damage)(&mut built);
        let path = folder.path().join("SYSTEM");
        std::fs::write(&path, &built.bytes).unwrap();
        let path = path.to_str().unwrap();
        let name = case.name;

        let get = hivewright(["get", "--json", path]);
        let told = get.json();
        let verdict = &told["at_next_boot"];
        assert_eq!((verdict["state"].as_str(), get.code), (Some(case.get.0), case.get.1), "{name}: {told:#}");
        let finding = says(&told["findings"], case.says).unwrap_or_else(|| panic!("{name}: {:#}", told["findings"]));
        assert!(finding["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{name}");
        if case.says.0 != "tombstone-value" {
            let offset = finding["offset"].as_u64().unwrap_or_else(|| panic!("{name}: {finding:#}"));
            assert!(offset < built.bytes.len() as u64, "{name}");
        }
        match case.get.0 {
            "unknown" => assert!(verdict["cause"]["code"] == case.says.0 && verdict["value"].is_null(), "{name}"),
            "set" => assert_eq!((&verdict["value"], &told["confirmed"]), (&2.into(), &true.into()), "{name}"),
            _ => assert!(verdict["value"].is_null(), "{name}"),
        }
        for option in ["--value", "--json"] {
            assert_eq!(hivewright(["get", option, path]).code, case.get.1, "{name} {option}");
        }
        let text = hivewright(["get", path]);
        assert_eq!((text.code, text.out.contains("\nFindings:\n")), (case.get.1, true), "{name}");

        let info = hivewright(["info", "--json", path]);
        assert!(info.code == 0 && says(&info.json()["findings"], case.says).is_some(), "{name}: {}", info.out);

        let audit = hivewright(["audit", "--json", "--expect", "2", path]);
        let record: Value = serde_json::from_str(audit.out.lines().next().unwrap()).unwrap();
        assert_eq!(record["status"], case.audit, "{name}: {record:#}");
        assert!(says(&record["findings"], case.says).is_some(), "{name}: {record:#}");
        let code = match (case.audit, case.get.0) {
            ("error", _) => 2,
            (_, "set") => 0,
            _ => 1,
        };
        assert_eq!((audit.code, record["error"].is_null()), (code, code != 2), "{name}: {record:#}");

        let set = hivewright(["set", "1", "--dry-run", path]);
        assert!(case.set.contains(&set.code), "{name}: {} {}", set.code, set.err);
    }
}

#[test]
fn force_sets_a_value_beside_damage() {
    // The check cannot determine how close these are to the setting.
    const TOO_NEAR: [&str; 3] = ["key beside the service", "version", "key beside the control set"];
    for case in CASES {
        let mut built = hive();
        (case.damage)(&mut built);
        let copy = Copied::with(built.bytes);
        let name = case.name;
        let beside = case.audit == "read" && case.get.0 == "set";
        if !beside {
            let set = copy.run(["set", "1", "--force", "SYSTEM"]).code;
            assert!(set != 0 || case.get.0 == "unset", "{name}");
            continue;
        }
        assert_ne!(copy.run(["set", "1", "SYSTEM"]).code, 0, "{name}");
        assert!(copy.bytes() == copy.before, "{name}");
        let set = copy.run(["set", "1", "--force", "SYSTEM"]);
        assert_eq!(set.code, if TOO_NEAR.contains(&name) { 3 } else { 0 }, "{name}: {}", set.err);
        if set.code != 0 {
            continue;
        }
        let get = copy.run(["get", "--json", "SYSTEM"]).json();
        assert_eq!((&get["at_next_boot"]["value"], &get["confirmed"]), (&1.into(), &true.into()), "{name}");
        assert!(says(&get["findings"], case.says).is_some(), "{name}: {get:#}");
        assert_eq!(check(&copy.bytes()).counts, check(&copy.before).counts, "{name}");
        let changed = copy.bytes().iter().zip(&copy.before).filter(|(now, before)| now != before).count();
        assert!(changed < 40, "{name}: {changed}");
    }
}

#[test]
fn force_does_not_ignore_unreadable_values() {
    let damaged = |with_setting: bool| {
        let spec = SystemHive::new(Release::Win10).with_right_setting(1, 2).spec();
        let mut built = spec.at(AGENT, |k| if with_setting { k } else { k.without_value(SETTING) }).build();
        value(&mut built, AGENT, "ObjectName");
        Copied::with(built.bytes)
    };
    for (with_setting, args, code) in
        [(true, &["set", "1"][..], 0), (true, &["unset"], 2), (false, &["set", "1"], 2), (false, &["unset"], 2)]
    {
        let copy = damaged(with_setting);
        let run = copy.run(args.iter().copied().chain(["--force", "SYSTEM"]));
        assert_eq!(run.code, code, "{with_setting} {args:?}: {}", run.err);
        assert_eq!(copy.bytes() == copy.before, code != 0, "{with_setting} {args:?}");
        if code != 0 {
            let error = copy.run(args.iter().copied().chain(["--force", "--json", "SYSTEM"])).json();
            let error = &error["error"];
            assert_eq!(error["code"], "value-signature", "{error:#}");
            assert!(error["advice"].is_string() && error["places"][0]["offset"].is_u64(), "{error:#}");
        }
    }
}

#[test]
fn info_of_a_disk_reports_it_too() {
    for name in ["value beside the setting", "key of the service", "Services is a link", "setting is a tombstone"] {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        let mut built = hive();
        (case.damage)(&mut built);
        let Some(volume) = windows_volume(16, &built.bytes, |_| {}) else { return };
        let path = volume.path();
        let path = path.to_str().unwrap();
        let info = hivewright(["info", "--json", path]).json();
        let findings = &info["volumes"][0]["installations"][0]["findings"];
        assert!(says(findings, case.says).is_some(), "{name}: {findings:#}");
        assert!(hivewright(["info", path]).out.contains(&format!("({})", case.says.0)), "{name}");
        let get = hivewright(["get", "--json", path]);
        assert_eq!((get.json()["at_next_boot"]["state"].as_str(), get.code), (Some(case.get.0), case.get.1), "{name}");
    }
}

#[test]
fn a_bad_reference_is_named_by_the_field_that_refers() {
    let mut built = hive();
    put_u32(&mut built.bytes, 36, NIL);
    built.fix_checksum();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("SYSTEM");
    std::fs::write(&path, &built.bytes).unwrap();
    let path = path.to_str().unwrap();
    for verb in [&["get", "--json"][..], &["set", "2", "--json"]] {
        let run = hivewright(verb.iter().copied().chain([path]));
        let error = &run.json()["error"];
        assert_eq!((run.code, &error["code"]), (2, &"cell-reference".into()), "{error:#}");
        assert_eq!(error["places"], serde_json::json!([{ "space": "hive", "offset": 36 }]));
        assert!(error["advice"].is_string(), "{error:#}");
    }
    let info = hivewright(["info", "--json", path]).json();
    assert_eq!(info["findings"][0]["offset"], 36, "{info:#}");
}

/// Creates a hive sorted by Windows' rules, in which the second parser's search fails.
fn letters_of_another_order() -> Vec<u8> {
    let names: Vec<String> = (0..60).map(|i| format!("\u{131}{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let spec = SystemHive::new(Release::Win10).with_right_setting(1, 2).spec();
    spec.at("ControlSet001\\Services", |k| k.empty_keys(&names)).build().bytes
}

#[test]
fn letters_in_another_order_of_the_second_parser_are_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("SYSTEM");
    std::fs::write(&path, letters_of_another_order()).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(hivewright(["check", path]).code, 0);
    let get = hivewright(["get", "--json", path]);
    let told = get.json();
    assert_eq!((get.code, &told["at_next_boot"]["value"], &told["confirmed"]), (0, &2.into(), &true.into()));
    assert!(says(&told["findings"], ("second-parser", AGENT)).is_some(), "{told:#}");
    for (verb, number) in [(&["set", "1"][..], Some(1)), (&["unset"], None), (&["set", "0"], Some(0))] {
        assert_eq!(hivewright(verb.iter().copied().chain([path])).code, 0, "{verb:?}");
        assert_eq!(hivewright(["get", "--json", path]).json()["at_next_boot"]["value"].as_u64(), number, "{verb:?}");
    }
}

#[test]
fn no_message_contains_a_debug_value() {
    let folder = tempfile::tempdir().unwrap();
    // Two subkeys are swapped, so that a binary search misses the service.
    let mut built = hive();
    let leaf = built.payload(built.offsets.key("ControlSet001\\Services").leaves[0]);
    let count = usize::from(get_u16(&built.bytes, leaf + 2));
    let nk = built.offsets.key(AGENT).nk;
    let element = |i: usize| leaf + 4 + 8 * i;
    let at = (0..count).find(|&i| get_u32(&built.bytes, element(i)) == nk).unwrap();
    let (here, there) = (element(at), element(if at == 0 { count - 1 } else { 0 }));
    for i in 0..8 {
        built.bytes.swap(here + i, there + i);
    }
    let path = folder.path().join("SYSTEM");
    std::fs::write(&path, &built.bytes).unwrap();
    let path = path.to_str().unwrap();
    for verb in [&["get"][..], &["get", "--value"], &["get", "--json"], &["info"], &["audit", "--json"], &["set", "1"]]
    {
        let run = hivewright(verb.iter().copied().chain([path]));
        for word in ["Some(", "None", "[2, 0"] {
            assert!(!run.out.contains(word) && !run.err.contains(word), "{verb:?}: {} {}", run.out, run.err);
        }
    }
    let get = hivewright(["get", "--json", path]);
    let cause = &get.json()["at_next_boot"]["cause"];
    assert_eq!((get.code, &cause["code"]), (2, &"subkey-order".into()), "{cause:#}");
}
