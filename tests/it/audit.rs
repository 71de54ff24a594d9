//! `hivewright audit` of generated images, hives and folders.

mod accounted;
mod chains;
mod contents;
mod damaged;
mod formats;
mod found;
mod killed;
mod kubernetes;
mod large;
mod maker;
mod opened;
mod ordered;
mod page;
mod parts;
mod policies;
// The recipe is a script of bash and Dask.
#[cfg(unix)]
mod recipe;
mod resumed;
// A script of sh is the qemu-nbd that never answers.
#[cfg(unix)]
mod unanswered;
mod unwritten;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::command::{Run, hivewright_in};

/// Runs `hivewright audit` in `folder`.
pub(crate) fn audit(folder: &Path, args: &[&str]) -> Run {
    hivewright_in(folder, [&["audit"], args].concat())
}

/// Parses the records of a run, by target and part. Asserts that each line is a record, and none occurs twice.
pub(crate) fn records(text: &str) -> BTreeMap<(String, u64), Value> {
    let mut all = BTreeMap::new();
    assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let target = record["target"].as_str().unwrap();
        let key = (slashed(target), record["part"].as_u64().unwrap());
        assert!(all.insert(key, record).is_none(), "twice: {line}");
    }
    all
}

/// Returns a path as tests name it: with slashes.
pub(crate) fn slashed(path: &str) -> String {
    if cfg!(windows) { path.replace('\\', "/") } else { path.to_owned() }
}

/// Removes the fields that differ from run to run.
pub(crate) fn steady(mut records: BTreeMap<(String, u64), Value>) -> BTreeMap<(String, u64), Value> {
    for record in records.values_mut() {
        for field in ["audited_at", "seconds"] {
            record[field] = Value::Null;
        }
    }
    records
}

/// Returns the records of one target.
pub(crate) fn of(records: &BTreeMap<(String, u64), Value>, target: &str) -> Vec<Value> {
    records.iter().filter(|((name, _), _)| name == target).map(|(_, record)| record.clone()).collect()
}
