//! `reg copy`, `rename`, `add --security`, patterns, output formats, all users, and comparisons of whole installations.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{Here, bytes, lines, run, value, write};
use crate::command::hivewright_in;
use crate::support::tools::have;
use crate::support::windows_folder::BOB_SID;
use crate::transaction::Place;

fn code(here: &Here, args: &[&str]) -> i32 {
    run(here, args).code
}

#[test]
fn keys_are_copied_renamed_and_secured() {
    let here = Here::from(Place::folder());
    let services = r"HKLM\SYSTEM\CurrentControlSet\Services";
    let (old, copy) = (format!("{services}\\PolicyAgent"), format!("{services}\\Copy"));
    let made = run(&here, &["copy", "IMAGE", &old, &copy, "--json"]);
    let document: Value = serde_json::from_str(&made.out).unwrap();
    let change = &document["hives"][0]["changes"][0];
    assert_eq!(
        (&change["action"], &change["from"]),
        (&"copy-key".into(), &r"ControlSet001\Services\PolicyAgent".into())
    );
    let values = |key: &str| lines(&run(&here, &["query", "IMAGE", key, "--security", "--json"])).remove(0);
    let (from, to) = (values(&old), values(&copy));
    assert_eq!((&from["values"], &from["security"]), (&to["values"], &to["security"]));
    assert_eq!(code(&here, &["rename", "IMAGE", &copy, "Other"]), 0);
    assert_eq!(code(&here, &["query", "IMAGE", &copy]), 1);
    assert_eq!(values(&format!("{services}\\Other"))["values"], from["values"]);
    assert_eq!(code(&here, &["rename", "IMAGE", &copy, "Other"]), 2, "there is none any more");
    assert_eq!(code(&here, &["rename", "IMAGE", &old, "other"]), 3, "there is one already");
    assert_eq!(code(&here, &["copy", "IMAGE", &old, r"HKLM\SOFTWARE\Copy"]), 2, "in another hive");

    let (key, sddl) = (r"HKLM\SOFTWARE\Secured", "O:SYG:SYD:P(A;CI;KA;;;SY)");
    assert_eq!(code(&here, &["add", "IMAGE", key, "--security", sddl, "-v", "x", "-d", "y"]), 0);
    let there = values(key);
    assert_eq!((&there["security"], &there["values"][0]["data"]), (&sddl.into(), &"y".into()));
    assert!(run(&here, &["query", "IMAGE", key, "--security"]).out.contains(sddl));
    for wrong in ["O:SYD:P(A;CI;KA;;;SY)", "O:SYG:SY", "nonsense"] {
        assert_eq!(code(&here, &["add", "IMAGE", key, "--security", wrong]), 2, "{wrong}");
    }
    let again = run(&here, &["add", "IMAGE", key, "--security", sddl, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&again.out).unwrap()["state"], "already-so");
}

#[test]
fn a_32_bit_view_is_that_of_redirected_keys() {
    let here = Here::from(Place::folder());
    let add = |key: &str, more: &[&str]| code(&here, &[&["add", "IMAGE", key, "-v", "x", "-d", "y"], more].concat());
    assert_eq!(add(r"HKLM\SOFTWARE\View", &["--view", "32"]), 0);
    assert_eq!(code(&here, &["query", "IMAGE", r"HKLM\SOFTWARE\WOW6432Node\View", "-v", "x"]), 0);
    assert_eq!(code(&here, &["query", "IMAGE", r"HKLM\SOFTWARE\View", "-v", "x"]), 1);
    assert_eq!(code(&here, &["query", "IMAGE", r"HKLM\SOFTWARE\View", "-v", "x", "--view", "32"]), 0);
    assert_eq!(add(r"HKLM\SOFTWARE\Policies\View", &["--view", "32"]), 0);
    assert_eq!(code(&here, &["query", "IMAGE", r"HKLM\SOFTWARE\Policies\View", "-v", "x", "--view", "64"]), 0);
    // Which hive a path without a root is in, only the hive says.
    assert_eq!(add("Select", &["--view", "32"]), 3);
}

