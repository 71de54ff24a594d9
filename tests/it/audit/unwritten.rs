//! Output that cannot be written: what is lost is said, and nothing else is.

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

/// What stands in the folder beside the fleet.
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

/// As `audit`, where no file gets longer than `blocks` of 512 bytes.
fn limited(home: &Path, blocks: u64, args: &str) -> Run {
    let program = env!("CARGO_BIN_EXE_hivewright");
    let line = format!("trap '' XFSZ; ulimit -f {blocks}; exec '{program}' audit {args} fleet");
    run(home, Command::new("dash").args(["-c", &line]))
}

#[test]
fn a_report_without_a_place_is_told_before_the_audit() {
    let home = home();
    fs::write(home.path().join("other.html"), "<html>not ours</html>").unwrap();
    for (place, code, words) in [
        ("none/r.html", 2, ["cannot write none/r.html", "no folder none", "make the folder"]),
        ("/proc/r.html", 2, ["cannot write /proc/r.html", "nothing can be made in /proc", "name a place"]),
        ("other.html", 3, ["other.html is there already", "refused", "name a file that does not exist"]),
        ("fleet", 3, ["fleet is there already", "refused", "name a file that does not exist"]),
        ("/dev/full", 3, ["/dev/full is there already", "refused", "name a file that does not exist"]),
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
fn a_report_that_finds_no_room_takes_no_records_along() {
    if !crate::support::tools::have(&["dash"]) {
        return;
    }
    let home = home();
    assert_eq!(limited(home.path(), 1 << 20, "--json --report r.html").code, 0);
    let earlier = fs::read(home.path().join("r.html")).unwrap();
    // Room for the page, but not for all records.
    let blocks = earlier.len() as u64 / 512 - 20;
    let run = limited(home.path(), blocks, "--json --report r.html");
    assert_eq!((run.code, records(&run.out).len()), (2, COUNT), "{}", run.err);
    for word in ["no report r.html", "File too large", "records are not affected", "make room", "40 installations read"]
    {
        assert!(run.err.contains(word), "{word}: {}", run.err);
    }
    assert_eq!(run.err.matches("no report").count(), 1, "said once: {}", run.err);
    assert!(fs::read(home.path().join("r.html")).unwrap() == earlier, "the earlier report has changed");
    assert_eq!(beside(home.path()), ["r.html"], "something of the report is left");
    // What was read need not be read again for it.
    fs::write(home.path().join("r.jsonl"), &run.out).unwrap();
    let again = audit(home.path(), &["--json", "--resume", "r.jsonl", "--report", "new.html", "fleet"]);
    assert!(again.code == 0 && again.err.contains("40 taken over"), "{}", again.err);
    // No room at all is known before.
    let none = limited(home.path(), 4, "--json --report other.html");
    assert_eq!((none.code, none.out.as_str()), (2, ""), "{}", none.err);
    assert!(none.err.contains("cannot write the report other.html: File too large"), "{}", none.err);
    assert_eq!(beside(home.path()), ["new.html", "r.html", "r.jsonl"]);
}

#[test]
fn a_full_standard_output_is_an_error_that_says_what_is_lost() {
    let home = home();
    for (format, became, reported) in [
        ("jsonl", "the audit was stopped there", false),
        ("table", "the audit was stopped there", false),
        ("csv", "nothing was audited", false),
        ("junit", "all was audited", true),
    ] {
        let program = env!("CARGO_BIN_EXE_hivewright");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(program);
        command.args(["audit", "--format", format, "--report", "r.html", "fleet"]).stdout(full);
        let run = run(home.path(), &mut command);
        assert_eq!(run.code, 2, "{format}: {}", run.err);
        for word in ["cannot print the records: No space left", became, "what to do: make room"] {
            assert!(run.err.contains(word), "{format}: {word}: {}", run.err);
        }
        assert_eq!(beside(home.path()), if reported { vec!["r.html"] } else { vec![] }, "{format}");
    }
    // Test cases are put aside first, in a file that may find no room either.
    if crate::support::tools::have(&["dash"]) {
        for i in 0..2000 {
            fs::write(home.path().join(format!("fleet/{i:0>200}")), SystemHive::new(Release::Win10).build().bytes)
                .unwrap();
        }
        let run = limited(home.path(), 1024, "--format junit");
        assert_eq!((run.code, run.out.len()), (2, 0), "{}", run.err);
        assert!(run.err.contains("a temporary file in ") && run.err.contains("File too large"), "{}", run.err);
    }
}
