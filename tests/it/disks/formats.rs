//! Edits inside images of every format that QEMU creates: set, judged by QEMU, undone bit for bit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hivewright::internals::locate::ImageOptions;
use serde_json::Value;

use super::faults::{self, volume};
use super::{hive, json, run, sha256};
use crate::containers::vhdx::log::{LOG, table};
use crate::containers::vhdx::maker::{BAT, Block, Change, Entry, MIB, Maker, put, put_log};
use crate::support::real::Real;
use crate::support::tools::{have, output};

/// Returns the bytes of the disk according to QEMU.
fn guest(folder: &Path, name: &str) -> Vec<u8> {
    let (from, to) = (folder.join(name), folder.join("as-raw"));
    output("qemu-img", &["convert", "-O", "raw", from.to_str().unwrap(), to.to_str().unwrap()]);
    fs::read(to).unwrap()
}

fn is_consistent(path: &Path) -> bool {
    let check = Command::new("qemu-img").arg("check").arg(path).output().unwrap();
    // 63: the format has no check.
    matches!(check.status.code(), Some(0 | 63))
}

/// Sets and undoes the value in the image `name` with the files `of`; `raw` is the same disk. The files `kept` must not
/// change.
pub(super) fn set_and_undo(folder: &Path, name: &str, of: &[&str], kept: &[&str]) {
    let sums = |names: &[&str]| names.iter().map(|name| sha256(&folder.join(name))).collect::<Vec<_>>();
    let (before, others, had) = (sums(of), sums(kept), guest(folder, name));
    assert_eq!(run(folder, &["set", "2", name, "--dry-run"]).code, 0, "{name}");
    assert_eq!(sums(of), before, "{name}: a dry run wrote");
    let set = run(folder, &["set", "2", name, "--json", "--keep-timestamps"]);
    assert_eq!(set.code, 0, "{name}: {}", set.err);
    assert_eq!(run(folder, &["get", "--value", name]).out, "2\n");
    assert!(is_consistent(&folder.join(name)), "{name}: qemu-img check");
    let has = guest(folder, name);
    fs::write(folder.join("raw"), &had).unwrap();
    assert_eq!(run(folder, &["set", "2", "raw", "--keep-timestamps"]).code, 0);
    let raw = fs::read(folder.join("raw")).unwrap();
    assert!(has[..raw.len()] == raw && has.len() == raw.len(), "{name}: not what a raw image becomes");
    fs::remove_file(folder.join("raw.hivewright-undo")).unwrap();
    assert_eq!(sums(kept), others, "{name}: a backing file was written to");
    let undo = json(&set)["commit"]["undo"].as_str().unwrap().to_owned();
    let text = fs::read(&undo).unwrap();
    let lines = String::from_utf8_lossy(&text);
    let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let grown = lines[0]["len_after"].as_u64().unwrap() - lines[0]["len_before"].as_u64().unwrap();
    println!("{name}: {} patches, {grown} bytes more", lines.iter().filter(|line| line["new"].is_string()).count());
    let undone = run(folder, &["undo", &undo]);
    assert_eq!((undone.code, sums(of)), (0, before), "{name}: {}", undone.err);
    fs::remove_file(undo).unwrap();
    // A copy of it is the same changed disk.
    if of.len() == 1 && kept.is_empty() {
        assert_eq!(run(folder, &["set", "2", name, "--keep-timestamps", "--output", "copied"]).code, 0, "{name}");
        assert!(guest(folder, "copied") == has, "{name}: the copy");
        fs::remove_file(folder.join("copied")).unwrap();
    }
}

pub(super) fn disk() -> Vec<u8> {
    let mut disk = volume(96, &[("SYSTEM", &hive())]);
    disk.resize(4 << 20, 0);
    disk
}

pub(super) fn convert(folder: &Path, format: &str, options: &[&str], name: &str) {
    let (from, to) = (folder.join("disk"), folder.join(name));
    let all = [&["convert", "-O", format], options, &[from.to_str().unwrap(), to.to_str().unwrap()]].concat();
    output("qemu-img", &all);
}

