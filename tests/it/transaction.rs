//! Transactions over several hives of an installation.

mod faults;
mod keys;
mod obstacles;
mod paths;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hivewright::internals::edit::commit::How;
use hivewright::internals::undo::undo;
use hivewright::{Data, HiveKind, Image, KeyPath, SettingState, Transaction};
use hivewright_fixtures::{HiveSpec, Minor};
use hivewright_hive::check::check;
use hivewright_hive::regf::name::Name;
use tempfile::TempDir;

use crate::disks::growth::judge;
use crate::support::disk::gpt;
use crate::support::ntfs_volume::NtfsVolume;
use crate::support::real::Real;
use crate::support::tools::have;
use crate::support::windows_folder::{BOB_SID, DEFAULT_USER, SOFTWARE, SYSTEM, files, put, volume};

/// An installation in its own folder of the host, or inside an image.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) image: PathBuf,
}

impl Place {
    pub(crate) fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().real();
        put(&image, &files());
        Place { folder, image }
    }

    pub(crate) fn raw() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().real().join("disk.raw");
        fs::write(&image, volume(&files())).unwrap();
        Place { folder, image }
    }

    /// Prints a line and returns `None` without qemu-img.
    pub(crate) fn qcow2() -> Option<Self> {
        if !have(&["qemu-img"]) {
            return None;
        }
        let raw = Self::raw();
        let image = raw.image.with_extension("qcow2");
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=512"]).arg(&raw.image).arg(&image);
        assert!(convert.status().unwrap().success());
        fs::remove_file(&raw.image).unwrap();
        Some(Place { folder: raw.folder, image })
    }

    /// Prints a line and returns `None` without the tools for NTFS.
    pub(crate) fn ntfs() -> Option<Self> {
        let made = NtfsVolume::make(4, &["-c", "1024"])?;
        made.fill(|root| drop(put(root, &files())))?;
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().real().join("volume.ntfs");
        fs::write(&image, made.bytes()).unwrap();
        Some(Place { folder, image })
    }

    /// Creates a typical image: an NTFS volume on a disk with a GPT, in a qcow2. Prints a line and returns `None`
    /// without the tools.
    pub(crate) fn golden() -> Option<Self> {
        let volume = Place::ntfs()?;
        let disk = volume.image.with_file_name("disk.raw");
        let bytes = fs::read(&volume.image).unwrap();
        gpt(&bytes, bytes.len() as u64 + (2 << 20), &disk)?;
        let image = disk.with_extension("qcow2");
        let convert = have(&["qemu-img"]).then(|| Command::new("qemu-img"));
        assert!(
            convert?.args(["convert", "-f", "raw", "-O", "qcow2"]).args([&disk, &image]).status().unwrap().success()
        );
        [&disk, &volume.image].into_iter().for_each(|file| fs::remove_file(file).unwrap());
        Some(Place { folder: volume.folder, image })
    }

    pub(crate) fn open(&self) -> Image {
        Image::open(&self.image).unwrap()
    }

    /// Returns all files below the folder, with their bytes.
    pub(crate) fn bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut found, mut folders) = (Vec::new(), vec![self.folder.path().real()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push((path.clone(), fs::read(path).unwrap())) }
            }
        }
        found.sort();
        found
    }
}

/// Adds operations on three hives, none of which has to grow.
pub(crate) fn small(image: &Image) -> Transaction {
    let mut edit = image.transaction();
    edit.user(HiveKind::DefaultUser);
    edit.set_value(r"HKLM\SYSTEM\CurrentControlSet\Services\PolicyAgent", "Half", Data::Dword(77)).unwrap();
    edit.set_value(r"HKLM\SOFTWARE\Example\Inner", "Name", Data::sz("x")).unwrap();
    edit.set_value(r"HKCU\Software\Example", "", Data::sz("default")).unwrap();
    edit.delete_value(r"HKCU\Control Panel", "Old").unwrap();
    edit
}

