//! Random edits of keys and values, several in one change: the result is what was asked, sound after every step, and can
//! be taken back. Other parsers read the same.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use hivewright_error::Code;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hivewright_fixtures::{HiveSpec, KeySpec, ListKind, Minor};
use hivewright_hive::check::{Severity, check};
use hivewright_hive::regf::name::upcase;
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::{Data, EditOptions, Edited, Hive, PatchSet, Step, ValueType};
use proptest::prelude::*;

const NAMES: [&str; 8] = ["a", "B", "Ключ", "straße", "Services", "service", "y\u{ff}", "zz top"];

#[derive(Clone, Debug)]
enum Op {
    Create(Vec<usize>),
    Delete(Vec<usize>),
    Set(Vec<usize>, usize, u32, usize),
    Unset(Vec<usize>, usize),
}

fn path() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..NAMES.len(), 1..4)
}

fn op() -> impl Strategy<Value = Op> {
    let size = prop_oneof![4 => 0usize..40, 2 => 40usize..400, 1 => 4000usize..4200, 1 => 16_340usize..16_360];
    prop_oneof![
        4 => path().prop_map(Op::Create),
        2 => path().prop_map(Op::Delete),
        4 => (path(), 0..NAMES.len(), 0u32..13, size).prop_map(|(path, name, kind, size)| Op::Set(path, name, kind, size)),
        2 => (path(), 0..NAMES.len()).prop_map(|(path, name)| Op::Unset(path, name)),
    ]
}

fn text(path: &[usize]) -> String {
    path.iter().map(|&name| NAMES[name]).collect::<Vec<_>>().join("\\")
}

fn folded(text: &str) -> Vec<u16> {
    text.encode_utf16().map(upcase).collect()
}

/// Values of each key, in order, by the folded path.
type Contents = BTreeMap<Vec<u16>, Vec<(String, Data)>>;

fn contents(bytes: &[u8]) -> Contents {
    let hive = Hive::open(bytes).unwrap().clean().unwrap();
    let mut found = Contents::new();
    let mut rest = vec![(String::new(), hive.root().unwrap())];
    while let Some((path, key)) = rest.pop() {
        let values = key.values().unwrap().map(|value| {
            let value = value.unwrap();
            (value.name().to_string(), value.data().unwrap())
        });
        assert!(found.insert(folded(&path), values.collect()).is_none(), "{path} twice");
        for subkey in key.subkeys().unwrap() {
            let subkey = subkey.unwrap();
            assert_eq!(subkey.parent().unwrap().unwrap().at(), key.at());
            let name = subkey.name().to_string();
            rest.push((if path.is_empty() { name } else { format!("{path}\\{name}") }, subkey));
        }
    }
    found
}

/// What `op` makes of the contents; whether it changes something, `None` if it fails.
fn model(contents: &mut Contents, op: &Op) -> Option<bool> {
    match op {
        Op::Create(path) => {
            let mut created = false;
            for end in 1..=path.len() {
                contents.entry(folded(&text(&path[..end]))).or_insert_with(|| {
                    created = true;
                    Vec::new()
                });
            }
            Some(created)
        }
        Op::Delete(path) => {
            let path = folded(&text(path));
            let before = contents.len();
            contents.retain(|key, _| !(key.starts_with(&path) && matches!(key.get(path.len()), None | Some(0x5c))));
            Some(contents.len() < before)
        }
        Op::Set(path, name, kind, size) => {
            let values = contents.get_mut(&folded(&text(path)))?;
            let data = data(*kind, *size);
            match values.iter_mut().find(|(there, _)| folded(there) == folded(NAMES[*name])) {
                Some((_, there)) if *there == data => Some(false),
                Some((_, there)) => {
                    *there = data;
                    Some(true)
                }
                None => {
                    values.push((NAMES[*name].to_owned(), data));
                    Some(true)
                }
            }
        }
        Op::Unset(path, name) => {
            let values = contents.get_mut(&folded(&text(path)))?;
            let place = values.iter().position(|(there, _)| folded(there) == folded(NAMES[*name]));
            place.map(|place| values.remove(place));
            Some(place.is_some())
        }
    }
}

