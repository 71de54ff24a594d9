//! Records as CSV, as JUnit, and with their schema, read by other programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hivewright_fixtures::{Release, SystemHive};
use serde_json::{Value, json};

use super::{audit, records};
use crate::command::{fixtures, hivewright};
use crate::judges::python_with;
use crate::support::tools::{answer, python_answers};

/// Names with a special meaning in other formats.
const HOSTILE: [&str; 6] = ["=1+1", "@x", "a\",\"b\r\nc", "<x>&'\"]]>\u{1b}\u{1}", "\u{202e}cod.exe\u{ffff}", "plain"];

/// Creates a folder with a hive under each of the hostile names, the last one damaged, and audits it.
fn hostile(format: &str) -> (Vec<Value>, String) {
    let home = tempfile::tempdir().unwrap();
    for (i, name) in HOSTILE.iter().enumerate() {
        let mut hive =
            SystemHive::new(Release::Win10).with_right_setting(1, u32::try_from(i % 3).unwrap()).build().bytes;
        if *name == "plain" {
            hive.truncate(100);
        }
        fs::write(home.path().join(name), hive).unwrap();
    }
    let args = |format| [&["--format", format, "--expect", "2", "-j", "1"][..], &HOSTILE[..]].concat();
    let run = audit(home.path(), &args(format));
    assert_eq!(run.code, 2, "{}", run.err);
    let lines = audit(home.path(), &args("jsonl"));
    let mut all: Vec<Value> = records(&lines.out).into_values().collect();
    all.sort_by_key(|record| HOSTILE.iter().position(|name| record["target"] == *name));
    assert_eq!(all.len(), HOSTILE.len());
    (all, run.out)
}

#[test]
fn rows_are_read_back_by_pythons_reader() {
    let Some(python) = python_with("csv", "csv") else { return };
    let (records, text) = hostile("csv");
    let program = "import csv, io, json, sys\n\
        text = sys.stdin.buffer.read().decode()\n\
        print(json.dumps(list(csv.DictReader(io.StringIO(text, newline=''), strict=True))))";
    let rows = python_answers(&python, program, &text);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), records.len());
    let shown = ["'=1+1", "'@x", "a\",\"b\u{fffd}\u{fffd}c"];
    let mut seen = 0;
    for row in rows {
        for (column, cell) in row.as_object().unwrap() {
            let cell = cell.as_str().unwrap_or_else(|| panic!("a row is too short: {column}"));
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{column}: {cell:?}");
            assert!(!cell.contains(|c: char| c.is_control() || c == '\u{202e}'), "{column}: {cell:?}");
        }
        seen += usize::from(shown.iter().any(|shown| row["target"] == *shown));
    }
    assert_eq!(seen, 3);
    let plain = rows.iter().find(|row| row["target"] == "plain").unwrap();
    assert_eq!((&plain["status"], &plain["error_code"]), (&json!("error"), &records[5]["error"]["code"]));
    let one = rows.iter().find(|row| row["target"] == "'@x").unwrap();
    assert_eq!(one["at_next_boot_value"], "1");
    assert_eq!(one["compliant"], "false");
    assert_eq!(one["violations"], "nat-t at next-boot: expected 2, found 1 (--expect)");
    assert_eq!(one["size"], records[1]["size"].to_string());
    assert!(one["control_sets"].as_str().unwrap().starts_with("ControlSet001=1"), "{one}");
}

