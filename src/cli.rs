//! Words for people.

pub mod report;
