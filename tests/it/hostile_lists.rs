//! Expensive lists: a few bytes that reference the same cells repeatedly. Neither time nor memory grows with the
//! references.

use std::process::Command;

use hivewright::internals::settings::nat_t::{self};
use hivewright_fixtures::bytes::{fix_checksum, payload, put_u32};
use hivewright_fixtures::{Offsets, Release, SystemHive};
use hivewright_hive::check::check;
use hivewright_hive::{Hive, Opened, witness};

use crate::command;
use crate::hostile::{Bounded, quiet_witness};

const POLICY_AGENT: &str = "ControlSet001\\Services\\PolicyAgent";
/// The most elements of a subkeys list.
const FULL: usize = 65535;
/// Number of elements of a values list of 1 MiB.
const MANY: usize = 1 << 18;
/// Address space of a process without the hive, in KiB: the command, its libraries, its stack.
const PROCESS: usize = 48 << 10;

/// A hive of Windows 10 to which cells with any content can be added.
struct Crafted {
    bytes: Vec<u8>,
    offsets: Offsets,
}

impl Crafted {
    fn new() -> Self {
        let spaced = format!("{} ", nat_t::NAME);
        let big = vec![7; 1 << 20];
        let describe =
            |k: hivewright_fixtures::KeySpec| k.dword(nat_t::NAME, 1).dword(spaced.as_str(), 2).binary("big", &big);
        let built = SystemHive::new(Release::Win10).spec().at(POLICY_AGENT, describe).build();
        Crafted { bytes: built.bytes, offsets: built.offsets }
    }

    /// Adds a hive bin with one cell that contains `data`. Returns its cell offset.
    fn cell(&mut self, data: &[u8]) -> u32 {
        let at = self.bytes.len() as u32 - 4096;
        let size = (data.len() + 32 + 4).next_multiple_of(4096);
        self.bytes.extend(b"hbin");
        self.bytes.extend(at.to_le_bytes());
        self.bytes.extend((size as u32).to_le_bytes());
        self.bytes.extend([0; 20]);
        self.bytes.extend((32 - size as i32).to_le_bytes());
        self.bytes.extend(data);
        self.bytes.resize(4096 + at as usize + size, 0);
        let length = self.bytes.len() as u32 - 4096;
        put_u32(&mut self.bytes, 40, length);
        at + 32
    }

    /// Adds a subkeys list with equal elements.
    fn list(&mut self, kind: &[u8; 2], element: u32) -> u32 {
        let elements = std::iter::repeat_n(element.to_le_bytes(), FULL).flatten();
        let data: Vec<u8> = kind.iter().copied().chain((FULL as u16).to_le_bytes()).chain(elements).collect();
        self.cell(&data)
    }

    /// Writes a count and its list to a key node: subkeys at 20 and 28, values at 36 and 40.
    fn link(mut self, path: &str, fields: [usize; 2], count: usize, list: u32) -> Vec<u8> {
        let key = payload(self.offsets.key(path).nk);
        put_u32(&mut self.bytes, key + fields[0], count as u32);
        put_u32(&mut self.bytes, key + fields[1], list);
        fix_checksum(&mut self.bytes);
        self.bytes
    }

    fn subkeys(mut self, path: &str, kinds: &[&[u8; 2]], of: &str) -> Vec<u8> {
        let key = self.offsets.key(of).nk;
        let list = kinds.iter().fold(key, |below, kind| self.list(kind, below));
        self.link(path, [20, 28], FULL, list)
    }

    fn values(mut self, elements: impl Iterator<Item = u32>) -> Vec<u8> {
        let data: Vec<u8> = elements.take(MANY).flat_map(u32::to_le_bytes).collect();
        let list = self.cell(&data);
        self.link(POLICY_AGENT, [36, 40], MANY, list)
    }

    /// Creates a values list that references one value repeatedly, in a hive with room for as many values.
    fn value_again(mut self, name: &str) -> Vec<u8> {
        self.cell(&vec![0; 5 << 20]);
        let value = self.offsets.value(POLICY_AGENT, name).vk;
        self.values(std::iter::repeat(value))
    }
}

