//! Keys that Windows does not read as they stand: links, predefined handles, tombstones of layered hives.

use super::Mistake;
use super::control_set::ControlSet;
use super::look::Look;
use super::services::{Service, Services};
use hivewright_error::{Code, Error, Space};
use hivewright_hive::regf::key_node::flags;
use hivewright_hive::{HiveBytes, Key};

/// The code of a refusal because of such a key.
pub(crate) const CODE: Code = Code::KeySpecial;

/// Why the key at `path` is not what it seems, if so: a write is refused with this, and a reading answer is open.
pub(crate) fn special<B: HiveBytes>(key: &Key<'_, B>, path: &str) -> Option<Error> {
    let node = key.node();
    let what = if node.has(flags::PREDEFINED_HANDLE) {
        "a predefined handle: its value count is no count"
    } else if node.has(flags::SYMBOLIC_LINK) {
        "a symbolic link: Windows looks elsewhere"
    } else if node.is_tombstone(key.hive().base_block().minor_version.get()) {
        "a tombstone of a layered hive: it takes no values"
    } else {
        return None;
    };
    let error = Error::refused(CODE, format!("{path} is {what}"))
        .at(Space::Hive, key.at().in_file())
        .advise("no stock Windows has that here: find out what made it, and do not rely on what stands below");
    Some(error)
}

/// The first such key on the way from a control set to the key of a service: its path, and the error.
pub(crate) fn on_the_way<B: HiveBytes>(
    set: &ControlSet<'_, B>,
    services: &Services<'_, B>,
    service: Service,
) -> Option<(String, Error)> {
    let keys = [
        (Some(&set.key), set.name.clone()),
        (services.all.there(), services.path.clone()),
        (services.key(service).there(), services.path_of(service.as_str())),
    ];
    keys.into_iter().find_map(|(key, path)| special(key?, &path).map(|error| (path, error)))
}

/// What stands in the way of taking what the key of a service holds for what Windows reads.
pub(crate) fn doubt<B: HiveBytes>(
    set: &ControlSet<'_, B>,
    services: &Services<'_, B>,
    service: Service,
) -> Option<Mistake> {
    match on_the_way(set, services, service) {
        Some((path, error)) => Some(Mistake::of_error(error.code(), path, &error, "")),
        None => [&services.all, services.key(service)].into_iter().find_map(Look::damage).cloned(),
    }
}
