//! The dependency law of the house: which room may name which, and which door has one key.
//!
//! It reads the sources as text, so a name in a comment counts too: a room does not even talk about what it must not
//! know.

use std::fs;
use std::path::{Path, PathBuf};

/// Room, and the rooms that it may name. `error` may be named by all.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("storage", &[]),
    ("files", &["storage"]),
    ("ntfs", &["files", "storage"]),
    ("fat", &["files", "storage"]),
    ("partition", &["storage"]),
    ("container", &["storage"]),
    ("regf", &[]),
    ("hive", &["regf"]),
    ("windows", &["hive", "regf"]),
    ("session", &["storage", "container", "files", "ntfs", "fat", "partition", "regf", "hive", "windows"]),
    ("fleet", &["session", "storage", "container", "windows", "files", "partition", "hive", "regf"]),
    ("cli", &["fleet", "session", "container", "storage", "files", "partition", "windows", "hive", "regf"]),
];

/// What only some files may say, and those files (or folders, by prefix).
const DOORS: &[(&str, &[&str])] = &[
    ("nt_hive", &["hive/witness.rs"]),
    ("memmap2", &["storage/mapped.rs"]),
    ("unsafe fn", &["container/qcow2/below.rs"]),
    ("imago::", &["container/qcow2"]),
    ("getrandom", &["container/random.rs"]),
    ("unsafe {", &["storage/mapped.rs", "container/nbd/child.rs"]),
    ("std::fs", &["storage", "fat/against_tools.rs", "partition/against_tools.rs", "container/nbd/against_qemu.rs"]),
    ("tempfile", &["storage", "fat/against_tools.rs", "partition/against_tools.rs", "container/nbd/against_qemu.rs"]),
    ("nix::fcntl", &["storage/ranges.rs"]),
    ("rustix", &["storage", "container/nbd/child.rs"]),
    ("globset", &["fleet/find/pattern.rs", "fleet/policy"]),
    ("toml::", &["fleet/policy"]),
    ("catch_unwind", &["fleet/pool.rs", "hive/witness.rs"]),
    ("indicatif", &["cli/audit"]),
    ("use csv::", &["fleet/report/csv.rs"]),
    ("schemars", &["fleet/record.rs", "fleet/record/parts.rs", "fleet/report/schema.rs"]),
    ("terminal_size", &["cli/audit/render/table.rs"]),
    ("ctrlc", &["cli/stop.rs"]),
    ("signal_hook", &["cli/stop.rs"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli"]),
    (".write_at(", &["storage", "container", "files", "fat/against_tools.rs", "session/commit", "session/undo"]),
];

#[test]
fn rooms_name_only_what_they_may() {
    let mut seen = 0;
    for (path, text) in sources() {
        let Some(room) = room(&path) else { continue };
        let (_, allowed) = MAY_NAME
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("{path} is in a room that the law does not know: add {room} to MAY_NAME"));
        for named in named_rooms(&text) {
            seen += 1;
            let fine = named == room || named == "error" || allowed.contains(&named.as_str());
            assert!(fine, "{path} names the room {named}, which {room} must not know");
        }
    }
    assert!(seen > 50, "the law looked at {seen} names only: has the layout changed?");
}

#[test]
fn each_door_has_one_key() {
    for (word, homes) in DOORS {
        let mut used = false;
        for (path, text) in sources() {
            if code(&text).any(|line| line.contains(word)) {
                let home = homes.iter().any(|home| path.starts_with(home));
                assert!(home, "{path} says {word:?}, which belongs to {homes:?}");
                used = true;
            }
        }
        assert!(used, "nobody says {word:?}: is the door still there?");
    }
}

#[test]
fn files_stay_rooms() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{path} has {lines} lines: make it two rooms");
    }
}

/// Path below `src` and text of every source file.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// The room of a file; the hall and the binary's entrance have none, `design` is prose.
fn room(path: &str) -> Option<&str> {
    let first = path.split(['/', '.']).next()?;
    (!matches!(first, "lib" | "main" | "design")).then_some(first)
}

/// Lines that are code and no unit tests, which stand at the end of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    code.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Names of rooms in paths such as `crate::hive::open`, `crate::{hive, regf}` or `hivewright::hive`.
fn named_rooms(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in code(text) {
        for start in ["crate::", "hivewright::"].iter().flat_map(|root| line.match_indices(root)) {
            let rest = &line[start.0 + start.1.len()..];
            let list = rest.strip_prefix('{').and_then(|r| r.split('}').next()).unwrap_or(rest);
            let parts = if rest.starts_with('{') { list.split(',').collect() } else { vec![list] };
            for part in parts {
                let word: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if MAY_NAME.iter().any(|(room, _)| *room == word) {
                    names.push(word);
                }
            }
        }
    }
    names
}
