//! Paths that are not text, contain line feeds, or have a last component of the greatest length: every command accepts
//! them, and JSON contains them completely.

mod images;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use hivewright_fixtures::disks::Disk;
use hivewright_fixtures::folder::home;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Run, hivewright_in};
use crate::copies::fixture;
use crate::support::dirty_place;
use crate::support::hex::bytes_of;
use crate::support::real::Real;

/// Names that are difficult for programs.
fn odd_names() -> Vec<OsString> {
    let long = |start: &[u8], unit: &[u8], ending: &[u8]| {
        let mut name = start.to_vec();
        while name.len() + unit.len() + ending.len() <= 255 {
            name.extend_from_slice(unit);
        }
        name.resize(255 - ending.len(), b'x');
        name.extend_from_slice(ending);
        name
    };
    let names = [
        b"odd\xff\xfe.raw".to_vec(),
        b"\xed\xa0\x80\n'\"$(x).raw".to_vec(),
        b"new\nline\r.raw".to_vec(),
        b"back\\slash*?[{.raw".to_vec(),
        long(b"", b"l", b".raw"),
        long(b"", "\u{fc}".as_bytes(), b".raw"),
        long(b"", b"\xff", b".raw"),
        long(b"\n", b"\n\xff", b""),
    ];
    assert!(names[4..].iter().all(|name| name.len() == 255));
    names.map(OsString::from_vec).to_vec()
}

/// Returns a path in a document: its text, or all of its bytes if the text is incomplete.
fn path_in(document: &Value, field: &str) -> PathBuf {
    let text = document[field].as_str().unwrap_or_else(|| panic!("no {field}: {document}"));
    let hex = document.get(format!("{field}_hex")).filter(|hex| hex.is_string());
    hex.map_or_else(|| text.into(), |hex| OsString::from_vec(bytes_of(hex)).into())
}

/// A target alone in a folder.
struct Place {
    folder: TempDir,
    /// The target relative to the folder.
    target: PathBuf,
    /// Creates a file for a command.
    file: PathBuf,
}

impl Place {
    fn of(name: &OsStr, bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        Place { folder, target: name.into(), file: name.into() }
    }

    /// Creates a folder with that name and a Windows installation.
    fn folder(name: &OsStr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Path::new(name).join("Windows/System32/config/SYSTEM");
        fs::create_dir_all(folder.path().join(&file).parent().unwrap()).unwrap();
        fs::write(folder.path().join(&file), fixture("shapes/setting-set")).unwrap();
        Place { folder, target: name.into(), file }
    }

    fn run(&self, args: &[&OsStr]) -> Run {
        hivewright_in(self.folder.path(), args)
    }

    fn whole(&self, path: &Path) -> PathBuf {
        self.folder.path().real().join(path)
    }

    /// Runs a command; `TARGET` in its words is the target, `OTHER` a name like the target's. Returns the exit status,
    /// and the document of `--json`.
    fn verb(&self, words: &str, other: &OsStr, json: bool) -> (i32, Option<Value>) {
        let none = Path::new(other).join("none");
        let word = |word| match word {
            "TARGET" => self.target.as_os_str(),
            "OTHER" => other,
            "OTHER/none" => none.as_os_str(),
            word => OsStr::new(word),
        };
        let mut args: Vec<&OsStr> = words.split(' ').map(word).collect();
        args.extend(json.then_some(OsStr::new("--json")));
        let run = self.run(&args);
        assert!(!run.err.contains("panicked"), "{run:?}");
        (run.code, json.then(|| run.json()))
    }
}

/// Commands on a writable target, in this order, with their exit status.
const VERBS: [(&str, i32); 12] = [
    ("get TARGET", 0),
    ("check --logs TARGET", 0),
    ("info TARGET", 0),
    ("set 0 TARGET --dry-run", 0),
    ("set 0 TARGET --output OTHER", 0),
    ("set 0 TARGET --output OTHER", 3),
    ("set 0 TARGET", 0),
    ("set 0 TARGET", 0),
    ("recover TARGET", 0),
    ("unset TARGET --in-place", 0),
    ("get TARGET --log OTHER/none", 2),
    ("check OTHER/none", 2),
];

fn walk(make: &dyn Fn() -> Place, other: &OsStr) {
    let (told, plain) = (make(), make());
    let (mut undo, mut before) = (None, Vec::new());
    for (words, code) in VERBS {
        let there = fs::read(told.whole(&told.file)).unwrap();
        let (exit, document) = told.verb(words, other, true);
        let document = document.unwrap();
        assert_eq!((exit, plain.verb(words, other, false).0), (code, code), "{words} {other:?}: {document}");
        if code > 1 {
            let error = &document["error"];
            assert_eq!(error["exit"], code, "{document}");
            let about = if words.starts_with("check") { Path::new(other).join("none") } else { told.target.clone() };
            assert_eq!(path_in(error, "file"), about, "{words}");
            continue;
        }
        let file = path_in(&document, "file");
        assert_eq!(told.whole(&file), told.whole(&told.file), "{words}");
        let commit = &document["commit"];
        if commit["how"] == "output" {
            assert_eq!(path_in(commit, "file"), told.whole(Path::new(other)));
        } else if commit["how"] == "in-place" {
            assert_eq!(path_in(commit, "file"), told.whole(&told.file));
            (undo, before) = (Some(path_in(commit, "undo")), there);
        }
    }
    let undo = undo.unwrap();
    assert!(undo.file_name().unwrap().len() <= 255 && undo.is_absolute() && undo.exists());
    for is_done in [false, true] {
        let run = told.run(&["undo".as_ref(), undo.as_os_str(), "--json".as_ref()]);
        let document = run.json();
        assert_eq!((run.code, document["how"] == "already"), (0, is_done), "{run:?}");
        assert_eq!(path_in(&document, "target"), told.whole(&told.file));
        assert_eq!(plain.run(&["undo".as_ref(), plain_undo(&plain, &undo).as_os_str()]).code, 0);
    }
    assert!(fs::read(told.whole(&told.file)).unwrap() == before);
}

