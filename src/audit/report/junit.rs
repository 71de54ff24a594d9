//! JUnit test suites, for pipelines: one suite for the targets, with one case for each record, and one suite for each
//! policy, with one case for each check of each record.
//!
//! A case fails for violations, has an error if the record could not be read or the check is unknown, and is skipped if
//! there is no Windows or the check does not apply. For targets, the class is the container and the partition, and the
//! name is the target and the installation; for checks, the class is the policy and the check. Elements and attributes
//! are those of the schema of Jenkins (junit-10.xsd), and `file`, the target, which other readers take.
//! The counts precede the cases, so cases are stored until the end: up to 1 MiB of each suite in memory, more in an
//! unnamed temporary file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::{plain, whole};
use crate::audit::Record;
use crate::audit::record::{CheckResult, CheckStatus, Status, Verdict, Violation};
use crate::audit::run::Summary;
use hivewright_storage::scratch::Scratch;

/// Suites in progress.
#[derive(Default)]
pub struct Suites {
    targets: Suite,
    /// By the name of the policy.
    policies: BTreeMap<String, Suite>,
    /// Time at which the first target was read.
    begun: Option<String>,
}

#[derive(Default)]
struct Suite {
    cases: Scratch,
    counts: Counts,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    tests: u64,
    failures: u64,
    errors: u64,
    skipped: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.tests += other.tests;
        self.failures += other.failures;
        self.errors += other.errors;
        self.skipped += other.skipped;
    }

    fn written(self) -> String {
        let Counts { tests, failures, errors, .. } = self;
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\"")
    }
}

impl Suite {
    /// Stores a case. `time` is an attribute, or empty.
    fn case(&mut self, class: &str, name: &str, file: &str, time: &str, inside: &str) -> io::Result<()> {
        self.counts.tests += 1;
        let [class, name, file] = [class, name, file].map(escaped);
        writeln!(self.cases, "    <testcase classname=\"{class}\" name=\"{name}\" file=\"{file}\"{time}>")?;
        self.cases.write_all(inside.as_bytes())?;
        self.cases.write_all(b"    </testcase>\n")
    }

    fn write(&mut self, name: &str, more: &str, properties: &str, out: &mut dyn Write) -> io::Result<()> {
        let (name, counts, skipped) = (escaped(name), self.counts.written(), self.counts.skipped);
        writeln!(out, "  <testsuite name=\"{name}\"{more} {counts} skipped=\"{skipped}\">{properties}")?;
        self.cases.copy_to(out)?;
        out.write_all(b"  </testsuite>\n")
    }
}

impl Suites {
    /// Stores the cases of a record.
    ///
    /// # Errors
    /// Those of the temporary files.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        if self.begun.as_ref().is_none_or(|begun| record.audited_at.as_ref().is_some_and(|at| at < begun)) {
            self.begun.clone_from(&record.audited_at);
        }
        let mut inside = String::new();
        let own: Vec<&Violation> = record.violations.iter().filter(|violation| violation.key.is_none()).collect();
        match record.status {
            Status::Error => {
                self.targets.counts.errors += 1;
                inside += &error(record);
            }
            Status::Gone => {
                self.targets.counts.failures += 1;
                inside += "      <failure type=\"gone\" message=\"in the baseline, but no longer present\"/>\n";
            }
            Status::NoWindows => {
                self.targets.counts.skipped += 1;
                inside += "      <skipped message=\"no Windows in it\"/>\n";
            }
            Status::Read if !own.is_empty() => {
                self.targets.counts.failures += 1;
                inside += &failure(&own);
            }
            Status::Read => {}
        }
        let facts = facts(record);
        if !facts.is_empty() {
            let _ = writeln!(inside, "      <system-out>{}</system-out>", lines(&facts));
        }
        // The time is that of the whole target, so it counts once.
        let seconds = record.seconds.map(|seconds| if record.part <= 1 { seconds } else { 0.0 });
        let time = seconds.map(|seconds| format!(" time=\"{seconds:.3}\"")).unwrap_or_default();
        self.targets.case(&class(record), &name(record), &record.target, &time, &inside)?;
        record.checks.iter().try_for_each(|result| self.check(record, result))
    }

    fn check(&mut self, record: &Record, result: &CheckResult) -> io::Result<()> {
        // `entry` would copy the name of the policy each time.
        if !self.policies.contains_key(&result.policy) {
            self.policies.insert(result.policy.clone(), Suite::default());
        }
        let Some(suite) = self.policies.get_mut(&result.policy) else { return Ok(()) };
        let is_own = |it: &&Violation| it.by == result.policy && it.setting == result.check && it.key.is_some();
        let own: Vec<&Violation> = record.violations.iter().filter(is_own).collect();
        let mut inside = String::new();
        match result.status {
            CheckStatus::Pass => {}
            CheckStatus::NotApplicable => {
                suite.counts.skipped += 1;
                inside += "      <skipped message=\"not applicable\"/>\n";
            }
            CheckStatus::Unknown => {
                suite.counts.errors += 1;
                let code = own.iter().find_map(|it| it.code.as_deref()).unwrap_or("unknown");
                let all: Vec<String> = own.iter().map(ToString::to_string).collect();
                let (code, message) = (escaped(code), escaped(&all.join("; ")));
                let _ = writeln!(inside, "      <error type=\"{code}\" message=\"{message}\"/>");
            }
            CheckStatus::Fail => {
                suite.counts.failures += 1;
                inside += &failure(&own);
            }
        }
        let class = format!("{}.{}", result.policy, result.check);
        suite.case(&class, &name(record), &record.target, "", &inside)
    }

    /// Writes all suites.
    ///
    /// # Errors
    /// Those of the temporary files, and of `out`.
    pub fn end(mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        let mut all = self.targets.counts;
        self.policies.values().for_each(|suite| all.add(suite.counts));
        let time = summary.seconds.map(|seconds| format!(" time=\"{seconds:.3}\"")).unwrap_or_default();
        let begun = self.begun.as_deref().map(|at| format!(" timestamp=\"{}\"", escaped(at))).unwrap_or_default();
        let properties = format!(
            "\n    <properties>\n      <property name=\"tool\" value=\"hivewright {}\"/>\n      \
             <property name=\"interrupted\" value=\"{}\"/>\n    </properties>",
            env!("CARGO_PKG_VERSION"),
            summary.interrupted,
        );
        out.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")?;
        writeln!(out, "<testsuites name=\"hivewright audit\" {}{time}>", all.written())?;
        self.targets.write("targets", &format!("{begun}{time}"), &properties, out)?;
        for (name, mut suite) in self.policies {
            suite.write(&name, "", "", out)?;
        }
        out.write_all(b"</testsuites>\n")
    }
}

