//! Replay of logs that the tests write, with injected faults.

mod new_format;
mod old_format;
mod whole;

use super::writer::*;
use super::*;
use crate::{Hive, Opened, Step};

fn dirty(bytes: &[u8]) -> DirtyHive<&[u8]> {
    match Hive::open(bytes).unwrap() {
        Opened::Dirty(hive) => hive,
        Opened::Clean(_) => panic!("the hive is clean"),
    }
}

fn named<'l>(logs: &[&'l [u8]]) -> Vec<Log<'l>> {
    ["SYSTEM.LOG1", "SYSTEM.LOG2", "SYSTEM.LOG3"].iter().zip(logs).map(|(name, bytes)| Log { name, bytes }).collect()
}

fn recovered<'l>(hive: &'l [u8], logs: &[&'l [u8]]) -> Recovered<'l, &'l [u8]> {
    dirty(hive).recover(&named(logs)).unwrap_or_else(|failed| panic!("{}", failed.error))
}

fn refused<'l>(hive: &'l [u8], logs: &[&'l [u8]]) -> Unrecovered<DirtyHive<&'l [u8]>> {
    let failed = *dirty(hive).recover(&named(logs)).map(drop).unwrap_err();
    assert_eq!(*failed.hive.primary_alone().bytes(), hive, "the hive comes back");
    failed
}

/// Returns the marker in each bin.
fn markers(recovered: &Recovered<'_, &[u8]>) -> Vec<u8> {
    let bins = recovered.hive.length() / 4096;
    (0..bins).map(|i| recovered.hive.bytes().read(4096 + u64::from(i) * 4096 + 4000, 1).unwrap()[0]).collect()
}

/// Returns the number of each entry of a log and the reason why it was not applied.
fn entries(log: &LogReport) -> Vec<(u32, &'static str)> {
    log.entries.iter().map(|e| (e.sequence, e.left.map_or("", Rejection::code))).collect()
}

/// Checks that the logs are refused, the first because of `code`.
fn left_for(hive: &[u8], logs: &[&[u8]], code: &str) {
    let failed = refused(hive, logs);
    assert_eq!(failed.error.code(), "no-usable-log");
    assert_eq!(failed.report.logs[0].left.map(Rejection::code), Some(code));
    assert!(failed.error.what().contains(&failed.report.logs[0].name));
}
