//! Records as files for others: what a browser, a spreadsheet or a pipeline reads.

pub mod csv;
pub mod html;
pub mod junit;
mod plain;
pub mod schema;

pub use plain::plain;
