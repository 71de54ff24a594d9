//! `hivewright check`.

use std::fmt::Write;
use std::path::Path;

use hivewright::error::exact::field;
use hivewright::hive::check::{Code, Report, Severity};
use hivewright::session::{Logs, Reading};
use serde::Serialize;

use super::args::CheckArgs;
use super::exit::Outcome;
use super::report::{Style, plain, recovery};

#[derive(Serialize)]
struct Document<'a> {
    hive: String,
    #[serde(flatten, serialize_with = "field::file")]
    file: &'a Path,
    sound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_read: Option<u64>,
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<&'a Logs>,
}

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let reading = Reading::choose(&args.target, &args.disk.choice(), super::set::logs(&args.logs))?;
    super::warn_of_doubts(&reading);
    let report = reading.check()?;
    let logs = reading.logs(args.list_logs)?;
    let name = reading.name();
    if args.json {
        let bytes_read = super::bytes_read(&reading);
        let (sound, logs) = (report.is_sound(), logs.as_ref());
        let file = &*reading.target().hive;
        super::print_json(&Document { hive: name, file, sound, bytes_read, report: &report, logs })?;
    } else {
        let mut out = text(&name, &report, Style::of_stdout());
        if let Some(logs) = &logs {
            recovery::logs(&mut out, logs, args.list_logs)?;
        }
        super::print(out.as_bytes())?;
    }
    Ok(if report.worst().is_none() { Outcome::Yes } else { Outcome::No })
}

fn text(name: &str, report: &Report, style: Style) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut out, name, report, style);
    out
}

fn write_text(out: &mut String, name: &str, report: &Report, style: Style) -> std::fmt::Result {
    let counted: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .filter_map(|severity| {
            let count = report.count_of(severity);
            let plural = if count == 1 { "" } else { "s" };
            (count > 0).then(|| format!("{count} {}{plural}", severity.as_str()))
        })
        .collect();
    let verdict = if counted.is_empty() { "sound, nothing found".to_owned() } else { counted.join(", ") };
    writeln!(out, "{}", style.strong(&format!("{}: {verdict}", plain(name))))?;
    let facts = &report.facts;
    writeln!(
        out,
        "{} keys, {} values, {} cells in {} hive bins of {} bytes, {} of them free",
        facts.keys, facts.values, facts.cells, facts.bins, facts.length, facts.free_bytes
    )?;
    for finding in &report.findings {
        let severity = finding.severity;
        let head = format!("{:<7} {:<20}", severity.as_str(), finding.code.as_str());
        write!(out, "\n{} {:#010x}", style.by_severity(severity, &head), finding.offset)?;
        if let Some(key) = &finding.key {
            write!(out, "  {}", if key.is_empty() { "(root)".to_owned() } else { plain(key) })?;
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
        writeln!(out, "\n{} more of the same kinds are counted, not shown", all - kept)?;
    }
    let met: Vec<Code> = report.counts.iter().filter(|&(_, count)| count > 0).map(|(code, _)| code).collect();
    if !met.is_empty() {
        writeln!(out, "\nWhat this means:")?;
        for code in met {
            writeln!(out, "  {}: {}", code.as_str(), code.explain())?;
        }
    }
    Ok(())
}
