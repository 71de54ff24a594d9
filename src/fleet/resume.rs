//! What earlier runs have done: their records, found again by the target's name.
//!
//! Of each record only a place in its file is kept in memory.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use super::record::{FORM, Record, Status};
use super::shard::Fnv;
use crate::error::{Error, Result};
use crate::storage::{FileStorage, Storage, look};

/// The most bytes of a line that may be a record. Longer ones are passed over.
const MOST_LINE: u64 = 1 << 24;

/// Records of earlier runs.
#[derive(Debug, Default)]
pub struct Earlier {
    files: Vec<FileStorage>,
    /// By the hash of the target's name.
    places: HashMap<u64, Vec<Place>>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    file: usize,
    offset: u64,
    len: u32,
}

/// What of a record decides whether its place is kept.
#[derive(Deserialize)]
struct Head<'a> {
    form: u32,
    #[serde(borrow)]
    tool: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    target: std::borrow::Cow<'a, str>,
    part: u32,
}

impl Earlier {
    /// Adds the records in a file of JSON Lines. What is torn, of another program or of another version of this one is
    /// passed over. Of two files, or two runs in one file, the later one counts.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        let file = self.files.len();
        self.files.push(FileStorage::open(path)?);
        let mut lines = BufReader::with_capacity(1 << 18, look::stream(path)?);
        let ours = Record::new(String::new()).tool;
        let mut line = Vec::new();
        let mut offset = 0;
        loop {
            line.clear();
            let failed = |e| Error::io(format!("cannot read {}", path.display()), e);
            let size = lines.by_ref().take(MOST_LINE).read_until(b'\n', &mut line).map_err(failed)?;
            if size == 0 {
                return Ok(());
            }
            let len = u32::try_from(size).unwrap_or(u32::MAX);
            // The last line may be torn, and then has no end, or ends within the record.
            if let Ok(head) = serde_json::from_slice::<Head<'_>>(&line)
                && line.ends_with(b"\n")
                && head.form == FORM
                && head.tool == ours
            {
                let places = self.places.entry(Fnv::default().with(head.target.as_bytes()).get()).or_default();
                if head.part == 1 {
                    places.clear();
                }
                places.push(Place { file, offset, len });
            }
            offset += size as u64;
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Refuses to be read while standard output goes to the same file.
    ///
    /// # Errors
    /// `resume-is-output`.
    pub fn refuse_as_output(&self) -> Result<()> {
        // Where the host has no such name, it cannot be told.
        let Ok(output) = look::see(Path::new("/dev/stdout")) else { return Ok(()) };
        let is_output =
            |file: &&FileStorage| output.id.is_some() && look::see(file.path()).is_ok_and(|seen| seen.id == output.id);
        match self.files.iter().find(is_output) {
            None => Ok(()),
            Some(file) => Err(Error::refused(
                "resume-is-output",
                format!("the output goes to {}, which is to be read", file.path().display()),
            )
            .advise("send the output to another file: it holds the earlier records too")),
        }
    }

    /// All records of a target, if all of them are there and none is of an error that may pass.
    pub fn of(&self, target: &str) -> Option<Vec<Record>> {
        let places = self.places.get(&Fnv::default().with(target.as_bytes()).get())?;
        let records: Vec<Record> = places.iter().filter_map(|place| self.read(*place)).collect();
        let is_whole = records.iter().zip(1..).all(|(record, part)| {
            record.target == target
                && record.part == part
                && record.parts as usize == records.len()
                && !may_pass(record)
        });
        (is_whole && !records.is_empty()).then_some(records)
    }

    fn read(&self, place: Place) -> Option<Record> {
        let mut line = vec![0; place.len as usize];
        self.files.get(place.file)?.read_at(place.offset, &mut line).ok()?;
        Record::read(&line)
    }
}

/// Whether reading it again may give something else although its file is the same.
fn may_pass(record: &Record) -> bool {
    let passing = |kind: &str, code: &str| kind == "io" || matches!(code, "timeout" | "panic" | "nobody-left");
    record.stamp.is_none()
        || record.status == Status::Error && record.error.as_ref().is_none_or(|e| passing(&e.kind, &e.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(target: &str, part: u32, parts: u32) -> Record {
        Record { part, parts, stamp: Some("0".to_owned()), ..Record::new(target.to_owned()) }
    }

    #[test]
    fn whole_targets_come_back_and_torn_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let old = Record { tool: "hivewright 0.0.1".to_owned(), ..record("old", 1, 1) };
        let failure = crate::fleet::record::Failure { kind: "io".to_owned(), ..Default::default() };
        let failed = Record { status: Status::Error, error: Some(failure), ..record("failed", 1, 1) };
        let all = [record("a", 1, 1), record("b", 1, 2), record("b", 2, 2), record("c", 1, 2), old, failed];
        let mut text: Vec<u8> = all.iter().flat_map(Record::line).collect();
        text.extend(b"garbage\n\n{\"form\":1}\n");
        text.extend(Record { seconds: 1.5, ..record("a", 1, 1) }.line());
        let torn = record("d", 1, 1).line();
        for end in 0..=torn.len() {
            std::fs::write(&path, [&text, &torn[..end]].concat()).unwrap();
            let mut earlier = Earlier::default();
            earlier.add(&path).unwrap();
            assert_eq!(earlier.of("a").unwrap()[0].seconds, 1.5, "the later one counts");
            assert_eq!(earlier.of("b").unwrap().len(), 2);
            assert_eq!(["c", "old", "failed", "e"].map(|name| earlier.of(name).is_some()), [false; 4]);
            assert_eq!(earlier.of("d").is_some(), end == torn.len(), "{end}");
        }
    }
}
