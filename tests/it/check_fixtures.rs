//! Each code of the check has a folder with a hive that shows it, and the expected output of `hivewright check`.
//!
//! `HIVEWRIGHT_BLESS=1 cargo test check_fixtures` writes the expected outputs again; read the difference before you
//! commit it.

use std::collections::BTreeSet;
use std::fs;

use hivewright_fixtures::damage::DAMAGES;
use hivewright_hive::check::{Rule, check};

use crate::command::{fixtures, hivewright};

#[test]
fn every_code_has_a_fixture_that_shows_it_and_little_else() {
    let (mut shown, mut wrong) = (BTreeSet::new(), Vec::new());
    for damage in DAMAGES {
        let report = check(&(damage.make)());
        let found: BTreeSet<&str> =
            report.counts.iter().filter(|&(_, n)| n > 0).map(|(rule, _)| rule.code().as_str()).collect();
        let expected: BTreeSet<&str> = damage.also.iter().copied().chain([damage.code]).collect();
        if found != expected {
            wrong.push(format!("{}: {}: {found:?}", damage.code, damage.what));
        }
        shown.insert(damage.code);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.code().as_str()).collect();
    assert_eq!(shown, all, "codes and fixtures are not the same set");
}

#[test]
fn the_output_of_check_is_as_expected() {
    let bless = std::env::var_os("HIVEWRIGHT_BLESS").is_some();
    let mut seen = 0;
    for entry in fs::read_dir(fixtures().join("check")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let run = hivewright(["check", &format!("check/{name}/SYSTEM")]);
        let again = hivewright(["check", "--json", &format!("check/{name}/SYSTEM")]);
        let json: serde_json::Value = serde_json::from_str(&again.out).unwrap();
        let findings = json["findings"].as_array().unwrap();
        let worse = findings.iter().any(|finding| finding["severity"] != "note");
        assert_eq!(run.code, i32::from(worse), "{name}: {}", run.err);
        assert!(name == "sound" || json["counts"][name].as_u64() > Some(0), "{name}: {}", again.out);
        let expected = folder.join("expected.txt");
        if bless {
            fs::write(&expected, &run.out).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_else(|e| panic!("{}: {e}", expected.display()));
        assert_eq!(run.out, expected, "{name}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}
