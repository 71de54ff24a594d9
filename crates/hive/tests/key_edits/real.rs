//! Edits of real hives, and a comparison with other parsers.

use std::io::Write;
use std::path::{Path as File, PathBuf};
use std::process::{Command, Stdio};

use hivewright_fixtures::Minor;
use hivewright_hive::check::{Report, Severity, check};
use hivewright_hive::{CreateOptions, Data, Hive, KeyPath};

use super::lists::many;
use super::model::{Contents, Op, Path, apply_operation, contents, model, readable_contents, units};
use super::random::{descriptors, hive, names};
use super::{STEPS, assert_no_findings, edit, is_reverted, prefix};

fn corpus() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    std::env::var_os("HIVEWRIGHT_CORPUS").map_or_else(beside, PathBuf::from)
}

fn oracle() -> Option<PathBuf> {
    let beside = || corpus().join("../tools/hive_oracle.py");
    let path = std::env::var_os("HIVEWRIGHT_ORACLE").map_or_else(beside, PathBuf::from);
    path.is_file().then_some(path)
}

/// Returns a hive of the corpus; `None` if it is missing.
fn real(name: &str) -> Option<Vec<u8>> {
    let stored = corpus().join(name);
    if stored.extension().is_none_or(|extension| extension != "zst") {
        let bytes = std::fs::read(&stored).ok();
        if bytes.is_none() {
            hivewright_fixtures::skip::missing(stored.display());
        }
        return bytes;
    }
    let unpacked = Command::new("zstd").arg("-dcq").arg(&stored).output();
    let bytes = unpacked.ok().filter(|_| stored.is_file()).map(|output| output.stdout);
    if bytes.is_none() {
        hivewright_fixtures::skip::missing(format_args!("{}, or the command zstd", stored.display()));
    }
    bytes
}

fn assert_no_new_findings(name: &str, before: &Report, after: &Report) {
    for (code, count) in after.counts.iter().filter(|(code, _)| code.severity() > Severity::Note) {
        assert!(count <= before.counts.of(code), "{name}: {code}");
    }
}

/// Deletes a tree and creates another in real hives of four versions of Windows. The check has no new findings.
#[test]
fn trees_of_real_hives_are_created_and_deleted() {
    for name in ["nt40_server", "xp_sp3_ietest", "win7_sp1_x86", "win10_21h2"] {
        let Some(bytes) = real(&format!("system/{name}/SYSTEM.zst")) else { continue };
        let mut editor = edit(&bytes, 1);
        assert!(editor.delete_key("ControlSet001\\Enum").unwrap(), "{name}");
        for key in many(1200) {
            editor.create_key(&format!("ControlSet001\\Services\\{key}")).unwrap();
            editor.set_value(&format!("ControlSet001\\Services\\{key}"), "n", &Data::sz(&key)).unwrap();
        }
        for key in many(1200).iter().step_by(2) {
            assert!(editor.delete_key(&format!("ControlSet001\\Services\\{key}")).unwrap());
        }
        let edited = editor.finish().unwrap();
        let before = check(&bytes);
        assert_no_new_findings(name, &before, &check(&edited.bytes));
        for step in STEPS {
            let report = check(&prefix(&bytes, &edited.patches, step));
            assert!(report.errors().count() <= before.errors().count(), "{name} after {step:?}");
        }
        is_reverted(&bytes, &edited);
    }
}

/// Reproducible random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// Returns the path of an existing key, or sometimes of a new key below it.
    fn path(&mut self, keys: &[Path]) -> Path {
        let mut path = self.of(keys);
        if path.is_empty() || self.below(3) == 0 {
            path.push(self.of(&names()));
        }
        path
    }

    fn op(&mut self, keys: &[Path], contents: &Contents) -> Op {
        let path = self.path(keys);
        let values = contents.get(&path).map(|key| key.values.clone()).unwrap_or_default();
        let value = match values.is_empty() || self.below(2) == 0 {
            true => self.of(&names()),
            false => self.of(&values).0,
        };
        match self.below(12) {
            0 => Op::Create(path),
            1 => Op::Delete(path),
            2 => Op::Rename(path, self.of(&names())),
            // To a path without links.
            3 => Op::Copy(path, vec![units("copies"), self.of(&names())]),
            4 => Op::Unset(path, value),
            5 => Op::Clear(path),
            6 => Op::Secure(path, self.of(&descriptors())),
            7 => Op::Class(path, self.below(40)),
            _ => {
                let largest = self.of(&[4, 40, 400, 4200, 17_000]);
                Op::Set(path, value, self.below(12) as u32, self.below(largest))
            }
        }
    }
}

