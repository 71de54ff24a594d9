//! Detects which hive of Windows a file is: SYSTEM, or a hive without control sets.

use hivewright_error::{Code, Error, Kind};
use hivewright_hive::{Hive, HiveBytes};

/// The file names at the end of base blocks' paths, in lower case, and the names of their hives.
const BY_FILE_NAME: [(&str, &str); 15] = [
    ("software", "SOFTWARE"),
    ("security", "SECURITY"),
    ("sam", "SAM"),
    ("default", "DEFAULT"),
    ("ntuser.dat", "NTUSER.DAT"),
    ("ntuser.man", "NTUSER.MAN"),
    ("usrclass.dat", "UsrClass.dat"),
    ("components", "COMPONENTS"),
    ("drivers", "DRIVERS"),
    ("schema.dat", "schema.dat"),
    ("elam", "ELAM"),
    ("bbi", "BBI"),
    ("bcd", "BCD"),
    ("amcache.hve", "Amcache.hve"),
    ("settings.dat", "settings.dat"),
];

/// Subkeys of the root that identify a hive without a name in its base block, as saved copies have none.
const BY_SUBKEYS: [(&str, &[&str]); 8] = [
    ("SOFTWARE", &["Microsoft", "Classes"]),
    ("NTUSER.DAT", &["Software", "Control Panel"]),
    ("BCD", &["Description", "Objects"]),
    ("COMPONENTS", &["DerivedData"]),
    ("DRIVERS", &["DriverDatabase"]),
    ("UsrClass.dat", &["Local Settings"]),
    ("SECURITY", &["Policy"]),
    ("SAM", &["SAM"]),
];

/// Returns the hive that a base block names, if it is not SYSTEM. `file_name` is the field at 48: the end of a path in
/// UTF-16.
pub fn other_by_file_name(file_name: &[u8]) -> Option<&'static str> {
    let units = file_name.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|&unit| unit != 0);
    let name: String = char::decode_utf16(units).filter_map(|c| c.ok()?.to_lowercase().next()).collect();
    let name = name.rsplit(['\\', '/']).next().unwrap_or_default();
    BY_FILE_NAME.iter().find(|(end, _)| *end == name).map(|(_, called)| *called)
}

/// Returns the hive's name, by the subkeys of its root and by its base block. `None` if neither identifies it.
pub fn kind<B: HiveBytes>(hive: &Hive<B>) -> Option<&'static str> {
    let root = hive.root().ok();
    let has = |name: &str| root.as_ref().is_some_and(|root| matches!(root.subkey(name), Ok(Some(_))));
    if has("Select") || has("ControlSet001") {
        return Some("SYSTEM");
    }
    let by_subkeys =
        || BY_SUBKEYS.iter().find(|(_, names)| names.iter().all(|name| has(name))).map(|(called, _)| *called);
    other_by_file_name(&hive.base_block().file_name).or_else(by_subkeys)
}

/// Returns the error for a hive without the keys of SYSTEM.
pub(crate) fn not_system<B: HiveBytes>(hive: &Hive<B>) -> Error {
    let what = match kind(hive) {
        Some(other) => format!("this is the hive {other}, not SYSTEM"),
        None => "this is not a SYSTEM hive: it has neither Select nor a control set".to_owned(),
    };
    Error::new(Kind::Unsupported, Code::NotSystem, what)
        .advise("name the SYSTEM hive of that Windows: System32\\config\\SYSTEM in its folder")
}
