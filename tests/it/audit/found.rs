//! Discovery of targets.

use std::fs::{self, File};
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hivewright_fixtures::{Release, SystemHive};

use super::{audit, of, records};
use crate::support::disk::{mbr, split, windows_volume};
use crate::support::tools::{answer, have, output};

fn hive(value: u32) -> Vec<u8> {
    SystemHive::new(Release::Win10).with_right_setting(1, value).build().bytes
}

fn names(folder: &Path, args: &[&str]) -> Vec<String> {
    let run = audit(folder, &[&["--json"], args].concat());
    records(&run.out).into_keys().map(|(name, _)| name).collect()
}

#[test]
fn fifty_among_a_hundred_thousand() {
    let home = tempfile::tempdir().unwrap();
    // Wine takes minutes for so many files.
    let count = if cfg!(windows) { 400 } else { 20_000 };
    for i in 0..count {
        let folder = home.path().join(format!("all/{}", i / (count / 4)));
        if i % (count / 4) == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        let is_target = i % (count / 50) == 3;
        fs::write(folder.join(format!("f{i}")), if is_target { hive(2) } else { vec![b'R'; i % 7000] }).unwrap();
    }
    let begun = Instant::now();
    let run = audit(home.path(), &["--json", "--expect", "2", "all"]);
    let took = begun.elapsed();
    println!("{count} files in {took:?}: {}", run.err.trim());
    assert_eq!((run.code, records(&run.out).len()), (0, 50), "{}", run.err);
    assert!(cfg!(windows) || took < Duration::from_secs(15), "{took:?}");
}

/// The system calls of an audit: no writes, and a few KiB of each file that is not a target.
#[test]
fn other_files_are_hardly_read_and_nothing_is_written() {
    if !have(&["strace"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let all = home.path().join("all");
    fs::create_dir(&all).unwrap();
    for i in 0..300 {
        fs::write(all.join(format!("other{i}")), vec![b'x'; 100_000]).unwrap();
    }
    fs::write(all.join("target"), hive(1)).unwrap();
    assert!(Command::new("mkfifo").arg(all.join("pipe")).status().unwrap().success());
    let trace = home.path().join("trace");
    let calls = "trace=open,openat,openat2,creat,read,pread64,readv,preadv,mmap,write,pwrite64,rename,unlink,mkdir";
    let program = env!("CARGO_BIN_EXE_hivewright");
    let strace =
        ["-ff", "-y", "-e", calls, "-o", trace.to_str().unwrap(), program, "audit", "--json", all.to_str().unwrap()];
    if !crate::support::tools::succeeds("strace", &strace) {
        hivewright_fixtures::skip::impossible("strace cannot trace here");
        return;
    }
    // One trace per thread: in a common one, calls are split.
    let files = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let trace: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    let (mut opened, mut read) = (0, 0u64);
    for line in trace.lines().filter(|line| line.contains("/all/")) {
        assert!(!line.contains("/all/pipe"), "{line}");
        if line.contains("open") {
            opened += 1;
            assert!(line.contains("O_RDONLY") && !line.contains("O_CREAT"), "{line}");
        } else {
            assert!(line.starts_with("read(") || line.starts_with("pread64("), "{line}");
        }
        if line.contains("/all/other") && line.contains("read(") {
            read += line.rsplit("= ").next().unwrap().trim().parse::<u64>().unwrap();
        }
    }
    assert!(opened >= 301, "{opened}");
    assert!((300..=300 * 4608).contains(&read), "{read} bytes of others");
}

// Links, sockets and pipes of Unix.
#[cfg(unix)]
#[test]
fn links_and_special_files_are_skipped() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/b/one"), hive(1)).unwrap();
    fs::hard_link(at("a/b/one"), at("a/two")).unwrap();
    symlink(at("a"), at("a/b/up")).unwrap();
    symlink(at("a/b/one"), at("a/link")).unwrap();
    symlink("self", at("a/self")).unwrap();
    symlink("/dev/zero", at("a/zero")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("a/socket")).unwrap();
    for pipe in ["a/pipe", "a/b/pipe.vhdx"] {
        assert!(Command::new("mkfifo").arg(at(pipe)).status().unwrap().success());
    }
    assert_eq!(names(home.path(), &["a"]), ["a/two"], "the same file is one target");
    assert_eq!(names(home.path(), &["a/b", "a", "a/b/one"]), ["a/b/one"]);
    assert_eq!(names(home.path(), &["a/link"]), ["a/link"], "a link that is named is followed");
    let pipe = audit(home.path(), &["--json", "a/pipe", "a/none", "a/b"]);
    let all = records(&pipe.out);
    assert_eq!(of(&all, "a/pipe")[0]["error"]["code"], "target-kind");
    assert_eq!(of(&all, "a/none")[0]["error"]["code"], "no-file");
    assert_eq!((pipe.code, all.len()), (2, 3));
    assert_eq!(audit(home.path(), &["--keep-going-ok", "a/none", "a/b"]).code, 0);
    fs::create_dir(at("empty")).unwrap();
    assert_eq!(audit(home.path(), &["empty"]).code, 2, "nothing was found");
}

#[test]
fn patterns_and_lists_name_targets() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    // Names on Windows have no line ends.
    let odd = if cfg!(windows) { "new line" } else { "new\nline" };
    for name in ["x/1.raw", "x/2.raw", "x/y/3.raw", "x/note.txt", odd] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), if name.contains("note") { b"text".to_vec() } else { hive(1) }).unwrap();
    }
    assert_eq!(names(home.path(), &["x/*.raw"]), ["x/1.raw", "x/2.raw"]);
    assert_eq!(names(home.path(), &["**/*.raw"]), ["x/1.raw", "x/2.raw", "x/y/3.raw"]);
    assert_eq!(names(home.path(), &["x/{1,y/3}.raw", "x/*"]), ["x/1.raw", "x/2.raw", "x/y/3.raw"]);
    assert_eq!(audit(home.path(), &["y/*.raw"]).code, 2);
    fs::write(at("list"), "x/1.raw\r\n\nx/y/3.raw").unwrap();
    assert_eq!(names(home.path(), &["--from-file", "list"]), ["x/1.raw", "x/y/3.raw"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hivewright"));
    command.current_dir(home.path()).args(["audit", "--json", "--from-file", "-", "-0", "x/2.raw"]);
    let out = String::from_utf8(answer(&mut command, format!("{odd}\0x/note.txt\0").as_bytes()).stdout).unwrap();
    let all = records(&out);
    let named: Vec<_> = all.keys().map(|(name, _)| name.as_str()).collect();
    assert_eq!(named, [odd, "x/2.raw", "x/note.txt"], "what a list names has a record");
    assert_eq!(of(&all, "x/note.txt")[0]["status"], "error");
    // `exact.rs` has the test for UTF-16.
    #[cfg(unix)]
    {
        let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"odd\xff");
        fs::write(home.path().join(odd), hive(2)).unwrap();
        let all = records(&audit(home.path(), &["--json", "."]).out);
        let odd: Vec<_> = all.values().filter(|record| !record["target_hex"].is_null()).collect();
        assert_eq!((odd.len(), &odd[0]["target_hex"]), (1, &"2e2f6f6464ff".into()));
    }
}

