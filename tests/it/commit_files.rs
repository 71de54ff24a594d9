//! Commits and undos on the real file system.

use hivewright_error::Code;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hivewright::internals::edit::commit::{Committed, How, Options, commit};
use hivewright::internals::undo::{
    Recovered, Restored, State, UnfinishedWrite, find_unfinished, recover_unfinished, undo,
};
use hivewright::{Kind, Result};
use hivewright_hive::{Patch, PatchSet, Step};
use tempfile::TempDir;

use crate::copies::REPLACES;
use crate::support::real::Real;
use crate::support::requests::in_place;

/// A folder with a file `hive`, and a change that enlarges it.
struct Place {
    folder: TempDir,
    set: PatchSet,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let old: Vec<u8> = (0..9000_u32).map(|i| (i % 251) as u8).collect();
        let mut new = old.clone();
        new.resize(12288, 0);
        new[100..104].copy_from_slice(b"edit");
        new[8999..9002].copy_from_slice(b"end");
        let patch = |offset: usize, len: usize, step| Patch {
            offset: offset as u64,
            old: old[offset..(offset + len).min(old.len())].to_vec(),
            new: new[offset..offset + len].to_vec(),
            what: "a test".into(),
            step,
        };
        let patches = vec![patch(8999, 3, Step::Prepare), patch(100, 4, Step::Link)];
        let set = PatchSet { old_len: 9000, new_len: 12288, patches };
        let place = Place { folder: TempDir::new().unwrap(), set, old, new };
        fs::write(place.hive(), &place.old).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn hive(&self) -> PathBuf {
        self.path("hive")
    }

    fn commit(&self, options: &Options) -> Result<Committed> {
        commit(&self.hive(), &self.set, &self.new, options)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn is(&self, bytes: &[u8]) {
        assert!(fs::read(self.hive()).unwrap() == bytes);
    }
}

#[test]
fn replaces_and_leaves_nothing_behind() {
    let place = Place::new();
    let done = place.commit(&Options::default()).unwrap();
    place.is(&place.new);
    if REPLACES {
        assert_eq!((done.how, done.undo, done.notes), (How::Replaced, None, vec![]));
        assert_eq!(place.names(), ["hive"]);
    } else {
        assert_eq!(done.how, How::InPlace);
    }
}

#[test]
fn nothing_to_change_writes_nothing() {
    let place = Place::new();
    let set = PatchSet { old_len: 9000, new_len: 9000, patches: vec![] };
    let before = fs::metadata(place.hive()).unwrap().modified().unwrap();
    let done = commit(&place.hive(), &set, &place.old, &in_place()).unwrap();
    assert_eq!(done.how, How::Unchanged);
    assert_eq!(fs::metadata(place.hive()).unwrap().modified().unwrap(), before);
}

#[test]
fn a_replacement_is_undone_bit_for_bit() {
    let place = Place::new();
    let file = place.path("undo");
    place.commit(&Options { undo: Some(file.clone()), ..Options::default() }).unwrap();
    let undone = undo(&file, None).unwrap();
    assert_eq!(undone.how, if REPLACES { Restored::Replaced } else { Restored::InPlace });
    place.is(&place.old);
    assert_eq!(undo(&file, None).unwrap().how, Restored::Already);
    place.is(&place.old);
}

#[test]
fn in_place_is_undone_bit_for_bit_and_numbered() {
    let place = Place::new();
    let done = place.commit(&in_place()).unwrap();
    place.is(&place.new);
    assert_eq!(done.why_in_place.as_deref(), Some("requested"));
    let first = done.undo.unwrap();
    assert_eq!(first.file_name().unwrap(), "hive.hivewright-undo");
    assert_eq!(find_unfinished(&place.hive()).unwrap(), None);
    undo(&first, None).unwrap();
    place.is(&place.old);
    let second = place.commit(&in_place()).unwrap().undo.unwrap();
    assert_eq!(second.file_name().unwrap(), "hive.hivewright-undo.1");
    undo(&second, None).unwrap();
    place.is(&place.old);
}

#[test]
fn the_undo_file_is_lines_of_json() {
    let place = Place::new();
    let file = place.commit(&in_place()).unwrap().undo.unwrap();
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0]["hivewright_undo"], 1);
    assert_eq!(lines[0]["len_before"], 9000);
    let link = lines.iter().find(|l| l["step"] == "link").unwrap();
    assert_eq!((link["offset"].as_u64(), link["new"].as_str()), (Some(100), Some("65646974")));
    assert!(lines.last().unwrap()["committed"].is_string());
}

