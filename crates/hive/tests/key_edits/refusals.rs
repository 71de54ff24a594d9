//! Refusals of an edit. A partially failed edit cannot be finished.

use hivewright_fixtures::{HiveSpec, Minor};
use hivewright_hive::regf::name::Name;
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::{Data, Delete, EditOptions, Editor, Hive, KeyPath, Result, ValueType};

use super::{assert_no_findings, edit};

fn code<T: std::fmt::Debug>(done: Result<T>) -> &'static str {
    done.unwrap_err().code().as_str()
}

fn odd() -> Vec<u8> {
    HiveSpec::new(Minor::V5)
        .key("Link", |key| key.link_to("\\Registry\\Machine"))
        .key("Kept", |key| key.key("Here", |key| key.flags(0x08)))
        .key("Handle", |key| key.flags(0x40))
        .key("Plain", |key| key.dword("n", 1))
        .build()
        .bytes
}

#[test]
fn refusals_have_their_codes() {
    let mut editor = edit(&odd(), 1);
    assert_eq!(code(editor.create_key("Link\\x")), "key-takes-no-subkeys");
    assert_eq!(code(editor.create_key("Handle\\x")), "key-takes-no-subkeys");
    assert_eq!(code(editor.set_value("Link", "x", &Data::Dword(1))), "key-takes-no-values");
    assert_eq!(code(editor.set_value("Handle", "x", &Data::Dword(1))), "key-takes-no-values");
    assert_eq!(code(editor.delete_all_values("Handle")), "key-takes-no-values");
    assert_eq!(code(editor.delete_key("Kept")), "key-no-delete");
    assert_eq!(code(editor.rename_key("Kept\\Here", "There")), "key-no-delete");
    assert_eq!(code(editor.rename_key("Handle", "There")), "key-takes-no-name");
    assert_eq!(code(editor.copy_key("Handle", "There")), "key-not-copied");
    assert_eq!(code(editor.delete_key("")), "root-key");
    assert_eq!(code(editor.rename_key("", "x")), "root-key");
    assert_eq!(code(editor.create_key(&"x".repeat(256))), "key-name");
    assert_eq!(code(editor.rename_key("Plain", "")), "key-name");
    assert_eq!(code(editor.rename_key("Plain", "LINK")), "key-exists");
    assert_eq!(code(editor.rename_key("None", "x")), "no-key");
    assert_eq!(code(editor.copy_key("Kept", "Kept\\Below\\Copy")), "key-into-itself");
    assert_eq!(code(editor.create_key(&"x\\".repeat(513))), "key-depth");
    assert_eq!(code(editor.set_value("Plain", &"x".repeat(16_384), &Data::Dword(1))), "value-name");
    assert_eq!(code(editor.set_security("Plain", b"none")), "security-descriptor");
    assert!(!editor.rename_key("Plain", "Plain").unwrap() && editor.rename_key("Plain", "PLAIN").unwrap());
    assert!(editor.set_value("Plain", &"x".repeat(16_383), &Data::Dword(1)).unwrap());
    assert!(editor.create_key(&"y".repeat(255)).unwrap());
    // A link can be copied, and deleted like any other key.
    assert!(editor.copy_key("Link", "Plain\\Link").unwrap() && editor.delete_key("Link").unwrap());
    assert_eq!(code(editor.create_key("Plain\\Link\\x")), "key-takes-no-subkeys");
    assert_no_findings(&editor.finish().unwrap().bytes);
}

#[test]
fn data_is_as_large_as_the_version_allows() {
    let large = Data::Binary((0..3_000_000).map(|i| i as u8).collect());
    for (minor, expected) in
        [(Minor::V3, Err("data-too-large")), (Minor::V4, Ok(true)), (Minor::V5, Ok(true)), (Minor::V6, Ok(true))]
    {
        let bytes = HiveSpec::new(minor).key("Plain", |key| key).build().bytes;
        let mut editor = edit(&bytes, 1);
        assert_eq!(editor.set_value("Plain", "x", &large).map_err(|error| error.code().as_str()), expected);
        // The largest that one cell holds.
        assert!(editor.set_value("Plain", "y", &Data::Binary(vec![1; (1 << 20) - 4])).unwrap());
        let edited = editor.finish().unwrap().bytes;
        assert_no_findings(&edited);
        let hive = Hive::open(edited).unwrap().clean().unwrap();
        let value = hive.key("Plain").unwrap().unwrap().value("x").unwrap().map(|value| value.data().unwrap());
        assert_eq!(value, expected.ok().map(|_| large.clone()));
    }
}

#[test]
fn a_partially_failed_edit_cannot_be_finished() {
    let bytes = odd();
    // Space for some segments of the data, but not for all.
    let max_file_len = bytes.len() as u64 + (48 << 10);
    let options = EditOptions { timestamp: Some(FileTime(1)), max_file_len, above_sequence: None };
    let mut editor = Hive::open(bytes).unwrap().clean().unwrap().edit(options);
    assert_eq!(code(editor.set_value("Plain", "x", &Data::Binary(vec![1; 100_000]))), "no-room");
    assert_eq!(code(editor.set_value("Plain", "n", &Data::Dword(7))), "edit-failed");
    assert_eq!(code(editor.finish()), "edit-failed");
}

