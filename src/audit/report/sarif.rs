//! Static Analysis Results Interchange Format 2.1.0 (OASIS): one result for each violation and each unreadable target,
//! one rule for each check. Results are written as they arrive; the rules follow them, since they are known only at the
//! end.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Component, Path, Prefix};

use serde::Serialize;
use serde_json::{Value, json};

use super::plain;
use crate::audit::Record;
use crate::audit::record::{Status, Violation};
use crate::audit::run::Summary;
use crate::audit::shard::Fnv;
use crate::policy::{Check, Policy};

/// The rule of unreadable targets.
const UNREADABLE: &str = "hivewright/unreadable";
/// The rule of targets that are gone.
const GONE: &str = "hivewright/gone";

/// A log in progress.
pub struct Log {
    rules: BTreeMap<String, Value>,
    has_results: bool,
}

impl Log {
    /// Creates a log with the checks of a policy as rules.
    pub fn new(policy: &Policy) -> Self {
        let rules = policy.checks().list().iter().map(|check| (rule_of(&check.policy, &check.id), rule(check)));
        Log { rules: rules.collect(), has_results: false }
    }

    /// Writes the beginning, before the results.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(
            b"{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\",\"version\":\"2.1.0\",\"runs\":[{\"results\":[\n",
        )
    }

    /// Writes the results of a record.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn record(&mut self, record: &Record, out: &mut dyn Write) -> io::Result<()> {
        for violation in &record.violations {
            let id = rule_of(&violation.by, &violation.setting);
            let level = level(violation.severity.as_deref());
            self.rules.entry(id.clone()).or_insert_with(|| described(&id, violation.title.as_deref(), level));
            let text = plain(&violation.to_string());
            self.result(&id, level, &text, record, Some(violation), out)?;
        }
        let (id, text) = match (record.status, &record.error) {
            (Status::Error, Some(error)) => (UNREADABLE, format!("{}: {}", error.code, error.message)),
            (Status::Error, None) => (UNREADABLE, "unknown".to_owned()),
            (Status::Gone, _) => (GONE, "in the baseline, but no longer present".to_owned()),
            (Status::Read | Status::NoWindows, _) => return Ok(()),
        };
        let title = if id == UNREADABLE { "The target could not be read" } else { "The target is gone" };
        self.rules.entry(id.to_owned()).or_insert_with(|| described(id, Some(title), "error"));
        self.result(id, "error", &plain(&text), record, None, out)
    }

    fn result(
        &mut self,
        id: &str,
        level: &str,
        text: &str,
        record: &Record,
        violation: Option<&Violation>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let path = record.target_path();
        let uri = uri(path.as_deref().unwrap_or(Path::new(&record.target)));
        let mut place = json!({ "physicalLocation": { "artifactLocation": { "uri": uri } } });
        if let Some(key) = violation.and_then(|it| it.key.as_ref()) {
            let value = violation.and_then(|it| it.value_name.as_deref());
            let name = value.map_or_else(|| key.clone(), |value| format!("{key}\\{value}"));
            place["logicalLocations"] = json!([{ "fullyQualifiedName": plain(&name), "kind": "resource" }]);
        }
        let mut properties = json!({ "part": record.part });
        if let Some(it) = violation {
            properties =
                json!({ "part": record.part, "expected": it.expected, "found": plain(&it.found), "at": it.at });
        }
        let result = json!({
            "ruleId": id,
            "level": level,
            "message": { "text": text },
            "locations": [place],
            "partialFingerprints": { "place/v1": fingerprint(id, record, violation) },
            "properties": properties,
        });
        let comma = if std::mem::replace(&mut self.has_results, true) { ",\n" } else { "" };
        out.write_all(format!("{comma}{result}").as_bytes())
    }

    /// Writes the end, after the results.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn end(&self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Driver<'a> {
            name: &'static str,
            version: &'static str,
            rules: Vec<&'a Value>,
        }
        let driver =
            Driver { name: "hivewright", version: env!("CARGO_PKG_VERSION"), rules: self.rules.values().collect() };
        let is_whole = !summary.interrupted && !summary.is_cut_off;
        let rest = json!({ "driver": driver });
        let invocations = json!([{ "executionSuccessful": is_whole }]);
        writeln!(out, "\n],\"columnKind\":\"utf16CodeUnits\",\"invocations\":{invocations},\"tool\":{rest}}}]}}")
    }
}

fn rule_of(policy: &str, id: &str) -> String {
    format!("{policy}/{id}")
}

