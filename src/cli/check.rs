//! `hivewright check`.

use std::fmt::Write;
use std::path::Path;

use crate::locate::Image;
use crate::read::{CheckedHive, Logs, Reading};
use hivewright_hive::check::{Counts, Report, Severity};
use hivewright_storage::exact::field;
use serde::Serialize;

use super::args::CheckArgs;
use super::exit::Outcome;
use super::images;
use super::report::{Style, plain, recovery};
use super::subject::Subject;

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten, serialize_with = "field::target")]
    target: &'a Path,
    #[serde(flatten)]
    subject: Subject<'a>,
    sound: bool,
    /// Subject of the check: the primary file alone, or the hive with its logs replayed.
    judged: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_alone: Option<Summary<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_read: Option<u64>,
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<&'a Logs>,
}

#[derive(Serialize)]
struct Summary<'a> {
    sound: bool,
    counts: &'a Counts,
}

impl<'a> Summary<'a> {
    fn of(report: &'a Report) -> Self {
        Summary { sound: report.is_consistent(), counts: &report.counts }
    }
}

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let (choice, logs) = (args.disk.choice(), super::set::logs(&args.logs));
    logs.expect()?;
    let image = Image::open_as(&args.target, &choice.image)?;
    // The description of a hive contains its image.
    images::each(&image, &choice, args.json, |choice, _| check(args, &Reading::of(&image, choice, logs.clone())?))
}

fn check(args: &CheckArgs, reading: &Reading) -> anyhow::Result<Outcome> {
    super::warn_of_doubts(reading);
    let CheckedHive { report, primary_alone } = reading.check()?;
    let logs = reading.logs(args.list_logs)?;
    let name = reading.hive().description();
    if args.json {
        let bytes_read = super::bytes_read(reading);
        let (sound, logs) = (report.is_consistent(), logs.as_ref());
        let judged = if primary_alone.is_some() { "replayed" } else { "primary" };
        let (target, subject, report) = (&args.target, Subject::of(reading.hive()), &report);
        let primary_alone = primary_alone.as_ref().map(Summary::of);
        super::print_json(&Document { target, subject, sound, judged, primary_alone, bytes_read, report, logs })?;
    } else {
        let mut out = text(&name, &report, primary_alone.as_ref(), Style::of_stdout());
        if let Some(logs) = &logs {
            recovery::logs(&mut out, logs, args.list_logs)?;
        }
        super::print(out.as_bytes())?;
    }
    Ok(if report.worst() > Some(Severity::Note) { Outcome::No } else { Outcome::Yes })
}

fn text(name: &str, report: &Report, primary_alone: Option<&Report>, style: Style) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut out, name, report, primary_alone, style);
    out
}

/// Formats the number of findings of each severity.
fn verdict(report: &Report) -> String {
    let counted: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .filter_map(|severity| {
            let count = report.count_of(severity);
            let plural = if count == 1 { "" } else { "s" };
            (count > 0).then(|| format!("{count} {}{plural}", severity.as_str()))
        })
        .collect();
    if counted.is_empty() { "no findings".to_owned() } else { counted.join(", ") }
}

fn write_text(
    out: &mut String,
    name: &str,
    report: &Report,
    primary_alone: Option<&Report>,
    style: Style,
) -> std::fmt::Result {
    let replayed = if primary_alone.is_some() { ", with its logs replayed" } else { "" };
    writeln!(out, "{}", style.strong(&format!("{}{replayed}: {}", plain(name), verdict(report))))?;
    if let Some(alone) = primary_alone {
        writeln!(out, "the primary file alone: {}", verdict(alone))?;
    }
    let facts = &report.facts;
    writeln!(
        out,
        "{} keys, {} values, {} cells in {} hive bins of {} bytes, {} of them free",
        facts.keys, facts.values, facts.cells, facts.bins, facts.length, facts.free_bytes
    )?;
    for finding in &report.findings {
        let severity = finding.severity;
        let head = format!("{:<7} {:<20}", severity.as_str(), finding.rule);
        write!(out, "\n{} {:#010x}", style.by_severity(severity, &head), finding.offset)?;
        if let Some(key) = &finding.key {
            write!(out, "  {}", if key.is_empty() { "(root)".to_owned() } else { plain(key) })?;
        }
        match finding.value.as_deref() {
            None => {}
            Some("") => out.push_str("  (default value)"),
            Some(value) => write!(out, "  value {}", plain(value))?,
        }
        write!(out, "\n        {}", plain(&finding.what))?;
        if let (Some(expected), Some(actual)) = (&finding.expected, &finding.actual) {
            write!(out, "\n        expected {expected}, found {actual}")?;
        }
        writeln!(out)?;
    }
    let kept = report.findings.len() as u64;
    let all: u64 = report.counts.iter().map(|(_, count)| count).sum();
    if all > kept {
        writeln!(out, "\n{} more findings of these kinds are counted, but not shown", all - kept)?;
    }
    let codes: Vec<_> = report.counts.iter().filter(|&(_, count)| count > 0).map(|(rule, _)| rule.code()).collect();
    if !codes.is_empty() {
        writeln!(out, "\nMeaning:")?;
        for code in codes {
            writeln!(out, "  {code}: {}", code.explain())?;
        }
    }
    Ok(())
}
