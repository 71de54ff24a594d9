//! One binary, one module a subject.
#![allow(clippy::unwrap_used)]

mod corpus;
mod corpus_truth;
mod get_text;
mod windows_mistakes;
mod windows_pages;
