//! Killed before each single write: an image that allocates clusters remains consistent by QEMU's own check. Unused
//! clusters are no damage; tables with references to free clusters are.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::formats::{convert, disk};
use super::run;
use crate::support::tools::{have, output};

/// Returns QEMU's findings other than leaks, if the format has a check.
fn damage(path: &Path) -> Option<String> {
    let check = Command::new("qemu-img").arg("check").arg(path).output().unwrap();
    let is_whole = matches!(check.status.code(), Some(0 | 3 | 63));
    (!is_whole).then(|| String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned())
}

/// Kills `set` before its write number 1, 2, ... until it ends, and checks the image each time. Returns the number of
/// kills.
fn kill_at_every_write(folder: &Path, name: &str) -> usize {
    let (image, sound) = (folder.join(name), folder.join("sound"));
    fs::copy(&image, &sound).unwrap();
    for count in 1..500 {
        fs::copy(&sound, &image).unwrap();
        let _ = fs::remove_file(folder.join(format!("{name}.hivewright-undo")));
        let kill = format!("inject=pwrite64:signal=KILL:when={count}");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", &kill, env!("CARGO_BIN_EXE_hivewright")]);
        let ended = strace.args(["set", "2", name]).current_dir(folder).output().unwrap().status.success();
        assert_eq!(damage(&image), None, "{name}: killed before write {count}");
        if ended {
            assert_eq!(run(folder, &["get", "--value", name]).out, "2\n");
            return count - 1;
        }
        // The next run continues.
        let again = run(folder, &["set", "2", name]);
        assert_eq!((again.code, damage(&image)), (0, None), "{name}: after write {count}: {}", again.err);
        assert_eq!(run(folder, &["get", "--value", name]).out, "2\n", "{name}: after write {count}");
    }
    panic!("{name}: it never ends");
}

fn images(of: &[(&str, &str, &[&str])]) {
    if !have(&["qemu-img", "strace"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("disk"), disk()).unwrap();
    for (name, format, options) in of {
        let path = folder.join(name);
        let path = path.to_str().unwrap();
        if options.contains(&"-b") {
            output("qemu-img", &[&["create", "-q", "-f", format], *options, &["-F", "raw", path]].concat());
        } else {
            convert(folder, format, options, name);
            output("qemu-img", &["snapshot", "-c", "kept", path]);
        }
        println!("{name}: killed before each of {} writes", kill_at_every_write(folder, name));
    }
}

#[test]
fn of_qcow2() {
    images(&[
        ("snapshot.qcow2", "qcow2", &[]),
        ("top.qcow2", "qcow2", &["-b", "disk"]),
        ("lazy.qcow2", "qcow2", &["-b", "disk", "-o", "lazy_refcounts=on"]),
        ("small.qcow2", "qcow2", &["-b", "disk", "-o", "cluster_size=512,refcount_bits=1"]),
        ("parts.qcow2", "qcow2", &["-b", "disk", "-o", "compression_type=zstd,extended_l2=on"]),
    ]);
}

#[test]
fn of_formats_allocated_by_qemu() {
    if have(&["qemu-nbd"]) {
        images(&[("top.qed", "qed", &["-b", "disk"])]);
    }
}
