//! The logs of a clean hive are not opened.

use std::fs;
use std::process::Command;

use crate::support::dirty_place::{DirtyPlace, named};

/// Writes garbage with the names of logs.
fn garbage(place: &DirtyPlace) {
    fs::write(place.path("SYSTEM.LOG"), b"garbage").unwrap();
    fs::write(place.path("SYSTEM.LOG1"), vec![0xee; 3000]).unwrap();
    fs::write(place.path("SYSTEM.LOG2"), b"").unwrap();
}

#[test]
fn garbage_beside_a_clean_hive_is_ignored() {
    let place = named("new-clean");
    garbage(&place);
    for args in
        [&["get", "SYSTEM"][..], &["check", "SYSTEM"], &["set", "2", "SYSTEM", "--dry-run"], &["recover", "SYSTEM"]]
    {
        let run = place.run(args);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{args:?}: {run:?}");
    }
    assert_eq!(place.run(&["set", "2", "SYSTEM"]).code, 0);
    assert_eq!(place.read("SYSTEM.LOG1"), vec![0xee; 3000]);
}

/// Creates folders and dangling links with the names of logs, which cannot be opened.
#[test]
fn unopenable_logs_beside_a_clean_hive_are_ignored() {
    let place = named("new-clean");
    for (name, _) in &place.logs {
        fs::remove_file(place.path(name)).unwrap();
    }
    // Links need privileges on Windows.
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", place.path("SYSTEM.LOG1")).unwrap();
    #[cfg(windows)]
    fs::create_dir(place.path("SYSTEM.LOG1")).unwrap();
    fs::create_dir(place.path("SYSTEM.LOG2")).unwrap();
    for args in [&["get", "SYSTEM"][..], &["check", "SYSTEM"], &["set", "2", "SYSTEM"], &["recover", "SYSTEM"]] {
        let run = place.run(args);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{args:?}: {run:?}");
    }
}

/// A folder with the name of a log is ignored; a dirty hive then has none. A log that the user names must exist, even
/// if a clean hive needs none.
#[test]
fn a_named_log_must_exist() {
    let place = named("new-clean");
    fs::create_dir(place.path("folder")).unwrap();
    // Windows reports a path through a file as missing.
    let through = if cfg!(windows) { "no-file" } else { "io" };
    for (log, code) in [("none", "no-file"), ("folder", "not-a-file"), ("SYSTEM/below", through)] {
        for args in [
            &["get", "SYSTEM"][..],
            &["check", "SYSTEM"],
            &["set", "2", "SYSTEM"],
            &["unset", "SYSTEM"],
            &["recover", "SYSTEM"],
            &["set", "2", "SYSTEM", "--dry-run"],
        ] {
            place.run(&[args, &["--json", "--log", "SYSTEM.LOG1", "--log", log]].concat()).failed_as_json(2, code);
        }
    }
    assert_eq!(place.hive(), place.primary);
    assert_eq!(place.run(&["set", "2", "SYSTEM", "--log", "SYSTEM.LOG1"]).code, 0);
}

#[test]
fn a_folder_is_no_log() {
    let place = named("new-no-logs");
    fs::create_dir(place.path("SYSTEM.LOG1")).unwrap();
    assert_eq!(place.json(&["get", "SYSTEM"], 0)["hive_state"], "primary-alone");
    assert_eq!(place.run(&["set", "2", "SYSTEM"]).code, 3);
}

/// Returns the names of opened files in the trace of system calls.
// strace traces Linux.
#[cfg(target_os = "linux")]
fn opened(place: &DirtyPlace, args: &[&str]) -> Option<Vec<String>> {
    let trace = place.path("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=open,openat,openat2", "-o"]).arg(&trace);
    let run = strace.arg(env!("CARGO_BIN_EXE_hivewright")).args(args).current_dir(place.folder()).output();
    let Ok(output) = run else {
        hivewright_fixtures::skip::missing("dirty_clean: there is no strace");
        return None;
    };
    let Ok(calls) = fs::read_to_string(&trace) else {
        hivewright_fixtures::skip::impossible("dirty_clean: strace may not trace here");
        return None;
    };
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(calls.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect())
}

// strace traces Linux.
#[cfg(target_os = "linux")]
#[test]
fn no_system_call_opens_a_log() {
    let is_log = |name: &String| name.contains(".LOG");
    let place = named("new-clean");
    for args in [&["get", "SYSTEM"][..], &["check", "SYSTEM"], &["recover", "SYSTEM"], &["set", "2", "SYSTEM"]] {
        let Some(names) = opened(&place, args) else { return };
        assert!(names.iter().any(|name| name.ends_with("SYSTEM")), "{args:?}: {names:?}");
        assert!(!names.iter().any(is_log), "{args:?}: {names:?}");
    }
    // Control: logs that are requested or needed appear in the trace.
    let Some(names) = opened(&place, &["set", "2", "SYSTEM", "--truncate-logs"]) else { return };
    assert!(names.iter().any(is_log), "{names:?}");
    let Some(names) = opened(&named("new-one-log"), &["get", "SYSTEM"]) else { return };
    assert!(names.iter().any(is_log), "{names:?}");
}
