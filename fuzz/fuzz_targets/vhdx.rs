//! VHDX images. The structures of an input are placed at their offsets in a sparse file, with repaired checksums, so
//! that most inputs are opened. A differencing image finds its parent.
#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use hivewright::{Code, Error, Kind, Place, Result};
use hivewright_disk::container::{Opener, Opening, PathPolicy, Role, open_layer};
use hivewright_storage::Storage;
use hivewright_storage::recorder::Recorder;
use libfuzzer_sys::fuzz_target;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const LOG: usize = 3 * 4096;

/// Where an input's bytes go, behind the first one: a header, a region table, the metadata table and its items, the
/// block table, the entry of its first sector bitmap, that bitmap, the log.
const PARTS: [(usize, usize); 8] = [
    (64 * KIB, 80),
    (192 * KIB, 112),
    (2 * MIB, 256),
    (2 * MIB + 64 * KIB, 512),
    (3 * MIB, 128),
    (3 * MIB + 32 * KIB, 8),
    (5 * MIB, 64),
    (MIB, LOG),
];

/// The image below one that has a parent.
static PARENT: LazyLock<Sparse> = LazyLock::new(|| Sparse::new(include_bytes!("../seeds/vhdx/dynamic")));

/// A sparse file: zeros and some ranges.
#[derive(Clone)]
struct Sparse {
    len: usize,
    parts: Vec<(usize, Vec<u8>)>,
}

impl Sparse {
    /// Creates the file of an input. The first byte has flags: checksums are kept (1), the log is placed (2). Its upper
    /// half is the length, 0 for all.
    fn new(data: &[u8]) -> Sparse {
        let (flags, mut rest) = data.split_first().map_or((0, data), |(flags, rest)| (*flags, rest));
        let len = if flags >> 4 == 0 { 8 * MIB } else { usize::from(flags >> 4) * MIB / 2 };
        let mut parts = Vec::new();
        // Checked by every opening, so left out of the input.
        let signature = (0, b"vhdxfile".to_vec());
        for (at, most) in PARTS {
            let (part, more) = rest.split_at(most.min(rest.len()));
            rest = more;
            parts.push((at, part.to_vec()));
        }
        if flags & 1 == 0 {
            mend(&mut parts[0].1, 4096);
            mend(&mut parts[1].1, 64 * KIB);
            let log = &mut parts[7].1;
            for at in (0..log.len()).step_by(4096) {
                let entry = &mut log[at..];
                let len = entry.get(8..12).map_or(0, |len| u32::from_le_bytes(len.try_into().unwrap()) as usize);
                if entry.starts_with(b"loge") && (64..=entry.len()).contains(&len) {
                    sum(&mut entry[..len]);
                }
            }
        }
        parts.push(signature);
        Sparse { len, parts }
    }
}

fn mend(structure: &mut Vec<u8>, len: usize) {
    structure.resize(len, 0);
    sum(structure);
}

/// CRC-32C over the structure, into it.
fn sum(structure: &mut [u8]) {
    static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let bit = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        (0..256).map(|byte| (0..8).fold(byte, bit)).collect()
    });
    structure[4..8].fill(0);
    let table = &**TABLE;
    let crc = !structure.iter().fold(!0, |crc: u32, byte| crc >> 8 ^ table[usize::from(crc as u8 ^ byte)]);
    structure[4..8].copy_from_slice(&crc.to_le_bytes());
}

impl Storage for Sparse {
    fn len(&self) -> Result<u64> {
        Ok(self.len as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(end) = start.checked_add(buf.len()).filter(|end| *end <= self.len) else {
            return Err(Error::new(Kind::Corrupt, Code::PastEnd, "the file ends"));
        };
        buf.fill(0);
        for (at, bytes) in &self.parts {
            let (from, to) = ((*at).max(start), (at + bytes.len()).min(end));
            if from < to {
                buf[from - start..to - start].copy_from_slice(&bytes[from - at..to - at]);
            }
        }
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        unreachable!("a parent is never written to")
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, _: u64) -> Vec<Place> {
        Vec::new()
    }
}

struct Parents;

impl Opener for Parents {
    fn open(&self, _: &Path, role: Role) -> Result<Arc<dyn Storage>> {
        assert_eq!(role, Role::Backing);
        Ok(Arc::new(PARENT.clone()))
    }
}

/// This program: the parent must have some name on the host, and seeds call it `vhdx`.
static NAME: LazyLock<std::path::PathBuf> = LazyLock::new(|| std::env::current_exe().unwrap());

fuzz_target!(|data: &[u8]| {
    let file = Arc::new(Recorder::new(Arc::new(Sparse::new(data))).unwrap());
    let mut policy = PathPolicy::new(Arc::new(Parents), &[NAME.parent().unwrap().to_owned()]);
    policy.writing = true;
    policy.replay_log = data.first().is_some_and(|flags| flags & 2 != 0);
    let opening = Opening::of(&policy, file, &NAME);
    let Ok(Some(image)) = open_layer(opening, Some("vhdx")) else { return };
    let disk = image.disk;
    let len = disk.len().unwrap();
    let read = |at: u64, len: usize| {
        let mut buf = vec![0; len];
        disk.read_at(at, &mut buf).ok().map(|()| buf)
    };
    for at in [0, 1000, 2560, (1 << 20) - 600, 1 << 20, len / 2, len.saturating_sub(70_002)] {
        disk.locate(at);
        for piece in [1, 512, 700, 70_001] {
            let before = read(at, piece + 1);
            let new: Vec<u8> = (0..piece).map(|i| (i as u64 ^ at) as u8).collect();
            if disk.write_at(at, &new).is_ok() {
                assert!(image.about.refusal.is_none());
                if let Some(mut before) = before {
                    before[..piece].copy_from_slice(&new);
                    assert!(read(at, piece + 1) == Some(before), "{at:#x} {piece}");
                }
            }
        }
    }
    disk.flush().unwrap();
});
