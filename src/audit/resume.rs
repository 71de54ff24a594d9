//! Records of earlier runs, indexed by the target's name.
//!
//! Only the position of each record in its file is kept in memory.

mod line;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use line::Line;

use super::record::{Failure, Record, Status};
use super::shard::Fnv;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::probe::EntryKind;
use hivewright_storage::{FileStorage, Storage, probe};

/// Longest line in bytes that may be a record; longer lines are skipped.
const MOST_LINE: u64 = 1 << 24;

/// Records of earlier runs.
#[derive(Debug, Default)]
pub struct Earlier {
    files: Vec<FileStorage>,
    /// Positions by the hash of the target's name.
    places: HashMap<u64, Vec<Place>>,
    warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    file: usize,
    offset: u64,
    len: u32,
}

impl Earlier {
    /// Adds the records of a JSON Lines file. Torn lines and records of other versions are skipped. Of two files, or of
    /// two runs in one file, the later one counts. An empty file is valid: an early interruption leaves one.
    ///
    /// # Errors
    /// `resume-no-records`: the first line is no record. `resume-no-file`: it is not a regular file. The file does not
    /// exist or cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        let number = self.files.len();
        self.files.push(open(path)?);
        let mut lines = BufReader::with_capacity(1 << 18, probe::stream(path)?);
        let ours = Record::new("").tool;
        let (mut line, mut offset, mut count) = (Vec::new(), 0, 0_u64);
        let (mut is_results, mut other_version, mut foreign) = (false, 0_u64, 0_u64);
        loop {
            line.clear();
            let failed = |e| Error::io(format!("cannot read {}: {e}", path.display()), e);
            let size = lines.by_ref().take(MOST_LINE).read_until(b'\n', &mut line).map_err(failed)?;
            if size == 0 {
                break;
            }
            count += 1;
            match Line::parse(&line, &ours) {
                Line::Record { target, part } => {
                    let len = u32::try_from(size).unwrap_or(u32::MAX);
                    self.insert(target.as_os_str(), part, Place { file: number, offset, len });
                    is_results = true;
                }
                Line::Foreign if !is_results => return Err(no_records(path, count)),
                Line::Foreign => foreign += 1,
                Line::OtherVersion => (other_version, is_results) = (other_version + 1, true),
                Line::Torn => is_results = true,
                Line::Blank => {}
            }
            offset += size as u64;
        }
        self.warn(path, other_version, "by another version of hivewright; their targets are read again");
        self.warn(path, foreign, "not records");
        Ok(())
    }

    fn insert(&mut self, target: &OsStr, part: u32, place: Place) {
        let places = self.places.entry(hash(target)).or_default();
        if part == 1 {
            places.clear();
        }
        places.push(place);
    }

    fn warn(&mut self, path: &Path, count: u64, what: &str) {
        if count > 0 {
            self.warnings.push(format!("{}: skipped {count} lines: {what}", path.display()));
        }
    }

    /// Returns one sentence for each kind of lines that was skipped.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Fails if standard output goes to one of the files.
    ///
    /// # Errors
    /// `resume-is-output`.
    pub fn refuse_as_output(&self) -> Result<()> {
        let Some(output) = probe::standard_output() else { return Ok(()) };
        let is_output = |file: &&FileStorage| probe::metadata(file.path()).is_ok_and(|found| found.id == Some(output));
        match self.files.iter().find(is_output) {
            None => Ok(()),
            Some(file) => Err(Error::refused(
                Code::ResumeIsOutput,
                format!("standard output goes to {}, which --resume or --baseline reads", file.path().display()),
            )
            .advise("redirect the output to another file; it contains the earlier records too")),
        }
    }

    /// Returns all records of a target, if they are complete and none has an error that may be transient.
    pub fn of(&self, target: impl AsRef<OsStr>) -> Option<Vec<Record>> {
        let target = target.as_ref();
        let places = self.places.get(&hash(target))?;
        let records: Vec<Record> = places.iter().filter_map(|place| self.read(*place)).collect();
        let is_whole = records.iter().zip(1..).all(|(record, part)| {
            record.target_path().is_some_and(|path| path == target)
                && record.part == part
                && record.parts as usize == records.len()
                && !is_transient(record)
        });
        (is_whole && !records.is_empty()).then_some(records)
    }

    /// Returns all readable records of a target, whatever their status.
    pub fn recorded(&self, target: impl AsRef<OsStr>) -> Vec<Record> {
        let target = target.as_ref();
        let of = |record: &Record| record.target_path().is_some_and(|path| path == target);
        self.records(hash(target)).into_iter().filter(of).collect()
    }

    /// Returns all records of the targets whose hashes are wanted, target by target.
    pub fn all<'a>(&'a self, is_wanted: impl Fn(u64) -> bool + 'a) -> impl Iterator<Item = Vec<Record>> + 'a {
        self.places.keys().copied().filter(move |hash| is_wanted(*hash)).map(|hash| self.records(hash))
    }

    fn records(&self, hash: u64) -> Vec<Record> {
        let places = self.places.get(&hash).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|place| self.read(*place)).collect()
    }

    fn read(&self, place: Place) -> Option<Record> {
        let mut line = vec![0; place.len as usize];
        self.files.get(place.file)?.read_at(place.offset, &mut line).ok()?;
        Record::read(&line)
    }
}

