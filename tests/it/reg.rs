//! `hivewright reg` on the command line.

mod boot;
mod inputs;
mod verbs;

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Run, hivewright_in};
use crate::support::windows_folder::BOB_SID;
use crate::transaction::Place;

/// A registration file with values for three hives.
const FILE: &str = "Windows Registry Editor Version 5.00\r\n\r\n\
    [HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\Example\\Parameters]\r\n\
    \"Start\"=dword:00000004\r\n\
    \"Path\"=hex(2):25,00,57,00,25,00,00,00\r\n\r\n\
    [HKEY_LOCAL_MACHINE\\SOFTWARE\\Example]\r\n@=\"x\"\r\n\r\n\
    [HKEY_CURRENT_USER\\Control Panel]\r\n\"Old\"=-\r\n\"New\"=\"a \\\"b\\\"\"\r\n";

/// An installation, and a working folder.
struct Here {
    place: Place,
    work: TempDir,
}

impl From<Place> for Here {
    fn from(place: Place) -> Self {
        Here { place, work: tempfile::tempdir().unwrap() }
    }
}

fn run(here: &Here, args: &[&str]) -> Run {
    let folder = here.work.path();
    let target = here.place.image.to_str().unwrap();
    let args: Vec<&str> = args.iter().map(|arg| if *arg == "IMAGE" { target } else { arg }).collect();
    hivewright_in(folder, [&["reg"], &args[..]].concat())
}

