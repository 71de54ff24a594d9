//! The answer of a hive, and the second parser that is asked about it.

use super::shown::Shown;
use super::{Answer, State};
use crate::session::disk::{of_dirty, of_plan};
use crate::windows::{self, Era, Mistake, RuleReport, rule};
use hivewright_error::{Error, Kind, Result, Space};
use hivewright_hive::check::{self, Code, Report};
use hivewright_hive::witness::{self, Testimony};
use hivewright_hive::{Hive, HiveBytes, binary_search};

const BY_LISTS: &str = "the second parser, nt-hive, finds the key only by going through the lists of subkeys: it puts \
                        letters beyond ASCII in another order than Windows does";
const NO_HARM: &str = "nothing: the answer is confirmed";
const UNCONFIRMED: &str = "the answer rests on this program alone: see whether `hivewright check` finds damage";

/// Reads the setting, and has the second parser confirm it. Where that reads something else, the answer is open.
pub(super) fn answer<B: HiveBytes, S: Shown + ?Sized>(
    hive: &Hive<B>,
    shown: &S,
    era: Option<Era>,
    state: State,
    sequences: Option<[u32; 2]>,
) -> Result<Answer> {
    let mut report = windows::report(hive, era)?;
    let dirty = if let State::Alone { why, .. } = &state { Some(of_dirty(why)) } else { None };
    let obstacles = dirty.into_iter().chain(of_plan(hive, era)?).collect();
    let mut unconfirmed = None;
    for path in to_confirm(&report) {
        match confirm(hive, shown, &path)? {
            Testimony::Agrees => {}
            Testimony::AgreesByLists => match hidden(&check::check(&shown.all()?), &path) {
                Some(cause) => report.doubt(&path, cause),
                None => report.mistakes.push(Mistake::new("second-parser", &path, BY_LISTS, NO_HARM)),
            },
            Testimony::Silent(error) => {
                unconfirmed = Some(error.what().to_owned());
                report.mistakes.push(Mistake::new("unconfirmed", &path, error.what(), UNCONFIRMED));
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
fn to_confirm(report: &RuleReport) -> Vec<String> {
    let paths = report.control_sets.iter().flat_map(|set| {
        let next = report.at_next_boot.control_set == Some(set.number);
        let absent = set.counting().filter(|_| next).filter(|service| service.value.is_none());
        let with_value = set.services.iter().filter(|service| service.value.is_some());
        with_value.chain(absent).filter(|service| service.doubt.is_none()).map(|service| service.path.clone())
    });
    paths.collect()
}

fn confirm<B: HiveBytes, S: Shown + ?Sized>(hive: &Hive<B>, shown: &S, path: &str) -> Result<Testimony> {
    let ours = || -> Result<_> {
        let Some(key) = hive.key(path)? else { return Ok(None) };
        let Some(value) = key.value(rule::NAME)? else { return Ok(None) };
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
        && let agrees @ Testimony::Agrees = witness::ask_about(&seen, path, rule::NAME, ours)
    {
        return Ok(agrees);
    }
    Ok(witness::ask_about(&shown.all()?, path, rule::NAME, ours))
}

/// The finding by which Windows does not find a key on the way to `path`.
fn hidden(report: &Report, path: &str) -> Option<Mistake> {
    const HIDING: [Code; 5] =
        [Code::SubkeyOrder, Code::SubkeyDuplicate, Code::SubkeyHash, Code::SubkeyHint, Code::SubkeyCount];
    let is_on_the_way = |key: &str| match path.get(..key.len()) {
        Some(start) => start.eq_ignore_ascii_case(key) && matches!(path.as_bytes().get(key.len()), None | Some(b'\\')),
        None => false,
    };
    // An unsorted list hides keys beside those that it names.
    let parent = |key: &str| key.rsplit_once('\\').map_or(String::new(), |(parent, _)| parent.to_owned());
    let finding = report.errors().find(|finding| {
        let key = finding.key.as_deref().unwrap_or_default();
        let hides = match finding.code {
            Code::SubkeyHash | Code::SubkeyHint => is_on_the_way(key),
            _ => parent(key).is_empty() || is_on_the_way(&parent(key)),
        };
        HIDING.contains(&finding.code) && hides
    })?;
    let what = format!("Windows may not find the key: {}", finding.what);
    let mut error = Error::new(Kind::Corrupt, finding.code.as_str(), what).at(Space::Hive, finding.offset);
    if let (Some(expected), Some(actual)) = (&finding.expected, &finding.actual) {
        error = error.expected(expected, actual);
    }
    let place = finding.key.clone().unwrap_or_default();
    let advice = "Windows goes by this list: see what `hivewright check` finds, and take another copy of the hive";
    Some(Mistake::of_error(finding.code.as_str(), place, &error, advice))
}
