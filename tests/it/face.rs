//! The public interface of the library: images, installations, hives, typed values.

use std::fs;

use hivewright::{Data, HiveKind, Image};
use hivewright_fixtures::dirty::DIRTY;
use hivewright_fixtures::disks::Disk;
use hivewright_fixtures::{Release, SystemHive};

use crate::copies::fixture;

/// Returns the number of the current control set of each installation.
fn current(image: &Image) -> Vec<Data> {
    let installations = image.installations().unwrap();
    let numbers = installations.iter().map(|windows| {
        let system = windows.hive(HiveKind::System).unwrap();
        assert!(system.key(r"CurrentControlSet\Services\PolicyAgent").unwrap().is_some());
        let key = system.key("select").unwrap().unwrap();
        key.value("CURRENT").unwrap().unwrap().data().unwrap()
    });
    numbers.collect()
}

#[test]
fn a_hive_a_folder_and_a_disk_are_read_alike() {
    let home = tempfile::tempdir().unwrap();
    let hive = SystemHive::new(Release::Win10).build().bytes;
    fs::write(home.path().join("hive"), &hive).unwrap();
    let config = home.path().join("volume/Windows/System32/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("SYSTEM"), &hive).unwrap();
    let one = current(&Image::open(home.path().join("hive")).unwrap());
    assert!(matches!(one[..], [Data::Dword(1..)]), "{one:?}");
    for folder in ["volume", "volume/Windows", "volume/Windows/System32/config"] {
        assert_eq!(current(&Image::open(home.path().join(folder)).unwrap()), one, "{folder}");
    }
    let disk = Disk::named("two-windows").unwrap().read(&hivewright_fixtures::folder::home()).unwrap();
    fs::write(home.path().join("disk"), disk).unwrap();
    let image = Image::open(home.path().join("disk")).unwrap();
    let found = image.installations().unwrap();
    assert_eq!(found.len(), 2);
    for windows in &found {
        let system = windows.hive(HiveKind::System).unwrap();
        assert!(system.key("Select").unwrap().is_some() && system.key("no\\such").unwrap().is_none());
        let keys = system.root().unwrap().subkeys().unwrap().filter(Result::is_ok).count();
        assert!(keys > 1, "{keys}");
    }
    assert_eq!(image.hive().unwrap_err().code(), "several-installations");
}

#[test]
fn a_missing_or_invalid_hive_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("SYSTEM"), fixture("windows/win10")).unwrap();
    fs::write(home.path().join("text"), "no hive").unwrap();
    let windows = Image::open(home.path().join("SYSTEM")).unwrap().installations().unwrap().remove(0);
    assert_eq!(windows.hive(HiveKind::Software).unwrap_err().code(), "no-file");
    assert!(windows.product().unwrap().is_none());
    assert_eq!(Image::open(home.path().join("text")).unwrap().hive().unwrap_err().code(), "base-signature");
    let none = home.path().join("none");
    let error = Image::open(&none).err().unwrap();
    assert_eq!((error.code().as_str(), error.file()), ("no-file", Some(&*none)));
    let text = home.path().join("text");
    assert_eq!(Image::open(&text).unwrap().hive().err().unwrap().file(), Some(&*text));
    let mut refused = Image::open(&text).unwrap().transaction();
    refused.create_key("New").unwrap();
    assert_eq!(refused.prepare().err().unwrap().file(), Some(&*text));
    assert_eq!(hivewright::undo(&text, None).err().unwrap().file(), Some(&*text));
}

#[test]
fn a_dirty_hive_is_read_with_its_logs_replayed_and_not_changed() {
    let mut replayed = 0;
    for dirty in DIRTY {
        let home = tempfile::tempdir().unwrap();
        let pair = (dirty.make)();
        let logs = pair.logs.iter().map(|(ending, bytes)| (format!("SYSTEM.{ending}"), bytes.clone()));
        let files: Vec<_> = std::iter::once(("SYSTEM".to_owned(), pair.primary.clone())).chain(logs).collect();
        for (name, bytes) in &files {
            fs::write(home.path().join(name), bytes).unwrap();
        }
        let Ok(hive) = Image::open(home.path().join("SYSTEM")).and_then(|image| image.hive()) else { continue };
        replayed += usize::from(hive.recovery().is_some());
        assert!(hive.key("Select").unwrap().is_some(), "{}", dirty.name);
        for (name, bytes) in &files {
            assert!(fs::read(home.path().join(name)).unwrap() == *bytes, "{}: {name}", dirty.name);
        }
    }
    assert!(replayed > 5, "{replayed}");
}
