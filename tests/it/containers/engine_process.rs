//! The process qemu-nbd: the files that it opens, its end, and errors of its misbehaviour.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::support::tools::{have, output, succeeds};
use hivewright_error::Code;

const HOLD: &str = "HIVEWRIGHT_TEST_HOLD";
const ENGINE: &str = "HIVEWRIGHT_TEST_ENGINE";

/// Creates a small QED image.
fn image(folder: &Path) -> PathBuf {
    let raw = folder.join("disk.raw");
    raw_disk(&raw, 4);
    output("qemu-img", &["convert", "-f", "raw", "-O", "qed", text(&raw), text(&folder.join("disk.qed"))]);
    folder.join("disk.qed")
}

/// Creates a program in place of qemu-nbd, which claims to be one.
fn script(folder: &Path, body: &str) -> PathBuf {
    let path = folder.join("engine.sh");
    fs::write(&path, format!("#!/bin/sh\n[ \"$1\" = --version ] && echo qemu-nbd 0 && exit\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Opens with that program.
fn open_through(engine: &Path, path: &Path) -> hivewright::Result<Image> {
    let mut policy = PathPolicy::new(Arc::new(Recording::default()), &[]);
    policy.qemu_nbd = Some(engine.to_owned());
    container::open(&policy, path, None).map(|image| image.expect("an image"))
}

/// Process for the tests below, which kill it: opens the image that they name, prints a word and waits.
#[test]
fn holds_an_image_open() {
    let Some(path) = std::env::var_os(HOLD) else { return };
    println!("opening");
    let engine = std::env::var_os(ENGINE).map_or_else(|| "qemu-nbd".into(), PathBuf::from);
    let image = open_through(&engine, path.as_ref()).unwrap();
    println!("held");
    std::thread::sleep(Duration::from_secs(60));
    drop(image);
}

/// Starts this program as a process that holds an image open, and waits until it prints `word`.
fn holder(image: &Path, temporary: &Path, engine: Option<&Path>, word: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "containers::engine_process::holds_an_image_open", "--nocapture"]);
    command.env(HOLD, image).env("TMPDIR", temporary).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(engine) = engine {
        command.env(ENGINE, engine);
    }
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains(word)), "the holder does not get so far");
    child
}

/// Returns processes whose command line contains `word`.
fn running(word: &str) -> Vec<PathBuf> {
    let has = |entry: &PathBuf| {
        fs::read(entry.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
    };
    fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()).filter(has).collect()
}

fn within_seconds(seconds: u64, what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !is() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn killed_we_leave_no_process_and_no_folder() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let mut child = holder(&image(folder.path()), temporary.path(), None, "held");
    let engines = running(&format!("--socket\0{}", text(temporary.path())));
    assert_eq!(engines.len(), 1, "qemu-nbd is not to be seen");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "the folder of the sockets is still there");
    child.kill().unwrap();
    child.wait().unwrap();
    within_seconds(5, "qemu-nbd outlives us", || running(text(temporary.path())).is_empty());
}

/// Without a connection, only the kernel can end it.
#[test]
fn killed_while_it_starts_we_leave_no_process() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let number = folder.path().join("number");
    let engine = script(folder.path(), &format!("echo $$ > {0}.new && mv {0}.new {0}; exec sleep 100", text(&number)));
    let mut child = holder(&image(folder.path()), folder.path(), Some(&engine), "opening");
    within_seconds(8, "it is not started", || number.exists());
    let process = Path::new("/proc").join(fs::read_to_string(&number).unwrap().trim());
    assert!(process.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    within_seconds(5, "it outlives us", || {
        !fs::read_to_string(process.join("cmdline")).is_ok_and(|line| line.starts_with("sleep"))
    });
}

#[test]
fn another_program_is_no_damage_of_the_image() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path());
    for (program, says) in [
        (Path::new("/bin/true"), "/bin/true is not qemu-nbd"),
        (Path::new("/bin/cat"), "/bin/cat is not qemu-nbd"),
        (folder.path(), "cannot be started"),
        (&path, "cannot be started"),
    ] {
        let error = open_through(program, &path).map(|_| ()).unwrap_err();
        assert_eq!((error.kind(), error.code()), (hivewright::Kind::Unsupported, Code::NoQemuNbd), "{error}");
        assert!(error.what().contains(says) && error.advice().unwrap().contains("--qemu-nbd FILE"), "{error:?}");
    }
}

