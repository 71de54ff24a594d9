//! Replay of the old format, with repaired base blocks, so that most inputs are applied. See `replay::run` for an
//! input.
#![no_main]

mod replay;

use libfuzzer_sys::fuzz_target;

const HIVE: &[u8] = include_bytes!("../../fixtures/dirty/old-one-log/SYSTEM");

fuzz_target!(|data: &[u8]| replay::run(data, HIVE, |log, flags| {
    replay::mend_head(log, HIVE, if flags.numbered() { 2 } else { 1 });
}));
