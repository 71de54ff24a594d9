//! Invalid policies are refused with file, line, and the valid syntax.

use std::fs;

use hivewright_fixtures::{Release, SystemHive};

use super::audit;
use crate::support::real::Real;

const NUMBERS: &str = "expected 0, 1, 2, \"set\", \"unset\" or \"any\"";

/// A policy, the invalid line, and words of the message.
const WRONG: &[(&str, u32, &[&str])] = &[
    ("[[expect]]\nrule = 5\n", 2, &["`5`", NUMBERS]),
    ("[[expect]]\nrule = 2\n\n[[expect]]\nrule = 3", 5, &["`3`", NUMBERS]),
    ("[[expect]]\nrule = -1", 2, &["`-1`", NUMBERS]),
    ("[[expect]]\nrule = 99999999999999999999", 2, &["99999999999999999999", NUMBERS]),
    ("[[expect]]\nrule = 2.0", 2, &["floating point", NUMBERS]),
    ("[[expect]]\nrule = true", 2, &["boolean", NUMBERS]),
    ("[[expect]]\nrule = \"2\"", 2, &["string \"2\"", NUMBERS]),
    ("[[expect]]\nrule = \"on\"", 2, &["\"on\"", NUMBERS]),
    ("[[expect]]\nrule = [2]", 2, &["sequence", NUMBERS]),
    ("[[expect]]\nrule = 2\nrule = 1", 3, &["duplicate"]),
    ("[[expect]]\nvalues = 2", 2, &["`values`", "`value`", "`related`"]),
    ("[[expect]]\nrule = 2\n[other]\nx = 1", 3, &["`other`", "`expect`"]),
    ("[[expect]]\nrule = 2\npath = \"\"", 3, &["an empty pattern", "\"**\""]),
    ("[[expect]]\nrule = 2\npath = [\n\"x\", \"\"]", 3, &["an empty pattern"]),
    ("[[expect]]\nrule = 2\npath = []", 3, &["an empty list"]),
    ("[[expect]]\nrule = 2\npath = \"[\"", 3, &["the pattern \"[\"", "unclosed"]),
    ("[[expect]]\nrule = 2\npath = 3", 3, &["integer", "a pattern or a list"]),
    ("[[expect]]\nrule = 2\nname = 3", 3, &["integer", "a string"]),
    ("[[expect]]\nrule = 2\nwindows = \"7\"", 3, &["`7`", "`xp` or `vista+`"]),
    ("[[expect]]\nrule = 2\nversion = \"ten\"", 3, &["\"ten\"", ">=6.1"]),
    ("[[expect]]\nrule = 2\nversion = \"10.0.1.2.3\"", 3, &["10.0.1.2.3"]),
    ("[[expect]]\nrule = 2\nversion = 10.0", 3, &["floating point", "a string"]),
    ("[[expect]]\nrule = 2\nproduct_type = \"laptop\"", 3, &["`laptop`", "`client`", "`domain_controller`"]),
    ("[[expect]]\nrule = 2\nat = \"never\"", 3, &["`never`", "`next-boot`", "`both`"]),
    ("[[expect]]\nneighbours = { Other = 1 }", 2, &["`Other`", "`ProhibitIpSec`"]),
    ("[[expect]]\nrelated = { ProhibitIpSec = 4294967296 }", 2, &["4294967295", "\"off\""]),
    ("[[expect]]\nrelated = { ProhibitIpSec = \"none\" }", 2, &["\"none\"", "\"off\""]),
    ("[[expect]]\nneighbours = 1", 2, &["integer", "a map"]),
    ("[[expect]]\nrule = 2\n[[expect]]\nname = \"x\"", 3, &["neither value nor related"]),
    ("[expect]\nrule = 2", 1, &["expected a sequence"]),
    ("expect = 2", 1, &["expected a sequence"]),
    ("not toml", 1, &["expected `=`"]),
    ("", 1, &["neither [[check]] nor [[expect]]"]),
    ("name = \"x\"", 1, &["neither [[check]] nor [[expect]]"]),
    ("[[check]]\nid = \"a\"\nkey = 'HKLM\\SYSTEM'\nexpect = {}", 1, &["`expect` is empty"]),
    ("[[expect]]\nrule = 2\n[[check]]\nid = \"\"\nkey = 'x'\nexpect = { present = true }", 3, &["the id \"\""]),
    ("[[check]]\nid = \"a\"\nkey = 'Setup'\nexpect = { present = true }", 1, &["a root of the registry"]),
    ("[[check]]\nid = \"a\"\nkey = 'HKLM\\SAM'\nexpect = { presents = true }", 4, &["`presents`", "`present`"]),
    (
        "[[check]]\nid = \"a\"\nkey = 'HKLM\\SAM'\nexpect = { present = true }\nwhen = { role = \"x\" }",
        1,
        &["no role \"x\""],
    ),
    (
        "[[check]]\nid = \"a\"\nkey = 'HKLM\\SAM'\nexpect = { present = true }\nmend = { set = 1 }",
        1,
        &["`mend` needs exactly one of"],
    ),
    ("# all\nexpect = []", 2, &["`expect` in line 2 is empty"]),
    ("[[expect]]\nrule = 2\n\nname = \"x", 4, &["basic string"]),
    ("[[expect]]\nrule = 2\n\n[[expect]]\nrule = 2\nrelated = { ProhibitIpSec = [] }", 6, &["sequence"]),
    ("[[expect]]\nrule = 2\n[expect.related]\nProhibitIpSec = true", 4, &["boolean"]),
];

