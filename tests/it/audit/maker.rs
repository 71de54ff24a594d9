//! Generates targets with known results of an audit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use hivewright_fixtures::{Release, SystemHive};
use serde_json::Value;

use crate::support::disk::{START, mbr, windows_volume};
use crate::support::file_ext::FileExt;

const RELEASES: [(Release, &str, &str); 4] = [
    (Release::Win10, "PolicyAgent", "client"),
    (Release::XpSp3, "IPSec", "client"),
    (Release::Server2022, "PolicyAgent", "server"),
    (Release::Win7, "PolicyAgent", "client"),
];

/// Expected result of one target.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Truth {
    /// The service that reads the setting, the product type, and the number at next boot.
    Is(&'static str, &'static str, Option<u32>),
    /// An error of one of these codes.
    Fails(&'static [&'static str]),
}

/// The folder, and the expected results by path below it.
pub(super) type Fleet = BTreeMap<String, Truth>;

/// A disk to copy, without its zeros.
struct Disk {
    len: u64,
    pieces: Vec<(u64, Vec<u8>)>,
    truth: Truth,
}

impl Disk {
    fn copy(&self, path: &Path) {
        let file = File::create(path).unwrap();
        file.set_len(self.len).unwrap();
        self.pieces.iter().for_each(|(at, piece)| file.write_all_at(piece, *at).unwrap());
    }
}

/// Returns disks, one for each value; empty without the tools.
fn disks(scratch: &Path) -> Vec<Disk> {
    let mut made = Vec::new();
    for value in [1, 2] {
        let hive = SystemHive::new(Release::Win10).with_right_setting(1, value).build().bytes;
        let Some(volume) = windows_volume(8, &hive, |_| {}) else { return Vec::new() };
        let path = scratch.join(format!("disk-{value}"));
        mbr(&volume.bytes(), &path);
        let bytes = fs::read(&path).unwrap();
        let pieces = bytes.chunks(4096).zip((0..).step_by(4096)).filter(|(piece, _)| piece.iter().any(|&b| b != 0));
        let pieces = pieces.map(|(piece, at)| (at, piece.to_vec())).collect();
        made.push(Disk { len: bytes.len() as u64, pieces, truth: Truth::Is("PolicyAgent", "client", Some(value)) });
    }
    made
}

/// Creates a hive with a release and a number that depend on `i`.
fn hive(i: usize) -> (Vec<u8>, Truth) {
    let (release, service, product) = RELEASES[i % RELEASES.len()];
    let value = [None, Some(0), Some(1), Some(2)][i / RELEASES.len() % 4];
    let hive = SystemHive::new(release);
    let hive = match value {
        Some(value) => hive.with_right_setting(1, value),
        None => hive,
    };
    (hive.build().bytes, Truth::Is(service, product, value))
}

/// Damages a hive in one of several ways.
fn damage(hive: &mut Vec<u8>, i: usize) -> Truth {
    match i % 4 {
        0 => {
            hive.truncate(5000);
            Truth::Fails(&["length-past-end"])
        }
        1 => {
            // The version, with a valid checksum.
            hive[24] = 9;
            hivewright_fixtures::bytes::fix_checksum(hive);
            Truth::Fails(&["base-version"])
        }
        2 => {
            hive[32] = 7;
            hivewright_fixtures::bytes::fix_checksum(hive);
            Truth::Fails(&["file-format"])
        }
        _ => {
            // The root cell is after the end.
            hive[36..40].copy_from_slice(&0x7fff_fff0u32.to_le_bytes());
            hivewright_fixtures::bytes::fix_checksum(hive);
            Truth::Fails(&["cell-reference", "past-end", "cell-bounds", "root-key"])
        }
    }
}

fn damage_disk(path: &Path, i: usize) -> Truth {
    let disk = File::options().write(true).open(path).unwrap();
    match i % 3 {
        0 => {
            // Both boot sectors of the volume.
            let len = disk.metadata().unwrap().len();
            disk.write_all_at(&[0xee; 512], START).unwrap();
            disk.write_all_at(&[0xee; 512], len - 512).unwrap();
            Truth::Fails(&["volume-kind", "volume-unknown", "ntfs-boot-sector"])
        }
        1 => {
            disk.set_len(START + 100_000).unwrap();
            Truth::Fails(&["past-end", "ntfs-boot-sector", "record-signature", "io", "volume-truncated", "ntfs-mft"])
        }
        _ => {
            disk.write_all_at(b"QFI\xfb\0\0\0\x03", 0).unwrap();
            Truth::Fails(&["qcow2-header", "qcow2-version"])
        }
    }
}

/// Creates `count` targets in `folder`, of which one in twenty is damaged, among other files.
pub(super) fn make(folder: &Path, count: usize) -> Fleet {
    let scratch = tempfile::tempdir().unwrap();
    let disks = disks(scratch.path());
    let mut fleet = Fleet::new();
    for i in 0..count {
        let below = format!("site-{}/{:02}", i % 3, i % 50);
        fs::create_dir_all(folder.join(&below)).unwrap();
        // Names are irrelevant.
        let name =
            format!("{below}/{}", ["SYSTEM", "pc", "disk.raw", "a b.img", "\u{444}\u{430}\u{439}\u{43b}"][i % 5]);
        let name = format!("{name}-{i}");
        let path = folder.join(&name);
        let is_bad = i % 20 == 7;
        let truth = match disks.get(i % 20).filter(|_| !disks.is_empty()).or(disks.first().filter(|_| i % 60 == 7)) {
            Some(disk) => {
                disk.copy(&path);
                if is_bad { damage_disk(&path, i / 60) } else { disk.truth.clone() }
            }
            None => {
                let (mut bytes, mut truth) = hive(i);
                if is_bad {
                    truth = damage(&mut bytes, i / 20);
                }
                fs::write(&path, bytes).unwrap();
                truth
            }
        };
        fleet.insert(name, truth);
        if i % 10 == 0 {
            fs::write(folder.join(format!("{below}/notes-{i}.txt")), vec![b'x'; 9000]).unwrap();
        }
    }
    fleet
}

/// Compares a record with the expected result.
pub(super) fn check(target: &str, record: &Value, truth: &Truth) {
    match truth {
        Truth::Is(service, product, value) => {
            assert_eq!(record["status"], "read", "{target}: {record}");
            assert_eq!(record["decision"], *service, "{target}");
            assert_eq!(record["product_type"], *product, "{target}");
            assert_eq!(record["at_next_boot"]["value"], serde_json::json!(value), "{target}");
            assert_eq!(record["host_name"], "FIXTURE", "{target}");
            assert_eq!(record["confirmed"], true, "{target}");
        }
        Truth::Fails(codes) => {
            assert_eq!(record["status"], "error", "{target}: {record}");
            let code = record["error"]["code"].as_str().unwrap();
            assert!(codes.contains(&code), "{target}: {code} is none of {codes:?}");
            assert!(record["at_next_boot"].is_null(), "{target}: an answer beside an error");
        }
    }
}
