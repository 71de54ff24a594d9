//! Unusual names: printed commands can be pasted, and do not control the terminal.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use hivewright_storage::shell;

use crate::command::hivewright_in;
use crate::containers::interrupted::unmark;
use crate::copies::fixture;
use crate::support::file_ext::FileExt;
use crate::support::tools::{have, output};

const NASTY: &[&[u8]] = &[
    b"plain.raw",
    b"my disk.raw",
    b"a;$(touch pwn) b.raw",
    b"`touch pwn`&|<>*?[a]{b,c}#~!",
    b"it's \"so\" \\n $HOME",
    b"-rf",
    b"=ls",
    b"~",
    b"\xc3\xbc \xe2\x82\xac",
    b"a\nb\tc\r",
    b"\n",
    b"\x1b]0;x\x07\x1b[2J12",
    b"\xff\xfe3'!\\",
    b"\xe2\x80\xaex",
];

/// Returns a word as a shell expands it.
fn expanded(shell: &str, word: &str) -> Vec<u8> {
    let output = Command::new(shell).args(["-c", &format!("printf %s {word}")]).output().unwrap();
    assert!(output.status.success(), "{shell}: {word}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_shell_reads_the_word_as_the_path() {
    let shells: Vec<&str> = ["bash", "zsh"].into_iter().filter(|shell| have(&[shell])).collect();
    for name in NASTY {
        let word = shell::word(Path::new(OsStr::from_bytes(name)));
        assert!(!word.chars().any(char::is_control), "{word:?}");
        let expected = [if name.starts_with(b"-") { &b"./"[..] } else { b"" }, name].concat();
        // Every shell has quotes, but not every shell has escapes.
        let plain = if word.starts_with('$') { None } else { Some("sh") };
        for shell in plain.iter().chain(&shells) {
            assert_eq!(expanded(shell, &word), expected, "{shell}: {word}");
        }
    }
}

/// Returns the rest of the line after `start`.
fn advised<'a>(text: &'a str, start: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.split_once(start));
    line.unwrap_or_else(|| panic!("{start:?} is not in {text}")).1
}

#[test]
fn the_undo_command_can_be_pasted() {
    if !have(&["bash"]) {
        return;
    }
    for name in NASTY.iter().map(|name| OsStr::from_bytes(name)) {
        let folder = tempfile::tempdir().unwrap();
        let hive = folder.path().join(name);
        let before = fixture("windows/win10");
        fs::write(&hive, &before).unwrap();
        let run = hivewright_in(folder.path(), [OsStr::new("set"), "2".as_ref(), "--in-place".as_ref(), hive.as_ref()]);
        assert_eq!(run.code, 0, "{name:?}: {}", run.err);
        assert!(!run.out.chars().any(|c| c != '\n' && c.is_control()), "{name:?}: {:?}", run.out);
        assert!(fs::read(&hive).unwrap() != before);
        let command =
            format!("{} undo {}", env!("CARGO_BIN_EXE_hivewright"), advised(&run.out, "to undo: hivewright undo "));
        let output = Command::new("bash").args(["-c", &command]).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(fs::read(&hive).unwrap() == before, "{name:?}: not what it was");
        assert!(!output.stdout.iter().any(|&byte| byte != b'\n' && byte.is_ascii_control()), "{name:?}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "{name:?}: something else was run");
    }
}

/// An interrupted write, and a write that another one followed.
#[test]
fn the_undo_command_of_an_interrupted_write_can_be_pasted() {
    if !have(&["bash"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "my hive; touch pwn";
    let hive = folder.path().join(name);
    let undo = folder.path().join(format!("{name}.hivewright-undo"));
    let before = fixture("windows/win10");
    fs::write(&hive, &before).unwrap();
    for number in ["2", "1"] {
        assert_eq!(hivewright_in(folder.path(), ["set", number, name, "--in-place"]).code, 0);
    }
    let run = hivewright_in(folder.path(), [OsStr::new("undo"), undo.as_ref()]).failed(3, "has changed again since");
    paste(folder.path(), advised(&run.err, "the newer one first: hivewright "));
    paste(folder.path(), &format!("undo {}", shell::word(&undo)));
    assert!(fs::read(&hive).unwrap() == before);
    fs::remove_file(&undo).unwrap();
    fs::remove_file(undo.with_extension("hivewright-undo.1")).unwrap();
    assert_eq!(hivewright_in(folder.path(), ["set", "2", name, "--in-place"]).code, 0);
    let (offset, old, _) = unmark(&undo).pop().unwrap();
    fs::File::options().write(true).open(&hive).unwrap().write_all_at(&old, offset).unwrap();
    let warned = hivewright_in(folder.path(), ["get", name]).err;
    let refused = hivewright_in(folder.path(), ["set", "2", name, "--dry-run"]).failed(3, "partly written").err;
    let words =
        [advised(&warned, "see `hivewright ").split('`').next().unwrap(), advised(&refused, "advice: hivewright ")];
    assert_eq!(words[0], words[1]);
    paste(folder.path(), words[0]);
    assert!(fs::read(&hive).unwrap() == before, "not what it was");
}

/// Runs a printed command without its program name.
fn paste(folder: &Path, words: &str) {
    let command = format!("{} {words}", env!("CARGO_BIN_EXE_hivewright"));
    let output = Command::new("bash").args(["-c", &command]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(!folder.join("pwn").exists(), "{command}");
}

#[test]
fn a_folder_to_allow_can_be_pasted() {
    if !have(&["bash", "qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("its folder; x");
    fs::create_dir(&other).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (below, image) = (text(&other.join("below.raw")), text(&folder.path().join("disk.qcow2")));
    fs::File::create(&below).unwrap().set_len(4 << 20).unwrap();
    output("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "raw", "-b", &below, &image]);
    let run = hivewright_in(folder.path(), ["info", &image]).failed(3, "which is not beside the image");
    let words = advised(&run.err, "to allow it, give ");
    let command = format!("{} info {words} disk.qcow2", env!("CARGO_BIN_EXE_hivewright"));
    let output = Command::new("bash").args(["-c", &command]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn errors_and_warnings_do_not_control_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    for verb in [&["get"][..], &["set", "2"], &["check"], &["info"], &["undo"]] {
        let args = [verb, &["a\x1b[2J\nb"]].concat();
        let run = hivewright_in(folder.path(), &args).failed(2, "a\u{fffd}[2J\u{fffd}b");
        assert!(!run.err.contains('\x1b'), "{:?}", run.err);
    }
}
