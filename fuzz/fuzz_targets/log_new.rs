//! Replay of the new format, with repaired hashes, so that most inputs are applied. See `replay::run` for an input.
#![no_main]

mod replay;

use hivewright_hive::regf::marvin32::{LOG_SEED, marvin32};
use libfuzzer_sys::fuzz_target;
use replay::Flags;

const HIVE: &[u8] = include_bytes!("../../fixtures/dirty/new-two-logs/SYSTEM");

fuzz_target!(|data: &[u8]| replay::run(data, HIVE, mend));

fn mend(log: &mut [u8], flags: &Flags) {
    replay::mend_head(log, HIVE, 6);
    let Some(mut number) = log.get(4..8).map(|raw| u32::from_le_bytes(raw.try_into().unwrap())) else { return };
    let mut at = 512;
    while let Some(entry) = log.get_mut(at..).filter(|entry| entry.len() >= 40 && entry.starts_with(b"HvLE")) {
        let size = u32::from_le_bytes(entry[4..8].try_into().unwrap()) as usize;
        if flags.numbered() {
            entry[12..16].copy_from_slice(&number.to_le_bytes());
            number = number.wrapping_add(1);
        }
        if let Some(data) = entry.get(40..size) {
            let hash = marvin32(LOG_SEED, data);
            entry[24..32].copy_from_slice(&hash.to_le_bytes());
        }
        let hash = marvin32(LOG_SEED, &entry[..32]);
        entry[32..40].copy_from_slice(&hash.to_le_bytes());
        // Sizes that cannot be end here, as they end a replay.
        let Some(next) = at.checked_add(size).filter(|_| size >= 512) else { return };
        at = next;
    }
}
