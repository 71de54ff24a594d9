//! Images that only qemu-nbd reads, through it, held against what they were made of; and headers that lie.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Driver, EngineFormat, open_with};
use crate::container::formats;
use crate::container::{About, Image, Opening, PathPolicy};
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;
use hivewright_storage::memory::Memory;
use hivewright_storage::recorder::Recorder;

/// Returns whether QEMU is here; says so if not.
fn have_qemu() -> bool {
    let here = ["qemu-img", "qemu-nbd"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok());
    if !here {
        hivewright_fixtures::skip::missing("qemu-img or qemu-nbd is not installed");
    }
    here
}

fn qemu_img(arguments: &[&str]) {
    let out = Command::new("qemu-img").args(arguments).output().unwrap();
    assert!(out.status.success(), "qemu-img {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
}

fn policy(engine: Option<&str>) -> PathPolicy {
    let mut policy = PathPolicy::shut();
    policy.writing = true;
    policy.qemu_nbd = engine.map(Into::into);
    policy
}

fn opening(policy: &PathPolicy, file: Arc<dyn Storage>) -> Opening<'_> {
    Opening::of(policy, file, Path::new("/nowhere/image"))
}

fn qed(policy: &PathPolicy, file: Arc<dyn Storage>, backing: Option<Arc<dyn Storage>>) -> Result<Image> {
    let about = About { format: "qed", ..About::default() };
    open_with(opening(policy, file), EngineFormat { driver: Driver::Qed, cluster: 1 << 16, about }, backing)
}

fn recorder(path: &Path) -> Arc<Recorder> {
    Arc::new(Recorder::new(Arc::new(Memory::new(std::fs::read(path).unwrap()))).unwrap())
}

fn all(storage: &dyn Storage) -> Vec<u8> {
    let mut bytes = vec![0; storage.len().unwrap() as usize];
    storage.read_at(0, &mut bytes).unwrap();
    bytes
}

/// 4 MiB, some of it data that can be compressed.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 4 << 20];
    for (start, len) in [(0, 1500), (700_000, 300_000), ((4 << 20) - 512, 512)] {
        disk[start..start + len].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i / 100) as u8 ^ i as u8 & 3);
    }
    disk
}

fn raw(folder: &Path) -> PathBuf {
    let raw = folder.join("disk.raw");
    std::fs::write(&raw, disk()).unwrap();
    raw
}