fn rule(check: &Check) -> Value {
    let id = rule_of(&check.policy, &check.id);
    let mut rule = described(&id, check.title.as_deref(), level(Some(check.severity.as_str())));
    let sources = check.references.join(" ");
    let help = [check.rationale.as_deref().unwrap_or_default(), &sources].join("\n\n");
    if !help.trim().is_empty() {
        rule["help"] = json!({ "text": help.trim() });
    }
    if let Some(rationale) = &check.rationale {
        rule["fullDescription"] = json!({ "text": rationale });
    }
    if let Some(source) = check.references.first() {
        rule["helpUri"] = json!(source);
    }
    rule["properties"] = json!({ "severity": check.severity, "expected": check.expectation.text() });
    rule
}

fn described(id: &str, title: Option<&str>, level: &str) -> Value {
    json!({
        "id": id,
        "shortDescription": { "text": title.unwrap_or(id) },
        "defaultConfiguration": { "level": level },
    })
}

/// Returns the level of a severity; without a severity, `error`.
fn level(severity: Option<&str>) -> &'static str {
    match severity {
        Some("info" | "low") => "note",
        Some("medium") => "warning",
        _ => "error",
    }
}

/// Returns sixteen hexadecimal digits: a hash of the facts that are constant from run to run.
fn fingerprint(id: &str, record: &Record, violation: Option<&Violation>) -> String {
    let part = record.part.to_string();
    let of_violation = |field: fn(&Violation) -> Option<&String>| violation.and_then(field).map_or("", |text| text);
    let texts = [
        id,
        &record.target,
        record.target_hex.as_deref().unwrap_or_default(),
        &part,
        of_violation(|it| it.key.as_ref()),
        of_violation(|it| it.value_name.as_ref()),
        of_violation(|it| it.at.as_ref()),
    ];
    let hash = texts.iter().fold(Fnv::default(), |hash, text| hash.with(text.as_bytes()).with(&[0]));
    format!("{:016x}", hash.get())
}

/// Returns a path as a URI reference (RFC 3986): relative, or with the scheme `file`.
fn uri(path: &Path) -> String {
    let mut uri = if path.has_root() { "file://".to_owned() } else { String::new() };
    for component in path.components() {
        let name = match component {
            Component::RootDir => continue,
            Component::Prefix(prefix) => match prefix.kind() {
                Prefix::Disk(letter) | Prefix::VerbatimDisk(letter) => {
                    uri.push_str(&format!("/{}:", char::from(letter)));
                    continue;
                }
                Prefix::UNC(server, share) | Prefix::VerbatimUNC(server, share) => {
                    push(&mut uri, server);
                    share
                }
                _ => prefix.as_os_str(),
            },
            Component::CurDir => continue,
            Component::ParentDir => component.as_os_str(),
            Component::Normal(name) => name,
        };
        if !uri.is_empty() {
            uri.push('/');
        }
        push(&mut uri, name);
    }
    uri
}

fn push(uri: &mut String, name: &OsStr) {
    for &byte in name.as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        for (path, reference) in [
            ("/srv/a b/\u{e4}.raw", "file:///srv/a%20b/%C3%A4.raw"),
            ("./x/../C:y", "x/../C%3Ay"),
            ("a%b", "a%25b"),
            ("=1+1", "%3D1%2B1"),
        ] {
            assert_eq!(uri(Path::new(path)), reference);
        }
        #[cfg(windows)]
        for (path, reference) in [
            (r"C:\a b\x.raw", "file:///C:/a%20b/x.raw"),
            (r"\\?\C:\x.raw", "file:///C:/x.raw"),
            (r"\\server\a share\x.raw", "file://server/a%20share/x.raw"),
            (r"a\b.raw", "a/b.raw"),
        ] {
            assert_eq!(uri(Path::new(path)), reference);
        }
    }

    #[test]
    fn a_log_is_json() {
        let mut record = Record::new("x");
        record.violations = vec![Violation { setting: "\"\n".into(), by: "p".into(), ..Violation::default() }; 2];
        record.status = Status::Error;
        for records in [vec![], vec![Record::new("fine")], vec![record.clone(), record]] {
            let mut log = Log::new(&Policy::default());
            let mut out = Vec::new();
            log.begin(&mut out).unwrap();
            records.iter().for_each(|record| log.record(record, &mut out).unwrap());
            log.end(&Summary::default(), &mut out).unwrap();
            let read: Value = serde_json::from_slice(&out).unwrap();
            let results = read["runs"][0]["results"].as_array().unwrap();
            let rules = read["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
            assert_eq!(results.len(), if records.len() == 2 { 6 } else { 0 });
            for result in results {
                assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{read}");
            }
        }
    }
}