/// Asserts the values that [`small`] sets.
fn expect_small(image: &Image) {
    let windows = image.installations().unwrap().remove(0);
    let value = |kind: HiveKind, key: &str, name: &str| {
        let hive = windows.hive(kind).unwrap();
        let key = hive.key(key).unwrap()?;
        key.value(name).unwrap().map(|value| value.data().unwrap())
    };
    let system = value(HiveKind::System, r"CurrentControlSet\Services\PolicyAgent", "Half");
    assert_eq!(system, Some(Data::Dword(77)));
    assert_eq!(value(HiveKind::Software, r"Example\Inner", "Name"), Some(Data::sz("x")));
    assert_eq!(value(HiveKind::DefaultUser, r"Software\Example", ""), Some(Data::sz("default")));
    assert_eq!(value(HiveKind::DefaultUser, "Control Panel", "Old"), None);
}

fn changes_and_is_undone(place: &Place) {
    let before = place.bytes();
    let prepared = small(&place.open()).prepare().unwrap();
    assert_eq!(prepared.hives().len(), 3);
    prepared.try_out().unwrap();
    assert!(place.bytes() == before, "nothing is written before the commit");
    let committed = prepared.commit().unwrap();
    assert_eq!((committed.how, committed.hives.len()), (How::InPlace, 3));
    expect_small(&place.open());
    assert!(small(&place.open()).prepare().unwrap().is_already_so());
    let undo_file = committed.undo.unwrap();
    let names: Vec<PathBuf> = place.bytes().into_iter().map(|(path, _)| path).collect();
    let expected: Vec<PathBuf> = {
        let mut names: Vec<PathBuf> = before.iter().map(|(path, _)| path.clone()).chain([undo_file.clone()]).collect();
        names.sort();
        names
    };
    assert_eq!(names, expected, "one undo file, and nothing else");
    undo(&undo_file, None).unwrap();
    fs::remove_file(&undo_file).unwrap();
    assert!(place.bytes() == before, "every byte is back");
}

#[test]
fn three_hives_of_a_folder_change_together() {
    changes_and_is_undone(&Place::folder());
}

#[test]
fn three_hives_of_a_raw_image_change_together() {
    changes_and_is_undone(&Place::raw());
}

#[test]
fn three_hives_of_a_qcow2_change_together() {
    let Some(place) = Place::qcow2() else { return };
    changes_and_is_undone(&place);
}

#[test]
fn the_setting_changes_with_other_values() {
    let place = Place::folder();
    let before = place.bytes();
    let verdict = || place.open().installations().unwrap()[0].nat_t().unwrap();
    let was = verdict();
    let mut edit = small(&place.open());
    assert_eq!(edit.nat_t(Some(3)).unwrap_err().code(), "usage");
    let committed = edit.nat_t(Some(1)).unwrap().prepare().unwrap().commit().unwrap();
    assert_eq!((committed.how, committed.hives.len()), (How::InPlace, 3));
    expect_small(&place.open());
    assert_eq!((verdict().state, verdict().number), (SettingState::Set, Some(1)));
    undo(&committed.undo.unwrap(), None).unwrap();
    assert_ne!(was.number, Some(1));
    assert_eq!((verdict().state, verdict().number), (was.state, was.number));
    assert!(before.iter().all(|(path, bytes)| fs::read(path).unwrap() == *bytes));
}

/// Adds operations on three hives, each of which has to grow.
pub(crate) fn large(image: &Image) -> Transaction {
    let mut edit = image.transaction();
    edit.user(HiveKind::DefaultUser);
    for key in [r"HKLM\SYSTEM\Example", r"HKLM\SOFTWARE\Example", r"HKCU\Example"] {
        edit.set_value(key, "Large", Data::Binary(vec![7; 9000])).unwrap();
    }
    edit
}

