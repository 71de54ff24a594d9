//! The full structural check: reports violations of all format rules in one run.
//!
//! [`check`] reads only the primary file and never fails: a file that is not a hive gives a report that says so. An
//! unreadable structure is reported and skipped. Each byte of a structure is read a bounded number of times, there is
//! no recursion, and memory is at most the size of the input plus a constant.

mod base;
mod bins;
mod cells;
mod keys;
mod lists;
mod names;
mod report;
mod rules;
mod security;
mod values;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tiny;

pub use report::{Counts, FINDINGS_KEPT, Facts, Finding, Report};
pub use rules::{Rule, Severity};

use std::fmt::Display;

use self::cells::CellMap;
use self::keys::Visited;
use crate::regf::{BASE_BLOCK_SIZE, CellOffset};
use hivewright_error::Error;

/// Checks the hive file `bytes`.
pub fn check(bytes: &[u8]) -> Report {
    let mut report = Report::for_file(bytes.len());
    if let Some(extent) = base::base_block(bytes, &mut report) {
        let start = BASE_BLOCK_SIZE as usize;
        let bins = bytes.get(start..start + extent.length as usize).unwrap_or_default();
        let map = bins::tile(bins, extent.truncated, &mut report);
        let mut checker = Checker::new(map, extent.minor, report);
        checker.keys_from(extent.root);
        checker.key_securities();
        checker.unreferenced_cells();
        report = checker.report;
    }
    report.findings.sort_by_key(|finding| (finding.offset, finding.rule));
    report
}

/// The state of a check.
struct Checker<'h> {
    map: CellMap<'h>,
    minor: u32,
    /// Every key reached, parents before their children.
    keys: Vec<Visited>,
    /// Names of the values of one key, reused to save allocations: (hash, cell offset).
    names: Vec<(u32, u32)>,
    /// Whether every referenced structure could be read. Only then are unreferenced cells known.
    whole: bool,
    report: Report,
}

/// The place of a finding: the offset in the file, the cell, the key (an index of [`Checker::keys`]), and the value.
#[derive(Clone, Copy)]
struct Position {
    offset: u64,
    cell: CellOffset,
    key: Option<usize>,
    /// The key value of the finding.
    value: Option<CellOffset>,
}

impl Position {
    /// Returns the place of a field of a cell: `field` bytes into its data.
    fn field(cell: CellOffset, field: usize, key: Option<usize>) -> Self {
        Position { offset: cell.data_in_file().saturating_add(field as u64), cell, key, value: None }
    }

    /// Returns the same place, as part of the key value that lies at `value`.
    fn of_value(self, value: CellOffset) -> Self {
        Position { value: Some(value), ..self }
    }
}

impl<'h> Checker<'h> {
    fn new(map: CellMap<'h>, minor: u32, report: Report) -> Self {
        Checker { map, minor, keys: Vec::new(), names: Vec::new(), whole: true, report }
    }

    /// Records a finding. A finding that is only counted is not formatted.
    fn find(&mut self, rule: Rule, position: Position, what: &str, values: Option<(&dyn Display, &dyn Display)>) {
        if self.report.count(rule) {
            let mut finding = Finding::new(rule, position.offset, what);
            finding.cell = Some(position.cell).filter(|cell| !cell.is_nil());
            finding.of_value = position.value;
            (finding.key, finding.value) = self.owner(position);
            if let Some((expected, actual)) = values {
                finding = finding.expected(expected, actual);
            }
            self.report.keep(finding);
        }
    }

    /// Records the error of a parser. The rest of the structure is not read.
    fn parse_error(&mut self, error: &Error, rule: Rule, position: Position) {
        self.whole = false;
        let rule = Rule::of(error.code()).unwrap_or(rule);
        if self.report.count(rule) {
            let mut finding = Finding::from_error(rule, error);
            finding.cell = Some(position.cell);
            finding.of_value = position.value;
            (finding.key, finding.value) = self.owner(position);
            self.report.keep(finding);
        }
    }

    /// Returns the key's path and the value's name.
    fn owner(&self, position: Position) -> (Option<String>, Option<String>) {
        let value = position.value.and_then(|at| self.value_name(at.0));
        (position.key.map(|index| self.path(index)), value.map(|name| name.name().to_string()))
    }

    /// Claims the allocated cell at `at` and returns its data. `position` is the place of the reference.
    fn take(&mut self, at: CellOffset, position: Position, what: &str) -> Option<&'h [u8]> {
        let Some(data) = self.map.data(at) else {
            self.whole = false;
            self.wrong_reference(Rule::CellReference, position, what, "an allocated cell", at);
            return None;
        };
        if !self.map.claim(at) {
            self.whole = false;
            self.wrong_reference(Rule::CellShared, position, what, "a cell without another reference", at);
            return None;
        }
        Some(data)
    }

    /// Records that the reference at `position` must not refer to `at`.
    fn wrong_reference(&mut self, rule: Rule, position: Position, what: &str, expected: &str, at: CellOffset) {
        let kept = self.report.findings.len();
        self.find(rule, position, what, Some((&expected, &at)));
        if let Some(finding) = self.report.findings.get_mut(kept) {
            finding.target = Some(at);
        }
    }

    /// Records every unreferenced allocated cell, if everything could be read.
    fn unreferenced_cells(&mut self) {
        if !self.whole {
            return;
        }
        for at in self.map.unclaimed() {
            if self.report.count(Rule::UnreferencedCell) {
                let mut finding =
                    Finding::new(Rule::UnreferencedCell, at.in_file(), "no structure refers to this cell");
                finding.cell = Some(at);
                self.report.keep(finding);
            }
        }
    }
}
