//! An obstacle of one hive refuses the whole transaction, and nothing changes.

use std::fs::{self, File};

use hivewright::{Data, HiveKind};

use super::{Place, at, small};
use crate::support::windows_folder::{DEFAULT_USER, SOFTWARE, SYSTEM, files, volume};

/// Returns the code of the refusal of [`small`], in the preparation or in the commit. Asserts that nothing has changed.
fn refused(place: &Place) -> &'static str {
    let before = place.bytes();
    let error = small(&place.open()).prepare().and_then(|prepared| prepared.commit()).unwrap_err();
    assert!(place.bytes() == before, "{error}");
    error.code().as_str()
}

#[test]
fn a_dirty_hive_without_logs_refuses_all() {
    let place = Place::folder();
    for ending in ["LOG1", "LOG2"] {
        fs::remove_file(at(&place.image, &format!("{SYSTEM}.{ending}"))).unwrap();
    }
    assert_eq!(refused(&place), "dirty");
}

#[test]
fn a_hibernated_volume_refuses_all() {
    let place = Place::folder();
    let mut page = vec![0; 4096];
    page[..4].copy_from_slice(b"hibr");
    fs::write(place.image.join("hiberfil.sys"), page).unwrap();
    assert_eq!(refused(&place), "volume-hibernated");
}

#[test]
fn a_hive_in_use_refuses_all() {
    let place = Place::folder();
    let held = File::options().read(true).write(true).open(at(&place.image, DEFAULT_USER)).unwrap();
    held.lock().unwrap();
    assert_eq!(refused(&place), "in-use");
}

#[test]
fn damage_in_one_hive_is_found_by_its_proof_and_stops_all() {
    for file in [SOFTWARE, DEFAULT_USER] {
        let place = Place::folder();
        let path = at(&place.image, file);
        let mut bytes = fs::read(&path).unwrap();
        // The root's class name gets a length, which no edit reads.
        let root = 4096 + usize::try_from(u32::from_le_bytes(bytes[36..40].try_into().unwrap())).unwrap() + 4;
        bytes[root + 0x4a] = 6;
        bytes[root + 0x30..root + 0x34].copy_from_slice(&0x7000_0000_u32.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        let prepared = small(&place.open()).prepare().unwrap();
        let before = place.bytes();
        assert_eq!(prepared.commit().unwrap_err().code(), "damaged", "{file}");
        assert!(place.bytes() == before, "{file}");
    }
}

#[test]
fn a_missing_hive_refuses_all() {
    let place = Place::folder();
    fs::remove_file(at(&place.image, DEFAULT_USER)).unwrap();
    assert_eq!(refused(&place), "no-file");
}

#[test]
fn a_hive_without_room_in_its_volume_refuses_all() {
    let place = Place::raw();
    let before = place.bytes();
    let image = place.open();
    let mut edit = small(&image);
    edit.set_value(r"HKCU\Software\Example", "Large", Data::Binary(vec![1; 200_000])).unwrap();
    let prepared = edit.prepare().unwrap();
    assert_eq!(prepared.try_out().unwrap_err().code(), "no-room");
    assert_eq!(prepared.commit().unwrap_err().code(), "no-room");
    assert!(place.bytes() == before);
}

#[test]
fn named_logs_apply_to_one_hive() {
    let mut made = files();
    made.retain(|(path, _)| !path.contains("LOG"));
    let place = Place::raw();
    fs::write(&place.image, volume(&made)).unwrap();
    let image = place.open();
    let mut edit = image.transaction();
    edit.user(HiveKind::DefaultUser).create_key(r"HKCU\X").unwrap();
    edit.prepare().unwrap();
    assert_eq!(refused(&place), "dirty");
}
