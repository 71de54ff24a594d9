//! The contents of a hive as a map.

use std::collections::{BTreeMap, BTreeSet};

use hivewright_hive::recover::{Log, recover_without_base_block};
use hivewright_hive::regf::CellOffset;
use hivewright_hive::{Hive, HiveBytes, Opened};

/// Path of a key, and the name of a value in it.
pub(crate) type Place = (String, Option<String>);

/// Flags and descriptor of each key, type and data of each value, by upper-cased path and name.
pub(crate) type Contents = BTreeMap<Place, (u32, Vec<u8>)>;

/// Returns all keys and values of a hive file, clean or dirty.
pub(crate) fn contents(file: &[u8]) -> Contents {
    let opened = Hive::open(file).unwrap();
    contents_of(opened.primary_alone())
}

/// Returns all keys and values of a hive.
pub(crate) fn contents_of<B: HiveBytes>(hive: &Hive<B>) -> Contents {
    let mut found = Contents::new();
    let mut seen = BTreeSet::new();
    let mut rest = vec![(String::new(), hive.root().unwrap())];
    while let Some((path, key)) = rest.pop() {
        assert!(seen.insert(key.at()), "a key is met twice");
        let security = hive.cell(CellOffset(key.node().key_security.get())).unwrap();
        let size = u32::from_le_bytes(security[16..20].try_into().unwrap()) as usize;
        let descriptor = security[20..20 + size].to_vec();
        found.insert((path.clone(), None), (u32::from(key.node().flags.get()), descriptor));
        for value in key.values().unwrap() {
            let value = value.unwrap();
            let data = value.raw_data().unwrap().into_owned();
            found.insert((path.clone(), Some(value.name().to_string().to_uppercase())), (value.data_type().0, data));
        }
        for subkey in key.subkeys().unwrap().map(Result::unwrap) {
            rest.push((format!("{path}\\{}", subkey.name().to_string().to_uppercase()), subkey));
        }
    }
    found
}

/// Returns the places where two contents differ.
pub(crate) fn differences(a: &Contents, b: &Contents) -> Vec<Place> {
    let all: BTreeSet<&Place> = a.keys().chain(b.keys()).collect();
    all.into_iter().filter(|place| a.get(place) != b.get(place)).cloned().collect()
}

/// Replays logs as a boot would. Returns the bytes, and whether anything was replayed.
pub(crate) fn booted(file: &[u8], logs: &[(String, Vec<u8>)]) -> (Vec<u8>, bool) {
    let logs: Vec<Log<'_>> = logs.iter().map(|(name, bytes)| Log { name, bytes }).collect();
    if matches!(Hive::open(file), Ok(Opened::Clean(_))) {
        let again = recover_without_base_block(file, &logs).map(drop).unwrap_err();
        assert_eq!(again.error.code(), "hive-clean");
        return (file.to_vec(), false);
    }
    let done = recover_without_base_block(file, &logs).unwrap_or_else(|failed| panic!("{}", failed.error));
    (done.hive.bytes().to_vec().unwrap(), true)
}