// Windows has no permission bits.
#[cfg(unix)]
#[test]
fn folders_that_a_pattern_cannot_read_are_reported() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    for name in ["x/open/1.raw", "x/closed/2.raw"] {
        fs::create_dir_all(home.path().join(name).parent().unwrap()).unwrap();
        fs::write(home.path().join(name), hive(1)).unwrap();
    }
    let closed = home.path().join("x/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let is_open = fs::read_dir(&closed).is_ok();
    let run = audit(home.path(), &["--json", "x/*/*.raw"]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    if is_open {
        hivewright_fixtures::skip::impossible("permissions do not count for this user");
        return;
    }
    let all = records(&run.out);
    assert_eq!((run.code, all.len(), &of(&all, "x/closed")[0]["error"]["code"]), (2, 2, &"io".into()), "{}", run.err);
}

#[test]
fn an_image_in_several_files_is_one_target() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("d");
    fs::create_dir(&folder).unwrap();
    let Some(volume) = windows_volume(8, &hive(2), |_| {}) else { return };
    mbr(&volume.bytes(), &home.path().join("whole"));
    split(&home.path().join("whole"), 3 << 20, &folder.join("parts"));
    // A boot sector at the start of a later segment does not make it a disk.
    assert_eq!(names(home.path(), &["d"]), ["d/parts.001"]);
    assert_eq!(names(home.path(), &["d/parts.002", "d/parts.001"]), ["d/parts.001"]);
    let all = records(&audit(home.path(), &["--json", "d"]).out);
    let record = &of(&all, "d/parts.001")[0];
    assert_eq!((&record["container"], &record["size"]), (&"split".into(), &((9 << 20) as u64).into()));
    assert_eq!(record["files"].as_array().unwrap().len(), 2);
    // Numbered copies of hives are hives.
    fs::write(folder.join("SYSTEM.001"), hive(1)).unwrap();
    fs::write(folder.join("SYSTEM.002"), hive(1)).unwrap();
    assert_eq!(names(home.path(), &["d"]).len(), 3);
    if have(&["qemu-img"]) {
        let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        output("qemu-img", &["create", "-q", "-f", "qcow2", &at("base.qcow2"), "8M"]);
        output("qemu-img", &["create", "-q", "-f", "qcow2", "-b", &at("base.qcow2"), "-F", "qcow2", &at("top.qcow2")]);
        let found = names(home.path(), &["d"]);
        let images = ["d/base.qcow2", "d/top.qcow2"];
        assert!(images.iter().all(|&image| found.contains(&image.to_owned())), "{found:?}");
        assert_eq!(names(home.path(), &["d/*.qcow2"]), images);
    }
}

#[test]
fn a_file_that_changes_meanwhile_affects_no_other() {
    let home = tempfile::tempdir().unwrap();
    let all = home.path().join("all");
    fs::create_dir(&all).unwrap();
    for i in 0..300 {
        fs::write(all.join(format!("{i}")), hive(1)).unwrap();
    }
    let moving = all.join("0-moving");
    fs::write(&moving, hive(1)).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let file = File::options().write(true).open(&moving).unwrap();
                file.set_len(0).unwrap();
                file.set_len(16384).unwrap();
                fs::write(&moving, hive(1)).unwrap();
            }
        });
        // Wine takes a minute for each ten.
        for _ in 0..if cfg!(windows) { 2 } else { 20 } {
            let run = audit(home.path(), &["--json", "all", "all/0-moving"]);
            let found = records(&run.out);
            let still = found.values().filter(|record| record["status"] == "read").count();
            assert!(still >= 300 && found.len() <= 301, "{still} of {}", found.len());
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}
