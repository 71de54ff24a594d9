//! The fixture disks, and the reports of the command on each.

mod hostile;
mod refused;
mod written;

use std::fs;
use std::path::{Path, PathBuf};

use hivewright_disk::files::Files;
use hivewright_disk::ntfs::Ntfs;
use hivewright_fixtures::disks::{DISKS, Disk as Fixture};
use hivewright_fixtures::folder::home;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{json, run, sha256};
use crate::command::Run;
use crate::support::memory::Memory;

/// A fixture disk, unpacked to its own folder.
struct Unpacked {
    folder: TempDir,
    name: &'static str,
    before: Vec<u8>,
}

impl Unpacked {
    fn of(name: &'static str) -> Self {
        Self::with(name, bytes_of(name))
    }

    fn with(name: &'static str, before: Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), &before).unwrap();
        Unpacked { folder, name, before }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// Runs a command on it, with further arguments.
    fn run(&self, verb: &[&str], more: &[&str]) -> Run {
        run(self.folder.path(), &[verb, &[self.name], more].concat())
    }

    /// As [`Unpacked::run`]. Returns the JSON document.
    fn json(&self, verb: &[&str], more: &[&str]) -> Value {
        json(&self.run(verb, &[more, &["--json"]].concat()))
    }

    /// Asserts that it is unchanged, without other files beside it.
    fn is_untouched(&self) {
        assert!(self.bytes() == self.before, "{}: it was written to", self.name);
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1, "{}", self.name);
    }
}

pub(crate) fn bytes_of(name: &str) -> Vec<u8> {
    Fixture::named(name).unwrap().read(&home()).unwrap()
}

