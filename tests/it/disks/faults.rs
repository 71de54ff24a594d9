//! Edits of a hive inside an image on a file system with faults. The power is cut before every write, and every
//! operation fails: the files of the image are then old or new, or the next run finds the undo file and restores the
//! old bytes.
//!
//! The names are those of real files, which are not written; their bytes are those of the simulated file system.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use hivewright::Result;
use hivewright::internals::edit::commit::{Options, commit_files_on};
use hivewright::internals::edit::{Logs, Prepared, Request, prepare, prepare_on};
use hivewright::internals::locate::ImageOptions;
use hivewright::internals::settings::nat_t::Wanted;
use hivewright::internals::undo::recover_unfinished_on;
use hivewright_fixtures::wim::{self, Node};
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::{EditOptions, Patch, Step};
use tempfile::TempDir;

use super::hive;
use crate::support::dirty_place::{DirtyPlace, named};
use crate::support::lying_host::LyingHost;
use crate::support::real::Real;
use crate::support::requests::request;
use crate::support::stopped::{Files, every, seen};

/// Creates a FAT volume with these files in the folder of the hives, each contiguous.
pub(super) fn volume(kib: usize, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut image = Cursor::new(vec![0; kib << 10]);
    let options = fatfs::FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat12).bytes_per_cluster(512);
    fatfs::format_volume(&mut image, options).unwrap();
    {
        let made = fatfs::FileSystem::new(&mut image, fatfs::FsOptions::new()).unwrap();
        let config =
            ["Windows", "System32", "config"].iter().fold(made.root_dir(), |dir, name| dir.create_dir(name).unwrap());
        for (name, bytes) in files {
            config.create_file(name).unwrap().write_all(bytes).unwrap();
        }
    }
    image.into_inner()
}

/// Creates a volume with a dirty hive and its logs.
pub(crate) fn volume_of(place: &DirtyPlace) -> Vec<u8> {
    let files: Vec<(&str, &[u8])> = std::iter::once(("SYSTEM", &place.primary[..]))
        .chain(place.logs.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])))
        .collect();
    let kib = files.iter().map(|file| file.1.len().div_ceil(1024)).sum::<usize>() + 24;
    volume(kib, &files)
}

/// The files of an image, and an edit of it.
struct Case {
    _folder: Option<TempDir>,
    before: Vec<(PathBuf, Vec<u8>)>,
    host: LyingHost,
    request: Request,
    /// Index of the file that is named.
    named: usize,
    /// Number of writable files, from the first on.
    own: usize,
    /// Treatment of the hive's logs.
    logs: Logs,
}

impl Case {
    /// Creates an image of `count` files, for a setting to `wanted`.
    fn new(image: &[u8], pieces: usize, wanted: Option<Wanted>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().real();
        let len = image.len().div_ceil(pieces);
        let name = |i| if pieces == 1 { root.join("d.raw") } else { root.join(format!("d.{:03}", i + 1)) };
        let before: Vec<(PathBuf, Vec<u8>)> =
            image.chunks(len).enumerate().map(|(i, piece)| (name(i), piece.to_vec())).collect();
        before.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        Case { named: pieces / 2, ..Case::of(before, Some(folder), wanted) }
    }

    /// Creates a case of existing files, the first of which is named.
    fn of(before: Vec<(PathBuf, Vec<u8>)>, folder: Option<TempDir>, wanted: Option<Wanted>) -> Self {
        let options = EditOptions { timestamp: Some(FileTime(1)), ..EditOptions::default() };
        let request = Request { options, ..request(wanted) };
        let host = LyingHost::with_all(&before);
        let own = before.len();
        Case { _folder: folder, before, host, request, named: 0, own, logs: Logs::Kept }
    }

    fn path(&self) -> &Path {
        &self.before[self.named].0
    }

    fn prepare(&self, host: &LyingHost) -> Result<Prepared> {
        prepare_on(host, self.path(), &self.request)
    }

