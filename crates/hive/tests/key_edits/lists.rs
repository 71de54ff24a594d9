//! Growth and removal of lists of subkeys, values and key securities.

use hivewright_fixtures::{HiveSpec, KeySpec, ListKind, Minor};
use hivewright_hive::check::check;
use hivewright_hive::regf::subkeys_list::SubkeysList;
use hivewright_hive::regf::{CellOffset, subkeys_list};
use hivewright_hive::{Data, Hive, ValueType};

use super::model::contents;
use super::random::hive;
use super::{assert_no_findings, edit, is_consistent};

/// Returns `count` unsorted names.
pub(crate) fn many(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("key {:04}", i * 7919 % count)).collect()
}

/// Returns the kind and the number of elements of each leaf of a key.
fn leaves(bytes: &[u8], path: &str) -> Vec<(subkeys_list::ListKind, usize)> {
    let opened = Hive::open(bytes).unwrap();
    let hive = opened.primary_alone();
    let at = CellOffset(hive.key(path).unwrap().unwrap().node().subkeys_list.get());
    if at.is_nil() {
        return Vec::new();
    }
    let read = |at| {
        let data = hive.cell(at).unwrap();
        let list = SubkeysList::parse(&data, at).unwrap();
        (list.kind, list.elements().map(|(at, _)| at).collect::<Vec<_>>())
    };
    match read(at) {
        (subkeys_list::ListKind::IndexRoot, leaves) => {
            leaves.into_iter().map(read).map(|(kind, elements)| (kind, elements.len())).collect()
        }
        (kind, elements) => vec![(kind, elements.len())],
    }
}

#[test]
fn lists_split_and_disappear() {
    for (minor, kind) in [(Minor::V5, None), (Minor::V3, None), (Minor::V5, Some(ListKind::Li))] {
        let list = |key: KeySpec| kind.map_or_else(|| key.clone(), |kind| key.clone().list(kind));
        let old = HiveSpec::new(minor).key("Many", |key| list(key.key("first", |key| key))).build().bytes;
        let mut bytes = old;
        for part in many(2600).chunks(1300) {
            let mut editor = edit(&bytes, 1);
            for name in part {
                assert!(editor.create_key(&format!("Many\\{name}")).unwrap());
            }
            let edited = editor.finish().unwrap();
            is_consistent(&bytes, &edited);
            assert_no_findings(&edited.bytes);
            bytes = edited.bytes;
        }
        assert_eq!(contents(&bytes).len(), 2603);
        let grown = bytes.len();
        for part in many(2600).chunks(1300) {
            let mut editor = edit(&bytes, 2);
            for name in part {
                assert!(editor.delete_key(&format!("Many\\{name}")).unwrap());
            }
            let edited = editor.finish().unwrap();
            is_consistent(&bytes, &edited);
            assert_no_findings(&edited.bytes);
            bytes = edited.bytes;
        }
        assert_eq!((contents(&bytes).len(), bytes.len()), (3, grown));
    }
}

