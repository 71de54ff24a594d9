//! The counts at the end of an audit, and the list of files without a record, on standard error: records alone go to
//! standard output.

use std::io::Write;

use crate::audit::account::{Counts, Listener, Passed};
use crate::audit::run::Summary;

use super::progress::Bar;
use crate::cli::report::plain;

/// Prints each file without a record as it comes, on a line of its own: as text, or as a JSON object.
pub(super) fn list(bar: &Bar, as_json: bool) -> Listener {
    let printer = bar.printer();
    Box::new(move |passed: &Passed| {
        let line = match as_json {
            true => format!("{}\n", passed.line()),
            false => format!("{}\n", plain(&passed.to_string())),
        };
        // Nothing is left to be told if standard error is gone.
        printer(&|| drop(std::io::stderr().lock().write_all(line.as_bytes())));
    })
}

/// A count and its noun.
pub(super) fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Prints the counts.
pub(super) fn tell(summary: &Summary) {
    let mut text = many(summary.targets, "target", "targets");
    text += &format!(", {} read", many(summary.read, "installation", "installations"));
    for (count, what) in [
        (summary.compliant, "as expected"),
        (summary.not_compliant, "NOT as expected"),
        (summary.without_expectation, "of which the policy expects nothing"),
        (summary.errors, "could not be read"),
        (summary.no_windows, "without Windows"),
        (summary.kept, "taken over from an earlier run"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    text += &format!(", in {:.1} s", summary.seconds);
    if summary.interrupted {
        text += "; stopped before the end, go on with --resume";
    }
    let files = files(&summary.files);
    // Nothing is left to be told if standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "hivewright: {text}\nhivewright: {files}");
}

/// The account of the files.
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
        text += &format!("; {folders} of Windows' own files not counted");
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
