//! Runs the command as users do.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Result of a run of the command.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Returns whether an error or a warning on standard error has that code.
    pub(crate) fn has(&self, code: &str) -> bool {
        has_code(&self.err, code)
    }
}

/// Returns whether one of the lines, which are errors and warnings, has that code.
pub(crate) fn has_code(lines: &str, code: &str) -> bool {
    let ending = format!(" [{code}]");
    lines.lines().any(|line| line.starts_with("hivewright: ") && line.ends_with(&ending))
}

/// Returns the folder of the fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Returns a program that handles signals even if the parent process ignores them, as background jobs of scripts and
/// nohup do.
pub(crate) fn heeding(program: &str) -> Command {
    if cfg!(windows) {
        return Command::new(program);
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM,HUP", program]);
    command
}

/// Runs the command in the folder of the fixtures.
pub(crate) fn hivewright<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    hivewright_in(&fixtures(), args)
}

/// The code of Windows for an internal error.
const ERROR_INTERNAL_ERROR: i32 = 1359;

/// Runs the command in `folder`.
pub(crate) fn hivewright_in<S: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = S>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hivewright"));
    command.current_dir(folder).args(args).env("NO_COLOR", "1");
    let output = match command.output() {
        // Wine sometimes fails to start a program while many others start and end.
        Err(error) if cfg!(windows) && error.raw_os_error() == Some(ERROR_INTERNAL_ERROR) => command.output(),
        done => done,
    }
    .unwrap();
    Run {
        code: output.status.code().unwrap_or_else(|| panic!("ended by a signal: {output:?}")),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
