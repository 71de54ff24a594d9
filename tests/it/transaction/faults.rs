//! Transactions over three hives that are interrupted at every point.

use std::fs;
use std::path::{Path, PathBuf};

use hivewright::internals::edit::commit::Options;
use hivewright::internals::edit::{Action, Edits, Logs, PathOperation, Prepared, Request, prepare_on};
use hivewright::internals::undo::recover_unfinished_on;
use hivewright::{HiveKind, Result};
use hivewright_hive::EditOptions;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::regf::name::Name;
use hivewright_hive::regf::timestamp::FileTime;

use super::Place;
use crate::support::lying_host::LyingHost;
use crate::support::requests::request;
use crate::support::stopped::{Files, every, seen};
use crate::support::windows_folder::{DEFAULT_USER, SOFTWARE, SYSTEM};

/// See [`Files::every`]. Growing hives need three times as many operations.
const EVERY: [usize; 2] = [7, 29];

/// Sets a value of `bytes` bytes in a new key, in three hives.
fn asked(bytes: usize) -> Request {
    let set = |path: &str| PathOperation {
        path: path.parse::<hivewright::RegistryPath>().unwrap().of_user(&HiveKind::DefaultUser),
        action: Action::SetValue { name: Name::encode("New"), kind: ValueType::BINARY, data: vec![7; bytes] },
    };
    let existing = PathOperation {
        path: r"HKLM\SYSTEM\CurrentControlSet\Services\PolicyAgent".parse().unwrap(),
        action: Action::SetValue { name: Name::encode("Half"), kind: ValueType::DWORD, data: vec![7, 0, 0, 0] },
    };
    let mut operations = vec![existing, set(r"HKLM\SOFTWARE\Example"), set(r"HKCU\Software\Example")];
    if bytes > 1000 {
        operations.push(set(r"HKLM\SYSTEM\Example"));
    }
    // Below the usual growth step of 256 KiB, with which the test would take ten times as long.
    let options = EditOptions { timestamp: Some(FileTime(1)), max_file_len: 128 << 10, ..EditOptions::default() };
    Request { edits: Edits::of_paths(operations), options, ..request(None) }
}

/// Interrupts the edit at every point; the next run names any of `files`.
fn test_all(kind: &str, place: &Place, files: &[PathBuf], bytes: usize, least: [usize; 2]) {
    let before: Vec<(PathBuf, Vec<u8>)> = place.bytes();
    let host = LyingHost::with_all(&before);
    let request = asked(bytes);
    let prepare = |host: &LyingHost| -> Result<Prepared> { prepare_on(host, &place.image, &request) };
    let prepared = prepare(&host.healed()).unwrap();
    assert_eq!(prepared.hives.len(), 3);
    let run = |host: &LyingHost| prepared.commit_on(host, Logs::Kept, &Options::default()).map(drop);
    let whole = host.healed();
    run(&whole).unwrap();
    let all = Files {
        files,
        old: seen(&host, files),
        new: seen(&whole, files),
        every: every(EVERY[usize::from(bytes > 1000)]),
    };
    assert!(all.old.iter().zip(&all.new).all(|(old, new)| old != new), "{kind}: all of them change");
    let next = |host: &LyingHost| {
        recover_unfinished_on(host, &files[0])?;
        prepare(host)?.commit_on(host, Logs::Kept, &Options::default())?;
        let pointer = place.image.join(format!("{DEFAULT_USER}.hivewright-undo"));
        assert!(host.see(pointer.to_str().unwrap()).is_none(), "{kind}: a pointer stays behind");
        Ok(())
    };
    all.test_all(kind, &host, &run, &next, least);
    for (path, bytes) in &before {
        assert!(fs::read(path).unwrap() == *bytes, "the test wrote to {}", path.display());
    }
}

fn hives(folder: &Path) -> Vec<PathBuf> {
    [SYSTEM, SOFTWARE, DEFAULT_USER].map(|file| folder.join(file)).to_vec()
}

#[test]
fn three_hives_in_a_folder() {
    let place = Place::folder();
    test_all("three hives in a folder", &place, &hives(&place.image), 40, [100, 40]);
}

#[test]
fn three_hives_in_a_folder_that_grow() {
    let place = Place::folder();
    test_all("three hives in a folder that grow", &place, &hives(&place.image), 5000, [100, 40]);
}

#[test]
fn three_hives_in_a_raw_image() {
    let place = Place::raw();
    test_all("three hives in a raw image", &place, std::slice::from_ref(&place.image), 40, [100, 40]);
}

#[test]
fn three_hives_in_a_raw_image_that_grow_in_its_volume() {
    let place = Place::raw();
    test_all("three hives in a raw image that grow", &place, std::slice::from_ref(&place.image), 5000, [100, 40]);
}

#[test]
fn three_hives_in_a_qcow2() {
    let Some(place) = Place::qcow2() else { return };
    test_all("three hives in a qcow2", &place, std::slice::from_ref(&place.image), 40, [100, 40]);
}
