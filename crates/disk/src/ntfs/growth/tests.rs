//! Growth on volumes of other tools, checked by these tools, after every prefix of its writes.

mod made;

use hivewright_error::Code;
use proptest::prelude::*;

use super::Growth;
use crate::files::Files;
use crate::files::growth::VolumePatch;
use crate::ntfs::Ntfs;
use hivewright_fixtures::disks::{Disk, ntfs};
use hivewright_storage::Storage;
use made::{HIVE, Made, account, all, contents, files, open, read};

fn plan(volume: &Ntfs, len: u64) -> Growth {
    volume.plan_growth(HIVE, len).unwrap().unwrap()
}

fn code(volume: &Ntfs, len: u64) -> &'static str {
    volume.plan_growth(HIVE, len).unwrap_err().code().as_str()
}

/// Returns the bytes of the volume after its hive has grown to `len` bytes.
fn grown(bytes: &[u8], len: u64) -> Vec<u8> {
    let (memory, volume) = open(bytes);
    let growth = plan(&volume, len);
    growth.make_room().unwrap();
    assert!(all(&memory) == bytes, "making room changes nothing");
    growth.write().unwrap();
    let after = all(&memory);
    let (_, volume) = open(&after);
    let file = volume.open(HIVE).unwrap().unwrap();
    assert_eq!(file.extents(), growth.extents.as_slice());
    assert_eq!((file.facts().len, file.facts().valid_len), (len, len));
    file.writable(0, len).unwrap();
    after
}

const SHAPES: [(u64, &[&str]); 6] = [
    (4 << 10, &["-c", "512"]),
    (4 << 10, &["-c", "1024"]),
    (8 << 10, &["-c", "4096"]),
    (8 << 10, &["-s", "4096", "-c", "4096"]),
    (24 << 10, &["-c", "65536"]),
    (8 << 10, &["-s", "1024", "-c", "2048"]),
];

#[test]
fn other_tools_read_the_grown_file() {
    for (kib, arguments) in SHAPES {
        let Some(made) = Made::new(kib, arguments) else { return };
        if made.windows(30_000).is_none() {
            return;
        }
        let before = made.bytes();
        let (_, volume) = open(&before);
        let (others, leaks) = (files(&volume), account(&volume));
        let (mut bytes, mut expected) = (before.clone(), contents(30_000, 1));
        // To the same length, within the last cluster, one byte past it, and far past it.
        for len in [30_000, 30_001, 32_768, 32_769, 262_144, 700_000] {
            bytes = grown(&bytes, len);
            expected.resize(len as usize, 0);
            let (memory, volume) = open(&bytes);
            for (path, old) in &others {
                let now = read(&volume, path);
                assert!(if path.ends_with("SYSTEM") { now == expected } else { now == *old }, "{arguments:?} {path}");
            }
            assert_eq!(account(&volume), leaks, "{arguments:?} {len}");
            let entries = volume.list("Windows\\System32\\config").unwrap().unwrap();
            assert_eq!(entries.iter().find(|entry| entry.name == "SYSTEM").unwrap().len, len);
            // All tools read the written bytes.
            let file = volume.open(HIVE).unwrap().unwrap();
            let data = contents(len as usize, len as u32);
            file.write_at(0, &data).unwrap();
            bytes = all(&memory);
            expected = data;
            made.put(&bytes);
            if made.judged(&expected).is_none() {
                return;
            }
        }
        made.fill(|root| {
            let path = root.join("Windows/System32/config/SYSTEM");
            assert!(std::fs::read(&path).unwrap() == expected, "ntfs-3g reads something else");
            // The driver can extend the file further, and delete it.
            let longer = std::fs::File::options().append(true).open(&path).unwrap();
            std::io::Write::write_all(&mut &longer, &contents(100_000, 7)).unwrap();
            drop(longer);
            assert!(std::fs::read(&path).unwrap() == [expected, contents(100_000, 7)].concat());
            std::fs::remove_file(&path).unwrap();
        });
        assert_eq!(made.resizable(), Some(Ok(())), "{arguments:?}");
        assert_eq!(account(&open(&made.bytes()).1), leaks);
    }
}

