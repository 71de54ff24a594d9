//! Registry paths select the hives of an installation.

use std::fs;

use hivewright::{Data, HiveKind, Image};
use hivewright_fixtures::{HiveSpec, Minor};

use super::Place;
use crate::support::windows_folder::{BOB, BOB_SID, DEFAULT_USER, SOFTWARE, SYSTEM, put};

/// Returns the file of the hive of a path, or the code of the refusal.
fn file_of(image: &Image, path: &str, user: Option<HiveKind>) -> Result<String, &'static str> {
    let mut edit = image.transaction();
    if let Some(user) = user {
        edit.user(user);
    }
    let prepare = || {
        edit.set_value(path, "X", Data::Dword(1))?;
        edit.prepare()
    };
    let mut prepare = prepare;
    let prepared = prepare().map_err(|error| error.code().as_str())?;
    let [hive] = prepared.hives() else { panic!("{path}: {} hives", prepared.hives().len()) };
    Ok(hive.hive.path().replace('\\', "/"))
}

#[test]
fn a_path_leads_to_its_hive() {
    let config = HiveSpec::new(Minor::V5).free_at_end(2000).build().bytes;
    let names = ["SAM", "SECURITY", "DEFAULT", "COMPONENTS", "DRIVERS"];
    let more = names.map(|name| (format!("Windows/System32/config/{name}"), config.clone()));
    let classes = ("Users/bob/AppData/Local/Microsoft/Windows/UsrClass.dat".to_owned(), config.clone());
    let boot = ("Boot/BCD".to_owned(), config.clone());
    for place in [Place::folder(), Place::raw()] {
        if place.image.is_dir() {
            put(&place.image, &more);
            put(&place.image, &[classes.clone(), boot.clone()]);
        } else {
            let mut files = crate::support::windows_folder::files();
            files.extend(more.iter().cloned().chain([classes.clone(), boot.clone()]));
            fs::write(&place.image, crate::support::windows_folder::volume(&files)).unwrap();
        }
        let image = place.open();
        let bob = || HiveKind::User("bob".to_owned());
        for (path, user, file) in [
            (r"HKLM\SYSTEM\Setup", None, SYSTEM),
            (r"hkey_local_machine\system\CurrentControlSet\X", None, SYSTEM),
            (r"Setup", None, SYSTEM),
            (r"HKLM\Software\X", None, SOFTWARE),
            (r"HKCR\.x", None, SOFTWARE),
            (r"HKLM\SAM\X", None, "Windows/System32/config/SAM"),
            (r"HKLM\SECURITY\X", None, "Windows/System32/config/SECURITY"),
            (r"HKLM\COMPONENTS\X", None, "Windows/System32/config/COMPONENTS"),
            (r"HKLM\DRIVERS\X", None, "Windows/System32/config/DRIVERS"),
            (r"HKU\.DEFAULT\X", None, "Windows/System32/config/DEFAULT"),
            (r"HKU\S-1-5-18\X", None, "Windows/System32/config/DEFAULT"),
            (r"HKCU\X", Some(HiveKind::DefaultUser), DEFAULT_USER),
            (r"HKCU\X", Some(bob()), BOB),
            (r"HKU\BOB\X", None, BOB),
            (&format!(r"HKU\{BOB_SID}\X"), None, BOB),
            (&format!(r"HKU\{BOB_SID}_Classes\X"), None, &classes.0),
            (r"HKCU\Software\Classes\X", Some(bob()), &classes.0),
            (r"HKLM\BCD00000000\X", None, &boot.0),
        ] {
            let found = file_of(&image, path, user).unwrap_or_else(|code| panic!("{path}: {code}"));
            assert!(
                file.to_ascii_lowercase().ends_with(&found.trim_start_matches('/').to_ascii_lowercase()),
                "{path}: {found}"
            );
        }
        for (path, code) in [
            (r"HKCU\X", "user-unnamed"),
            (r"HKU\nobody\X", "no-profile"),
            (r"HKU\S-1-5-21-1-2-3-1002\X", "profile-volume"),
            (r"HKU\eve\X", "profile-volume"),
            (r"HKLM\HARDWARE\X", "registry-root"),
        ] {
            assert_eq!(file_of(&image, path, None).unwrap_err(), code, "{path}");
        }
    }
}

#[test]
fn profiles_are_those_that_the_registry_lists() {
    let place = Place::raw();
    let windows = place.open().installations().unwrap().remove(0);
    let mut profiles: Vec<(String, String)> =
        windows.profiles().unwrap().iter().map(|profile| (profile.sid.clone(), profile.name().to_owned())).collect();
    profiles.sort();
    let expected = [("S-1-5-18", "systemprofile"), (BOB_SID, "bob"), ("S-1-5-21-1-2-3-1002", "eve")];
    assert_eq!(profiles, expected.map(|(sid, name)| (sid.to_owned(), name.to_owned())));
}

#[test]
fn paths_in_a_bare_hive_begin_at_its_root_or_at_its_registry_root() {
    let place = Place::folder();
    let hive = |file: &str| Image::open(place.image.join(file)).unwrap();
    for (file, path, code) in [
        (SOFTWARE, r"Microsoft\X", None),
        (SOFTWARE, r"HKLM\SOFTWARE\Microsoft\X", None),
        (SOFTWARE, r"HKCR\.x", None),
        (SOFTWARE, r"HKLM\SYSTEM\X", Some("other-hive")),
        (SYSTEM, r"CurrentControlSet\X", None),
        (SYSTEM, r"HKLM\SYSTEM\CurrentControlSet\X", None),
        (SYSTEM, r"HKCU\X", Some("other-hive")),
        (DEFAULT_USER, r"HKCU\Software\X", None),
        (DEFAULT_USER, r"HKU\whoever\Software\X", None),
        (DEFAULT_USER, r"HKU\.DEFAULT\Software\X", None),
        (DEFAULT_USER, r"HKLM\SOFTWARE\X", Some("other-hive")),
    ] {
        let found = file_of(&hive(file), path, None);
        assert_eq!(found.as_ref().err(), code.as_ref(), "{file}: {path}: {found:?}");
    }
}

/// `CurrentControlSet` selects the sets that `set` edits: that of the next boot, and that of the captured boot.
#[test]
fn the_current_control_set_is_that_of_select() {
    let folder = tempfile::tempdir().unwrap();
    let spec = hivewright_fixtures::SystemHive::new(hivewright_fixtures::Release::Win7).sets(&[1, 2, 3]);
    let built = spec.select(1, 3, 0, 2).build();
    fs::write(folder.path().join("SYSTEM"), &built.bytes).unwrap();
    let image = Image::open(folder.path().join("SYSTEM")).unwrap();
    let mut edit = image.transaction();
    edit.set_value(r"CurrentControlSet\Control\Example", "X", Data::Dword(1)).unwrap();
    edit.prepare().unwrap().commit().unwrap();
    let hive = image.hive().unwrap();
    let is_in = |set: &str| hive.key(&format!(r"{set}\Control\Example")).unwrap().is_some();
    assert_eq!(["ControlSet001", "ControlSet002", "ControlSet003"].map(is_in), [true, false, true]);
}