fn hives() -> Vec<(&'static str, Vec<u8>)> {
    let spaced = format!("{} ", nat_t::NAME);
    let many_sets = || {
        let mut hive = Crafted::new();
        let key = hive.offsets.cell(hive.offsets.key("ControlSet001").nk);
        let original = hive.bytes[payload(key.offset)..][..key.size as usize - 4].to_vec();
        let first = hive.bytes.len() as u32 - 4096 + 32;
        let mut cells = Vec::new();
        for number in 0..20_000 {
            let mut key = original.clone();
            key[86..89].copy_from_slice(format!("{:03}", number % 1000).as_bytes());
            cells.extend([&(-(key.len() as i32) - 4).to_le_bytes()[..], &key].concat());
        }
        hive.cell(&cells[4..]);
        put_u32(&mut hive.bytes, payload(first) - 4, (-(key.size as i32)) as u32);
        let nodes: Vec<u32> = (0..20_000).map(|i| first + i * key.size).collect();
        let head = b"li".iter().copied().chain((nodes.len() as u16).to_le_bytes());
        let data: Vec<u8> = head.chain(nodes.iter().flat_map(|node| node.to_le_bytes())).collect();
        let list = hive.cell(&data);
        hive.link("", [20, 28], nodes.len(), list)
    };
    vec![
        ("a key listed 65535 times", Crafted::new().subkeys("", &[b"li"], "ControlSet001")),
        ("a leaf listed 65535 times", Crafted::new().subkeys("", &[b"li", b"ri"], "Select")),
        ("such a list of services", Crafted::new().subkeys("ControlSet001\\Services", &[b"li", b"ri"], "Select")),
        ("a root below a root", Crafted::new().subkeys("", &[b"li", b"ri", b"ri"], "Select")),
        ("values where none are", Crafted::new().values((0..).map(|i| 0x4000_0000 + 8 * i))),
        ("more values than there is room for", {
            let hive = Crafted::new();
            let value = hive.offsets.value(POLICY_AGENT, &spaced).vk;
            hive.values(std::iter::repeat(value))
        }),
        ("a lookalike over and over", Crafted::new().value_again(&spaced)),
        ("the rule over and over", Crafted::new().value_again(nat_t::NAME)),
        ("a large value over and over", Crafted::new().value_again("big")),
        ("twenty thousand control sets with the same services", many_sets()),
    ]
}

#[test]
fn reports_are_bounded_on_expensive_lists() {
    quiet_witness();
    for (name, bytes) in hives() {
        assert!(!check(&bytes).is_consistent(), "{name}: the check sees it");
        let bounded = Bounded::new(&bytes);
        let opened = Hive::open(&bounded).unwrap();
        let Ok(report) = nat_t::report(opened.primary_alone(), None) else { continue };
        let (sets, findings) = (report.control_sets.len(), report.findings.len());
        println!("{name}: {sets} control sets, {findings} findings");
        assert!(sets <= 101 && findings <= 500, "{name}: {sets} control sets, {findings} findings");
        for service in report.control_sets.iter().take(2).flat_map(|set| &set.services) {
            let _ = witness::read(&bytes, &service.path, nat_t::NAME);
        }
        let Ok(Opened::Clean(_)) = Hive::open(&bytes) else { panic!("{name} is clean") };
    }
}

/// Runs the commands with a limit of the address space: that of the process and four times the input. The limit on
/// processor time only makes a hang a failure.
// Windows has no limit of the address space.
#[cfg(target_os = "linux")]
#[test]
fn commands_stay_within_four_times_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("SYSTEM");
    for (name, bytes) in hives() {
        std::fs::write(&file, &bytes).unwrap();
        let limit = bytes.len() / 1024 * 4 + PROCESS;
        for args in [&["get"][..], &["get", "--json"], &["check"], &["set", "2", "--dry-run"]] {
            let mut shell = Command::new("sh");
            let script = format!("ulimit -v {limit}; ulimit -t 30; exec \"$0\" \"$@\"");
            shell.args(["-c", &script, env!("CARGO_BIN_EXE_hivewright")]).args(args).arg(&file);
            let output = shell.env("NO_COLOR", "1").output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let said: String = said.chars().take(300).collect();
            let code = output.status.code();
            assert!(matches!(code, Some(0..=3)), "{name}: {args:?} in {limit} KiB: {:?}: {said}", output.status);
            if args[0] == "set" {
                assert!(matches!(code, Some(2 | 3)), "{name}: {args:?}: {said}");
            }
        }
    }
    let run = command::hivewright(["get", "windows/win10/SYSTEM"]);
    assert_eq!(run.code, 1, "{run:?}");
}