/// Creates and deletes ten thousand subkeys of one key in ascending, descending and mixed order.
#[test]
fn ten_thousand_subkeys_have_lists_as_in_windows() {
    use subkeys_list::ListKind::{FastLeaf, HashLeaf, IndexLeaf};
    let sorted: Vec<String> = (0..10_000).map(|i| format!("key {i:05}")).collect();
    let descending: Vec<String> = sorted.iter().rev().cloned().collect();
    let across: Vec<String> = (0..10_000).map(|i| format!("key {:05}", i * 7919 % 10_000)).collect();
    for (minor, order) in [(Minor::V5, &sorted), (Minor::V5, &descending), (Minor::V5, &across), (Minor::V3, &across)] {
        let old = HiveSpec::new(minor).key("Many", |key| key).build().bytes;
        let parent = Hive::open(&old[..]).unwrap().clean().unwrap().key("Many").unwrap().unwrap().at();
        let mut editor = edit(&old, 1);
        for (i, name) in order.iter().enumerate() {
            assert!(editor.create_key_at(parent, name).unwrap().1);
            if minor == Minor::V3 && (i == 506 || i == 507) {
                let so_far = editor.hive().unwrap().bytes().to_vec();
                assert_eq!(leaves(&so_far, "Many"), [(if i == 506 { FastLeaf } else { IndexLeaf }, i + 1)]);
            }
        }
        let full = editor.finish().unwrap();
        assert_no_findings(&full.bytes);
        super::is_reverted(&old, &full);
        let found = leaves(&full.bytes, "Many");
        let kind = if minor == Minor::V3 { IndexLeaf } else { HashLeaf };
        assert_eq!(found.iter().map(|&(_, count)| count).sum::<usize>(), 10_000);
        assert!(found.iter().all(|&(each, count)| each == kind && (506..=1013).contains(&count)), "{found:?}");
        if std::ptr::eq(order, &sorted) {
            assert!(found[..found.len() - 1].iter().all(|&(_, count)| count == 506), "{found:?}");
        }
        let mut editor = edit(&full.bytes, 2);
        for name in order {
            assert!(editor.delete_key(&format!("Many\\{name}")).unwrap());
        }
        let empty = editor.finish().unwrap();
        assert_no_findings(&empty.bytes);
        assert_eq!((leaves(&empty.bytes, "Many"), empty.bytes.len()), (vec![], full.bytes.len()));
        assert_eq!(check(&empty.bytes).facts.allocated_cells, check(&old).facts.allocated_cells);
    }
}

#[test]
fn a_values_list_that_grew_in_place_can_move() {
    let bytes = hive(Minor::V5);
    for count in 1..14 {
        let mut editor = edit(&bytes, 1);
        for i in 0..count {
            assert!(editor.set_value("a", &format!("v{i:02}"), &Data::Dword(i)).unwrap());
        }
        let edited = editor.finish().unwrap();
        is_consistent(&bytes, &edited);
        assert_no_findings(&edited.bytes);
    }
}

/// The values of one key and their list use only the necessary space after the growth of the list.
#[test]
fn ten_thousand_values_waste_no_space() {
    let bytes = hive(Minor::V5);
    let key = Hive::open(&bytes[..]).unwrap().clean().unwrap().key("a").unwrap().unwrap().at();
    let mut editor = edit(&bytes, 1);
    for i in 0..10_000u32 {
        assert!(editor.set_value_at(key, &format!("{i:05}"), ValueType::DWORD, &i.to_le_bytes()).unwrap());
    }
    assert!(!editor.set_value_at(key, "09999", ValueType::DWORD, &9999u32.to_le_bytes()).unwrap());
    let edited = editor.finish().unwrap();
    assert_no_findings(&edited.bytes);
    // A key value with five letters takes 32 bytes, an entry of the list 4.
    assert!(edited.bytes.len() < bytes.len() + 10_000 * 36 + (256 << 10), "{}", edited.bytes.len());
    let mut editor = edit(&edited.bytes, 2);
    assert_eq!(editor.delete_all_values("a").unwrap(), 10_002);
    assert_eq!(editor.delete_all_values("a").unwrap(), 0);
    let emptied = editor.finish().unwrap();
    assert_no_findings(&emptied.bytes);
    is_consistent(&edited.bytes, &emptied);
}

#[test]
fn deleting_a_tree_releases_its_key_securities() {
    let bytes = hive(Minor::V5);
    let before = check(&bytes).facts.key_securities;
    let mut editor = edit(&bytes, 1);
    assert!(editor.delete_key("a").unwrap() && !editor.delete_key("a").unwrap());
    let edited = editor.finish().unwrap();
    assert_no_findings(&edited.bytes);
    assert_eq!(check(&edited.bytes).facts.key_securities, before - 1);
}

