//! One binary, with one module for each subject.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
// Imports and helpers of tests that need Unix.
#![cfg_attr(not(unix), allow(unused_imports, dead_code))]

// Shells and programs of Unix run the commands.
#[cfg(unix)]
mod advised;
mod answers;
mod audit;
mod check_and_proof;
mod check_fixtures;
mod cli_commit;
mod cli_folders;
mod cli_get;
// Windows has no limit on the size of files.
#[cfg(unix)]
mod cli_limits;
mod cli_messages;
mod cli_output;
// Shells of Unix read the words; `shell.rs` has the test for those of Windows.
#[cfg(unix)]
mod cli_quoting;
mod cli_refusals;
mod cli_set;
mod command;
mod commit_faults;
mod commit_files;
mod containers;
mod copies;
mod corpus;
mod corpus_check;
mod corpus_dirty;
mod corpus_edit;
mod corpus_recovery;
mod corpus_truth;
mod dirty_clean;
mod dirty_edits;
mod dirty_faults;
mod dirty_fixtures;
mod dirty_hostile;
mod disks;
mod edit_properties;
mod face;
mod fixtures_judged;
mod hostile;
mod hostile_lists;
mod judges;
mod ntfs;
mod page_reads;
// Names of any bytes exist on Unix alone; there is a test for UTF-16.
#[cfg(unix)]
mod paths;
mod policy;
mod readme;
// The recipes are scripts of bash.
#[cfg(unix)]
mod recipes;
mod reg;
mod reg_text;
mod schemas;
mod security_descriptors;
mod support;
mod transaction;
mod wim;
mod windows_findings;
mod windows_pages;
