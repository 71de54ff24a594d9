//! Writes by the command: `--output`, `--undo`, `--in-place`, and `undo`.

use std::fs::{self, File};

use serde_json::Value;

use crate::copies::{Copied, REPLACES, long_ago};
use crate::support::hex::hex;

#[test]
fn output_leaves_the_original_alone() {
    let copy = Copied::of("windows/win10");
    let json = copy.run(["set", "2", "SYSTEM", "--output", "NEW", "--keep-timestamps", "--json"]).done().json();
    assert_eq!(json["commit"]["how"], "output");
    copy.assert_kept("--output");
    assert_eq!(copy.names(), ["NEW", "SYSTEM"]);
    let written = fs::read(copy.path("NEW")).unwrap();
    assert!(written != copy.before);
    assert_eq!(copy.run(["get", "--value", "NEW"]).done().out, "2\n");
    copy.run(["set", "1", "SYSTEM", "--output", "NEW"]).failed(3, "NEW already exists");
    copy.run(["set", "1", "SYSTEM", "--output", "SYSTEM"]).failed(3, "SYSTEM already exists");
    copy.run(["set", "1", "SYSTEM", "--output", "no/NEW", "--json"]);
    assert!(fs::read(copy.path("NEW")).unwrap() == written, "an existing file was overwritten");
    copy.assert_kept("--output refused");
    assert_eq!(copy.names(), ["NEW", "SYSTEM"]);
    // The same bytes as an edit of the original.
    copy.run(["set", "2", "SYSTEM", "--keep-timestamps"]).done();
    assert!(copy.bytes() == written);
}

#[test]
fn output_is_written_where_nothing_changes_too() {
    let copy = Copied::of("shapes/setting-set");
    let run = copy.run(["set", "2", "SYSTEM", "--output", "NEW", "--json"]).done();
    let json = run.json();
    assert_eq!((&json["state"], &json["commit"]["how"]), (&"written".into(), &"output".into()), "{json}");
    assert!(fs::read(copy.path("NEW")).unwrap() == copy.before);
    copy.assert_kept("--output");
}

#[test]
fn undo_restores_every_bit() {
    for name in ["windows/win10", "windows/xp-sp3", "shapes/no-free-cell", "findings/twins-in-case"] {
        let copy = Copied::of(name);
        let run = copy.run(["set", "2", "SYSTEM", "--undo", "U"]).done();
        assert!(run.out.contains("to undo: hivewright undo ") && run.out.contains("U\n"), "{}", run.out);
        assert_eq!(copy.names(), ["SYSTEM", "U"], "{name}");
        let edited = copy.bytes();
        assert!(edited != copy.before, "{name}");
        copy.run(["set", "1", "SYSTEM", "--undo", "U"]).failed(3, "already exists");
        assert!(copy.bytes() == edited, "{name}");
        let run = copy.run(["undo", "U"]).done();
        assert!(run.out.contains("was restored bit for bit"), "{}", run.out);
        assert!(copy.bytes() == copy.before, "{name}: not what it was");
        // A second undo changes nothing.
        let json = copy.run(["undo", "U", "--json"]).done().json();
        assert_eq!(json["how"], "already", "{name}: {json}");
        assert!(json["target"].as_str().unwrap().ends_with("SYSTEM"), "{name}: {json}");
        assert!(copy.bytes() == copy.before, "{name}");
    }
}

#[test]
fn undo_refuses_other_bytes() {
    let copy = Copied::of("windows/win10");
    copy.run(["set", "2", "SYSTEM", "--undo", "U"]).done();
    copy.run(["set", "1", "SYSTEM"]).done();
    let later = copy.bytes();
    copy.run(["undo", "U"]).failed(3, "[changed-since]");
    copy.run(["undo", "U", "--json"]).failed_as_json(3, "changed-since");
    assert!(copy.bytes() == later);
    copy.run(["undo", "SYSTEM"]).failed(2, "not an undo file");
    copy.run(["undo", "none"]).failed(2, "[no-file]");
    let mut damaged = fs::read(copy.path("U")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(copy.path("D"), damaged).unwrap();
    let run = copy.run(["undo", "D"]);
    assert!(matches!(run.code, 2 | 3), "{run:?}");
    assert!(copy.bytes() == later);
    // Another place, by --target.
    let elsewhere = Copied::of("windows/win10");
    elsewhere.run(["set", "2", "SYSTEM", "--undo", "U"]).done();
    fs::rename(&elsewhere.hive, elsewhere.path("moved")).unwrap();
    elsewhere.run(["undo", "U", "--target", "moved"]).done();
    assert!(fs::read(elsewhere.path("moved")).unwrap() == elsewhere.before);
}

#[test]
fn in_place_writes_under_an_undo_file() {
    for name in ["windows/win10", "shapes/no-free-cell"] {
        let copy = Copied::of(name);
        let watched = File::open(&copy.hive).unwrap();
        let json = copy.run(["set", "2", "SYSTEM", "--in-place", "--json"]).done().json();
        assert_eq!(json["commit"]["how"], "in-place", "{json}");
        assert_eq!(copy.names(), ["SYSTEM", "SYSTEM.hivewright-undo"], "{name}");
        assert!(json["commit"]["undo"].as_str().unwrap().ends_with("SYSTEM.hivewright-undo"), "{json}");
        let edited = copy.bytes();
        assert!(edited != copy.before && std::io::read_to_string(HexOf(&watched)).unwrap() == hex(&edited), "{name}");
        copy.run(["undo", "SYSTEM.hivewright-undo"]).done();
        assert!(copy.bytes() == copy.before, "{name}");
    }
}

/// Conversion of a file's bytes to hexadecimal.
struct HexOf<'a>(&'a File);