#[test]
fn a_target_that_changed_since_is_not_changed() {
    let place = Place::new();
    let file = place.commit(&in_place()).unwrap().undo.unwrap();
    let mut other = place.new.clone();
    other[7000] ^= 1;
    fs::write(place.hive(), &other).unwrap();
    let error = undo(&file, None).unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, Code::ChangedSince));
    place.is(&other);
}

#[test]
fn a_file_that_changed_since_the_read_is_not_changed() {
    for options in [Options::default(), in_place()] {
        let place = Place::new();
        let mut other = place.old.clone();
        other[7000] ^= 1;
        fs::write(place.hive(), &other).unwrap();
        let error = place.commit(&options).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Refused, Code::ChangedSince));
        place.is(&other);
        assert_eq!(place.names(), ["hive"]);
    }
}

#[test]
fn an_interrupted_write_is_found_refused_and_rolled_back() {
    let place = Place::new();
    let file = place.commit(&in_place()).unwrap().undo.unwrap();
    // As after a power cut before the last group: without the mark, and without the patch of the link.
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 4096]).unwrap();
    let mut partly = place.new.clone();
    partly[100..104].copy_from_slice(&place.old[100..104]);
    partly[102] ^= 0xff;
    fs::write(place.hive(), &partly).unwrap();
    let found = find_unfinished(&place.hive()).unwrap();
    let (left, target) = (file.real(), place.hive().real());
    assert_eq!(found, Some(UnfinishedWrite { undo: left, target, state: State::Partly }));
    let error = place.commit(&in_place()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, Code::UnfinishedWrite));
    assert!(error.advice().unwrap().starts_with("hivewright undo "));
    assert_eq!(recover_unfinished(&place.hive()).unwrap(), Some(Recovered::RolledBack));
    place.is(&place.old);
    assert_eq!(recover_unfinished(&place.hive()).unwrap(), None);
    assert_eq!(undo(&file, None).unwrap().how, Restored::Already);
}

#[test]
fn a_complete_write_without_its_mark_is_finished() {
    let place = Place::new();
    let file = place.commit(&in_place()).unwrap().undo.unwrap();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 4096]).unwrap();
    assert_eq!(recover_unfinished(&place.hive()).unwrap(), Some(Recovered::Finished));
    place.is(&place.new);
    assert_eq!(find_unfinished(&place.hive()).unwrap(), None);
}

#[test]
fn an_output_never_overwrites() {
    let place = Place::new();
    let output = place.path("edited");
    let options = Options { output: Some(output.clone()), ..Options::default() };
    assert_eq!(place.commit(&options).unwrap().how, How::Output);
    assert!(fs::read(&output).unwrap() == place.new);
    place.is(&place.old);
    fs::write(&output, b"precious").unwrap();
    let error = place.commit(&options).unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, Code::OutputExists));
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    assert_eq!(place.names(), ["edited", "hive"]);
}

#[test]
fn an_undo_file_never_overwrites() {
    for base in [Options::default(), in_place()] {
        let place = Place::new();
        let file = place.path("mine");
        fs::write(&file, b"precious").unwrap();
        let error = place.commit(&Options { undo: Some(file.clone()), ..base }).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Refused, Code::UndoExists));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        place.is(&place.old);
    }
}

#[test]
fn times_are_kept_when_asked() {
    for base in [Options::default(), in_place()] {
        let place = Place::new();
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let times = fs::FileTimes::new().set_accessed(moment).set_modified(moment);
        fs::File::options().write(true).open(place.hive()).unwrap().set_times(times).unwrap();
        place.commit(&Options { keep_times: true, ..base.clone() }).unwrap();
        assert_eq!(fs::metadata(place.hive()).unwrap().modified().unwrap(), moment);
        undo_all(&place);
        place.commit(&base).unwrap();
        assert!(fs::metadata(place.hive()).unwrap().modified().unwrap() > moment);
    }
}

fn undo_all(place: &Place) {
    fs::write(place.hive(), &place.old).unwrap();
}

