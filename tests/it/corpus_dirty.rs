//! Setting the value in the corpus's SYSTEM hives with logs, all of them dirty except `hvle_stale`: the contents of
//! their logs are kept, and a replay of the old logs over the edited file, by our code and by another, changes nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use hivewright_hive::check::check;

use crate::corpus;
use crate::judges::{oracle_diff, python_with};
use crate::support::contents::{booted, contents, differences};
use crate::support::dirty_place::DirtyPlace;

/// Folders, and their logs.
const HIVES: &[(&str, &[&str])] = &[
    ("system/win10_1709_dirty", &["SYSTEM.LOG1", "SYSTEM.LOG2"]),
    ("synthetic/hvle_two_logs", &["SYSTEM.LOG1", "SYSTEM.LOG2"]),
    ("synthetic/hvle_stale", &["SYSTEM.LOG1", "SYSTEM.LOG2"]),
    ("synthetic/hvle_bad_third", &["SYSTEM.LOG1", "SYSTEM.LOG2"]),
    ("synthetic/dirt_inplace", &["SYSTEM.LOG"]),
    ("synthetic/dirt_grow", &["SYSTEM.LOG1", "SYSTEM.LOG2"]),
];

/// Dirty, and without an applicable log.
const REFUSED: &[(&str, &[&str])] = &[
    ("system/win81_dirty_nologs", &[]),
    ("system/vgi_dirty", &[]),
    ("synthetic/dirt_torn", &["SYSTEM.LOG1", "SYSTEM.LOG2"]),
];

fn place(folder: &Path, name: &str, logs: &[&str]) -> Option<DirtyPlace> {
    let read = |file: &str| {
        let stored = format!("{name}/{file}");
        let packed = format!("{stored}.zst");
        corpus::read(folder, if folder.join(&stored).is_file() { &stored } else { &packed })
    };
    let logs = logs.iter().map(|log| Some(((*log).to_owned(), read(log)?))).collect::<Option<Vec<_>>>()?;
    Some(DirtyPlace::new(name, read("SYSTEM")?, logs, None))
}

#[test]
fn setting_keeps_the_logs_contents_and_no_replay_follows() {
    let Some(folder) = corpus::folder("corpus_dirty").filter(|_| corpus::can_unpack("corpus_dirty")) else { return };
    for (name, logs) in HIVES {
        let place = place(&folder, name, logs).unwrap();
        assert_eq!(place.run(&["recover", "SYSTEM", "--output", "recovered"]).code, 0, "{name}");
        let recovered = place.read("recovered");
        // The logs of the synthetic hives set 2 themselves, so the edit uses another number.
        let there = place.run(&["get", "--value", "recovered"]).out;
        let number = if there.trim() == "2" { 1 } else { 2 };
        let json = place.json(&["set", &number.to_string(), "SYSTEM", "--undo", "undo"], 0);
        let made = place.hive();
        place.logs_are_untouched();

        let all = contents(&made);
        let changed = differences(&contents(&recovered), &all);
        let places = json["changes"].as_array().unwrap();
        assert_eq!(changed.len(), places.len(), "{name}: {changed:?}");
        for (key, value) in &changed {
            assert_eq!(value.as_deref(), Some("ASSUMEUDPENCAPSULATIONCONTEXTONSENDRULE"), "{name}");
            let asked = |place: &serde_json::Value| key[1..] == place["key"].as_str().unwrap().to_uppercase();
            assert!(places.iter().any(asked), "{name}: {key}");
        }
        let sequence = u32::from_le_bytes(made[4..8].try_into().unwrap());
        let highest = place.highest().unwrap();
        assert!(sequence.wrapping_sub(highest).cast_signed() > 0, "{name}: {sequence} is not above {highest}");
        let (before, after) = (check(&recovered), check(&made));
        assert!(after.counts.iter().all(|(code, n)| n <= before.counts.of(code)), "{name}: {:?}", after.findings);

        let lines = oracle_diff("corpus_dirty", &place.path("recovered"), &place.path("SYSTEM"));
        if let Some(lines) = &lines {
            assert_eq!(lines.len(), places.len(), "{name}: {lines:?}");
            assert!(lines.iter().all(|line| line["new"]["data"] == format!("0{number}000000")), "{name}: {lines:?}");
        }
        let (again, replayed) = booted(&made, &place.logs);
        assert!(!replayed && again == made, "{name}: the old logs are replayed over the edit");
        println!(
            "{name}: {} keys and values, {} differ; sequence numbers {sequence}, above {highest}",
            all.len(),
            changed.len()
        );
        read_by_regipy(&place, places[0]["key"].as_str().unwrap(), number);
        assert_eq!(place.run(&["undo", "undo"]).code, 0, "{name}");
        assert!(place.hive() == place.primary, "{name}: undo did not bring the dirty hive back");
    }
}

/// regipy's replay ignores the sequence numbers of the primary file and applies the pages of any log to any hive. It
/// can therefore judge only the header, by which it warns of a dirty hive, and the value; the original file is the
/// control.
const REGIPY: &str = r#"
import sys
from regipy.registry import RegistryHive
hive = RegistryHive(sys.argv[1])
header = hive.header
clean = header.primary_sequence_num == header.secondary_sequence_num
values = hive.get_key(sys.argv[2]).get_values(as_json=True)
found = [v.value for v in values if v.name == "AssumeUDPEncapsulationContextOnSendRule"]
print("clean" if clean else "dirty", *found)
"#;

fn read_by_regipy(place: &DirtyPlace, key: &str, number: u32) {
    let Some(python) = python_with("corpus_dirty", "regipy") else { return };
    fs::write(place.path("before"), &place.primary).unwrap();
    let read = |hive: &str| {
        let key = format!("\\{key}");
        let output =
            Command::new(&python).args(["-c", REGIPY, hive, &key]).current_dir(place.folder()).output().unwrap();
        assert!(output.status.success(), "{}: {}", place.name, String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(read("SYSTEM"), format!("clean {number}"), "{}", place.name);
    let control = if place.is_clean() { "clean" } else { "dirty" };
    assert!(read("before").starts_with(control), "{}", place.name);
    println!("  regipy: {}", read("SYSTEM"));
}

#[test]
fn without_usable_logs_they_are_refused() {
    let Some(folder) = corpus::folder("corpus_dirty").filter(|_| corpus::can_unpack("corpus_dirty")) else { return };
    for (name, logs) in REFUSED {
        let place = place(&folder, name, logs).unwrap();
        for args in [&["set", "2", "SYSTEM"][..], &["unset", "SYSTEM"], &["recover", "SYSTEM"]] {
            let run = place.run(args);
            assert_eq!(run.code, 3, "{name} {args:?}: {run:?}");
            assert!(run.has("dirty"), "{name} {args:?}: {run:?}");
            place.is_untouched();
        }
        // The smallest hive has no key Select: its control set must be named even with --discard-logs.
        let anyway = place.run(&["set", "2", "SYSTEM", "--discard-logs", "--control-set", "1", "--dry-run"]);
        assert!(anyway.code == 0 || name.contains("vgi"), "{name}: {anyway:?}");
        place.is_untouched();
    }
}
