//! One line for people a record, and what does not comply below.

use std::io::{self, Write};

use crate::audit::Record;
use crate::audit::record::{Status, Verdict};

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
        let above = match record.dependents.len() {
            0 => String::new(),
            1 => ", 1 image stands on it".to_owned(),
            count => format!(", {count} images stand on it"),
        };
        let mut text = format!("{}: {}{above}\n", self.style.strong(&name(record)), shown(&state(record)));
        for it in &record.violations {
            text += &format!("  {}\n", shown(&it.to_string()));
        }
        out.write_all(text.as_bytes())
    }
}

/// The target, and which of its installations.
pub(super) fn name(record: &Record) -> String {
    let place = match (record.partition, &record.windows_root) {
        (Some(number), Some(root)) if number > 0 => format!(" ({root} of partition {number})"),
        (Some(0), Some(root)) => format!(" ({root})"),
        (Some(number), None) => format!(" (partition {number})"),
        _ => String::new(),
    };
    shown(&format!("{}{place}", record.target))
}

fn state(record: &Record) -> String {
    let copies = record.shadow_copies.map(|count| shadow_copies(Some(count))).unwrap_or_default();
    match record.status {
        Status::NoWindows => format!("no Windows in it{copies}"),
        Status::Error => format!("{}{copies}", record.error.as_ref().map_or("", |error| &error.message)),
        Status::Read => {
            let rule = record.at_next_boot.as_ref().map_or_else(|| "unknown".to_owned(), verdict);
            let windows = record.product.as_ref().or(record.family.as_ref());
            let facts = [windows, record.host_name.as_ref(), record.hive_state.as_ref()];
            let mistakes = match record.mistakes.len() + record.image_remarks.len() {
                0 => String::new(),
                count => format!(", {count} to watch out for"),
            };
            let facts: Vec<&str> = facts.into_iter().flatten().map(String::as_str).collect();
            let judged = match record.compliant {
                Some(true) => "as expected, ",
                Some(false) => "NOT as expected, ",
                None => "",
            };
            format!("{judged}{rule}, {}{mistakes}{copies}", facts.join(", "))
        }
    }
}

pub(super) fn verdict(verdict: &Verdict) -> String {
    match verdict.value {
        Some(value) if verdict.state == "set" => format!("set to {value}"),
        Some(value) => format!("{} ({value})", verdict.state),
        None if verdict.state == "absent" => "not set".to_owned(),
        None => verdict.state.clone(),
    }
}
