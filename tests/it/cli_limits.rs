//! A limit on the size of files (`ulimit -f`) causes an ordinary error.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use crate::copies::Copied;
use crate::support::tools::have;

/// Runs the command with a limit in KiB.
fn limited(copy: &Copied, kib: u32, line: &str) -> Output {
    let command = format!("ulimit -f {kib}; exec {} {line}", env!("CARGO_BIN_EXE_hivewright"));
    Command::new("bash").args(["-c", &command]).current_dir(copy.folder.path()).output().unwrap()
}

#[test]
fn a_file_that_may_not_grow_is_an_error_with_a_message() {
    if !have(&["bash"]) {
        return;
    }
    for (line, kib) in [
        ("set 2 SYSTEM", 8),
        ("set 2 SYSTEM --output NEW", 8),
        ("set 2 SYSTEM --undo UNDO", 8),
        ("set 2 SYSTEM --undo UNDO", 0),
        ("set 2 SYSTEM --in-place", 0),
        // The undo file fits, but the growth of the hive does not.
        ("set 2 SYSTEM --in-place", 16),
    ] {
        let copy = Copied::of("shapes/no-free-cell");
        let output = limited(&copy, kib, line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.signal(), None, "{line}");
        assert!(output.status.code() == Some(2) && said.starts_with("hivewright: "), "{line}: {said}");
        assert!(copy.bytes() == copy.before, "{line}: {said}");
        assert_eq!(copy.names(), ["SYSTEM"], "{line}: {said}");
    }
}

#[test]
fn lost_output_is_an_error_too() {
    if !have(&["bash"]) {
        return;
    }
    let copy = Copied::of("windows/win10");
    let output = limited(&copy, 0, "get SYSTEM > answer");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("File too large"), "{:?}: {said}", output.status);
    assert_eq!(fs::metadata(copy.path("answer")).unwrap().len(), 0);
}
