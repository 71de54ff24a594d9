//! Shared code of the targets of the logs: repaired logs, and the invariants of every replay.

use hivewright_hive::check::check;
use hivewright_hive::recover::{Log, highest_sequence, list, recover_without_base_block};
use hivewright_hive::regf::base_block::BaseBlock;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::{EditOptions, Hive, Opened};

/// Parts of the first byte of an input.
pub struct Flags(pub u8);

impl Flags {
    /// Do not repair checksums and hashes.
    pub fn raw(&self) -> bool {
        self.0 & 1 != 0
    }

    /// Returns whether the base block of the hive is invalid.
    pub fn headless(&self) -> bool {
        self.0 & 2 != 0
    }

    /// Number the entries consecutively.
    pub fn numbered(&self) -> bool {
        self.0 & 4 != 0
    }

    /// Returns whether the logs are in reverse order.
    pub fn swapped(&self) -> bool {
        self.0 & 8 != 0
    }
}

/// Takes an input apart and replays it over `hive`: the first byte says what to mend and how to call, the second how
/// many sectors the first log has, the rest is both logs. `mend` makes a log one that gets through.
pub fn run(data: &[u8], hive: &[u8], mend: impl Fn(&mut [u8], &Flags)) {
    let [flags, sectors, rest @ ..] = data else { return };
    let flags = Flags(*flags);
    let mut primary = hive.to_vec();
    if flags.headless() {
        primary[508] ^= 0xff;
    }
    let mut rest = rest.to_vec();
    let split = rest.len().min(usize::from(*sectors) * 512);
    let (first, second) = rest.split_at_mut(split);
    if !flags.raw() {
        mend(first, &flags);
        mend(second, &flags);
    }
    let mut logs = [Log { name: "SYSTEM.LOG1", bytes: first }, Log { name: "SYSTEM.LOG2", bytes: second }];
    if flags.swapped() {
        logs.swap(0, 1);
    }
    replay(&primary, &logs);
}

/// Makes the base block of a log one of `hive`: all but its sequence numbers and its length are the hive's.
pub fn mend_head(log: &mut [u8], hive: &[u8], file_type: u8) {
    let Some(head) = log.first_chunk_mut::<512>() else { return };
    let mut mended = *hive.first_chunk::<512>().unwrap();
    mended[4..12].copy_from_slice(&head[4..12]);
    mended[40..44].copy_from_slice(&head[40..44]);
    mended[28] = file_type;
    let checksum = BaseBlock::parse(&mended).unwrap().computed_checksum();
    mended[508..].copy_from_slice(&checksum.to_le_bytes());
    *head = mended;
}

/// Replays; whatever comes of it, the result is a clean hive, the patches lead to it and back, a second replay finds
/// nothing to do, and an edit is numbered above the logs.
fn replay(primary: &[u8], logs: &[Log<'_>]) {
    let size: u64 = logs.iter().map(|log| log.bytes.len() as u64).sum();
    let highest = highest_sequence(logs);
    let entries: usize = list(logs).iter().map(|log| log.entries.len()).sum();
    assert!(entries as u64 * 512 <= size);
    let recovered = match recover_without_base_block(primary, logs) {
        Ok(recovered) => recovered,
        Err(failed) => return assert_eq!(failed.hive, primary),
    };
    assert!(recovered.report.bytes <= size);
    let whole = recovered.hive.bytes().to_vec().unwrap();
    assert!(whole.len() as u64 <= primary.len() as u64 + size);
    let patches = recovered.patches().unwrap();
    let mut patched = primary.to_vec();
    patches.apply(&mut patched).unwrap();
    assert!(patched == whole);
    patches.revert(&mut patched).unwrap();
    assert!(patched == primary);
    let again = recover_without_base_block(&whole[..], logs).map(drop).unwrap_err();
    assert_eq!(again.error.code(), "hive-clean");
    let _ = check(&whole);
    let Opened::Clean(hive) = Hive::open(whole).unwrap() else { panic!("dirty") };
    edit(hive, highest);
}

fn edit(hive: Hive<Vec<u8>>, highest: Option<u32>) {
    let Ok(root) = hive.root().map(|root| root.at()) else { return };
    let options = EditOptions { timestamp: None, max_file_len: 1 << 22, above_sequence: highest };
    let mut editor = hive.edit(options);
    let Ok(true) = editor.set_value_at(root, "Marker", ValueType::DWORD, &[2, 0, 0, 0]) else { return };
    let Ok(edited) = editor.finish() else { return };
    let Opened::Clean(edited) = Hive::open(&edited.bytes[..]).unwrap() else { panic!("dirty") };
    let sequence = edited.base_block().primary_sequence.get();
    assert!(highest.is_none_or(|highest| sequence.wrapping_sub(highest).cast_signed() > 0));
}
