//! The schema of each verb and its documents over the fixtures; one name for one fact.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hivewright_fixtures::disks::DISKS;
use serde_json::{Value, json};

use crate::command::{Run, fixtures, hivewright, hivewright_in};
use crate::copies::{Copied, fixtures_in};
use crate::judges::python_with;
use crate::support::tools::python_answers;

/// Documents by the name of their schema.
#[derive(Default)]
struct Documents(BTreeMap<&'static str, Vec<Value>>);

impl Documents {
    /// Adds the documents of a run, of the verb's schema or that of errors. Returns the first.
    fn add(&mut self, schema: &'static str, run: &Run) -> Value {
        let whole = serde_json::from_str(&run.out).map(|document| vec![document]);
        let lines = || run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
        let documents = whole.unwrap_or_else(|_| lines());
        let first = documents.first().cloned().unwrap_or_default();
        for document in documents {
            let is_error = schema != "audit" && document["error"].is_object();
            self.0.entry(if is_error { "error" } else { schema }).or_default().push(document);
        }
        first
    }
}

const SELECT: &str = "HKLM\\SYSTEM\\Select";

/// Runs every verb on a hive in its folder.
fn of_hive(copy: &Copied, documents: &mut Documents) {
    let mut run = |schema, args: &[&str]| documents.add(schema, &copy.run(args));
    let get = run("get", &["get", "--json", "SYSTEM"]);
    let info = run("info", &["info", "--json", "SYSTEM"]);
    let check = run("check", &["check", "--json", "--logs", "SYSTEM"]);
    let record = run("audit", &["audit", "--json", "--expect", "2", "SYSTEM"]);
    let dry = run("set", &["set", "2", "--json", "--dry-run", "SYSTEM"]);
    one_name_for_one_fact(&[("get", &get), ("info", &info), ("check", &check), ("audit", &record), ("set", &dry)]);
    run("reg-query", &["reg", "query", "--json", "-r", "--security", "SYSTEM", SELECT]);
    run("recover", &["recover", "--json", "--undo", "recovered", "SYSTEM"]);
    run("set", &["set", "2", "--json", "--undo", "undo", "SYSTEM"]);
    run("undo", &["undo", "--json", "undo"]);
    run("unset", &["unset", "--json", "SYSTEM"]);
    run("apply", &["apply", "--json", "--dry-run", "--policy", "nat-t", "SYSTEM"]);
    let new = format!("{SELECT}\\New");
    run("reg-add", &["reg", "add", "--json", "SYSTEM", &new, "-v", "A", "-t", "REG_DWORD", "-d", "3"]);
    run("reg-copy", &["reg", "copy", "--json", "SYSTEM", &new, &format!("{SELECT}\\Copy")]);
    run("reg-rename", &["reg", "rename", "--json", "SYSTEM", &new, "Renamed"]);
    run("reg-add", &["reg", "add", "--json", "SYSTEM", SELECT, "--security", "O:BAG:SYD:(A;;KA;;;SY)"]);
    let text = format!("Windows Registry Editor Version 5.00\r\n\r\n[{SELECT}\\Imported]\r\n\"x\"=dword:1\r\n");
    fs::write(copy.path("import.reg"), text.replace("HKLM", "HKEY_LOCAL_MACHINE")).unwrap();
    run("reg-import", &["reg", "import", "--json", "SYSTEM", "import.reg"]);
    fs::write(copy.path("old"), &copy.before).unwrap();
    run("reg-compare", &["reg", "compare", "--format", "json", "old", "SYSTEM"]);
    run("reg-delete", &["reg", "delete", "--json", "SYSTEM", &format!("{SELECT}\\Renamed")]);
    run("reg-extract", &["reg", "extract", "--json", "SYSTEM", "HKLM\\SYSTEM", "--output", "extracted"]);
    run("reg-export", &["reg", "export", "--format", "json", "SYSTEM", SELECT]);
}

/// Facts that several documents have: each has the same name and the same contents wherever it stands.
const FACTS: [&str; 11] = [
    "target",
    "file",
    "partition",
    "hive_state",
    "hibernated",
    "shadow_copies",
    "confirmed",
    "sequence_numbers",
    "related",
    "hives_agree",
    "value_name",
];

/// Names that other documents, or earlier versions, had for these facts.
const OTHER_NAMES: [&str; 8] =
    ["computer_name", "mistakes", "neighbours", "write_blockers", "rule", "agree", "inside", "dirty"];

fn is_dirty(hive_state: &Value) -> bool {
    hive_state != "clean"
}

fn one_name_for_one_fact(documents: &[(&str, &Value)]) {
    let known = documents.iter().filter(|(_, document)| document.is_object() && document["error"].is_null());
    let known: Vec<_> = known.collect();
    for fact in FACTS {
        let mut found = known.iter().filter_map(|(verb, document)| Some((verb, document.get(fact)?)));
        let Some((first, value)) = found.next() else { continue };
        for (verb, other) in found {
            // `info` does not say how a dirty hive was read.
            let is_same = other == value || (fact == "hive_state" && is_dirty(other) == is_dirty(value));
            assert!(is_same, "{fact}: {first} {value}, {verb} {other}");
        }
    }
    for (verb, document) in known {
        let text = document.to_string();
        let wrong: Vec<_> = OTHER_NAMES.iter().filter(|name| text.contains(&format!("\"{name}\":"))).collect();
        assert!(wrong.is_empty(), "{verb}: {wrong:?}");
    }
}

#[test]
fn every_document_of_every_verb_is_as_its_schema_says() {
    let Some(python) = python_with("schemas", "jsonschema") else { return };
    let mut documents = Documents::default();
    for name in fixtures_in(&["windows", "findings", "shapes", "check"]) {
        of_hive(&Copied::of(&name), &mut documents);
    }
    for name in fixtures_in(&["dirty"]) {
        let folder = fixtures().join(&name);
        documents.add("get", &hivewright_in(&folder, ["get", "--json", "SYSTEM"]));
        documents.add("check", &hivewright_in(&folder, ["check", "--json", "--logs", "SYSTEM"]));
        documents.add("info", &hivewright_in(&folder, ["info", "--json", "SYSTEM"]));
        documents.add("recover", &hivewright_in(&folder, ["recover", "--json", "--dry-run", "SYSTEM"]));
        documents.add("set", &hivewright_in(&folder, ["set", "1", "--json", "--dry-run", "SYSTEM"]));
    }
    for disk in DISKS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        fs::write(&path, disk.read(&fixtures()).unwrap()).unwrap();
        of_disk(folder.path(), &mut documents);
    }
    let names: Vec<_> = documents.0.keys().copied().collect();
    let schemas: BTreeMap<_, Value> =
        names.iter().map(|name| (*name, serde_json::from_str(&hivewright(["schema", name]).out).unwrap())).collect();
    // In this test no document has a member that its schema does not describe.
    let program = "import json, sys\n\
        from jsonschema import Draft202012Validator\n\
        def closed(s):\n\
        \x20   if isinstance(s, list): return [closed(x) for x in s]\n\
        \x20   if not isinstance(s, dict): return s\n\
        \x20   s = {k: closed(v) for k, v in s.items()}\n\
        \x20   if isinstance(s.get('properties'), dict): s.setdefault('additionalProperties', False)\n\
        \x20   return s\n\
        task = json.load(sys.stdin)\n\
        out = []\n\
        for name, schema in task['schemas'].items():\n\
        \x20   Draft202012Validator.check_schema(schema)\n\
        \x20   check = Draft202012Validator(closed(schema))\n\
        \x20   for d in task['documents'][name]:\n\
        \x20       out += [[name, e.json_path, e.message[:300]] for e in check.iter_errors(d)]\n\
        \x20   if not list(check.iter_errors({})): out.append([name, '', 'holds for nothing'])\n\
        print(json.dumps(out[:50]))";
    let faults = python_answers(&python, program, &json!({"schemas": schemas, "documents": documents.0}).to_string());
    assert_eq!(faults, json!([]));
    let counts: Vec<_> = documents.0.iter().map(|(name, all)| (*name, all.len())).collect();
    assert!(counts.len() >= 19 && counts.iter().all(|(_, count)| *count > 10), "{counts:?}");
}

/// Runs the reading verbs and a change on `disk.raw`.
fn of_disk(folder: &Path, documents: &mut Documents) {
    let mut run = |schema, args: &[&str]| documents.add(schema, &hivewright_in(folder, args));
    let get = run("get", &["get", "--json", "disk.raw"]);
    let info = run("info", &["info", "--json", "disk.raw"]);
    let check = run("check", &["check", "--json", "disk.raw"]);
    let record = run("audit", &["audit", "--json", "disk.raw"]);
    let set = run("set", &["set", "2", "--json", "--undo", "undo", "disk.raw"]);
    run("undo", &["undo", "--json", "undo"]);
    one_name_for_one_fact(&[("get", &get), ("check", &check), ("audit", &record), ("set", &set)]);
    let windows = &info["volumes"][0]["installations"][0]["windows"];
    if windows.is_object() && get["windows"].is_object() {
        assert_eq!(windows["host_name"], get["windows"]["host_name"]);
    }
}