/// Facts of a disk: the scheme of its table and its sectors; the volume with Windows by the number of its partition,
/// its offset and file system; the folder; the product in SOFTWARE; the number of extents of the hive.
type Fact =
    (&'static str, (&'static str, u64), (u32, u64, &'static str), &'static str, Option<(&'static str, u32)>, u64);

const FACTS: &[Fact] = &[
    ("gpt", ("gpt", 512), (2, 2 << 20, "NTFS"), "\\Windows", Some(("Windows 11 Pro", 22631)), 1),
    ("mbr", ("mbr", 512), (1, 1 << 20, "NTFS"), "\\Windows", Some(("Windows 7 Ultimate", 7601)), 1),
    ("logical", ("mbr", 512), (6, 2 << 20, "NTFS"), "\\Windows", Some(("Windows Vista (TM) Business", 6002)), 1),
    ("gpt-4kn", ("gpt", 4096), (1, 1 << 20, "NTFS"), "\\Windows", Some(("Windows Server 2022 Standard", 20348)), 1),
    ("superfloppy", ("none", 512), (0, 0, "NTFS"), "\\Windows", Some(("Windows 10 Pro", 19045)), 1),
    ("fat32-xp", ("mbr", 512), (1, 63 * 512, "FAT32"), "\\WINDOWS", Some(("Microsoft Windows XP", 2600)), 21),
    ("fragmented", ("mbr", 512), (1, 64 * 512, "NTFS"), "\\Windows", None, 32),
    ("attribute-list", ("mbr", 512), (1, 64 * 512, "NTFS"), "\\Windows", None, 552),
    ("dirty-hive", ("none", 512), (0, 0, "NTFS"), "\\Windows", None, 1),
    ("hibernated", ("none", 512), (0, 0, "NTFS"), "\\Windows", None, 1),
    ("fast-startup", ("none", 512), (0, 0, "NTFS"), "\\Windows", None, 1),
    ("dirty-volume", ("none", 512), (0, 0, "NTFS"), "\\Windows", None, 1),
    ("unclean-journal", ("none", 512), (0, 0, "NTFS"), "\\Windows", None, 1),
    ("compressed", ("none", 512), (0, 0, "NTFS"), "\\Windows", None, 2),
    ("sparse", ("none", 512), (0, 0, "NTFS"), "\\Windows", None, 2),
    ("encrypted", ("none", 512), (0, 0, "NTFS"), "\\Windows", None, 1),
    ("not-valid", ("none", 512), (0, 0, "NTFS"), "\\Windows", None, 1),
    ("resident", ("none", 512), (0, 0, "NTFS"), "\\Windows", None, 0),
];

#[test]
fn info_reports_each_disk() {
    for (name, scheme, volume, root, product, pieces) in FACTS {
        let disk = Unpacked::of(name);
        let info = disk.json(&["info"], &[]);
        assert_eq!((info["scheme"].as_str(), info["sector_size"].as_u64()), (Some(scheme.0), Some(scheme.1)), "{name}");
        assert_eq!(info["warnings"], json!([]), "{name}");
        let with_windows: Vec<&Value> =
            info["volumes"].as_array().unwrap().iter().filter(|v| v["installations"] != json!([])).collect();
        let [found] = with_windows[..] else { panic!("{name}: {info}") };
        let partitions = info["partitions"].as_array().unwrap();
        let place = partitions.iter().find(|p| p["number"] == found["partition"]).unwrap();
        assert_eq!((&found["partition"], &place["offset"]), (&volume.0.into(), &volume.1.into()), "{name}");
        assert_eq!(found["state"]["file_system"], volume.2, "{name}");
        let windows = &found["installations"][0];
        assert_eq!(windows["root"], *root, "{name}");
        assert_eq!(windows["software"]["product"].as_str(), product.map(|(name, _)| name), "{name}");
        assert_eq!(windows["software"]["build"].as_u64(), product.map(|(_, build)| build.into()), "{name}");
        assert_eq!(windows["hives_agree"].as_bool(), product.map(|_| true), "{name}");
        assert_eq!((&windows["hives"][0]["name"], &windows["hives"][0]["extents"]), (&json!("SYSTEM"), &json!(pieces)));
        disk.is_untouched();
        let text = disk.run(&["info"], &[]).out;
        assert!(product.is_none_or(|(name, build)| text.contains(name) && text.contains(&build.to_string())), "{text}");
    }
    assert_eq!(FACTS.len() + 1, DISKS.len(), "two-windows has a test of its own");
}

/// The structure of the volume, which no command prints.
#[test]
fn records_are_where_it_is_hard() {
    let volume = |name| {
        let disk = bytes_of(name);
        disk[64 * 512..][..3 << 20].to_vec()
    };
    let bytes = volume("attribute-list");
    let system =
        Ntfs::open(Memory::new(bytes.clone())).unwrap().open("Windows/System32/config/SYSTEM").unwrap().unwrap();
    // Records in use whose base record is that of the hive.
    let of_hive = |record: &&[u8]| {
        record.starts_with(b"FILE") && record[22] & 1 == 1 && record[32..38] == system.facts().id.to_le_bytes()[..6]
    };
    let more = bytes.chunks(1024).filter(of_hive).count();
    assert!(more >= 2 && system.extents().len() >= 300, "{more} records beside its own");
    let table = Ntfs::open(Memory::new(volume("fragmented"))).unwrap().open("$MFT").unwrap().unwrap();
    assert!(table.extents().len() > 4, "{} pieces", table.extents().len());
    let bytes = bytes_of("gpt-4kn");
    let system = Ntfs::open(Memory::new(bytes[1 << 20..].to_vec())).unwrap();
    assert_eq!((system.geometry().sector, system.geometry().record), (4096, 4096));
}

#[test]
fn get_finds_the_setting() {
    for (name, .., volume, root, _, _) in FACTS {
        let disk = Unpacked::of(name);
        let get = disk.run(&["get", "--json"], &[]);
        let told = json(&get);
        let expected = match *name {
            "encrypted" => Err("file-encrypted"),
            "resident" => Err("length-past-end"),
            "fragmented" => Ok((1, "clean", Value::Null)),
            "dirty-hive" => Ok((0, "recovered", 0.into())),
            _ => Ok((0, "clean", 1.into())),
        };
        match expected {
            Err(code) => assert_eq!((get.code, &told["error"]["code"]), (2, &code.into()), "{name}"),
            Ok((code, state, number)) => {
                let found = (get.code, &told["hive_state"], &told["at_next_boot"]["value"], &told["confirmed"]);
                assert_eq!(found, (code, &state.into(), &number, &true.into()), "{name}: {told}");
                let hive = told["hive"].as_str().unwrap();
                assert_eq!(hive, format!("{root}\\System32\\config\\SYSTEM"), "{name}");
                assert_eq!(told["partition"], volume.0, "{name}");
                assert!(told["bytes_read"].as_u64().unwrap() < 1 << 20, "{name}: {}", told["bytes_read"]);
            }
        }
        disk.is_untouched();
    }
    let dirty = Unpacked::of("dirty-hive").json(&["get"], &[]);
    assert_eq!(dirty["primary_alone"]["at_next_boot"]["value"], 1, "{dirty}");
}

#[test]
fn no_verb_that_reads_writes() {
    for fixture in DISKS {
        let disk = Unpacked::of(fixture.name);
        reads_only(disk.folder.path(), fixture.name);
        disk.is_untouched();
    }
}

/// Runs every reading command and every dry run. Returns the exit codes.
pub(super) fn reads_only(folder: &Path, name: &str) -> Vec<i32> {
    let sum = sha256(&folder.join(name));
    let verbs: [&[&str]; 8] = [
        &["get"],
        &["get", "--json"],
        &["check"],
        &["check", "--logs"],
        &["info"],
        &["info", "--json"],
        &["set", "2", "--dry-run"],
        &["recover", "--dry-run"],
    ];
    let codes = verbs.map(|verb| {
        let ran = run(folder, &[verb, &[name]].concat());
        assert!((0..=3).contains(&ran.code), "{name}: {verb:?}: {ran:?}");
        assert_eq!(sha256(&folder.join(name)), sum, "{name}: {verb:?} wrote");
        ran.code
    });
    codes.to_vec()
}
