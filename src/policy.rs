//! Policies: expectations of the registry of many installations, and their evaluation.
//!
//! A policy is a TOML file. Its checks apply to any key and value of a Windows installation:
//!
//! ```toml
//! name = "servers"
//! [roles]
//! dc = ["dc/**", "dc-*.vhdx"]           # patterns of targets
//!
//! [[check]]
//! id = "smb1-server"
//! title = "The SMB 1 server is off"
//! severity = "high"                     # info, low, medium, high, critical
//! key = 'HKLM\SYSTEM\CurrentControlSet\Services\LanmanServer\Parameters'
//! value = "SMB1"                        # without it, the key itself
//! expect = { equals = 0 }
//! when = { role = "dc", version = ">=6.0" }
//! mend = { set = 0, create_key = false }
//! ```
//!
//! Its expectations apply to the L2TP/NAT-T setting of records. The first entry that matches a record and names a
//! setting decides on that setting:
//!
//! ```toml
//! [[expect]]
//! name = "domain controllers"           # for reports; all conditions are optional
//! path = ["dc/**", "dc-*.vhdx"]         # patterns of the target in its record, or of its end after a `/`
//! windows = "vista+"                    # or "xp"
//! version = ">=10.0.17763"              # of SOFTWARE: major.minor.build.revision, or fewer of them
//! product_type = "domain_controller"    # or "client", "server"
//! at = "both"                           # or "next-boot" (the default), "capture"
//! value = "unset"                        # or 0, 1, 2, "set", "any"
//! # a number, "on", "off", "set", "unset", "any"
//! related = { ProhibitIpSec = "off", AllowL2TPWeakCrypto = "unset" }
//!
//! [[expect]]
//! value = 2
//! ```

mod bound;
mod check;
mod condition;
mod datum;
mod evaluate;
mod expectation;
mod lookup;
mod path;
mod reg_file;
mod setting;
mod shipped;
mod text;
mod tree;
mod wanted;

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::probe;
use schemars::generate::SchemaSettings;

pub use check::{Check, Severity};
pub use condition::Facts;
pub use evaluate::{Outcome, Place, Scope, evaluate};
pub(crate) use reg_file::{action, path_of};
pub use shipped::{SHIPPED, Shipped};
pub use wanted::Wanted;

use path::Hives;
use setting::Entry;
use text::{EntryText, RelatedValue, Text};
use tree::Tree;

use crate::audit::record::{CheckResult, CheckStatus, Record, Status as Reading};
use crate::audit::shard::Fnv;

/// Size limit of a policy in bytes.
pub const MOST_BYTES: u64 = 1 << 20;
/// Size limit of a registration file in bytes.
const MOST_REG_BYTES: u64 = 64 << 20;

/// Expectations and checks, in their order.
#[derive(Debug, Default)]
pub struct Policy {
    entries: Vec<Entry>,
    checks: Checks,
}

/// The checks of all policies.
#[derive(Debug, Default)]
pub struct Checks {
    list: Vec<Check>,
    /// Keys of the checks, by hive.
    trees: Vec<(Hives, Tree)>,
    /// Hash of the sources of the checks.
    stamp: Fnv,
}

impl Checks {
    /// Returns the checks, in their order.
    pub fn list(&self) -> &[Check] {
        &self.list
    }

    /// Returns the hash of the sources of the checks as sixteen hexadecimal digits; `None` without checks.
    pub fn stamp(&self) -> Option<String> {
        (!self.list.is_empty()).then(|| format!("{:016x}", self.stamp.get()))
    }

    fn add(&mut self, checks: Vec<Check>, source: &[u8]) {
        if checks.is_empty() {
            return;
        }
        self.stamp = self.stamp.with(checks[0].policy.as_bytes()).with(&[0]).with(source).with(&[0]);
        for check in checks {
            let tree = match self.trees.iter().position(|(hives, _)| *hives == check.key.hives) {
                Some(known) => known,
                None => {
                    self.trees.push((check.key.hives.clone(), Tree::default()));
                    self.trees.len() - 1
                }
            };
            self.trees[tree].1.add(&check.key.parts, self.list.len());
            self.list.push(check);
        }
    }
}

/// Returns the JSON Schema of a policy.
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<Text>().to_value()
}

impl Policy {
    /// Creates a policy that expects one value of every Windows at next boot.
    pub fn of_all(value: Wanted) -> Self {
        let mut policy = Policy::default();
        policy.expect_of_all(value);
        policy
    }

    /// Adds the same to the entries.
    pub(crate) fn expect_of_all(&mut self, value: Wanted) {
        self.entries.push(Entry { by: "--expect".to_owned(), value: Some(value), ..Entry::default() });
    }

