//! The command on disk images: its findings and costs, and that it changes nothing.

mod corpus_images;
mod elsewhere;
pub(crate) mod faults;
pub(crate) mod fixtures;
mod formats;
pub(crate) mod growth;
mod obstacles;
mod prefixes;
mod reading;
mod real;
pub(crate) mod volumes;
mod writing;

use std::path::Path;

use hivewright_fixtures::{Release, SystemHive};

use crate::command::{Run, hivewright_in};
use crate::support::hex;

/// Creates a hive of Windows 10 with the setting 1.
pub(crate) fn hive() -> Vec<u8> {
    SystemHive::new(Release::Win10).with_right_setting(1, 1).build().bytes
}

pub(crate) fn run(folder: &Path, args: &[&str]) -> Run {
    hivewright_in(folder, args)
}

pub(crate) fn json(run: &Run) -> serde_json::Value {
    serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {run:?}"))
}

pub(crate) fn sha256(path: &Path) -> String {
    hex::sha256(&std::fs::read(path).unwrap())
}
