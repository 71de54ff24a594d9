//! What is expected of a fleet, and what does not comply.
//!
//! A policy is a TOML file of entries. The first entry that fits a record and names a setting decides about that setting:
//!
//! ```toml
//! [[expect]]
//! name = "domain controllers"           # for the report; all conditions are optional
//! path = ["dc/**", "**/dc-*.vhdx"]      # patterns of the target's name
//! windows = "vista+"                    # or "xp"
//! version = ">=10.0.17763"              # of SOFTWARE: major.minor.build.revision, as far as given
//! product_type = "domain_controller"    # or "client", "server"
//! at = "both"                           # or "next-boot" (the default), "capture"
//! rule = "unset"                        # or 0, 1, 2, "set", "any"
//! neighbours = { ProhibitIpSec = "off", AllowL2TPWeakCrypto = "unset" }
//!
//! [[expect]]
//! rule = 2
//! ```

mod bound;
mod wanted;

use std::io::Read;
use std::path::Path;

use globset::GlobMatcher;
use serde::Deserialize;

pub use bound::Bound;
pub use wanted::Wanted;

use super::find::pattern;
use super::record::{Record, Status, Verdict, Violation};
use crate::error::{Error, Kind, Result};
use crate::storage::look;

/// The most bytes of a policy.
pub const MOST_BYTES: u64 = 1 << 20;
/// Values next door that a policy may name.
const NEIGHBOURS: [&str; 3] = ["ProhibitIpSec", "AllowL2TPWeakCrypto", "NegotiateDH2048_AES256"];

/// Expectations, in their order.
#[derive(Debug, Default)]
pub struct Policy {
    entries: Vec<Entry>,
}

/// One expectation.
#[derive(Debug)]
struct Entry {
    by: String,
    paths: Vec<GlobMatcher>,
    windows: Option<String>,
    version: Option<Bound>,
    product_type: Option<String>,
    at: At,
    rule: Option<Wanted>,
    neighbours: Vec<(String, Wanted)>,
}

/// Which verdict is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum At {
    #[default]
    NextBoot,
    Capture,
    Both,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    expect: Vec<EntryText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    name: Option<String>,
    path: Option<OneOrMore>,
    windows: Option<String>,
    version: Option<Bound>,
    product_type: Option<String>,
    #[serde(default)]
    at: At,
    rule: Option<Wanted>,
    #[serde(default)]
    neighbours: std::collections::BTreeMap<String, Wanted>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Policy {
    /// The same of every Windows, at next boot.
    pub fn of_all(rule: Wanted) -> Self {
        let entry = Entry {
            by: "--expect".to_owned(),
            paths: Vec::new(),
            windows: None,
            version: None,
            product_type: None,
            at: At::NextBoot,
            rule: Some(rule),
            neighbours: Vec::new(),
        };
        Policy { entries: vec![entry] }
    }

    /// Reads a policy from a file.
    ///
    /// # Errors
    /// As [`Policy::parse`]; the file cannot be read, or is longer than [`MOST_BYTES`].
    pub fn load(path: &Path) -> Result<Self> {
        let mut text = String::new();
        let failed = |e| Error::io(format!("cannot read {}: {e}", path.display()), e);
        let size = look::stream(path)?.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        if size as u64 > MOST_BYTES {
            return Err(wrong("it is too long for one"));
        }
        Self::parse(&text)
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// `policy`: it is no TOML, or says what no policy can say.
    pub fn parse(text: &str) -> Result<Self> {
        let text: Text = toml::from_str(text).map_err(|e| wrong(e.to_string().trim_end()))?;
        let entries = text.expect.into_iter().zip(1..).map(|(entry, number)| Entry::new(entry, number));
        Ok(Policy { entries: entries.collect::<Result<_>>()? })
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
        if let Some((entry, wanted)) = fitting.iter().find_map(|entry| Some((entry, entry.rule?))) {
            judged = true;
            entry.judge("rule", wanted, record, |verdict, _| wanted::of_verdict(verdict));
        }
        for name in NEIGHBOURS {
            let wanted =
                |entry: &Entry| entry.neighbours.iter().find(|(own, _)| own == name).map(|(_, wanted)| *wanted);
            if let Some((entry, wanted)) = fitting.iter().find_map(|entry| Some((entry, wanted(entry)?))) {
                judged = true;
                entry.judge(name, wanted, record, |verdict, record| wanted::of_neighbour(verdict, name, record));
            }
        }
        record.compliant = judged.then_some(record.violations.is_empty());
    }
}

impl Entry {
    fn new(text: EntryText, number: usize) -> Result<Self> {
        let by = match &text.name {
            Some(name) => format!("expect {number} ({name})"),
            None => format!("expect {number}"),
        };
        let one_of = |what: &str, value: &Option<String>, known: &[&str]| match value {
            Some(value) if !known.contains(&&**value) => {
                Err(wrong(&format!("{by}: {what} \"{value}\" is none of {}", known.join(", "))))
            }
            _ => Ok(()),
        };
        one_of("windows", &text.windows, &["xp", "vista+"])?;
        one_of("product_type", &text.product_type, &["client", "server", "domain_controller"])?;
        for name in text.neighbours.keys() {
            one_of("neighbours:", &Some(name.clone()), &NEIGHBOURS)?;
        }
        if text.rule.is_none() && text.neighbours.is_empty() {
            return Err(wrong(&format!("{by} expects nothing: it has neither rule nor neighbours")));
        }
        let paths = match text.path {
            None => Vec::new(),
            Some(OneOrMore::One(path)) => vec![path],
            Some(OneOrMore::More(paths)) => paths,
        };
        Ok(Entry {
            by,
            paths: paths.iter().map(|path| pattern::compile(path)).collect::<Result<_>>()?,
            windows: text.windows,
            version: text.version,
            product_type: text.product_type,
            at: text.at,
            rule: text.rule,
            neighbours: text.neighbours.into_iter().collect(),
        })
    }

    fn fits(&self, record: &Record) -> bool {
        let windows = match record.decision.as_deref() {
            Some("PolicyAgent") => Some("vista+"),
            Some("IPSec") => Some("xp"),
            _ => None,
        };
        let same =
            |wanted: &Option<String>, is: Option<&str>| wanted.as_deref().is_none_or(|wanted| is == Some(wanted));
        (self.paths.is_empty() || self.paths.iter().any(|path| path.is_match(&record.target)))
            && same(&self.windows, windows)
            && same(&self.product_type, record.product_type.as_deref())
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

fn wrong(what: &str) -> Error {
    Error::new(Kind::NotFound, "policy", format!("the policy cannot be used: {what}"))
        .advise("`hivewright help audit` shows how a policy is written")
}

#[cfg(test)]
mod tests;
