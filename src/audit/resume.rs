//! What earlier runs have done: their records, found again by the target's name.
//!
//! Of each record only a place in its file is kept in memory.

mod line;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use line::Line;

use super::record::{Failure, Record, Status};
use super::shard::Fnv;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::folder::EntryKind;
use hivewright_storage::{FileStorage, Storage, probe};

/// The most bytes of a line that may be a record. Longer ones are passed over.
const MOST_LINE: u64 = 1 << 24;

/// Records of earlier runs.
#[derive(Debug, Default)]
pub struct Earlier {
    files: Vec<FileStorage>,
    /// By the hash of the target's name.
    places: HashMap<u64, Vec<Place>>,
    remarks: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    file: usize,
    offset: u64,
    len: u32,
}

impl Earlier {
    /// Adds the records in a file of JSON Lines. What is torn, or of another version of this program, is passed over. Of two
    /// files, or two runs in one file, the later one counts. A run that was killed early has left an empty file: that is fine.
    ///
    /// # Errors
    /// `resume-no-records`: its first line is none. The file is not there, is none, or cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        let number = self.files.len();
        self.files.push(open(path)?);
        let mut lines = BufReader::with_capacity(1 << 18, probe::stream(path)?);
        let ours = Record::new("").tool;
        let (mut line, mut offset, mut count) = (Vec::new(), 0, 0_u64);
        let (mut is_results, mut of_another, mut foreign) = (false, 0_u64, 0_u64);
        loop {
            line.clear();
            let failed = |e| Error::io(format!("cannot read {}: {e}", path.display()), e);
            let size = lines.by_ref().take(MOST_LINE).read_until(b'\n', &mut line).map_err(failed)?;
            if size == 0 {
                break;
            }
            count += 1;
            match Line::of(&line, &ours) {
                Line::Record { target, part } => {
                    let len = u32::try_from(size).unwrap_or(u32::MAX);
                    self.found(target.as_os_str(), part, Place { file: number, offset, len });
                    is_results = true;
                }
                Line::Foreign if !is_results => return Err(no_records(path, count)),
                Line::Foreign => foreign += 1,
                Line::OfAnother => (of_another, is_results) = (of_another + 1, true),
                Line::Torn => is_results = true,
                Line::Blank => {}
            }
            offset += size as u64;
        }
        self.remark(path, of_another, "of another version of hivewright: what they are about is read again");
        self.remark(path, foreign, "no records");
        Ok(())
    }

    fn found(&mut self, target: &OsStr, part: u32, place: Place) {
        let places = self.places.entry(hash(target)).or_default();
        if part == 1 {
            places.clear();
        }
        places.push(place);
    }

    fn remark(&mut self, path: &Path, count: u64, what: &str) {
        if count > 0 {
            self.remarks.push(format!("{}: lines passed over: {count}, {what}", path.display()));
        }
    }

    /// What of the files is not used, for people.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
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
        let Ok(output) = probe::see(Path::new("/dev/stdout")) else { return Ok(()) };
        let is_output =
            |file: &&FileStorage| output.id.is_some() && probe::see(file.path()).is_ok_and(|seen| seen.id == output.id);
        match self.files.iter().find(is_output) {
            None => Ok(()),
            Some(file) => Err(Error::refused(
                Code::ResumeIsOutput,
                format!("the output goes to {}, which is to be read", file.path().display()),
            )
            .advise("send the output to another file: it holds the earlier records too")),
        }
    }

    /// All records of a target, if all of them are there and none is of an error that may pass.
    pub fn of(&self, target: impl AsRef<OsStr>) -> Option<Vec<Record>> {
        let target = target.as_ref();
        let places = self.places.get(&hash(target))?;
        let records: Vec<Record> = places.iter().filter_map(|place| self.read(*place)).collect();
        let is_whole = records.iter().zip(1..).all(|(record, part)| {
            record.target_path().is_some_and(|path| path == target)
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

fn hash(target: &OsStr) -> u64 {
    Fnv::default().with(target.as_encoded_bytes()).get()
}

/// Opens a file of results, which is read from its first line to its last, and then here and there.
fn open(path: &Path) -> Result<FileStorage> {
    let advise = |error: Error| match error.kind() {
        Kind::NotFound => error.advise("leave --resume out of a first run, or begin with an empty file"),
        _ => error,
    };
    if probe::see(path).map_err(advise)?.kind != EntryKind::File {
        let what = format!("{} is no regular file, and holds no results to go on from", path.display());
        return Err(Error::new(Kind::Unsupported, Code::ResumeNoFile, what)
            .advise("name a file that `hivewright audit --json` has written"));
    }
    FileStorage::open(path)
}

fn no_records(path: &Path, line: u64) -> Error {
    let what = format!("line {line} of {} is no record of an audit", path.display());
    Error::new(Kind::Unsupported, Code::ResumeNoRecords, what)
        .advise("name a file that `hivewright audit --json` has written; other formats do not hold all that is needed")
}

/// Whether reading it again may give something else although its file is the same.
fn may_pass(record: &Record) -> bool {
    let passes = |failure: &Failure| failure.kind == "io";
    // Without a stamp are targets that could not be opened, were given up or have panicked, and devices.
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
    fn whole_targets_come_back_and_torn_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let old = Record { tool: "hivewright 0.0.1".to_owned(), ..record("old", 1, 1) };
        let failure = crate::audit::record::Failure { kind: "io".to_owned(), ..Default::default() };
        let failed = Record { status: Status::Error, error: Some(failure), ..record("failed", 1, 1) };
        let all = [record("a", 1, 1), record("b", 1, 2), record("b", 2, 2), record("c", 1, 2), old, failed];
        let mut text: Vec<u8> = all.iter().flat_map(Record::line).collect();
        text.extend(b"garbage\n\n{\"form\":1}\n{\"form\":1,\"to");
        text.extend(record("lost", 1, 1).line());
        text.extend(Record { seconds: 1.5, ..record("a", 1, 1) }.line());
        let torn = record("d", 1, 1).line();
        for end in 0..=torn.len() {
            std::fs::write(&path, [&text, &torn[..end]].concat()).unwrap();
            let mut earlier = Earlier::default();
            earlier.add(&path).unwrap();
            assert_eq!(earlier.of("a").unwrap()[0].seconds, 1.5, "the later one counts");
            assert_eq!(earlier.of("b").unwrap().len(), 2);
            assert_eq!(["c", "old", "failed", "e", "lost"].map(|name| earlier.of(name).is_some()), [false; 5]);
            assert_eq!(earlier.remarks().len(), 2, "{:?}", earlier.remarks());
            assert_eq!(earlier.of("d").is_some(), end == torn.len(), "{end}");
        }
    }
}
