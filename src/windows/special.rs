//! Keys that Windows does not read as stored: links, predefined handles, tombstones of layered hives.

use super::Finding;
use super::control_set::ControlSet;
use super::lookup::Lookup;
use super::services::{Service, Services};
use hivewright_error::{Code, Error, Space};
use hivewright_hive::regf::key_node::flags;
use hivewright_hive::{HiveBytes, Key};

/// Returns the error for a key that Windows does not read as stored: it refuses a write, and makes a read answer
/// unknown.
pub(crate) fn special<B: HiveBytes>(key: &Key<'_, B>, path: &str) -> Option<Error> {
    let node = key.node();
    let what = if node.has(flags::PREDEFINED_HANDLE) {
        "a predefined handle: its field for the number of values has another meaning"
    } else if node.has(flags::SYMBOLIC_LINK) {
        "a symbolic link: Windows reads its target"
    } else if node.is_tombstone(key.hive().base_block().minor_version.get()) {
        "a tombstone of a layered hive: it cannot have values"
    } else {
        return None;
    };
    let error = Error::refused(Code::KeySpecial, format!("{path} is {what}"))
        .at(Space::Hive, key.at().in_file())
        .advise("Windows does not create one here: find the program that did, and do not rely on the contents below");
    Some(error)
}

/// Returns the first such key in the path from a control set to the key of a service: its path and the error.
pub(crate) fn on_the_way<B: HiveBytes>(
    set: &ControlSet<'_, B>,
    services: &Services<'_, B>,
    service: Service,
) -> Option<(String, Error)> {
    let keys = [
        (Some(&set.key), set.name.clone()),
        (services.all.found(), services.path.clone()),
        (services.key(service).found(), services.path_of(service.as_str())),
    ];
    keys.into_iter().find_map(|(key, path)| special(key?, &path).map(|error| (path, error)))
}

/// Returns the finding because of which Windows may read other contents than those of a service's key.
pub(crate) fn doubt<B: HiveBytes>(
    set: &ControlSet<'_, B>,
    services: &Services<'_, B>,
    service: Service,
) -> Option<Finding> {
    match on_the_way(set, services, service) {
        Some((path, error)) => Some(Finding::of_error(error.code(), path, &error, "")),
        None => [&services.all, services.key(service)].into_iter().find_map(Lookup::damage).cloned(),
    }
}