fn lines(run: &Run) -> Vec<Value> {
    run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the data of a value in the JSON of `reg query`.
fn value(here: &Here, key: &str, name: &[&str]) -> Option<Value> {
    let run = run(here, &[&["query", "IMAGE", key, "--json", "--user", "default"], name].concat());
    let found = lines(&run).into_iter().next()?;
    assert_eq!(run.code, 0, "{run:?}");
    found["values"].as_array().unwrap().first().cloned()
}

/// Returns the bytes of all files.
fn bytes(here: &Here) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut rest = vec![here.place.image.clone()];
    let mut found = Vec::new();
    while let Some(path) = rest.pop() {
        if path.is_dir() {
            rest.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn write(here: &Here, name: &str, text: &[u8]) {
    fs::write(here.work.path().join(name), text).unwrap();
}

/// A file for three hives is one change: a comparison shows exactly that, and `undo` restores every byte.
#[test]
fn a_file_over_three_hives_is_made_compared_and_undone() {
    for here in [Some(Place::raw()), Place::qcow2(), Place::golden()].into_iter().flatten().map(Here::from) {
        let folder = here.work.path();
        let before = bytes(&here);
        fs::copy(&here.place.image, folder.join("before")).unwrap();
        let utf16: Vec<u8> = [0xfeff].into_iter().chain(FILE.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        write(&here, "a.reg", &utf16);

        let dry = run(&here, &["import", "IMAGE", "a.reg", "--user", "default", "--dry-run", "--json"]);
        assert_eq!(dry.code, 0, "{dry:?}");
        let document: Value = serde_json::from_str(&dry.out).unwrap();
        assert_eq!((&document["state"], document["hives"].as_array().unwrap().len()), (&"dry-run".into(), 3));
        assert!(bytes(&here) == before, "a dry run writes nothing");

        let made = run(&here, &["import", "IMAGE", "a.reg", "--user", "default", "--undo", "undo", "--json"]);
        assert_eq!(made.code, 0, "{made:?}");
        assert_eq!(serde_json::from_str::<Value>(&made.out).unwrap()["state"], "written");
        let start = value(&here, r"HKLM\SYSTEM\CurrentControlSet\Services\Example\Parameters", &["-v", "start"]);
        assert_eq!(start.unwrap()["data_hex"], "04000000");
        let path = value(&here, r"HKLM\SYSTEM\CurrentControlSet\Services\Example\Parameters", &["-v", "Path"]);
        let path = path.unwrap();
        assert_eq!((&path["data"], &path["data_type"]), (&"%W%".into(), &"REG_EXPAND_SZ".into()));
        assert_eq!(value(&here, r"HKLM\SOFTWARE\Example", &["--default"]).unwrap()["data"], "x");
        assert_eq!(value(&here, r"HKCU\Control Panel", &["-v", "New"]).unwrap()["data"], "a \"b\"");
        assert_eq!(run(&here, &["query", "IMAGE", r"HKCU\Control Panel", "-v", "Old", "--user", "default"]).code, 1);

        let again = run(&here, &["import", "IMAGE", "a.reg", "--user", "default", "--json"]);
        assert_eq!(serde_json::from_str::<Value>(&again.out).unwrap()["state"], "already-so");

        let compare = |key: &str| {
            let run = run(&here, &["compare", "before", "IMAGE", key, "--format", "json", "--user", "default"]);
            assert_eq!(run.code, 1, "{run:?}");
            let found = lines(&run);
            let text = |text: &Value| text.as_str().unwrap().to_owned();
            let of = |line: &Value| (text(&line["difference"]), text(&line["key"]));
            found.iter().map(of).collect::<Vec<_>>()
        };
        let new = r"HKEY_LOCAL_MACHINE\SOFTWARE\Example".to_owned();
        assert_eq!(compare(r"HKLM\SOFTWARE"), [("key-only-in-b".to_owned(), new)]);
        let panel = r"HKEY_CURRENT_USER\Control Panel";
        let differences = ["value-only-in-b", "value-only-in-a"];
        assert_eq!(compare("HKCU"), differences.map(|what| (what.to_owned(), panel.to_owned())));
        assert_eq!(run(&here, &["compare", "IMAGE", "IMAGE", r"HKLM\SYSTEM"]).code, 0);

        let undo = hivewright_in(folder, ["undo", "undo"]);
        assert_eq!(undo.code, 0, "{undo:?}");
        assert!(bytes(&here) == before, "undo brings every byte back");
    }
}

/// The difference of two states, as a registration file, makes the first equal to the second.
#[test]
fn a_comparison_as_a_file_makes_the_first_like_the_second() {
    let (here, other) = (Here::from(Place::folder()), Here::from(Place::folder()));
    write(&other, "a.reg", FILE.as_bytes());
    assert_eq!(run(&other, &["import", "IMAGE", "a.reg", "--user", BOB_SID]).code, 0);
    let target = other.place.image.to_str().unwrap().to_owned();
    for key in [r"HKLM\SYSTEM", r"HKLM\SOFTWARE", "HKCU"] {
        let found = run(&here, &["compare", "IMAGE", &target, key, "--format", "reg", "--user", BOB_SID]);
        assert_eq!(found.code, 1, "{found:?}");
        write(&here, "difference.reg", found.out.as_bytes());
        assert_eq!(run(&here, &["import", "IMAGE", "difference.reg", "--user", BOB_SID]).code, 0);
        assert_eq!(run(&here, &["compare", "IMAGE", &target, key, "--user", BOB_SID]).code, 0, "{key}");
    }
}

/// An exported and imported key is exported as the same bytes.
#[test]
fn an_export_survives_an_import() {
    let here = Here::from(Place::folder());
    let key = r"HKLM\SYSTEM\ControlSet001\Services";
    let export = |file: &str| run(&here, &["export", "IMAGE", key, "--output", file]);
    assert_eq!(export("a.reg").code, 0);
    assert_eq!(export("a.reg").code, 3, "no file is written over");
    assert_eq!(run(&here, &["delete", "IMAGE", key]).code, 0);
    assert_eq!(run(&here, &["query", "IMAGE", key]).code, 1);
    assert_eq!(run(&here, &["import", "IMAGE", "a.reg"]).code, 0);
    assert_eq!(export("b.reg").code, 0);
    let read = |file: &str| fs::read(here.work.path().join(file)).unwrap();
    assert!(read("a.reg") == read("b.reg") && read("a.reg").starts_with(&[0xff, 0xfe]));
}

#[test]
fn values_are_added_and_deleted_in_every_form() {
    let here = Here::from(Place::folder());
    let key = r"HKLM\SOFTWARE\Deep\Er";
    for (kind, data, hex) in [
        ("REG_SZ", "-x", "2d0078000000"),
        ("REG_DWORD", "0x10", "10000000"),
        ("REG_QWORD", "1", "0100000000000000"),
        ("REG_MULTI_SZ", "a\\0b", "61000000620000000000"),
        ("REG_BINARY", "00ff", "00ff"),
        ("0x20001", "0a", "0a"),
    ] {
        assert_eq!(run(&here, &["add", "IMAGE", key, "-v", kind, "-t", kind, "-d", data]).code, 0, "{kind}");
        assert_eq!(value(&here, key, &["-v", kind]).unwrap()["data_hex"], hex, "{kind}");
    }
    write(&here, "data", b"\0any\xff");
    assert_eq!(run(&here, &["add", "IMAGE", key, "--default", "-t", "3", "--data-file", "data"]).code, 0);
    assert_eq!(value(&here, key, &["--default"]).unwrap()["data_hex"], "00616e79ff");
    // A name that text cannot represent.
    assert_eq!(run(&here, &["add", "IMAGE", key, "-v", "{U+D800}", "-d", "y"]).code, 0);
    assert_eq!(value(&here, key, &["-v", "{U+D800}"]).unwrap()["name"], "{U+D800}");
    assert_eq!(run(&here, &["delete", "IMAGE", key, "-v", "{U+D800}"]).code, 0);
    assert_eq!(value(&here, key, &["-v", "{U+D800}"]), None);
    assert_eq!(run(&here, &["delete", "IMAGE", key, "--all-values"]).code, 0);
    let left = lines(&run(&here, &["query", "IMAGE", key, "--json"]));
    assert_eq!(left[0]["values"].as_array().unwrap().len(), 0);
    assert_eq!(run(&here, &["delete", "IMAGE", r"HKLM\SOFTWARE\Deep"]).code, 0);
    let gone = run(&here, &["delete", "IMAGE", r"HKLM\SOFTWARE\Deep", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&gone.out).unwrap()["state"], "already-so");
    for wrong in [["-t", "REG_DWORD", "-d", "x"], ["-t", "REG_NOTHING", "-d", "1"]] {
        assert_eq!(run(&here, &[&["add", "IMAGE", key, "-v", "a"], &wrong[..]].concat()).code, 2);
    }
}

/// A file with one invalid line changes nothing; with --lenient, it has the effect of regedit.
#[test]
fn nothing_of_a_file_with_an_error_is_applied() {
    let here = Here::from(Place::folder());
    let before = bytes(&here);
    let key = "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Example]\r\n\"a\"=\"x\"\r\nnonsense\r\n\"b\"=\"y\"\r\n";
    write(&here, "a.reg", format!("Windows Registry Editor Version 5.00\r\n\r\n{key}").as_bytes());
    let refused = run(&here, &["import", "IMAGE", "a.reg"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("line 5") && bytes(&here) == before, "{refused:?}");
    let lenient = run(&here, &["import", "IMAGE", "a.reg", "--lenient"]);
    assert!(lenient.code == 0 && lenient.err.contains("line 5"), "{lenient:?}");
    assert_eq!(value(&here, r"HKLM\SOFTWARE\Example", &["-v", "b"]).unwrap()["data"], "y");
    // A missing hive: the others are not changed.
    let before = bytes(&here);
    let files = ["[HKEY_LOCAL_MACHINE\\SOFTWARE\\More]", "[HKEY_LOCAL_MACHINE\\SAM\\More]"].join("\r\n");
    write(&here, "b.reg", format!("Windows Registry Editor Version 5.00\r\n\r\n{files}\r\n").as_bytes());
    assert_eq!(run(&here, &["import", "IMAGE", "b.reg"]).code, 2);
    assert!(bytes(&here) == before);
}

#[test]
fn a_search_finds_keys_names_and_data_below() {
    let here = Here::from(Place::folder());
    let keys = |args: &[&str]| {
        let run = run(&here, &[&["query", "IMAGE", r"HKLM\SOFTWARE", "--json"], args].concat());
        lines(&run).iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let list = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
    assert_eq!(keys(&["-f", "systemroot", "--in", "names"]), [list]);
    let bob = format!("{list}\\ProfileList\\{BOB_SID}");
    assert_eq!(keys(&["-f", r"USERS\BOB", "--in", "data"]), *std::slice::from_ref(&bob));
    assert_eq!(keys(&["-f", BOB_SID, "--in", "keys"]), [bob]);
    assert!(keys(&["-f", "no such thing"]).is_empty());
    assert!(keys(&["-r"]).len() > 5);
    let top = lines(&run(&here, &["query", "IMAGE", r"HKLM\SOFTWARE", "--json"])).remove(0);
    assert!(top["last_written"].as_str().unwrap().ends_with('Z'), "{top}");
}

/// A hive is extracted unchanged from an image, with its logs replayed if it is dirty.
#[test]
fn a_hive_is_extracted_from_an_image() {
    let here = Here::from(Place::raw());
    let folder = here.work.path();
    let out = |hive: &str, file: &str| run(&here, &["extract", "IMAGE", hive, "--output", file]);
    assert_eq!(out(r"HKLM\SOFTWARE", "software").code, 0);
    assert_eq!(out(r"HKLM\SYSTEM", "system").code, 0);
    assert_eq!(out(r"HKLM\SYSTEM", "system").code, 3, "no file is written over");
    assert_eq!(out(r"HKLM\SYSTEM\Select", "key").code, 2);
    let check = |file: &str| hivewright_in(folder, ["check", file]).code;
    assert_eq!((check("software"), check("system")), (0, 0));
    assert_eq!(run(&here, &["compare", "IMAGE", "system", r"HKLM\SYSTEM"]).code, 0);
    assert!(!folder.join("key").exists());
}
