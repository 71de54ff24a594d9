//! Keys are renamed, copied, secured and lose all their values; the expected state is computed independently of the
//! editor.

use std::path::Path;

use hivewright::internals::edit::{Action, Edits, PathOperation, Prepared, Request, prepare};
use hivewright::internals::locate::{Choice, LogChoice};
use hivewright::undo;
use hivewright::{Data, Error, HiveKind, Image, RegistryPath};
use hivewright_fixtures::bytes::{get_u32, payload, put_u32};
use hivewright_fixtures::security::{allowing, closed, network_service, ordinary};
use hivewright_fixtures::{HiveSpec, KeySpec, Minor};
use hivewright_hive::check::check;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::regf::name::Name;
use hivewright_hive::security_descriptor::SecurityDescriptor;
use hivewright_hive::{EditOptions, KeyPath};
use proptest::prelude::*;

use super::Place;

fn hive(minor: Minor) -> Vec<u8> {
    let filled = |key: KeySpec| key.sz("text", "some text that needs a cell").dword("number", 7).class("a class");
    HiveSpec::new(minor)
        .key("a", |key| filled(key).key("Service", |key| filled(key).security(closed()).key("b", filled)))
        .key("b", |key| filled(key).key("Ключ", |key| key.binary("big", &[7; 17_000]).key("a", filled)))
        .free_at_end(2000)
        .build()
        .bytes
}

fn request(operations: Vec<PathOperation>) -> Request {
    Request {
        edits: Edits::of_paths(operations),
        force: false,
        logs: LogChoice::Beside,
        discard_logs: false,
        all_users: false,
        settle: false,
        elsewhere: false,
        options: EditOptions::default(),
        choice: Choice::default(),
        ignore: Vec::new(),
    }
}

fn at(names: &[&str]) -> RegistryPath {
    RegistryPath::from_names(KeyPath::from_names(names.iter().map(|name| Name::encode(name)))).unwrap()
}

fn names() -> Vec<&'static str> {
    vec!["a", "A", "b", "Ключ", "service", "Service with a name that is longer", "n"]
}

fn operation() -> impl Strategy<Value = PathOperation> {
    let path = || prop::collection::vec(prop::sample::select(names()), 1..4).prop_map(|names| at(&names));
    let key_name = || prop::sample::select(names()).prop_map(Name::encode);
    let value_name = || prop::sample::select(vec!["text", "TEXT", "number", "", "Имя"]).prop_map(Name::encode);
    let security = prop::sample::select(vec![ordinary(), closed(), network_service(), allowing(&[])]);
    let size = prop_oneof![4 => 0usize..40, 1 => 4000usize..4200, 1 => 16_340usize..16_360];
    let action = prop_oneof![
        2 => Just(Action::CreateKey),
        2 => Just(Action::DeleteKey),
        3 => key_name().prop_map(|name| Action::RenameKey { name }),
        3 => path().prop_map(|from| Action::CopyKey { from }),
        2 => security.prop_map(|descriptor| Action::SetSecurity { descriptor }),
        4 => (value_name(), 0u32..12, size)
            .prop_map(|(name, kind, size)| Action::SetValue { name, kind: ValueType(kind), data: vec![5; size] }),
        2 => value_name().prop_map(|name| Action::DeleteValue { name }),
        1 => Just(Action::DeleteAllValues),
    ];
    (path(), action).prop_map(|(path, action)| PathOperation { path, action })
}

/// Prepares operations one after the other, each with the previous ones in one edit, except the refused ones.
fn prepared(file: &Path, operations: Vec<PathOperation>) -> Option<Prepared> {
    let (mut taken, mut last) = (Vec::new(), None);
    for operation in operations {
        taken.push(operation);
        match prepare(file, &request(taken.clone())) {
            Ok(prepared) => last = Some(prepared),
            Err(error) => {
                assert!(REFUSALS.contains(&error.code().as_str()), "{error}");
                taken.pop();
            }
        }
    }
    last
}

/// Codes of refusals of such operations by the editor.
const REFUSALS: [&str; 4] = ["no-key", "key-exists", "key-into-itself", "key-depth"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// The expected state is that of the editor: the edited hive is valid, and the proof passes.
    #[test]
    fn the_editor_and_the_expected_state_agree(
        operations in prop::collection::vec(operation(), 1..12),
        minor in 0usize..4,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hive");
        std::fs::write(&file, hive([Minor::V3, Minor::V4, Minor::V5, Minor::V6][minor])).unwrap();
        if let Some(prepared) = prepared(&file, operations) {
            prepared.prove().unwrap();
            prop_assert!(check(&prepared.hives[0].edited.bytes).is_consistent());
        }
    }
}