/// Returns every write of a growth in order, split at sectors, which are atomic.
fn writes(growth: &Growth) -> Vec<VolumePatch> {
    const SECTOR: u64 = 512;
    let zeros = growth.fresh.iter().map(|extent| (extent.volume_offset.unwrap(), vec![0; extent.len as usize]));
    let patches = growth.groups.iter().flat_map(|group| &group.patches).map(|patch| (patch.offset, patch.new.clone()));
    let mut writes = Vec::new();
    for (mut offset, mut new) in zeros.chain(patches) {
        while !new.is_empty() {
            let len = (SECTOR - offset % SECTOR).min(new.len() as u64);
            let rest = new.split_off(len as usize);
            writes.push(VolumePatch { offset, old: Vec::new(), new });
            (offset, new) = (offset + len, rest);
        }
    }
    writes
}

fn put(bytes: &mut [u8], write: &VolumePatch) {
    bytes[write.offset as usize..][..write.new.len()].copy_from_slice(&write.new);
}

#[test]
fn every_prefix_of_the_writes_is_harmless() {
    for (kib, arguments) in [SHAPES[1], SHAPES[3]] {
        let Some(made) = Made::new(kib, arguments) else { return };
        if made.windows(30_000).is_none() {
            return;
        }
        let mut bytes = made.bytes();
        // The growth adds more than one run.
        ntfs::leave_pieces(&mut bytes, 4);
        let (_, volume) = open(&bytes);
        let growth = plan(&volume, 90_000);
        assert!(growth.added.len() > 1 && growth.groups.len() == 3);
        let (before, mut last) = (files(&volume), None);
        for count in 0..=writes(&growth).len() {
            if let Some(write) = count.checked_sub(1).map(|i| writes(&growth)[i].clone()) {
                put(&mut bytes, &write);
            }
            let (_, volume) = open(&bytes);
            for (path, old) in &before {
                let now = read(&volume, path);
                assert!(now[..old.len()] == *old && now[old.len()..].iter().all(|&byte| byte == 0), "{path}");
            }
            let leaks = account(&volume);
            // The checker is slow, so it runs only after writes that it can observe. It may find only leaks.
            if last.replace(leaks) != Some(leaks) || count == writes(&growth).len() {
                made.put(&bytes);
                let Some(found) = made.resizable() else { return };
                assert_eq!(found.err().unwrap_or_default(), [""; 0]);
            }
        }
        assert_eq!(read(&open(&bytes).1, HIVE).len(), 90_000);
    }
}

#[test]
fn a_torn_record_is_detected() {
    let Some(made) = Made::new(4 << 10, &["-c", "1024"]) else { return };
    // Long enough that the sizes lie at the end of the first sector, and the run list after it.
    let name = "a".repeat(50);
    let linked = made.windows(30_000).and_then(|()| {
        made.fill(|root| {
            std::fs::hard_link(root.join(HIVE.replace('\\', "/")), root.join("Windows").join(&name)).unwrap();
        })
    });
    if linked.is_none() {
        return;
    }
    let mut bytes = made.bytes();
    let (_, volume) = open(&bytes);
    let (growth, others) = (plan(&volume, 60_000), files(&volume));
    let of_record = growth.groups.iter().find(|group| group.what == "file record").unwrap();
    assert_eq!(of_record.patches.len(), 2);
    let mut torn = 0;
    for write in writes(&growth) {
        put(&mut bytes, &write);
        let (_, volume) = open(&bytes);
        match volume.open(HIVE) {
            Err(error) => {
                assert_eq!(error.code(), "ntfs-record-torn");
                torn += 1;
            }
            Ok(_) => assert!(read(&volume, HIVE).starts_with(&contents(30_000, 1))),
        }
        for (path, old) in others.iter().filter(|(path, _)| !path.ends_with("SYSTEM")) {
            assert!(read(&volume, path) == *old);
        }
    }
    assert_eq!(torn, 1);
    // Every folder has the new size.
    let (_, volume) = open(&bytes);
    for (folder, name) in [("Windows\\System32\\config", "SYSTEM"), ("Windows", &name)] {
        let entries = volume.list(folder).unwrap().unwrap();
        assert_eq!(entries.iter().find(|entry| entry.name == name).unwrap().len, 60_000, "{folder}");
    }
    made.put(&bytes);
    let mut expected = contents(30_000, 1);
    expected.resize(60_000, 0);
    made.judged(&expected);
}

fn fixture(name: &str, from: usize) -> Vec<u8> {
    Disk::named(name).unwrap().read(&hivewright_fixtures::folder::home()).unwrap().split_off(from)
}

