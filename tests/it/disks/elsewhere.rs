//! Edits of a disk other than in place: a patched copy, emptied logs, a block device.

use std::fs::{self, File};
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use hivewright_storage::{Access, Host, RealHost, Storage};
use serde_json::Value;

use super::faults::{volume, volume_of};
use super::{hive, json, run, sha256};
use crate::support::dirty_place::{DirtyPlace, named};
use crate::support::disk::split;
use crate::support::file_ext::FileExt;
use crate::support::real::Real;
use crate::support::tools::have;

fn refused(folder: &Path, args: &[&str]) -> (i32, Value) {
    let run = run(folder, &[args, &["--json"]].concat());
    (run.code, json(&run)["error"]["code"].clone())
}

#[test]
fn a_patched_copy_is_written_and_the_image_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("d"));
    // A hole of 64 MiB after the volume.
    fs::write(&path, volume(96, &[("SYSTEM", &hive())])).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(64 << 20).unwrap();
    let (sum, before) = (sha256(&path), fs::read(&path).unwrap());
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    let set = json(&run(folder, &["set", "2", "d", "--output", "copy", "--json"]));
    assert_eq!((&set["state"], &set["commit"]["how"]), (&"written".into(), &"output".into()), "{set}");
    assert_eq!((sha256(&path), fs::metadata(&path).unwrap().modified().unwrap()), (sum, times));
    assert_eq!(run(folder, &["get", "--value", "copy"]).out, "2\n");
    let copy = fs::read(folder.join("copy")).unwrap();
    assert_eq!(copy.len(), before.len());
    #[cfg(unix)]
    {
        let blocks = fs::metadata(folder.join("copy")).unwrap().blocks() * 512;
        assert!(blocks < 2 << 20, "{blocks} bytes are allocated: the hole was filled");
    }
    // The same as the edit in place.
    assert_eq!(run(folder, &["set", "2", "d", "--keep-timestamps"]).code, 0);
    assert_eq!(run(folder, &["undo", "d.hivewright-undo"]).code, 0);
    assert_eq!(run(folder, &["set", "2", "d", "--keep-timestamps", "--output", "third"]).code, 0);
    assert_eq!(run(folder, &["set", "2", "d", "--keep-timestamps"]).code, 0);
    assert!(fs::read(&path).unwrap() == fs::read(folder.join("third")).unwrap());
    assert_eq!(refused(folder, &["set", "1", "d", "--output", "copy"]), (3, "output-exists".into()));
    assert!(fs::read(folder.join("copy")).unwrap() == copy, "it was overwritten");
    // An equal setting is copied all the same.
    assert_eq!(run(folder, &["set", "2", "copy", "--output", "same"]).code, 0);
    assert!(fs::read(folder.join("same")).unwrap() == copy);
    split(&path, 50_001, &folder.join("s"));
    assert_eq!(refused(folder, &["set", "1", "s.001", "--output", "t"]), (2, "output-files".into()));
    let names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.starts_with('.') || name == "t"), "{names:?}");
}

// Windows reports the room of a file by another call.
#[cfg(unix)]
#[test]
fn holes_are_kept_where_blocks_cannot_be_shared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("from");
    let file = File::create(&path).unwrap();
    file.set_len(9 << 20).unwrap();
    for (at, byte) in [(0, 1), (3 << 20, 2), ((9 << 20) - 1, 3)] {
        file.write_all_at(&[byte], at).unwrap();
    }
    let from = RealHost.open(&path, Access::Read).unwrap();
    let (to_path, to) = RealHost.create_temporary(&path, 0o600).unwrap();
    RealHost.copy_bytes(&from, &to).unwrap();
    to.flush().unwrap();
    assert!(fs::read(&path).unwrap() == fs::read(&to_path).unwrap());
    let blocks = fs::metadata(&to_path).unwrap().blocks() * 512;
    assert!(blocks <= 4 << 20, "{blocks} bytes are allocated");
}

