//! Replay of the old format. The first byte says what to mend and how to call, the second how many sectors the first
//! log has; the rest is both logs, their base blocks mended so that most inputs get through.
#![no_main]

mod replay;

use hivewright::hive::recover::Log;
use libfuzzer_sys::fuzz_target;
use replay::Flags;

const HIVE: &[u8] = include_bytes!("../../fixtures/dirty/old-one-log/SYSTEM");

fuzz_target!(|data: &[u8]| {
    let [flags, sectors, rest @ ..] = data else { return };
    let flags = Flags(*flags);
    let hive = replay::hive(HIVE, &flags);
    let mut rest = rest.to_vec();
    let split = rest.len().min(usize::from(*sectors) * 512);
    let (first, second) = rest.split_at_mut(split);
    if !flags.raw() {
        for log in [&mut *first, &mut *second] {
            replay::mend_head(log, HIVE, if flags.numbered() { 2 } else { 1 });
        }
    }
    let mut logs = [Log { name: "SYSTEM.LOG1", bytes: first }, Log { name: "SYSTEM.LOG2", bytes: second }];
    if flags.swapped() {
        logs.swap(0, 1);
    }
    replay::replay(&hive, &logs);
});
