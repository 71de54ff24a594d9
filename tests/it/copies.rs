//! Writable copies of fixtures.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Run, fixtures, hivewright_in};

/// A hive SYSTEM in its own folder, with an old time of modification, so that every write is detected.
pub(crate) struct Copied {
    pub(crate) folder: TempDir,
    pub(crate) hive: PathBuf,
    pub(crate) before: Vec<u8>,
}

/// Whether the system can replace a hive by an equivalent new file.
pub(crate) const REPLACES: bool = cfg!(target_os = "linux");

/// Returns the time of modification of every copy.
pub(crate) fn long_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// Returns the bytes of a fixture, such as `windows/win10`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    fs::read(fixtures().join(name).join("SYSTEM")).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Returns the names of the fixtures in these folders, such as `windows/win10`.
pub(crate) fn fixtures_in(folders: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(fixtures().join(folder)).unwrap() {
            names.push(format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    names.sort();
    names
}

impl Copied {
    /// Copies a fixture, such as `windows/win10`.
    pub(crate) fn of(name: &str) -> Self {
        Self::with(fixture(name))
    }

    /// Creates a copy with these bytes.
    pub(crate) fn with(before: Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hive = folder.path().join("SYSTEM");
        fs::write(&hive, &before).unwrap();
        File::options().write(true).open(&hive).unwrap().set_modified(long_ago()).unwrap();
        Copied { folder, hive, before }
    }

    /// Runs the command in the folder.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        hivewright_in(self.folder.path(), args)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.hive).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Asserts that bytes and time of modification are unchanged, and there are no other files.
    pub(crate) fn assert_untouched(&self, what: &str) {
        self.assert_kept(what);
        assert_eq!(self.names(), ["SYSTEM"], "{what}");
    }

    /// Asserts that bytes and time of modification are unchanged.
    pub(crate) fn assert_kept(&self, what: &str) {
        assert!(self.bytes() == self.before, "{what}: the bytes changed");
        assert_eq!(fs::metadata(&self.hive).unwrap().modified().unwrap(), long_ago(), "{what}: it was written to");
    }

    /// Returns the names in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns the number of the setting in a control set of `get --json`.
    pub(crate) fn number_in(&self, set: &str) -> Option<u64> {
        let json = self.run(["get", "--json", "SYSTEM"]).json();
        let sets = json["control_sets"].as_array().unwrap();
        let set = sets.iter().find(|s| s["name"] == set).unwrap_or_else(|| panic!("no {set}: {json}"));
        let service = set["services"].as_array().unwrap().iter().find(|s| s["counts"] == true).unwrap();
        service["key_value"]["value"].as_u64()
    }
}

impl Run {
    /// Parses standard output as one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Asserts success, without output on standard error.
    pub(crate) fn done(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self
    }

    /// Asserts failure with this exit code: nothing on standard output, one error with this text on standard error.
    pub(crate) fn failed(self, code: i32, text: &str) -> Self {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert!(self.err.starts_with("hivewright: ") && self.err.contains(text), "not \"{text}\": {}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// Asserts failure with `--json`: one error document on standard output, text on standard error.
    pub(crate) fn failed_as_json(self, exit: i32, code: &str) -> Self {
        assert_eq!(self.code, exit, "{self:?}");
        let error = &self.json()["error"];
        assert_eq!((error["exit"].as_i64(), error["code"].as_str()), (Some(exit.into()), Some(code)), "{self:?}");
        let message = error["message"].as_str().unwrap();
        assert!(self.err.contains(message), "{self:?}");
        self
    }
}