/// Creates an undo file of that name beside another target of the same name.
fn plain_undo(plain: &Place, undo: &Path) -> PathBuf {
    plain.whole(&plain.file).with_file_name(undo.file_name().unwrap())
}

/// Returns the only undo file beside the target.
fn beside(place: &Place) -> PathBuf {
    let folder = place.whole(&place.file).parent().unwrap().to_owned();
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_undo = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().contains(".hivewright-undo");
    let found: Vec<PathBuf> = names.filter(is_undo).collect();
    let [only] = &found[..] else { panic!("{found:?}") };
    only.clone()
}

/// Returns a similar name of the same length.
fn like(name: &OsStr) -> OsString {
    let mut bytes = name.as_bytes().to_vec();
    bytes[2] = b'#';
    OsString::from_vec(bytes)
}

#[test]
fn every_verb_takes_a_hive_of_any_name() {
    for name in odd_names() {
        walk(&|| Place::of(&name, &fixture("shapes/setting-set")), &like(&name));
    }
}

#[test]
fn every_verb_takes_a_folder_of_any_name() {
    for name in odd_names() {
        walk(&|| Place::folder(&name), &like(&name));
    }
}

#[test]
fn every_verb_takes_an_image_of_any_name() {
    let disk = Disk::named("gpt").unwrap().read(&home()).unwrap();
    for name in odd_names() {
        walk(&|| Place::of(&name, &disk), &like(&name));
    }
}

#[test]
fn an_undo_file_of_any_name_is_written_and_read() {
    for name in odd_names() {
        let place = Place::of("SYSTEM".as_ref(), &fixture("shapes/setting-set"));
        let (code, document) = place.verb("set 0 TARGET --undo OTHER", &name, true);
        let undo = path_in(&document.unwrap()["commit"], "undo");
        assert_eq!((code, undo), (0, place.whole(Path::new(&name))));
        assert_eq!(place.verb("set 1 TARGET --undo OTHER", &name, true).0, 3, "it is there already");
        assert_eq!(place.verb("undo OTHER", &name, true).0, 0);
        assert_eq!(fs::read(place.whole("SYSTEM".as_ref())).unwrap(), fixture("shapes/setting-set"));
    }
}

/// An undo file beside a name of 255 bytes cannot contain the whole name. The next run finds it all the same.
#[test]
fn the_next_run_finds_what_was_left_beside_any_name() {
    for name in odd_names() {
        let place = Place::of(&name, &fixture("shapes/setting-set"));
        let before = fs::read(place.whole(&place.file)).unwrap();
        assert_eq!(place.verb("set 0 TARGET --in-place", &name, true).0, 0);
        // Without its mark, and with a damaged byte in the first patch, it belongs to an interrupted write.
        let undo = beside(&place);
        let marked = fs::read(&undo).unwrap();
        fs::write(&undo, &marked[..marked.len() - 4096]).unwrap();
        let text = String::from_utf8_lossy(&marked);
        let patch: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        let mut torn = before.clone();
        torn[patch["offset"].as_u64().unwrap() as usize] ^= 0xff;
        fs::write(place.whole(&place.file), &torn).unwrap();
        let run = place.run(&["get".as_ref(), name.as_os_str()]);
        assert!(run.has("unfinished-write"), "{run:?}");
        let (code, document) = place.verb("set 1 TARGET --dry-run", &name, true);
        assert_eq!((code, &document.unwrap()["error"]["code"]), (3, &"unfinished-write".into()));
        assert_eq!(place.verb("set 2 TARGET", &name, true).0, 0);
        assert!(fs::read(place.whole(&place.file)).unwrap() == before, "it was taken back, and nothing was set");
    }
}

#[test]
fn logs_are_found_beside_any_name() {
    for start in [&b"odd\xff"[..], b"new\nline", b"\xfe\n"] {
        let pair = dirty_place::named("new-two-logs");
        let name = OsStr::from_bytes(start);
        let place = Place::of(name, &pair.primary);
        for (log, bytes) in &pair.logs {
            let ending = log.strip_prefix("SYSTEM").unwrap();
            fs::write(place.whole(OsStr::from_bytes(&[start, ending.as_bytes()].concat()).as_ref()), bytes).unwrap();
        }
        let (_, document) = place.verb("get TARGET", name, true);
        let document = document.unwrap();
        assert_eq!(document["hive_state"], "recovered");
        let log = path_in(&document["recovery"]["logs"][0], "name");
        assert_eq!(log.as_os_str().as_bytes(), [start, b".LOG1"].concat());
        let (_, document) = place.verb("check TARGET", name, true);
        let log = path_in(&document.unwrap()["logs"]["logs"][1], "name");
        assert_eq!(log.as_os_str().as_bytes(), [start, b".LOG2"].concat());
        let (code, document) = place.verb("recover TARGET", name, true);
        let log = path_in(&document.unwrap()["recovery"]["logs"][0], "name");
        assert_eq!((code, log.as_os_str().as_bytes()), (0, &[start, b".LOG1"].concat()[..]));
        assert_eq!(fs::read(place.whole(&place.file)).unwrap(), pair.expected.unwrap());
    }
}
