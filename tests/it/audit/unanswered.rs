//! Targets that never answer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use hivewright_fixtures::{Release, SystemHive};

use super::{of, records};
use crate::command::heeding;
use crate::support::tools::{have, output};

const HIVES: usize = 30;

/// Creates hives and two images whose engine writes its number and never answers.
fn home() -> Option<tempfile::TempDir> {
    if !have(&["qemu-img"]) {
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    fs::create_dir(at("fleet")).unwrap();
    fs::create_dir(at("temporary")).unwrap();
    for i in 0..HIVES {
        let hive = SystemHive::new(Release::Win10).with_right_setting(1, i as u32 % 3).build().bytes;
        fs::write(at(&format!("fleet/hive-{i}")), hive).unwrap();
    }
    for (name, format) in [("a", "qed"), ("b", "parallels")] {
        output("qemu-img", &["create", "-q", "-f", format, at(&format!("fleet/{name}")).to_str().unwrap(), "8M"]);
    }
    fs::write(at("silent"), "#!/bin/sh\necho $$ >> numbers\nexec sleep 1000\n").unwrap();
    fs::set_permissions(at("silent"), fs::Permissions::from_mode(0o755)).unwrap();
    Some(home)
}

fn begin(home: &Path, timeout: &str) -> Child {
    let mut command = heeding(env!("CARGO_BIN_EXE_hivewright"));
    command.args(["audit", "--json", "-j", "2", "--qemu-nbd", "./silent", "--timeout", timeout, "fleet"]);
    command.current_dir(home).env("TMPDIR", home.join("temporary"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns the engines that were started.
fn engines(home: &Path) -> Vec<PathBuf> {
    let numbers = fs::read_to_string(home.join("numbers")).unwrap_or_default();
    numbers.lines().map(|number| Path::new("/proc").join(number)).collect()
}

fn assert_nothing_is_left(home: &Path) {
    let until = Instant::now() + Duration::from_secs(5);
    for engine in engines(home) {
        // A process that has ended has no command line, even before it is waited for.
        while fs::read(engine.join("cmdline")).is_ok_and(|line| line.starts_with(b"sleep")) {
            assert!(Instant::now() < until, "{} outlives us", engine.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let left: Vec<_> = fs::read_dir(home.join("temporary")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn targets_without_an_answer_are_abandoned_and_the_others_are_right() {
    let Some(home) = home() else { return };
    let begun = Instant::now();
    let out = begin(home.path(), "1").wait_with_output().unwrap();
    let took = begun.elapsed();
    let all = records(&String::from_utf8(out.stdout).unwrap());
    assert_eq!((out.status.code(), all.len()), (Some(2), HIVES + 2));
    // Each has its second, even if others hang; and none is waited for at the end.
    assert!((1.0..6.0).contains(&took.as_secs_f64()), "{took:?}");
    for name in ["fleet/a", "fleet/b"] {
        let record = &of(&all, name)[0];
        let error = &record["error"];
        assert_eq!((&error["code"], &error["kind"]), (&"timeout".into(), &"io".into()), "{record}");
        assert!(error["advice"].as_str().unwrap().contains("--timeout"), "{error}");
        assert!((1.0..3.0).contains(&record["seconds"].as_f64().unwrap()), "{record}");
    }
    for i in 0..HIVES {
        assert_eq!(of(&all, &format!("fleet/hive-{i}"))[0]["at_next_boot"]["value"], i % 3, "{i}");
    }
    assert_eq!(engines(home.path()).len(), 2);
    assert_nothing_is_left(home.path());
}

#[test]
fn ctrl_c_does_not_wait_for_targets_without_an_answer() {
    let Some(home) = home() else { return };
    let child = begin(home.path(), "0");
    while engines(home.path()).len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let begun = Instant::now();
    output("kill", &["-INT", &child.id().to_string()]);
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    let all = records(&String::from_utf8(out.stdout).unwrap());
    assert!(all.values().all(|record| record["status"] == "read"), "a target under way has no record");
    assert_nothing_is_left(home.path());
}