fn data(kind: u32, size: usize) -> Data {
    Data::new(ValueType(kind), (0..size).map(|i| (i * 7 + size) as u8).collect::<Vec<_>>())
}

fn options(tick: u64) -> EditOptions {
    EditOptions { timestamp: Some(FileTime(tick)), ..EditOptions::default() }
}

fn prefix(old: &[u8], set: &PatchSet, upto: Step) -> Vec<u8> {
    let mut bytes = old.to_vec();
    bytes.resize(set.new_len as usize, 0);
    for patch in set.patches.iter().filter(|patch| patch.step <= upto) {
        bytes[patch.offset as usize..][..patch.new.len()].copy_from_slice(&patch.new);
    }
    bytes
}

fn is_sound(old: &[u8], edited: &Edited) {
    let (before, after) = (contents(old), contents(&edited.bytes));
    for step in [Step::Prepare, Step::Allocate, Step::Base, Step::Link, Step::Settle, Step::Release] {
        let bytes = prefix(old, &edited.patches, step);
        let errors: Vec<_> =
            check(&bytes).errors().map(|finding| (finding.rule.code().as_str(), finding.offset)).collect();
        // An entry taken out of the middle of a values list stands there twice until the count follows.
        let twice = step == Step::Link && errors.iter().all(|&(code, _)| code == Code::CellShared);
        assert!(errors.is_empty() || twice, "after {step:?}: {errors:x?}");
        if step < Step::Link {
            assert_eq!(contents(&bytes), before, "after {step:?}");
        }
        if step >= Step::Settle {
            assert_eq!(contents(&bytes), after, "after {step:?}");
        }
    }
    let mut bytes = old.to_vec();
    edited.patches.apply(&mut bytes).unwrap();
    assert!(bytes == edited.bytes, "the patches are the whole change");
    edited.patches.revert(&mut bytes).unwrap();
    assert!(bytes == old, "the change can be taken back");
}

fn nothing_is_found(bytes: &[u8]) {
    let report = check(bytes);
    let worst = report.findings.iter().find(|finding| finding.severity > Severity::Note);
    assert_eq!(worst, None);
}

fn hive(minor: Minor) -> Vec<u8> {
    let filled = |key: KeySpec| key.sz("text", "some text that needs a cell").dword("number", 7).class("a class");
    let guarded = hivewright_fixtures::security::closed();
    HiveSpec::new(minor)
        .key("a", |key| filled(key).hole_behind_values(24).key("Services", |key| filled(key).security(guarded)))
        .key("service", |key| key.binary("big", &[7; 40_000]).key("B", filled).key("Ключ", filled))
        .build()
        .bytes
}

fn run(minor: Minor, edits: &[Vec<Op>]) -> Vec<u8> {
    let mut bytes = hive(minor);
    nothing_is_found(&bytes);
    for (tick, ops) in edits.iter().enumerate() {
        let mut expected = contents(&bytes);
        let mut editor = Hive::open(bytes.clone()).unwrap().clean().unwrap().edit(options(tick as u64));
        for op in ops {
            let done = match op {
                Op::Create(path) => editor.create_key(&text(path)),
                Op::Delete(path) => editor.delete_key(&text(path)),
                Op::Set(path, name, kind, size) => editor.set_value(&text(path), NAMES[*name], &data(*kind, *size)),
                Op::Unset(path, name) => editor.delete_value(&text(path), NAMES[*name]),
            };
            match model(&mut expected, op) {
                Some(changed) => assert_eq!(done.unwrap(), changed, "{op:?}"),
                None => assert_eq!(done.unwrap_err().code(), "no-key"),
            }
        }
        let edited = editor.finish().unwrap();
        assert_eq!(contents(&edited.bytes), expected, "{ops:?}");
        is_sound(&bytes, &edited);
        nothing_is_found(&edited.bytes);
        bytes = edited.bytes;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("HIVEWRIGHT_CASES").map_or(96, |cases| cases.parse().unwrap()), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_do_what_was_asked(
        edits in prop::collection::vec(prop::collection::vec(op(), 1..10), 1..6),
        minor in 0usize..4,
    ) {
        run([Minor::V3, Minor::V4, Minor::V5, Minor::V6][minor], &edits);
    }
}

/// Names in an order that is not theirs.
fn many(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("key {:04}", i * 7919 % count)).collect()
}