#[test]
fn a_deleted_key_cannot_be_addressed_by_its_offset() {
    let bytes = odd();
    let at = |editor: &Editor, path: &str| editor.hive().unwrap().key(path).unwrap().unwrap().at();
    let mut editor = edit(&bytes, 1);
    editor.create_key("New").unwrap();
    let places = [at(&editor, "Plain"), at(&editor, "New")];
    editor.delete_key("Plain").unwrap();
    editor.delete_key("New").unwrap();
    for place in places {
        assert_eq!(code(editor.set_value_at(place, "x", ValueType::DWORD, &[0; 4])), "no-key");
        assert_eq!(code(editor.delete_value_at(place, "x", Delete::Any)), "no-key");
        assert_eq!(code(editor.create_key_at(place, "x")), "no-key");
        assert_eq!(code(editor.delete_key_at(place)), "no-key");
        assert_eq!(code(editor.rename_key_at(place, "x")), "no-key");
        assert_eq!(code(editor.copy_key_at(place, "x")), "no-key");
        assert_eq!(code(editor.set_class_at(place, None)), "no-key");
        assert_eq!(code(editor.set_security_at(place, &hivewright_fixtures::security::ordinary())), "no-key");
    }
    assert_no_findings(&editor.finish().unwrap().bytes);
}

#[test]
fn names_with_unpaired_surrogates_can_be_addressed() {
    let names = [vec![0x61, 0, 0x62], vec![0xd800, 0x78]].map(|units| Name::from_units(&units));
    let mut editor = edit(&odd(), 1);
    for name in &names {
        let mut path = KeyPath::from("Plain");
        path.push(name);
        assert!(editor.create_key(&path).unwrap());
        assert!(editor.set_value(&path, name, &Data::Dword(1)).unwrap());
        let text = path.to_string();
        assert_eq!(KeyPath::from_escaped(&text), path.clone().into_owned());
        assert!(!editor.create_key(KeyPath::from_escaped(&text)).unwrap());
        assert!(editor.delete_value(KeyPath::from_escaped(&text), name).unwrap());
        assert!(editor.delete_key(KeyPath::from_escaped(&text)).unwrap());
    }
    assert_no_findings(&editor.finish().unwrap().bytes);
}

/// Memory is not allocated by a damaged count.
#[test]
fn an_impossible_count_is_an_error() {
    let built = HiveSpec::new(Minor::V5).key("Plain", |key| key.dword("n", 1)).build();
    let mut bytes = built.bytes;
    let at = Hive::open(&bytes[..]).unwrap().clean().unwrap().key("Plain").unwrap().unwrap().at();
    let count = at.data_in_file() as usize + 36;
    bytes[count..count + 4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    let mut editor = edit(&bytes, 1);
    assert_eq!(code(editor.set_value("Plain", "n", &Data::Dword(2))), "values-list-size");
    assert_eq!(code(editor.delete_all_values("Plain")), "values-list-size");
    assert_eq!(code(editor.delete_key("Plain")), "values-list-size");
}

/// After two operations on one key node, each of its fields is written in its own step.
#[test]
fn a_key_is_renamed_and_emptied_in_one_edit() {
    let bytes = super::random::hive(Minor::V3);
    let mut editor = edit(&bytes, 1);
    assert!(editor.rename_key("a", "Ключ").unwrap());
    assert_eq!(editor.delete_all_values("Ключ").unwrap(), 2);
    super::is_consistent(&bytes, &editor.finish().unwrap());
}

/// Windows does not create keys with a backslash in the name. Such a key can be read, renamed and deleted.
#[test]
fn a_key_with_a_backslash_can_be_renamed_and_deleted() {
    let bytes = HiveSpec::new(Minor::V5).key("a\\b", |key| key.dword("n", 1)).key("c\\d", |key| key).build().bytes;
    let mut editor = edit(&bytes, 1);
    assert_eq!(code(editor.create_key(KeyPath::from_names(["x\\y"]))), "key-name");
    assert_eq!(code(editor.copy_key(KeyPath::from_names(["a\\b"]), KeyPath::from_names(["x\\y"]))), "key-name");
    assert!(editor.set_value(KeyPath::from_names(["a\\b"]), "n", &Data::Dword(2)).unwrap());
    assert!(editor.rename_key(KeyPath::from_escaped("a{U+005c}b"), "ab").unwrap());
    assert!(editor.delete_key(KeyPath::from_escaped("C{U+005c}D")).unwrap());
    assert_no_findings(&editor.finish().unwrap().bytes);
}

#[test]
fn a_tree_of_another_hive_is_copied_completely() {
    let source = super::random::hive(Minor::V5);
    for minor in [Minor::V3, Minor::V4, Minor::V5, Minor::V6] {
        let bytes = HiveSpec::new(minor).key("Plain", |key| key.dword("n", 1)).build().bytes;
        let other = Hive::open(&source[..]).unwrap().clean().unwrap();
        let mut editor = edit(&bytes, 1);
        assert!(editor.copy_key_from(&other.root().unwrap(), "Plain\\All").unwrap());
        assert!(!editor.copy_key_from(&other.root().unwrap(), "Plain\\All").unwrap());
        let edited = editor.finish().unwrap();
        assert_no_findings(&edited.bytes);
        super::is_consistent(&bytes, &edited);
        let (from, to) = (super::contents(&source), super::contents(&edited.bytes));
        let prefix = ["PLAIN", "ALL"].map(super::model::units);
        for (path, key) in from.iter().skip(1) {
            let place: Vec<_> = prefix.iter().chain(path).cloned().collect();
            assert_eq!(to.get(&place), Some(key));
        }
    }
}
