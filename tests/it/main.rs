//! Integration tests: one binary, one module a subject.

mod ntfs;
mod support;