#[test]
fn lists_part_and_vanish() {
    for (minor, kind) in [(Minor::V5, None), (Minor::V3, None), (Minor::V5, Some(ListKind::Li))] {
        let list = |key: KeySpec| kind.map_or_else(|| key.clone(), |kind| key.clone().list(kind));
        let old = HiveSpec::new(minor).key("Many", |key| list(key.key("first", |key| key))).build().bytes;
        let mut bytes = old;
        for part in many(2600).chunks(1300) {
            let mut editor = Hive::open(bytes.clone()).unwrap().clean().unwrap().edit(options(1));
            for name in part {
                assert!(editor.create_key(&format!("Many\\{name}")).unwrap());
            }
            let edited = editor.finish().unwrap();
            is_sound(&bytes, &edited);
            nothing_is_found(&edited.bytes);
            bytes = edited.bytes;
        }
        assert_eq!(contents(&bytes).len(), 2603);
        let grown = bytes.len();
        for part in many(2600).chunks(1300) {
            let mut editor = Hive::open(bytes.clone()).unwrap().clean().unwrap().edit(options(2));
            for name in part {
                assert!(editor.delete_key(&format!("Many\\{name}")).unwrap());
            }
            let edited = editor.finish().unwrap();
            is_sound(&bytes, &edited);
            nothing_is_found(&edited.bytes);
            bytes = edited.bytes;
        }
        assert_eq!((contents(&bytes).len(), bytes.len()), (3, grown));
    }
}

#[test]
fn a_values_list_that_grew_in_place_can_move() {
    let bytes = hive(Minor::V5);
    for count in 1..14 {
        let mut editor = Hive::open(bytes.clone()).unwrap().clean().unwrap().edit(options(1));
        for i in 0..count {
            assert!(editor.set_value("a", &format!("v{i:02}"), &Data::Dword(i)).unwrap());
        }
        let edited = editor.finish().unwrap();
        is_sound(&bytes, &edited);
        nothing_is_found(&edited.bytes);
    }
}

#[test]
fn a_tree_goes_with_its_security() {
    let bytes = hive(Minor::V5);
    let before = check(&bytes).facts.key_securities;
    let mut editor = Hive::open(bytes).unwrap().clean().unwrap().edit(options(1));
    assert!(editor.delete_key("a").unwrap() && !editor.delete_key("a").unwrap());
    let edited = editor.finish().unwrap();
    nothing_is_found(&edited.bytes);
    assert_eq!(check(&edited.bytes).facts.key_securities, before - 1);
}

#[test]
fn refusals_have_their_codes() {
    let bytes = HiveSpec::new(Minor::V5)
        .key("Link", |key| key.link_to("\\Registry\\Machine"))
        .key("Kept", |key| key.key("Here", |key| key.flags(0x08)))
        .build()
        .bytes;
    let mut editor = Hive::open(bytes).unwrap().clean().unwrap().edit(options(1));
    assert_eq!(editor.create_key("Link\\x").unwrap_err().code(), "key-takes-no-subkeys");
    assert_eq!(editor.delete_key("Kept").unwrap_err().code(), "key-no-delete");
    assert_eq!(editor.delete_key("").unwrap_err().code(), "root-key");
    assert_eq!(editor.create_key(&"x".repeat(256)).unwrap_err().code(), "key-name");
    assert_eq!(editor.create_key(&"x\\".repeat(513)).unwrap_err().code(), "key-depth");
}

fn corpus() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    std::env::var_os("HIVEWRIGHT_CORPUS").map_or_else(beside, PathBuf::from)
}

fn oracle() -> Option<PathBuf> {
    let beside = || corpus().join("../tools/hive_oracle.py");
    let path = std::env::var_os("HIVEWRIGHT_ORACLE").map_or_else(beside, PathBuf::from);
    path.is_file().then_some(path)
}

