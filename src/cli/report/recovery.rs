//! The text about transaction logs and their replay.

use std::fmt::{self, Write};

use crate::read::Logs;
use hivewright_hive::recover::{LogReport, Recovery};

use super::wrap::plain;

/// Formats the replay as the rest of a sentence.
pub(crate) fn applied(recovery: &Recovery) -> String {
    let names: Vec<String> = recovery.applied_logs().map(|log| plain(&log.name)).collect();
    let numbers = match recovery.applied {
        Some([first, last]) if first == last => format!("entry {first}"),
        Some([first, last]) => format!("entries {first} to {last}"),
        None => "nothing".to_owned(),
    };
    let rebuilt = if recovery.base_block_rebuilt { ", base block rebuilt" } else { "" };
    format!("{numbers} of {} applied: {} pages, {} bytes{rebuilt}", names.join(" and "), recovery.pages, recovery.bytes)
}

/// Writes the logs of a hive for `check`; with `entries`, each entry too.
pub(crate) fn logs(out: &mut String, logs: &Logs, entries: bool) -> fmt::Result {
    writeln!(out, "\nTransaction logs:")?;
    if logs.logs.is_empty() {
        writeln!(out, "  none found")?;
    }
    for log in &logs.logs {
        write_log(out, log, entries)?;
    }
    match (logs.needed, logs.usable, &logs.why) {
        (true, true, _) => writeln!(out, "  The hive is dirty and can be recovered: see `hivewright recover`."),
        (true, false, why) => {
            writeln!(out, "  The hive is dirty and cannot be recovered: {}", why.as_deref().unwrap_or("no usable log"))
        }
        (false, ..) => writeln!(out, "  The hive is clean: no log is needed."),
    }
}

fn write_log(out: &mut String, log: &LogReport, entries: bool) -> fmt::Result {
    write!(out, "  {}  {} bytes", plain(&log.name), log.size)?;
    if let Some([first, second]) = log.sequence {
        write!(out, ", sequence numbers {first}/{second}")?;
    }
    if !log.entries.is_empty() {
        let used = log.entries.iter().filter(|entry| entry.left.is_none()).count();
        write!(out, ", {} entries, {used} to apply", log.entries.len())?;
    }
    writeln!(out)?;
    if let Some(reason) = log.left {
        writeln!(out, "    {}: {}", reason.code(), reason.what())?;
    }
    if let Some(stop) = log.stopped {
        writeln!(out, "    ends at {:#x}, {}: {}", stop.offset, stop.why.code(), stop.why.what())?;
    }
    for entry in log.entries.iter().filter(|_| entries) {
        let left = entry.left.map_or("applied", |reason| reason.code());
        let (offset, sequence) = (entry.offset, entry.sequence);
        writeln!(out, "    {offset:#010x}  entry {sequence}, {} pages, {} bytes: {left}", entry.pages, entry.size)?;
    }
    Ok(())
}
