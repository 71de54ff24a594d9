//! One row a record, for spreadsheets and data frames.
//!
//! RFC 4180: commas, CR LF, UTF-8 without a mark, a head line. Columns have the names of the record's fields, and are only
//! ever added at the end. What is nested becomes flat:
//! - a part that is there at most once gives a column for each of its fields: `at_next_boot` and `effective` give
//!   `at_next_boot_effective`;
//! - a list becomes one cell with `;` between its items: `control_sets` as `ControlSet001=2;ControlSet002=absent`,
//!   `violations` as `rule at next-boot: expected 2, found 1 (--expect)`, `neighbours` as `ProhibitIpSec=1`, `mistakes`,
//!   `write_blockers` and `image_remarks` as their codes. In an item, `%` is written as `%25` and `;` as `%3B`.
//!   `sequence_numbers` and the entries of a replay are `5;4`.
//!
//! What is not known is an empty cell, as is a list that has nothing. Names come from images, and images from attackers:
//! a text that a spreadsheet would take for a formula gets an apostrophe in front (CWE-1236), and control characters and
//! direction marks become U+FFFD. Where that, or bytes that are no UTF-8, changes a target, `target_hex` has its bytes; the
//! same hold `windows_root_hex` and `hive_hex` of paths of the host. `files_hex` is as long as `files`, or empty.

use std::io::{self, Write};

use csv::{Terminator, WriterBuilder};

use super::{plain, whole};
use crate::audit::record::{ControlSet, Failure, Record, Replay, Verdict};

/// Writes the head line.
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
    /// A number, `true` or `false`: nothing that an image could choose the letters of.
    fn fact(&mut self, name: &str, fact: Option<impl ToString>) {
        self.0.push((name.to_owned(), fact.map_or_else(String::new, |fact| fact.to_string())));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.0.push((name.to_owned(), harmless(text)));
    }

    fn maybe(&mut self, name: &str, text: Option<&String>) {
        self.text(name, text.map_or("", String::as_str));
    }

    /// The bytes of a path of the host, where the cell with its text does not hold all of it.
    fn path_hex(&mut self, name: &str, text: Option<&String>, hex: Option<&String>) {
        let whole = text.and_then(|text| whole(text, hex, &harmless(text)));
        self.maybe(name, whole.as_ref());
    }

    fn list(&mut self, name: &str, items: impl Iterator<Item = String>) {
        let items = items.map(|item| harmless(&item).replace('%', "%25").replace(';', "%3B"));
        self.text(name, &items.collect::<Vec<_>>().join(";"));
    }

    fn pair(&mut self, name: &str, pair: Option<[u32; 2]>) {
        self.fact(name, pair.map(|[first, second]| format!("{first};{second}")));
    }

    fn failure(&mut self, name: &str, failure: Option<&Failure>) {
        self.maybe(&format!("{name}_kind"), failure.map(|it| &it.kind));
        self.maybe(&format!("{name}_code"), failure.map(|it| &it.code));
        self.maybe(&format!("{name}_message"), failure.map(|it| &it.message));
        self.maybe(&format!("{name}_advice"), failure.and_then(|it| it.advice.as_ref()));
    }

    fn verdict(&mut self, name: &str, verdict: Option<&Verdict>) {
        self.fact(&format!("{name}_control_set"), verdict.and_then(|it| it.control_set));
        self.maybe(&format!("{name}_state"), verdict.map(|it| &it.state));
        self.fact(&format!("{name}_value"), verdict.and_then(|it| it.value));
        self.fact(&format!("{name}_effective"), verdict.and_then(|it| it.effective));
        self.maybe(&format!("{name}_meaning"), verdict.map(|it| &it.meaning));
    }

    fn replay(&mut self, replay: Option<&Replay>) {
        self.fact("replay_applied", replay.map(|it| it.applied));
        self.maybe("replay_why_not", replay.and_then(|it| it.why_not.as_ref()));
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
    row.fact("seconds", Some(r.seconds));
    row.fact("bytes_read", Some(r.bytes_read));
    row.fact("size", r.size);
    row.maybe("modified", r.modified.as_ref());
    row.list("files", r.files.iter().cloned());
    row.maybe("stamp", r.stamp.as_ref());
    place(&mut row, r);
    windows(&mut row, r);
    row.maybe("hive_state", r.hive_state.as_ref());
    row.pair("sequence_numbers", r.sequence_numbers);
    row.replay(r.replay.as_ref());
    row.fact("confirmed", r.confirmed);
    row.list("control_sets", r.control_sets.iter().map(|it| format!("{}={}", it.name, rule(it))));
    row.verdict("at_capture", r.at_capture.as_ref());
    row.verdict("at_next_boot", r.at_next_boot.as_ref());
    row.list("mistakes", r.mistakes.iter().map(|it| it.code.clone()));
    let number = |value: Option<u32>| value.map_or_else(|| "unreadable".to_owned(), |value| value.to_string());
    row.list("neighbours", r.neighbours.iter().map(|it| format!("{}={}", it.name, number(it.value))));
    row.fact("hibernated", r.hibernated);
    row.list("write_blockers", r.write_blockers.iter().map(|it| it.code.clone()));
    let is_of_host = matches!(r.container.as_deref(), Some("hive" | "folder"));
    row.path_hex("windows_root_hex", r.windows_root.as_ref().filter(|_| is_of_host), r.windows_root_hex.as_ref());
    row.path_hex("hive_hex", r.hive.as_ref().filter(|_| is_of_host), r.hive_hex.as_ref());
    row.list("files_hex", r.files_hex.iter().map(|hex| hex.clone().unwrap_or_default()));
    row.fact("shadow_copies", r.shadow_copies);
    row.list("dependents", r.dependents.iter().cloned());
    row.list("dependents_hex", r.dependents_hex.iter().map(|hex| hex.clone().unwrap_or_default()));
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
    row.text("audited_at", &r.audited_at);
}