#[test]
fn copies_may_together_have_more_data_than_the_hive() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hive");
    std::fs::write(&file, hive(Minor::V5)).unwrap();
    let copy = |to| PathOperation { path: at(&[to]), action: Action::CopyKey { from: at(&["b"]) } };
    let operations: Vec<PathOperation> = ["copy 1", "copy 2", "copy 3"].map(copy).into();
    let count = operations.len();
    let prepared = prepare(&file, &request(operations)).unwrap();
    prepared.prove().unwrap();
    let edited = &prepared.hives[0].edited.bytes;
    assert!(check(edited).is_consistent());
    let copied = edited.windows(1000).filter(|data| data.iter().all(|byte| *byte == 7)).count();
    assert!(copied >= (count + 1) * (16_344 - 1000), "{copied}");
}

/// Returns the code of the proof's error after a change of the edited bytes.
fn code_of(operations: Vec<PathOperation>, change: impl FnOnce(&mut Vec<u8>)) -> Option<&'static str> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hive");
    std::fs::write(&file, hive(Minor::V5)).unwrap();
    let mut prepared = prepare(&file, &request(operations)).unwrap();
    change(&mut prepared.hives[0].edited.bytes);
    prepared.prove().err().map(|error: Error| error.code().as_str())
}

/// Returns the offset of a key node in the file.
fn node(bytes: &[u8], path: &str) -> usize {
    let hive = hivewright_hive::Hive::open(bytes).unwrap().clean().unwrap();
    let at = hive.key(path).unwrap().unwrap().at();
    payload(at.0)
}

/// The proof compares each part of a key: a different security, class or value is detected.
#[test]
fn the_proof_detects_other_contents() {
    let copy = || vec![PathOperation { path: at(&["n"]), action: Action::CopyKey { from: at(&["a"]) } }];
    assert_eq!(code_of(copy(), |_| {}), None);
    let swapped = |bytes: &mut Vec<u8>, key: &str| {
        let list = payload(get_u32(bytes, node(bytes, key) + 40));
        let (first, second) = (get_u32(bytes, list), get_u32(bytes, list + 4));
        put_u32(bytes, list, second);
        put_u32(bytes, list + 4, first);
    };
    assert_eq!(code_of(copy(), |bytes| swapped(bytes, "n")), Some("proof"), "the order of the values");
    assert_eq!(code_of(copy(), |bytes| swapped(bytes, "b")), Some("proof"), "of a key that is not named too");
    let letter = |bytes: &mut Vec<u8>, key: &str, field: usize| {
        let at = payload(get_u32(bytes, node(bytes, key) + field));
        bytes[at] ^= 0x10;
    };
    assert_eq!(code_of(copy(), |bytes| letter(bytes, r"n\Service", 48)), Some("proof"), "a class");
    let security = |bytes: &mut Vec<u8>, one: &str, other: &str| {
        let (one, other) = (node(bytes, one) + 44, node(bytes, other) + 44);
        let (a, b) = (get_u32(bytes, one), get_u32(bytes, other));
        put_u32(bytes, one, b);
        put_u32(bytes, other, a);
    };
    let exchanged = |bytes: &mut Vec<u8>| security(bytes, "n", r"n\Service");
    assert_eq!(code_of(copy(), exchanged), Some("proof"), "a security");
    let renamed = || {
        let name = Name::encode("a name that is longer");
        vec![PathOperation { path: at(&["a"]), action: Action::RenameKey { name } }]
    };
    assert_eq!(code_of(renamed(), |_| {}), None);
    let exchanged = |bytes: &mut Vec<u8>| security(bytes, "a name that is longer", r"a name that is longer\Service");
    assert_eq!(code_of(renamed(), exchanged), Some("proof"), "a security of a key with another name");
    let case = |bytes: &mut Vec<u8>| {
        let at = node(bytes, "a name that is longer") + 76;
        bytes[at] ^= 0x20;
    };
    assert_eq!(code_of(renamed(), case), Some("proof"), "the case of a name");
    let descriptor = network_service();
    let secured = || {
        let action = Action::SetSecurity { descriptor: descriptor.clone() };
        vec![PathOperation { path: at(&["a"]), action }]
    };
    assert_eq!(code_of(secured(), |_| {}), None);
    assert_eq!(code_of(secured(), |bytes| security(bytes, "a", "b")), Some("proof"), "a security that was set");
    let emptied = || vec![PathOperation { path: at(&["a"]), action: Action::DeleteAllValues }];
    assert_eq!(code_of(emptied(), |_| {}), None);
    assert_eq!(code_of(emptied(), |bytes| security(bytes, "a", r"a\Service")), Some("proof"), "what was not asked for");
}