#[test]
fn files_that_cannot_grow_are_refused_and_unchanged() {
    for (name, expected) in [
        ("compressed", "file-compressed"),
        ("sparse", "file-sparse"),
        ("encrypted", "file-encrypted"),
        ("resident", "file-resident"),
        ("hibernated", "growth-in-doubt"),
        ("fast-startup", "growth-in-doubt"),
        ("dirty-volume", "growth-in-doubt"),
        ("unclean-journal", "growth-in-doubt"),
    ] {
        let (_, volume) = open(&fixture(name, 0));
        let file = volume.open(HIVE).unwrap().unwrap();
        assert_eq!(code(&volume, file.facts().covered_len + 4096), expected, "{name}");
    }
    let bytes = fixture("superfloppy", 0);
    let (memory, volume) = open(&bytes);
    let len = volume.open(HIVE).unwrap().unwrap().facts().len;
    assert!(plan(&volume, len).is_empty());
    for (len, expected) in
        [(len - 1, "fixed-length"), (1 << 30, "no-room"), (u64::MAX, "no-room"), (i64::MAX as u64, "no-room")]
    {
        assert_eq!(code(&volume, len), expected, "{len}");
    }
    let metadata = |path, len| volume.plan_growth(path, len).unwrap_err().code();
    assert_eq!(metadata("$LogFile", 1 << 30), "file-of-file-system");
    assert!(volume.plan_growth("Windows\\nothing", 1).unwrap().is_none());
    // A plan is not written to a volume that has changed since.
    let growth = plan(&volume, len + 100_000);
    let patch = &growth.groups[0].patches[0];
    memory.write_at(patch.offset, &[patch.old[0] ^ 0x80]).unwrap();
    assert_eq!(
        (growth.write().unwrap_err().code(), growth.make_room().unwrap_err().code()),
        (Code::ChangedSince, Code::ChangedSince)
    );
    memory.write_at(patch.offset, &patch.old).unwrap();
    assert!(all(&memory) == bytes);
}

#[test]
fn exactly_the_free_clusters_can_be_allocated() {
    let mut bytes = fixture("superfloppy", 0);
    let (_, volume) = open(&bytes);
    let (cluster, leaks) = (volume.geometry().cluster, account(&volume));
    let covered = volume.open(HIVE).unwrap().unwrap().facts().covered_len;
    let mut free = 0;
    super::ClusterMap::open(&volume.mft).unwrap().free_runs(|_, len| free += len).unwrap();
    assert_eq!(code(&volume, covered + free * cluster + 1), "no-room");
    bytes = grown(&bytes, covered + free * cluster);
    let (_, volume) = open(&bytes);
    assert_eq!((account(&volume), code(&volume, covered + free * cluster + 1)), (leaks, "no-room"));
    Made::of(&bytes).judged(&read(&volume, HIVE));
}

/// Marks all clusters as in use.
fn take_all(bytes: &mut [u8]) {
    ntfs::leave_pieces(bytes, 1);
    // The even clusters are left; then every second pair; and so on.
    (1..24).for_each(|power| drop(ntfs::leave_pieces(bytes, 1 << power)));
}

#[test]
fn a_bitmap_with_free_system_clusters_is_refused() {
    let whole = fixture("superfloppy", 0);
    let (_, volume) = open(&whole);
    let cluster = volume.geometry().cluster as usize;
    let places =
        ["$MFT", "$LogFile", "$MFTMirr", "$Bitmap"].map(|path| volume.open(path).unwrap().unwrap().extents()[0]);
    for place in places {
        let mut bytes = whole.clone();
        let first = place.volume_offset.unwrap() as usize / cluster;
        // No other cluster is free.
        take_all(&mut bytes);
        ntfs::release(&mut bytes, &(first..first + place.len as usize / cluster).collect::<Vec<_>>());
        let (_, volume) = open(&bytes);
        let covered = volume.open(HIVE).unwrap().unwrap().facts().covered_len;
        assert_eq!(code(&volume, covered + 1), "ntfs-bitmap");
    }
}