// Names on Windows have none of these characters.
#[cfg(unix)]
#[test]
fn cases_are_read_back_by_pythons_reader_and_libxml() {
    let (_, text) = hostile("junit");
    if crate::judges::has("xmllint", "JUnit") {
        let output = answer(Command::new("xmllint").args(["--noout", "-"]), text.as_bytes());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let Some(python) = python_with("JUnit", "xml.etree.ElementTree") else { return };
    let program = "import json, sys\n\
        from xml.etree import ElementTree\n\
        root = ElementTree.fromstring(sys.stdin.buffer.read())\n\
        cases = [dict(c.attrib, inside=[[i.tag, dict(i.attrib), i.text] for i in c]) for c in root.iter('testcase')]\n\
        print(json.dumps(dict(root=root.attrib, suite=root[0].attrib, cases=cases)))";
    let read = python_answers(&python, program, &text);
    for element in ["root", "suite"] {
        let counts = ["tests", "failures", "errors"].map(|name| read[element][name].as_str().unwrap());
        assert_eq!(counts, ["6", "4", "1"], "{element}");
    }
    assert_eq!(read["suite"]["skipped"], "0");
    let cases = read["cases"].as_array().unwrap();
    let case = |name: &str| cases.iter().find(|case| case["name"] == name).unwrap_or_else(|| panic!("{name}: {text}"));
    let first = &case("@x")["inside"][0];
    assert_eq!(first[0], "failure");
    assert_eq!(first[1]["message"], "nat-t at next-boot: expected 2, found 1 (--expect)");
    assert_eq!(case("plain")["inside"][0][0], "error");
    assert_eq!(case("<x>&'\"]]>\u{fffd}\u{fffd}")["classname"], "hive");
    case("\u{fffd}cod.exe\u{fffd}");
}

/// Audits with violations, checks that do not apply, an unreadable target, one that is gone and one that has changed.
fn deviations(format: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let hive = |name: &str, value| {
        let bytes = SystemHive::new(Release::Win10).with_right_setting(1, value).build().bytes;
        fs::write(home.path().join(name), bytes).unwrap();
    };
    for name in HOSTILE.iter().chain(&["gone", "changed"]) {
        hive(name, 0);
    }
    let policies = ["--policy", "nat-t", "--policy", "smb1-off", "--policy", "rdp-nla"];
    let then = audit(home.path(), &[&["--json"][..], &policies, &["."]].concat());
    let baseline = tempfile::NamedTempFile::new().unwrap();
    fs::write(&baseline, then.out).unwrap();
    hive("changed", 2);
    fs::remove_file(home.path().join("gone")).unwrap();
    fs::write(home.path().join("plain"), "regf").unwrap();
    let against = ["--baseline", baseline.path().to_str().unwrap(), "--format", format, "."];
    let run = audit(home.path(), &[&policies[..], &against].concat());
    assert_eq!(run.code, 2, "{}", run.err);
    run.out
}

/// Returns a schema of others, which the gate takes from packages.
fn schema_of_others(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges/schemas").join(name);
    let found = path.is_file();
    if !found {
        hivewright_fixtures::skip::missing(format_args!("{name} is not installed"));
    }
    found.then_some(path)
}

#[test]
fn junit_is_as_its_schema_says() {
    let Some(schema) = schema_of_others("junit-10.xsd") else { return };
    if !crate::judges::has("xmllint", "JUnit") {
        return;
    }
    // Not of the schema, but read by GitLab and others.
    let without_files = |text: &str| {
        let parts = text.split(" file=\"").enumerate();
        parts.map(|(i, part)| if i == 0 { part } else { part.split_once('"').unwrap().1 }).collect::<String>()
    };
    let is_valid = |text: &str| {
        let output =
            answer(Command::new("xmllint").args(["--noout", "--schema"]).arg(&schema).arg("-"), text.as_bytes());
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let text = deviations("junit");
    for element in ["<failure type=\"not-as-expected\"", "<failure type=\"gone\"", "<error ", "<skipped "] {
        assert!(text.contains(element), "{element} {text}");
    }
    let text = without_files(&text);
    let (valid, said) = is_valid(&text);
    assert!(valid, "{said}");
    assert!(!is_valid(&text.replacen(" failures=", " failed=", 1)).0);
}

#[test]
fn sarif_is_as_its_schema_says() {
    let Some(schema) = schema_of_others("sarif-schema-2.1.0.json") else { return };
    let Some(python) = python_with("SARIF", "jsonschema") else { return };
    let schema: Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    let log: Value = serde_json::from_str(&deviations("sarif")).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    for rule in ["nat-t/", "smb1-off/", "hivewright/unreadable", "hivewright/gone"] {
        assert!(results.iter().any(|result| result["ruleId"].as_str().unwrap().starts_with(rule)), "{rule}");
    }
    let mut wrong = log.clone();
    wrong["runs"][0]["results"][0]["level"] = json!("fatal");
    let program = "import json, sys\n\
        from jsonschema import Draft4Validator\n\
        task = json.load(sys.stdin)\n\
        Draft4Validator.check_schema(task['schema'])\n\
        check = Draft4Validator(task['schema'])\n\
        print(json.dumps([[f'{e.json_path}: {e.message[:300]}' for e in check.iter_errors(log)] for log in task['logs']]))";
    let task = json!({"schema": schema, "logs": [log, wrong]}).to_string();
    let faults = python_answers(&python, program, &task);
    assert_eq!(faults[0], json!([]));
    assert_eq!(faults[1].as_array().unwrap().len(), 1);
}

#[test]
fn the_schema_accepts_all_records_and_no_damaged_one() {
    let schema: Value = serde_json::from_str(&hivewright(["schema"]).out).unwrap();
    let Some(python) = python_with("schema", "jsonschema") else { return };
    let mut all: Vec<Value> =
        records(&audit(&fixtures(), &["--json", "--sha256", "--expect", "2", "."]).out).into_values().collect();
    all.extend(hostile("jsonl").0);
    assert!(all.len() > 30 && all.iter().any(|record| record["status"] == "error"));
    let good = all.len();
    let whole = all.iter().find(|record| !record["at_next_boot"].is_null()).unwrap().clone();
    for (field, value) in [
        ("form", json!(3)),
        ("status", json!("perhaps")),
        ("target", json!(null)),
        ("compliant", json!("yes")),
        ("part", json!(-1)),
        ("build", json!(1.5)),
        ("files", json!("a")),
        ("sequence_numbers", json!([1])),
        ("control_sets", json!([{"number": "1"}])),
        ("at_next_boot", json!({"state": 1})),
        ("error", json!({"kind": "io"})),
    ] {
        let mut damaged = whole.clone();
        damaged[field] = value;
        all.push(damaged);
    }
    let mut short = whole.clone();
    short.as_object_mut().unwrap().remove("findings");
    all.push(short);
    let mut later = whole;
    later["from_the_future"] = json!([1]);
    all.push(later);
    let program = "import json, sys\n\
        from jsonschema import Draft202012Validator\n\
        task = json.load(sys.stdin)\n\
        Draft202012Validator.check_schema(task['schema'])\n\
        check = Draft202012Validator(task['schema'])\n\
        print(json.dumps([[e.message for e in check.iter_errors(r)] for r in task['records']]))";
    let faults = python_answers(&python, program, &json!({"schema": schema, "records": all}).to_string());
    for (i, faults) in faults.as_array().unwrap().iter().enumerate() {
        let is_good = i < good || i == all.len() - 1;
        assert_eq!(faults.as_array().unwrap().is_empty(), is_good, "{faults}: {}", all[i]);
    }
}

#[test]
fn a_terminal_gets_a_table_as_wide_as_it_is() {
    if !crate::support::tools::have(&["script", "stty"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    for i in 0..9 {
        let hive = SystemHive::new(Release::Win10).with_right_setting(1, i % 3).build().bytes;
        fs::write(home.path().join(format!("{}-{i}", "long".repeat(20))), hive).unwrap();
    }
    for columns in [90, 130] {
        let program = env!("CARGO_BIN_EXE_hivewright");
        let line = format!("stty rows 40 cols {columns}; '{program}' audit --expect 2 . 2> python");
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .current_dir(home.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        assert!(text.lines().any(|line| line.chars().count() > columns - 15), "{text}");
        let states: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).skip(1).take(9).collect();
        assert_eq!(states, [["differs"; 6].as_slice(), ["fine"; 3].as_slice()].concat(), "{text}");
        assert!(text.contains("9 records, 6 NOT as expected, 3 as expected"), "{text}");
        assert_eq!(fs::read_to_string(home.path().join("python")).unwrap().lines().count(), 2);
    }
}
