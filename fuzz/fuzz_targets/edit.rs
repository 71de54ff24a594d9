//! The editor keeps a hive without errors free of errors, and never panics on a damaged hive. The first bytes select
//! the operations, the rest is the hive. Its base block is repaired, so that most inputs are opened.
#![no_main]

use hivewright_hive::check::check;
use hivewright_hive::regf::base_block::BaseBlock;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::{Delete, EditOptions, Hive, Opened};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 4] = ["AssumeUDPEncapsulationContextOnSendRule", "ImagePath", "", "Имя"];

fuzz_target!(|data: &[u8]| {
    let Some((plan, hive)) = data.split_at_checked(16) else { return };
    let mut bytes = hive.to_vec();
    mend(&mut bytes);
    let sound = check(&bytes).is_consistent();
    let before = check(&bytes).findings.len();
    for step in plan.chunks_exact(4) {
        let Ok(Opened::Clean(hive)) = Hive::open(bytes.clone()) else { return };
        let Some(at) = pick(&hive, step[0]) else { return };
        let name = NAMES[usize::from(step[1]) % NAMES.len()];
        let options = EditOptions { timestamp: Some(FileTime(1)), max_file_len: 1 << 22, above_sequence: None };
        let mut editor = hive.edit(options);
        let size = usize::from(step[2]) * usize::from(step[2]) / 2;
        let done = match step[3] % 4 {
            0 => editor.delete_value_at(at, name, Delete::Any),
            1 => editor.set_value_at(at, name, ValueType::DWORD, &[step[2], 0, 0, 0]),
            _ => editor.set_value_at(at, name, ValueType::BINARY, &vec![step[2]; size]),
        };
        let Ok(edited) = done.and_then(|_| editor.finish()) else { return };
        bytes = edited.bytes;
        if sound {
            let report = check(&bytes);
            assert!(report.is_consistent() && report.findings.len() <= before + 1, "{:?}", report.findings);
        }
    }
});

/// Returns a key somewhere below the root.
fn pick(hive: &hivewright_hive::Hive<Vec<u8>>, choice: u8) -> Option<hivewright_hive::regf::CellOffset> {
    let mut key = hive.root().ok()?;
    let mut choice = usize::from(choice);
    while choice > 0 {
        let keys: Vec<_> = key.subkeys().ok()?.collect::<Result<_, _>>().ok()?;
        let Some(next) = keys.into_iter().nth(choice % 4) else { break };
        key = next;
        choice /= 4;
    }
    Some(key.at())
}

fn mend(bytes: &mut [u8]) {
    let Ok(mut base) = BaseBlock::parse(bytes) else { return };
    base.secondary_sequence = base.primary_sequence;
    let checksum = base.computed_checksum().to_le_bytes();
    let sequence = base.primary_sequence.get().to_le_bytes();
    bytes[8..12].copy_from_slice(&sequence);
    bytes[508..512].copy_from_slice(&checksum);
}
