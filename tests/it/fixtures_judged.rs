//! The valid fixtures, and their edits by `set`, judged by other programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::command::{fixtures, hivewright_in};
use crate::copies::{fixture, fixtures_in};
use crate::corpus;
use crate::judges::{Judge, has, hivexregedit};
use crate::support::tools::answer;

const SETTING: &str = "AssumeUDPEncapsulationContextOnSendRule";
/// Fixtures with a deliberate violation.
const MEANT: [(&str, &[&str]); 1] = [("findings/twins-in-case", &["duplicate-value"])];

#[test]
fn the_oracle_finds_the_fixtures_sound() {
    let test = "fixtures_judged";
    let Some(corpus) = corpus::folder(test) else { return };
    let Some(oracle) = Judge::oracle(&corpus, test) else { return };
    let names = fixtures_in(&["windows", "findings", "shapes"]);
    let hive = |name: &String| fixtures().join(name).join("SYSTEM");
    let answers = oracle.ask(&names.iter().map(|name| json!(["check", hive(name)])).collect::<Vec<_>>());
    for (name, answer) in names.iter().zip(&answers) {
        let found: Vec<&str> =
            answer["ok"].as_object().unwrap_or_else(|| panic!("{name}: {answer}")).keys().map(String::as_str).collect();
        let meant = MEANT.iter().find(|(meant, _)| meant == name).map_or(&[][..], |(_, codes)| codes);
        assert_eq!(found, meant, "{name}");
    }
    println!("{} fixtures judged by the oracle", names.len());
}

/// Runs a script in hivexsh. Returns standard output.
fn hivexsh(hive: &Path, script: &str) -> String {
    let output = answer(Command::new("hivexsh").arg(hive), script.as_bytes());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "hivexsh: {}: {said}", hive.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn hivexsh_reads_the_fixtures() {
    if !has("hivexsh", "fixtures_judged") {
        return;
    }
    let mut read = 0;
    for name in fixtures_in(&["windows", "findings", "shapes"]) {
        let hive = fixtures().join(&name).join("SYSTEM");
        let keys = hivexsh(&hive, "ls\n");
        let ours = hivewright_hive::Hive::open(fixture(&name)).unwrap();
        let root = ours.primary_alone().root().unwrap();
        let mut names: Vec<String> = root.subkeys().unwrap().map(|key| key.unwrap().name().to_string()).collect();
        let mut theirs: Vec<&str> = keys.lines().collect();
        names.sort();
        theirs.sort_unstable();
        assert_eq!(theirs, names, "{name}");
        read += 1;
    }
    assert!(read > 60, "{read}");
}

#[test]
fn hivexregedit_sees_one_value_change() {
    if !has("hivexregedit", "fixtures_judged") {
        return;
    }
    for (name, service, had) in [
        ("windows/win10", "PolicyAgent", 0),
        ("windows/xp-sp3", "IPSec", 0),
        ("shapes/no-free-cell", "PolicyAgent", 0),
        ("shapes/setting-in-a-data-cell", "PolicyAgent", 1),
        ("shapes/index-root", "PolicyAgent", 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let hive = folder.path().join("SYSTEM");
        fs::write(&hive, fixture(name)).unwrap();
        let before = hivexregedit(&hive);
        assert!(before.lines().count() > 50, "{name}: {before}");
        hivewright_in(folder.path(), ["set", "2", "SYSTEM"]).done();
        let after = hivexregedit(&hive);
        let wanted = format!("\"{SETTING}\"=dword:00000002");
        let without = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.contains(SETTING)).map(str::to_owned).collect()
        };
        assert_eq!(without(&before), without(&after), "{name}: something else changed");
        assert_eq!(before.matches(SETTING).count(), had, "{name}");
        let lines: Vec<&str> = after.lines().collect();
        let at: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].contains(SETTING)).collect();
        assert_eq!(at.len(), 1, "{name}: {at:?}");
        assert_eq!(lines[at[0]], wanted, "{name}");
        let key = lines[..at[0]].iter().rev().find(|line| line.starts_with('[')).unwrap();
        assert!(key.ends_with(&format!("\\Services\\{service}]")), "{name}: {key}");
    }
}
