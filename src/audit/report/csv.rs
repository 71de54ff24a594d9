//! CSV: one row for each record, for spreadsheets and data frames.
//!
//! RFC 4180: commas, CR LF, UTF-8 without a byte order mark, a header line. Columns have the names of the record's
//! fields. New columns are only added at the end. Nested fields become flat:
//! - an object has a column for each of its fields: `effective` of `at_next_boot` is `at_next_boot_effective`;
//! - a list is one cell with `;` between its items: `control_sets` as `ControlSet001=2;ControlSet002=absent`,
//!   `violations` as `nat-t at next-boot: expected 2, found 1 (--expect)`, `checks` as `policy/id=pass`, `related` as
//!   `ProhibitIpSec=1`, `findings`, `obstacles` and `image_remarks` as their codes. In an item, `%` is written as
//!   `%25` and `;` as `%3B`. `sequence_numbers` and the entries of a replay are `5;4`.
//!
//! An unknown fact and an empty list are an empty cell. Names come from images, and images may come from attackers:
//! text that a spreadsheet would evaluate as a formula is prefixed with an apostrophe (CWE-1236), and control
//! characters and direction marks become U+FFFD. If this, or invalid UTF-8, changes a target, `target_hex` contains its
//! bytes; `windows_root_hex` and `hive_hex` do the same for other paths of the host. `files_hex` is empty or as long as
//! `files`.

use std::io::{self, Write};

use csv::{Terminator, WriterBuilder};

use super::{plain, whole};
use crate::audit::record::{CheckResult, ControlSet, Failure, Record, Replay, Verdict};

/// Writes the header line.
///
/// # Errors
/// Those of `out`.
pub fn begin(out: &mut dyn Write) -> io::Result<()> {
    line(row(&Record::default()).0.iter().map(|(name, _)| name.as_str()), out)
}

/// Writes one record, in one call.
///
/// # Errors
/// Those of `out`.
pub fn record(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    line(row(record).0.iter().map(|(_, cell)| cell.as_str()), out)
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(cells).map_err(io::Error::other)?;
    let bytes = writer.into_inner().map_err(|error| io::Error::other(error.error().to_string()))?;
    out.write_all(&bytes)
}

/// Names of columns and their cells.
#[derive(Default)]
struct Row(Vec<(String, String)>);

impl Row {
    /// Adds a number or a Boolean, whose characters an image cannot choose.
    fn fact(&mut self, name: &str, fact: Option<impl ToString>) {
        self.0.push((name.to_owned(), fact.map_or_else(String::new, |fact| fact.to_string())));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.0.push((name.to_owned(), harmless(text)));
    }

    fn optional_text(&mut self, name: &str, text: Option<&String>) {
        self.text(name, text.map_or("", String::as_str));
    }

    /// Adds the bytes of a path of the host, if the cell with its text is incomplete.
    fn path_hex(&mut self, name: &str, text: Option<&String>, hex: Option<&String>) {
        let whole = text.and_then(|text| whole(text, hex, &harmless(text)));
        self.optional_text(name, whole.as_ref());
    }

    fn list(&mut self, name: &str, items: impl Iterator<Item = String>) {
        let items = items.map(|item| harmless(&item).replace('%', "%25").replace(';', "%3B"));
        self.text(name, &items.collect::<Vec<_>>().join(";"));
    }

    fn pair(&mut self, name: &str, pair: Option<[u32; 2]>) {
        self.fact(name, pair.map(|[first, second]| format!("{first};{second}")));
    }

    fn failure(&mut self, name: &str, failure: Option<&Failure>) {
        self.optional_text(&format!("{name}_kind"), failure.map(|it| &it.kind));
        self.optional_text(&format!("{name}_code"), failure.map(|it| &it.code));
        self.optional_text(&format!("{name}_message"), failure.map(|it| &it.message));
        self.optional_text(&format!("{name}_advice"), failure.and_then(|it| it.advice.as_ref()));
    }

    fn verdict(&mut self, name: &str, verdict: Option<&Verdict>) {
        self.fact(&format!("{name}_control_set"), verdict.and_then(|it| it.control_set));
        self.optional_text(&format!("{name}_state"), verdict.map(|it| &it.state));
        self.fact(&format!("{name}_value"), verdict.and_then(|it| it.value));
        self.fact(&format!("{name}_effective"), verdict.and_then(|it| it.effective));
        self.optional_text(&format!("{name}_meaning"), verdict.map(|it| &it.meaning));
    }

    fn replay(&mut self, replay: Option<&Replay>) {
        self.fact("replay_applied", replay.map(|it| it.applied));
        self.optional_text("replay_why_not", replay.and_then(|it| it.why_not.as_ref()));
        self.pair("replay_entries", replay.and_then(|it| it.entries));
        self.fact("replay_pages", replay.map(|it| it.pages));
        self.fact("replay_bytes", replay.map(|it| it.bytes));
        self.fact("replay_sequence_after", replay.and_then(|it| it.sequence_after));
        self.fact("replay_changed_verdict", replay.and_then(|it| it.changed_verdict));
        self.verdict("replay_primary_alone", replay.and_then(|it| it.primary_alone.as_ref()));
    }
}

