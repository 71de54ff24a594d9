//! The version of Windows of a hive: its control sets, version, product and services.

pub mod control_set;
mod kind;
pub(crate) mod lookup;
mod product;
mod selection;
pub(crate) mod services;
pub(crate) mod special;
pub mod version;

pub use kind::{kind, other_by_file_name};
pub use product::{Product, product};
pub use selection::Selection;
pub use services::Service;
pub use version::{Decision, Detection, Era};

use hivewright_error::{Code, Error, Kind, Place as Address, Space};

/// A finding: a part of the hive without its intended effect, or one that qualifies the answer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The stable code, in kebab case.
    pub code: Code,
    /// Path of the key or value below the root of the hive.
    pub place: String,
    /// The state found.
    pub what: String,
    /// The remedy.
    pub advice: String,
    /// The offset in the hive file in bytes, if it is a single place.
    pub offset: Option<u64>,
}

impl From<&Error> for Finding {
    /// Creates the finding for an unreadable hive.
    fn from(error: &Error) -> Self {
        Finding::of_error(error.code(), "", error, lookup::ADVICE)
    }
}

impl Finding {
    pub(crate) fn new(
        code: Code,
        place: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Finding { code, place: place.into(), what: what.into(), advice: advice.into(), offset: None }
    }

    /// Creates the finding of an error about a key or value.
    pub(crate) fn of_error(code: Code, place: impl Into<String>, error: &Error, advice: &str) -> Self {
        let offset = error.trail().iter().find(|place| place.space == Space::Hive).map(|place| place.offset);
        let advice = error.advice().unwrap_or(advice);
        Finding { offset, ..Finding::new(code, place, error.sentence(), advice) }
    }

    /// Returns whether `set` refuses because of it, or it is damage that hides a part of the hive.
    pub fn is_in_the_way(&self) -> bool {
        self.offset.is_some() || [Code::TombstoneValue, Code::SelectTombstone, Code::Unreadable].contains(&self.code)
    }

    fn with_place(&self) -> String {
        let place = if self.place.is_empty() { "the root key" } else { &self.place };
        let is_named = self.offset.is_none() || self.what.starts_with(place);
        if is_named { self.what.clone() } else { format!("{place}: {}", self.what) }
    }

    /// Returns the place and the state in one line.
    pub(crate) fn in_words(&self) -> String {
        match self.offset {
            Some(offset) => format!("{} ({})", self.with_place(), Address { space: Space::Hive, offset }),
            None => self.with_place(),
        }
    }

    /// Returns the error for a caller that cannot continue.
    pub fn to_error(&self, kind: Kind) -> Error {
        let error = Error::new(kind, self.code, self.with_place()).advise(self.advice.clone());
        match self.offset {
            Some(offset) => error.at(Space::Hive, offset),
            None => error,
        }
    }
}
