//! The report of a check.

use std::fmt::{self, Display};

#[cfg(feature = "serde")]
use serde::ser::SerializeMap;
#[cfg(feature = "serde")]
use serde::{Serialize, Serializer};

use super::rules::{Rule, Severity};
use crate::regf::CellOffset;
use hivewright_error::Error;

/// Maximum number of findings of one rule that are kept; the others are only counted.
pub const FINDINGS_KEPT: u64 = 1000;
/// Minimum limit for the text of findings, in bytes, for small files.
const TEXT_FLOOR: usize = 1 << 20;

/// The outcome of a check.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Report {
    /// The findings, in the order of their offsets: at most [`FINDINGS_KEPT`] of each rule, and fewer if their text
    /// would exceed the size of the file.
    pub findings: Vec<Finding>,
    /// The number of findings of each rule, including those that are not kept.
    pub counts: Counts,
    /// Facts about the readable part of the hive.
    pub facts: Facts,
    #[cfg_attr(feature = "serde", serde(skip))]
    text_left: usize,
}

/// A broken rule at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Finding {
    /// The rule; `code` in JSON.
    #[cfg_attr(feature = "serde", serde(rename = "code"))]
    pub rule: Rule,
    /// The severity, equal to [`Rule::severity`]; a field for users of the JSON.
    pub severity: Severity,
    /// The offset in the hive file, in bytes.
    pub offset: u64,
    /// The damaged cell, or the cell with the wrong reference.
    #[cfg_attr(feature = "serde", serde(serialize_with = "cell_as_number"))]
    pub cell: Option<CellOffset>,
    /// The target of a wrong reference.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub target: Option<CellOffset>,
    /// The damaged key value.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub of_value: Option<CellOffset>,
    /// Path of the key, relative to the root; the path of the root is empty.
    pub key: Option<String>,
    /// Name of the value, if the finding is about a value and its name can be read; empty for the default value.
    #[cfg_attr(feature = "serde", serde(rename = "value_name"))]
    pub value: Option<String>,
    /// One sentence fragment, lower case, without a full stop.
    pub what: String,
    /// The value that the format requires, if known.
    pub expected: Option<String>,
    /// The value found.
    pub actual: Option<String>,
}

/// The number of findings of each rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; Rule::ALL.len()]);

/// Numbers of bins, cells, keys and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Facts {
    /// Hive bins.
    pub bins: u64,
    /// Cells of all bins.
    pub cells: u64,
    /// Allocated cells.
    pub allocated_cells: u64,
    /// Free cells.
    pub free_cells: u64,
    /// Bytes of the free cells.
    pub free_bytes: u64,
    /// Bytes of the largest free cell.
    pub largest_free_cell: u64,
    /// Keys reached from the root, including the root.
    pub keys: u64,
    /// Values of those keys.
    pub values: u64,
    /// Distinct key securities that those keys use.
    pub key_securities: u64,
    /// Size of all hive bins in bytes, as in the base block.
    pub length: u64,
    /// Bytes of the file.
    pub file_len: u64,
    /// Bytes of the file after the last bin.
    pub slack: u64,
}

impl Report {
    pub(super) fn for_file(len: usize) -> Self {
        Report {
            findings: Vec::new(),
            counts: Counts([0; Rule::ALL.len()]),
            facts: Facts { file_len: len as u64, ..Facts::default() },
            text_left: len.max(TEXT_FLOOR),
        }
    }

    /// Counts a finding; returns whether to keep it.
    pub(super) fn count(&mut self, rule: Rule) -> bool {
        let count = &mut self.counts.0[rule as usize];
        *count += 1;
        *count <= FINDINGS_KEPT && self.text_left > 0
    }

    /// Keeps a finding that [`Report::count`] has counted.
    pub(super) fn keep(&mut self, finding: Finding) {
        self.text_left = self.text_left.saturating_sub(finding.memory());
        self.findings.push(finding);
    }

    /// Counts a finding and keeps it if there is room.
    pub(super) fn add(&mut self, finding: Finding) {
        if self.count(finding.rule) {
            self.keep(finding);
        }
    }

    /// Adds a finding of another check of the same hive, in the order of offsets.
    pub fn include(&mut self, finding: Finding) {
        self.add(finding);
        self.findings.sort_by_key(|finding| (finding.offset, finding.rule));
    }

    /// Returns the highest severity among the findings; `None` if there are none.
    pub fn worst(&self) -> Option<Severity> {
        self.counts.iter().map(|(rule, _)| rule.severity()).max()
    }

    /// Returns the number of findings of one severity.
    pub fn count_of(&self, severity: Severity) -> u64 {
        self.counts.iter().filter(|(rule, _)| rule.severity() == severity).map(|(_, count)| count).sum()
    }