/// New keys use one key security of each kind, independent of the number of keys.
#[test]
fn new_keys_share_inherited_key_securities() {
    let bytes = hive(Minor::V5);
    let before = check(&bytes).facts.key_securities;
    let mut editor = edit(&bytes, 1);
    for name in many(40) {
        editor.create_key(&format!("new\\{name}\\below")).unwrap();
        editor.create_key(&format!("a\\Services\\{name}\\below")).unwrap();
    }
    let edited = editor.finish().unwrap();
    assert_no_findings(&edited.bytes);
    assert_eq!(check(&edited.bytes).facts.key_securities, before + 2);
    let hive = Hive::open(&edited.bytes[..]).unwrap().clean().unwrap();
    let security = |path: &str| hive.key(path).unwrap().unwrap().security_descriptor().unwrap();
    assert_eq!(*security("new\\key 0001\\below"), super::security_below(&security("")));
    assert_eq!(*security("a\\Services\\key 0001"), super::security_below(&security("a\\Services")));
    let mut editor = edit(&edited.bytes, 2);
    editor.delete_key("new").unwrap();
    assert!(editor.set_security("a\\Services", &security("")).unwrap());
    assert!(!editor.set_security("a\\Services", &security("")).unwrap());
    let deleted = editor.finish().unwrap();
    assert_no_findings(&deleted.bytes);
    assert_eq!(check(&deleted.bytes).facts.key_securities, before);
}

/// Copies, renames and deletes a tree of the maximum depth, without recursion.
#[test]
fn deep_trees_are_processed_without_recursion() {
    let deep = "d\\".repeat(511);
    let mut editor = edit(&hive(Minor::V5), 1);
    assert!(editor.create_key(&deep).unwrap());
    assert!(editor.rename_key("d", "e").unwrap());
    assert!(editor.copy_key("e", "f").unwrap());
    assert!(editor.copy_key("e\\d\\d", "service\\f").unwrap());
    assert_eq!(editor.copy_key("e", "service\\B\\f").unwrap_err().code(), "key-depth");
    assert!(editor.delete_key("e").unwrap());
    let edited = editor.finish().unwrap();
    assert_no_findings(&edited.bytes);
    let keys = contents(&edited.bytes).len();
    assert_eq!(keys, contents(&hive(Minor::V5)).len() + 511 + 509);
}

#[test]
fn files_grow_in_steps_and_within_bounds() {
    let bytes = hive(Minor::V5);
    let data = Data::Binary(vec![1; 15_000]);
    let mut editor = edit(&bytes, 1);
    editor.set_value("a", "x", &data).unwrap();
    let edited = editor.finish().unwrap();
    assert_eq!(edited.bytes.len(), 256 << 10);
    // The rest is slack filled with zeros, which the next edits use.
    let end = 4096 + Hive::open(&edited.bytes[..]).unwrap().clean().unwrap().length() as usize;
    assert!(end < bytes.len() + 20_000 && edited.bytes[end..].iter().all(|&byte| byte == 0));
    let mut editor = edit(&edited.bytes, 2);
    editor.set_value("a", "y", &data).unwrap();
    assert_eq!(editor.finish().unwrap().bytes.len(), 256 << 10);

    let bounded = |len: usize| {
        let options = hivewright_hive::EditOptions {
            timestamp: None,
            max_file_len: (bytes.len() + len) as u64,
            above_sequence: None,
        };
        let mut editor = Hive::open(bytes.clone()).unwrap().clean().unwrap().edit(options);
        let set = editor.set_value("a", "x", &data).map_err(|error| error.code().as_str());
        (set, editor.finish().map(|edited| edited.bytes.len() - bytes.len()).map_err(|error| error.code().as_str()))
    };
    assert_eq!(bounded(16 << 10), (Ok(true), Ok(16 << 10)));
    assert_eq!(bounded(12 << 10), (Err("no-room"), Ok(0)));
}
