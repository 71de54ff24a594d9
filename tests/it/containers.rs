//! Image formats, compared with the raw disk of which they were made, and with the tools that made them.

mod children;
mod corpus_images;
mod cut;
mod elsewhere;
mod engine;
// Windows has no qemu-nbd.
#[cfg(unix)]
mod engine_process;
mod ewf;
pub(crate) mod fixtures;
pub(crate) mod interrupted;
mod misnamed;
mod named_files;
// strace shows the files that are opened.
#[cfg(unix)]
mod opened_files;
mod other_readers;
mod ova;
mod packed;
mod parallels;
mod qcow2;
mod qcow2_damaged;
mod raw;
mod recovered;
// Signals and scripts of Unix.
#[cfg(unix)]
mod stopped;
mod undo_messages;
mod undo_refusals;
mod vdi;
mod vhd;
pub(crate) mod vhdx;
mod vmdk;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hivewright_disk::container::{self, Image, Opener, PathPolicy, Role};
use hivewright_storage::counting::Counting;
use hivewright_storage::recorder::Recorder;
use hivewright_storage::{FileStorage, Storage};
use tempfile::TempDir;

use crate::support::file_ext::FileExt;
use crate::support::tools::output;

/// Files for tests: reads from files, keeps writes in memory.
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
    /// Writes the changes to the files, for other tools. Asserts that no backing file changed.
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
    /// As [`Recording::bring_to_disk`], after the writes were taken from the recorder.
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

/// Opens an image for reading and writing; its files change only by [`Recording::bring_to_disk`].
pub(crate) fn open(path: &Path) -> hivewright::Result<(Image, Arc<Recording>)> {
    open_to_write(path, false)
}

/// As [`open`]; the log of the image may be replayed.
pub(crate) fn open_to_write(path: &Path, replay_log: bool) -> hivewright::Result<(Image, Arc<Recording>)> {
    let recording = Arc::new(Recording::default());
    let mut policy = PathPolicy::new(recording.clone(), &[]);
    (policy.writing, policy.replay_log) = (true, replay_log);
    let image = container::open(&policy, path, None)?.expect("an image");
    Ok((image, recording))
}

/// Returns all bytes of the disk in an image.
pub(crate) fn guest(path: &Path) -> Vec<u8> {
    let image = open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).0;
    let mut bytes = vec![0; image.disk.len().unwrap() as usize];
    image.disk.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Opens an image for reading, and counts the bytes read from its files.
fn open_counted(path: &Path) -> (Image, Arc<AtomicU64>) {
    struct Counted(Arc<AtomicU64>);
    impl Opener for Counted {
        fn open(&self, path: &Path, _: Role) -> hivewright::Result<Arc<dyn Storage>> {
            Ok(Arc::new(Counting::into_total(Box::new(FileStorage::open(path)?), self.0.clone())))
        }
    }
    let total = Arc::new(AtomicU64::new(0));
    let policy = PathPolicy::new(Arc::new(Counted(total.clone())), &[]);
    (container::open(&policy, path, None).unwrap().unwrap(), total)
}

/// Returns a path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes the same bytes to an image and to a raw disk.
fn write(image: &Image, raw: &Path, at: u64, bytes: &[u8]) {
    image.disk.write_at(at, bytes).unwrap();
    File::options().write(true).open(raw).unwrap().write_all_at(bytes, at).unwrap();
}

/// Compares an image with a raw disk by qemu-img, which has its own name of the format.
fn compare(raw: &Path, image: &Path, format: &str) {
    output("qemu-img", &["compare", "-f", "raw", "-F", format, text(raw), text(image)]);
}

/// Returns a raw disk of `mib` MiB: patterns with zeros between, different in every sector, with data in its first and
/// last sector.
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

/// Creates `disk.raw` of `mib` MiB in its own folder.
fn raw_in_folder(mib: u64) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    raw_disk(&raw, mib);
    (folder, raw)
}

/// Asserts that all bytes of an image are those of a raw disk, also when read in pieces of odd sizes.
pub(crate) fn assert_same(image: &Image, raw: &Path) {
    let expected = fs::read(raw).unwrap();
    assert!(image.disk.len().unwrap() >= expected.len() as u64, "the image is too short");
    for piece in [1 << 20, 70_001] {
        let mut buf = vec![0; piece];
        for (i, expected) in expected.chunks(piece).enumerate() {
            let at = i * piece;
            let read = &mut buf[..expected.len()];
            image.disk.read_at(at as u64, read).unwrap();
            if read != expected {
                let differs = read.iter().zip(expected).position(|(a, b)| a != b);
                panic!("differs from {} at {:?}", raw.display(), differs.map(|d| at + d));
            }
        }
    }
}