fn place(row: &mut Row, r: &Record) {
    row.maybe("container", r.container.as_ref());
    row.list("image_remarks", r.image_remarks.iter().map(|it| it.code.clone()));
    row.maybe("partition_scheme", r.partition_scheme.as_ref());
    row.fact("partition", r.partition);
    row.maybe("partition_type", r.partition_type.as_ref());
    row.maybe("partition_name", r.partition_name.as_ref());
    row.maybe("file_system", r.file_system.as_ref());
    row.maybe("volume_label", r.volume_label.as_ref());
    row.maybe("windows_root", r.windows_root.as_ref());
    row.maybe("hive", r.hive.as_ref());
    row.maybe("hive_sha256", r.hive_sha256.as_ref());
    row.fact("hive_size", r.hive_size);
}

fn windows(row: &mut Row, r: &Record) {
    row.maybe("product", r.product.as_ref());
    row.maybe("version", r.version.as_ref());
    row.fact("build", r.build);
    row.fact("revision", r.revision);
    row.maybe("release", r.release.as_ref());
    row.maybe("edition", r.edition.as_ref());
    row.maybe("service_pack", r.service_pack.as_ref());
    row.maybe("installation_type", r.installation_type.as_ref());
    row.failure("software_error", r.software_error.as_ref());
    row.maybe("family", r.family.as_ref());
    row.maybe("decision", r.decision.as_ref());
    row.maybe("product_type", r.product_type.as_ref());
    row.maybe("architecture", r.architecture.as_ref());
    row.maybe("host_name", r.host_name.as_ref());
    row.fact("hives_agree", r.hives_agree);
}

/// The number of the setting, or why there is none.
fn rule(set: &ControlSet) -> String {
    match (&set.rule, set.value) {
        (_, Some(value)) => value.to_string(),
        (Some(rule), None) if rule == "present" => set.data_type.clone().unwrap_or_else(|| "present".to_owned()),
        (Some(rule), None) => rule.clone(),
        (None, None) => "unknown".to_owned(),
    }
}

/// Text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    let begins_one = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠');
    let is_formula = text.starts_with(begins_one) || text.trim_start().starts_with(begins_one);
    let text = plain(text);
    if is_formula { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests;
