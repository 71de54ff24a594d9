//! `apply`: one change that fixes deviations, a clean audit afterwards, and undo.

use std::fs;

use serde_json::Value;

use super::judged::installation;
use super::{check, statuses};
use crate::command::{Run, hivewright_in};
use crate::support::windows_folder::BOB_SID;
use crate::transaction::Place;

const POLICY_AGENT: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\PolicyAgent";

fn policy() -> String {
    let reg = "mend = { reg = '''Windows Registry Editor Version 5.00\n\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Made]\n\"x\"=\"y\"\n''' }";
    [
        check("set", POLICY_AGENT, Some("Half"), "expect = { type = 'REG_DWORD', equals = 77 }"),
        check("created", r"HKLM\SOFTWARE\Example\Inner", Some("Name"), "expect = { equals = 'x' }"),
        check("deleted", &format!(r"HKU\{BOB_SID}\Control Panel"), Some("Old"), "expect = { absent = true }"),
        check("reg", r"HKLM\SOFTWARE\Made", None, &format!("expect = {{ present = true }}\n{reg}")),
        check("range", POLICY_AGENT, Some("Many"), "expect = { at_least = 3 }\nmend = { set = 5 }"),
    ]
    .concat()
}

struct Here {
    place: Place,
    work: tempfile::TempDir,
}

impl Here {
    fn new(place: Place, policy: &str) -> Self {
        let work = tempfile::tempdir().unwrap();
        fs::write(work.path().join("p.toml"), policy).unwrap();
        Here { place, work }
    }

    fn run(&self, verb: &str, args: &[&str]) -> Run {
        let target = self.place.image.to_str().unwrap();
        hivewright_in(self.work.path(), [&[verb, "--json", "--policy", "p.toml", target], args].concat())
    }
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

#[test]
fn fixed_values_are_as_expected_and_undone() {
    for place in [Some(Place::raw()), Some(Place::folder()), Place::qcow2()].into_iter().flatten() {
        let here = Here::new(place, &policy());
        let before = here.place.bytes();
        let audited = |code| {
            let run = here.run("audit", &[]);
            assert_eq!(run.code, code, "{run:?}");
            statuses(&json(&run)).into_iter().map(|(_, status)| status).collect::<Vec<_>>()
        };
        assert_eq!(audited(1), ["fail"; 5]);
        let dry = here.run("apply", &["--dry-run"]);
        let document = json(&dry);
        assert_eq!(
            (dry.code, &document["state"], &document["checks"][0]["status_after"]),
            (0, &"dry-run".into(), &Value::Null)
        );
        assert!(here.place.bytes() == before, "a dry run writes nothing");

        let made = here.run("apply", &["--undo", "undo"]);
        let document = json(&made);
        assert_eq!((made.code, &document["state"]), (0, &"written".into()), "{made:?}");
        assert_eq!(document["hives"].as_array().unwrap().len(), 3, "one change of three hives");
        let after = document["checks"].as_array().unwrap().iter().map(|it| (&it["status"], &it["status_after"]));
        assert!(after.eq([(&"fail".into(), &"pass".into()); 5]), "{document}");
        assert_eq!(audited(0), ["pass"; 5]);
        let again = here.run("apply", &[]);
        assert_eq!((again.code, &json(&again)["state"]), (0, &"already-so".into()));

        assert_eq!(hivewright_in(here.work.path(), ["undo", "undo"]).code, 0);
        assert!(here.place.bytes() == before, "every byte is back");
    }
}

/// Deviations without a fix remain, are reported, and determine the exit status.
#[test]
fn deviations_without_a_fix_are_reported() {
    let none = check(
        "none",
        r"HKLM\SYSTEM\CurrentControlSet\Services\None",
        Some("Start"),
        "expect = { equals = 4 }\nmend = { set = 4, create_key = false }",
    ) + &check("no", POLICY_AGENT, Some("Never"), "expect = { equals = 1 }\nmend = false")
        + &check("yes", POLICY_AGENT, Some("Yes"), "expect = { equals = 1 }");
    let here = Here::new(Place::folder(), &none);
    let dry = here.run("apply", &["--dry-run"]);
    assert_eq!(dry.code, 1);
    let made = here.run("apply", &[]);
    let document = json(&made);
    let told: Vec<_> = document["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["not_mended"].as_u64().unwrap(), it["status_after"].as_str().unwrap()))
        .collect();
    assert_eq!((made.code, told), (1, vec![(1, "fail"), (1, "fail"), (0, "pass")]), "{made:?}");
    let none = hivewright_in(
        here.work.path(),
        ["reg", "query", here.place.image.to_str().unwrap(), r"HKLM\SYSTEM\CurrentControlSet\Services\None"],
    );
    assert_eq!(none.code, 1, "no service was made");
}

/// Both control sets that a write changes are fixed, whichever the check names.
#[test]
fn both_control_sets_are_fixed() {
    let here = installation();
    let policy =
        check("start", r"HKLM\SYSTEM\CurrentControlSet\Services\Alpha", Some("Start"), "expect = { equals = 3 }");
    fs::write(here.path().join("p.toml"), &policy).unwrap();
    let run = hivewright_in(here.path(), ["apply", "--policy", "p.toml", "pc"]);
    assert_eq!(run.code, 0, "{run:?}");
    let (run, _) = here.audit(&(policy + "at = 'both'\n"), "pc");
    assert_eq!(run.code, 0, "{run:?}");
}

/// `apply` has the refusals of `set`, with the same codes; without a fix, nothing is refused.
#[test]
fn it_has_the_refusals_of_set() {
    let work = tempfile::tempdir().unwrap();
    let nt = check("x", POLICY_AGENT, Some("AssumeUDPEncapsulationContextOnSendRule"), "expect = { equals = 2 }");
    fs::write(work.path().join("p.toml"), nt).unwrap();
    for (name, code) in [("hibernated", 3), ("dirty-volume", 3), ("unclean-journal", 3), ("compressed", 3)] {
        let disk = hivewright_fixtures::disks::Disk::named(name).unwrap();
        let bytes = disk.read(&hivewright_fixtures::folder::home()).unwrap();
        fs::write(work.path().join("disk.raw"), bytes).unwrap();
        let set = hivewright_in(work.path(), ["set", "2", "disk.raw", "--json"]);
        let apply = hivewright_in(work.path(), ["apply", "--policy", "p.toml", "disk.raw", "--json"]);
        assert_eq!((apply.code, set.code), (code, code), "{name}: {apply:?}");
        assert_eq!(json(&apply)["error"]["code"], json(&set)["error"]["code"], "{name}");
    }
}
