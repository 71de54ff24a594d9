//! Summary in Markdown, for pull requests and issues: counts, the checks and the worst targets. Its length is bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::plain;
use crate::audit::Record;
use crate::audit::record::{CheckStatus, DriftState, Status};
use crate::audit::run::Summary;

/// The most targets listed in each section.
const MOST: usize = 50;
/// The most violations listed for each target.
const MOST_OF_ONE: usize = 3;

/// A summary in progress.
#[derive(Default)]
pub struct Markdown {
    /// By policy and check.
    checks: BTreeMap<(String, String), Counts>,
    differing: Listed,
    unreadable: Listed,
    drifted: Listed,
}

#[derive(Default)]
struct Counts {
    severity: String,
    by_status: BTreeMap<CheckStatus, u64>,
}

#[derive(Default)]
struct Listed {
    lines: Vec<String>,
    more: u64,
}

impl Listed {
    fn add(&mut self, line: impl FnOnce() -> String) {
        match self.lines.len() < MOST {
            true => self.lines.push(line()),
            false => self.more += 1,
        }
    }

    fn write(&mut self, title: &str, text: &mut String) {
        if self.lines.is_empty() {
            return;
        }
        // The order of reading differs from run to run.
        self.lines.sort();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n## {title}\n\n{}", self.lines.join("\n"));
        if self.more > 0 {
            let _ = writeln!(text, "- and {} more", self.more);
        }
    }
}

impl Markdown {
    /// Adds a record.
    pub fn record(&mut self, record: &Record) {
        for result in &record.checks {
            let counts = self.checks.entry((result.policy.clone(), result.check.clone())).or_default();
            counts.severity.clone_from(&result.severity);
            *counts.by_status.entry(result.status).or_default() += 1;
        }
        let place = match (record.parts > 1, &record.windows_root) {
            (true, Some(root)) => format!(" {}", escaped(root)),
            (true, None) => format!(" part {}", record.part),
            (false, _) => String::new(),
        };
        let name = || format!("- **{}**{place}", escaped(&record.target));
        match (record.status, record.compliant) {
            (Status::Error, _) => self.unreadable.add(|| {
                let error = record.error.as_ref();
                format!("{}: {}", name(), error.map(|error| escaped(&error.code)).unwrap_or_default())
            }),
            (_, Some(false)) => self.differing.add(|| {
                let mut line = name();
                for violation in record.violations.iter().take(MOST_OF_ONE) {
                    let _ = write!(line, "\n  - {}", escaped(&violation.to_string()));
                }
                let more = record.violations.len().saturating_sub(MOST_OF_ONE) as u64 + record.violations_left_out;
                if more > 0 {
                    let _ = write!(line, "\n  - and {more} more");
                }
                line
            }),
            _ => {}
        }
        if let Some(drift) = record.drift.as_ref().filter(|drift| drift.state != DriftState::Same) {
            self.drifted.add(|| {
                let changes = drift.changes.iter().map(|change| format!("\n  - {}", escaped(&change.to_string())));
                format!("{}: {}{}", name(), drift.state.as_str(), changes.take(MOST_OF_ONE).collect::<String>())
            });
        }
    }

    /// Writes the summary.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn end(mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        let mut text = "# Audit\n\n| | count |\n|---|---:|\n".to_owned();
        for (what, count) in [
            ("records", summary.records),
            ("as expected", summary.compliant),
            ("**not as expected**", summary.not_compliant),
            ("**could not be read**", summary.errors),
            ("without Windows", summary.no_windows),
            ("changed since the baseline", summary.drifted),
        ] {
            if count > 0 || what == "records" {
                let _ = writeln!(text, "| {what} | {count} |");
            }
        }
        if summary.interrupted {
            text += "\n**The audit was interrupted.**\n";
        }
        if !self.checks.is_empty() {
            text += "\n## Checks\n\n| policy | check | severity | fail | unknown | pass | not applicable |\n|---|---|---|---:|---:|---:|---:|\n";
            for ((policy, check), counts) in &self.checks {
                let count = |status| counts.by_status.get(&status).copied().unwrap_or_default();
                let [fail, unknown, pass, none] =
                    [CheckStatus::Fail, CheckStatus::Unknown, CheckStatus::Pass, CheckStatus::NotApplicable].map(count);
                let (policy, check) = (escaped(policy), escaped(check));
                let _ = writeln!(
                    text,
                    "| {policy} | {check} | {} | {fail} | {unknown} | {pass} | {none} |",
                    counts.severity
                );
            }
        }
        self.differing.write("Not as expected", &mut text);
        self.unreadable.write("Could not be read", &mut text);
        self.drifted.write("Changed since the baseline", &mut text);
        out.write_all(text.as_bytes())
    }
}

/// Escapes text for Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A mention would notify a user.
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '#' | '|' | '~' | '!' | '$' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    // A bare address would become a link.
    out.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::{CheckResult, Violation};

    #[test]
    fn its_length_is_bounded() {
        let written = |count: usize| {
            let mut markdown = Markdown::default();
            for i in 0..count {
                let check = |check: &str, status| CheckResult {
                    policy: "p|q".into(),
                    check: check.into(),
                    status,
                    ..CheckResult::default()
                };
                let mut record = Record::new(format!("<b>{i}"));
                record.compliant = Some(false);
                record.violations = vec![Violation { setting: "![x](http://y)".into(), ..Violation::default() }; 5];
                record.checks = vec![check("a", CheckStatus::Fail), check("b", CheckStatus::Pass)];
                markdown.record(&record);
            }
            let mut out = Vec::new();
            markdown.end(&Summary { records: count as u64, ..Summary::default() }, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let (some, many) = (written(60), written(5000));
        assert_eq!(some.lines().count(), many.lines().count());
        assert!(many.contains("| p\\|q | a |  | 5000 | 0 | 0 | 0 |"), "{many}");
        assert!(
            many.contains("- and 4950 more")
                && !many.contains("<b>")
                && !many.contains("![x]")
                && !many.contains("://")
        );
    }
}
