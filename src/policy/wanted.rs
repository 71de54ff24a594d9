//! The expected and the actual state of a setting.

use std::fmt;
use std::str::FromStr;

use crate::audit::record::{Record, Verdict};
use hivewright_error::{Code, Error, Kind};

/// Expected state of a setting. An absent value is `unset`, and not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This number.
    Number(u32),
    /// Present, with an established meaning.
    Set,
    /// Absent.
    Unset,
    /// Present, and not 0.
    On,
    /// Absent, or 0.
    Off,
    /// Any state; ends the search for an expectation.
    Any,
}

impl FromStr for Wanted {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "set" => Ok(Wanted::Set),
            "unset" => Ok(Wanted::Unset),
            "on" => Ok(Wanted::On),
            "off" => Ok(Wanted::Off),
            "any" => Ok(Wanted::Any),
            _ => text.parse().map(Wanted::Number).map_err(|_| {
                let what = format!("\"{text}\" is not an expectation: use a number, set, unset, on, off or any");
                Error::new(Kind::NotFound, Code::Expectation, what)
            }),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Number(number) => write!(f, "{number}"),
            Wanted::Set => f.write_str("set"),
            Wanted::Unset => f.write_str("unset"),
            Wanted::On => f.write_str("on"),
            Wanted::Off => f.write_str("off"),
            Wanted::Any => f.write_str("any"),
        }
    }
}

/// Actual state of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Number(u32),
    Unset,
    /// Present, with an effect that is not established; contains the number, if it is one.
    Undefined(Option<u32>),
    Unknown,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Number(number) => write!(f, "{number}"),
            Found::Unset => f.write_str("unset"),
            Found::Undefined(Some(number)) => write!(f, "undefined ({number})"),
            Found::Undefined(None) => f.write_str("undefined"),
            Found::Unknown => f.write_str("unknown"),
        }
    }
}

impl Wanted {
    pub(super) fn allows(self, found: Found) -> bool {
        match (self, found) {
            (Wanted::Any, _) | (Wanted::Set, Found::Number(_)) | (Wanted::Unset | Wanted::Off, Found::Unset) => true,
            (Wanted::Number(wanted), Found::Number(number)) => wanted == number,
            (Wanted::On, Found::Number(number)) => number != 0,
            (Wanted::Off, Found::Number(number)) => number == 0,
            _ => false,
        }
    }
}

/// Returns the state of the setting in a verdict.
pub(super) fn of_verdict(verdict: &Verdict) -> Found {
    match (&*verdict.state, verdict.value) {
        ("set", Some(number)) => Found::Number(number),
        ("unset", _) => Found::Unset,
        ("undefined", value) => Found::Undefined(value),
        _ => Found::Unknown,
    }
}

/// Returns the state of a related value in the control set of a verdict.
pub(super) fn of_related(verdict: &Verdict, name: &str, record: &Record) -> Found {
    let set = record.control_sets.iter().find(|set| Some(set.number) == verdict.control_set);
    let Some(set) = set else { return Found::Unknown };
    let below = |place: &str| place.strip_prefix(&*set.name).is_some_and(|rest| rest.starts_with('\\'));
    match record.related.iter().find(|found| found.name == name && below(&found.place)) {
        Some(found) => found.value.map_or(Found::Undefined(None), Found::Number),
        // An unreadable value may be present.
        None if record.findings.iter().any(|it| it.code == Code::Unreadable && below(&it.place)) => Found::Unknown,
        None => Found::Unset,
    }
}
