//! Reading a hive where it lies: mapped, page by page, nothing written.

use std::path::Path;

use super::target::{self, Target};
use crate::error::Result;
use crate::hive::check::{self, Report};
use crate::hive::witness::{self, Testimony};
use crate::hive::{Hive, Opened, open};
use crate::storage::Mapped;
use crate::windows::{self, Era, RuleReport, rule};

/// A hive that is read.
#[derive(Debug)]
pub struct Reading {
    target: Target,
    map: Mapped,
}

/// What a hive says about the rule, and how sure that is.
#[derive(Debug)]
pub struct Answer {
    /// The report.
    pub report: RuleReport,
    /// Whether the hive is dirty, so that this is the answer of its primary file alone.
    pub dirty: bool,
    /// Primary and secondary sequence number.
    pub sequences: (u32, u32),
    /// Why the independent parser could not confirm it, if it could not.
    pub unconfirmed: Option<String>,
}

impl Reading {
    /// Finds and maps the hive that `path` stands for.
    pub fn of(path: &Path) -> Result<Self> {
        let target = target::find(path)?;
        let map = Mapped::open(&target.hive)?;
        Ok(Reading { target, map })
    }

    /// Which hive.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The full structural check.
    pub fn check(&self) -> Report {
        check::check(&self.map)
    }

    /// What the hive says about the rule; each value read is confirmed by an independent parser.
    ///
    /// # Errors
    /// Not a hive, or a root that cannot be read; `witness` where the other parser reads something else.
    pub fn rule(&self, era: Option<Era>) -> Result<Answer> {
        let opened = open(&self.map[..])?;
        let hive = opened.primary_alone();
        let report = windows::report(hive, era)?;
        let mut unconfirmed = None;
        for set in &report.control_sets {
            for service in set.services.iter().filter(|service| service.value.is_some()) {
                match self.confirm(hive, &service.path)? {
                    Testimony::Agrees => {}
                    Testimony::Silent(error) => unconfirmed = Some(error.to_string()),
                    Testimony::Differs(error) => return Err(error),
                }
            }
        }
        if let (Some(number), None) = (report.at_next_boot.control_set, &unconfirmed) {
            unconfirmed = self.confirm_absence(hive, &report, number)?;
        }
        let base = hive.base_block();
        Ok(Answer {
            report,
            dirty: matches!(opened, Opened::Dirty(_)),
            sequences: (base.primary_sequence.get(), base.secondary_sequence.get()),
            unconfirmed,
        })
    }

    /// Where the next boot finds no value, the other parser must not find one either.
    fn confirm_absence(&self, hive: &Hive<&[u8]>, report: &RuleReport, number: u32) -> Result<Option<String>> {
        let set = report.control_sets.iter().find(|set| set.number == number);
        match set.and_then(windows::report::ControlSetReport::counting).filter(|service| service.value.is_none()) {
            None => Ok(None),
            Some(service) => match self.confirm(hive, &service.path)? {
                Testimony::Agrees => Ok(None),
                Testimony::Silent(error) => Ok(Some(error.to_string())),
                Testimony::Differs(error) => Err(error),
            },
        }
    }

    fn confirm(&self, hive: &Hive<&[u8]>, path: &str) -> Result<Testimony> {
        let value = match hive.key(path)? {
            Some(key) => key.value(rule::NAME)?,
            None => None,
        };
        let Some(value) = value else { return Ok(witness::ask_about(&self.map, path, rule::NAME, None)) };
        let data = hive.data(&value)?;
        Ok(witness::ask_about(&self.map, path, rule::NAME, Some((value.data_type().0, &data))))
    }
}
