//! A fixed order, the same bytes for any number of jobs, and changes since a baseline.

use std::fs;
use std::path::Path;

use hivewright_fixtures::{Release, SystemHive};
use serde_json::{Value, json};

use super::{audit, slashed};
use crate::command::{Run, hivewright_in};

const POLICY: &str = "name = 'p'\n[[check]]\nid = 'start'\ntitle = 'It starts'\nseverity = 'low'\nrationale = 'Why'\n\
    reference = 'https://example.com/a'\nkey = 'HKLM\\SYSTEM\\CurrentControlSet\\Services\\PolicyAgent'\n\
    value = 'AssumeUDPEncapsulationContextOnSendRule'\nexpect = { equals = 2 }\n";

/// Creates hives in folders with the setting 0, 1 or 2, a damaged one, and the policy.
fn fleet() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (i, name) in ["b/z", "a-b/x", "a/y", "a/x", "c d", "a/b/deep"].iter().enumerate() {
        let path = home.path().join("fleet").join(name).join("SYSTEM");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        put(&path, u32::try_from(i % 3).unwrap());
    }
    fs::write(home.path().join("fleet/a/SYSTEM"), b"regf").unwrap();
    fs::write(home.path().join("p.toml"), POLICY).unwrap();
    home
}

fn put(path: &Path, value: u32) {
    fs::write(path, SystemHive::new(Release::Win10).with_right_setting(1, value).build().bytes).unwrap();
}

fn targets(run: &Run) -> Vec<String> {
    let target = |line: &str| slashed(serde_json::from_str::<Value>(line).unwrap()["target"].as_str().unwrap());
    run.out.lines().map(target).collect()
}

#[test]
fn any_number_of_jobs_has_the_same_output() {
    let home = fleet();
    for format in ["jsonl", "csv", "junit", "sarif", "markdown", "table"] {
        let runs = ["1", "8"].map(|jobs| {
            let args =
                ["--format", format, "--sort", "path", "--policy", "p.toml", "--report", "r.html", "-j", jobs, "fleet"];
            let run = audit(home.path(), &args);
            assert_eq!(run.code, 2, "{run:?}");
            (run.out, fs::read(home.path().join("r.html")).unwrap())
        });
        assert!(runs[0] == runs[1], "{format}");
        assert!(!runs[0].0.is_empty());
    }
    let sorted = audit(home.path(), &["--json", "--sort", "path", "fleet"]);
    let names = ["a/SYSTEM", "a/b/deep/SYSTEM", "a/x/SYSTEM", "a/y/SYSTEM", "a-b/x/SYSTEM", "b/z/SYSTEM", "c d/SYSTEM"];
    assert_eq!(targets(&sorted), names.map(|name| format!("fleet/{name}")));
    let quiet = audit(home.path(), &["--json", "--quiet", "fleet"]);
    assert_eq!((quiet.code, quiet.err.as_str()), (2, ""));
}

