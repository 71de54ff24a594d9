//! Random sequences of edits on generated hives: the check finds nothing, nothing else changes, and no unreferenced or
//! adjacent free cells remain.

use std::collections::BTreeMap;

use hivewright_fixtures::{HiveSpec, KeySpec, Minor};
use hivewright_hive::check::{Severity, check};
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::{Delete, EditOptions, Hive, Opened, PatchSet, Step};
use proptest::prelude::*;

const KEYS: [&str; 3] = ["Alpha", "Alpha\\Beta", "Gamma"];

#[derive(Clone)]
enum Op {
    Set { key: usize, name: String, kind: u32, data: Vec<u8> },
    Delete { key: usize, name: String },
}

impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Op::Set { key, name, kind, data } => {
                write!(f, "set {}\\{name}, type {kind}, {} bytes of {:?}", KEYS[*key], data.len(), data.first())
            }
            Op::Delete { key, name } => write!(f, "delete {}\\{name}", KEYS[*key]),
        }
    }
}

/// A few names, so that operations concern the same values: short, long, UTF-16, empty (the default value), differing
/// in case.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("a".to_owned()),
        Just("A".to_owned()),
        Just("AssumeUDPEncapsulationContextOnSendRule".to_owned()),
        Just("Имя".to_owned()),
        Just("straße".to_owned()),
        "[b-e]{1,40}",
    ]
}

/// Sizes around every limit of the format: inline, one cell, a hive bin, a segment, several segments.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![
        4 => 0usize..=4,
        4 => 5usize..200,
        1 => 4050usize..4100,
        1 => 16_340usize..16_350,
        1 => 32_680usize..32_700,
    ];
    (size, any::<u8>())
        .prop_map(|(size, seed)| (0..size).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect())
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..KEYS.len(), name(), 0u32..12, data()).prop_map(|(key, name, kind, data)| Op::Set { key, name, kind, data }),
        1 => (0..KEYS.len(), name()).prop_map(|(key, name)| Op::Delete { key, name }),
    ]
}

fn hive(minor: Minor, full: bool) -> Vec<u8> {
    let values = |mut key: KeySpec, n: u32| {
        for i in 0..n {
            key = key.dword(format!("value{i}"), i).sz(format!("text{i}"), "some text that needs a cell");
        }
        key
    };
    let mut spec = HiveSpec::new(minor)
        .key("Alpha", |k| values(k, 3).hole_behind_values(24).key("Beta", |k| values(k, 1)))
        .key("Gamma", |k| k);
    if full {
        spec = spec.free_at_end(0);
    }
    spec.build().bytes
}

/// Returns every value of every key, by path and index, since names may occur in both cases.
fn contents(bytes: &[u8]) -> BTreeMap<String, Vec<(String, u32, Vec<u8>)>> {
    let hive = clean(bytes.to_vec());
    let mut out = BTreeMap::new();
    let mut todo = vec![(String::new(), hive.root().unwrap())];
    while let Some((path, key)) = todo.pop() {
        let values = key.values().unwrap().map(|v| {
            let v = v.unwrap();
            (v.name().to_string(), v.data_type().0, v.raw_data().unwrap().into_owned())
        });
        out.insert(path.clone(), values.collect());
        todo.extend(key.subkeys().unwrap().map(Result::unwrap).map(|k| (format!("{path}\\{}", k.name()), k)));
    }
    out
}

fn clean(bytes: Vec<u8>) -> Hive<Vec<u8>> {
    match Hive::open(bytes).unwrap() {
        Opened::Clean(hive) => hive,
        Opened::Dirty(_) => panic!("an edit left the hive dirty"),
    }
}

fn options(tick: u64) -> EditOptions {
    EditOptions { timestamp: Some(FileTime(tick)), ..EditOptions::default() }
}

/// Applies the patches up to and including a step.
fn prefix(old: &[u8], set: &PatchSet, upto: Step) -> Vec<u8> {
    let mut bytes = old.to_vec();
    bytes.resize(set.new_len as usize, 0);
    for patch in set.patches.iter().filter(|p| p.step <= upto) {
        bytes[patch.offset as usize..][..patch.new.len()].copy_from_slice(&patch.new);
    }
    bytes
}