    /// Tests cuts and failures of the edit.
    fn test_all(&self, kind: &str, least: [usize; 2]) {
        let prepared = self.prepare(&self.host.healed()).unwrap();
        assert!(!prepared.is_already_so(), "{kind} changes nothing");
        let run = |host: &LyingHost| prepared.commit_on(host, self.logs, &Options::default()).map(drop);
        let whole = self.host.healed();
        run(&whole).unwrap();
        assert!(self.prepare(&whole).unwrap().is_already_so(), "{kind}: the next run finds it done");
        let files: Vec<PathBuf> = self.before[..self.own].iter().map(|(path, _)| path.clone()).collect();
        let image = Files { files: &files, old: seen(&self.host, &files), new: seen(&whole, &files), every: every(1) };
        let next = |host: &LyingHost| {
            let again =
                self.prepare(host).and_then(|prepared| prepared.commit_on(host, self.logs, &Options::default()));
            again.map(drop)
        };
        image.test_all(kind, &self.host, &run, &next, least);
        let others: Vec<PathBuf> = self.before[self.own..].iter().map(|(path, _)| path.clone()).collect();
        assert!(seen(&self.host, &others) == seen(&whole, &others), "{kind}: a backing file was written to");
        for (path, bytes) in &self.before {
            assert!(fs::read(path).unwrap() == *bytes, "the test wrote to {}", path.display());
        }
    }
}

/// Tests the setting of 2 in the image `file`, which depends on `others`.
pub(super) fn test_image(kind: &str, file: &Path, others: &[PathBuf], image: ImageOptions, least: [usize; 2]) {
    let before = std::iter::once(file).chain(others.iter().map(PathBuf::as_path));
    let before = before.map(|path| (path.to_owned(), fs::read(path).unwrap())).collect();
    let mut case = Case { own: 1, ..Case::of(before, None, Some(Wanted::Set(2))) };
    case.request.choice.image = image;
    case.test_all(kind, least);
}

#[test]
fn setting_in_one_file() {
    let case = Case::new(&volume(96, &[("SYSTEM", &hive())]), 1, Some(Wanted::Set(2)));
    case.test_all("set in a raw image", [60, 250]);
}

#[test]
fn removing_in_one_file() {
    let case = Case::new(&volume(96, &[("SYSTEM", &hive())]), 1, Some(Wanted::Unset));
    case.test_all("unset in a raw image", [60, 250]);
}

/// New data of an archive is after its old end until the header refers to it.
#[test]
fn setting_in_a_wim_archive() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().real().join("a.wim");
    let nodes = [Node::windows(Node::file("SYSTEM", &hive()))];
    fs::write(&file, wim::archive(&[&nodes, &[]])).unwrap();
    test_image("set in a WIM archive", &file, &[], ImageOptions::default(), [20, 60]);
}

#[test]
fn removing_in_a_split_image() {
    // The hive crosses two borders of segments, which are not multiples of a sector.
    let image = volume(44, &[("SYSTEM", &hive())]);
    let case = Case::new(&image[..image.len() - 1], 3, Some(Wanted::Unset));
    case.test_all("unset in an image of three files", [60, 250]);
}

#[test]
fn recovering_and_setting_in_a_split_image() {
    let place = named("new-two-logs");
    let case = Case::new(&volume_of(&place), 3, Some(Wanted::Set(1)));
    case.test_all("recover and set in an image of three files", [100, 400]);
}

#[test]
fn emptying_logs_in_a_split_image() {
    let place = named("new-two-logs");
    let case = Case::new(&volume_of(&place), 3, Some(Wanted::Set(1)));
    let case = Case { logs: Logs::Emptied, ..case };
    case.test_all("recover, set and empty the logs in an image of three files", [110, 420]);
}

