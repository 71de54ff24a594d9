//! The answer of a hive, and its confirmation by the second parser.

use super::plan::obstacle;
use super::replayed;
use super::report::{SettingReport, report};
use super::value::NAME;
use crate::locate::{Obstacle, of_dirty};
use crate::read::{Reading, WitnessInput};
use crate::windows::{Era, Finding};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_hive::check::{self, Report, Rule};
use hivewright_hive::recover::{self, Recovery};
use hivewright_hive::witness::{self, Confirmation};
use hivewright_hive::{Hive, HiveBytes, Opened, binary_search};

const BY_LISTS: &str = "the second parser, nt-hive, finds the key only by a linear search of the subkeys lists: it sorts letters beyond ASCII in another order than Windows";
const NO_HARM: &str = "nothing to do: the answer is confirmed";
const UNCONFIRMED: &str = "only this program confirms the answer: run `hivewright check` to find damage";

/// The answer of a hive about the setting, and its certainty.
#[derive(Debug)]
pub struct Answer {
    /// The report; for a dirty hive, with its logs replayed if possible.
    pub report: SettingReport,
    /// Whether the hive is clean, and the result of its logs.
    pub state: Basis,
    /// Primary and secondary sequence number of the primary file; `None` if its base block cannot be read.
    pub sequences: Option<[u32; 2]>,
    /// The reason why the second parser could not confirm the answer, if it could not.
    pub unconfirmed: Option<String>,
    /// The obstacles in the hive to an edit of the setting;
    /// [`HiveHandle::all_obstacles`](crate::locate::HiveHandle::all_obstacles) returns those of its file, volume and
    /// image.
    pub obstacles: Vec<Obstacle>,
}

/// The state of the hive that the answer is based on.
#[derive(Debug)]
pub enum Basis {
    /// The hive is clean: it includes every finished write.
    Clean,
    /// The logs were replayed for the answer.
    Recovered {
        /// The report on the replay.
        recovery: Box<Recovery>,
        /// The answer of the primary file alone; `None` if that cannot be read without the logs.
        primary_alone: Option<Box<SettingReport>>,
    },
    /// The hive is dirty and no log could be applied: the answer is that of the primary file alone.
    Alone {
        /// The reason.
        why: Error,
        /// The report on the logs.
        recovery: Box<Recovery>,
    },
}

/// Returns the hive's answer about the setting. An independent parser confirms each value; where it reads something
/// else, the verdict is unknown.
///
/// # Errors
/// The file is not a hive, or its root key cannot be read; `not-system` for a hive of another kind.
pub fn answer(reading: &Reading, era: Option<Era>) -> Result<Answer> {
    if let Some(pages) = reading.hive().paged() {
        match Hive::open(pages) {
            Ok(Opened::Clean(hive)) => {
                return confirmed(&hive, reading.hive(), era, Basis::Clean, Some(sequences(&hive)));
            }
            // A file that is not a hive, and has no logs to recover it from, is not read to its end.
            Err(error) if reading.log_files()?.hold_nothing() => return Err(error),
            _ => {}
        }
    }
    let whole = reading.hive().whole()?;
    let opened = match Hive::open(whole) {
        Ok(Opened::Clean(hive)) => return confirmed(&hive, whole, era, Basis::Clean, Some(sequences(&hive))),
        Ok(Opened::Dirty(hive)) => Ok(hive),
        Err(error) => Err(error),
    };
    let files = reading.log_files()?;
    let logs = files.logs();
    let replayed = recover::replay(whole, &logs);
    let mut answer = match opened {
        Ok(dirty) => {
            let primary = dirty.primary_alone();
            let (alone, numbers) = (report(primary, era).ok(), Some(sequences(primary)));
            match replayed.map_err(Ok).and_then(|it| replayed::answer_of(it, era, alone, numbers)) {
                Ok(answer) => Ok(answer),
                Err(failed) => {
                    let failed = failed?;
                    let state = Basis::Alone { why: failed.error, recovery: Box::new(failed.report) };
                    confirmed(primary, whole, era, state, numbers)
                }
            }
        }
        Err(error) => match replayed.map_err(Ok).and_then(|it| replayed::answer_of(it, era, None, None)) {
            Ok(answer) => Ok(answer),
            Err(failed) => match failed?.error {
                breaks if breaks.code() == Code::ReplayBreaks => Err(breaks),
                // Without a matching log, the file is not a hive.
                _ => Err(reading.no_hive(error)),
            },
        },
    }?;
    if let Basis::Recovered { recovery, .. } | Basis::Alone { recovery, .. } = &mut answer.state {
        files.name(&mut recovery.logs);
    }
    Ok(answer)
}

fn sequences<B>(hive: &Hive<B>) -> [u32; 2] {
    let base = hive.base_block();
    [base.primary_sequence.get(), base.secondary_sequence.get()]
}

