//! Records as files for others: what a browser, a spreadsheet or a pipeline reads.

pub mod html;
