//! One binary, one module a subject.
#![allow(clippy::unwrap_used)]

mod corpus_recovery;