/// Results are printed in each format; as a registration file they can be imported.
#[test]
fn a_query_has_patterns_and_forms() {
    let here = Here::from(Place::folder());
    let keys = |args: &[&str]| {
        let run = run(&here, &[&["query", "IMAGE", r"HKLM\SOFTWARE", "--format", "json"], args].concat());
        lines(&run).iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let list = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
    assert_eq!(keys(&["-f", "^system.*t$", "--regex", "--in", "names"]), [list]);
    assert_eq!(
        keys(&["-f", r"users\\(bob|nobody)$", "--regex", "--in", "data"]),
        [format!("{list}\\ProfileList\\{BOB_SID}")]
    );
    assert!(keys(&["-f", "^ystem", "--regex"]).is_empty());
    assert_eq!(code(&here, &["query", "IMAGE", r"HKLM\SOFTWARE", "-f", "(", "--regex"]), 2);
    let all = run(&here, &["query", "IMAGE", r"HKLM\SOFTWARE", "-r", "--format", "reg"]);
    let exported = run(&here, &["export", "IMAGE", r"HKLM\SOFTWARE"]);
    assert_eq!((all.code, &all.out), (0, &exported.out));
    let found =
        run(&here, &["query", "IMAGE", r"HKLM\SOFTWARE", "-f", "systemroot", "--in", "names", "--format", "reg"]);
    let expected =
        format!("Windows Registry Editor Version 5.00\r\n\r\n[{list}]\r\n\"SystemRoot\"=\"C:\\\\Windows\"\r\n\r\n");
    assert_eq!(found.out, expected);
    // The format of the image has another option.
    assert_eq!(code(&here, &["query", "IMAGE", r"HKLM\SOFTWARE", "--format", "raw"]), 2);
    assert_eq!(code(&here, &["add", "IMAGE", r"HKLM\SOFTWARE\X", "--format", "raw"]), 2);
    let image = Here::from(Place::raw());
    assert_eq!(code(&image, &["query", "IMAGE", r"HKLM\SOFTWARE", "--image-format", "raw"]), 0);
    assert_eq!(code(&image, &["add", "IMAGE", r"HKLM\SOFTWARE\X", "--image-format", "raw", "--dry-run"]), 0);
}

/// One line for each key, with the facts that a registration file cannot express.
#[test]
fn an_export_as_json_has_security_and_classes() {
    let here = Here::from(Place::folder());
    let run = run(&here, &["export", "IMAGE", r"HKLM\SYSTEM", "--format", "json"]);
    let found = lines(&run);
    assert!(run.code == 0 && found.len() > 10, "{run:?}");
    for line in &found {
        assert!(line["security"].as_str().unwrap().starts_with("O:"), "{line}");
        assert!(line["last_written"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(line["values"].as_array().is_some(), "{line}");
    }
    let export = |file: &str| super::run(&here, &["export", "IMAGE", r"HKLM\SYSTEM", "--json", "--output", file]).code;
    assert_eq!((export("a.json"), export("a.json")), (0, 3));
    assert_eq!(fs::read_to_string(here.work.path().join("a.json")).unwrap(), run.out);
}

/// An export that does not fit on the disk leaves no file.
#[test]
fn an_export_that_fails_leaves_nothing() {
    if !have(&["bash"]) {
        return;
    }
    let here = Here::from(Place::folder());
    let tool = env!("CARGO_BIN_EXE_hivewright");
    let image = here.place.image.display();
    for verb in [r"export 'HKLM\SOFTWARE' --output", r"extract 'HKLM\SOFTWARE' --output"] {
        let (verb, rest) = verb.split_once(' ').unwrap();
        let line = format!("ulimit -f 1; exec {tool} reg {verb} {image} {rest} out");
        let output = Command::new("bash").args(["-c", &line]).current_dir(here.work.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(fs::read_dir(here.work.path()).unwrap().count(), 0, "{verb}");
    }
}

#[test]
fn paths_below_hkcu_apply_to_every_user() {
    let here = Here::from(Place::folder());
    let before = bytes(&here);
    let key = r"HKCU\Software\Example";
    let made = run(&here, &["add", "IMAGE", key, "--user", "all", "--undo", "first"]);
    assert_eq!((made.code, hivewright_in(here.work.path(), ["undo", "first"]).code), (0, 0));
    assert!(bytes(&here) == before);
    let made = run(&here, &["add", "IMAGE", key, "-v", "x", "-d", "y", "--user", "all", "--undo", "undo", "--json"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.err.contains("S-1-5-21-1-2-3-1002"), "the profile of another volume is skipped: {made:?}");
    assert_eq!(serde_json::from_str::<Value>(&made.out).unwrap()["hives"].as_array().unwrap().len(), 2);
    assert_eq!(value(&here, key, &["-v", "x"]).unwrap()["data"], "y");
    let all = run(&here, &["query", "IMAGE", key, "--user", "all", "--json"]);
    let found: Vec<String> = lines(&all).iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        found,
        [format!("HKEY_USERS\\{BOB_SID}\\Software\\Example"), r"HKEY_CURRENT_USER\Software\Example".to_owned()]
    );
    let file = "Windows Registry Editor Version 5.00\r\n\r\n[-HKEY_CURRENT_USER\\Software\\Example]\r\n";
    write(&here, "a.reg", file.as_bytes());
    assert_eq!(code(&here, &["import", "IMAGE", "a.reg", "--user", "all"]), 0);
    assert_eq!(code(&here, &["query", "IMAGE", key, "--user", "all"]), 1);
    assert_eq!(code(&here, &["extract", "IMAGE", "HKCU", "--output", "out", "--user", "all"]), 2);
}

/// Without a key, all common hives are compared, including those of the users; a hive that one target lacks is a
/// difference.
#[test]
fn whole_installations_are_compared() {
    let (here, other) = (Here::from(Place::raw()), Here::from(Place::folder()));
    let target = other.place.image.to_str().unwrap().to_owned();
    let compare = |args: &[&str]| run(&here, &[&["compare", "IMAGE", &target], args].concat());
    assert_eq!((compare(&[]).code, &*compare(&[]).out), (0, ""));
    assert_eq!(code(&other, &["add", "IMAGE", r"HKLM\SOFTWARE\Example", "-v", "x", "-d", "y"]), 0);
    assert_eq!(code(&other, &["add", "IMAGE", r"HKCU\Control Panel", "-v", "x", "-d", "y", "--user", "bob"]), 0);
    let found = compare(&["--json"]);
    let of = |line: &Value| (line["difference"].as_str().unwrap().to_owned(), line["key"].as_str().unwrap().to_owned());
    let expected = [
        ("key-only-in-b", r"HKEY_LOCAL_MACHINE\SOFTWARE\Example".to_owned()),
        ("value-only-in-b", format!("HKEY_USERS\\{BOB_SID}\\Control Panel")),
    ];
    let expected = expected.map(|(what, key)| (what.to_owned(), key));
    assert_eq!((found.code, lines(&found).iter().map(of).collect::<Vec<_>>()), (1, expected.to_vec()));
    let difference = compare(&["--format", "reg"]);
    write(&here, "difference.reg", difference.out.as_bytes());
    assert_eq!(code(&here, &["import", "IMAGE", "difference.reg"]), 0);
    assert_eq!(compare(&[]).code, 0);
    fs::remove_file(other.place.image.join("Users/bob/NTUSER.DAT")).unwrap();
    let lost = compare(&["--json"]);
    assert_eq!((lost.code, of(&lines(&lost)[0])), (1, ("key-only-in-a".to_owned(), format!("HKEY_USERS\\{BOB_SID}"))));
    // One key, which one of them lacks.
    assert_eq!(code(&here, &["compare", "IMAGE", &target, r"HKLM\SOFTWARE\None"]), 2);
    assert_eq!(code(&here, &["add", "IMAGE", r"HKLM\SOFTWARE\Here"]), 0);
    let only = compare(&[r"HKLM\SOFTWARE\Here", "--format", "reg"]);
    assert!(only.code == 1 && only.out.contains(r"[-HKEY_LOCAL_MACHINE\SOFTWARE\Here]"), "{only:?}");
}

/// One operation deletes all values: below CurrentControlSet, in each set.
#[test]
fn all_values_of_each_control_set_are_deleted() {
    let here = Here::from(Place::folder());
    let key = r"HKLM\SYSTEM\CurrentControlSet\Services\Example";
    assert_eq!(code(&here, &["add", "IMAGE", key, "-v", "both", "-d", "y"]), 0);
    let only = r"HKLM\SYSTEM\ControlSet001\Services\Example";
    assert_eq!(code(&here, &["add", "IMAGE", only, "-v", "one", "-d", "y"]), 0);
    let gone = run(&here, &["delete", "IMAGE", key, "--all-values", "--json"]);
    let document: Value = serde_json::from_str(&gone.out).unwrap();
    assert_eq!(document["hives"][0]["changes"][0]["action"], "delete-all-values");
    assert_eq!(value(&here, only, &[]), None);
    let again = run(&here, &["delete", "IMAGE", key, "--all-values", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&again.out).unwrap()["state"], "already-so");
}
