//! Images of several files with such names, and audits of all of them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;

use hivewright_fixtures::disks::Disk;
use hivewright_fixtures::folder::home;
use serde_json::Value;

use super::{Place, odd_names, path_in};
use crate::command::hivewright_in;
use crate::copies::fixture;
use crate::support::hex::bytes_of;
use crate::support::tools::have;

fn disk() -> Vec<u8> {
    Disk::named("gpt").unwrap().read(&home()).unwrap()
}

fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn audit(folder: &Path, args: &[&str], stdout: &str) -> (i32, String) {
    let out = fs::File::create(folder.join(stdout)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hivewright"));
    let status = command.current_dir(folder).arg("audit").args(args).stdout(out).stderr(std::process::Stdio::null());
    let code = status.status().unwrap().code().unwrap();
    (code, fs::read_to_string(folder.join(stdout)).unwrap())
}

#[test]
fn segments_are_found_whatever_bytes_are_before_the_number() {
    let (disk, folder) = (disk(), tempfile::tempdir().unwrap());
    let half = disk.len() / 2;
    // Two images with similar names; the second one has a further segment.
    for (stem, pieces) in [(b"p\xff", 2), (b"p\xfe", 3)] {
        for (number, piece) in disk.chunks(if pieces == 2 { half } else { disk.len() / 4 }).enumerate().take(pieces) {
            let name = [&stem[..], format!(".{:03}", number + 1).as_bytes()].concat();
            fs::write(folder.path().join(OsString::from_vec(name)), piece).unwrap();
        }
    }
    for ending in ["001", "002"] {
        let name = OsString::from_vec([b"p\xff.", ending.as_bytes()].concat());
        let run = hivewright_in(folder.path(), [OsStr::new("info"), &name, OsStr::new("--json")]);
        let files: Vec<Value> = run.json()["files"].as_array().unwrap().clone();
        let bytes: Vec<Vec<u8>> =
            files.iter().map(|file| path_in(file, "path").file_name().unwrap().as_bytes().to_vec()).collect();
        let mut sorted = bytes.clone();
        sorted.sort();
        assert_eq!((run.code, sorted), (0, vec![b"p\xff.001".to_vec(), b"p\xff.002".to_vec()]));
        let set = hivewright_in(folder.path(), [OsStr::new("set"), OsStr::new("2"), &name, OsStr::new("--json")]);
        assert_eq!(set.code, 0, "{set:?}");
    }
    let run = hivewright_in(folder.path(), ["audit", "--json", "."]);
    let found: Vec<Value> = records(&run.out);
    let first = found.iter().find(|record| record["target_hex"] == "2e2f70ff2e303031").unwrap();
    assert_eq!((&first["status"], &first["files_hex"].as_array().unwrap().len()), (&"read".into(), &1));
    assert!(bytes_of(&first["files_hex"][0]).ends_with(b"p\xff.002"));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_dependent_of_a_name_of_any_bytes_is_found() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (base, top) = (OsStr::from_bytes(b"base\xff.raw"), OsStr::from_bytes(b"top\xfe.qcow2"));
    fs::write(folder.path().join(base), disk()).unwrap();
    let mut make = Command::new("qemu-img");
    make.current_dir(folder.path()).args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(base).arg(top);
    assert!(make.status().unwrap().success());
    let set =
        |name: &OsStr| hivewright_in(folder.path(), [OsStr::new("set"), OsStr::new("0"), name, "--json".as_ref()]);
    assert_eq!(set(base).failed_as_json(3, "has-children").json()["error"]["file_hex"], "62617365ff2e726177");
    // Writers of such images accept only text in names.
    set(top).failed_as_json(2, "backing-name");
}

#[test]
fn an_audit_names_every_target_completely_and_finds_it_again() {
    let folder = tempfile::tempdir().unwrap();
    for name in odd_names() {
        fs::write(folder.path().join(&name), fixture("windows/win10")).unwrap();
        let windows = folder.path().join("below").join(&name).join("Windows/System32/config");
        fs::create_dir_all(&windows).unwrap();
        fs::write(windows.join("SYSTEM"), fixture("shapes/setting-set")).unwrap();
    }
    let store = tempfile::tempdir().unwrap();
    let (from, first, second) = (folder.path().to_str().unwrap(), "first.jsonl", "second.jsonl");
    let (code, out) = audit(store.path(), &["--json", from], first);
    let mut found: Vec<Vec<u8>> = Vec::new();
    for record in records(&out) {
        let target = path_in(&record, "target");
        assert_eq!((&record["status"], target.exists()), (&"read".into(), true), "{record}");
        assert!(path_in(&record, "hive").is_file());
        if record["container"] == "folder" {
            assert_eq!(path_in(&record, "windows_root"), target);
        }
        let hexes = record["files_hex"].as_array().unwrap();
        assert!(hexes.is_empty() || hexes.len() == record["files"].as_array().unwrap().len());
        found.push(target.as_os_str().as_bytes().to_vec());
    }
    found.sort();
    found.dedup();
    assert_eq!((code, found.len()), (0, 2 * odd_names().len()));
    // Nothing has changed: every record is the earlier one, with its time.
    let (code, again) = audit(store.path(), &["--json", "--resume", first, "--jobs", "3", from], second);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!((code, sorted(&again)), (0, sorted(&out)));
    // Each by its name, and in the other formats.
    for name in odd_names() {
        let place = Place::of(&name, &fixture("windows/win10"));
        let run = place.run(&["audit".as_ref(), "--json".as_ref(), name.as_os_str()]);
        assert_eq!((run.code, path_in(&records(&run.out)[0], "target")), (0, Path::new(&name).to_owned()));
        let is_whole = name.to_str().is_some_and(|text| !text.contains(['\n', '\r']));
        let hex: String = name.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        for form in ["csv", "junit"] {
            let run = place.run(&["audit".as_ref(), "--format".as_ref(), form.as_ref(), name.as_os_str()]);
            assert_eq!((run.code, run.out.contains(&hex)), (0, !is_whole), "{form} {name:?}: {run:?}");
        }
        for form in ["table", "plain"] {
            let run = place.run(&["audit".as_ref(), "--format".as_ref(), form.as_ref(), name.as_os_str()]);
            assert!(!run.err.contains("panicked"), "{form}: {run:?}");
        }
        let page =
            place.run(&["audit".as_ref(), "--report".as_ref(), name_of_page(&name).as_os_str(), name.as_os_str()]);
        assert_eq!(page.code, 0, "{page:?}");
        let text = fs::read_to_string(place.folder.path().join(name_of_page(&name))).unwrap();
        assert!(name.to_str().is_some() || text.contains(&hex));
    }
}

/// Returns a similar name for the report.
fn name_of_page(name: &OsStr) -> OsString {
    let mut bytes = name.as_bytes().to_vec();
    bytes[0] = b'P';
    OsString::from_vec(bytes)
}