/// Returns the hash that is the key of a target.
pub(super) fn hash(target: &OsStr) -> u64 {
    Fnv::default().with(target.as_encoded_bytes()).get()
}

/// Opens a file of records, for sequential and for random reads.
fn open(path: &Path) -> Result<FileStorage> {
    let advise = |error: Error| match error.kind() {
        Kind::NotFound => error.advise("omit --resume in the first run, or begin with an empty file"),
        _ => error,
    };
    if probe::metadata(path).map_err(advise)?.kind != EntryKind::File {
        let what = format!("{} is not a regular file", path.display());
        return Err(Error::new(Kind::Unsupported, Code::ResumeNoFile, what)
            .advise("name a file that `hivewright audit --json` wrote"));
    }
    FileStorage::open(path)
}

fn no_records(path: &Path, line: u64) -> Error {
    let what = format!("line {line} of {} is not a record of an audit", path.display());
    Error::new(Kind::Unsupported, Code::ResumeNoRecords, what)
        .advise("name a file that `hivewright audit --json` wrote; other formats lack fields")
}

/// Returns whether another run may have another result although the file is the same.
fn is_transient(record: &Record) -> bool {
    let passes = |failure: &Failure| failure.kind == "io";
    // These have no stamp: devices, and targets that could not be opened, exceeded their time or panicked.
    record.stamp.is_none()
        || record.software_error.as_ref().is_some_and(passes)
        || record.status == Status::Error && record.error.as_ref().is_none_or(passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(target: &str, part: u32, parts: u32) -> Record {
        Record { part, parts, stamp: Some("0".to_owned()), ..Record::new(target) }
    }

    #[test]
    fn complete_targets_are_returned_and_torn_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let old = Record { tool: "hivewright 0.0.1".to_owned(), ..record("old", 1, 1) };
        let failure = crate::audit::record::Failure { kind: "io".to_owned(), ..Default::default() };
        let failed = Record { status: Status::Error, error: Some(failure), ..record("failed", 1, 1) };
        let all = [record("a", 1, 1), record("b", 1, 2), record("b", 2, 2), record("c", 1, 2), old, failed];
        let mut text: Vec<u8> = all.iter().flat_map(Record::line).collect();
        text.extend(b"garbage\n\n{\"form\":2}\n{\"form\":2,\"to");
        text.extend(record("lost", 1, 1).line());
        text.extend(Record { seconds: Some(1.5), ..record("a", 1, 1) }.line());
        let torn = record("d", 1, 1).line();
        for end in 0..=torn.len() {
            std::fs::write(&path, [&text, &torn[..end]].concat()).unwrap();
            let mut earlier = Earlier::default();
            earlier.add(&path).unwrap();
            assert_eq!(earlier.of("a").unwrap()[0].seconds, Some(1.5), "the later one counts");
            assert_eq!(earlier.of("b").unwrap().len(), 2);
            assert_eq!(["c", "old", "failed", "e", "lost"].map(|name| earlier.of(name).is_some()), [false; 5]);
            assert_eq!(earlier.warnings().len(), 2, "{:?}", earlier.warnings());
            assert_eq!(earlier.of("d").is_some(), end == torn.len(), "{end}");
        }
    }
}
