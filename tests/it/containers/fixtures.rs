//! The same disk in every format: the results of reading, writing, undoing and refusing, compared with the table of the
//! fixtures and with QEMU.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hivewright_fixtures::disks::Disk;
use hivewright_fixtures::folder::home;
use hivewright_fixtures::images::{Can, IMAGES, Image};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::command::{Run, hivewright_in};
use crate::support::tools::{have, output, succeeds};

/// An image, unpacked to its own folder.
pub(crate) struct Unpacked {
    image: Image,
    pub(crate) folder: TempDir,
}

/// Returns the usable images: all, or those without need of QEMU.
fn images(wanted: impl Fn(&Image) -> bool) -> Vec<Unpacked> {
    let qemu = have(&["qemu-nbd"]);
    let fits = |image: &&Image| wanted(image) && (qemu || image.reads != Can::WithQemu);
    IMAGES.iter().filter(fits).map(|&image| Unpacked::of(image)).collect()
}

impl Unpacked {
    pub(crate) fn named(name: &str) -> Self {
        Unpacked::of(Image::named(name).unwrap())
    }

    pub(crate) fn of(image: Image) -> Self {
        let folder = tempfile::tempdir().unwrap();
        image.unpack(&home(), folder.path()).unwrap();
        Unpacked { image, folder }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let name = self.image.file;
        let arguments: Vec<&str> = arguments.iter().map(|&a| if a == "IMAGE" { name } else { a }).collect();
        hivewright_in(self.folder.path(), &arguments)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{}: {e}: {run:?}", self.image.name))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(self.image.file)
    }

    /// Returns the SHA-256 of every file in its folder, by name.
    pub(crate) fn hashes(&self) -> BTreeMap<String, Vec<u8>> {
        let hash = |path: &Path| Sha256::digest(fs::read(path).unwrap()).to_vec();
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name().into_string().unwrap(), hash(&entry.path()))).collect()
    }

    /// Returns the guest's bytes according to QEMU.
    fn as_qemu_reads(&self) -> Vec<u8> {
        let to = tempfile::NamedTempFile::new().unwrap();
        let (folder, path) = (self.folder.path().to_str().unwrap(), to.path().to_owned());
        // QEMU searches an external data file in the current folder.
        let convert = ["-C", folder, "qemu-img", "convert", "-f", self.image.qemu, "-O", "raw", self.image.file];
        output("env", &[&convert[..], &[path.to_str().unwrap()]].concat());
        fs::read(path).unwrap()
    }
}

pub(crate) fn raw() -> Vec<u8> {
    Disk::named("gpt").unwrap().read(&home()).unwrap()
}

/// Creates the raw disk in its own folder.
pub(crate) fn raw_disk() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), raw()).unwrap();
    folder
}

/// Removes the fields that depend on the format: names, costs and obstacles to a write.
fn about_windows(mut answer: Value) -> Value {
    for name in ["target", "file", "bytes_read", "obstacles"] {
        assert!(answer.as_object_mut().unwrap().remove(name).is_some(), "{answer}");
    }
    answer
}

#[test]
fn each_has_the_answer_of_the_raw_disk() {
    let folder = raw_disk();
    let raw_run = hivewright_in(folder.path(), ["get", "disk.raw", "--json"]);
    let expected = about_windows(serde_json::from_str(&raw_run.out).unwrap());
    let mut seen = 0;
    for unpacked in images(|image| !matches!(image.reads, Can::No(_))) {
        let name = unpacked.image.name;
        let before = unpacked.hashes();
        assert_eq!(about_windows(unpacked.json(&["get", "IMAGE"])), expected, "{name}");
        let info = unpacked.json(&["info", "IMAGE"]);
        assert_eq!(info["container"]["format"], unpacked.image.format, "{name}");
        assert_eq!(info["volumes"][1]["installations"][0]["hives"][0]["hive_state"], "clean", "{name}: {info}");
        let run = unpacked.run(&["check", "IMAGE"]);
        assert_eq!(run.code, 0, "{name}: {run:?}");
        assert!(unpacked.hashes() == before, "{name}: reading wrote");
        seen += 1;
    }
    println!("{seen} images read");
    assert!(seen >= 25);
}

#[test]
fn each_that_can_be_written_becomes_what_the_raw_disk_becomes() {
    let folder = raw_disk();
    let run = hivewright_in(folder.path(), ["set", "2", "disk.raw", "--keep-timestamps"]);
    assert_eq!(run.code, 0, "{run:?}");
    let edited = folder.path().join("disk.raw");
    let mut seen = 0;
    for unpacked in images(|image| !matches!(image.writes, Can::No(_))) {
        let Image { name, qemu, .. } = unpacked.image;
        let before = unpacked.hashes();
        let run = unpacked.run(&["set", "2", "IMAGE", "--keep-timestamps", "--undo", "undo"]);
        assert_eq!(run.code, 0, "{name}: {run:?}");
        assert_eq!(unpacked.run(&["get", "--value", "IMAGE"]).out, "2\n", "{name}");
        let after = unpacked.hashes();
        for (file, hash) in &before {
            let is_backing = file.starts_with("base") || file.starts_with("middle");
            assert!(!is_backing || after[file] == *hash, "{name}: {file} changed");
        }
        if !qemu.is_empty() && have(&["qemu-img"]) {
            judge(&unpacked, &edited);
        }
        let run = unpacked.run(&["undo", "undo"]);
        assert_eq!(run.code, 0, "{name}: {run:?}");
        fs::remove_file(unpacked.folder.path().join("undo")).unwrap();
        assert!(unpacked.hashes() == before, "{name}: undo did not restore it");
        seen += 1;
    }
    println!("{seen} images written and restored");
    assert!(seen >= 20);
}

