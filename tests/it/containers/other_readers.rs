//! Chains of images in independent readers: QEMU has no differencing VHD, VHDX and VDI, and our makers and readers must
//! not share an error.

use std::fs;
use std::process::Command;

use super::fixtures::{Unpacked, raw, raw_disk};
use super::{assert_same, open};
use crate::command::hivewright_in;
use crate::judges::python_with;
use crate::support::hex::sha256;

const MIB: usize = 1 << 20;

/// Reads the disk of a chain, whose files are given from the top down, and prints the hash of every MiB.
const DRIVER: &str = r#"
import hashlib, sys
from pathlib import Path
reader, size, names = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
def each(make):
    files = [make(name) for name in names]
    for child, parent in zip(files, files[1:]):
        child.set_parent(parent)
    return files[0], files
def opened(file, name):
    file.open(name)
    return file
def extents(handle, name):
    handle.open(name)
    handle.open_extent_data_files()
    return handle
if reader == "pyvhdi":
    import pyvhdi
    disk, kept = each(lambda name: opened(pyvhdi.file(), name))
elif reader == "pyvmdk":
    import pyvmdk
    disk, kept = each(lambda name: extents(pyvmdk.handle(), name))
elif reader == "dissect.hypervisor.disk.vhdx":
    from dissect.hypervisor.disk.vhdx import VHDX
    disk = VHDX(Path(names[0]))
elif reader == "dissect.hypervisor.disk.vmdk":
    from dissect.hypervisor.disk.vmdk import VMDK
    disk = VMDK(Path(names[0]))
else:
    from dissect.hypervisor.disk.vdi import VDI
    disk = None
    for name in reversed(names):
        disk = VDI(Path(name), disk).open()
for at in range(0, size, 1 << 20):
    disk.seek(at)
    print(hashlib.sha256(disk.read(min(1 << 20, size - at))).hexdigest())
"#;

/// A fixture, its files from the top down, and the readers of such chains.
type Chain = (&'static str, &'static [&'static str], &'static [&'static str]);

const CHAINS: [Chain; 6] = [
    // dissect.hypervisor ignores the parent of a differencing VHD.
    ("vhd-differencing", &["top.avhd", "middle.avhd", "base.vhd"], &["pyvhdi"]),
    ("vhdx-differencing", &["top.avhdx", "middle.avhdx", "base.vhdx"], &["pyvhdi", "dissect.hypervisor.disk.vhdx"]),
    ("vdi-differencing", &["top.vdi", "middle.vdi", "base.vdi"], &["dissect.hypervisor.disk.vdi"]),
    ("vmdk-delta", &["top.vmdk", "base.vmdk"], &["pyvmdk", "dissect.hypervisor.disk.vmdk"]),
    ("vmdk-esx-delta", &["top.vmdk", "middle.vmdk", "base.vmdk"], &["pyvmdk", "dissect.hypervisor.disk.vmdk"]),
    ("vmdk-sesparse", &["top.vmdk", "middle.vmdk", "base.vmdk"], &["dissect.hypervisor.disk.vmdk"]),
];

/// Compares the chain in other readers with the disk `expected`. Returns the number of readers.
fn judge(test: &str, unpacked: &Unpacked, (name, files, readers): Chain, expected: &[u8]) -> usize {
    let mut judged = 0;
    for reader in readers {
        let Some(python) = python_with(test, reader) else { continue };
        let mut command = Command::new(python);
        command.args(["-B", "-c", DRIVER, reader, &expected.len().to_string()]).args(files);
        let out = command.current_dir(unpacked.folder.path()).output().unwrap();
        assert!(out.status.success(), "{name}: {reader}: {}", String::from_utf8_lossy(&out.stderr));
        let told = String::from_utf8(out.stdout).unwrap();
        let told: Vec<&str> = told.lines().collect();
        assert_eq!(told.len(), expected.len().div_ceil(MIB), "{name}: {reader}");
        for (i, (told, bytes)) in told.iter().zip(expected.chunks(MIB)).enumerate() {
            // libvhdi (20260901) reads the parent for a block that is defined to be zeros ([MS-VHDX] 2.5.1.1, state 2).
            let is_excused = (name, *reader, i) == ("vhdx-differencing", "pyvhdi", 1);
            assert!(is_excused || *told == sha256(bytes), "{name}: {reader} sees other bytes in MiB {i}");
        }
        judged += 1;
    }
    judged
}

#[test]
fn chains_are_the_same_disk_to_others() {
    let (test, expected, folder) = ("chains_are_the_same_disk_to_others", raw(), raw_disk());
    let mut judged = 0;
    for chain in CHAINS {
        let unpacked = Unpacked::named(chain.0);
        let (image, _) = open(&unpacked.path()).unwrap();
        assert_same(&image, &folder.path().join("disk.raw"));
        let depth = std::iter::successors(Some(&image.about), |about| about.below.as_deref()).count();
        assert_eq!(depth, chain.1.len(), "{}", chain.0);
        judged += judge(test, &unpacked, chain, &expected);
    }
    println!("{judged} chains read by others");
}

#[test]
fn others_read_the_value_set_in_the_top() {
    let (test, folder) = ("others_read_the_value_set_in_the_top", raw_disk());
    let run = hivewright_in(folder.path(), ["set", "2", "disk.raw", "--keep-timestamps"]);
    assert_eq!(run.code, 0, "{run:?}");
    let edited = fs::read(folder.path().join("disk.raw")).unwrap();
    assert!(edited != raw());
    let mut judged = 0;
    for chain in CHAINS.into_iter().filter(|chain| chain.0 != "vmdk-sesparse") {
        let unpacked = Unpacked::named(chain.0);
        let before = unpacked.hashes();
        let run = unpacked.run(&["set", "2", "IMAGE", "--keep-timestamps", "--undo", "undo"]);
        assert_eq!(run.code, 0, "{}: {run:?}", chain.0);
        let after = unpacked.hashes();
        let changed: Vec<&String> = before.keys().filter(|file| after[*file] != before[*file]).collect();
        assert!(!changed.is_empty() && changed.iter().all(|file| file.starts_with("top")), "{}: {changed:?}", chain.0);
        judged += judge(test, &unpacked, chain, &edited);
        assert_eq!(unpacked.run(&["undo", "undo"]).code, 0, "{}", chain.0);
        fs::remove_file(unpacked.folder.path().join("undo")).unwrap();
        assert!(unpacked.hashes() == before, "{}: undo did not restore it", chain.0);
    }
    println!("{judged} edited chains read by others");
}
