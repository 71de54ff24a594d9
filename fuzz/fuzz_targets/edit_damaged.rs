//! Every operation of the editor on damaged hives: no panic, memory bounded by the hive and its growth, and patches
//! that apply and revert. The first bytes select the operations, the rest is the hive. Its base block is repaired, so
//! that most inputs are opened.
#![no_main]

use hivewright_hive::regf::base_block::BaseBlock;
use hivewright_hive::regf::name::Name;
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::{CreateOptions, Data, EditOptions, Editor, Hive, KeyPath, Opened, Result, Text};
use libfuzzer_sys::fuzz_target;

/// Size of an operation in bytes.
const OPERATION: usize = 4;
/// Size of all operations in bytes.
const PLAN: usize = 8 * OPERATION;

fuzz_target!(|data: &[u8]| {
    let Some((plan, hive)) = data.split_at_checked(PLAN) else { return };
    let mut bytes = hive.to_vec();
    mend(&mut bytes);
    let Ok(Opened::Clean(hive)) = Hive::open(bytes.clone()) else { return };
    let paths = paths(&hive);
    let options = EditOptions { timestamp: Some(FileTime(1)), max_file_len: 1 << 22, above_sequence: None };
    let mut editor = hive.edit(options);
    for operation in plan.chunks_exact(OPERATION) {
        let _ = carry_out(&mut editor, operation, &paths);
    }
    let Ok(edited) = editor.finish() else { return };
    let mut applied = bytes.clone();
    edited.patches.apply(&mut applied).expect("the patches were made for these bytes");
    assert!(applied == edited.bytes);
    edited.patches.revert(&mut applied).expect("the patches led here");
    assert!(applied == bytes);
});

fn carry_out(editor: &mut Editor, operation: &[u8], paths: &[KeyPath<'static>]) -> Result<bool> {
    let path = &paths[usize::from(operation[1]) % paths.len()];
    let other = &paths[usize::from(operation[2]) % paths.len()];
    let name = Name::from_units(&[0x61 + u16::from(operation[2] % 8), u16::from(operation[3]) << 8]);
    let mut below = path.clone();
    below.push(&name);
    let size = usize::from(operation[3]) * usize::from(operation[3]) / 2;
    match operation[0] % 10 {
        0 => editor.create_key(&below),
        1 => editor.delete_key(path),
        2 => editor.rename_key(path, &name),
        3 => editor.copy_key(other, &below),
        4 => editor.set_value(path, &name, &Data::Binary(vec![operation[2]; size])),
        5 => editor.delete_value(path, &name),
        6 => editor.delete_all_values(path).map(|count| count > 0),
        7 => editor.set_security(path, CreateOptions::default().security),
        8 => editor.set_class(path, Some(&Text::from_bytes(vec![operation[2]; usize::from(operation[3])]))),
        _ => {
            let created = Hive::create(5, &CreateOptions::default())?;
            editor.copy_key_from(&created.root()?, &below)
        }
    }
}

/// Returns the root and some keys below it.
fn paths(hive: &Hive<Vec<u8>>) -> Vec<KeyPath<'static>> {
    let mut paths = vec![KeyPath::default()];
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned().filter(|_| paths.len() < 64) {
        next += 1;
        let Ok(Some(key)) = hive.key(&path) else { continue };
        let Ok(subkeys) = key.subkeys() else { continue };
        for subkey in subkeys.take(8).flatten() {
            let mut below = path.clone();
            below.push(subkey.name().clone().into_owned());
            paths.push(below);
        }
    }
    paths
}

fn mend(bytes: &mut [u8]) {
    let Ok(mut base) = BaseBlock::parse(bytes) else { return };
    base.secondary_sequence = base.primary_sequence;
    let checksum = base.computed_checksum().to_le_bytes();
    let sequence = base.primary_sequence.get().to_le_bytes();
    bytes[8..12].copy_from_slice(&sequence);
    bytes[508..512].copy_from_slice(&checksum);
}