/// Reads the setting and lets the second parser confirm it. Where that reads something else, the answer is unknown.
pub(super) fn confirmed<B: HiveBytes, S: WitnessInput + ?Sized>(
    hive: &Hive<B>,
    shown: &S,
    era: Option<Era>,
    state: Basis,
    sequences: Option<[u32; 2]>,
) -> Result<Answer> {
    let mut report = report(hive, era)?;
    let dirty = if let Basis::Alone { why, .. } = &state { Some(of_dirty(why)) } else { None };
    let obstacles = dirty.into_iter().chain(obstacle(hive, era)?).collect();
    let mut unconfirmed = None;
    for path in to_confirm(&report) {
        match confirm(hive, shown, &path)? {
            Confirmation::Agrees => {}
            Confirmation::AgreesLinearly => match hidden(&check::check(&shown.all()?), &path) {
                Some(cause) => report.doubt(&path, cause),
                None => report.findings.push(Finding::new(Code::SecondParser, &path, BY_LISTS, NO_HARM)),
            },
            Confirmation::Silent(error) => {
                unconfirmed = Some(error.what().to_owned());
                report.findings.push(Finding::new(Code::Unconfirmed, &path, error.what(), UNCONFIRMED));
            }
            Confirmation::Differs(error) => {
                unconfirmed = Some(error.what().to_owned());
                let cause = hidden(&check::check(&shown.all()?), &path);
                report.doubt(&path, cause.unwrap_or_else(|| Finding::of_error(error.code(), &path, &error, "")));
            }
        }
    }
    Ok(Answer { report, state, sequences, unconfirmed, obstacles })
}

/// Returns the paths of the keys that the second parser reads: those with a value, and those where the next boot finds
/// none. Unknown answers need no confirmation.
fn to_confirm(report: &SettingReport) -> Vec<String> {
    let paths = report.control_sets.iter().flat_map(|set| {
        let next = report.at_next_boot.control_set == Some(set.number);
        let absent = set.counting().filter(|_| next).filter(|service| service.value.is_none());
        let with_value = set.services.iter().filter(|service| service.value.is_some());
        with_value.chain(absent).filter(|service| service.doubt.is_none()).map(|service| service.path.clone())
    });
    paths.collect()
}

fn confirm<B: HiveBytes, S: WitnessInput + ?Sized>(hive: &Hive<B>, shown: &S, path: &str) -> Result<Confirmation> {
    let ours = || -> Result<_> {
        let Some(key) = hive.key(path)? else { return Ok(None) };
        let Some(value) = key.value(NAME)? else { return Ok(None) };
        Ok(Some((value.data_type().0, value.raw_data()?)))
    };
    let ours = match ours() {
        Ok(ours) => ours,
        Err(error) if error.kind() == Kind::Io => return Err(error),
        // The report has the obstacle.
        Err(error) => return Ok(Confirmation::Silent(error)),
    };
    let ours = ours.as_ref().map(|(kind, data)| (*kind, &**data));
    // The look-ups of this parser come first, so that their pages are read. A second parser that needs more gets all
    // bytes.
    if shown.is_partial()
        && binary_search::touch(hive, path).is_ok()
        && let Some(seen) = shown.seen()?
        && let agrees @ Confirmation::Agrees = witness::confirm_value(&seen, path, NAME, ours)
    {
        return Ok(agrees);
    }
    Ok(witness::confirm_value(&shown.all()?, path, NAME, ours))
}

/// Returns the finding because of which Windows does not find a key of `path`.
fn hidden(report: &Report, path: &str) -> Option<Finding> {
    const HIDING: [Rule; 5] =
        [Rule::SubkeyOrder, Rule::SubkeyDuplicate, Rule::SubkeyHash, Rule::SubkeyHint, Rule::SubkeyCount];
    let is_on_the_way = |key: &str| match path.get(..key.len()) {
        Some(start) => start.eq_ignore_ascii_case(key) && matches!(path.as_bytes().get(key.len()), None | Some(b'\\')),
        None => false,
    };
    // An unsorted list may hide other keys than those in its findings.
    let parent = |key: &str| key.rsplit_once('\\').map_or(String::new(), |(parent, _)| parent.to_owned());
    let finding = report.errors().find(|finding| {
        let key = finding.key.as_deref().unwrap_or_default();
        let hides = match finding.rule {
            Rule::SubkeyHash | Rule::SubkeyHint => is_on_the_way(key),
            _ => parent(key).is_empty() || is_on_the_way(&parent(key)),
        };
        HIDING.contains(&finding.rule) && hides
    })?;
    let what = format!("Windows may not find the key: {}", finding.what);
    let mut error = Error::new(Kind::Corrupt, finding.rule.code(), what).at(Space::Hive, finding.offset);
    if let (Some(expected), Some(actual)) = (&finding.expected, &finding.actual) {
        error = error.expected(expected, actual);
    }
    let place = finding.key.clone().unwrap_or_default();
    let advice = "Windows uses this list: run `hivewright check`, and use another copy of the hive";
    Some(Finding::of_error(finding.rule.code(), place, &error, advice))
}
