//! The command line: parses arguments and prints results. Contains no knowledge of formats.

mod apply;
mod args;
mod audit;
mod check;
mod exit;
mod generate;
mod get;
mod images;
mod info;
mod policy;
mod reg;
mod report;
mod schema;
mod set;
mod stop;
mod subject;
mod suggested;
mod undo;
mod verbs;

use hivewright_error::Code;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::locate::{Disk, Obstacle};
use clap::Parser;

use self::args::{Args, Command};

/// Runs the command.
pub fn main() -> ExitCode {
    silence_caught_panics();
    stop::ignore_file_size_signal();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::usage(&error, std::env::args_os().skip(1)),
    };
    report::set_colour(args.color);
    let json = args.command.wants_json();
    let files = args.command.files();
    // An audit handles signals itself.
    if !matches!(args.command, Command::Audit(_)) {
        stop::remove_temp_files_at_signals();
    }
    let outcome = match args.command {
        Command::Get(args) => get::run(&args),
        Command::Set(args) => set::run_set(&args),
        Command::Unset(args) => set::run_unset(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Report(args) => audit::merge(&args),
        Command::Apply(args) => apply::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Recover(args) => set::run_recover(&args),
        Command::Reg(args) => reg::run(&args),
        Command::Undo(args) => undo::run(&args),
        Command::Schema(args) => schema::run(args.of),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
    };
    match outcome {
        Ok(outcome) => outcome.into(),
        Err(error) => exit::report(&about(error, &files), files.first().map(PathBuf::as_path), json),
    }
}

/// Adds the name of the target, the first of `files`, to an error that names none of `files`.
fn about(error: anyhow::Error, files: &[PathBuf]) -> anyhow::Error {
    let text = exit::message(&error);
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || "/:;,()".contains(c));
    let is_named = |file: &PathBuf| {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let mut found = text.match_indices(&*name);
        found.any(|(at, name)| ends(text[..at].chars().next_back()) && ends(text[at + name.len()..].chars().next()))
    };
    match files.first() {
        Some(target) if error.is::<crate::Error>() && !files.iter().any(is_named) => {
            error.context(target.display().to_string())
        }
        _ => error,
    }
}

/// Suppresses the output of panics that are caught and become errors: those of the second parser and of an audit's
/// workers.
fn silence_caught_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !hivewright_hive::witness::is_asking() && !crate::audit::pool::is_guarded() {
            usual(info);
        }
    }));
}

/// Writes to standard output with one call.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Prints a document as JSON.
fn print_json(document: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&json(document)?)
}

/// Prints the result of a completed write with one call. A failure to print is only a warning, since the write is
/// complete.
fn print_done(words: anyhow::Result<Vec<u8>>) {
    if let Err(error) = words.and_then(|bytes| print(&bytes))
        && !exit::is_broken_pipe(&error)
    {
        warn(
            exit::known(&error),
            &format!("the write is complete, but its result cannot be printed: {}", exit::message(&error)),
        );
    }
}

fn json(document: &impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    Ok(text)
}

/// Returns the number of bytes read from the disk image of a hive.
fn bytes_read(reading: &crate::read::Reading) -> Option<u64> {
    reading.hive().disk().map(Disk::bytes_read)
}

/// Warns of an interrupted write and of everything that makes the reading doubtful. Returns all obstacles to a write.
fn warn_of_doubts(reading: &crate::read::Reading) -> Vec<Obstacle> {
    if let Some(disk) = reading.hive().disk() {
        disk.about().warnings().iter().for_each(|(code, what)| warn(*code, what));
    }
    let obstacles = reading.hive().all_obstacles();
    obstacles.iter().filter(|it| it.doubts).for_each(|it| warn(it.code, &format!("{}; `set` would fail", it.what)));
    reading.unfinished().iter().for_each(|what| warn(Code::UnfinishedWrite, what));
    obstacles
}

/// As [`warn`], with advice.
fn warn_and_advise(code: Code, text: &str, advice: &str) {
    use std::io::Write;
    warn(code, text);
    // As in `warn`.
    let _ = writeln!(std::io::stderr().lock(), "  advice: {advice}");
}

/// Writes a warning to standard error.
fn warn(code: Code, text: &str) {
    use std::io::Write;
    // A failure to write to standard error cannot be reported.
    let _ = writeln!(std::io::stderr().lock(), "hivewright: warning: {} [{code}]", report::plain(text));
}