/// Returns the hive in an image of one volume.
fn hive_in(image: &Path) -> Vec<u8> {
    let volume = fatfs::FileSystem::new(File::open(image).unwrap(), fatfs::FsOptions::new()).unwrap();
    let mut bytes = Vec::new();
    let mut file = volume.root_dir().open_file("Windows/System32/config/SYSTEM").unwrap();
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_base_block_inside_an_image_is_rebuilt_from_a_log() {
    for name in ["old-bad-base", "new-bad-base"] {
        for signature in [b'r', 0] {
            let DirtyPlace { mut primary, logs, .. } = named(name);
            primary[0] = signature;
            let mut place = DirtyPlace::new(name, primary, logs, None);
            let folder = tempfile::tempdir().unwrap();
            let (folder, path) = (folder.path(), folder.path().join("d"));
            fs::write(&path, volume_of(&place)).unwrap();
            let get = json(&run(folder, &["get", "d", "--json"]));
            assert_eq!(get["hive_state"], "recovered", "{name} {signature}: {get}");
            let recover = json(&run(folder, &["recover", "d", "--json"]));
            assert_eq!(recover["state"], "written", "{name} {signature}: {recover}");
            assert_eq!(place.run(&["recover", "SYSTEM"]).code, 0, "{name} {signature}");
            assert!(hive_in(&path) == place.hive() && hive_in(&path) != place.primary, "{name} {signature}");
            assert_eq!(run(folder, &["undo", recover["commit"]["undo"].as_str().unwrap()]).code, 0);
            assert!(hive_in(&path) == place.primary, "{name} {signature}");
            assert_eq!(run(folder, &["set", "1", "d"]).code, 0, "{name} {signature}");
            assert_eq!(run(folder, &["get", "--value", "d"]).out, "1\n", "{name} {signature}");
            // Without a log, it is not a hive.
            place.logs.clear();
            let image = volume_of(&place);
            fs::write(&path, &image).unwrap();
            let code = if signature == 0 { "base-signature" } else { "dirty" };
            assert_eq!(refused(folder, &["set", "1", "d"]).1, code, "{name}");
            assert!(fs::read(&path).unwrap() == image, "{name}");
        }
    }
}

#[test]
fn logs_inside_an_image_are_emptied() {
    let place = named("new-two-logs");
    let folder = tempfile::tempdir().unwrap();
    let (folder, whole) = (folder.path(), folder.path().join("whole"));
    let before = volume_of(&place);
    fs::write(&whole, &before).unwrap();
    split(&whole, before.len() / 2 + 7, &folder.join("d"));
    for (name, parts) in [("whole", vec!["whole"]), ("d.001", vec!["d.001", "d.002"])] {
        let all = || parts.iter().flat_map(|part| fs::read(folder.join(part)).unwrap()).collect::<Vec<u8>>();
        let set = json(&run(folder, &["set", "1", name, "--truncate-logs", "--json"]));
        assert_eq!(set["logs_emptied"].as_array().unwrap().len(), 2, "{set}");
        for (emptied, (log, _)) in set["logs_emptied"].as_array().unwrap().iter().zip(&place.logs) {
            assert_eq!(emptied["hive"], format!("\\Windows\\System32\\config\\{log}"), "{set}");
        }
        let now = fatfs::FileSystem::new(std::io::Cursor::new(all()), fatfs::FsOptions::new()).unwrap();
        for (log, bytes) in &place.logs {
            let mut there = Vec::new();
            let mut file = now.root_dir().open_file(&format!("Windows/System32/config/{log}")).unwrap();
            std::io::Read::read_to_end(&mut file, &mut there).unwrap();
            assert!(there[..512].iter().all(|&b| b == 0) && there[512..] == bytes[512..], "{log}");
        }
        let get = json(&run(folder, &["get", name, "--json"]));
        assert_eq!((&get["hive_state"], &get["at_next_boot"]["value"]), (&"clean".into(), &1.into()));
        let again = json(&run(folder, &["set", "1", name, "--truncate-logs", "--json"]));
        assert_eq!(again["logs_emptied"], Value::Array(Vec::new()), "{again}");
        assert_eq!(again["state"], "already-so", "{again}");
        assert_eq!(run(folder, &["undo", set["commit"]["undo"].as_str().unwrap()]).code, 0);
        assert!(all() == before, "{name} is not what it was");
        let said = run(folder, &["set", "1", name, "--truncate-logs"]).out;
        for (log, _) in &place.logs {
            let told = said.lines().any(|line| line.contains(&format!("\\{log} in ")) && line.ends_with("emptied"));
            assert!(told, "{log}: {said}");
        }
        assert!(!said.lines().any(|line| line.starts_with('/') && line.ends_with("emptied")), "{said}");
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).for_each(|path| {
            let is_undo = path.to_string_lossy().contains("hivewright-undo");
            is_undo.then(|| fs::remove_file(path).unwrap());
        });
    }
}

/// A loop device on a file, until it is dropped.
pub(super) struct Loop(pub(super) PathBuf);

impl Loop {
    /// Prints a line and returns `None` without loop devices.
    pub(super) fn of(file: &Path) -> Option<Loop> {
        if !have(&["losetup"]) {
            return None;
        }
        let made = Command::new("losetup").args(["--find", "--show"]).arg(file).output().unwrap();
        if !made.status.success() {
            hivewright_fixtures::skip::impossible(format_args!(
                "no loop device: {}",
                String::from_utf8_lossy(&made.stderr).trim()
            ));
            return None;
        }
        Some(Loop(PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

// Loop devices of Linux.
#[cfg(unix)]
#[test]
fn a_block_device_is_written_on_request() {
    const O_EXCL: i32 = 0o200;
    let folder = tempfile::tempdir().unwrap();
    let (folder, path) = (folder.path(), folder.path().join("d"));
    let mut image = volume(96, &[("SYSTEM", &hive())]);
    image.resize(1 << 20, 0);
    fs::write(&path, &image).unwrap();
    let Some(device) = Loop::of(&path) else { return };
    let name = device.0.to_str().unwrap();
    let all = || fs::read(&device.0).unwrap();
    assert!(all() == image);
    assert_eq!(refused(folder, &["set", "2", name]), (3, "device-read-only".into()));
    // As for a mount.
    let claimed = File::options().read(true).custom_flags(O_EXCL).open(&device.0).unwrap();
    assert_eq!(refused(folder, &["set", "2", name, "--device"]), (3, "in-use".into()));
    assert!(all() == image);
    drop(claimed);
    let set = run(folder, &["set", "2", name, "--device", "--json"]);
    assert_eq!(set.code, 0, "{}", set.err);
    assert_eq!(run(folder, &["get", "--value", name]).out, "2\n");
    let undo = PathBuf::from(json(&set)["commit"]["undo"].as_str().unwrap());
    assert_eq!(undo.parent().unwrap().real(), folder.real(), "{undo:?}");
    assert!(all() != image);
    // As after an interruption.
    let record = fs::read(&undo).unwrap();
    fs::write(&undo, &record[..record.len() - 4096]).unwrap();
    let again = run(folder, &["set", "2", name, "--device"]);
    assert!(again.code == 0 && again.out.contains("already"), "{again:?}");
    assert_eq!(run(folder, &["undo", undo.to_str().unwrap()]).code, 0);
    assert!(all() == image, "the device is not what it was");
    println!("written to {name} and restored");
}
