//! A suite of tests in the form of JUnit, for pipelines: one case a record.
//!
//! A case fails for what is not as expected, has an error where it could not be read, and is skipped where there is no
//! Windows. Its class is the container and the partition, its name the target and the installation. The counts stand
//! before the cases, so the cases are put aside until the end: up to 1 MiB in memory, more in a temporary file without
//! a name.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::{plain, whole};
use crate::audit::Record;
use crate::audit::record::{Status, Verdict};
use crate::audit::run::Summary;
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_storage::scratch::Scratch;

/// A suite that is being put together.
pub struct Suite {
    cases: Scratch,
    begun: FileTime,
    count: u64,
    failures: u64,
    errors: u64,
    skipped: u64,
}

impl Suite {
    /// A suite without cases, begun now.
    pub fn begin() -> Self {
        Suite { cases: Scratch::new(), begun: FileTime::now(), count: 0, failures: 0, errors: 0, skipped: 0 }
    }

    /// Puts a record aside.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        self.count += 1;
        let mut inside = String::new();
        match record.status {
            Status::Error => {
                self.errors += 1;
                inside += &error(record);
            }
            Status::NoWindows => {
                self.skipped += 1;
                inside += "      <skipped message=\"no Windows in it\"/>\n";
            }
            Status::Read if record.compliant == Some(false) => {
                self.failures += 1;
                inside += &failure(record);
            }
            Status::Read => {}
        }
        let said = said(record);
        if !said.is_empty() {
            let _ = writeln!(inside, "      <system-out>{}</system-out>", lines(&said));
        }
        // The time is that of the whole target: it counts once.
        let seconds = if record.part <= 1 { record.seconds } else { 0.0 };
        let (class, name) = (escaped(&class(record)), escaped(&name(record)));
        writeln!(self.cases, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\">")?;
        self.cases.write_all(inside.as_bytes())?;
        self.cases.write_all(b"    </testcase>\n")
    }

    /// Writes the whole.
    ///
    /// # Errors
    /// Those of the temporary file, and of `out`.
    pub fn end(mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        let counts = format!(
            "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
            self.count, self.failures, self.errors, self.skipped, summary.seconds
        );
        write!(
            out,
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="hivewright audit" {counts}>
  <testsuite name="AssumeUDPEncapsulationContextOnSendRule" timestamp="{begun}" {counts}>
    <properties>
      <property name="tool" value="hivewright {version}"/>
      <property name="interrupted" value="{interrupted}"/>
    </properties>
"#,
            begun = self.begun,
            version = env!("CARGO_PKG_VERSION"),
            interrupted = summary.interrupted,
        )?;
        self.cases.copy_to(out)?;
        out.write_all(b"  </testsuite>\n</testsuites>\n")
    }
}

fn class(record: &Record) -> String {
    let container = record.container.as_deref().unwrap_or("unknown");
    match record.partition {
        Some(number) => format!("{container}/partition {number}"),
        None => container.to_owned(),
    }
}

fn name(record: &Record) -> String {
    let root = record.windows_root.as_deref().filter(|_| record.container.as_deref() != Some("folder"));
    let mut name = record.target.clone();
    if let Some(root) = root {
        let _ = write!(name, " {root}");
    }
    if record.parts > 1 {
        let _ = write!(name, " ({} of {})", record.part, record.parts);
    }
    name
}

fn error(record: &Record) -> String {
    let Some(error) = &record.error else { return "      <error message=\"unknown\"/>\n".to_owned() };
    let (code, message) = (escaped(&error.code), escaped(&error.message));
    let advice = error.advice.as_deref().map(escaped).unwrap_or_default();
    format!("      <error type=\"{code}\" message=\"{message}\">{advice}</error>\n")
}

fn failure(record: &Record) -> String {
    let all: Vec<String> = record.violations.iter().map(ToString::to_string).collect();
    let (message, text) = (escaped(&all.join("; ")), lines(&all));
    format!("      <failure type=\"not-as-expected\" message=\"{message}\">{text}</failure>\n")
}

/// What was read, for people.
fn said(record: &Record) -> Vec<String> {
    let verdict = |at: &str, verdict: &Verdict| {
        let value = verdict.value.map(|value| format!(" ({value})")).unwrap_or_default();
        format!("{at}: {}{value}. {}", verdict.state, verdict.meaning)
    };
    let mut said = Vec::new();
    let target = whole(&record.target, record.target_hex.as_ref(), &plain(&record.target));
    said.extend(target.map(|hex| format!("target_hex: {hex}")));
    let windows = record.product.as_ref().or(record.family.as_ref());
    said.extend(windows.map(|windows| format!("Windows: {windows}")));
    said.extend(record.host_name.as_ref().map(|host| format!("host name: {host}")));
    said.extend(record.at_next_boot.as_ref().map(|it| verdict("at next boot", it)));
    said.extend(record.at_capture.as_ref().map(|it| verdict("at capture", it)));
    said.extend(record.image_remarks.iter().map(|it| format!("{}: {}", it.code, it.what)));
    said.extend(record.dependents.iter().map(|image| format!("{image} stands on it")));
    said.extend(record.mistakes.iter().map(|it| format!("{}: {}: {}. {}", it.code, it.place, it.what, it.advice)));
    said
}

/// Each made harmless by itself: only the line feeds between them are ours.
fn lines(texts: &[String]) -> String {
    texts.iter().map(|text| escaped(text)).collect::<Vec<_>>().join("\n")
}

/// Text of an element or an attribute. What XML 1.0 has no way to write (section 2.2) becomes U+FFFD, as do direction marks.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::{Failure, Violation};

    #[test]
    fn counts_come_first_and_are_right() {
        let mut suite = Suite::begin();
        let mut record = Record::new("a".to_owned());
        suite.record(&record).unwrap();
        record.compliant = Some(false);
        record.violations = vec![Violation::default(), Violation::default()];
        suite.record(&record).unwrap();
        record.status = Status::NoWindows;
        suite.record(&record).unwrap();
        record.status = Status::Error;
        for _ in 0..2 {
            suite.record(&record).unwrap();
            record.error = Some(Failure::default());
        }
        let mut out = Vec::new();
        suite.end(&Summary::default(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let head = "<testsuites name=\"hivewright audit\" tests=\"5\" failures=\"1\" errors=\"2\" skipped=\"1\" ";
        assert!(text.contains(head), "{text}");
        for (element, count) in [("<testcase ", 5), ("<failure ", 1), ("<error ", 2), ("<skipped ", 1)] {
            assert_eq!(text.matches(element).count(), count, "{element}");
        }
    }

    #[test]
    fn nothing_leaves_its_attribute() {
        assert_eq!(escaped("<a b=\"'&'\">"), "&lt;a b=&quot;&apos;&amp;&apos;&quot;&gt;");
        assert_eq!(
            escaped("]]>\0\u{1b}\n\u{fffe}\u{ffff}\u{202e}\u{10000}"),
            format!("]]&gt;{}\u{10000}", "\u{fffd}".repeat(6))
        );
    }
}
