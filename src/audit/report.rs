//! Records as files for others: what a browser, a spreadsheet or a pipeline reads.

#[cfg(feature = "cli")]
pub mod csv;
pub mod html;
pub mod junit;
mod plain;
#[cfg(feature = "cli")]
pub mod schema;

pub use plain::plain;

use hivewright_storage::exact;

/// The whole of a path of the host, of which a report has the `shown` form: in hexadecimal, where that is not all.
fn whole(text: &str, hex: Option<&String>, shown: &str) -> Option<String> {
    hex.cloned().or_else(|| (text != shown).then(|| exact::whole(text)))
}