#[test]
fn images_of_one_file() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("disk"), disk()).unwrap();
    let all: [(&str, &[&str], &str); 6] = [
        ("qcow2", &[], "a.qcow2"),
        ("qcow2", &["-o", "cluster_size=512,compat=0.10"], "small.qcow2"),
        ("vpc", &["-o", "subformat=dynamic,force_size=on"], "dynamic.vhd"),
        ("vpc", &["-o", "subformat=fixed,force_size=on"], "fixed.vhd"),
        ("vhdx", &[], "a.vhdx"),
        ("vdi", &[], "a.vdi"),
    ];
    for (format, options, name) in all {
        convert(folder, format, options, name);
        set_and_undo(folder, name, &[name], &[]);
    }
}

/// The hive is in the backing file: room is allocated in the overlay.
#[test]
fn an_image_that_grows_on_top_of_another() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("disk"), disk()).unwrap();
    convert(folder, "qcow2", &[], "base.qcow2");
    let make = |name: &str, base: &str, format: &str| {
        let path = folder.join(name);
        output("qemu-img", &["create", "-q", "-f", "qcow2", "-b", base, "-F", format, path.to_str().unwrap()]);
    };
    make("top.qcow2", "base.qcow2", "qcow2");
    set_and_undo(folder, "top.qcow2", &["top.qcow2"], &["base.qcow2"]);
    make("on-raw.qcow2", "disk", "raw");
    set_and_undo(folder, "on-raw.qcow2", &["on-raw.qcow2"], &["disk"]);
    // A copy beside it finds its backing file; elsewhere it would not.
    assert_eq!(run(folder, &["set", "2", "top.qcow2", "--output", "other.qcow2"]).code, 0);
    assert_eq!(run(folder, &["get", "--value", "other.qcow2"]).out, "2\n");
    fs::create_dir(folder.join("far")).unwrap();
    let far = run(folder, &["set", "2", "top.qcow2", "--output", "far/t.qcow2", "--json"]);
    assert_eq!((far.code, &json(&far)["error"]["code"]), (2, &"output-files".into()));
    ["top.qcow2", "other.qcow2"].iter().for_each(|child| fs::remove_file(folder.join(child)).unwrap());
    // A snapshot keeps its bytes: shared clusters are copied.
    let path = folder.join("base.qcow2");
    output("qemu-img", &["snapshot", "-c", "kept", path.to_str().unwrap()]);
    set_and_undo(folder, "base.qcow2", &["base.qcow2"], &[]);
}

/// Power cuts and failures while clusters are allocated.
#[test]
fn an_image_that_grows_on_a_file_system_with_faults() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().real();
    let mut small = volume(96, &[("SYSTEM", &hive())]);
    small.truncate(96 << 10);
    fs::write(folder.join("disk"), small).unwrap();
    let files: Vec<PathBuf> = ["top.qcow2", "disk"].iter().map(|name| folder.join(name)).collect();
    let top = files[0].to_str().unwrap();
    output("qemu-img", &["create", "-q", "-f", "qcow2", "-o", "cluster_size=4096", "-b", "disk", "-F", "raw", top]);
    faults::test_image("set in a qcow2 image that grows", &files[0], &files[1..], ImageOptions::default(), [60, 300]);
}

/// Power cuts and failures during the replay of a log over a table without the hive's block, and garbage.
#[test]
fn a_log_replayed_on_a_file_system_with_faults() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().real();
    let mut disk = volume(96, &[("SYSTEM", &hive())]);
    disk.resize(MIB, 0);
    let maker = Maker { sector: 512, size: MIB, blocks: [(0, Block::Full(disk))].into(), ..Maker::default() };
    let mut image = maker.build();
    let block = u64::from_le_bytes(image[BAT..BAT + 8].try_into().unwrap()) as usize & !(MIB - 1);
    let sector = block + 8192..block + 12288;
    let changes = vec![
        Change::Sector(BAT as u64, table(&image, &[])),
        Change::Sector(sector.start as u64, image[sector.clone()].to_vec()),
        Change::Zeros((block + MIB - 4096) as u64, 4096),
    ];
    put(&mut image, BAT, &[0; 8]);
    image[sector].fill(0x5a);
    image[block + MIB - 4096..].fill(0x5a);
    let len = image.len() as u64;
    put_log(&mut image, LOG, 9, &[Entry { sequence: 3, tail: 9 * 4096, flushed: len, last: len, changes }]);
    let path = folder.join("a.vhdx");
    fs::write(&path, image).unwrap();
    let mut wish = ImageOptions::default();
    wish.replay_log = true;
    faults::test_image("set in a vhdx image with a log", &path, &[], wish, [60, 300]);
}
