//! Failures of the output: the lost part is reported.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use hivewright_fixtures::{Release, SystemHive};

use super::{audit, records};
use crate::command::Run;

const COUNT: usize = 40;

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("fleet")).unwrap();
    for i in 0..COUNT {
        let hive = SystemHive::new(Release::Win10).build().bytes;
        fs::write(home.path().join(format!("fleet/{i}")), hive).unwrap();
    }
    home
}

/// Returns the other files in the folder.
fn beside(home: &Path) -> Vec<String> {
    let names = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "fleet").collect();
    names.sort();
    names
}

fn run(home: &Path, command: &mut Command) -> Run {
    let output = command.current_dir(home).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// As `audit`, with a limit of `blocks` of 512 bytes for the size of files.
fn limited(home: &Path, blocks: u64, args: &str) -> Run {
    let program = env!("CARGO_BIN_EXE_hivewright");
    let line = format!("trap '' XFSZ; ulimit -f {blocks}; exec '{program}' audit {args} fleet");
    run(home, Command::new("dash").args(["-c", &line]))
}

#[test]
fn a_report_without_a_folder_is_an_error_before_the_audit() {
    let home = home();
    fs::write(home.path().join("other.html"), "<html>not ours</html>").unwrap();
    for (place, code, words) in [
        ("none/r.html", 2, ["cannot write none/r.html", "the folder none does not exist", "create the folder"]),
        #[cfg(unix)]
        ("/proc/r.html", 2, ["cannot write /proc/r.html", "no file can be created in /proc", "name a folder"]),
        ("other.html", 3, ["other.html already exists", "refused", "name a file that does not exist"]),
        ("fleet", 3, ["fleet already exists", "refused", "name a file that does not exist"]),
        #[cfg(unix)]
        ("/dev/full", 3, ["/dev/full already exists", "refused", "name a file that does not exist"]),
    ] {
        for format in ["jsonl", "csv"] {
            let run = audit(home.path(), &["--format", format, "--report", place, "fleet"]);
            assert_eq!((run.code, run.out.as_str()), (code, ""), "{place}: {}", run.err);
            assert!(words.iter().all(|word| run.err.contains(word)), "{place}: {}", run.err);
        }
    }
    assert_eq!(fs::read_to_string(home.path().join("other.html")).unwrap(), "<html>not ours</html>");
    assert_eq!(beside(home.path()), ["other.html"]);
}

#[test]
fn a_failed_report_does_not_affect_the_records() {
    if !crate::support::tools::have(&["dash"]) {
        return;
    }
    let home = home();
    assert_eq!(limited(home.path(), 1 << 20, "--json --report r.html").code, 0);
    let earlier = fs::read(home.path().join("r.html")).unwrap();
    // Space for the page, but not for all records.
    let blocks = earlier.len() as u64 / 512 - 20;
    let run = limited(home.path(), blocks, "--json --report r.html");
    assert_eq!((run.code, records(&run.out).len()), (2, COUNT), "{}", run.err);
    assert!(run.has("io") && run.err.contains("40 installations read"), "{}", run.err);
    assert_eq!(run.err.matches("r.html").count(), 1, "said once: {}", run.err);
    assert!(fs::read(home.path().join("r.html")).unwrap() == earlier, "the earlier report has changed");
    assert_eq!(beside(home.path()), ["r.html"], "something of the report is left");
    // The records need not be read again for it.
    fs::write(home.path().join("r.jsonl"), &run.out).unwrap();
    let again = audit(home.path(), &["--json", "--resume", "r.jsonl", "--report", "new.html", "fleet"]);
    assert!(again.code == 0 && again.err.contains("40 reused"), "{}", again.err);
    // A complete lack of space is found before.
    let none = limited(home.path(), 4, "--json --report other.html");
    assert_eq!((none.code, none.out.as_str()), (2, ""), "{}", none.err);
    assert!(none.has("io"), "{}", none.err);
    assert_eq!(beside(home.path()), ["new.html", "r.html", "r.jsonl"]);
}

// Windows has no device that is always full.
#[cfg(unix)]
#[test]
fn a_full_standard_output_is_an_error() {
    let home = home();
    for (format, became, reported) in [
        ("jsonl", "the audit was stopped,", false),
        ("table", "the audit was stopped,", false),
        ("csv", "nothing was audited", false),
        ("junit", "the audit is complete", true),
    ] {
        let program = env!("CARGO_BIN_EXE_hivewright");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(program);
        command.args(["audit", "--format", format, "--report", "r.html", "fleet"]).stdout(full);
        let run = run(home.path(), &mut command);
        assert_eq!(run.code, 2, "{format}: {}", run.err);
        for word in ["cannot print the records: No space left", became, "advice: free space"] {
            assert!(run.err.contains(word), "{format}: {word}: {}", run.err);
        }
        assert_eq!(beside(home.path()), if reported { vec!["r.html"] } else { vec![] }, "{format}");
    }
    // Test cases are stored in a temporary file first, which may lack space too.
    if crate::support::tools::have(&["dash"]) {
        for i in 0..2000 {
            fs::write(home.path().join(format!("fleet/{i:0>200}")), SystemHive::new(Release::Win10).build().bytes)
                .unwrap();
        }
        let run = limited(home.path(), 1024, "--format junit");
        assert_eq!((run.code, run.out.len()), (2, 0), "{}", run.err);
        assert!(run.has("io"), "{}", run.err);
    }
}