#[test]
fn a_fragmented_file_grows_until_its_record_is_full() {
    let mut bytes = fixture("fragmented", 64 * 512);
    ntfs::leave_pieces(&mut bytes, 1);
    let (_, volume) = open(&bytes);
    let (cluster, mut len) = (volume.geometry().cluster, volume.open(HIVE).unwrap().unwrap().facts().covered_len);
    let (old, leaks) = (read(&volume, HIVE), account(&volume));
    let mut steps = 0;
    let refused = loop {
        let (memory, volume) = open(&bytes);
        match volume.plan_growth(HIVE, len + 3 * cluster) {
            Err(error) => {
                assert!(all(&memory) == bytes);
                break error;
            }
            Ok(_) => (bytes, len, steps) = (grown(&bytes, len + 3 * cluster), len + 3 * cluster, steps + 1),
        }
        let (_, volume) = open(&bytes);
        assert!(read(&volume, HIVE).starts_with(&old));
        assert_eq!(account(&volume), leaks);
    };
    assert_eq!((refused.code(), refused.kind()), (Code::FileRecordFull, hivewright_error::Kind::NoRoom));
    assert!(steps > 0);
    // A growth without more runs is still possible.
    let (_, volume) = open(&bytes);
    let last = *volume.open(HIVE).unwrap().unwrap().extents().last().unwrap();
    let behind = ((last.volume_offset.unwrap() + last.len) / cluster) as usize;
    ntfs::release(&mut bytes, &[behind]);
    bytes = grown(&bytes, len + 1);
    assert!(read(&open(&bytes).1, HIVE).starts_with(&old));
}

#[test]
fn a_file_in_several_records_grows_only_within_its_clusters() {
    let bytes = fixture("attribute-list", 64 * 512);
    let (_, volume) = open(&bytes);
    let facts = *volume.open(HIVE).unwrap().unwrap().facts();
    assert_eq!(code(&volume, facts.covered_len + 1), "file-in-many-records");
    if facts.len < facts.covered_len {
        grown(&bytes, facts.covered_len);
    }
}

#[test]
fn bytes_past_the_valid_length_become_zeros() {
    let bytes = fixture("not-valid", 0);
    let (_, volume) = open(&bytes);
    let (facts, old) = (*volume.open(HIVE).unwrap().unwrap().facts(), read(&volume, HIVE));
    assert!(facts.valid_len < facts.len);
    for len in [facts.len, facts.len + 8192] {
        let after = grown(&bytes, len);
        let mut expected = old.clone();
        expected.resize(len as usize, 0);
        assert!(read(&open(&after).1, HIVE) == expected);
        Made::of(&after).judged(&expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 8, ..ProptestConfig::default() })]

    /// Volumes of any cluster size, with files that were written and deleted in random order.
    #[test]
    fn no_cluster_is_allocated_twice(
        power in 9u32..17,
        files in prop::collection::vec((1usize..60_000, any::<bool>()), 1..40),
        hive in 1000usize..80_000,
        lens in prop::collection::vec(1u64..200_000, 1..6),
    ) {
        let cluster = 1u64 << power;
        let Some(made) = Made::new((6 << 10) + (cluster >> 10) * 200, &["-c", &cluster.to_string()]) else { return Ok(()) };
        let filled = made.windows(hive).and_then(|()| made.fill(|root| {
            for (i, (len, _)) in files.iter().enumerate() {
                let _ = std::fs::write(root.join(format!("fill{i}")), contents(*len, i as u32));
            }
            for (i, _) in files.iter().enumerate().filter(|(_, (_, goes))| *goes) {
                let _ = std::fs::remove_file(root.join(format!("fill{i}")));
            }
        }));
        if filled.is_none() {
            return Ok(());
        }
        let mut bytes = made.bytes();
        let (leaks, others) = (account(&open(&bytes).1), made::files(&open(&bytes).1));
        let mut expected = read(&open(&bytes).1, HIVE);
        for more in lens {
            let len = expected.len() as u64 + more;
            let (_, volume) = open(&bytes);
            match volume.plan_growth(HIVE, len) {
                Err(error) => prop_assert_eq!(error.kind(), hivewright_error::Kind::NoRoom),
                Ok(_) => {
                    bytes = grown(&bytes, len);
                    expected.resize(len as usize, 0);
                }
            }
            let (_, volume) = open(&bytes);
            prop_assert_eq!(account(&volume), leaks);
            for (path, old) in &others {
                let now = read(&volume, path);
                prop_assert!(now == if path.ends_with("SYSTEM") { &expected } else { old }[..], "{}", path);
            }
        }
        made.put(&bytes);
        made.judged(&expected);
    }
}
