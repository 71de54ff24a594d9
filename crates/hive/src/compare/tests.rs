//! Comparisons against a model, of random hives; lists out of order; damage.

use std::collections::BTreeMap;

use hivewright_fixtures::{HiveSpec, Minor};
use proptest::prelude::*;

use super::*;
use crate::reg_text::{Change, RegOperation};
use crate::regf::name::upcase;
use crate::{Data, EditOptions, Editor, Hive, ValueType};

const NAMES: [&str; 7] = ["a", "B", "Ключ", "straße", "service", "Services", "zz top"];

type Bytes = Hive<Vec<u8>>;
/// A folded path, and the folded name of a value.
type Place = (Vec<u16>, Option<Vec<u16>>);

#[derive(Clone, Debug)]
enum Op {
    Create(Vec<usize>),
    Delete(Vec<usize>),
    Set(Vec<usize>, usize, u32, Vec<u8>),
    Unset(Vec<usize>, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let path = || prop::collection::vec(0..NAMES.len(), 1..4);
    let data = prop_oneof![prop::collection::vec(any::<u8>(), 0..8), Just(vec![7; 17_000])];
    prop_oneof![
        4 => path().prop_map(Op::Create),
        1 => path().prop_map(Op::Delete),
        6 => (path(), 0..NAMES.len(), 0u32..5, data).prop_map(|(path, name, kind, data)| Op::Set(path, name, kind, data)),
        2 => (path(), 0..NAMES.len()).prop_map(|(path, name)| Op::Unset(path, name)),
    ]
}

fn edited(bytes: Vec<u8>, ops: &[Op]) -> Vec<u8> {
    let options = EditOptions { timestamp: None, ..EditOptions::default() };
    let mut edit = Hive::open(bytes).unwrap().clean().unwrap().edit(options);
    for op in ops {
        let text = |path: &[usize]| path.iter().map(|&name| NAMES[name]).collect::<Vec<_>>().join("\\");
        // A key that is not there takes no value.
        let _ = match op {
            Op::Create(path) => edit.create_key(&text(path)),
            Op::Delete(path) => edit.delete_key(&text(path)),
            Op::Set(path, name, kind, data) => {
                edit.set_value(&text(path), NAMES[*name], &Data::new(ValueType(*kind), data.clone()))
            }
            Op::Unset(path, name) => edit.delete_value(&text(path), NAMES[*name]),
        };
    }
    edit.finish().unwrap().bytes
}

fn open(bytes: Vec<u8>) -> Bytes {
    Hive::open(bytes).unwrap().clean().unwrap()
}

/// Returns every key and value by its folded path; a key has the empty value name with no data.
fn contents(hive: &Bytes) -> BTreeMap<Place, (u32, Vec<u8>)> {
    let fold = |text: String| text.encode_utf16().map(upcase).collect::<Vec<_>>();
    let mut all = BTreeMap::new();
    let mut rest = vec![(String::new(), hive.root().unwrap())];
    while let Some((path, key)) = rest.pop() {
        all.insert((fold(path.clone()), None), (0, vec![]));
        for value in key.values().unwrap() {
            let value = value.unwrap();
            let at = (fold(path.clone()), Some(fold(value.name().to_string())));
            all.insert(at, (value.data_type().0, value.raw_data().unwrap().into_owned()));
        }
        for subkey in key.subkeys().unwrap() {
            let subkey = subkey.unwrap();
            rest.push((format!("{path}\\{}", subkey.name()), subkey));
        }
    }
    all
}

/// Differences in short: keys with all below them, values, other things.
fn short(a: &Bytes, b: &Bytes, options: CompareOptions) -> Vec<String> {
    let found = compare(&a.root().unwrap(), &b.root().unwrap(), options);
    found
        .map(|found| match found {
            Ok(difference) => {
                let path = difference.path();
                match difference.what {
                    What::KeyOnlyInA { unsure, .. } => format!("{path} -{}", if unsure { "?" } else { "" }),
                    What::KeyOnlyInB { unsure, .. } => format!("{path} +{}", if unsure { "?" } else { "" }),
                    What::ValueOnlyInA { value, unsure } => {
                        format!("{path}:{} -{}", value.name(), if unsure { "?" } else { "" })
                    }
                    What::ValueOnlyInB { value, unsure } => {
                        format!("{path}:{} +{}", value.name(), if unsure { "?" } else { "" })
                    }
                    What::ValueChanged { a, .. } => format!("{path}:{} !", a.name()),
                    What::Class { .. } => format!("{path} class"),
                    What::Security { .. } => format!("{path} security"),
                    What::Time { .. } => format!("{path} time"),
                    What::Tombstone { .. } => format!("{path} tombstone"),
                }
            }
            Err(damage) => format!("{} {:?} {}", damage.path(), damage.side, damage.error.code()),
        })
        .collect()
}

fn apply(edit: &mut Editor, operation: &RegOperation) {
    let path: Vec<String> = operation.key.names.iter().map(ToString::to_string).collect();
    let path = path.join("\\");
    match &operation.change {
        Change::CreateKey => assert!(edit.create_key(&path).unwrap()),
        Change::DeleteKey => assert!(edit.delete_key(&path).unwrap()),
        Change::SetValue { name, data_type, data } => {
            let data = Data::new(*data_type, data.clone());
            assert!(edit.set_value(&path, &name.to_string(), &data).unwrap());
        }
        Change::DeleteValue { name } => assert!(edit.delete_value(&path, &name.to_string()).unwrap()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn differences_match_a_model_and_operations_remove_them(
        first in prop::collection::vec(op(), 0..40),
        second in prop::collection::vec(op(), 0..12),
        third in prop::collection::vec(op(), 0..12),
    ) {
        let base = edited(HiveSpec::new(Minor::V5).build().bytes, &first);
        let (a, b) = (open(edited(base.clone(), &second)), open(edited(base, &third)));
        let (in_a, in_b) = (contents(&a), contents(&b));
        let mut expected = 0;
        for (at, data) in &in_a {
            // A value of a key that goes is no difference of its own.
            let gone = at.1.is_some() && !in_b.contains_key(&(at.0.clone(), None));
            expected += usize::from(!gone && in_b.get(at) != Some(data));
        }
        for at in in_b.keys() {
            let new = at.1.is_some() && !in_a.contains_key(&(at.0.clone(), None));
            expected += usize::from(!new && !in_a.contains_key(at));
        }
        let found = short(&a, &b, CompareOptions { times: false, inside: true });
        prop_assert_eq!(found.len(), expected, "{:?}", found);
        // At the top of each tree alone there are no more.
        prop_assert!(short(&a, &b, CompareOptions::default()).len() <= expected);

        let mut edit = open(a.bytes().clone()).edit(EditOptions::default());
        for operation in operations(&a.root().unwrap(), &b.root().unwrap(), "HKLM".parse().unwrap()) {
            match operation {
                Ok(operation) => apply(&mut edit, &operation),
                Err(NotCarried::SecurityOfNewKey { .. }) => {}
                Err(other) => prop_assert!(false, "{:?}", other),
            }
        }
        let made = open(edit.finish().unwrap().bytes);
        prop_assert_eq!(contents(&made), in_b);
        prop_assert_eq!(short(&made, &b, CompareOptions::default()), Vec::<String>::new());
    }
}

fn three() -> Vec<u8> {
    let spec = HiveSpec::new(Minor::V5).key("Top", |key| {
        let key = key.key("a", |key| key.dword("v", 1)).key("b", |key| key).key("c", |key| key);
        key.sz("one", "text of the one").sz("two", "text of the two")
    });
    spec.build().bytes
}

fn at(bytes: &[u8], offset: crate::regf::CellOffset) -> usize {
    let at = usize::try_from(offset.data_in_file()).unwrap();
    assert!(at < bytes.len());
    at
}

/// Swaps two elements of the hash leaf below `Top`.
fn out_of_order(mut bytes: Vec<u8>) -> Vec<u8> {
    let hive = open(bytes.clone());
    let list = hive.key("Top").unwrap().unwrap().node().subkeys_list.get();
    let list = at(&bytes, crate::regf::CellOffset(list));
    assert_eq!(&bytes[list..list + 2], b"lh");
    let (left, right) = bytes[list + 4..].split_at_mut(16);
    left[..8].swap_with_slice(&mut right[..8]);
    bytes
}

#[test]
fn lists_out_of_order_lose_no_key() {
    let unordered = out_of_order(three());
    let none = Vec::<String>::new();
    assert_eq!(short(&open(three()), &open(unordered.clone()), CompareOptions::default()), none);
    assert_eq!(short(&open(unordered.clone()), &open(three()), CompareOptions::default()), none);
    assert_eq!(short(&open(unordered.clone()), &open(unordered.clone()), CompareOptions::default()), none);
    let mut edit = open(three()).edit(EditOptions::default());
    edit.delete_key(r"Top\b").unwrap();
    edit.set_value(r"Top\a", "v", &Data::Dword(2)).unwrap();
    let b = open(edit.finish().unwrap().bytes);
    assert_eq!(short(&open(unordered.clone()), &b, CompareOptions::default()), [r"Top\a:v !", r"Top\b -"]);
    assert_eq!(short(&b, &open(unordered), CompareOptions::default()), [r"Top\a:v !", r"Top\b +"]);
}

#[test]
fn damage_is_an_item_and_makes_others_uncertain() {
    let whole = open(three());
    let mut bytes = three();
    let key = whole.key(r"Top\b").unwrap().unwrap().at();
    let value = whole.key("Top").unwrap().unwrap().value("one").unwrap().unwrap().at();
    for offset in [key, value] {
        let place = at(&bytes, offset);
        bytes[place] = b'x';
    }
    let damaged = open(bytes);
    let found = short(&damaged, &whole, CompareOptions::default());
    assert_eq!(found, ["Top A value-signature", "Top:one +?", "Top A key-signature", r"Top\b +?"]);
    let found = short(&whole, &damaged, CompareOptions::default());
    assert_eq!(found, ["Top B value-signature", "Top:one -?", "Top B key-signature", r"Top\b -?"]);
    let all: Vec<_> = operations(&whole.root().unwrap(), &damaged.root().unwrap(), "HKLM".parse().unwrap()).collect();
    assert!(all.len() == 4 && all.iter().all(|item| item.is_err()));
    // A list that is not a list: nothing is said of the keys in it.
    let mut bytes = three();
    let place = at(&bytes, crate::regf::CellOffset(whole.key("Top").unwrap().unwrap().node().subkeys_list.get()));
    bytes[place] = b'x';
    assert_eq!(short(&open(bytes), &whole, CompareOptions::default()), ["Top A list-signature"]);
}

#[test]
fn a_cycle_ends_the_walk() {
    let whole = open(three());
    let mut bytes = three();
    let (top, b) = (whole.key("Top").unwrap().unwrap(), whole.key(r"Top\b").unwrap().unwrap());
    let place = at(&bytes, b.at());
    bytes[place + 20..place + 24].copy_from_slice(&3u32.to_le_bytes());
    bytes[place + 28..place + 32].copy_from_slice(&top.node().subkeys_list.get().to_le_bytes());
    let (left, right) = (open(bytes.clone()), open(bytes));
    for options in [CompareOptions::default(), CompareOptions { times: true, inside: true }] {
        let found = short(&left, &right, options);
        assert!(found.iter().all(|found| found.ends_with("list-size")), "{found:?}");
        assert!((1..4).contains(&found.len()));
        assert!(short(&whole, &right, options).len() < 2000);
    }
}

#[test]
fn classes_security_and_times_are_compared() {
    let a = open(three());
    let top = a.key("Top").unwrap().unwrap();
    let mut bytes = three();
    let place = at(&bytes, top.at());
    bytes[place + 4] ^= 1;
    let none = Vec::<String>::new();
    assert_eq!(short(&a, &open(bytes.clone()), CompareOptions::default()), none);
    let times = CompareOptions { times: true, inside: false };
    assert_eq!(short(&a, &open(bytes.clone()), times), ["Top time"]);
    // The class is the name in the key's own key value, as if it were one.
    let value = top.value("one").unwrap().unwrap().at();
    bytes[place + 48..place + 52].copy_from_slice(&value.0.to_le_bytes());
    bytes[place + 74..place + 76].copy_from_slice(&4u16.to_le_bytes());
    let security = at(&bytes, crate::regf::CellOffset(top.node().key_security.get()));
    let users = short(&a, &open(bytes.clone()), CompareOptions::default());
    assert_eq!(users, ["Top class"]);
    // A bit of the first entry's mask: all keys share the descriptor.
    bytes[security + 20 + 20 + 8 + 4] ^= 1;
    let found = short(&a, &open(bytes), CompareOptions::default());
    assert!(found.iter().filter(|found| found.ends_with(" security")).count() >= 4, "{found:?}");
}