#[test]
fn changes_since_the_baseline_are_reported() {
    let home = fleet();
    let first = audit(home.path(), &["--json", "--policy", "p.toml", "fleet"]);
    fs::write(home.path().join("then.jsonl"), &first.out).unwrap();
    let against = |more: &[&str]| {
        let args = ["--policy", "p.toml", "--baseline", "then.jsonl", "--sort", "path", "--keep-going-ok", "fleet"];
        audit(home.path(), &[&args[..], more].concat())
    };
    let states = |run: &Run| -> Vec<(String, String)> {
        let all = run.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| slashed(value.as_str().unwrap());
        all.map(|it| (text(&it["target"])[6..].to_owned(), text(&it["drift"]["state"])))
            .filter(|it| it.1 != "same")
            .collect()
    };
    assert_eq!(states(&against(&["--json"])), []);
    put(&home.path().join("fleet/a/x/SYSTEM"), 2);
    put(&home.path().join("fleet/new"), 2);
    fs::remove_file(home.path().join("fleet/b/z/SYSTEM")).unwrap();
    let now = against(&["--json"]);
    let expected = [("a/x/SYSTEM", "changed"), ("b/z/SYSTEM", "gone"), ("new", "new")];
    assert_eq!(states(&now), expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    let changed: Value =
        serde_json::from_str(now.out.lines().find(|line| line.contains("\"changed\"")).unwrap()).unwrap();
    let facts: Vec<&Value> = changed["drift"]["changes"].as_array().unwrap().iter().map(|it| &it["fact"]).collect();
    assert_eq!(facts, ["at_capture", "at_next_boot", "checks.p.start"]);
    assert_eq!(changed["drift"]["changes"][1], json!({"fact": "at_next_boot", "was": "set 0", "now": "set 2"}));
    assert_eq!(now.code, 1);
    // Drift alone determines the exit status too.
    let plain = audit(home.path(), &["--json", "--baseline", "then.jsonl", "--keep-going-ok", "fleet"]);
    assert_eq!(plain.code, 1);
    let text = against(&["--format", "markdown"]).out;
    assert!(text.contains("## Changed since the baseline") && text.contains("gone"), "{text}");
}

/// The merged shards have the result of a single run.
#[test]
fn shards_merge_into_one_report() {
    let home = fleet();
    let whole = audit(home.path(), &["--json", "--sort", "path", "--policy", "p.toml", "fleet"]);
    for shard in 1..=3 {
        let of = format!("{shard}/3");
        let run = audit(home.path(), &["--json", "--sort", "path", "--policy", "p.toml", "--shard", &of, "fleet"]);
        fs::write(home.path().join(format!("shard-{shard}.jsonl")), run.out).unwrap();
    }
    let report = |more: &[&str]| {
        hivewright_in(home.path(), [&["report", "shard-1.jsonl", "shard-2.jsonl", "shard-3.jsonl"], more].concat())
    };
    let merged = report(&["--format", "jsonl"]);
    assert_eq!((merged.code, merged.out == whole.out), (2, true), "{}", merged.err);
    let page = report(&["--html", "r.html", "--policy", "p.toml"]);
    assert_eq!((page.code, page.out.as_str()), (2, ""));
    let html = fs::read_to_string(home.path().join("r.html")).unwrap();
    assert!(html.contains("https://example.com/a") && html.contains("\"records\":7"));
    assert_eq!(report(&["--format", "junit", "--keep-going-ok"]).code, 1);
    // One run again, and a torn line: the later file counts, and skipped lines are reported.
    fs::write(home.path().join("shard-3.jsonl"), whole.out.clone() + "{\"form\":2,\"to").unwrap();
    let again = report(&["--format", "jsonl", "--keep-going-ok"]);
    assert_eq!((again.code, again.out == whole.out), (2, true), "{}", again.err);
    fs::write(home.path().join("none.jsonl"), "x\n").unwrap();
    let none = hivewright_in(home.path(), ["report", "none.jsonl"]);
    assert_eq!((none.code, none.out.as_str()), (2, ""));
}

/// Asserts the requirements of SARIF 2.1.0 (OASIS, sections 3.13 to 3.51) for our logs.
fn expect_sarif(log: &Value) {
    assert_eq!((&log["version"], log["runs"].as_array().unwrap().len()), (&json!("2.1.0"), 1));
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "hivewright");
    assert!(run["invocations"][0]["executionSuccessful"].is_boolean());
    let rules = driver["rules"].as_array().unwrap();
    let ids: Vec<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    for result in run["results"].as_array().unwrap() {
        assert!(ids.contains(&result["ruleId"].as_str().unwrap()), "{result}");
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(result["message"]["text"].is_string());
        let place = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert!(place.as_str().unwrap().bytes().all(|byte| byte.is_ascii_graphic()), "{place}");
        assert_eq!(result["partialFingerprints"]["place/v1"].as_str().unwrap().len(), 16);
    }
}

#[test]
fn sarif_has_a_result_for_each_deviation() {
    let home = fleet();
    let run = audit(home.path(), &["--format", "sarif", "--policy", "p.toml", "fleet"]);
    let log: Value = serde_json::from_str(&run.out).unwrap();
    expect_sarif(&log);
    let results = log["runs"][0]["results"].as_array().unwrap();
    let of = |rule: &str| results.iter().filter(|result| result["ruleId"] == rule).collect::<Vec<_>>();
    assert_eq!((of("p/start").len(), of("hivewright/unreadable").len(), results.len()), (4, 1, 5));
    let one = of("p/start")[0];
    let key = r"HKLM\SYSTEM\ControlSet001\Services\PolicyAgent\AssumeUDPEncapsulationContextOnSendRule";
    assert_eq!(
        (&one["level"], &one["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]),
        (&json!("note"), &json!(key))
    );
    let rule =
        log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().iter().find(|it| it["id"] == "p/start").unwrap();
    assert_eq!(
        (&rule["helpUri"], &rule["shortDescription"]["text"]),
        (&json!("https://example.com/a"), &json!("It starts"))
    );
}
