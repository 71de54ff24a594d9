//! The L2TP/NAT-T setting: the REG_DWORD [`NAME`], which decides whether the L2TP/IPsec client of Windows talks to VPN
//! servers behind NAT.
//!
//! [`fn@report`] reads any readable hive; damage is part of the report. [`answer()`] does the same for a hive with its
//! logs, confirmed by the second parser. [`SettingChange`] yields the operations of an edit, or refuses. All look keys
//! up by name and read a few dozen pages of a hive.
//!
//! Vista and later read the value from `Services\PolicyAgent` (KB926179), XP and Server 2003 from `Services\IPSec`
//! (KB885407, KB926179). [`crate::windows::version`] decides which of them applies.

mod answer;
mod findings;
mod plan;
mod related;
mod replayed;
pub mod report;
mod value;

pub use answer::{Answer, Basis, answer};
pub use plan::{Place, SettingChange, Wanted, plan};
pub(crate) use plan::{obstacle, obstacles_of_dirty};
pub use related::RelatedValue;
pub use report::{ControlSetReport, SettingReport, report};
pub use value::{MAX_SHOWN, NAME, Presence, ServiceReport, SettingState, SettingValue, Verdict, meaning};
