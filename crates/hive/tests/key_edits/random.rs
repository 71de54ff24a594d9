//! Random operations on generated hives of every version.

use hivewright_fixtures::{HiveSpec, KeySpec, Minor};
use hivewright_hive::Hive;
use proptest::prelude::*;

use super::model::{Op, Path, Units, apply_operation, contents, model, units};
use super::{assert_no_findings, edit, is_consistent};

/// Returns names of keys and values: of all encodings, unsorted, differing only in case, and with unpaired surrogates.
pub(crate) fn names() -> Vec<Units> {
    let texts = ["a", "A", "B", "Ключ", "ключ", "straße", "Services", "service", "y\u{ff}", "zz top", "Y\u{178}"];
    let mut names: Vec<Units> = texts.into_iter().map(units).collect();
    names.extend([vec![0xd800], vec![0x61, 0, 0x62], vec![0x78; 255]]);
    names
}

pub(crate) fn descriptors() -> Vec<Vec<u8>> {
    use hivewright_fixtures::security::{closed, network_service, ordinary};
    vec![ordinary(), closed(), network_service()]
}

fn path() -> impl Strategy<Value = Path> {
    prop::collection::vec(prop::sample::select(names()), 1..4)
}

fn op() -> impl Strategy<Value = Op> {
    let name = || prop::sample::select(names());
    let size = prop_oneof![4 => 0usize..40, 2 => 40usize..400, 1 => 4000usize..4200, 1 => 16_340usize..16_360];
    prop_oneof![
        4 => path().prop_map(Op::Create),
        2 => path().prop_map(Op::Delete),
        2 => (path(), name()).prop_map(|(path, name)| Op::Rename(path, name)),
        2 => (path(), path()).prop_map(|(from, to)| Op::Copy(from, to)),
        4 => (path(), name(), 0u32..13, size).prop_map(|(path, name, kind, size)| Op::Set(path, name, kind, size)),
        2 => (path(), name()).prop_map(|(path, name)| Op::Unset(path, name)),
        1 => path().prop_map(Op::Clear),
        1 => (path(), prop::sample::select(descriptors())).prop_map(|(path, bytes)| Op::Secure(path, bytes)),
        1 => (path(), 0usize..40).prop_map(|(path, size)| Op::Class(path, size)),
    ]
}

pub(crate) fn hive(minor: Minor) -> Vec<u8> {
    let filled = |key: KeySpec| key.sz("text", "some text that needs a cell").dword("number", 7).class("a class");
    let guarded = hivewright_fixtures::security::closed();
    HiveSpec::new(minor)
        .key("a", |key| filled(key).hole_behind_values(24).key("Services", |key| filled(key).security(guarded)))
        .key("service", |key| key.binary("big", &[7; 40_000]).key("B", filled).key("Ключ", filled))
        .build()
        .bytes
}

/// Applies each group of operations as one change and checks the result.
fn run(minor: Minor, edits: &[Vec<Op>]) {
    let mut bytes = hive(minor);
    assert_no_findings(&bytes);
    for (tick, ops) in edits.iter().enumerate() {
        let mut expected = contents(&bytes);
        let mut editor = edit(&bytes, tick as u64);
        for op in ops {
            let done = apply_operation(&mut editor, op).map_err(|error| error.code().as_str());
            assert_eq!(done, model(&mut expected, op), "{op:?}");
        }
        let edited = editor.finish().unwrap();
        assert_eq!(contents(&edited.bytes), expected, "{ops:?}");
        is_consistent(&bytes, &edited);
        assert_no_findings(&edited.bytes);
        bytes = edited.bytes;
    }
    assert!(nt_hive::Hive::new(&bytes[..]).unwrap().root_key_node().is_ok());
    assert!(Hive::open(&bytes[..]).unwrap().clean().is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::cases(96), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_edits_match_the_model(
        edits in prop::collection::vec(prop::collection::vec(op(), 1..10), 1..6),
        minor in 0usize..4,
    ) {
        run([Minor::V3, Minor::V4, Minor::V5, Minor::V6][minor], &edits);
    }
}
