//! Image formats against the raw disk that they were made of, and against the tools that made them.

mod children;
mod corpus_images;
mod cut;
mod elsewhere;
mod engine;
mod engine_process;
mod ewf;
pub(crate) mod fixtures;
mod gate_trace;
pub(crate) mod left_over;
mod misnamed;
mod named_files;
mod other_readers;
mod ova;
mod parallels;
mod qcow2;
mod qcow2_damaged;
mod raw;
mod recovered;
mod stopped;
mod undo_words;
mod vdi;
mod vhd;
pub(crate) mod vhdx;
mod vmdk;
mod way_back;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hivewright_disk::container::{self, Gate, Image, Opener, Role};
use hivewright_storage::counting::Counting;
use hivewright_storage::recorder::Recorder;
use hivewright_storage::{FileStorage, Storage};
use tempfile::TempDir;

use crate::support::tools::output;

/// What tests open images with: reads from files, keeps in memory what is written.
#[derive(Default)]
pub(crate) struct Recording(Mutex<Vec<(PathBuf, Role, Arc<Recorder>)>>);

impl Opener for Recording {
    fn open(&self, path: &Path, role: Role) -> hivewright::Result<Arc<dyn Storage>> {
        let file = Arc::new(Recorder::new(Arc::new(FileStorage::open(path)?))?);
        self.0.lock().unwrap().push((path.to_owned(), role, file.clone()));
        Ok(file)
    }
}

impl Recording {
    /// Brings what was written to the files, for other people's tools to look at. Nothing may have gone to a backing
    /// file.
    pub(crate) fn bring_to_disk(&self) {
        for (path, role, file) in &*self.0.lock().unwrap() {
            let (_, written) = file.take().unwrap();
            assert!(written.is_empty() || *role != Role::Backing, "{} was written to", path.display());
            let host = File::options().write(true).open(path).unwrap();
            host.set_len(file.len().unwrap()).unwrap();
            written.iter().for_each(|w| host.write_all_at(&w.new, w.offset).unwrap());
        }
    }
}

impl Recording {
    /// As [`Recording::bring_to_disk`], where what was written has been looked at and is no longer told.
    pub(crate) fn write_whole(&self) {
        for (path, role, file) in &*self.0.lock().unwrap() {
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_at(0, &mut bytes).unwrap();
            match role {
                Role::Backing => assert!(bytes == fs::read(path).unwrap(), "{} was written to", path.display()),
                _ => fs::write(path, bytes).unwrap(),
            }
        }
    }
}

/// Opens an image for reading and writing; nothing reaches its files before [`Recording::bring_to_disk`].
pub(crate) fn open(path: &Path) -> hivewright::Result<(Image, Arc<Recording>)> {
    open_to_write(path, false)
}

/// As [`open`]; the log of the image may be brought to its places.
pub(crate) fn open_to_write(path: &Path, replay_log: bool) -> hivewright::Result<(Image, Arc<Recording>)> {
    let recording = Arc::new(Recording::default());
    let mut gate = Gate::new(recording.clone(), &[]);
    (gate.writing, gate.replay_log) = (true, replay_log);
    let image = container::open(&gate, path, None)?.expect("an image");
    Ok((image, recording))
}

/// Opens an image for reading, and counts the bytes that are read of its files.
fn open_counted(path: &Path) -> (Image, Arc<AtomicU64>) {
    struct Counted(Arc<AtomicU64>);
    impl Opener for Counted {
        fn open(&self, path: &Path, _: Role) -> hivewright::Result<Arc<dyn Storage>> {
            Ok(Arc::new(Counting::into_total(Box::new(FileStorage::open(path)?), self.0.clone())))
        }
    }
    let total = Arc::new(AtomicU64::new(0));
    let gate = Gate::new(Arc::new(Counted(total.clone())), &[]);
    (container::open(&gate, path, None).unwrap().unwrap(), total)
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes the same to an image and to a raw disk.
fn write(image: &Image, raw: &Path, at: u64, bytes: &[u8]) {
    image.disk.write_at(at, bytes).unwrap();
    File::options().write(true).open(raw).unwrap().write_all_at(bytes, at).unwrap();
}

/// Has qemu-img hold an image, in its own name of that format, against a raw disk.
fn compare(raw: &Path, image: &Path, format: &str) {
    output("qemu-img", &["compare", "-f", "raw", "-F", format, text(raw), text(image)]);
}

/// A raw disk of `mib` MiB: patterns with zeros between, different in every sector; data in its first and last sector.
pub(crate) fn raw_disk(path: &Path, mib: u64) {
    let disk = File::create(path).unwrap();
    disk.set_len(mib << 20).unwrap();
    let sectors = mib * 2048;
    let runs = [(0, 3), (100, 1), (2047, 2), (4000, 700), (sectors / 2, 129), (sectors - 300, 1), (sectors - 1, 1)];
    for (start, count) in runs {
        for sector in start..start + count {
            let bytes: Vec<u8> =
                (0..512u64).map(|i| (sector.wrapping_mul(2_654_435_761) >> (i % 24)) as u8 ^ i as u8).collect();
            disk.write_all_at(&bytes, sector * 512).unwrap();
        }
    }
}

/// `disk.raw` of `mib` MiB in a folder of its own.
fn raw_in_folder(mib: u64) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    raw_disk(&raw, mib);
    (folder, raw)
}

/// Holds all bytes of an image against those of a raw disk, read in pieces of odd sizes too.
pub(crate) fn assert_same(image: &Image, raw: &Path) {
    let expected = fs::read(raw).unwrap();
    assert!(image.disk.len().unwrap() >= expected.len() as u64, "the image is too short");
    for piece in [1 << 20, 70_001] {
        let mut buf = vec![0; piece];
        for (i, expected) in expected.chunks(piece).enumerate() {
            let at = i * piece;
            image.disk.read_at(at as u64, &mut buf[..expected.len()]).unwrap();
            let differs = buf.iter().zip(expected).position(|(a, b)| a != b);
            assert_eq!(differs.map(|d| at + d), None, "differs from {}", raw.display());
        }
    }
}
