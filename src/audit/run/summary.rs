//! Counts of an audit, and its result.

use crate::audit::account::Counts;
use crate::audit::record::{DriftState, Record, Status};

/// Counts of an audit.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Targets that have at least one record.
    pub targets: u64,
    /// Records.
    pub records: u64,
    /// Windows installations that were read.
    pub read: u64,
    /// Discovered disks without Windows.
    pub no_windows: u64,
    /// Targets, installations or volumes that could not be read.
    pub errors: u64,
    /// Installations as expected.
    pub compliant: u64,
    /// Installations not as expected.
    pub not_compliant: u64,
    /// Installations without an expectation, where others have one.
    pub without_expectation: u64,
    /// Expectations that matched no installation: see [`crate::policy::Policy::unfitted`].
    pub unfitted: Vec<String>,
    /// Records that differ from the baseline, including new and gone installations.
    pub drifted: u64,
    /// Targets whose records are those of an earlier run.
    pub kept: u64,
    /// The account of all regular files.
    pub files: Counts,
    /// Files whose first bytes were read.
    pub looked: u64,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Whether the receiver of the records ended it.
    pub is_cut_off: bool,
    /// Whether only one shard was audited, which may be empty.
    pub is_part: bool,
    /// Elapsed seconds; `None` if records are sorted.
    pub seconds: Option<f64>,
}

/// Result of an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was read and is as expected.
    Fine,
    /// Something is not as expected, or differs from the baseline.
    NotCompliant,
    /// Something could not be read, or there was nothing to read.
    CouldNot,
    /// It was interrupted.
    Interrupted,
}

impl Summary {
    /// Counts a target, with its records and those of its parts.
    pub(super) fn count_target(&mut self, records: &[Record], is_kept: bool) {
        self.targets += records.chunk_by(|a, b| a.target == b.target).count() as u64;
        self.kept += u64::from(is_kept);
    }

    /// Counts a record.
    pub fn count(&mut self, record: &Record) {
        self.records += 1;
        match record.status {
            Status::Read => self.read += 1,
            Status::NoWindows => self.no_windows += 1,
            Status::Error => self.errors += 1,
            Status::Gone => {}
        }
        self.drifted += u64::from(record.drift.as_ref().is_some_and(|drift| drift.state != DriftState::Same));
        match record.compliant {
            Some(true) => self.compliant += 1,
            Some(false) => self.not_compliant += 1,
            None => {}
        }
    }

    /// Returns the result. Unreadable targets count more than violations, since the answer is incomplete; with
    /// `keep_going_ok` they do not count.
    pub fn end(&self, keep_going_ok: bool) -> End {
        let nothing = self.records == 0 && !self.is_part;
        match self {
            _ if self.interrupted => End::Interrupted,
            _ if self.is_cut_off || nothing || self.errors > 0 && !keep_going_ok => End::CouldNot,
            _ if self.not_compliant > 0 || self.drifted > 0 => End::NotCompliant,
            _ => End::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_targets_count_most() {
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
