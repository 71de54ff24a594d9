//! Two thousand targets: every record is right, none is missing, with any number of threads, in little memory.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::maker::{check, make};
use super::{audit, records, steady};

/// Returns the peak memory of an audit in KiB, as the host counts it.
pub(super) fn peak(folder: &Path, args: &[&str], out: &Path) -> u64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hivewright"))
        .current_dir(folder)
        .arg("audit")
        .args(args)
        .stdout(fs::File::create(out).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        peak = peak.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

#[test]
fn two_thousand_targets_have_two_thousand_right_records() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("fleet");
    let begun = Instant::now();
    // Wine takes minutes for so many files, and Linux alone reports the memory.
    let count: u32 = if cfg!(windows) { 150 } else { 2000 };
    let fleet = make(&folder, count as usize);
    let made = begun.elapsed();
    let one = audit(home.path(), &["--json", "--jobs", "1", "fleet"]);
    assert_eq!(one.code, 2, "some could not be read: {}", one.err);
    let all = records(&one.out);
    assert_eq!(all.len(), fleet.len(), "{}", one.err);
    for (name, truth) in &fleet {
        check(name, &all[&(format!("fleet/{name}"), 1)], truth);
    }
    let all = steady(all);
    for jobs in ["2", "3", "16"] {
        let more = audit(home.path(), &["--json", "--jobs", jobs, "fleet"]);
        assert!(steady(records(&more.out)) == all, "--jobs {jobs} tells something else");
    }

    let results = home.path().join("results.jsonl");
    let kib = peak(home.path(), &["--json", "--jobs", "8", "fleet"], &results);
    assert!(cfg!(windows) || (1..150 << 10).contains(&kib), "{kib} KiB");

    // Targets that failed before their files were known are read again.
    let again = audit(home.path(), &["--json", "--resume", "results.jsonl", "fleet"]);
    let kept = again.err.split(" reused").next().unwrap().rsplit(' ').next().unwrap().parse::<u32>().unwrap();
    assert!((count - count / 50..=count).contains(&kept), "{}", again.err);
    println!("{kib} KiB; made {made:?}; first {}; second {}", one.err.trim(), again.err.trim());
    assert!(steady(records(&again.out)) == all);
}

#[test]
fn shards_are_disjoint_and_together_complete() {
    let home = tempfile::tempdir().unwrap();
    make(&home.path().join("fleet"), 120);
    let whole = steady(records(&audit(home.path(), &["--json", "fleet"]).out));
    let mut parts = std::collections::BTreeMap::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let part = steady(records(&audit(home.path(), &["--json", "--shard", shard, "fleet"]).out));
        assert!(part.len() > 15, "{shard} has {}", part.len());
        for (key, record) in part {
            assert!(parts.insert(key, record).is_none());
        }
    }
    assert!(parts == whole);
    assert_eq!(audit(home.path(), &["--shard", "4/3", "fleet"]).code, 2);
}
