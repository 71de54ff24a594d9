//! Hostile images cause errors, with little work.

use super::maker::{BAT, Change, Entry, SUMMED, guid_text, mend, put, put_log};
use super::*;
use hivewright_error::Code;
use hivewright_storage::memory::Memory;

const SIZE: usize = 2 * MIB + 4096;

/// Policy with bytes in memory: the child by its name, its parent by any other.
struct InMemory {
    child: Arc<dyn Storage>,
    parent: Arc<dyn Storage>,
}

impl Opener for InMemory {
    fn open(&self, path: &Path, _: Role) -> hivewright::Result<Arc<dyn Storage>> {
        Ok(if path.ends_with("child.vhdx") { self.child.clone() } else { self.parent.clone() })
    }
}

/// Creates a folder with names for the two; the bytes are in memory.
fn names() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    ["child.vhdx", "base.vhdx"].iter().for_each(|name| fs::write(folder.path().join(name), b"").unwrap());
    folder
}

/// Bytes over others, without a copy.
struct Patched {
    below: Arc<Vec<u8>>,
    len: usize,
    over: Vec<(usize, Vec<u8>)>,
}

impl Storage for Patched {
    fn len(&self) -> hivewright::Result<u64> {
        Ok(self.len as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> hivewright::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(end) = start.checked_add(buf.len()).filter(|end| *end <= self.len) else {
            return Err(hivewright::Error::new(hivewright::Kind::Corrupt, Code::PastEnd, "the storage ends"));
        };
        buf.copy_from_slice(&self.below[start..end]);
        for (at, bytes) in &self.over {
            let (from, to) = ((*at).max(start), (at + bytes.len()).min(end));
            if from < to {
                buf[from - start..to - start].copy_from_slice(&bytes[from - at..to - at]);
            }
        }
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> hivewright::Result<()> {
        Ok(())
    }

    fn flush(&self) -> hivewright::Result<()> {
        Ok(())
    }

    fn locate(&self, _: u64) -> Vec<hivewright_error::Place> {
        Vec::new()
    }
}

/// Opens, reads the ends of each MiB and all of small disks, and writes. Returns the code of the first error.
fn exercise(folder: &Path, child: Arc<dyn Storage>, parent: &Arc<dyn Storage>) -> Result<(), &'static str> {
    let opener = Arc::new(InMemory { child: child.clone(), parent: parent.clone() });
    let image = container::open(&PathPolicy::new(opener, &[]), &folder.join("child.vhdx"), None);
    let Some(image) = image.map_err(|error| error.code().as_str())? else { return Ok(()) };
    let len = image.disk.len().unwrap();
    let mut buf = vec![0; SIZE.min(len as usize)];
    let mut result = image.disk.read_at(0, &mut buf);
    for at in (0..len.min(64 << 20)).step_by(MIB).chain([len.saturating_sub(7)]) {
        let mut few = vec![0; 7.min(len - at) as usize];
        result = result.and(image.disk.read_at(at, &mut few));
        let _ = image.disk.locate(at);
        let _ = image.disk.write_at(at, &few);
    }
    if image.about.refusal.is_some() && result.is_ok() {
        replay(folder, child, parent, &buf);
    }
    result.map_err(|error| error.code().as_str())
}

/// Replays the log: the disk is the same as without the replay, and later.
fn replay(folder: &Path, child: Arc<dyn Storage>, parent: &Arc<dyn Storage>, expected: &[u8]) {
    let opener = Arc::new(InMemory { child: Arc::new(Recorder::new(child).unwrap()), parent: parent.clone() });
    for wish in [true, false] {
        let mut policy = PathPolicy::new(opener.clone(), &[]);
        (policy.writing, policy.replay_log) = (wish, wish);
        let image = container::open(&policy, &folder.join("child.vhdx"), None).unwrap().unwrap();
        let mut buf = vec![0; expected.len()];
        image.disk.read_at(0, &mut buf).unwrap();
        assert!(buf == expected, "another disk than before");
        if image.about.refusal.is_some() {
            assert!(wish, "the log still counts");
            return;
        }
        BROUGHT.fetch_add(1, Ordering::Relaxed);
    }
}

static BROUGHT: AtomicU64 = AtomicU64::new(0);

/// Creates a differencing image with a log, and its parent.
fn victim() -> (Vec<u8>, Arc<dyn Storage>) {
    let mut base = Maker { sector: 512, size: SIZE, data_write: [2; 16], ..Maker::default() };
    base.blocks.insert(1, Block::Full(vec![1; MIB]));
    let parent: Arc<dyn Storage> = Arc::new(Memory::new(base.build()));
    let pairs = vec![("parent_linkage", guid_text(&[2; 16])), ("relative_path", "base.vhdx".to_owned())];
    let mut child = Maker { locator: Some(pairs), ..base };
    child.blocks = [(0, Block::Full(vec![2; MIB])), (1, Block::Part(vec![3; MIB], vec![5, 6]))].into();
    (child.build(), parent)
}

fn with_log(mut image: Vec<u8>) -> Vec<u8> {
    let table = image[BAT..BAT + 4096].to_vec();
    let changes = vec![Change::Sector(BAT as u64, table), Change::Zeros(5 << 20, 8192)];
    let entry = Entry { sequence: 3, tail: 0, flushed: 7 << 20, last: 8 << 20, changes };
    put_log(&mut image, [7; 16], 0, &[entry]);
    image
}

#[test]
fn any_byte_may_be_anything() {
    let (plain, parent) = victim();
    let folder = names();
    let (headers, regions) = (64 << 10..(64 << 10) + 84, 192 << 10..(192 << 10) + 82);
    let metadata = [2 * MIB..2 * MIB + 32 * 7, 2 * MIB + (64 << 10)..2 * MIB + (64 << 10) + 240];
    let (bat, log) = ([BAT..BAT + 24, BAT + 4096 * 8..BAT + 4096 * 8 + 8], MIB..MIB + 64 + 2 * 32);
    let mut codes = std::collections::BTreeSet::new();
    for (image, has_log) in [(plain.clone(), false), (with_log(plain), true)] {
        let below = Arc::new(image);
        assert_eq!(exercise(folder.path(), below_patched(&below, vec![]), &parent), Ok(()));
        let ranges = [headers.clone(), regions.clone(), bat[0].clone(), bat[1].clone()];
        let more = if has_log { vec![log.clone(), MIB + 4096..MIB + 4104] } else { metadata.to_vec() };
        for at in ranges.into_iter().chain(more).flatten() {
            for value in [0xff, below[at] ^ 1, below[at] ^ 0x80] {
                let over = patch(&below, at, value);
                let _ =
                    exercise(folder.path(), below_patched(&below, over), &parent).map_err(|code| codes.insert(code));
            }
        }
    }
    let expected = ["vhdx-version", "vhdx-region-table", "vhdx-region", "vhdx-metadata", "vhdx-metadata-item"];
    let more = ["vhdx-bat", "vhdx-log-corrupt", "vhdx-parent", "vhdx-parent-locator", "vhdx-parent-kind"];
    for code in expected.into_iter().chain(more) {
        assert!(codes.contains(code), "{code} was not seen: {codes:?}");
    }
    assert!(BROUGHT.load(Ordering::Relaxed) > 100, "{BROUGHT:?}");
}

fn below_patched(below: &Arc<Vec<u8>>, over: Vec<(usize, Vec<u8>)>) -> Arc<dyn Storage> {
    Arc::new(Patched { below: below.clone(), len: below.len(), over })
}

/// Patches the byte, invalidates the other copy of the structure, and corrects the checksum.
fn patch(image: &[u8], at: usize, value: u8) -> Vec<(usize, Vec<u8>)> {
    let log_len = u32::from_le_bytes(image[MIB + 8..MIB + 12].try_into().unwrap()) as usize;
    let mut structures = vec![(SUMMED[0], Some(128 << 10)), (SUMMED[2], Some(256 << 10))];
    structures.push(((MIB, log_len.max(4096)), None));
    let found = structures.into_iter().find(|((start, len), _)| (*start..start + len).contains(&at));
    let Some(((start, len), other)) = found else { return vec![(at, vec![value])] };
    let mut bytes = image[start..start + len].to_vec();
    bytes[at - start] = value;
    if !(4..8).contains(&(at - start)) {
        mend(&mut bytes, 0, len);
    }
    let mut over = vec![(start, bytes)];
    over.extend(other.map(|other| (other, vec![0; 4])));
    over
}

#[test]
fn any_end_may_come_early() {
    let (plain, parent) = victim();
    let folder = names();
    for image in [plain.clone(), with_log(plain)] {
        let whole = image.len();
        let below = Arc::new(image);
        let cuts = [1, 4095, 65536, 70_000, 135_000, 200_000, MIB - 1, MIB, MIB + 4096, 2 * MIB, 2 * MIB + 70_000];
        let later = [3 * MIB, 3 * MIB + 5, 4 * MIB, 4 * MIB + 1, 5 * MIB, 6 * MIB, whole - 1];
        for len in cuts.into_iter().chain(later) {
            let child: Arc<dyn Storage> = Arc::new(Patched { below: below.clone(), len, over: vec![] });
            let result = exercise(folder.path(), child, &parent);
            // The log zeroes a part of the truncated block.
            assert!(result.is_err() || len <= 71 || len == whole - 1, "{len}: {result:?}");
        }
    }
}

#[test]
fn blocks_that_share_a_place_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let vhdx = folder.path().join("disk.vhdx");
    let mut maker = Maker { sector: 512, size: 3 * MIB, ..Maker::default() };
    (0..3).for_each(|i| drop(maker.blocks.insert(i, Block::Full(vec![i as u8; MIB]))));
    let sound = maker.build();
    let code = |entry: u64| {
        let mut image = sound.clone();
        put(&mut image, BAT + 8, &entry.to_le_bytes());
        fs::write(&vhdx, image).unwrap();
        let (image, recording) = open(&vhdx).unwrap();
        let code = image.disk.write_at(0, &[1]).map_err(|error| error.code().as_str());
        let written = recording.0.lock().unwrap()[0].2.take().unwrap().1;
        assert_eq!(written.is_empty(), code.is_err());
        code
    };
    assert_eq!(code(5 << 20 | 6), Ok(()));
    for mib in [0, 1, 2, 3, 4, 6, u64::MAX >> 20] {
        assert_eq!(code(mib << 20 | 6), Err("vhdx-bat"), "{mib}");
    }
}