    /// Returns the errors that were kept.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

    /// Returns whether there is no error. Only then may the hive be edited.
    pub fn is_consistent(&self) -> bool {
        self.count_of(Severity::Error) == 0
    }
}

impl Finding {
    pub(super) fn new(rule: Rule, offset: u64, what: impl Into<String>) -> Self {
        let severity = rule.severity();
        Finding {
            rule,
            severity,
            offset,
            cell: None,
            target: None,
            of_value: None,
            key: None,
            value: None,
            what: what.into(),
            expected: None,
            actual: None,
        }
    }

    pub(super) fn from_error(rule: Rule, error: &Error) -> Self {
        let mut finding = Finding::new(rule, error.trail().first().map_or(0, |place| place.offset), error.what());
        finding.expected = error.wanted().map(str::to_owned);
        finding.actual = error.actual().map(str::to_owned);
        finding
    }

    pub(super) fn expected(mut self, expected: impl Display, actual: impl Display) -> Self {
        self.expected = Some(expected.to_string());
        self.actual = Some(actual.to_string());
        self
    }

    /// Describes the key and the value of the finding, for users.
    pub fn owner(&self) -> Option<String> {
        let key = self.key.as_deref()?;
        let key = if key.is_empty() { "the root key" } else { key };
        Some(match self.value.as_deref() {
            None => key.to_owned(),
            Some("") => format!("{key}, the default value"),
            Some(value) => format!("{key}, value {value}"),
        })
    }

    fn memory(&self) -> usize {
        let text = [&self.key, &self.value, &self.expected, &self.actual]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum::<usize>();
        size_of::<Finding>() + self.what.len() + text
    }
}

impl Display for Finding {
    /// Writes one line, without the severity.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)?;
        if let (Some(expected), Some(actual)) = (&self.expected, &self.actual) {
            write!(f, ", expected {expected}, found {actual}")?;
        }
        write!(f, " (hive {:#x})", self.offset)?;
        match self.owner() {
            Some(owner) => write!(f, " at {owner}"),
            None => Ok(()),
        }
    }
}

impl Counts {
    /// Returns the number of findings of one rule.
    pub fn of(&self, rule: Rule) -> u64 {
        self.0[rule as usize]
    }

    /// Returns every broken rule and its number of findings, in the order of [`Rule::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Rule, u64)> + '_ {
        Rule::ALL.iter().map(|&rule| (rule, self.of(rule))).filter(|&(_, count)| count > 0)
    }
}

#[cfg(feature = "serde")]
impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (rule, count) in self.iter() {
            map.serialize_entry(&rule, &count)?;
        }
        map.end()
    }
}

#[cfg(feature = "serde")]
fn cell_as_number<S: Serializer>(cell: &Option<CellOffset>, serializer: S) -> Result<S::Ok, S::Error> {
    cell.map(|at| at.0).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_thousand_of_each_code_and_counts_the_rest() {
        let mut report = Report::for_file(8 << 20);
        for i in 0..FINDINGS_KEPT + 5 {
            report.add(Finding::new(Rule::UnreferencedCell, i, "x"));
        }
        report.add(Finding::new(Rule::CellSize, 1, "y"));
        assert_eq!(report.findings.len() as u64, FINDINGS_KEPT + 1);
        assert_eq!(report.counts.of(Rule::UnreferencedCell), FINDINGS_KEPT + 5);
        assert_eq!((report.worst(), report.errors().count()), (Some(Severity::Error), 1));
        assert!(!report.is_consistent());
    }

    #[test]
    fn text_is_bounded_by_the_file_size() {
        let mut report = Report::for_file(10);
        for &rule in Rule::ALL {
            for i in 0..FINDINGS_KEPT {
                report.add(Finding::new(rule, i, "x".repeat(4096)));
            }
        }
        assert!(report.findings.len() < 300, "{} findings were kept", report.findings.len());
        assert_eq!(report.counts.of(Rule::ALL[Rule::ALL.len() - 1]), FINDINGS_KEPT);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn json_has_names_and_numbers() {
        let mut report = Report::for_file(0);
        let mut finding = Finding::new(Rule::CellShared, 4136, "a class name").expected("one", "two");
        finding.cell = Some(CellOffset(0x20));
        report.add(finding);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["findings"][0]["code"], "cell-shared");
        assert_eq!(json["findings"][0]["severity"], "error");
        assert_eq!(json["findings"][0]["offset"], 4136);
        assert_eq!(json["findings"][0]["cell"], 0x20);
        assert_eq!(json["counts"], serde_json::json!({"cell-shared": 1}));
        assert_eq!(report.findings[0].to_string(), "cell-shared: a class name, expected one, found two (hive 0x1028)");
    }
}
