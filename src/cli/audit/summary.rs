//! The counts at the end of an audit, and the list of files without a record, on standard error. Only records go to
//! standard output.

use std::io::Write;

use crate::audit::account::{Counts, Listener, Unrecorded};
use crate::audit::run::Summary;

use super::progress::Bar;
use crate::cli::report::plain;

/// Prints each file without a record when it is found, on its own line: as text, or as a JSON object.
pub(super) fn list(bar: &Bar, as_json: bool) -> Listener {
    let printer = bar.printer();
    Box::new(move |unrecorded: &Unrecorded| {
        let line = match as_json {
            true => format!("{}\n", unrecorded.line()),
            false => format!("{}\n", plain(&unrecorded.to_string())),
        };
        // A failure to write to standard error cannot be reported.
        printer(&|| drop(std::io::stderr().lock().write_all(line.as_bytes())));
    })
}

/// Formats a count and its noun.
pub(super) fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Prints the counts.
pub(super) fn print(summary: &Summary) {
    let mut text = many(summary.targets, "target", "targets");
    text += &format!(", {} read", many(summary.read, "installation", "installations"));
    for (count, what) in [
        (summary.compliant, "as expected"),
        (summary.not_compliant, "NOT as expected"),
        (summary.without_expectation, "without an expectation"),
        (summary.errors, "could not be read"),
        (summary.no_windows, "without Windows"),
        (summary.drifted, "changed since the baseline"),
        (summary.kept, "reused from an earlier run"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text += &summary.seconds.map(|seconds| format!(", in {seconds:.1} s")).unwrap_or_default();
    if summary.interrupted {
        text += "; interrupted, continue with --resume";
    }
    let mut lines = format!("hivewright: {text}\n");
    // Merged records have no counts of files.
    if summary.files.files() > 0 || summary.files.windows_folders > 0 || summary.looked > 0 {
        lines += &format!("hivewright: {}\n", files(&summary.files));
    }
    // A failure to write to standard error cannot be reported.
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
}

/// Formats the account of the files.
fn files(counts: &Counts) -> String {
    let mut text = many(counts.files(), "file", "files");
    for (i, (count, what)) in [
        (counts.recorded, "with a record"),
        (counts.parts, if counts.parts == 1 { "part of another" } else { "parts of others" }),
        (counts.skipped, "skipped"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .enumerate()
    {
        text += &format!("{} {count} {what}", if i == 0 { ":" } else { "," });
    }
    if !counts.reasons.is_empty() {
        let reasons: Vec<String> = counts.reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        text += &format!(" ({})", reasons.join(", "));
    }
    if counts.windows_folders > 0 {
        let folders = many(counts.windows_folders, "folder", "folders");
        text += &format!("; {folders} of Windows itself not counted");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(many(1, "target", "targets"), "1 target");
        assert_eq!([many(0, "target", "targets"), many(2, "target", "targets")], ["0 targets", "2 targets"]);
        let counts = Counts { recorded: 1, parts: 1, skipped: 2, ..Counts::default() };
        assert_eq!(files(&counts), "4 files: 1 with a record, 1 part of another, 2 skipped");
        assert_eq!(files(&Counts::default()), "0 files");
    }
}
