//! Reports: records in the formats of browsers, spreadsheets and pipelines.

#[cfg(feature = "cli")]
pub mod csv;
pub mod html;
pub mod junit;
pub mod markdown;
mod plain;
pub mod sarif;
#[cfg(feature = "cli")]
pub mod schema;

pub use plain::plain;

use hivewright_storage::exact;

/// Returns the complete path in hexadecimal if its `shown` form in a report is incomplete.
fn whole(text: &str, hex: Option<&String>, shown: &str) -> Option<String> {
    hex.cloned().or_else(|| (text != shown).then(|| exact::whole(text)))
}
