//! One self-contained HTML file: counts, charts, a table of all records, and the meaning of the findings.
//!
//! Records are appended as they arrive, so memory does not grow with them; the script in the page sorts, filters and
//! counts. The script creates text, never markup, and the content security policy of the page forbids other scripts and
//! all loading, since a host name or a path may come from an attacker.

use std::collections::HashMap;
use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::audit::Record;
use crate::audit::record::CheckStatus;
use crate::audit::run::Summary;
use crate::policy::Policy;

/// The first bytes of every report, by which it is recognized.
pub const BEGINNING: &str = "<!doctype html>\n<!-- hivewright audit -->\n";
const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// A page in progress.
#[derive(Default)]
pub struct Page {
    checks: Vec<Described>,
    /// Indices of checks, by policy and `id`.
    numbers: HashMap<(String, String), usize>,
    /// The latest time of reading so far.
    latest: Option<String>,
}

/// A check in the page.
#[derive(Serialize)]
struct Described {
    policy: String,
    check: String,
    severity: String,
    title: Option<String>,
    expected: Option<String>,
    /// Reason of the check, and its documentation.
    rationale: Option<String>,
    references: Vec<String>,
}

impl Page {
    /// Creates a page with the checks of a policy.
    pub fn new(policy: &Policy) -> Self {
        let mut page = Page::default();
        for check in policy.checks().list() {
            let described = Described {
                policy: check.policy.to_string(),
                check: check.id.clone(),
                severity: check.severity.as_str().to_owned(),
                title: check.title.clone(),
                expected: Some(check.expectation.text().to_owned()),
                rationale: check.rationale.clone(),
                references: check.references.clone(),
            };
            page.add(described);
        }
        page
    }

    fn add(&mut self, check: Described) -> usize {
        let key = (check.policy.clone(), check.check.clone());
        *self.numbers.entry(key).or_insert_with(|| {
            self.checks.push(check);
            self.checks.len() - 1
        })
    }

