//! Other people's programs, as independent judges. Where one is missing, the test says so and passes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Whether all of `programs` can be started; prints one line if not.
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

/// Standard output of a program that must succeed.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Vec<u8> {
    let out = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {arguments:?}: {errors}{}", String::from_utf8_lossy(&out.stdout));
    out.stdout
}

/// What a program says once it has read `input`.
pub(crate) fn answer(program: &mut Command, input: &[u8]) -> Output {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Whether a program succeeds.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let out = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    out.is_ok_and(|out| out.status.success())
}