/// Applies random operations to real hives of every version and origin. The contents match the model after each, and
/// the check has no new findings.
#[test]
fn random_edits_of_real_hives_match_the_model() {
    let hives = [
        "edge/hivex/special",
        "edge/hivex/large.zst",
        "edge/offreg/OffregLib_ExampleHive",
        "edge/nt-hive/testhive",
        "edge/bcd/BCD-Template_win10",
        "edge/ez/SAM_RootValue",
        "edge/artemis/NTUSER.DAT",
        "edge/qthivex/BBI",
        "edge/python-registry/REORGANIZED_VALUES_TESTS",
        "edge/yarp/ManySubkeysHive.zst",
        "dirty/dirt_yarp/RecoveredHive_Windows7.zst",
        "system/nt40_server/SYSTEM.zst",
        "system/xp_sp3_regsave/SYSTEM.zst",
    ];
    let each = super::cases(8);
    for (number, name) in hives.into_iter().enumerate() {
        let Some(mut bytes) = real(name) else { continue };
        let mut random = Random(0x9e37_79b9 + number as u64);
        let mut expected = readable_contents(&bytes).unwrap();
        let mut before = check(&bytes);
        for tick in 0..each {
            let keys: Vec<Path> = expected.keys().cloned().collect();
            let op = random.op(&keys, &expected);
            let mut editor = edit(&bytes, u64::from(tick));
            let done = apply_operation(&mut editor, &op).map_err(|error| error.code().as_str());
            assert_eq!(done, model(&mut expected, &op), "{name}: {op:?}");
            let edited = editor.finish().unwrap();
            let after = check(&edited.bytes);
            assert_no_new_findings(name, &before, &after);
            is_reverted(&bytes, &edited);
            assert!(contents(&edited.bytes) == expected, "{name}: {op:?}");
            (bytes, before) = (edited.bytes, after);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edited");
        std::fs::write(&file, &bytes).unwrap();
        if before.worst() <= Some(Severity::Note) {
            the_oracle_agrees(&file);
        }
    }
}

fn the_oracle_agrees(file: &File) {
    match oracle() {
        Some(oracle) => {
            let output = Command::new("python3").arg(oracle).arg("check").arg(file).output();
            let Ok(output) = output else { return hivewright_fixtures::skip::missing("python3") };
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        None => hivewright_fixtures::skip::missing("the oracle beside the corpus"),
    }
}

/// The interpreter of a virtual environment of Python.
const PYTHON: &str = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };

/// Returns the output of a command; `None` if it is not installed.
fn printed(command: &mut Command, input: &[u8]) -> Option<String> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = spawned else {
        hivewright_fixtures::skip::missing(format_args!("{}", command.get_program().to_string_lossy()));
        return None;
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Compares the keys of an edited hive as nt-hive, the oracle and the installed ones of hivexsh, reglookup, regipy and
/// dissect.regf read them.
#[test]
fn other_parsers_agree() {
    for mut bytes in [hive(Minor::V5), Hive::create(5, &CreateOptions::default()).unwrap().into_bytes()] {
        let mut editor = edit(&bytes, 1);
        for name in many(1500) {
            editor.create_key(&format!("service\\new\\{name}")).unwrap();
            editor.set_value(&format!("service\\new\\{name}"), "n", &Data::sz(&name)).unwrap();
        }
        for name in many(1500).iter().step_by(3) {
            editor.delete_key(&format!("service\\new\\{name}")).unwrap();
        }
        editor.rename_key("service\\new\\key 0001", "changed").unwrap();
        editor.copy_key("service\\new", "service\\copy").unwrap();
        editor.set_security("service\\copy", &descriptors()[1]).unwrap();
        bytes = editor.finish().unwrap().bytes;
        assert_no_findings(&bytes);
        let paths = KeyPath::from(r"service\copy");
        let opened = Hive::open(&bytes[..]).unwrap().clean().unwrap();
        let subkeys = opened.key(&paths).unwrap().unwrap().subkeys().unwrap();
        let mut names: Vec<String> = subkeys.map(|key| key.unwrap().name().to_string()).collect();
        assert_eq!(names.len(), 1000);

        let witness = nt_hive::Hive::new(&bytes[..]).unwrap();
        let root = witness.root_key_node().unwrap();
        for name in &names {
            let key = root.subpath(&format!("service\\copy\\{name}")).unwrap().unwrap();
            let text = key.value("n").unwrap().unwrap().string_data().unwrap();
            assert_eq!(text, if name == "changed" { "key 0001" } else { name });
        }
        names.sort();

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edited");
        std::fs::write(&file, &bytes).unwrap();
        the_oracle_agrees(&file);
        let sorted = |text: String| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        if let Some(text) = printed(Command::new("hivexsh").arg(&file), b"cd \\service\\copy\nls\n") {
            assert_eq!(sorted(text), names);
        }
        if let Some(text) =
            printed(Command::new("reglookup").args(["-H", "-t", "SZ", "-p", "/service/copy"]).arg(&file), b"")
        {
            assert_eq!(text.lines().filter(|line| line.contains("/n,SZ,")).count(), 1000);
        }
        let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/judges").join(PYTHON);
        for script in [REGIPY, DISSECT] {
            if let Some(text) = printed(Command::new(&python).args(["-c", script]).arg(&file), b"") {
                assert_eq!(sorted(text), names);
            }
        }
    }
}

const REGIPY: &str = r"
import sys
from regipy.registry import RegistryHive
key = RegistryHive(sys.argv[1]).get_key('\\service\\copy')
for subkey in key.iter_subkeys():
    print(subkey.name)
";

const DISSECT: &str = r"
import sys
from dissect.regf import regf
with open(sys.argv[1], 'rb') as file:
    for subkey in regf.RegistryHive(file).open('service\\copy').subkeys():
        print(subkey.name)
";
