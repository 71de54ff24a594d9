//! Integration tests: one binary, one module a subject.

#![allow(clippy::cast_possible_truncation, clippy::unwrap_used)]

mod ntfs;
mod support;
