//! How an audit ended, and what that means for its caller.

use crate::audit::account::Counts;
use crate::audit::record::{Record, Status};

/// Counts of a whole audit.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Targets that have at least one record.
    pub targets: u64,
    /// Records.
    pub records: u64,
    /// Windows installations that were read.
    pub read: u64,
    /// Disks without Windows that were come across.
    pub no_windows: u64,
    /// Targets, installations or volumes that could not be read.
    pub errors: u64,
    /// Installations as expected.
    pub compliant: u64,
    /// Installations not as expected.
    pub not_compliant: u64,
    /// Installations of which nothing was expected, where something was of others.
    pub without_expectation: u64,
    /// Expectations that fitted no installation: see [`crate::audit::policy::Policy::unfitted`].
    pub unfitted: Vec<String>,
    /// Targets whose records are those of an earlier run.
    pub kept: u64,
    /// The account of all regular files.
    pub files: Counts,
    /// Files whose first bytes were read.
    pub looked: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Whether whoever takes the records wanted no more.
    pub is_cut_off: bool,
    /// Whether only one shard was meant, which may have nothing.
    pub is_part: bool,
    /// Seconds.
    pub seconds: f64,
}

/// What an audit comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All was read, and what was expected is so.
    Fine,
    /// Something is not as expected.
    NotCompliant,
    /// Something could not be read, or there was nothing to read.
    CouldNot,
    /// It was stopped before its end.
    Interrupted,
}

impl Summary {
    /// Counts one that was found, with the records of it and of its parts.
    pub(super) fn count_target(&mut self, records: &[Record], is_kept: bool) {
        self.targets += records.chunk_by(|a, b| a.target == b.target).count() as u64;
        self.kept += u64::from(is_kept);
    }

    pub(super) fn count(&mut self, record: &Record) {
        self.records += 1;
        match record.status {
            Status::Read => self.read += 1,
            Status::NoWindows => self.no_windows += 1,
            Status::Error => self.errors += 1,
        }
        match record.compliant {
            Some(true) => self.compliant += 1,
            Some(false) => self.not_compliant += 1,
            None => {}
        }
    }

    /// The one place that decides what an audit comes to. What could not be read weighs more than what does not comply:
    /// the answer is not whole. With `keep_going_ok` it does not weigh.
    pub fn end(&self, keep_going_ok: bool) -> End {
        let nothing = self.records == 0 && !self.is_part;
        match self {
            _ if self.interrupted => End::Interrupted,
            _ if self.is_cut_off || nothing || self.errors > 0 && !keep_going_ok => End::CouldNot,
            _ if self.not_compliant > 0 => End::NotCompliant,
            _ => End::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_weighs_most() {
        let some = Summary { records: 3, ..Summary::default() };
        let errors = Summary { errors: 1, ..some.clone() };
        let both = Summary { not_compliant: 1, ..errors.clone() };
        let differs = Summary { not_compliant: 1, ..some.clone() };
        for (summary, strict, lenient) in [
            (&some, End::Fine, End::Fine),
            (&errors, End::CouldNot, End::Fine),
            (&both, End::CouldNot, End::NotCompliant),
            (&differs, End::NotCompliant, End::NotCompliant),
            (&Summary::default(), End::CouldNot, End::CouldNot),
            (&Summary { is_part: true, ..Summary::default() }, End::Fine, End::Fine),
            (&Summary { interrupted: true, ..both.clone() }, End::Interrupted, End::Interrupted),
        ] {
            assert_eq!((summary.end(false), summary.end(true)), (strict, lenient), "{summary:?}");
        }
    }
}
