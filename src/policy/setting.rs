//! Expectations of the L2TP/NAT-T setting and related values, which are compared with a record: `[[expect]]`.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::bound::Bound;
use super::condition::{Patterns, ProductType, Windows};
use super::text::{At, EntryText, RelatedValue};
use super::wanted::{self, Wanted};
use crate::audit::record::{Record, Verdict, Violation};

/// One expectation.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) by: String,
    pub(super) path: Option<Patterns>,
    pub(super) windows: Option<Windows>,
    pub(super) version: Option<Bound>,
    pub(super) product_type: Option<ProductType>,
    pub(super) at: At,
    pub(super) value: Option<Wanted>,
    pub(super) related: BTreeMap<RelatedValue, Wanted>,
    /// Whether it has matched a Windows.
    pub(super) has_fitted: AtomicBool,
}

impl Entry {
    pub(super) fn new(text: EntryText, number: usize) -> Self {
        let by = match &text.name {
            Some(name) => format!("expect {number} ({name})"),
            None => format!("expect {number}"),
        };
        let EntryText { name: _, path, windows, version, product_type, at, value, related } = text;
        Entry { by, path, windows, version, product_type, at, value, related, ..Entry::default() }
    }

    /// Returns whether it applies to a record. An unknown fact matches no condition.
    pub(super) fn fits(&self, record: &Record) -> bool {
        let version = |bound: &Bound| bound.holds(record.version.as_deref(), record.build, record.revision);
        self.path.as_ref().is_none_or(|path| path.matches(&record.target))
            && self.windows.is_none_or(|windows| windows.holds(record.decision.as_deref()) == Some(true))
            && self.product_type.is_none_or(|product| record.product_type.as_deref() == Some(product.name()))
            && self.version.as_ref().is_none_or(|bound| version(bound) == Some(true))
    }

    pub(super) fn judge(
        &self,
        setting: &str,
        wanted: Wanted,
        record: &mut Record,
        found: impl Fn(&Verdict, &Record) -> wanted::Found,
    ) {
        let verdicts =
            [("next-boot", &record.at_next_boot, At::Capture), ("capture", &record.at_capture, At::NextBoot)];
        let mut violations = Vec::new();
        for (at, verdict, other) in verdicts {
            let found = verdict.as_ref().map_or(wanted::Found::Unknown, |verdict| found(verdict, record));
            if self.at != other && !wanted.allows(found) {
                let (setting, at, by) = (setting.to_owned(), Some(at.to_owned()), self.by.clone());
                let (expected, found) = (wanted.to_string(), found.to_string());
                violations.push(Violation { setting, at, expected, found, by, ..Violation::default() });
            }
        }
        record.violations.append(&mut violations);
    }
}
