//! A command that ends by a signal removes its temporary files, and keeps complete ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::fixtures::Unpacked;
use crate::command::heeding;
use crate::copies::Copied;
use crate::support::tools::{have, output};

const BINARY: &str = env!("CARGO_BIN_EXE_hivewright");

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn within_seconds(seconds: u64, what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !is() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    output("kill", &[&format!("-{name}"), &child.id().to_string()]);
}

/// An image that qemu-nbd reads, with an engine that opens nothing more after a file beside it ends with a word.
struct Place {
    image: Unpacked,
    temporary: tempfile::TempDir,
    engine: PathBuf,
    before: Vec<String>,
}

impl Place {
    fn hanging_at(ending: &str) -> Self {
        let image = Unpacked::named("qed");
        let temporary = tempfile::tempdir().unwrap();
        let elsewhere = temporary.path().join("engine");
        let folder = image.folder.path().to_str().unwrap().to_owned();
        let body =
            format!("#!/bin/sh\nls -A '{folder}' | grep -q '{ending}$' && exec sleep 100\nexec qemu-nbd \"$@\"\n");
        fs::write(&elsewhere, body).unwrap();
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o755)).unwrap();
        let before = names(image.folder.path());
        Place { image, temporary, engine: elsewhere, before }
    }

    /// Starts the command by `start`, and waits until it hangs.
    fn begin(&self, start: &str, arguments: &[&str], ending: &str) -> Child {
        let mut command = heeding("sh");
        command.args(["-c", &format!("{start} exec \"$@\""), "sh", BINARY]).args(arguments);
        command.args([Path::new("--qemu-nbd"), &self.engine]).current_dir(self.image.folder.path());
        command.env("TMPDIR", self.temporary.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        within_seconds(9, "it does not get so far", || {
            assert_eq!(child.try_wait().unwrap(), None, "it ended before");
            let hangs = names(self.image.folder.path()).iter().any(|name| name.ends_with(ending));
            hangs && names(self.temporary.path()).len() == 2
        });
        child
    }

    fn ends_clean(&self, child: &mut Child, what: &str) {
        assert_eq!(child.wait().unwrap().code(), Some(130), "{what}");
        assert_eq!(names(self.temporary.path()), ["engine"], "{what}");
    }
}

#[test]
fn no_half_copy_and_no_folder_stay_behind() {
    if !have(&["qemu-nbd"]) {
        return;
    }
    for name in ["INT", "TERM", "HUP"] {
        let place = Place::hanging_at("hivewright-new");
        let file = place.image.path();
        let (file, bytes) = (file.to_str().unwrap(), fs::read(&file).unwrap());
        let mut child = place.begin("", &["set", "2", file, "--output", "copy"], "hivewright-new");
        signal(&child, name);
        place.ends_clean(&mut child, name);
        assert_eq!(names(place.image.folder.path()), place.before, "{name}");
        assert!(fs::read(file).unwrap() == bytes);
    }
}

/// As with nohup, or as a background job of a script.
#[test]
fn a_signal_that_is_ignored_stays_so() {
    if !have(&["qemu-nbd"]) {
        return;
    }
    let place = Place::hanging_at("hivewright-new");
    let file = place.image.path();
    let arguments = ["set", "2", file.to_str().unwrap(), "--output", "copy"];
    let mut child = place.begin("trap '' HUP INT;", &arguments, "hivewright-new");
    for name in ["HUP", "INT"] {
        signal(&child, name);
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None, "it ended by what was ignored");
    signal(&child, "TERM");
    place.ends_clean(&mut child, "TERM");
    assert_eq!(names(place.image.folder.path()), place.before);
}

#[test]
fn a_reader_leaves_no_folder() {
    if !have(&["qemu-nbd"]) {
        return;
    }
    let place = Place::hanging_at("qed");
    let mut child = place.begin("", &["get", place.image.path().to_str().unwrap()], "qed");
    signal(&child, "INT");
    place.ends_clean(&mut child, "get");
    assert_eq!(names(place.image.folder.path()), place.before);
}

#[test]
fn the_undo_file_of_a_write_that_has_begun_stays() {
    if !have(&["qemu-nbd"]) {
        return;
    }
    let place = Place::hanging_at("hivewright-undo");
    let file = place.image.path();
    let (file, bytes) = (file.to_str().unwrap(), fs::read(&file).unwrap());
    let mut child = place.begin("", &["set", "2", file], "hivewright-undo");
    signal(&child, "INT");
    place.ends_clean(&mut child, "in place");
    let undo = format!("{file}.hivewright-undo");
    assert_eq!(names(place.image.folder.path()).len(), place.before.len() + 1);
    assert!(fs::read(file).unwrap() != bytes, "it had not begun");
    let run = place.image.run(&["undo", &undo]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(fs::read(file).unwrap() == bytes, "not what it was");
}

/// At any moment, the file is the old or the new one, and every other file has its final name.
#[test]
fn at_no_moment_is_anything_partial() {
    let whole = Copied::of("windows/win10");
    whole.run(["set", "2", "SYSTEM", "--keep-timestamps"]).done();
    let (new, old) = (whole.bytes(), whole.before);
    let (mut stopped, mut done) = (0, 0);
    for round in 0..60_u64 {
        let copy = Copied::of("windows/win10");
        let (arguments, other): (&[&str], _) = match round % 3 {
            0 => (&["--output", "NEW"], "NEW"),
            1 => (&["--undo", "UNDO"], "UNDO"),
            _ => (&["--in-place"], "SYSTEM.hivewright-undo"),
        };
        let mut command = heeding(BINARY);
        command.current_dir(copy.folder.path()).args(["set", "2", "SYSTEM", "--keep-timestamps"]).args(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(500 * (round / 3)));
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status();
        let status = child.wait().unwrap();
        match status.code() {
            Some(0) => done += 1,
            // The handler is set with the first temporary file.
            Some(130) | None => stopped += 1,
            code => panic!("{arguments:?}: {code:?}"),
        }
        let left: Vec<_> = copy.names().into_iter().filter(|name| name != "SYSTEM").collect();
        assert!(left.is_empty() || left == [other], "round {round}, {status}: {left:?}");
        let bytes = copy.bytes();
        match round % 3 {
            0 => assert!(bytes == old && left.iter().all(|name| fs::read(copy.path(name)).unwrap() == new)),
            1 => assert!(bytes == old || bytes == new && left == ["UNDO"], "round {round}"),
            _ => {
                assert!(bytes == old || left == [other], "round {round}: changed without an undo file");
                copy.run(["set", "2", "SYSTEM", "--keep-timestamps"]);
                assert!(copy.bytes() == new, "round {round}: the next run does not settle it");
            }
        }
    }
    println!("{stopped} stopped, {done} done");
    assert!(stopped > 0);
}