#[test]
fn hives_of_a_folder_grow_together_and_shrink_again() {
    let place = Place::folder();
    let before = place.bytes();
    let committed = large(&place.open()).prepare().unwrap().commit().unwrap();
    for file in [SYSTEM, SOFTWARE, DEFAULT_USER] {
        let bytes = fs::read(place.image.join(file)).unwrap();
        let old = &before.iter().find(|(path, _)| path.ends_with(file)).unwrap().1;
        assert!(bytes.len() > old.len() && check(&bytes).is_consistent(), "{file}");
    }
    // Every cell may have moved.
    let moved = place.folder.path().join("moved");
    fs::create_dir(&moved).unwrap();
    for name in ["Windows", "Users"] {
        fs::rename(place.image.join(name), moved.join(name)).unwrap();
    }
    let undo_file = moved.join(committed.undo.unwrap().strip_prefix(&place.image).unwrap());
    undo(&undo_file, None).unwrap();
    fs::remove_file(&undo_file).unwrap();
    for (path, bytes) in &before {
        let path = moved.join(path.strip_prefix(&place.image).unwrap());
        assert!(fs::read(&path).unwrap() == *bytes, "{}", path.display());
    }
}

/// Each hive gets clusters that the previous ones have left.
#[test]
fn hives_of_an_image_grow_together_and_shrink_again() {
    for place in [Some(Place::raw()), Place::qcow2(), Place::ntfs()].into_iter().flatten() {
        let before = place.bytes();
        let committed = large(&place.open()).prepare().unwrap().commit().unwrap();
        assert_eq!((committed.how, committed.hives.len(), committed.notes.len()), (How::InPlace, 3, 3));
        let windows = place.open().installations().unwrap().remove(0);
        for kind in [HiveKind::System, HiveKind::Software, HiveKind::DefaultUser] {
            let hive = windows.hive(kind).unwrap();
            let value = hive.key("Example").unwrap().unwrap().value("Large").unwrap().unwrap();
            assert_eq!(value.data().unwrap(), Data::Binary(vec![7; 9000]));
        }
        if place.image.ends_with("volume.ntfs") {
            judge(&place.image);
        }
        let undo_file = committed.undo.unwrap();
        undo(&undo_file, None).unwrap();
        fs::remove_file(&undo_file).unwrap();
        assert!(place.bytes() == before, "every byte is back");
    }
}

#[test]
fn a_copy_of_an_image_gets_all_hives() {
    let place = Place::raw();
    let before = fs::read(&place.image).unwrap();
    let copy = place.image.with_file_name("copy");
    let committed = small(&place.open()).output(&copy).prepare().unwrap().commit().unwrap();
    assert_eq!((committed.how, committed.undo), (How::Output, None));
    assert!(fs::read(&place.image).unwrap() == before);
    expect_small(&Image::open(&copy).unwrap());
    let several = Place::folder();
    let refused = small(&several.open()).output(several.image.join("new")).prepare().unwrap().commit().unwrap_err();
    assert_eq!(refused.code(), "output-files");
}

/// Judged by another program, if installed.
#[test]
fn others_read_what_was_written() {
    let place = Place::folder();
    small(&place.open()).prepare().unwrap().commit().unwrap();
    for (file, key) in [(SOFTWARE, r"\Example\Inner"), (DEFAULT_USER, r"\Software\Example")] {
        if !have(&["hivexget"]) {
            return;
        }
        let output = Command::new("hivexget").arg(place.image.join(file)).arg(key).output().unwrap();
        assert!(output.status.success(), "{file}: {output:?}");
    }
}

#[test]
fn keys_are_created_and_deleted_with_all_below() {
    let place = Place::folder();
    let image = place.open();
    let mut edit = image.transaction();
    edit.create_key(r"HKLM\SOFTWARE\A\B\C").unwrap();
    edit.set_value(r"HKLM\SOFTWARE\a\b", "One", Data::Dword(1)).unwrap();
    edit.prepare().unwrap().commit().unwrap();
    let mut edit = image.transaction();
    // Deleted, and created again with fewer values.
    edit.delete_key(r"HKLM\SOFTWARE\A").unwrap();
    edit.delete_key(r"HKLM\SOFTWARE\A\B\None").unwrap();
    edit.set_value(r"HKLM\SOFTWARE\A\New", "Two", Data::Dword(2)).unwrap();
    let prepared = edit.prepare().unwrap();
    let changes: Vec<bool> = prepared.hives()[0].changes.iter().map(|change| change.changes).collect();
    assert_eq!(changes, [true, false, true]);
    let committed = prepared.commit().unwrap();
    let how = if cfg!(windows) { How::InPlace } else { How::Replaced };
    assert_eq!(committed.how, how, "one hive alone is replaced as ever");
    assert_eq!(committed.hives[0].path, place.image.join(SOFTWARE));
    let software = image.installations().unwrap()[0].hive(HiveKind::Software).unwrap();
    assert!(software.key(r"A\B").unwrap().is_none() && software.key(r"A\New").unwrap().is_some());
    let bytes = fs::read(place.image.join(SOFTWARE)).unwrap();
    assert!(check(&bytes).is_consistent());
}

