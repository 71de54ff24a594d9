//! Sorts records by their targets.
//!
//! The records are in an unnamed temporary file; memory contains their positions and the names of their targets.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::record::Record;
use hivewright_storage::scratch::named;

/// Order of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// In the order of reading.
    #[default]
    AsRead,
    /// By the path of the target. Facts that differ from run to run (the time and the duration of reading) are left
    /// out, so the same input has the same output.
    ByPath,
}

/// Records to sort.
pub struct Sorted {
    file: BufWriter<File>,
    places: Vec<Place>,
    len: u64,
    /// Whether the records keep the times of reading.
    is_merge: bool,
    /// The number of the file of the next record.
    source: u32,
}

struct Place {
    target: PathBuf,
    part: u32,
    source: u32,
    offset: u64,
    len: usize,
}

impl Sorted {
    /// Creates an empty collection.
    ///
    /// # Errors
    /// The temporary file cannot be created.
    pub fn new() -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 16, tempfile::tempfile().map_err(named)?);
        Ok(Sorted { file, places: Vec::new(), len: 0, is_merge: false, source: 0 })
    }

    /// Creates an empty collection for several files of records, which are not changed.
    ///
    /// # Errors
    /// As [`Sorted::new`].
    pub fn merging() -> io::Result<Self> {
        Ok(Sorted { is_merge: true, ..Self::new()? })
    }

    /// Begins another file. Of a target in several files, the records of the last file count.
    pub fn begin_file(&mut self) {
        self.source += 1;
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn add(&mut self, record: &Record) -> io::Result<()> {
        let line = match self.is_merge {
            true => record.line(),
            false => Record { audited_at: None, seconds: None, ..record.clone() }.line(),
        };
        self.file.write_all(&line).map_err(named)?;
        let target = record.target_path().unwrap_or_else(|| PathBuf::from(&record.target));
        let (part, source, offset) = (record.part, self.source, self.len);
        self.places.push(Place { target, part, source, offset, len: line.len() });
        self.len += line.len() as u64;
        Ok(())
    }

    /// Hands all records to `take`, ordered by the paths of their targets, until it returns `false`. Returns the number
    /// of records that those of a later file replace.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn each(self, mut take: impl FnMut(&Record) -> bool) -> io::Result<u64> {
        let Sorted { file, mut places, .. } = self;
        let mut file = file.into_inner().map_err(|error| named(error.into_error()))?;
        places.sort_by(|a, b| (&a.target, a.source, a.part).cmp(&(&b.target, b.source, b.part)));
        let of_last = |own: &[Place], at: usize| own[at].source == own[own.len() - 1].source;
        let is_last: Vec<bool> = places
            .chunk_by(|a, b| a.target == b.target)
            .flat_map(|own| (0..own.len()).map(move |at| of_last(own, at)))
            .collect();
        let replaced = is_last.iter().filter(|last| !**last).count() as u64;
        let mut line = Vec::new();
        for Place { offset, len, .. } in places.into_iter().zip(is_last).filter(|(_, last)| *last).map(|(it, _)| it) {
            line.resize(len, 0);
            file.seek(SeekFrom::Start(offset)).map_err(named)?;
            file.read_exact(&mut line).map_err(named)?;
            let lost = || io::Error::other("cannot read a record back from the temporary file");
            if !take(&Record::read(&line).ok_or_else(lost)?) {
                break;
            }
        }
        Ok(replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_sorted_by_path() {
        let mut sorted = Sorted::new().unwrap();
        let all = [("b", 1), ("a/c", 1), ("a-b", 1), ("a/b", 2), ("a", 1), ("a/b", 1)];
        for (i, (target, part)) in all.iter().enumerate() {
            let seconds = Some(f64::from(u32::try_from(i).unwrap()));
            sorted
                .add(&Record { part: *part, seconds, audited_at: Some("now".to_owned()), ..Record::new(target) })
                .unwrap();
        }
        let mut records = Vec::new();
        let take = |record: &Record| {
            assert_eq!((record.seconds, &record.audited_at), (None, &None));
            records.push((record.target.clone(), record.part));
            records.len() < 6
        };
        sorted.each(take).unwrap();
        let expected = [("a", 1), ("a/b", 1), ("a/b", 2), ("a/c", 1), ("a-b", 1), ("b", 1)];
        assert_eq!(records, expected.map(|(target, part)| (target.to_owned(), part)));
    }

    #[test]
    fn of_a_target_in_several_files_the_last_counts() {
        let mut sorted = Sorted::merging().unwrap();
        for (file, target, part) in [(1, "a", 1), (1, "a", 2), (1, "b", 1), (2, "a", 1)] {
            while sorted.source < file {
                sorted.begin_file();
            }
            let audited_at = Some(file.to_string());
            sorted.add(&Record { part, audited_at, ..Record::new(target) }).unwrap();
        }
        let mut records = Vec::new();
        let replaced = sorted.each(|record| {
            records.push((record.target.clone(), record.part, record.audited_at.clone().unwrap()));
            true
        });
        assert_eq!(replaced.unwrap(), 2);
        assert_eq!(records, [("a".to_owned(), 1, "2".to_owned()), ("b".to_owned(), 1, "1".to_owned())]);
    }
}