fn class(record: &Record) -> String {
    let container = record.container.as_deref().unwrap_or("unknown");
    match record.partition {
        Some(number) if container == "wim" => format!("{container}/image {number}"),
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

fn failure(violations: &[&Violation]) -> String {
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let (message, text) = (escaped(&all.join("; ")), lines(&all));
    format!("      <failure type=\"not-as-expected\" message=\"{message}\">{text}</failure>\n")
}

/// Returns the facts of a record as lines of text.
fn facts(record: &Record) -> Vec<String> {
    let verdict = |at: &str, verdict: &Verdict| {
        let value = verdict.value.map(|value| format!(" ({value})")).unwrap_or_default();
        format!("{at}: {}{value}. {}", verdict.state, verdict.meaning)
    };
    let mut all = Vec::new();
    let target = whole(&record.target, record.target_hex.as_ref(), &plain(&record.target));
    all.extend(target.map(|hex| format!("target_hex: {hex}")));
    let windows = record.product.as_ref().or(record.family.as_ref());
    all.extend(windows.map(|windows| format!("Windows: {windows}")));
    all.extend(record.host_name.as_ref().map(|host| format!("host name: {host}")));
    all.extend(record.at_next_boot.as_ref().map(|it| verdict("at next boot", it)));
    all.extend(record.at_capture.as_ref().map(|it| verdict("at capture", it)));
    all.extend(record.image_remarks.iter().map(|it| format!("{}: {}", it.code, it.what)));
    all.extend(record.dependents.iter().map(|image| format!("dependent image: {image}")));
    all.extend(record.findings.iter().map(|it| format!("{}: {}: {}. {}", it.code, it.place, it.what, it.advice)));
    all
}

/// Escapes each line separately: only the line feeds between them are kept.
fn lines(texts: &[String]) -> String {
    texts.iter().map(|text| escaped(text)).collect::<Vec<_>>().join("\n")
}

/// Escapes text of an element or an attribute. Characters that XML 1.0 (section 2.2) cannot represent become U+FFFD, as
/// do direction marks.
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
    use crate::audit::record::Failure;

    #[test]
    fn counts_come_first_and_are_right() {
        let mut suite = Suites::default();
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
        let head = "<testsuites name=\"hivewright audit\" tests=\"5\" failures=\"1\" errors=\"2\">";
        assert!(text.contains(head), "{text}");
        assert!(text.contains("<testsuite name=\"targets\" tests=\"5\" failures=\"1\" "), "{text}");
        for (element, count) in [("<testcase ", 5), ("<failure ", 1), ("<error ", 2), ("<skipped ", 1)] {
            assert_eq!(text.matches(element).count(), count, "{element}");
        }
    }

    #[test]
    fn each_policy_is_a_suite() {
        let mut suites = Suites::default();
        let statuses = [CheckStatus::Pass, CheckStatus::Fail, CheckStatus::Unknown, CheckStatus::NotApplicable];
        let check = |policy: &str, status| CheckResult { policy: policy.into(), status, ..CheckResult::default() };
        let checks = statuses.iter().map(|status| check("b", *status)).chain([check("a", CheckStatus::Fail)]).collect();
        suites.record(&Record { checks, ..Record::new("x") }).unwrap();
        let mut out = Vec::new();
        suites.end(&Summary::default(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for suite in [
            "testsuites name=\"hivewright audit\" tests=\"6\" failures=\"2\" errors=\"1\">",
            "testsuite name=\"targets\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"0\">",
            "testsuite name=\"a\" tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\">",
            "testsuite name=\"b\" tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\">",
        ] {
            assert!(text.contains(suite), "{suite} {text}");
        }
        assert_eq!(text.matches(" file=\"x\"").count(), 6);
    }

    #[test]
    fn text_is_escaped_for_attributes() {
        assert_eq!(escaped("<a b=\"'&'\">"), "&lt;a b=&quot;&apos;&amp;&apos;&quot;&gt;");
        assert_eq!(
            escaped("]]>\0\u{1b}\n\u{fffe}\u{ffff}\u{202e}\u{10000}"),
            format!("]]&gt;{}\u{10000}", "\u{fffd}".repeat(6))
        );
    }
}
