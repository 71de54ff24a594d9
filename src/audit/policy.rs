//! What is expected of a fleet, and what does not comply.
//!
//! A policy is a TOML file of entries. The first entry that fits a record and names a setting decides about that setting:
//!
//! ```toml
//! [[expect]]
//! name = "domain controllers"           # for the report; all conditions are optional
//! path = ["dc/**", "dc-*.vhdx"]         # patterns of the target as its record has it, or of its end from a `/` on
//! windows = "vista+"                    # or "xp"
//! version = ">=10.0.17763"              # of SOFTWARE: major.minor.build.revision, as far as given
//! product_type = "domain_controller"    # or "client", "server"
//! at = "both"                           # or "next-boot" (the default), "capture"
//! rule = "unset"                        # or 0, 1, 2, "set", "any"
//! # a number, "on", "off", "set", "unset", "any"
//! neighbours = { ProhibitIpSec = "off", AllowL2TPWeakCrypto = "unset" }
//!
//! [[expect]]
//! rule = 2
//! ```

mod bound;
mod text;
mod wanted;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use globset::GlobMatcher;

pub use bound::Bound;
use text::{At, EntryText, Neighbour, ProductType, Text, Windows};
pub use wanted::Wanted;

use super::record::{Record, Status, Verdict, Violation};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::probe;

/// The most bytes of a policy.
pub const MOST_BYTES: u64 = 1 << 20;

/// Expectations, in their order.
#[derive(Debug, Default)]
pub struct Policy {
    entries: Vec<Entry>,
}

/// One expectation.
#[derive(Debug, Default)]
struct Entry {
    by: String,
    paths: Vec<GlobMatcher>,
    windows: Option<Windows>,
    version: Option<Bound>,
    product_type: Option<ProductType>,
    at: At,
    rule: Option<Wanted>,
    neighbours: BTreeMap<Neighbour, Wanted>,
    /// Whether it has fitted a Windows.
    has_fitted: AtomicBool,
}

impl Policy {
    /// The same of every Windows, at next boot.
    pub fn of_all(rule: Wanted) -> Self {
        let entry = Entry { by: "--expect".to_owned(), rule: Some(rule), ..Entry::default() };
        Policy { entries: vec![entry] }
    }

    /// Reads a policy from a file.
    ///
    /// # Errors
    /// As [`Policy::parse`]; the file cannot be read, or is longer than [`MOST_BYTES`].
    pub fn load(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        let failed = |e| Error::io(format!("cannot read {}: {e}", path.display()), e);
        let size = probe::stream(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        let name = format!("the policy {}", path.display());
        if size as u64 > MOST_BYTES {
            let line = line_at(&bytes, size);
            return Err(wrong(&name, &format!("it is longer than {MOST_BYTES} bytes, which end in line {line}")));
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text, &name),
            Err(error) => {
                let line = line_at(&bytes, error.valid_up_to());
                Err(wrong(&name, &format!("it is no UTF-8 text: line {line} holds other bytes")))
            }
        }
    }

    /// Reads a policy. Errors name it `name`, with the line that is wrong.
    ///
    /// # Errors
    /// `policy`: it is no TOML, or says what no policy can say.
    pub fn parse(source: &str, name: &str) -> Result<Self> {
        let text: Text = toml::from_str(source).map_err(|e| wrong(name, e.to_string().trim_end()))?;
        if text.expect.get_ref().is_empty() {
            let line = line_at(source.as_bytes(), text.expect.span().start);
            return Err(wrong(name, &format!("the expect in line {line} is empty, and expects nothing")));
        }
        let expect = text.expect.into_inner();
        let is_idle = |entry: &EntryText| entry.rule.is_none() && entry.neighbours.is_empty();
        if let Some(entry) = expect.iter().find(|entry| is_idle(entry.get_ref())) {
            let line = line_at(source.as_bytes(), entry.span().start);
            return Err(wrong(name, &format!("the [[expect]] in line {line} has neither rule nor neighbours")));
        }
        let entries = expect.into_iter().zip(1..);
        Ok(Policy { entries: entries.map(|(entry, number)| Entry::new(entry.into_inner(), number)).collect() })
    }

    /// Whether nothing is expected at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Names of the entries that have fitted no Windows so far.
    pub fn unfitted(&self) -> Vec<String> {
        let unfitted = self.entries.iter().filter(|entry| !entry.has_fitted.load(Ordering::Relaxed));
        unfitted.map(|entry| entry.by.clone()).collect()
    }

    /// Judges a record: `compliant` and `violations` are set anew.
    pub fn judge(&self, record: &mut Record) {
        record.violations = Vec::new();
        record.compliant = None;
        if record.status != Status::Read {
            return;
        }
        let mut judged = false;
        let fitting: Vec<&Entry> = self.entries.iter().filter(|entry| entry.fits(record)).collect();
        fitting.iter().for_each(|entry| entry.has_fitted.store(true, Ordering::Relaxed));
        if let Some((entry, wanted)) = fitting.iter().find_map(|entry| Some((entry, entry.rule?))) {
            judged = true;
            entry.judge("rule", wanted, record, |verdict, _| wanted::of_verdict(verdict));
        }
        for neighbour in Neighbour::ALL {
            let wanted = |entry: &Entry| entry.neighbours.get(&neighbour).copied();
            if let Some((entry, wanted)) = fitting.iter().find_map(|entry| Some((entry, wanted(entry)?))) {
                judged = true;
                let name = neighbour.name();
                entry.judge(name, wanted, record, |verdict, record| wanted::of_neighbour(verdict, name, record));
            }
        }
        record.compliant = judged.then_some(record.violations.is_empty());
    }
}

impl Entry {
    fn new(text: EntryText, number: usize) -> Self {
        let by = match &text.name {
            Some(name) => format!("expect {number} ({name})"),
            None => format!("expect {number}"),
        };
        let EntryText { name: _, path, windows, version, product_type, at, rule, neighbours } = text;
        Entry { by, paths: path, windows, version, product_type, at, rule, neighbours, ..Entry::default() }
    }

    fn fits(&self, record: &Record) -> bool {
        (self.paths.is_empty() || self.paths.iter().any(|path| path.is_match(&record.target)))
            && self.windows.is_none_or(|windows| record.decision.as_deref() == Some(windows.decision()))
            && self.product_type.is_none_or(|product| record.product_type.as_deref() == Some(product.name()))
            && self.version.as_ref().is_none_or(|bound| bound.holds(record))
    }

    fn judge(
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
                let (setting, at, by) = (setting.to_owned(), at.to_owned(), self.by.clone());
                violations.push(Violation { setting, at, expected: wanted.to_string(), found: found.to_string(), by });
            }
        }
        record.violations.append(&mut violations);
    }
}

/// The number of the line in which the byte at `offset` stands.
fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|&&byte| byte == b'\n').count()
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(Kind::Corrupt, Code::Policy, format!("{name} cannot be used: {what}"))
        .advise("`hivewright help audit` shows how a policy is written")
}

#[cfg(test)]
mod tests;
