//! One binary, one module a subject.
#![allow(clippy::unwrap_used)]

mod corpus;
mod corpus_truth;
mod edit_properties;
mod law;
mod windows_mistakes;
mod windows_pages;
