//! What a hive tells of its Windows: the control sets, the version, the product, the services.

pub mod control_set;
mod kind;
pub(crate) mod look;
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

/// Something in the hive that does not do what its author meant, or that a reader of the answer has to know.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mistake {
    /// Stable, in kebab case.
    pub code: Code,
    /// Path of the key or value below the root of the hive.
    pub place: String,
    /// What is there.
    pub what: String,
    /// What to do about it.
    pub advice: String,
    /// Where it stands, in bytes from the start of the hive file, if that is one place.
    pub offset: Option<u64>,
}

impl From<&Error> for Mistake {
    /// The mistake for a hive of which nothing can be read.
    fn from(error: &Error) -> Self {
        Mistake::of_error(error.code(), "", error, look::ADVICE)
    }
}

impl Mistake {
    pub(crate) fn new(
        code: Code,
        place: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Mistake { code, place: place.into(), what: what.into(), advice: advice.into(), offset: None }
    }

    /// What an error says of a key or value.
    pub(crate) fn of_error(code: Code, place: impl Into<String>, error: &Error, advice: &str) -> Self {
        let offset = error.trail().iter().find(|place| place.space == Space::Hive).map(|place| place.offset);
        let advice = error.advice().unwrap_or(advice);
        Mistake { offset, ..Mistake::new(code, place, error.sentence(), advice) }
    }

    /// Whether `set` refuses because of it, or damage keeps something from being read.
    pub fn is_in_the_way(&self) -> bool {
        self.offset.is_some() || [Code::TombstoneValue, Code::SelectTombstone, Code::Unreadable].contains(&self.code)
    }

    fn with_place(&self) -> String {
        let place = if self.place.is_empty() { "the root key" } else { &self.place };
        let is_named = self.offset.is_none() || self.what.starts_with(place);
        if is_named { self.what.clone() } else { format!("{place}: {}", self.what) }
    }

    /// What is there and where, in one line.
    pub(crate) fn in_words(&self) -> String {
        match self.offset {
            Some(offset) => format!("{} ({})", self.with_place(), Address { space: Space::Hive, offset }),
            None => self.with_place(),
        }
    }

    /// The error of a caller that cannot go on with this.
    pub fn to_error(&self, kind: Kind) -> Error {
        let error = Error::new(kind, self.code, self.with_place()).advise(self.advice.clone());
        match self.offset {
            Some(offset) => error.at(Space::Hive, offset),
            None => error,
        }
    }
}
