//! What the setting means: the rule, the control sets, and which Windows reads it from where.
//!
//! [`fn@report`] reads and never refuses what it can read; damage on the way is named in the report. [`fn@plan`] names the
//! service keys that a write has to edit, or refuses. Both look up by name and touch a few dozen pages of a hive.
//!
//! The rule is the REG_DWORD [`rule::NAME`]. Vista and later read it from `Services\PolicyAgent` (KB926179), XP and
//! Server 2003 from `Services\IPSec` (KB885407, KB926179). Which of them a hive belongs to is decided in [`version`].

pub mod control_set;
mod look;
mod mistakes;
mod neighbour;
mod plan;
mod product;
pub mod report;
pub mod rule;
mod selection;
mod services;
pub mod version;

pub use neighbour::Neighbour;
pub use plan::{Place, plan};
pub use product::{Product, product};
pub use report::{RuleReport, report};
pub use selection::Selection;
pub use services::Service;
pub use version::{Decision, Detection, Era};

/// Something in the hive that does not do what its author meant, or that a reader of the answer has to know.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mistake {
    /// Stable, in kebab case.
    pub code: &'static str,
    /// Path of the key or value below the root of the hive.
    pub place: String,
    /// What is there.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

impl Mistake {
    fn new(code: &'static str, place: impl Into<String>, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Mistake { code, place: place.into(), what: what.into(), advice: advice.into() }
    }
}
