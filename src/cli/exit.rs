//! Exit codes, and the output of errors.

use hivewright_error::Code;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::{Error, Kind, Place};
use hivewright_storage::exact::field;
use serde::Serialize;

use super::report::plain;

/// Outcome of a command that did not fail, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Done, already so, or the answer is yes.
    Yes,
    /// The answer is no.
    No,
    /// A part failed, and its errors were printed.
    CouldNot,
    /// Interrupted.
    Interrupted,
}

/// The exit status of shells for a program that Ctrl-C has ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// The exit status of clap for invalid arguments.
const USAGE: u8 = 2;

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(match outcome {
            Outcome::Yes => 0,
            Outcome::No => 1,
            Outcome::CouldNot => 2,
            Outcome::Interrupted => INTERRUPTED,
        })
    }
}

/// Returns the exit code for an error.
fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>().map(Error::kind) {
        Some(Kind::Refused | Kind::NoRoom) => 3,
        Some(Kind::Unfinished) => 4,
        Some(Kind::Io | Kind::Corrupt | Kind::Unsupported | Kind::NotFound) | None => 2,
    }
}

/// Joins the messages of the chain, up to the first [`Error`], whose message contains its cause.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for part in error.chain() {
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&part.to_string());
        if part.is::<Error>() {
            break;
        }
    }
    message
}

/// Returns the code of an error: that of the first [`Error`] in the chain, else that of a system call.
pub(crate) fn known(error: &anyhow::Error) -> Code {
    error.downcast_ref::<Error>().map_or(Code::Io, Error::code)
}

/// Prints the chain and the advice on standard error, and with `json` the error as JSON on standard output.
pub(crate) fn report(error: &anyhow::Error, file: Option<&Path>, json: bool) -> ExitCode {
    let code = code(error);
    if is_broken_pipe(error) {
        return ExitCode::from(code);
    }
    let message = message(error);
    let mut stderr = std::io::stderr().lock();
    // A failure to write to standard error cannot be reported.
    let _ = writeln!(stderr, "hivewright: {} [{}]", plain(&message), known(error));
    let known = error.downcast_ref::<Error>();
    if let Some(advice) = known.and_then(Error::advice) {
        let _ = writeln!(stderr, "  advice: {}", plain(advice));
    }
    if json {
        print_json_error(code, known.map(Error::code), &message, file, known);
    }
    ExitCode::from(code)
}

#[derive(Serialize)]
struct Document<'a> {
    error: ErrorDocument<'a>,
}

/// An error in JSON.
#[derive(Serialize)]
struct ErrorDocument<'a> {
    exit: u8,
    kind: Option<Kind>,
    code: Option<Code>,
    message: &'a str,
    /// The target of the command.
    #[serde(flatten, serialize_with = "field::file")]
    file: Option<&'a Path>,
    places: Option<&'a [Place]>,
    advice: Option<&'a str>,
}

/// Prints an error as JSON.
fn print_json_error(exit: u8, code: Option<Code>, message: &str, file: Option<&Path>, known: Option<&Error>) {
    let (kind, places, advice) = (known.map(Error::kind), known.map(Error::trail), known.and_then(Error::advice));
    let document = Document { error: ErrorDocument { exit, kind, code, message, file, places, advice } };
    // A failure to print cannot be reported.
    let _ = super::json(&document).map(|text| std::io::stdout().lock().write_all(&text));
}

/// Prints an error of the arguments or the requested help; an error also as JSON if the arguments contain `--json`.
pub(crate) fn usage(error: &clap::Error, args: impl Iterator<Item = OsString>) -> ExitCode {
    // A failure to print cannot be reported.
    let _ = error.print();
    let options = args.take_while(|arg| arg != "--").collect::<Vec<_>>();
    // JSON Lines contain only records.
    let of_records = options.first().is_some_and(|verb| verb == "audit");
    if error.use_stderr() && !of_records && options.iter().any(|arg| arg == "--json") {
        let text = error.render().to_string();
        // The usage follows after an empty line.
        let message = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        print_json_error(USAGE, Some(Code::Usage), message, None, None);
    }
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

/// Returns whether the reader of the output has closed it, which is no error.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    // An [`Error`] concerns a file, never the output.
    let io =
        error.root_cause().downcast_ref::<std::io::Error>().filter(|_| !error.chain().any(|part| part.is::<Error>()));
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
