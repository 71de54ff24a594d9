//! What a line of an earlier run's results is.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::Deserialize;

use crate::audit::record::FORM;
use hivewright_storage::exact;

/// How every record begins.
const BEGINNING: &[u8] = b"{\"form\":";
/// How the name of this program begins in a record, whatever its version.
const PROGRAM: &str = "hivewright ";

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A record of this version: the part of this target.
    Record { target: PathBuf, part: u32 },
    /// A record of another version, whose facts may be others.
    OfAnother,
    /// What a run that was killed has left of a record; also with the next run's first one behind it.
    Torn,
    /// Nothing.
    Blank,
    /// Nothing of an audit.
    Foreign,
}

/// What of a record decides what becomes of it. Whatever else is there, a later version may have added.
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
    /// Looks at a line, which has its line feed unless it is the last; `ours` is the tool as our records name it.
    pub(super) fn of(line: &[u8], ours: &str) -> Self {
        let whole = line.ends_with(b"\n");
        // A file system that lost its power may leave zeros for what was not written yet.
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
            Ok(head) if head.tool.starts_with(PROGRAM) => Line::OfAnother,
            _ if begins_like_one(text) || !whole && BEGINNING.starts_with(text) => Line::Torn,
            _ => Line::Foreign,
        }
    }
}

/// Whether it begins like a record, or like one that was torn at once, with another behind it.
fn begins_like_one(text: &[u8]) -> bool {
    (0..BEGINNING.len()).any(|n| text.strip_prefix(&BEGINNING[..n]).is_some_and(|rest| rest.starts_with(BEGINNING)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::Record;

    #[test]
    fn lines_are_what_they_are() {
        let record = Record { part: 2, ..Record::new("a") };
        let ours = record.tool.clone();
        let of = |line: &[u8]| Line::of(line, &ours);
        let line = record.line();
        assert_eq!(of(&line), Line::Record { target: "a".into(), part: 2 });
        for end in 1..line.len() {
            assert_eq!(of(&line[..end]), Line::Torn, "{end}");
            assert_eq!(of(&[&line[..end], &[0; 70][..]].concat()), Line::Torn, "{end} and zeros");
        }
        assert_eq!(of(&[&line[..50], &*line].concat()), Line::Torn, "the next run's record in the same line");
        let other = |tool: &str| Record { tool: tool.to_owned(), ..record.clone() }.line();
        assert_eq!(of(&other("hivewright 0.0.1")), Line::OfAnother);
        assert_eq!(of(&other("hivewright 99.0.0")), Line::OfAnother);
        assert_eq!(of(b"{\"tool\":\"hivewright 99.0.0\",\"form\":2,\"whatever\":[]}\n"), Line::OfAnother);
        // As `jq -S` prints it, with something added.
        let sorted = format!("{{\"added\":1,\"form\":1,\"part\":1,\"target\":\"b\",\"tool\":\"{ours}\"}}\n");
        assert_eq!(of(sorted.as_bytes()), Line::Record { target: "b".into(), part: 1 });
        assert_eq!((of(b"\n"), of(b" \r\n"), of(b"\0\0")), (Line::Blank, Line::Blank, Line::Torn));
        for foreign in
            ["root:x:0:0\n", "{\n", "{}\n", "[]\n", "\u{feff}{\"form\":1\n", "form,tool,target\n", "1", "{\"a\":1}\n"]
        {
            assert_eq!(of(foreign.as_bytes()), Line::Foreign, "{foreign}");
        }
        assert_eq!(of(&other("sharphound 2")), Line::Torn, "it begins like one, and never counts as one");
    }
}
