//! Independent programs as judges. Without one, a test prints a line and passes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Returns whether all of `programs` can be started; prints one line if not.
pub(crate) fn have(programs: &[&str]) -> bool {
    let found = |program: &str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
    };
    match programs.iter().find(|program| !found(program)) {
        Some(missing) => {
            hivewright_fixtures::skip::missing(format_args!("{missing} is not installed"));
            false
        }
        None => true,
    }
}

/// Returns the standard output of a program that must succeed.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Vec<u8> {
    let out = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {arguments:?}: {errors}{}", String::from_utf8_lossy(&out.stdout));
    out.stdout
}

/// Returns the output of a program that reads `input`.
pub(crate) fn answer(program: &mut Command, input: &[u8]) -> Output {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Returns whether a program succeeds.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let out = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    out.is_ok_and(|out| out.status.success())
}

/// Returns the JSON that a Python program prints about `input`.
pub(crate) fn python_answers(python: &Path, program: &str, input: &str) -> serde_json::Value {
    let output = answer(Command::new(python).args(["-B", "-X", "utf8", "-c", program]), input.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