    /// Writes the page up to the records.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(&self, out: &mut dyn Write) -> io::Result<()> {
        let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
        let (style, script) = (hash(STYLE), hash(SCRIPT));
        // The script sets the widths of bars on elements, which the content security policy allows.
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
        );
        write!(
            out,
            r#"{BEGINNING}<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hivewright audit</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>hivewright audit</h1>
<p class="headline" id="headline"></p>
<p class="under" id="under"></p>
<noscript><p>A script in this file draws the report. The source contains the records as JSON, one per line.</p></noscript>
<div class="tiles" id="tiles"></div>
<section class="card checks" id="checks" hidden><h2>By check</h2><div id="by-check"></div><p><button id="all-checks" type="button" hidden>Show all</button></p></section>
<div class="charts">
<section class="card"><h2>L2TP/NAT-T at next boot</h2><div id="by-setting"></div></section>
<section class="card"><h2>By Windows</h2><div id="by-windows"></div></section>
</div>
<div class="tools"><input id="filter" type="search" placeholder="Filter by target, host, Windows, check, finding" aria-label="Filter">
<button id="clear" type="button">Clear</button><span class="small" id="shown" role="status"></span></div>
<div class="wide"><table><thead><tr id="heads"></tr></thead><tbody id="rows"></tbody></table></div>
<p><button id="more" type="button" hidden>Show all</button></p>
<section class="card findings" id="findings" hidden><h2>What the findings mean</h2><ul id="explained"></ul></section>
<footer id="made">Made by hivewright {version}.</footer>
</main>
<script type="application/json" id="records">[
"#,
            version = env!("CARGO_PKG_VERSION"),
        )
    }

    /// Appends one record.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn record(&mut self, record: &Record, out: &mut dyn Write) -> io::Result<()> {
        if record.audited_at > self.latest {
            self.latest.clone_from(&record.audited_at);
        }
        let mut document = serde_json::to_value(record).map_err(io::Error::other)?;
        if let Some(fields) = document.as_object_mut() {
            // One letter for each check, at the index of the check, keeps ten thousand records with a hundred checks
            // small.
            let results = self.results(record);
            fields.retain(|name, value| name != "checks" && !is_nothing(value));
            if !results.is_empty() {
                fields.insert("results".to_owned(), results.into());
            }
        }
        let mut line = inert(&serde_json::to_vec(&document).map_err(io::Error::other)?);
        line.extend_from_slice(b",\n");
        out.write_all(&line)
    }

    /// Returns one letter for the result of each check: `p`, `f`, `u`, and `-` if it does not apply.
    fn results(&mut self, record: &Record) -> String {
        let mut letters = Vec::new();
        for result in &record.checks {
            let key = (result.policy.clone(), result.check.clone());
            let known = self.numbers.get(&key).copied();
            let number = known.unwrap_or_else(|| {
                let (policy, check) = key;
                let severity = result.severity.clone();
                let (title, expected, rationale, references) = (None, None, None, Vec::new());
                self.add(Described { policy, check, severity, title, expected, rationale, references })
            });
            if letters.len() <= number {
                letters.resize(number + 1, '-');
            }
            letters[number] = match result.status {
                CheckStatus::Pass => 'p',
                CheckStatus::Fail => 'f',
                CheckStatus::Unknown => 'u',
                CheckStatus::NotApplicable => '-',
            };
        }
        // Merged records describe their checks only by violations.
        for violation in record.violations.iter().filter(|violation| violation.key.is_some()) {
            let number = self.numbers.get(&(violation.by.clone(), violation.setting.clone()));
            if let Some(check) =
                number.and_then(|number| self.checks.get_mut(*number)).filter(|it| it.expected.is_none())
            {
                check.expected = Some(violation.expected.clone());
                check.title.clone_from(&violation.title);
            }
        }
        letters.into_iter().collect()
    }

    /// Ends the page.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn end(&self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"null]</script>\n")?;
        let documents = [
            ("summary", serde_json::to_value(summary).map_err(io::Error::other)?),
            ("described", serde_json::to_value(&self.checks).map_err(io::Error::other)?),
            ("latest", serde_json::to_value(&self.latest).map_err(io::Error::other)?),
        ];
        for (id, document) in documents {
            write!(out, "<script type=\"application/json\" id=\"{id}\">")?;
            out.write_all(&inert(&serde_json::to_vec(&document).map_err(io::Error::other)?))?;
            out.write_all(b"</script>\n")?;
        }
        write!(out, "<script>{SCRIPT}</script>\n</body>\n</html>\n")
    }
}

/// Returns whether a field has the value that the script assumes for a missing field.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// Escapes `<`, `>` and `&`, which occur only in strings of JSON, so that the JSON cannot end its element or open
/// another one.
fn inert(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    for &byte in json {
        match byte {
            b'<' => out.extend_from_slice(b"\\u003c"),
            b'>' => out.extend_from_slice(b"\\u003e"),
            b'&' => out.extend_from_slice(b"\\u0026"),
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_an_image_cannot_leave_its_string() {
        let hostile = Record::new("</script><script>alert(1)</script><!-- & ' \" \u{2028}".to_owned());
        let mut page = Vec::new();
        Page::default().record(&hostile, &mut page).unwrap();
        let text = String::from_utf8(page).unwrap();
        assert!(!text.contains(['<', '>', '&']), "{text}");
        let back: Record = serde_json::from_str(text.trim_end().trim_end_matches(',')).unwrap();
        assert_eq!(back, hostile);
    }

    #[test]
    fn the_page_is_complete_and_its_data_is_json() {
        let mut page = Vec::new();
        let mut writer = Page::default();
        writer.begin(&mut page).unwrap();
        writer.record(&Record::new("a".to_owned()), &mut page).unwrap();
        writer.record(&Record::new("b".to_owned()), &mut page).unwrap();
        writer.end(&Summary::default(), &mut page).unwrap();
        let text = String::from_utf8(page).unwrap();
        let data = text.split("id=\"records\">").nth(1).unwrap().split("</script>").next().unwrap();
        let records: Vec<Option<Record>> = serde_json::from_str(data).unwrap();
        assert_eq!(records.iter().flatten().map(|r| r.target.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(text.ends_with("</html>\n") && !SCRIPT.contains("</script") && !STYLE.contains("</style"));
        assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("http"), "the script makes text, and loads nothing");
    }
}