#[test]
fn keys_of_several_hives_are_renamed_copied_and_secured_together() {
    let place = Place::folder();
    let before = place.bytes();
    let image = place.open();
    let security = SecurityDescriptor::from_sddl("O:SYG:SYD:P(A;CI;KA;;;SY)").unwrap();
    let mut edit = image.transaction();
    edit.user(HiveKind::DefaultUser);
    edit.copy_key(r"HKLM\SYSTEM\CurrentControlSet\Services\PolicyAgent", r"HKLM\SYSTEM\CurrentControlSet\Services\X")
        .unwrap();
    edit.rename_key(r"HKLM\SYSTEM\CurrentControlSet\Services\X", "Copied").unwrap();
    edit.set_value(r"HKLM\SYSTEM\CurrentControlSet\Services\Copied", "New", Data::Dword(1)).unwrap();
    edit.set_security(r"HKLM\SOFTWARE\Example", &security).unwrap();
    edit.delete_all_values(r"HKCU\Control Panel").unwrap();
    let committed = edit.prepare().unwrap().commit().unwrap();
    assert_eq!(committed.hives.len(), 3);
    let windows = image.installations().unwrap().remove(0);
    let system = windows.hive(HiveKind::System).unwrap();
    let key = |path: &str| system.key(path).unwrap();
    let (from, to) = (key(r"CurrentControlSet\Services\PolicyAgent"), key(r"CurrentControlSet\Services\Copied"));
    let (from, to) = (from.unwrap(), to.unwrap());
    assert_eq!(to.values().unwrap().count(), from.values().unwrap().count() + 1);
    assert_eq!(to.security_descriptor().unwrap(), from.security_descriptor().unwrap());
    assert!(key(r"CurrentControlSet\Services\X").is_none());
    let software = windows.hive(HiveKind::Software).unwrap();
    let secured = software.key("Example").unwrap().unwrap();
    assert_eq!(SecurityDescriptor::from_bytes(&secured.security_descriptor().unwrap()).unwrap(), security);
    let user = windows.hive(HiveKind::DefaultUser).unwrap();
    assert_eq!(user.key("Control Panel").unwrap().unwrap().values().unwrap().count(), 0);
    let undo_file = committed.undo.unwrap();
    undo(&undo_file, None).unwrap();
    std::fs::remove_file(&undo_file).unwrap();
    assert!(place.bytes() == before);
}

/// Returns the code of a transaction's refusal.
fn refused(image: &Image, fill: impl FnOnce(&mut hivewright::Transaction)) -> &'static str {
    let mut edit = image.transaction();
    fill(&mut edit);
    edit.prepare().unwrap_err().code().as_str()
}

#[test]
fn impossible_copies_and_renames_are_refused() {
    let place = Place::folder();
    let image = place.open();
    let software = r"HKLM\SOFTWARE\Microsoft";
    let copy = |from: &str, to: &str| refused(&image, |edit| _ = edit.copy_key(from, to).unwrap());
    assert_eq!(copy(software, r"HKLM\SYSTEM\Copy"), "other-hive");
    assert_eq!(copy(software, r"HKLM\SOFTWARE\Microsoft\Copy"), "key-into-itself");
    assert_eq!(copy(r"HKLM\SOFTWARE\Nothing", r"HKLM\SOFTWARE\Copy"), "no-key");
    let rename = |key: &str, name: &str| refused(&image, |edit| _ = edit.rename_key(key, name).unwrap());
    assert_eq!(rename(r"HKLM\SOFTWARE\Nothing", "x"), "no-key");
    assert_eq!(rename(r"HKLM\SOFTWARE", "x"), "root-key");
    assert_eq!(rename(r"HKLM\SYSTEM\Select", "controlset001"), "key-exists");
    let broken = refused(&image, |edit| {
        let action = Action::SetSecurity { descriptor: vec![1, 2, 3] };
        edit.operate(software, action).unwrap();
    });
    assert_eq!(broken, "security-descriptor");
}

/// A tombstone marks a value as absent, whatever a lower layer contains: it is kept if all values are deleted.
#[test]
fn tombstones_are_kept_when_all_values_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hive");
    let mut built = HiveSpec::new(Minor::V6).key("K", |key| key.dword("one", 1).sz("gone", "x").sz("two", "y")).build();
    let list = payload(get_u32(&built.bytes, node(&built.bytes, "K") + 40));
    let gone = payload(get_u32(&built.bytes, list + 4));
    built.bytes[gone + 16] |= 2;
    std::fs::write(&file, &built.bytes).unwrap();
    let image = Image::open(&file).unwrap();
    let mut edit = image.transaction();
    edit.delete_all_values("K").unwrap();
    edit.prepare().unwrap().commit().unwrap();
    let hive = image.hive().unwrap();
    let key = hive.key("K").unwrap().unwrap();
    let left: Vec<String> = key.values().unwrap().map(|value| value.unwrap().name().to_string()).collect();
    assert_eq!(left, ["gone"]);
    let mut again = image.transaction();
    again.delete_all_values("K").unwrap();
    assert!(again.prepare().unwrap().is_already_so());
}