/// Reads all of the image, writes pieces, and has qemu-img judge what came of it.
fn read_and_write(path: &Path, backing: Option<Arc<dyn Storage>>) {
    let (policy, file, mut expected) = (policy(None), recorder(path), disk());
    let image = qed(&policy, file.clone(), backing).unwrap();
    assert!(all(&*image.disk) == expected);
    for (offset, bytes) in [(701_234, &b"into data"[..]), (2 << 20, b"into nothing"), ((4 << 20) - 3, b"end")] {
        image.disk.write_at(offset, bytes).unwrap();
        expected[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    assert!(all(&*image.disk) == expected);
    drop(image);
    assert!(policy.closing_error().is_none());
    let len = file.len().unwrap();
    assert!(len < std::fs::metadata(path).unwrap().len() + (1 << 20), "it grew to {len}");
    std::fs::write(path, all(&*file)).unwrap();
    let edited = path.with_extension("edited");
    std::fs::write(&edited, expected).unwrap();
    let (path, edited) = (path.to_str().unwrap(), edited.to_str().unwrap());
    qemu_img(&["check", "-f", "qed", path]);
    qemu_img(&["compare", "-f", "qed", "-F", "raw", path, edited]);
}

#[test]
fn qed_alone_and_over_a_backing_file() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = raw(folder.path());
    let path = |name: &str| folder.path().join(name);
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    qemu_img(&["convert", "-f", "raw", "-O", "qed", &name(&raw), &name(&path("whole.qed"))]);
    read_and_write(&path("whole.qed"), None);
    // The name below stays in the header.
    qemu_img(&["create", "-q", "-f", "qed", "-F", "raw", "-b", &name(&raw), &name(&path("top.qed"))]);
    read_and_write(&path("top.qed"), Some(Arc::new(Memory::new(disk()))));
    assert!(std::fs::read(&raw).unwrap() == disk());
}

/// What a storage says goes all the way up; what goes wrong at the end is kept for whoever asks.
#[test]
fn errors_of_the_file_below_are_told() {
    if !have_qemu() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.qed");
    qemu_img(&["convert", "-f", "raw", "-O", "qed", raw(folder.path()).to_str().unwrap(), path.to_str().unwrap()]);
    // Memory does not grow.
    let policy = policy(None);
    let image = qed(&policy, Arc::new(Memory::new(std::fs::read(&path).unwrap())), None).unwrap();
    let written = image.disk.write_at(2 << 20, &[1; 1 << 17]).and_then(|()| image.disk.flush());
    assert_eq!(written.unwrap_err().code(), "fixed-length");
    drop(image);
    // It may try again when it closes the image; then that is told too, and once.
    let late = policy.closing_error().map(|error| error.code());
    assert!(matches!(late, None | Some(Code::FixedLength | Code::EngineFailed)), "{late:?}");
    assert!(policy.closing_error().is_none());
}

type Open = fn(Opening<'_>) -> Result<Image>;

/// Returns a small image of each format, by hand: nothing is allocated in it.
fn small() -> [(&'static str, Open, Vec<u8>, usize); 3] {
    let mut qed = vec![0; 4 << 12];
    qed[..16].copy_from_slice(b"QED\0\0\x10\0\0\x02\0\0\0\x01\0\0\0");
    qed[40..56].copy_from_slice(b"\0\x10\0\0\0\0\0\0\0\0\x10\0\0\0\0\0");
    let mut qcow = vec![0; 4096];
    qcow[..8].copy_from_slice(b"QFI\xfb\0\0\0\x01");
    qcow[24..34].copy_from_slice(b"\0\0\0\0\0\x10\0\0\x0c\x09");
    qcow[47] = 48;
    let mut parallels = vec![0; 2 << 16];
    parallels[..20].copy_from_slice(b"WithouFreSpacExt\x02\0\0\0");
    // Clusters of 64 KiB, 16 entries, 1 MiB; data after the first cluster.
    parallels[28..40].copy_from_slice(b"\x80\0\0\0\x10\0\0\0\0\x08\0\0");
    parallels[48] = 128;
    [
        ("qed", formats::qed::FORMAT.open, qed, 64),
        ("qcow", formats::qcow::FORMAT.open, qcow, 48),
        ("parallels", formats::parallels::FORMAT.open, parallels, 64),
    ]
}

fn opened(open: Open, bytes: Vec<u8>, engine: Option<&str>) -> Result<Image> {
    let file = Arc::new(Recorder::new(Arc::new(Memory::new(bytes))).unwrap());
    open(opening(&policy(engine), file))
}

#[test]
fn headers_that_lie_are_errors() {
    for (name, open, bytes, header) in small() {
        let code = |bytes: Vec<u8>| opened(open, bytes, Some("/nowhere/qemu-nbd")).map(|_| ()).unwrap_err().code();
        // Sound as far as we read.
        assert_eq!(code(bytes.clone()), "no-qemu-nbd", "{name}");
        for len in 0..header {
            assert!(code(bytes[..len].to_vec()).as_str().ends_with("-header"), "{name} of {len} bytes");
        }
        for at in 0..header {
            for value in [0, 1, 2, 0x7f, 0x80, 0xff, bytes[at] ^ 1] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let code = code(bytes);
                let known =
                    [Code::NoQemuNbd, Code::QedHeader, Code::QedFeatures, Code::QcowHeader, Code::ParallelsHeader];
                let other = [Code::Encrypted, Code::BackingName, Code::NoFile, Code::TooLarge, Code::OutsideFolder];
                assert!(known.contains(&code) || other.contains(&code), "{name} {at} {value}: {code}");
            }
        }
    }
}

#[test]
fn qemu_is_handed_no_nonsense_that_hangs_it() {
    if !have_qemu() {
        return;
    }
    let started = Instant::now();
    for (name, open, bytes, header) in small() {
        let image = opened(open, bytes.clone(), None).unwrap();
        assert!(all(&*image.disk) == vec![0; 1 << 20], "{name}");
        let touch = |image: Result<Image>| {
            let Ok(image) = image else { return };
            let size = image.disk.len().unwrap();
            let mut buf = vec![0; size.min(1 << 20) as usize];
            // Whatever comes of it, it comes.
            let _ = image.disk.read_at(0, &mut buf);
            let _ = image.disk.read_at(size - buf.len() as u64, &mut buf);
            let _ = image.disk.write_at(size / 2, &[1; 1]);
        };
        for at in 0..header {
            let mut bytes = bytes.clone();
            bytes[at] = bytes[at].wrapping_add(1) | 0x40;
            touch(opened(open, bytes, None));
        }
        // Tables that lead everywhere, and a file that ends early.
        let table = header.next_multiple_of(if name == "qed" { 4096 } else { 16 });
        for value in [1, 0x7f, 0xff] {
            let mut bytes = bytes.clone();
            bytes[table..].fill(value);
            touch(opened(open, bytes, None));
        }
        touch(opened(open, bytes[..bytes.len() / 2].to_vec(), None));
    }
    assert!(started.elapsed() < Duration::from_secs(100), "{:?}", started.elapsed());
}
