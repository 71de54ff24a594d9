//! Obstacles in a hive and its logs: of a hive alone, in a folder, and in an image.

use std::fs;

use hivewright_fixtures::bytes::{get_u32, payload, put_u32};
use hivewright_fixtures::logs::{new_log, numbered};
use hivewright_fixtures::states::state;
use hivewright_fixtures::{HiveSpec, Minor};

use super::{Refused, Row};
use crate::answers::{damaged, in_the_way};
use crate::support::disk::windows_volume;

/// A hive, and its log if it has one.
struct Hive {
    name: &'static str,
    bytes: Vec<u8>,
    log: Option<Vec<u8>>,
    refused: Refused,
    reads: [i32; 2],
}

impl Hive {
    fn clean(name: &'static str, bytes: Vec<u8>, refused: Refused, reads: [i32; 2]) -> Hive {
        Hive { name, bytes, log: None, refused, reads }
    }

    fn alone(&self) -> Row {
        let row = Row::image(format!("{}, alone", self.name), &self.bytes, self.refused);
        self.log.iter().for_each(|log| fs::write(row.folder.path().join("disk.LOG1"), log).unwrap());
        Row { reads: self.reads, ..row }
    }

    fn in_a_folder(&self) -> Row {
        let row = Row::mounted(format!("{}, in a folder", self.name), None, self.refused);
        fs::write(row.file(), &self.bytes).unwrap();
        self.log.iter().for_each(|log| fs::write(row.file().with_extension("LOG1"), log).unwrap());
        Row { reads: self.reads, ..row }
    }

    /// Returns `None` if no volume can be created.
    fn in_an_image(&self) -> Option<Row> {
        let volume = windows_volume(8, &self.bytes, |root| {
            let log = root.join("Windows/System32/config/SYSTEM.LOG1");
            self.log.iter().for_each(|bytes| fs::write(&log, bytes).unwrap());
        })?;
        let row = Row::image(format!("{}, in an image", self.name), &volume.bytes(), self.refused);
        Some(Row { reads: self.reads, ..row })
    }

    fn check(&self) {
        self.alone().check();
        self.in_a_folder().check();
        self.in_an_image().iter().for_each(Row::check);
    }
}

#[test]
fn links_tombstones_and_damage_on_the_path() {
    for (name, bytes, code, exit) in in_the_way() {
        let hive = Hive::clean(name, bytes, Some((code, exit)), [2, 2]);
        hive.alone().check();
        // One of each kind is enough for the others.
        if ["Services is a link", "service is a tombstone", "key of the service"].contains(&name) {
            hive.check();
        }
    }
    Hive::clean("setting is a tombstone", damaged("setting is a tombstone"), None, [1, 0]).check();
    let unknown = HiveSpec::new(Minor::V5).root(|root| {
        root.key("Select", |select| select.dword("Current", 1).dword("Default", 1).dword("LastKnownGood", 1))
            .key("ControlSet001", |set| set.empty_keys(&["Services", "Control"]))
    });
    Hive::clean("no Windows", unknown.build().bytes, Some(("windows-unknown", 3)), [1, 0]).check();
}

#[test]
fn logs_that_are_missing_or_break_the_hive() {
    let before = state(2);
    let root = payload(get_u32(&before, 36));
    let mut after = before.clone();
    let list = get_u32(&before, root + 28);
    put_u32(&mut after, root + 28, list + 8);
    let torn = new_log(8, &[before.clone(), after]);
    let dirty = numbered(&before, 9, 8);
    for (name, log, code) in [("torn log", Some(torn), "replay-breaks"), ("no log", None, "dirty")] {
        Hive { name, bytes: dirty.clone(), log, refused: Some((code, 3)), reads: [0, 0] }.check();
    }
}
