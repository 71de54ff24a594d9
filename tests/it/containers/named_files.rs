//! Messages about an image of several files name the right file.

use std::fs::{self, File};
use std::path::Path;

use hivewright::internals::edit::commit::Options;
use hivewright::internals::edit::{Logs, Prepared, prepare};
use hivewright::internals::locate::{Choice, Disk};
use hivewright::internals::settings::nat_t::Wanted;
use hivewright_error::{Error, Space};
use hivewright_storage::Storage;

use super::fixtures::Unpacked;
use crate::support::file_ext::FileExt;
use crate::support::requests::request;

/// Prepares `set 2`, up to the locks.
fn prepared(image: &Path) -> Prepared {
    prepare(image, &request(Some(Wanted::Set(2)))).unwrap()
}

/// Returns the file of the host with byte `offset` of the hive, and the offset in it.
fn place(image: &Path, offset: u64) -> (std::path::PathBuf, u64) {
    let hive = Disk::open(image).unwrap().unwrap().system_hive(&Choice::default()).unwrap();
    let files = hive.disk().unwrap().files().to_vec();
    let place = *hive.file().unwrap().locate(offset).last().unwrap();
    match place.space {
        Space::File => (files[0].path.clone(), place.offset),
        Space::Part(number) => (files[usize::from(number) - 1].path.clone(), place.offset),
        other => panic!("{other}"),
    }
}

/// Changes the byte at `offset` of the hive in its file.
fn change(image: &Path, offset: u64) -> String {
    let (path, at) = place(image, offset);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0xff], at).unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn names(error: &Error, file: &str) {
    assert_eq!(error.code(), "changed-since", "{error}");
    assert!(error.what().contains(file), "{file} is not named: {error}");
}

/// A change between reading and writing is refused with the name of the changed file.
#[test]
fn a_file_that_changed_meanwhile_is_named() {
    for (name, holder) in [("split-raw", "disk.00"), ("vmdk-split-flat", "disk-f001"), ("qcow2-chain", "base.raw")] {
        let image = Unpacked::named(name);
        let ready = prepared(&image.path());
        // The last page of the hive, which no edit changes.
        let file = change(&image.path(), 8192 + 4000);
        assert!(file.starts_with(holder) && file != "disk.001", "{name}: {file}");
        let before = image.hashes();
        names(&ready.commit(Logs::Kept, &Options::default()).unwrap_err(), &file);
        assert!(image.hashes() == before, "{name}");
    }
}

/// An undo of a file that has changed since is refused with its name.
#[test]
fn a_file_that_changed_since_is_named_by_undo() {
    for name in ["split-raw", "vmdk-split-flat"] {
        let image = Unpacked::named(name);
        assert_eq!(image.run(&["set", "2", "IMAGE", "--undo", "undo"]).code, 0);
        // The base block, which every edit changes.
        let file = change(&image.path(), 5);
        assert!(file != "disk.001" && file != "disk.vmdk", "{name}: {file}");
        let before = image.hashes();
        let run = image.run(&["undo", "undo"]);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.err.contains(&format!("{file} has neither")), "{name}: {}", run.err);
        assert!(image.hashes() == before);
    }
}

/// A part with another length than in the undo file.
#[test]
fn a_part_of_another_length_is_named_by_undo() {
    let image = Unpacked::named("split-raw");
    assert_eq!(image.run(&["set", "2", "IMAGE", "--undo", "undo"]).code, 0);
    let second = image.folder.path().join("disk.002");
    File::options().write(true).open(&second).unwrap().set_len(fs::metadata(&second).unwrap().len() - 1).unwrap();
    let run = image.run(&["undo", "undo"]);
    assert!(run.code == 3 && run.err.contains("disk.002 has changed since it was read"), "{run:?}");
}
