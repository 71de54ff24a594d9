//! An interrupted audit leaves complete lines, and the next run completes them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::maker::make;
use super::{audit, records, steady};
use crate::command::heeding;
use crate::support::tools::output;

fn begin(folder: &Path, args: &[&str], out: &Path) -> Child {
    let mut command = heeding(env!("CARGO_BIN_EXE_hivewright"));
    command.current_dir(folder).arg("audit").args(args).stdout(fs::File::create(out).unwrap());
    command.stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_at_any_moment_it_leaves_complete_lines_for_resume() {
    let home = tempfile::tempdir().unwrap();
    // Wine takes minutes for so many.
    let (count, rounds) = if cfg!(windows) { (60, 4) } else { (400, 12) };
    make(&home.path().join("fleet"), count);
    let begun = Instant::now();
    let whole = steady(records(&audit(home.path(), &["--json", "fleet"]).out));
    let full = begun.elapsed();
    let mut partly = 0;
    for round in 0..rounds {
        let out = home.path().join("killed.jsonl");
        let mut child = begin(home.path(), &["--json", "fleet"], &out);
        std::thread::sleep(full * round / rounds);
        child.kill().unwrap();
        child.wait().unwrap();
        let left = records(&fs::read_to_string(&out).unwrap());
        partly += u32::from(!left.is_empty() && left.len() < whole.len());
        let rest = audit(home.path(), &["--json", "--resume", "killed.jsonl", "fleet"]);
        assert!(steady(records(&rest.out)) == whole, "after {round}");
        assert_eq!(rest.err.contains("reused"), !left.is_empty(), "{}", rest.err);
        // A line that a power cut has torn.
        let bytes = fs::read(&out).unwrap();
        if bytes.len() > 100 {
            fs::write(&out, &bytes[..bytes.len() - 50]).unwrap();
            let rest = audit(home.path(), &["--json", "--resume", "killed.jsonl", "fleet"]);
            assert!(steady(records(&rest.out)) == whole, "torn, after {round}");
        }
    }
    assert!(partly > 0, "no kill came in the middle");
}

// Windows has no signals.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_the_records_so_far() {
    let home = tempfile::tempdir().unwrap();
    make(&home.path().join("fleet"), 1200);
    let out = home.path().join("stopped.jsonl");
    let mut child = begin(home.path(), &["--json", "--jobs", "1", "fleet"], &out);
    while fs::metadata(&out).unwrap().len() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    output("kill", &["-INT", &child.id().to_string()]);
    let status = child.wait().unwrap();
    let left = records(&fs::read_to_string(&out).unwrap());
    assert_eq!((status.code(), left.len() < 1200), (Some(130), true), "{}", left.len());
    assert!(!left.is_empty());
}

#[test]
fn changed_targets_are_read_again() {
    let home = tempfile::tempdir().unwrap();
    let fleet = home.path().join("fleet");
    make(&fleet, 12);
    let results = home.path().join("r.jsonl");
    fs::write(&results, audit(home.path(), &["--json", "--sha256", "fleet"]).out).unwrap();
    let kept = |args: &[&str]| {
        let run = audit(home.path(), &[&["--json", "--resume", "r.jsonl", "fleet"], args].concat());
        let (_, rest) = run.err.split_once(" could not be read, ").unwrap_or(("", &run.err));
        let count = rest.split(" reused").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap_or(0);
        (count, run.out.lines().count())
    };
    assert_eq!(kept(&[]), (12, 12));
    assert_eq!(kept(&["--verify-hash"]).1, 12);
    let hive = fs::read_dir(fleet.join("site-0/03")).unwrap().next().unwrap().unwrap().path();
    let times = fs::metadata(&hive).unwrap().modified().unwrap();
    let mut bytes = fs::read(&hive).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&hive, &bytes).unwrap();
    assert_eq!(kept(&[]), (11, 12), "another time");
    fs::File::options().write(true).open(&hive).unwrap().set_modified(times).unwrap();
    assert_eq!(kept(&[]), (12, 12), "size and time are the same");
    let before = kept(&["--verify-hash"]).0;
    bytes[..].clone_from_slice(&fs::read(&hive).unwrap());
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&hive, &bytes).unwrap();
    fs::File::options().write(true).open(&hive).unwrap().set_modified(times).unwrap();
    assert_eq!(kept(&["--verify-hash"]).0, before + 1, "the hash has told");
    // A new log.
    let log = hive.with_file_name(format!("{}.LOG1", hive.file_name().unwrap().to_str().unwrap()));
    fs::write(log, b"").unwrap();
    assert_eq!(kept(&[]), (11, 12));
    fs::remove_file(&hive).unwrap();
    assert_eq!(kept(&[]), (11, 11), "what is gone is not told");
    let onto = Command::new(env!("CARGO_BIN_EXE_hivewright"))
        .current_dir(home.path())
        .args(["audit", "--json", "--resume", "r.jsonl", "fleet"])
        .stdout(fs::File::options().append(true).open(&results).unwrap())
        .output()
        .unwrap();
    assert_eq!(onto.status.code(), Some(3), "{}", String::from_utf8_lossy(&onto.stderr));
}
