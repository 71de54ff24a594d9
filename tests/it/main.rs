//! One binary, one module a subject.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod check_fixtures;
mod command;
mod commit_faults;
mod commit_files;
mod corpus;
mod corpus_check;
mod corpus_recovery;
mod corpus_truth;
mod edit_properties;
mod law;
mod ntfs;
mod support;
mod windows_mistakes;
mod windows_pages;