/// Real hives of four versions of Windows: a tree is deleted, another made, and the check finds nothing that it did not
/// find before.
#[test]
fn real_hives_get_and_lose_trees() {
    for name in ["nt40_server", "xp_sp3_ietest", "win7_sp1_x86", "win10_21h2"] {
        let stored = corpus().join(format!("system/{name}/SYSTEM.zst"));
        let unpacked = Command::new("zstd").arg("-dcq").arg(&stored).output();
        let Some(bytes) = unpacked.ok().filter(|_| stored.is_file()).map(|output| output.stdout) else {
            hivewright_fixtures::skip::missing(format_args!("{}, or the command zstd", stored.display()));
            continue;
        };
        let Ok(hive) = Hive::open(bytes.clone()).unwrap().clean() else { panic!("{name} is dirty") };
        let mut editor = hive.edit(options(1));
        assert!(editor.delete_key("ControlSet001\\Enum").unwrap(), "{name}");
        for key in many(1200) {
            editor.create_key(&format!("ControlSet001\\Services\\{key}")).unwrap();
            editor.set_value(&format!("ControlSet001\\Services\\{key}"), "n", &Data::sz(&key)).unwrap();
        }
        for key in many(1200).iter().step_by(2) {
            assert!(editor.delete_key(&format!("ControlSet001\\Services\\{key}")).unwrap());
        }
        let edited = editor.finish().unwrap();
        let (before, after) = (check(&bytes), check(&edited.bytes));
        for (code, count) in after.counts.iter() {
            assert!(count <= before.counts.of(code), "{name}: {}", code);
        }
        for step in [Step::Prepare, Step::Allocate, Step::Base, Step::Link, Step::Settle, Step::Release] {
            let report = check(&prefix(&bytes, &edited.patches, step));
            assert!(report.errors().count() <= before.errors().count(), "{name} after {step:?}");
        }
        let mut reverted = edited.bytes.clone();
        edited.patches.revert(&mut reverted).unwrap();
        assert!(reverted == bytes, "{name}");
    }
}

/// hivexsh, nt-hive and the oracle, where they are installed, read the keys of an edited hive.
#[test]
fn other_parsers_read_the_same() {
    let mut bytes = hive(Minor::V5);
    let mut editor = Hive::open(bytes).unwrap().clean().unwrap().edit(options(1));
    for name in many(1500) {
        editor.create_key(&format!("service\\new\\{name}")).unwrap();
        editor.set_value(&format!("service\\new\\{name}"), "n", &Data::sz(&name)).unwrap();
    }
    for name in many(1500).iter().step_by(3) {
        editor.delete_key(&format!("service\\new\\{name}")).unwrap();
    }
    bytes = editor.finish().unwrap().bytes;
    nothing_is_found(&bytes);

    let hive = nt_hive::Hive::new(&bytes[..]).unwrap();
    let key = hive.root_key_node().unwrap().subpath("service\\new").unwrap().unwrap();
    let names: Vec<String> =
        key.subkeys().unwrap().unwrap().map(|key| key.unwrap().name().unwrap().to_string_lossy()).collect();
    assert_eq!(names.len(), 1000);
    for name in &names {
        let key = hive.root_key_node().unwrap().subpath(&format!("service\\new\\{name}")).unwrap().unwrap();
        assert_eq!(key.value("n").unwrap().unwrap().string_data().unwrap(), *name);
    }

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edited");
    std::fs::write(&file, &bytes).unwrap();
    match oracle() {
        Some(oracle) => {
            assert!(Command::new("python3").arg(oracle).arg("check").arg(&file).status().unwrap().success());
        }
        None => hivewright_fixtures::skip::missing("the oracle beside the corpus"),
    }
    if let Ok(mut shell) = Command::new("hivexsh").arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
        shell.stdin.take().unwrap().write_all(b"cd \\service\\new\nls\n").unwrap();
        let output = shell.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1000);
    } else {
        hivewright_fixtures::skip::missing("hivexsh");
    }
}