/// A hive file and its logs: all of them are old or new after any interruption.
#[test]
fn emptying_logs_of_a_hive() {
    for name in ["new-two-logs", "new-growth", "old-one-log"] {
        let place = named(name);
        let options = EditOptions { timestamp: Some(FileTime(1)), ..EditOptions::default() };
        let request = Request { settle: false, options, ..request(Some(Wanted::Set(1))) };
        let prepared = prepare(&place.path("SYSTEM"), &request).unwrap();
        let at = |name: &str| place.folder().real().join(name);
        let logs = place.logs.iter().map(|(name, bytes)| (at(name), bytes.clone()));
        let before: Vec<(PathBuf, Vec<u8>)> =
            std::iter::once((at("SYSTEM"), place.primary.clone())).chain(logs).collect();
        // An empty log is not written.
        let filled = before.iter().filter(|(_, bytes)| !bytes.is_empty());
        let files: Vec<PathBuf> = filled.map(|(path, _)| path.clone()).collect();
        let host = LyingHost::with_all(&before);
        let run = |host: &LyingHost| prepared.commit_on(host, Logs::Emptied, &Options::default()).map(drop);
        let whole = host.healed();
        run(&whole).unwrap();
        let image = Files { files: &files, old: seen(&host, &files), new: seen(&whole, &files), every: every(1) };
        assert!(image.new.iter().zip(&image.old).all(|(new, old)| new != old), "{name}");
        let next = |host: &LyingHost| {
            recover_unfinished_on(host, &files[0])?;
            if seen(host, &files) == image.new { Ok(()) } else { run(host) }
        };
        image.test_all(&format!("{name}, with its logs"), &host, &run, &next, [30, 100]);
    }
}

/// The writes of a format that allocates: several phases over the same bytes, in files of odd lengths, the last of
/// which grows.
#[test]
fn phases_over_each_other_in_files_of_which_one_grows() {
    let bytes = |len: usize, by: usize| -> Vec<u8> { (0..len).map(|i| (i * by + i / 256) as u8).collect() };
    let files = [PathBuf::from("/w/a"), "/w/b".into(), "/w/c".into()];
    let before: Vec<(PathBuf, Vec<u8>)> =
        files.iter().cloned().zip([bytes(5000, 7), bytes(700, 3), bytes(9000, 11)]).collect();
    let starts = [0, 8192, 12288];
    // File, offset, bytes: in phases, and in steps of phases.
    let plan: [&[(Step, usize, usize, usize)]; 4] = [
        &[(Step::Prepare, 2, 9000, 11480), (Step::Allocate, 0, 4090, 12), (Step::Allocate, 2, 4096, 8)],
        &[(Step::Link, 1, 0, 700), (Step::Finish, 2, 8990, 20)],
        &[(Step::Base, 2, 4, 8), (Step::Base, 2, 508, 4), (Step::Link, 2, 12000, 40), (Step::Link, 0, 4096, 4)],
        &[(Step::Link, 0, 4080, 40), (Step::Link, 2, 0, 30), (Step::Link, 2, 20470, 10)],
    ];
    let mut after: Vec<Vec<u8>> = before.iter().map(|(_, bytes)| bytes.clone()).collect();
    let grown = 20480;
    after[2].resize(grown, 0);
    let mut phases = Vec::new();
    for (i, phase) in plan.iter().enumerate() {
        let mut patches = Vec::new();
        for &(step, file, offset, len) in *phase {
            let new: Vec<u8> = (0..len).map(|k| !(offset + k + i * 5) as u8 | 1).collect();
            let old_end = (offset + len).min(before[file].1.len()).max(offset);
            let old = after[file][offset..old_end].to_vec();
            after[file][offset..offset + len].copy_from_slice(&new);
            let offset = (starts[file] + offset) as u64;
            patches.push(Patch { offset, old, new, what: "a test".into(), step });
        }
        phases.push(patches);
    }
    let host = LyingHost::with_all(&before);
    let run = |host: &LyingHost| commit_files_on(host, &files, (starts[2] + grown) as u64, phases.clone()).map(drop);
    let old = before.iter().map(|(_, bytes)| bytes.clone()).collect();
    let image = Files { files: &files, old, new: after, every: every(1) };
    let next = |host: &LyingHost| {
        recover_unfinished_on(host, &files[0])?;
        if seen(host, &files) == image.new { Ok(()) } else { run(host) }
    };
    image.test_all("phases over each other, growing", &host, &run, &next, [150, 400]);
}