/// A NUL and half of a surrogate pair, in names of keys and values.
#[test]
fn names_that_text_cannot_have_are_created_and_deleted() {
    let place = Place::folder();
    let image = place.open();
    let odd = r"Example\{U+0000}x{U+D800}";
    let name = Name::from_escaped("v{U+DC00}{U+0000}\\");
    let mut edit = image.transaction();
    edit.set_value(&*format!("HKLM\\SOFTWARE\\{odd}"), &name, Data::Dword(5)).unwrap();
    let prepared = edit.prepare().unwrap();
    prepared.commit().unwrap();
    assert!(prepared.hives()[0].unconfirmed().is_some(), "the second parser knows no such names");
    let software = || image.installations().unwrap()[0].hive(HiveKind::Software).unwrap();
    let hive = software();
    let key = hive.key(KeyPath::from_escaped(odd)).unwrap().unwrap();
    assert_eq!(key.value(&name).unwrap().unwrap().data().unwrap(), Data::Dword(5));
    let mut edit = image.transaction();
    edit.delete_key(&*format!("HKLM\\SOFTWARE\\{odd}")).unwrap();
    edit.prepare().unwrap().commit().unwrap();
    let hive = software();
    assert_eq!(hive.key("Example").unwrap().unwrap().subkeys().unwrap().count(), 0);
}

/// Windows creates no key with a backslash in its name: such a key can be deleted, but not created.
#[test]
fn a_name_with_a_backslash_is_deleted_and_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hive");
    let spec = HiveSpec::new(Minor::V5).free_at_end(2000).key("Odd", |key| key.key("a\\b", |key| key));
    fs::write(&file, spec.build().bytes).unwrap();
    let image = Image::open(&file).unwrap();
    let mut edit = image.transaction();
    edit.delete_key(r"Odd\a{U+005C}b").unwrap();
    edit.prepare().unwrap().commit().unwrap();
    assert_eq!(image.hive().unwrap().key("Odd").unwrap().unwrap().subkeys().unwrap().count(), 0);
    let mut edit = image.transaction();
    edit.create_key(r"Odd\c{U+005C}d").unwrap();
    assert!(edit.prepare().is_err());
}

#[test]
fn a_hive_with_two_paths_is_one_hive() {
    let place = Place::folder();
    let image = place.open();
    let mut edit = image.transaction();
    edit.user(HiveKind::User("BOB".to_owned()));
    for path in [r"HKU\bob\A".to_owned(), format!(r"HKU\{BOB_SID}\B"), r"HKCU\A\C".to_owned()] {
        edit.create_key(&*path).unwrap();
    }
    let prepared = edit.prepare().unwrap();
    assert_eq!((prepared.hives().len(), prepared.hives()[0].changes.len()), (1, 3));
    prepared.commit().unwrap();
    let hive = image.installations().unwrap()[0].hive(HiveKind::User("bob".to_owned())).unwrap();
    assert!([r"A\C", "B"].into_iter().all(|path| hive.key(path).unwrap().is_some()));
}

#[test]
fn a_transaction_without_operations_changes_nothing() {
    let place = Place::folder();
    let before = place.bytes();
    let prepared = place.open().transaction().prepare().unwrap();
    assert!(prepared.is_already_so());
    assert_eq!(prepared.commit().unwrap().how, How::Unchanged);
    assert!(place.bytes() == before);
}

/// Returns the path of a file of the installation.
pub(crate) fn at(folder: &Path, file: &str) -> PathBuf {
    folder.join(file)
}
