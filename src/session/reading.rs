//! Reading a hive where it lies: mapped, page by page, nothing written.

use std::path::Path;

use super::logs::{LogChoice, LogFiles};
use super::target::{self, Target};
use super::undo::{self, Leftover};
use crate::error::{Error, Result};
use crate::hive::check::{self, Report};
use crate::hive::recover::{self, LogReport, Recovered, Recovery};
use crate::hive::witness::{self, Testimony};
use crate::hive::{Hive, HiveBytes, Opened, open};
use crate::regf::base_block::BaseBlock;
use crate::storage::Mapped;
use crate::storage::folder::kind_of;
use crate::windows::{self, Era, RuleReport, rule};

/// A hive that is read.
#[derive(Debug)]
pub struct Reading {
    target: Target,
    map: Mapped,
    logs: LogChoice,
}

/// The transaction logs of a hive.
#[derive(Debug, serde::Serialize)]
pub struct Logs {
    /// Whether the hive is dirty, so that it needs them.
    pub needed: bool,
    /// Whether they can be applied.
    pub usable: bool,
    /// Why not, if they are needed.
    pub why: Option<String>,
    /// Each of them.
    pub logs: Vec<LogReport>,
}

/// What a hive says about the rule, and how sure that is.
#[derive(Debug)]
pub struct Answer {
    /// The report; of a dirty hive, with its logs replayed if that can be done.
    pub report: RuleReport,
    /// Clean, or what came of its logs.
    pub state: State,
    /// Primary and secondary sequence number of the primary file; none if its base block cannot be read.
    pub sequences: Option<[u32; 2]>,
    /// Why the independent parser could not confirm it, if it could not.
    pub unconfirmed: Option<String>,
}

/// What a hive's primary file is worth.
#[derive(Debug)]
pub enum State {
    /// Every finished write is in it.
    Clean,
    /// Its logs were replayed for the answer.
    Recovered {
        /// What was applied.
        recovery: Box<Recovery>,
        /// The answer of the primary file alone; none if that cannot be read without the logs.
        primary_alone: Option<Box<RuleReport>>,
    },
    /// It is dirty and no log could be applied: the answer is of the primary file alone.
    Alone {
        /// Why not.
        why: Error,
        /// What was found in the logs.
        recovery: Box<Recovery>,
    },
}

impl Reading {
    /// Finds and maps the hive that `path` stands for.
    pub fn of(path: &Path, logs: LogChoice) -> Result<Self> {
        let target = target::find(path)?;
        let map = Mapped::open(&target.hive)?;
        Ok(Reading { target, map, logs })
    }

    /// The undo file of a write to the hive that did not end, if it left the hive partly written: whatever is read
    /// then is neither the old state nor the new one.
    pub fn unfinished(&self) -> Option<std::path::PathBuf> {
        // One look for the first of its names: listing a folder can cost more than all of the reading.
        kind_of(&undo::beside(&self.target.hive)).ok()?;
        match undo::find_unfinished(&self.target.hive) {
            Ok(Some(Leftover { undo, state: undo::State::Partly })) => Some(undo),
            _ => None,
        }
    }

    /// Which hive.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The full structural check of the primary file.
    pub fn check(&self) -> Report {
        check::check(&self.map)
    }

    /// What the logs hold and what a replay would make of them; none for a clean hive, unless `always`.
    ///
    /// # Errors
    /// Logs that cannot be read.
    pub fn logs(&self, always: bool) -> Result<Option<Logs>> {
        let (clean, readable) = match open(&self.map[..]) {
            Ok(Opened::Clean(_)) => (true, true),
            Ok(Opened::Dirty(_)) => (false, true),
            // Damage elsewhere than in what tells clean from dirty is no matter of the logs.
            Err(_) => (BaseBlock::parse(&self.map).is_ok_and(|base| !base.is_dirty()), false),
        };
        if clean && !always {
            return Ok(None);
        }
        let files = LogFiles::open(&self.target.hive, &self.logs)?;
        if !readable && !always && files.is_empty() {
            return Ok(None);
        }
        let logs = files.logs();
        if clean {
            return Ok(Some(Logs { needed: false, usable: false, why: None, logs: recover::list(&logs) }));
        }
        Ok(Some(match recover::recover_headless(&self.map[..], &logs) {
            Ok(recovered) => Logs { needed: true, usable: true, why: None, logs: recovered.report.logs },
            // A hive that cannot be opened for another reason than its last write.
            Err(failed) if failed.error.code() == "hive-clean" => {
                let unneeded = || Logs { needed: false, usable: false, why: None, logs: recover::list(&logs) };
                return Ok(always.then(unneeded));
            }
            Err(failed) => {
                let why = Some(failed.error.what().to_owned());
                Logs { needed: true, usable: false, why, logs: failed.report.logs }
            }
        }))
    }

