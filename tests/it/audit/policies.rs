//! What a policy cannot say is refused: with file, line, and what it could say.

use std::fs;

use hivewright_fixtures::{Release, SystemHive};

use super::audit;

const NUMBERS: &str = "expected 0, 1, 2, \"set\", \"unset\" or \"any\"";

/// A policy, the line that is at fault, and words of the message.
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
    ("[[expect]]\nrules = 2", 2, &["`rules`", "`rule`", "`neighbours`"]),
    ("[[expect]]\nrule = 2\n[other]\nx = 1", 3, &["`other`", "`expect`"]),
    ("[[expect]]\nrule = 2\npath = \"\"", 3, &["an empty pattern", "\"**\""]),
    ("[[expect]]\nrule = 2\npath = [\n\"x\", \"\"]", 3, &["an empty pattern"]),
    ("[[expect]]\nrule = 2\npath = []", 3, &["an empty list"]),
    ("[[expect]]\nrule = 2\npath = \"[\"", 3, &["the pattern \"[\"", "unclosed"]),
    ("[[expect]]\nrule = 2\npath = 3", 3, &["integer", "a pattern, or a list"]),
    ("[[expect]]\nrule = 2\nname = 3", 3, &["integer", "a string"]),
    ("[[expect]]\nrule = 2\nwindows = \"7\"", 3, &["`7`", "`xp` or `vista+`"]),
    ("[[expect]]\nrule = 2\nversion = \"ten\"", 3, &["\"ten\"", ">=6.1"]),
    ("[[expect]]\nrule = 2\nversion = \"10.0.1.2.3\"", 3, &["10.0.1.2.3"]),
    ("[[expect]]\nrule = 2\nversion = 10.0", 3, &["floating point", "a string"]),
    ("[[expect]]\nrule = 2\nproduct_type = \"laptop\"", 3, &["`laptop`", "`client`", "`domain_controller`"]),
    ("[[expect]]\nrule = 2\nat = \"never\"", 3, &["`never`", "`next-boot`", "`both`"]),
    ("[[expect]]\nneighbours = { Other = 1 }", 2, &["`Other`", "`ProhibitIpSec`"]),
    ("[[expect]]\nneighbours = { ProhibitIpSec = 4294967296 }", 2, &["4294967295", "\"off\""]),
    ("[[expect]]\nneighbours = { ProhibitIpSec = \"none\" }", 2, &["\"none\"", "\"off\""]),
    ("[[expect]]\nneighbours = 1", 2, &["integer", "a map"]),
    ("[[expect]]\nrule = 2\n[[expect]]\nname = \"x\"", 3, &["neither rule nor neighbours"]),
    ("[expect]\nrule = 2", 1, &["expected a sequence"]),
    ("expect = 2", 1, &["expected a sequence"]),
    ("not toml", 1, &["expected `=`"]),
    ("", 1, &["missing field `expect`"]),
    ("# all\nexpect = []", 2, &["expects nothing"]),
    ("[[expect]]\nrule = 2\n\nname = \"x", 4, &["basic string"]),
    ("[[expect]]\nrule = 2\n\n[[expect]]\nrule = 2\nneighbours = { ProhibitIpSec = [] }", 6, &["sequence"]),
    ("[[expect]]\nrule = 2\n[expect.neighbours]\nProhibitIpSec = true", 4, &["boolean"]),
];

#[test]
fn what_a_policy_cannot_say_is_told_with_its_line() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("hive"), SystemHive::new(Release::Win10).build().bytes).unwrap();
    for (text, line, words) in WRONG {
        fs::write(home.path().join("lab.toml"), text).unwrap();
        let run = audit(home.path(), &["--json", "--policy", "lab.toml", "hive"]);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{text}: {}", run.err);
        let place = format!("line {line}");
        for word in words.iter().copied().chain(["the policy lab.toml", &place, "what to do: `hivewright help audit`"])
        {
            assert!(run.err.contains(word), "{text}: {word:?} is not in {}", run.err);
        }
    }
    fs::write(home.path().join("lab.toml"), b"# all\n[[expect]]\nname = \"\xff\"\nrule = 2\n").unwrap();
    let run = audit(home.path(), &["--policy", "lab.toml", "hive"]);
    assert!(run.code == 2 && run.err.contains("line 3"), "{}", run.err);
    fs::write(home.path().join("lab.toml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    let run = audit(home.path(), &["--policy", "lab.toml", "hive"]);
    assert!(run.code == 2 && run.err.contains("longer than 1048576 bytes"), "{}", run.err);
    assert!(audit(home.path(), &["--policy", "none.toml", "hive"]).err.contains("none.toml: it is not there"));
    // And what it can say.
    for (text, code) in [
        ("[[expect]]\nrule = \"unset\"\nwindows = \"vista+\"\nat = \"both\"", 0),
        ("[[expect]]\nrule = 0\npath = [\"h*\", \"x\"]\nproduct_type = \"client\"", 1),
        ("[[expect]]\nneighbours = { ProhibitIpSec = \"off\", NegotiateDH2048_AES256 = \"unset\" }", 0),
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

/// A policy that is about nothing is no assent.
#[test]
fn what_a_policy_does_not_reach_is_told() {
    let home = tempfile::tempdir().unwrap();
    for name in ["fleet/dc/a", "fleet/dc/deep/b", "fleet/web/c"] {
        fs::create_dir_all(home.path().join(name).parent().unwrap()).unwrap();
        fs::write(home.path().join(name), SystemHive::new(Release::Win10).with_right_rule(1, 1).build().bytes).unwrap();
    }
    let told = |path: &str, target: &str| {
        let text = format!("[[expect]]\nname = \"dc\"\npath = \"{path}\"\nrule = 2\n");
        fs::write(home.path().join("lab.toml"), text).unwrap();
        let run = audit(home.path(), &["--json", "--policy", "lab.toml", target]);
        let warned = run.err.contains("fits expect 1 (dc) of the policy");
        let reached = |record: &serde_json::Value| !record["compliant"].is_null();
        let count = super::records(&run.out).values().filter(|record| reached(record)).count();
        let left = 3 - count;
        let said = run.err.contains(&format!("{left} of which the policy expects nothing"));
        assert_eq!((said, warned, run.code), (left > 0, count == 0, i32::from(count > 0)), "{path}: {}", run.err);
        count
    };
    let root = home.path().canonicalize().unwrap();
    let root = root.to_str().unwrap();
    // However the target is named, its end is the same.
    for target in ["fleet", "./fleet", &format!("{root}/fleet")] {
        assert_eq!(told("dc/**", target), 2, "{target}");
        assert_eq!(told("./dc/**", target), 2, "{target}");
        assert_eq!(told("dc/*", target), 1, "{target}");
        assert_eq!(told("{a,c}", target), 2, "{target}");
        assert_eq!(told("c/**", target), 0, "only whole folders");
        assert_eq!(told("fleet", target), 0, "{target}");
        assert_eq!(told("/dc/**", target), 0, "{target}");
    }
    assert_eq!(told(&format!("{root}/fleet/dc/**"), &format!("{root}/fleet")), 2);
    // A part of an audit may have nothing for it, and of all that was expected nothing is missing.
    let run = audit(home.path(), &["--json", "--policy", "lab.toml", "--shard", "1/1", "fleet/web"]);
    assert!(!run.err.contains("warning"), "{}", run.err);
    assert!(!audit(home.path(), &["--json", "--expect", "1", "fleet"]).err.contains("expects nothing"));
}
