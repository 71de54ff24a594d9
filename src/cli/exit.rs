//! Exit codes, and the one place that prints errors.

use hivewright_error::Code;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::{Error, Kind, Place};
use hivewright_storage::exact::field;
use serde::Serialize;

use super::report::plain;

/// How a verb ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, already so, or the answer is yes.
    Yes,
    /// The answer is no.
    No,
    /// Some of it could not be done, and was told.
    CouldNot,
    /// Stopped from outside before its end.
    Interrupted,
}

/// What shells say of a program that Ctrl-C has ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// What clap ends with where the arguments are wrong.
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

/// The exit code for an error.
fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>().map(Error::kind) {
        Some(Kind::Refused | Kind::NoRoom) => 3,
        Some(Kind::Unfinished) => 4,
        Some(Kind::Io | Kind::Corrupt | Kind::Unsupported | Kind::NotFound) | None => 2,
    }
}

/// Joins the messages of the chain, as far as the first [`Error`]: its message has the text of its cause.
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

/// Prints the chain on standard error, what to do next below it, and on standard output the same as JSON if asked.
pub(crate) fn report(error: &anyhow::Error, file: Option<&Path>, json: bool) -> ExitCode {
    let code = code(error);
    if is_broken_pipe(error) {
        return ExitCode::from(code);
    }
    let message = message(error);
    let mut stderr = std::io::stderr().lock();
    // Nothing is left to be told if standard error is gone.
    let _ = writeln!(stderr, "hivewright: {}", plain(&message));
    let known = error.downcast_ref::<Error>();
    if let Some(advice) = known.and_then(Error::advice) {
        let _ = writeln!(stderr, "  what to do: {}", plain(advice));
    }
    if json {
        tell(code, known.map(Error::code), &message, file, known);
    }
    ExitCode::from(code)
}

#[derive(Serialize)]
struct Document<'a> {
    error: Told<'a>,
}

/// An error, as JSON has it.
#[derive(Serialize)]
struct Told<'a> {
    exit: u8,
    kind: Option<Kind>,
    code: Option<Code>,
    message: &'a str,
    /// What the command was about.
    #[serde(flatten, serialize_with = "field::file")]
    file: Option<&'a Path>,
    places: Option<&'a [Place]>,
    advice: Option<&'a str>,
}

/// Prints an error as JSON.
fn tell(exit: u8, code: Option<Code>, message: &str, file: Option<&Path>, known: Option<&Error>) {
    let (kind, places, advice) = (known.map(Error::kind), known.map(Error::trail), known.and_then(Error::advice));
    let document = Document { error: Told { exit, kind, code, message, file, places, advice } };
    // Nothing is left to be told if nobody listens.
    let _ = super::json(&document).map(|text| std::io::stdout().lock().write_all(&text));
}

/// Prints what is wrong with the arguments, or the help that they ask for; of what is wrong the same as JSON, if they seem to
/// ask for that.
pub(crate) fn usage(error: &clap::Error, args: impl Iterator<Item = OsString>) -> ExitCode {
    // Nothing is left to be told if nobody listens.
    let _ = error.print();
    let options = args.take_while(|arg| arg != "--").collect::<Vec<_>>();
    // JSON Lines are of records alone.
    let of_records = options.first().is_some_and(|verb| verb == "audit");
    if error.use_stderr() && !of_records && options.iter().any(|arg| arg == "--json") {
        let text = error.render().to_string();
        // How it is used, and where help is, follow after an empty line.
        let message = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        tell(USAGE, Some(Code::Usage), message, None, None);
    }
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

/// Whoever read our output has gone: nothing to complain about.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    // An error of a file is never about our output.
    let io =
        error.root_cause().downcast_ref::<std::io::Error>().filter(|_| !error.chain().any(|part| part.is::<Error>()));
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
