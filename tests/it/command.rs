//! Running the command as its users do.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run of the command gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The folder of the fixtures that ship with the project.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A program that heeds signals whether or not whoever runs the tests ignores them, as what runs in the background of a
/// script does, or behind nohup.
pub(crate) fn heeding(program: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM,HUP", program]);
    command
}

/// Runs the command in the folder of the fixtures.
pub(crate) fn hivewright<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    hivewright_in(&fixtures(), args)
}

/// Runs the command in `folder`.
pub(crate) fn hivewright_in<S: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = S>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hivewright"));
    let output = command.current_dir(folder).args(args).env("NO_COLOR", "1").output().unwrap();
    Run {
        code: output.status.code().unwrap_or_else(|| panic!("ended by a signal: {output:?}")),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
