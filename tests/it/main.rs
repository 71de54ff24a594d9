//! One binary, one module a subject.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod check_fixtures;
mod command;
mod commit_faults;
mod commit_files;
mod corpus;
mod corpus_check;
mod corpus_dirty;
mod corpus_recovery;
mod corpus_truth;
mod dirty_clean;
mod dirty_edits;
mod dirty_faults;
mod dirty_fixtures;
mod dirty_hostile;
mod edit_properties;
mod law;
mod support;
mod windows_mistakes;
mod windows_pages;