/// Asserts that the hive has no error after every step, and that the keys have the old or the new values.
fn every_prefix_is_consistent(old: &[u8], new: &[u8], set: &PatchSet) {
    let (before, after) = (contents(old), contents(new));
    for step in [Step::Prepare, Step::Allocate, Step::Base, Step::Link, Step::Finish, Step::Release] {
        let bytes = prefix(old, set, step);
        let errors: Vec<_> = check(&bytes).errors().map(|f| f.rule.code().as_str()).collect();
        // An entry removed from the middle of a values list is listed twice until the count is written.
        let twice = step == Step::Link && errors.iter().all(|&code| code == "cell-shared");
        assert!(errors.is_empty() || twice, "after {step:?}: {errors:?}");
        if step < Step::Link {
            assert_eq!(contents(&bytes), before, "after {step:?}");
        }
        if step >= Step::Finish {
            assert_eq!(contents(&bytes), after, "after {step:?}");
        }
    }
}

fn run(minor: Minor, full: bool, ops: &[Op]) {
    let mut bytes = hive(minor, full);
    assert_eq!(check(&bytes).findings.len(), 0, "the generated hive is sound to begin with");
    for (tick, op) in ops.iter().enumerate() {
        let before = contents(&bytes);
        let old = bytes.clone();
        let hive = clean(bytes);
        let (key, name) = match op {
            Op::Set { key, name, .. } | Op::Delete { key, name } => (*key, name.clone()),
        };
        let at = hive.key(KEYS[key]).unwrap().unwrap().at();
        let mut editor = hive.edit(options(1000 + tick as u64));
        let changed = match op {
            Op::Set { kind, data, .. } => editor.set_value_at(at, &name, ValueType(*kind), data).unwrap(),
            Op::Delete { .. } => editor.delete_value_at(at, &name, Delete::Any).unwrap(),
        };
        let edited = editor.finish().unwrap();
        assert_eq!(changed, !edited.patches.is_empty());
        assert_eq!(prefix(&old, &edited.patches, Step::Release), edited.bytes, "the patches are the whole change");
        every_prefix_is_consistent(&old, &edited.bytes, &edited.patches);
        bytes = edited.bytes;

        let report = check(&bytes);
        let worst = report.findings.iter().find(|finding| finding.severity > Severity::Note);
        assert_eq!(worst, None, "{op:?}");
        let mut after = contents(&bytes);
        let path = format!("\\{}", KEYS[key]);
        let (mut expected, now) = (before[&path].clone(), after.remove(&path).unwrap());
        let upper = |s: &str| s.encode_utf16().map(hivewright_hive::regf::name::upcase).collect::<Vec<_>>();
        let found = expected.iter().position(|(n, ..)| upper(n) == upper(&name));
        match (op, found) {
            (Op::Set { kind, data, .. }, Some(i)) => (expected[i].1, expected[i].2) = (*kind, data.clone()),
            (Op::Set { kind, data, .. }, None) => expected.push((name.clone(), *kind, data.clone())),
            (Op::Delete { .. }, Some(i)) => drop(expected.remove(i)),
            (Op::Delete { .. }, None) => {}
        }
        assert_eq!(now, expected, "{op:?}");
        for (other, values) in after {
            assert_eq!(values, before[&other], "{op:?} changed {other}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_keep_every_rule(ops in prop::collection::vec(op(), 1..24), minor in 0usize..4, full: bool) {
        run([Minor::V3, Minor::V4, Minor::V5, Minor::V6][minor], full, &ops);
    }

    #[test]
    fn cycles_of_set_and_unset_do_not_grow_a_hive(full: bool, rounds in 2usize..12) {
        let name = "AssumeUDPEncapsulationContextOnSendRule";
        let mut bytes = hive(Minor::V5, full);
        let mut len = 0;
        for round in 0..rounds * 2 {
            let hive = clean(bytes);
            let at = hive.key("Alpha").unwrap().unwrap().at();
            let mut editor = hive.edit(options(round as u64));
            if round % 2 == 0 {
                prop_assert!(editor.set_value_at(at, name, ValueType::DWORD, &[2, 0, 0, 0]).unwrap());
            } else {
                prop_assert!(editor.delete_value_at(at, name, Delete::Any).unwrap());
            }
            bytes = editor.finish().unwrap().bytes;
            if round == 0 {
                len = bytes.len();
            }
            prop_assert_eq!(bytes.len(), len, "round {}", round);
        }
    }
}
