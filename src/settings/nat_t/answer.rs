//! The answer of a hive, and the second parser that is asked about it.

use super::plan::obstacle;
use super::replayed;
use super::report::{SettingReport, report};
use super::value::NAME;
use crate::locate::{Obstacle, of_dirty};
use crate::read::{Reading, WitnessInput};
use crate::windows::{Era, Mistake};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_hive::check::{self, Report, Rule};
use hivewright_hive::recover::{self, Recovery};
use hivewright_hive::witness::{self, Testimony};
use hivewright_hive::{Hive, HiveBytes, Opened, binary_search};

const BY_LISTS: &str = "the second parser, nt-hive, finds the key only by going through the lists of subkeys: it puts \
                        letters beyond ASCII in another order than Windows does";
const NO_HARM: &str = "nothing: the answer is confirmed";
const UNCONFIRMED: &str = "the answer rests on this program alone: see whether `hivewright check` finds damage";

/// What a hive says about the setting, and how sure that is.
#[derive(Debug)]
pub struct Answer {
    /// The report; of a dirty hive, with its logs replayed if that can be done.
    pub report: SettingReport,
    /// Clean, or what came of its logs.
    pub state: Basis,
    /// Primary and secondary sequence number of the primary file; none if its base block cannot be read.
    pub sequences: Option<[u32; 2]>,
    /// Why the independent parser could not confirm it, if it could not.
    pub unconfirmed: Option<String>,
    /// What the hive itself has against an edit of the setting; [`HiveHandle::all_obstacles`](crate::locate::HiveHandle::all_obstacles) has what surrounds it.
    pub obstacles: Vec<Obstacle>,
}

/// What an answer rests on.
#[derive(Debug)]
pub enum Basis {
    /// Every finished write is in it.
    Clean,
    /// Its logs were replayed for the answer.
    Recovered {
        /// What was applied.
        recovery: Box<Recovery>,
        /// The answer of the primary file alone; none if that cannot be read without the logs.
        primary_alone: Option<Box<SettingReport>>,
    },
    /// It is dirty and no log could be applied: the answer is of the primary file alone.
    Alone {
        /// Why not.
        why: Error,
        /// What was found in the logs.
        recovery: Box<Recovery>,
    },
}

/// What the hive says about the setting; each value read is confirmed by an independent parser. Where that reads something
/// else, the verdict is unknown.
///
/// # Errors
/// Not a hive, or a root that cannot be read; `not-system` for a hive of another kind.
pub fn answer(reading: &Reading, era: Option<Era>) -> Result<Answer> {
    if let Some(pages) = reading.hive().paged() {
        match Hive::open(pages) {
            Ok(Opened::Clean(hive)) => {
                return confirmed(&hive, reading.hive(), era, Basis::Clean, Some(sequences(&hive)));
            }
            // What is no hive, and has no logs that could make it one again, is not read to its end.
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
                breaks if breaks.code() == recover::REPLAY_BREAKS => Err(breaks),
                // Without a log that fits, the file is what it looks like.
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

/// Reads the setting, and has the second parser confirm it. Where that reads something else, the answer is open.
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
            Testimony::Agrees => {}
            Testimony::AgreesByLists => match hidden(&check::check(&shown.all()?), &path) {
                Some(cause) => report.doubt(&path, cause),
                None => report.mistakes.push(Mistake::new(Code::SecondParser, &path, BY_LISTS, NO_HARM)),
            },
            Testimony::Silent(error) => {
                unconfirmed = Some(error.what().to_owned());
                report.mistakes.push(Mistake::new(Code::Unconfirmed, &path, error.what(), UNCONFIRMED));
            }
            Testimony::Differs(error) => {
                unconfirmed = Some(error.what().to_owned());
                let cause = hidden(&check::check(&shown.all()?), &path);
                report.doubt(&path, cause.unwrap_or_else(|| Mistake::of_error(error.code(), &path, &error, "")));
            }
        }
    }
    Ok(Answer { report, state, sequences, unconfirmed, obstacles })
}

/// Paths of the keys about which the witness is asked: wherever a value stands, and where the next boot finds none. What is
/// open already needs no witness.
fn to_confirm(report: &SettingReport) -> Vec<String> {
    let paths = report.control_sets.iter().flat_map(|set| {
        let next = report.at_next_boot.control_set == Some(set.number);
        let absent = set.counting().filter(|_| next).filter(|service| service.value.is_none());
        let with_value = set.services.iter().filter(|service| service.value.is_some());
        with_value.chain(absent).filter(|service| service.doubt.is_none()).map(|service| service.path.clone())
    });
    paths.collect()
}

fn confirm<B: HiveBytes, S: WitnessInput + ?Sized>(hive: &Hive<B>, shown: &S, path: &str) -> Result<Testimony> {
    let ours = || -> Result<_> {
        let Some(key) = hive.key(path)? else { return Ok(None) };
        let Some(value) = key.value(NAME)? else { return Ok(None) };
        Ok(Some((value.data_type().0, value.raw_data()?)))
    };
    let ours = match ours() {
        Ok(ours) => ours,
        Err(error) if error.kind() == Kind::Io => return Err(error),
        // The report has what stands in the way.
        Err(error) => return Ok(Testimony::Silent(error)),
    };
    let ours = ours.as_ref().map(|(kind, data)| (*kind, &**data));
    // Our own look-ups come first, so that what they touched is there. A witness who needs more gets all of it.
    if shown.is_partial()
        && binary_search::touch(hive, path).is_ok()
        && let Some(seen) = shown.seen()?
        && let agrees @ Testimony::Agrees = witness::ask_about(&seen, path, NAME, ours)
    {
        return Ok(agrees);
    }
    Ok(witness::ask_about(&shown.all()?, path, NAME, ours))
}

/// The finding by which Windows does not find a key on the way to `path`.
fn hidden(report: &Report, path: &str) -> Option<Mistake> {
    const HIDING: [Rule; 5] =
        [Rule::SubkeyOrder, Rule::SubkeyDuplicate, Rule::SubkeyHash, Rule::SubkeyHint, Rule::SubkeyCount];
    let is_on_the_way = |key: &str| match path.get(..key.len()) {
        Some(start) => start.eq_ignore_ascii_case(key) && matches!(path.as_bytes().get(key.len()), None | Some(b'\\')),
        None => false,
    };
    // An unsorted list hides keys beside those that it names.
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
    let advice = "Windows goes by this list: see what `hivewright check` finds, and take another copy of the hive";
    Some(Mistake::of_error(finding.rule.code(), place, &error, advice))
}
