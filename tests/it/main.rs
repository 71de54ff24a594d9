//! One binary, one module a subject.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod check_fixtures;
mod cli_commit;
mod cli_folders;
mod cli_get;
mod cli_output;
mod cli_refusals;
mod cli_set;
mod command;
mod commit_faults;
mod commit_files;
mod copies;
mod corpus;
mod corpus_check;
mod corpus_edit;
mod corpus_recovery;
mod corpus_truth;
mod edit_properties;
mod fixtures_judged;
mod judges;
mod law;
mod readme;
mod support;
mod windows_mistakes;
mod windows_pages;