#[test]
fn a_lock_means_in_use() {
    let place = Place::new();
    let other = fs::File::open(place.hive()).unwrap();
    // On Windows, nobody can read bytes that another program has locked for itself.
    if cfg!(windows) { other.try_lock_shared() } else { other.try_lock() }.unwrap();
    for options in [Options::default(), in_place()] {
        let error = place.commit(&options).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Refused, Code::InUse));
        place.is(&place.old);
    }
    let output = Options { output: Some(place.path("edited")), ..Options::default() };
    place.commit(&output).unwrap();
    drop(other);
    place.commit(&in_place()).unwrap();
}

// Links need privileges on Windows.
#[cfg(unix)]
#[test]
fn a_symbolic_link_stays_and_its_target_is_replaced() {
    let place = Place::new();
    let link = place.path("link");
    std::os::unix::fs::symlink("hive", &link).unwrap();
    let done = commit(&link, &place.set, &place.new, &Options::default()).unwrap();
    assert_eq!(done.path, place.hive().real());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    place.is(&place.new);
}

#[test]
fn hard_links_stay_together() {
    let place = Place::new();
    let twin = place.path("twin");
    fs::hard_link(place.hive(), &twin).unwrap();
    let done = place.commit(&Options::default()).unwrap();
    assert_eq!(done.how, How::InPlace);
    assert!(done.why_in_place.unwrap().contains("2 names"));
    assert!(fs::read(&twin).unwrap() == place.new);
    assert_eq!(undo(&done.undo.unwrap(), None).unwrap().how, Restored::InPlace);
    assert!(fs::read(&twin).unwrap() == place.old);
}

// Modes and extended attributes of Linux.
#[cfg(target_os = "linux")]
#[test]
fn mode_and_attributes_are_kept() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let place = Place::new();
    fs::set_permissions(place.hive(), fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(place.hive()).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(place.hive(), "user.note", b"kept", flags).is_err() {
        hivewright_fixtures::skip::impossible(format_args!(
            "no extended attributes on the file system of {}",
            place.folder.path().display()
        ));
        return;
    }
    let undo_file = place.path("undo");
    let done = place.commit(&Options { undo: Some(undo_file.clone()), ..Options::default() }).unwrap();
    assert_eq!(done.how, How::Replaced);
    let check = |path: &Path| {
        let data = fs::metadata(path).unwrap();
        assert_eq!((data.mode(), data.uid(), data.gid()), (before.mode(), before.uid(), before.gid()));
        let mut value = [0; 8];
        let len = rustix::fs::getxattr(path, "user.note", &mut value[..]).unwrap();
        assert_eq!(&value[..len], b"kept");
    };
    check(&place.hive());
    assert_ne!(fs::metadata(place.hive()).unwrap().ino(), before.ino());
    undo(&undo_file, None).unwrap();
    check(&place.hive());
}

#[test]
fn a_moved_target_is_found_beside_its_undo_file() {
    let place = Place::new();
    let file = place.commit(&in_place()).unwrap().undo.unwrap();
    let moved = place.path("moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(place.hive(), moved.join("hive")).unwrap();
    fs::rename(&file, moved.join("hive.hivewright-undo")).unwrap();
    let done = undo(&moved.join("hive.hivewright-undo"), None).unwrap();
    assert_eq!(done.target, moved.join("hive").real());
    assert!(fs::read(moved.join("hive")).unwrap() == place.old);
}

#[test]
fn modified_undo_files_are_refused() {
    let place = Place::new();
    let file = place.commit(&in_place()).unwrap().undo.unwrap();
    let good = fs::read(&file).unwrap();
    // Every fifth byte under the hash, and every truncation before the end line.
    let covered = good.len() - 2 * 4096;
    for at in (0..covered).step_by(997).chain(0..80) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&file, &bad).unwrap();
        let error = undo(&file, None).unwrap_err();
        assert!(
            matches!(error.code(), Code::UndoDamaged | Code::NotAnUndoFile | Code::UndoVersion),
            "byte {at}: {error}"
        );
        fs::write(&file, &good[..at]).unwrap();
        assert!(undo(&file, None).is_err(), "cut at {at}");
        place.is(&place.new);
    }
    fs::write(&file, &good).unwrap();
    undo(&file, None).unwrap();
    place.is(&place.old);
}