#[test]
fn misbehaviour_of_qemu_is_an_error() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path());
    let error = open_through(Path::new("/nowhere/qemu-nbd"), &path).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "no-qemu-nbd");
    let advice = error.advice().unwrap();
    assert!(["qemu-utils", "--qemu-nbd", "qemu-img convert"].iter().all(|word| advice.contains(word)), "{advice}");
    let error = open_through(&script(folder.path(), "echo it is full >&2; exit 3"), &path).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "engine-refused");
    assert!(error.what().contains("it is full"), "{error}");
    // Excessive output is neither stored nor blocks anything.
    let chatter = script(folder.path(), "yes loud | head -c 300000 >&2; exit 3");
    let error = open_through(&chatter, &path).map(|_| ()).unwrap_err();
    assert!(error.what().len() < 3000, "{}", error.what().len());
    // A child process of it ends too.
    let number = folder.path().join("number");
    let sleeper = script(folder.path(), &format!("sleep 100 & echo $! > {}; wait", text(&number)));
    let started = Instant::now();
    let error = open_through(&sleeper, &path).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "engine-timeout");
    assert!(started.elapsed() < Duration::from_secs(20));
    let sleep = Path::new("/proc").join(fs::read_to_string(number).unwrap().trim()).join("cmdline");
    within_seconds(5, "it outlives us", || !fs::read_to_string(&sleep).is_ok_and(|line| line.starts_with("sleep")));
}

#[test]
fn one_that_dies_in_the_middle_is_an_error_and_no_hang() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path());
    let number = folder.path().join("number");
    let engine = script(folder.path(), &format!("echo $$ > {}; exec qemu-nbd \"$@\"", text(&number)));
    let image = open_through(&engine, &path).unwrap();
    image.disk.read_at(0, &mut [0; 512]).unwrap();
    assert!(succeeds("kill", &["-9", fs::read_to_string(number).unwrap().trim()]));
    // Data that was read is cached; the rest is unreadable.
    image.disk.read_at(0, &mut [0; 512]).unwrap();
    for _ in 0..2 {
        assert_eq!(image.disk.read_at(2 << 20, &mut [0; 512]).unwrap_err().code(), "engine-died");
    }
}

/// Returns the files that `get` of the image opens according to `trace`: by us, and by qemu-nbd.
pub(super) fn traced(path: &Path) -> (String, String) {
    let log = path.with_file_name("trace");
    let hivewright = env!("CARGO_BIN_EXE_hivewright");
    succeeds("strace", &["-f", "-e", "trace=%file", "-s", "4096", "-o", text(&log), hivewright, "get", text(path)]);
    let lines = fs::read_to_string(log).unwrap();
    let number = |line: &str| line.split(' ').next().unwrap().to_owned();
    let runs_qemu = |line: &&str| line.contains("execve(") && line.contains("qemu-nbd") && !line.contains("ENOENT");
    let engines: Vec<String> = lines.lines().filter(runs_qemu).map(number).collect();
    let (mut ours, mut its) = (String::new(), String::new());
    for line in lines.lines() {
        // The call that starts it contains only the sockets, and is checked too.
        let of = if engines.contains(&number(line)) { &mut its } else { &mut ours };
        of.push_str(line);
        of.push('\n');
    }
    (ours, its)
}

#[test]
fn no_file_is_opened_because_an_image_names_it() {
    if !have(&["qemu-img", "qemu-nbd", "strace"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let secret = folder.path().join("x");
    raw_disk(&secret, 4);
    raw_disk(&inside.join("base.raw"), 4);
    let make = |format: &str, name: &str, backing: &str| {
        let path = inside.join(name);
        output("qemu-img", &["create", "-q", "-f", format, "-u", "-b", backing, "-F", "raw", text(&path), "4M"]);
        path
    };
    let code = |path: &Path| open(path).map(|_| ()).map_err(|error| error.code().as_str());
    for format in ["qed", "qcow"] {
        let outside = Err("outside-folder");
        let names = [("a", "/etc/passwd"), ("b", "../x"), ("c", text(&secret))].map(|(name, it)| (name, it, outside));
        for (name, backing, expected) in names.into_iter().chain([("d", "nbd:localhost:1", Err("no-file"))]) {
            let (ours, its) = traced(&make(format, name, backing));
            assert_eq!(code(&inside.join(name)), expected, "{format} {backing}");
            assert!(ours.contains(&format!("inside/{name}\"")), "the trace does not see us open the image");
            assert_eq!(its, "", "{backing}: qemu-nbd was started");
            let opened = |file: &str| ours.lines().any(|line| line.contains("open") && line.contains(file));
            assert!(!opened("/etc/passwd") && !opened("/x\""), "{format} {backing}: {ours}");
        }
        // With a valid chain, QEMU runs, and knows no file at all.
        let good = make(format, "good", "base.raw");
        let (ours, its) = traced(&good);
        assert_eq!(code(&good), Ok(()));
        assert!(ours.contains("inside/base.raw"));
        assert!(its.contains("/below"), "the trace does not see qemu-nbd: {its}");
        assert!(!its.contains(text(&inside)) && !its.contains("base.raw"), "{its}");
    }
}
