//! Classification of the lines of an earlier run's output.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::Deserialize;

use crate::audit::record::FORM;
use hivewright_storage::exact;

/// The first bytes of every record.
const BEGINNING: &[u8] = b"{\"form\":";
/// The prefix of `tool` in a record of any version of this program.
const PROGRAM: &str = "hivewright ";

/// Kind of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A record of this version: its target, and its number among the records of that target.
    Record { target: PathBuf, part: u32 },
    /// A record of another version, whose fields may differ.
    OtherVersion,
    /// A torn record of an interrupted run, possibly followed by the first record of the next run.
    Torn,
    /// An empty line.
    Blank,
    /// Not a line of an audit.
    Foreign,
}

/// The fields of a record that classify it. A later version may add others.
#[derive(Deserialize)]
struct Head<'a> {
    form: u32,
    #[serde(borrow)]
    tool: Cow<'a, str>,
    target: Option<String>,
    target_hex: Option<String>,
    part: Option<u32>,
}

impl Line {
    /// Classifies a line, which ends in a line feed unless it is the last; `ours` is the value of `tool` in records of
    /// this version.
    pub(super) fn parse(line: &[u8], ours: &str) -> Self {
        let whole = line.ends_with(b"\n");
        // A file system that lost its power may leave zeros instead of data.
        let end = line.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let text = line[..end].trim_ascii();
        if text.is_empty() {
            return if end < line.len() { Line::Torn } else { Line::Blank };
        }
        match serde_json::from_slice::<Head<'_>>(text) {
            Ok(Head { form: FORM, tool, target: Some(target), target_hex, part: Some(part) }) if tool == ours => {
                match exact::path(&target, target_hex.as_deref()) {
                    Some(target) if whole => Line::Record { target, part },
                    _ => Line::Torn,
                }
            }
            Ok(head) if head.tool.starts_with(PROGRAM) => Line::OtherVersion,
            _ if begins_like_a_record(text) || !whole && BEGINNING.starts_with(text) => Line::Torn,
            _ => Line::Foreign,
        }
    }
}

/// Returns whether it begins like a record, or like the first bytes of a torn record before another one.
fn begins_like_a_record(text: &[u8]) -> bool {
    (0..BEGINNING.len()).any(|n| text.strip_prefix(&BEGINNING[..n]).is_some_and(|rest| rest.starts_with(BEGINNING)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::Record;

    #[test]
    fn lines_are_classified() {
        let record = Record { part: 2, ..Record::new("a") };
        let ours = record.tool.clone();
        let of = |line: &[u8]| Line::parse(line, &ours);
        let line = record.line();
        assert_eq!(of(&line), Line::Record { target: "a".into(), part: 2 });
        for end in 1..line.len() {
            assert_eq!(of(&line[..end]), Line::Torn, "{end}");
            assert_eq!(of(&[&line[..end], &[0; 70][..]].concat()), Line::Torn, "{end} and zeros");
        }
        assert_eq!(of(&[&line[..50], &*line].concat()), Line::Torn, "the next run's record in the same line");
        let other = |tool: &str| Record { tool: tool.to_owned(), ..record.clone() }.line();
        assert_eq!(of(&other("hivewright 0.0.1")), Line::OtherVersion);
        assert_eq!(of(&other("hivewright 99.0.0")), Line::OtherVersion);
        assert_eq!(of(b"{\"tool\":\"hivewright 99.0.0\",\"form\":3,\"whatever\":[]}\n"), Line::OtherVersion);
        // As `jq -S` prints it, with an added field.
        let sorted = format!("{{\"added\":1,\"form\":2,\"part\":1,\"target\":\"b\",\"tool\":\"{ours}\"}}\n");
        assert_eq!(of(sorted.as_bytes()), Line::Record { target: "b".into(), part: 1 });
        assert_eq!((of(b"\n"), of(b" \r\n"), of(b"\0\0")), (Line::Blank, Line::Blank, Line::Torn));
        for foreign in
            ["root:x:0:0\n", "{\n", "{}\n", "[]\n", "\u{feff}{\"form\":2\n", "form,tool,target\n", "1", "{\"a\":1}\n"]
        {
            assert_eq!(of(foreign.as_bytes()), Line::Foreign, "{foreign}");
        }
        assert_eq!(of(&other("sharphound 2")), Line::Torn, "it begins like one, and never counts as one");
    }
}