#[test]
fn numbers_that_promise_much_cost_little() {
    let folder = names();
    let parent: Arc<dyn Storage> = Arc::new(Memory::new(Vec::new()));
    let maker = Maker { sector: 512, size: 3 * MIB, ..Maker::default() };
    // A log with many entries that each claim all of it.
    let mut image = maker.build();
    put_log(&mut image, [7; 16], 0, &[]);
    for at in (MIB..2 * MIB).step_by(4096) {
        put(&mut image, at, b"loge");
        put(&mut image, at + 8, &(MIB as u32).to_le_bytes());
        put(&mut image, at + 16, &[1]);
        put(&mut image, at + 32, &[7; 16]);
    }
    assert_eq!(exercise(folder.path(), Arc::new(Memory::new(image)), &parent), Err("vhdx-log-corrupt"));
    // A disk that is too large for the table.
    let mut image = Maker { size: 64 << 40, ..maker.clone() }.build();
    assert_eq!(exercise(folder.path(), Arc::new(Memory::new(image)), &parent), Err("vhdx-bat"));
    image = Maker { blocks: [(0, Block::Full(vec![1; MIB]))].into(), ..maker }.build();
    let last = u64::MAX.to_le_bytes();
    SUMMED[..2].iter().for_each(|(at, len)| {
        put(&mut image, at + 8, &last);
        mend(&mut image, *at, *len);
    });
    let opener = Arc::new(InMemory { child: Arc::new(Memory::new(image)), parent });
    let image =
        container::open(&PathPolicy::new(opener, &[]), &folder.path().join("child.vhdx"), None).unwrap().unwrap();
    assert_eq!(image.disk.write_at(0, &[1]).unwrap_err().code(), "vhdx-header", "there is no next number");
}