    /// What the hive says about the rule; each value read is confirmed by an independent parser.
    ///
    /// # Errors
    /// Not a hive, or a root that cannot be read; `witness` where the other parser reads something else.
    pub fn rule(&self, era: Option<Era>) -> Result<Answer> {
        let opened = match open(&self.map[..]) {
            Ok(Opened::Clean(hive)) => return answer(&hive, &self.map, era, State::Clean, Some(sequences(&hive))),
            Ok(Opened::Dirty(hive)) => Ok(hive),
            Err(error) => Err(error),
        };
        let files = LogFiles::open(&self.target.hive, &self.logs)?;
        let logs = files.logs();
        match opened {
            Ok(dirty) => {
                let alone = windows::report(dirty.primary_alone(), era).ok().map(Box::new);
                let numbers = Some(sequences(dirty.primary_alone()));
                match dirty.recover(&logs) {
                    Ok(recovered) => recovered_answer(recovered, era, alone, numbers),
                    Err(failed) => {
                        let state = State::Alone { why: failed.error, recovery: Box::new(failed.report) };
                        answer(failed.hive.primary_alone(), &self.map, era, state, numbers)
                    }
                }
            }
            Err(error) => match recover::recover_headless(&self.map[..], &logs) {
                Ok(recovered) => recovered_answer(recovered, era, None, None),
                // Without a log that fits, the file is what it looks like.
                Err(_) => Err(error),
            },
        }
    }
}

fn sequences<B>(hive: &Hive<B>) -> [u32; 2] {
    let base = hive.base_block();
    [base.primary_sequence.get(), base.secondary_sequence.get()]
}

fn recovered_answer(
    recovered: Recovered<'_, &[u8]>,
    era: Option<Era>,
    primary_alone: Option<Box<RuleReport>>,
    sequences: Option<[u32; 2]>,
) -> Result<Answer> {
    // The witness wants all bytes in one piece.
    let whole = recovered.hive.bytes().to_vec()?;
    let state = State::Recovered { recovery: Box::new(recovered.report), primary_alone };
    answer(&recovered.hive, &whole, era, state, sequences)
}

fn answer<B: HiveBytes>(
    hive: &Hive<B>,
    whole: &[u8],
    era: Option<Era>,
    state: State,
    sequences: Option<[u32; 2]>,
) -> Result<Answer> {
    let report = windows::report(hive, era)?;
    let mut unconfirmed = None;
    for path in to_confirm(&report) {
        match confirm(hive, whole, path)? {
            Testimony::Agrees => {}
            Testimony::Silent(error) => unconfirmed = Some(error.to_string()),
            Testimony::Differs(error) => return Err(error),
        }
    }
    Ok(Answer { report, state, sequences, unconfirmed })
}

/// Paths of the keys about which the witness is asked: wherever a value stands, and where the next boot finds none.
fn to_confirm(report: &RuleReport) -> impl Iterator<Item = &str> {
    report.control_sets.iter().flat_map(|set| {
        let next = report.at_next_boot.control_set == Some(set.number);
        let absent = set.counting().filter(|_| next).filter(|service| service.value.is_none());
        let with_value = set.services.iter().filter(|service| service.value.is_some());
        with_value.chain(absent).map(|service| service.path.as_str())
    })
}

fn confirm<B: HiveBytes>(hive: &Hive<B>, whole: &[u8], path: &str) -> Result<Testimony> {
    let value = match hive.key(path)? {
        Some(key) => key.value(rule::NAME)?,
        None => None,
    };
    let Some(value) = value else { return Ok(witness::ask_about(whole, path, rule::NAME, None)) };
    let data = hive.data(&value)?;
    Ok(witness::ask_about(whole, path, rule::NAME, Some((value.data_type().0, &data))))
}
