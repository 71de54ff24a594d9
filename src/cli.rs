//! Words of the user in, words for the user out. Holds no knowledge of formats.

mod args;
mod audit;
mod check;
mod exit;
mod generate;
mod get;
mod info;
mod reg;
mod report;
mod set;
mod stop;
mod undo;
mod verbs;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::locate::{Disk, Obstacle};
use clap::Parser;

use self::args::{Args, Command};

/// Runs the command.
pub fn main() -> ExitCode {
    stay_silent_about_the_witness();
    stop::outlive_a_limit();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::usage(&error, std::env::args_os().skip(1)),
    };
    let json = args.command.wants_json();
    let files = args.command.files();
    // An audit has an end of its own.
    if !matches!(args.command, Command::Audit(_)) {
        stop::leave_nothing_behind();
    }
    let outcome = match args.command {
        Command::Get(args) => get::run(&args),
        Command::Set(args) => set::run_set(&args),
        Command::Unset(args) => set::run_unset(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Recover(args) => set::run_recover(&args),
        Command::Reg(args) => reg::run(&args),
        Command::Undo(args) => undo::run(&args),
        Command::Schema(_) => audit::schema(),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
    };
    match outcome {
        Ok(outcome) => outcome.into(),
        Err(error) => exit::report(&about(error, &files), files.first().map(PathBuf::as_path), json),
    }
}

/// The error with the name of what the command was about, the first of `files`, where it names none of them.
fn about(error: anyhow::Error, files: &[PathBuf]) -> anyhow::Error {
    let text = exit::message(&error);
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || "/:;,()".contains(c));
    let says = |file: &PathBuf| {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let mut found = text.match_indices(&*name);
        found.any(|(at, name)| ends(text[..at].chars().next_back()) && ends(text[at + name.len()..].chars().next()))
    };
    match files.first() {
        Some(target) if error.is::<crate::Error>() && !files.iter().any(says) => {
            error.context(target.display().to_string())
        }
        _ => error,
    }
}

/// Panics that are caught and told as errors, of the witness and of an audit's workers, do not reach the terminal.
fn stay_silent_about_the_witness() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !hivewright_hive::witness::is_asking() && !crate::audit::pool::is_guarded() {
            usual(info);
        }
    }));
}

/// Writes to standard output, in one go.
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

/// Tells, in one go, of what is done already. That it cannot be told takes nothing back: a warning at most.
fn tell(words: anyhow::Result<Vec<u8>>) {
    if let Err(error) = words.and_then(|bytes| print(&bytes))
        && !exit::is_broken_pipe(&error)
    {
        warn(&format!("it is done, but could not be told: {}", exit::message(&error)));
    }
}

fn json(document: &impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    Ok(text)
}

/// Bytes read of a disk image, where the hive is inside of one.
fn bytes_read(reading: &crate::read::Reading) -> Option<u64> {
    reading.hive().disk().map(Disk::bytes_read)
}

/// Warns of a write that did not end, and of all that makes what is read doubtful. Gives everything that stands against a write.
fn warn_of_doubts(reading: &crate::read::Reading) -> Vec<Obstacle> {
    if let Some(disk) = reading.hive().disk() {
        disk.about().warnings().iter().for_each(|what| warn(what));
    }
    let obstacles = reading.hive().all_obstacles();
    obstacles.iter().filter(|it| it.doubts).for_each(|it| warn(&format!("{}; `set` would be refused", it.what)));
    reading.unfinished().iter().for_each(|what| warn(what));
    obstacles
}

/// [`warn`], and what to do.
fn warn_and_advise(text: &str, advice: &str) {
    use std::io::Write;
    warn(text);
    // As there.
    let _ = writeln!(std::io::stderr().lock(), "  what to do: {advice}");
}

/// Writes a warning to standard error.
fn warn(text: &str) {
    use std::io::Write;
    // Nothing is left to be told if standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "hivewright: warning: {}", report::plain(text));
}
