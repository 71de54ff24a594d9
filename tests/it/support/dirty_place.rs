//! A folder with one of the dirty fixtures.

use std::fs;
use std::path::{Path, PathBuf};

use hivewright_fixtures::dirty::{DIRTY, Pair};
use hivewright_hive::recover::{Log, highest_sequence};
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Run, hivewright_in};

pub(crate) struct DirtyPlace {
    pub(crate) name: String,
    pub(crate) primary: Vec<u8>,
    /// Files by name.
    pub(crate) logs: Vec<(String, Vec<u8>)>,
    pub(crate) expected: Option<Vec<u8>>,
    folder: TempDir,
}

/// Returns all fixtures, each in its own folder.
pub(crate) fn all() -> impl Iterator<Item = DirtyPlace> {
    DIRTY.iter().map(|dirty| DirtyPlace::of(dirty.name, (dirty.make)()))
}

/// Returns the fixtures that are dirty and recoverable.
pub(crate) fn recoverable() -> impl Iterator<Item = DirtyPlace> {
    all().filter(|place| place.expected.is_some() && !place.is_clean())
}

pub(crate) fn named(name: &str) -> DirtyPlace {
    all().find(|place| place.name == name).unwrap()
}

impl DirtyPlace {
    fn of(name: &str, pair: Pair) -> Self {
        let logs = pair.logs.into_iter().map(|(ending, bytes)| (format!("SYSTEM.{ending}"), bytes)).collect();
        Self::new(name, pair.primary, logs, pair.expected)
    }

    pub(crate) fn new(
        name: &str,
        primary: Vec<u8>,
        logs: Vec<(String, Vec<u8>)>,
        expected: Option<Vec<u8>>,
    ) -> DirtyPlace {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("SYSTEM"), &primary).unwrap();
        for (name, bytes) in &logs {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        DirtyPlace { name: name.to_owned(), primary, logs, expected, folder }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.primary[4..8] == self.primary[8..12]
    }

    /// Returns whether its base block is valid.
    pub(crate) fn has_head(&self) -> bool {
        !self.name.ends_with("bad-base")
    }

    pub(crate) fn is_old_format(&self) -> bool {
        self.name.starts_with("old")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{}: {name}: {e}", self.name))
    }

    pub(crate) fn hive(&self) -> Vec<u8> {
        self.read("SYSTEM")
    }

    /// Returns the names of all files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn highest(&self) -> Option<u32> {
        let logs: Vec<Log<'_>> = self.logs.iter().map(|(name, bytes)| Log { name, bytes }).collect();
        highest_sequence(&logs)
    }

    /// Runs the command in the folder.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        hivewright_in(self.folder(), args)
    }

    /// Runs the command with `--json`, and expects this exit code.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let run = self.run(&args);
        assert_eq!(run.code, code, "{}: {args:?}: {run:?}", self.name);
        serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{}: {e}: {run:?}", self.name))
    }

    /// Asserts that no file is changed or added.
    pub(crate) fn is_untouched(&self) {
        assert!(self.hive() == self.primary, "{}: the hive changed", self.name);
        self.logs_are_untouched();
        let mut names: Vec<String> = self.logs.iter().map(|(name, _)| name.clone()).collect();
        names.push("SYSTEM".to_owned());
        names.sort();
        assert_eq!(self.names(), names, "{}", self.name);
    }

    pub(crate) fn logs_are_untouched(&self) {
        for (name, bytes) in &self.logs {
            assert!(self.read(name) == *bytes, "{}: {name} changed", self.name);
        }
    }
}