/// Asserts that QEMU finds the image consistent, with the edited disk in it.
fn judge(unpacked: &Unpacked, edited: &Path) {
    let Image { name, file, qemu, .. } = unpacked.image;
    let folder = unpacked.folder.path().to_str().unwrap();
    if ["qcow2", "qed", "vdi", "vhdx", "vmdk", "parallels"].contains(&qemu) {
        assert!(
            succeeds("env", &["-C", folder, "qemu-img", "check", "-q", "-f", qemu, file]),
            "{name}: qemu-img check"
        );
    }
    let (mut seen, mut expected) = (unpacked.as_qemu_reads(), fs::read(edited).unwrap());
    if ["qcow2-chain", "qcow2-snapshot"].contains(&name) {
        // Their maker has written to a gap before the first partition, so that their layers differ.
        [&mut seen, &mut expected].into_iter().for_each(|disk| disk[100 << 10..104 << 10].fill(0));
    }
    // Formats round the length up, and one fixture is enlarged.
    assert!(seen[..expected.len()] == expected[..], "{name}: QEMU sees another disk");
    assert!(seen[expected.len()..].iter().all(|&byte| byte == 0), "{name}");
}

#[test]
fn an_internal_snapshot_is_unchanged() {
    if !have(&["qemu-img"]) {
        return;
    }
    let unpacked = Unpacked::named("qcow2-snapshot");
    let snapshot = |to: &str| {
        let to = unpacked.folder.path().join(to);
        let (from, to) = (unpacked.path(), to.to_str().unwrap().to_owned());
        output("qemu-img", &["convert", "-l", "before", "-O", "raw", from.to_str().unwrap(), &to]);
        fs::read(to).unwrap()
    };
    let before = snapshot("before.raw");
    assert!(before == raw());
    assert_eq!(unpacked.run(&["set", "2", "IMAGE"]).code, 0);
    assert!(snapshot("after.raw") == before);
}

#[test]
fn each_refused_image_has_a_reason_and_is_unchanged() {
    let mut seen = 0;
    for unpacked in images(|image| matches!(image.writes, Can::No(_))) {
        let Image { name, reads, writes, .. } = unpacked.image;
        let before = unpacked.hashes();
        let Can::No(code) = writes else { unreachable!() };
        let verbs: &[&[&str]] = match reads {
            Can::No(_) => &[&["get", "IMAGE"], &["info", "IMAGE"], &["set", "2", "IMAGE"], &["check", "IMAGE"]],
            _ => &[&["set", "2", "IMAGE"], &["unset", "IMAGE"], &["set", "2", "IMAGE", "--dry-run"]],
        };
        for verb in verbs {
            let run = unpacked.run(verb);
            assert!([2, 3].contains(&run.code), "{name} {verb:?}: {run:?}");
            // Not the advice for volumes: the image itself is read-only.
            let advice = run.err.lines().find_map(|line| line.strip_prefix("  advice: "));
            assert!(advice.is_some_and(|advice| !advice.contains("mount the volume")), "{name}: {run:?}");
            let found = unpacked.json(verb);
            assert_eq!(found["error"]["code"], code, "{name} {verb:?}: {found}");
            assert!(unpacked.hashes() == before, "{name} {verb:?}: it was written to");
        }
        seen += 1;
    }
    println!("{seen} images refused");
    assert!(seen >= 7);
}

#[test]
fn stored_hashes_are_verified_on_request() {
    for name in ["ewf", "ewf-segments"] {
        let unpacked = Unpacked::named(name);
        let run = unpacked.run(&["info", "--verify", "IMAGE"]);
        assert!(run.code == 0 && run.out.contains("md5 matches"), "{name}: {run:?}");
        let info = unpacked.json(&["info", "IMAGE", "--verify"]);
        let md5 = hivewright_storage::hex::encode(&<md5::Md5 as md5::Digest>::digest(raw()));
        assert_eq!((&info["verified"][0]["stored"], &info["verified"][0]["found"]), (&md5.clone().into(), &md5.into()));
    }
    let run = Unpacked::named("qcow2").run(&["info", "--verify", "IMAGE"]);
    assert!(run.code == 2 && run.has("no-hash"), "{run:?}");
}