fn row(r: &Record) -> Row {
    let mut row = Row::default();
    target(&mut row, r);
    row.fact("seconds", r.seconds);
    row.fact("bytes_read", Some(r.bytes_read));
    row.fact("size", r.size);
    row.optional_text("modified", r.modified.as_ref());
    row.list("files", r.files.iter().cloned());
    row.optional_text("stamp", r.stamp.as_ref());
    place(&mut row, r);
    windows(&mut row, r);
    row.optional_text("hive_state", r.hive_state.as_ref());
    row.pair("sequence_numbers", r.sequence_numbers);
    row.replay(r.replay.as_ref());
    row.fact("confirmed", r.confirmed);
    row.list("control_sets", r.control_sets.iter().map(|it| format!("{}={}", it.name, state(it))));
    row.verdict("at_capture", r.at_capture.as_ref());
    row.verdict("at_next_boot", r.at_next_boot.as_ref());
    row.list("findings", r.findings.iter().map(|it| it.code.clone()));
    let number = |value: Option<u32>| value.map_or_else(|| "unreadable".to_owned(), |value| value.to_string());
    row.list("related", r.related.iter().map(|it| format!("{}={}", it.name, number(it.value))));
    row.fact("hibernated", r.hibernated);
    row.list("obstacles", r.obstacles.iter().map(|it| it.code.clone()));
    let is_of_host = matches!(r.container.as_deref(), Some("hive" | "folder"));
    row.path_hex("windows_root_hex", r.windows_root.as_ref().filter(|_| is_of_host), r.windows_root_hex.as_ref());
    row.path_hex("hive_hex", r.hive.as_ref().filter(|_| is_of_host), r.hive_hex.as_ref());
    row.list("files_hex", r.files_hex.iter().map(|hex| hex.clone().unwrap_or_default()));
    row.fact("shadow_copies", r.shadow_copies);
    row.list("dependents", r.dependents.iter().cloned());
    row.list("dependents_hex", r.dependents_hex.iter().map(|hex| hex.clone().unwrap_or_default()));
    let check = |it: &CheckResult| format!("{}/{}={}", it.policy, it.check, it.status.as_str());
    row.list("checks", r.checks.iter().map(check));
    row.optional_text("checks_stamp", r.checks_stamp.as_ref());
    row.fact("violations_left_out", Some(r.violations_left_out));
    row.optional_text("drift_state", r.drift.as_ref().map(|it| it.state.as_str().to_owned()).as_ref());
    row.list("drift_changes", r.drift.iter().flat_map(|it| &it.changes).map(ToString::to_string));
    row
}

fn target(row: &mut Row, r: &Record) {
    row.fact("form", Some(r.form));
    row.text("tool", &r.tool);
    row.text("target", &r.target);
    row.path_hex("target_hex", Some(&r.target), r.target_hex.as_ref());
    row.fact("installation", Some(r.installation));
    row.fact("installations", Some(r.installations));
    row.fact("part", Some(r.part));
    row.fact("parts", Some(r.parts));
    row.text("status", r.status.as_str());
    row.fact("compliant", r.compliant);
    row.list("violations", r.violations.iter().map(ToString::to_string));
    row.failure("error", r.error.as_ref());
    row.optional_text("audited_at", r.audited_at.as_ref());
}

fn place(row: &mut Row, r: &Record) {
    row.optional_text("container", r.container.as_ref());
    row.list("image_remarks", r.image_remarks.iter().map(|it| it.code.clone()));
    row.optional_text("partition_scheme", r.partition_scheme.as_ref());
    row.fact("partition", r.partition);
    row.optional_text("partition_type", r.partition_type.as_ref());
    row.optional_text("partition_name", r.partition_name.as_ref());
    row.optional_text("file_system", r.file_system.as_ref());
    row.optional_text("volume_label", r.volume_label.as_ref());
    row.optional_text("windows_root", r.windows_root.as_ref());
    row.optional_text("hive", r.hive.as_ref());
    row.optional_text("hive_sha256", r.hive_sha256.as_ref());
    row.fact("hive_size", r.hive_size);
}

fn windows(row: &mut Row, r: &Record) {
    row.optional_text("product", r.product.as_ref());
    row.optional_text("version", r.version.as_ref());
    row.fact("build", r.build);
    row.fact("revision", r.revision);
    row.optional_text("release", r.release.as_ref());
    row.optional_text("edition", r.edition.as_ref());
    row.optional_text("service_pack", r.service_pack.as_ref());
    row.optional_text("installation_type", r.installation_type.as_ref());
    row.failure("software_error", r.software_error.as_ref());
    row.optional_text("family", r.family.as_ref());
    row.optional_text("decision", r.decision.as_ref());
    row.optional_text("product_type", r.product_type.as_ref());
    row.optional_text("architecture", r.architecture.as_ref());
    row.optional_text("host_name", r.host_name.as_ref());
    row.fact("hives_agree", r.hives_agree);
}

/// Returns the number of the setting, or the reason why there is none.
fn state(set: &ControlSet) -> String {
    match (&set.presence, set.value) {
        (_, Some(value)) => value.to_string(),
        (Some(presence), None) if presence == "present" => {
            set.data_type.clone().unwrap_or_else(|| "present".to_owned())
        }
        (Some(presence), None) => presence.clone(),
        (None, None) => "unknown".to_owned(),
    }
}

/// Escapes text that a spreadsheet would evaluate as a formula.
fn harmless(text: &str) -> String {
    let begins_formula = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠');
    let is_formula = text.starts_with(begins_formula) || text.trim_start().starts_with(begins_formula);
    let text = plain(text);
    if is_formula { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests;