    /// Adds a policy from a file, or an included policy by its name.
    ///
    /// # Errors
    /// As [`Policy::add_text`]; the file cannot be read, or is longer than [`MOST_BYTES`]; two policies have one name.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        if let Some(shipped) = Shipped::named(path) {
            return self.add_text(shipped.text, shipped.name, None);
        }
        let name = format!("the policy {}", path.display());
        let bytes = read(path, &name, MOST_BYTES)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => self.add_text(text, &name, Some(path)),
            Err(error) => {
                let line = line_at(&bytes, error.valid_up_to());
                Err(invalid(&name, &format!("line {line} is not UTF-8")))
            }
        }
    }

    /// Adds one check for each line of a registration file.
    ///
    /// # Errors
    /// Syntax errors of the file; a key outside of the hives; the file cannot be read.
    pub fn add_reg_file(&mut self, path: &Path) -> Result<()> {
        let bytes = read(path, &path.display().to_string(), MOST_REG_BYTES)?;
        let policy: Arc<str> = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into();
        self.refuse_name(&policy)?;
        let checks = reg_file::checks(&bytes, &policy).map_err(|error| error.about(&path.display().to_string()))?;
        if checks.is_empty() {
            return Err(invalid(&path.display().to_string(), "it contains no changes, so there is nothing to expect"));
        }
        self.checks.add(checks, &bytes);
        Ok(())
    }

    /// Adds a policy from its text. Errors contain `name` and the line.
    ///
    /// # Errors
    /// `policy`: the text is not valid TOML, or not a valid policy.
    pub fn add_text(&mut self, source: &str, name: &str, path: Option<&Path>) -> Result<()> {
        let text: Text = toml::from_str(source).map_err(|e| invalid(name, e.to_string().trim_end()))?;
        let line = |at: usize| line_at(source.as_bytes(), at);
        let stem = path.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
        let policy: Arc<str> = text.name.or(stem).unwrap_or_else(|| name.to_owned()).into();
        if let Some(expect) = text.expect.as_ref().filter(|expect| expect.get_ref().is_empty()) {
            let line = line(expect.span().start);
            return Err(invalid(name, &format!("`expect` in line {line} is empty")));
        }
        let expect = text.expect.map_or_else(Vec::new, toml::Spanned::into_inner);
        if expect.is_empty() && text.check.is_empty() {
            return Err(invalid(name, "line 1: it has neither [[check]] nor [[expect]]"));
        }
        let is_empty = |entry: &EntryText| entry.value.is_none() && entry.related.is_empty();
        if let Some(entry) = expect.iter().find(|entry| is_empty(entry.get_ref())) {
            let line = line(entry.span().start);
            return Err(invalid(name, &format!("the [[expect]] in line {line} has neither value nor related")));
        }
        let (roles, mut ids, mut checks) = (Arc::new(text.roles), HashSet::new(), Vec::new());
        for check in text.check {
            let line = line(check.span().start);
            let read = check.into_inner().read(&policy, &roles, path.and_then(Path::parent), &mut ids);
            checks.push(read.map_err(|what| invalid(name, &format!("the [[check]] in line {line}: {what}")))?);
        }
        if !checks.is_empty() {
            self.refuse_name(&policy)?;
        }
        self.checks.add(checks, source.as_bytes());
        let entries = expect.into_iter().zip(self.entries.len() + 1..);
        self.entries.extend(entries.map(|(entry, number)| Entry::new(entry.into_inner(), number)));
        Ok(())
    }

    /// Refuses a second policy with the same name, since results contain the name.
    fn refuse_name(&self, policy: &str) -> Result<()> {
        match self.checks.list.iter().any(|check| &*check.policy == policy) {
            true => Err(invalid(&format!("the policy \"{policy}\""), "another policy has the same name")),
            false => Ok(()),
        }
    }

    /// Returns whether there are neither expectations nor checks.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.checks.list.is_empty()
    }

    /// Returns the checks, which are evaluated when a target is read.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Returns the names of the entries that have matched no Windows so far.
    pub fn unfitted(&self) -> Vec<String> {
        let unfitted = self.entries.iter().filter(|entry| !entry.has_fitted.load(Ordering::Relaxed));
        unfitted.map(|entry| entry.by.clone()).collect()
    }

    /// Judges a record: sets `compliant`, and replaces all `violations` except those of checks.
    pub fn judge(&self, record: &mut Record) {
        if record.checks_stamp != self.checks.stamp() {
            (record.checks, record.checks_stamp) = (Vec::new(), None);
            record.violations = Vec::new();
        }
        record.violations.retain(|violation| violation.key.is_some());
        record.compliant = None;
        if record.status != Reading::Read {
            return;
        }
        let is_judged = |result: &CheckResult| result.status != CheckStatus::NotApplicable;
        let mut judged = record.checks.iter().any(is_judged);
        let fitting: Vec<&Entry> = self.entries.iter().filter(|entry| entry.fits(record)).collect();
        fitting.iter().for_each(|entry| entry.has_fitted.store(true, Ordering::Relaxed));
        if let Some((entry, wanted)) = fitting.iter().find_map(|entry| Some((entry, entry.value?))) {
            judged = true;
            entry.judge("nat-t", wanted, record, |verdict, _| wanted::of_verdict(verdict));
        }
        for related in RelatedValue::ALL {
            let wanted = |entry: &Entry| entry.related.get(&related).copied();
            if let Some((entry, wanted)) = fitting.iter().find_map(|entry| Some((entry, wanted(entry)?))) {
                judged = true;
                let name = related.name();
                entry.judge(name, wanted, record, |verdict, record| wanted::of_related(verdict, name, record));
            }
        }
        record.compliant = judged.then_some(record.violations.is_empty());
    }
}

/// Reads a file of at most `most` bytes.
fn read(path: &Path, name: &str, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let failed = |e| Error::io(format!("cannot read {}: {e}", path.display()), e);
    let size = probe::stream(path)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if size as u64 > most {
        let line = line_at(&bytes, size);
        return Err(invalid(name, &format!("it is longer than {most} bytes, at line {line}")));
    }
    Ok(bytes)
}

/// Returns the number of the line that contains the byte at `offset`.
fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|&&byte| byte == b'\n').count()
}

fn invalid(name: &str, what: &str) -> Error {
    Error::new(Kind::Corrupt, Code::Policy, format!("{name} is invalid: {what}"))
        .advise("see `hivewright help audit` for the syntax of a policy")
}

#[cfg(test)]
mod tests;