impl std::io::Read for HexOf<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut bytes = vec![0; buffer.len() / 2];
        let n = self.0.read(&mut bytes)?;
        buffer[..2 * n].copy_from_slice(hex(&bytes[..n]).as_bytes());
        Ok(2 * n)
    }
}

#[test]
fn in_place_keeps_the_times_on_request() {
    let copy = Copied::of("windows/win10");
    copy.run(["set", "2", "SYSTEM", "--in-place", "--keep-timestamps"]).done();
    assert_eq!(fs::metadata(&copy.hive).unwrap().modified().unwrap(), long_ago());
    assert_eq!(copy.number_in("ControlSet001"), Some(2));
}

#[test]
fn hard_links_stay_together() {
    let copy = Copied::of("windows/win10");
    fs::hard_link(&copy.hive, copy.path("OTHER")).unwrap();
    let run = copy.run(["set", "2", "SYSTEM"]).done();
    assert!(run.out.contains("was changed in place") && run.out.contains("hard link"), "{}", run.out);
    assert!(copy.bytes() != copy.before);
    assert!(fs::read(copy.path("OTHER")).unwrap() == copy.bytes(), "the links came apart");
    copy.run(["undo", "SYSTEM.hivewright-undo"]).done();
    assert!(fs::read(copy.path("OTHER")).unwrap() == copy.before);
}

// Links need privileges on Windows.
#[cfg(unix)]
#[test]
fn a_link_that_the_user_names_is_followed_and_stays_one() {
    let copy = Copied::of("windows/win10");
    std::os::unix::fs::symlink("SYSTEM", copy.path("LINK")).unwrap();
    copy.run(["set", "2", "LINK"]).done();
    assert!(fs::symlink_metadata(copy.path("LINK")).unwrap().is_symlink());
    assert_eq!(copy.number_in("ControlSet001"), Some(2));
}

// Windows has no permission bits.
#[cfg(unix)]
#[test]
fn the_mode_of_the_file_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let copy = Copied::of("windows/win10");
    fs::set_permissions(&copy.hive, fs::Permissions::from_mode(0o640)).unwrap();
    copy.run(["set", "2", "SYSTEM"]).done();
    assert_eq!(fs::metadata(&copy.hive).unwrap().permissions().mode() & 0o7777, 0o640);
}

// Windows has no limit on the size of files.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_leaves_the_original() {
    // A limit on the size of files simulates the full disk: the new file and the undo file do not fit.
    for extra in ["", "--in-place", "--output NEW", "--undo U"] {
        let copy = Copied::of("shapes/no-free-cell");
        let line =
            format!("trap '' XFSZ; ulimit -f 0; exec '{}' set 2 SYSTEM {extra}", env!("CARGO_BIN_EXE_hivewright"));
        let shell = std::process::Command::new("bash").args(["-c", &line]).current_dir(copy.folder.path()).output();
        let Ok(output) = shell else {
            hivewright_fixtures::skip::missing("a full disk: there is no bash");
            return;
        };
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{extra}: {err}");
        assert!(crate::command::has_code(&err, "io"), "{extra}: {err}");
        copy.assert_untouched(extra);
    }
}

#[test]
fn the_document_names_where_it_was_written() {
    let copy = Copied::of("windows/win10");
    let json = copy.run(["set", "2", "SYSTEM", "--json"]).done().json();
    let commit = &json["commit"];
    if REPLACES {
        assert_eq!((&commit["how"], &commit["undo"]), (&"replaced".into(), &Value::Null));
    } else {
        assert_eq!(commit["how"], "in-place");
        assert!(commit["undo"].as_str().unwrap().ends_with("SYSTEM.hivewright-undo"), "{commit}");
    }
    assert!(commit["file"].as_str().unwrap().ends_with("SYSTEM"), "{commit}");
    assert_eq!(commit["notes"], Value::Array(Vec::new()));
}
