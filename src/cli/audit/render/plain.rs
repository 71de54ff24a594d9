//! One line of text per record, with its deviations below.

use std::io::{self, Write};

use crate::audit::Record;
use crate::audit::record::{DriftState, Status, Verdict};

use super::Renderer;
use crate::cli::report::info::shadow_copies;
use crate::cli::report::{Style, plain as shown};

pub(super) struct Plain {
    style: Style,
}

impl Plain {
    pub(super) fn new(style: Style) -> Self {
        Plain { style }
    }
}

impl Renderer for Plain {
    fn record(&mut self, record: &Record, out: &mut dyn Write) -> io::Result<()> {
        let dependents = match record.dependents.len() {
            0 => String::new(),
            1 => ", 1 dependent image".to_owned(),
            count => format!(", {count} dependent images"),
        };
        let mut text = format!("{}: {}{dependents}\n", self.style.strong(&name(record)), shown(&state(record)));
        for it in &record.violations {
            text += &format!("  {}\n", shown(&it.to_string()));
        }
        if record.violations_left_out > 0 {
            text += &format!("  and {} more places\n", record.violations_left_out);
        }
        for it in record.drift.iter().flat_map(|drift| &drift.changes) {
            text += &format!("  changed: {}\n", shown(&it.to_string()));
        }
        out.write_all(text.as_bytes())
    }
}

/// Formats the target, and the place of the installation.
pub(super) fn name(record: &Record) -> String {
    let volume = if record.container.as_deref() == Some("wim") { "image" } else { "partition" };
    let place = match (record.partition, &record.windows_root) {
        (Some(number), Some(root)) if number > 0 => format!(" ({root} of {volume} {number})"),
        (Some(0), Some(root)) => format!(" ({root})"),
        (Some(number), None) => format!(" ({volume} {number})"),
        _ => String::new(),
    };
    shown(&format!("{}{place}", record.target))
}

fn state(record: &Record) -> String {
    let copies = record.shadow_copies.map(|count| shadow_copies(Some(count))).unwrap_or_default();
    match record.status {
        Status::NoWindows => format!("no Windows{copies}"),
        Status::Gone => "in the baseline, but no longer present".to_owned(),
        Status::Error => format!("{}{copies}", record.error.as_ref().map_or("", |error| &error.message)),
        Status::Read => {
            let setting = record.at_next_boot.as_ref().map_or_else(|| "unknown".to_owned(), verdict);
            let windows = record.product.as_ref().or(record.family.as_ref());
            let facts = [windows, record.host_name.as_ref(), record.hive_state.as_ref()];
            let findings = match record.findings.len() + record.image_remarks.len() {
                0 => String::new(),
                1 => ", 1 finding".to_owned(),
                count => format!(", {count} findings"),
            };
            let facts: Vec<&str> = facts.into_iter().flatten().map(String::as_str).collect();
            let judged = match record.compliant {
                Some(true) => "as expected, ",
                Some(false) => "NOT as expected, ",
                None => "",
            };
            let new = record.drift.as_ref().is_some_and(|drift| drift.state == DriftState::New);
            let new = if new { ", new since the baseline" } else { "" };
            format!("{judged}{setting}, {}{findings}{copies}{new}", facts.join(", "))
        }
    }
}

pub(super) fn verdict(verdict: &Verdict) -> String {
    match verdict.value {
        Some(value) if verdict.state == "set" => format!("set to {value}"),
        Some(value) => format!("{} ({value})", verdict.state),
        None if verdict.state == "unset" => "not set".to_owned(),
        None => verdict.state.clone(),
    }
}