#[test]
fn errors_of_policies_have_their_line() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("hive"), SystemHive::new(Release::Win10).build().bytes).unwrap();
    for (text, line, words) in WRONG {
        fs::write(home.path().join("lab.toml"), text).unwrap();
        let run = audit(home.path(), &["--json", "--policy", "lab.toml", "hive"]);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{text}: {}", run.err);
        let place = format!("line {line}");
        for word in words.iter().copied().chain(["the policy lab.toml", &place, "`hivewright help audit`"]) {
            assert!(run.err.contains(word), "{text}: {word:?} is not in {}", run.err);
        }
    }
    fs::write(home.path().join("lab.toml"), b"# all\n[[expect]]\nname = \"\xff\"\nrule = 2\n").unwrap();
    let run = audit(home.path(), &["--policy", "lab.toml", "hive"]);
    assert!(run.code == 2 && run.err.contains("line 3"), "{}", run.err);
    fs::write(home.path().join("lab.toml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    let run = audit(home.path(), &["--policy", "lab.toml", "hive"]);
    assert!(run.code == 2 && run.has("policy"), "{}", run.err);
    assert!(audit(home.path(), &["--policy", "none.toml", "hive"]).has("no-file"));
    // Valid policies.
    for (text, code) in [
        ("[[expect]]\nrule = \"unset\"\nwindows = \"vista+\"\nat = \"both\"", 0),
        ("[[expect]]\nrule = 0\npath = [\"h*\", \"x\"]\nproduct_type = \"client\"", 1),
        ("[[expect]]\nrelated = { ProhibitIpSec = \"off\", NegotiateDH2048_AES256 = \"unset\" }", 0),
        ("[[expect]]\nneighbours.AllowL2TPWeakCrypto = 4294967295", 1),
    ] {
        fs::write(home.path().join("lab.toml"), text).unwrap();
        let run = audit(home.path(), &["--json", "--policy", "lab.toml", "hive"]);
        assert_eq!(run.code, code, "{text}: {}", run.err);
    }
    // The same words on the command line.
    for wrong in ["5", "on", "any", "-1", "two", ""] {
        let run = audit(home.path(), &[&format!("--expect={wrong}"), "hive"]);
        assert!(run.code == 2 && run.err.contains("--expect"), "{wrong}: {}", run.err);
    }
}

/// A policy that matches nothing is reported.
#[test]
fn unmatched_entries_of_a_policy_are_reported() {
    let home = tempfile::tempdir().unwrap();
    for name in ["fleet/dc/a", "fleet/dc/deep/b", "fleet/web/c"] {
        fs::create_dir_all(home.path().join(name).parent().unwrap()).unwrap();
        fs::write(home.path().join(name), SystemHive::new(Release::Win10).with_right_setting(1, 1).build().bytes)
            .unwrap();
    }
    let told = |path: &str, target: &str| {
        let text = format!("[[expect]]\nname = \"dc\"\npath = '{path}'\nrule = 2\n");
        fs::write(home.path().join("lab.toml"), text).unwrap();
        let run = audit(home.path(), &["--json", "--policy", "lab.toml", target]);
        let warned = run.has("none-fits") && run.err.contains("expect 1 (dc)");
        let reached = |record: &serde_json::Value| !record["compliant"].is_null();
        let count = super::records(&run.out).values().filter(|record| reached(record)).count();
        let left = 3 - count;
        let said = run.err.contains(&format!("{left} without an expectation"));
        assert_eq!((said, warned, run.code), (left > 0, count == 0, i32::from(count > 0)), "{path}: {}", run.err);
        count
    };
    let root = home.path().real();
    let root = root.to_str().unwrap();
    // The end of the target is the same under all of its names.
    for target in ["fleet", "./fleet", &format!("{root}/fleet")] {
        assert_eq!(told("dc/**", target), 2, "{target}");
        assert_eq!(told("./dc/**", target), 2, "{target}");
        assert_eq!(told("dc/*", target), 1, "{target}");
        assert_eq!(told("{a,c}", target), 2, "{target}");
        assert_eq!(told("c/**", target), 0, "only whole folders");
        assert_eq!(told("fleet", target), 0, "{target}");
        assert_eq!(told("/dc/**", target), 0, "{target}");
    }
    assert_eq!(told(&format!("{}/fleet/dc/**", super::slashed(root)), &format!("{root}/fleet")), 2);
    // A shard of an audit may have no match, and nothing is missing.
    let run = audit(home.path(), &["--json", "--policy", "lab.toml", "--shard", "1/1", "fleet/web"]);
    assert!(!run.err.contains("warning"), "{}", run.err);
    assert!(!audit(home.path(), &["--json", "--expect", "1", "fleet"]).err.contains("without an expectation"));
}
