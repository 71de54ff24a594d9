//! NTFS volumes, judged by ntfs-3g's tools and the Sleuth Kit.

use std::fs;
use std::path::{Path, PathBuf};

use hivewright::Kind;
use hivewright_disk::files::{Extent, FileInVolume, Files, Hibernation};
use hivewright_disk::ntfs::Ntfs;
use hivewright_storage::Storage;

use crate::corpus;
use crate::support::memory::{Memory, ReadOnly};
use crate::support::ntfs_volume::{self as volumes, NtfsVolume, noise};
use crate::support::tools::{have, output, succeeds};

mod damage;
mod states;

const JUDGES: &[&str] = &["ntfscat", "icat", "istat", "ntfsfix"];
const HIVE: &str = "Windows\\System32\\config\\SYSTEM";

fn open(path: &Path) -> Ntfs {
    Ntfs::open(Memory::new(fs::read(path).unwrap())).unwrap()
}

fn all_bytes(file: &FileInVolume) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    // Odd pieces are not aligned with units.
    for (i, piece) in bytes.chunks_mut(100_003).enumerate() {
        file.read_at(i as u64 * 100_003, piece).unwrap();
    }
    bytes
}

/// Returns the clusters of the unnamed data according to the Sleuth Kit: first cluster (`None` for a hole) and count.
fn judged_runs(image: &str, id: u64) -> Vec<(Option<u64>, u64)> {
    let text = String::from_utf8(output("istat", &["-r", image, &format!("{id}-128")])).unwrap();
    let mut in_data = false;
    let runs = text.lines().filter_map(|line| {
        if line.starts_with("Type: ") {
            in_data = line.starts_with("Type: $DATA") && line.contains("Name: N/A");
        }
        line.trim().strip_prefix("Starting address: ").filter(|_| in_data)
    });
    runs.map(|run| {
        let (start, rest) = run.split_once(", length: ").unwrap();
        let (count, sparse) = rest.split_once(' ').map_or((rest, ""), |(count, flags)| (count, flags));
        let is_hole = sparse.contains("Sparse");
        ((!is_hole).then(|| start.parse().unwrap()), count.trim().parse().unwrap())
    })
    .collect()
}

fn merged(runs: Vec<(Option<u64>, u64)>) -> Vec<(Option<u64>, u64)> {
    let mut out: Vec<(Option<u64>, u64)> = Vec::new();
    for (start, count) in runs {
        match out.last_mut() {
            Some(last) if last.0.map(|first| first + last.1) == start => last.1 += count,
            _ => out.push((start, count)),
        }
    }
    out
}

/// Compares every reachable file with the judges, at most `limit` in each folder. Returns their number.
fn compare_all(image: &Path, limit: usize) -> usize {
    // The Sleuth Kit does not support clusters above 64 KiB.
    let sleuth = open(image).geometry().cluster <= 64 << 10;
    let (volume, image) = (open(image), image.to_str().unwrap());
    let (mut folders, mut count) = (vec![String::new()], 0);
    while let Some(folder) = folders.pop() {
        for entry in volume.list(&folder).unwrap().unwrap().into_iter().take(limit) {
            let path = format!("{folder}\\{}", entry.name);
            if entry.is_folder {
                folders.push(path);
                continue;
            }
            let file = match volume.open(&path) {
                Ok(file) => file.unwrap(),
                Err(error) if error.code() == "ntfs-no-data" || error.code() == "file-reparse" => continue,
                Err(error) => panic!("{path}: {error}"),
            };
            if file.len().unwrap() > 64 << 20 {
                continue;
            }
            assert_eq!(file.facts().id, entry.id);
            if !path.contains('$') {
                volume.confirm(&file).unwrap();
            }
            let (bytes, id) = (all_bytes(&file), entry.id.to_string());
            // ntfscat prints the records of $MFT as in memory, not as on the medium.
            if entry.id > 1 {
                assert!(bytes == output("ntfscat", &["-f", "-i", &id, image]), "{path}: ntfscat reads something else");
            }
            assert!(
                !sleuth || bytes == output("icat", &[image, &format!("{id}-128")]),
                "{path}: icat reads something else"
            );
            if sleuth && !file.facts().traits.resident {
                let cluster = volume.geometry().cluster;
                // The judge omits clusters after the last byte.
                let end = file.len().unwrap().next_multiple_of(cluster);
                let ours =
                    file.extents().iter().filter(|e| e.file_offset < end).map(|e| {
                        (e.volume_offset.map(|at| at / cluster), (e.end().min(end) - e.file_offset) / cluster)
                    });
                assert_eq!(ours.collect::<Vec<_>>(), merged(judged_runs(image, entry.id)), "{path}");
            }
            count += 1;
        }
    }
    count
}

#[test]
fn volumes_of_the_corpus_are_read_like_the_judges_read_them() {
    let images =
        corpus::folder("volumes_of_the_corpus_are_read_like_the_judges_read_them").map(|corpus| corpus.join("images"));
    let Some(images) = images.filter(|_| have(JUDGES) && have(&["zstd", "qemu-img"])) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut total = 0;
    for name in ["ntfs_testfs1.raw", "synthetic_win81_volume.raw", "synthetic_xp_mbr.raw", "windows_volume.qcow2"] {
        let file: PathBuf = folder.path().join(name);
        let packed = images.join(format!("{name}.zst"));
        output("zstd", &["-q", "-d", packed.to_str().unwrap(), "-o", file.to_str().unwrap()]);
        let volume = file.with_extension("volume");
        output("qemu-img", &["convert", "-O", "raw", file.to_str().unwrap(), volume.to_str().unwrap()]);
        if name.contains("mbr") {
            let disk = fs::read(&volume).unwrap();
            fs::write(&volume, &disk[2048 * 512..(2048 + 24576) * 512]).unwrap();
        }
        let count = compare_all(&volume, usize::MAX);
        println!("{name}: {count} files, {:?}", open(&volume).state().unwrap());
        assert!(count >= 10, "{name}: {count} files are too few");
        total += count;
    }
    assert!(total >= 45);
}

#[test]
fn every_size_of_cluster_and_sector() {
    if !have(JUDGES) {
        return;
    }
    let hive = noise(300_000, 1);
    for (sector, cluster, mib) in [
        ("512", "512", 24),
        ("512", "1024", 24),
        ("512", "4096", 32),
        ("512", "65536", 64),
        ("4096", "4096", 32),
        ("4096", "65536", 64),
        ("512", "2097152", 512),
    ] {
        let Some(made) = NtfsVolume::make(mib, &["-s", sector, "-c", cluster]) else { return };
        let packs = cluster.parse::<u64>().unwrap() <= 4096;
        let filled = made.fill(|root| {
            volumes::windows(root, &hive, 600);
            if packs {
                volumes::compressed(root);
            }
        });
        if filled.is_none() {
            return;
        }
        let volume = open(&made.path());
        assert_eq!(volume.geometry().cluster.to_string(), cluster);
        let file = volume.open("windows/SYSTEM32/Config/system").unwrap().unwrap();
        assert!(all_bytes(&file) == hive);
        assert_eq!(file.facts().links, 2);
        assert!(file.writable(0, hive.len() as u64).is_ok());
        for (path, code) in
            [("ключ И äöü.TXT", "file-resident"), ("SPARSE", "file-sparse"), ("packed/text", "file-compressed")]
        {
            if path.starts_with("packed") && !packs {
                continue;
            }
            let file = volume.open(path).unwrap().unwrap();
            let error = file.write_at(0, b"x").unwrap_err();
            // The driver of these tests makes holes without the flag.
            assert!(
                error.code() == code || code == "file-sparse" && error.code() == "file-not-allocated",
                "{path}: {error}"
            );
        }
        assert_eq!(volume.list("Windows/System32").unwrap().unwrap().len(), 601);
        for missing in ["Windows/System32/config/SOFTWARE", "nothing/at/all", "Windows/System32/config/SYSTEM/x"] {
            assert!(volume.open(missing).unwrap().is_none(), "{missing}");
        }
        assert_eq!(volume.open("Windows").unwrap_err().code(), "file-is-folder");
        let state = volume.state().unwrap();
        assert_eq!((state.version, state.dirty, &state.label[..]), (Some((3, 1)), false, "Test"));
        assert_eq!((state.hibernation, &state.remarks[..]), (Hibernation::NoFile, &[][..]));
        let count = compare_all(&made.path(), 60);
        println!("sectors {sector}, clusters {cluster}: {count} files");
    }
}

#[test]
fn a_hive_of_hundreds_of_fragments() {
    if !have(JUDGES) {
        return;
    }
    let hive = noise(900 * 4096 - 77, 2);
    let Some(made) = NtfsVolume::make(24, &["-c", "4096"]) else { return };
    let folders = |root: &Path| fs::create_dir_all(root.join("Windows/System32/config")).unwrap();
    if made.fill(folders).and_then(|()| made.fragment("Windows/System32/config/SYSTEM", &hive, 4096)).is_none() {
        return;
    }
    let volume = open(&made.path());
    let file = volume.open(HIVE).unwrap().unwrap();
    let attributes = output("istat", &[made.path().to_str().unwrap(), &file.facts().id.to_string()]);
    let attributes = String::from_utf8_lossy(&attributes).into_owned();
    assert!(attributes.contains("$ATTRIBUTE_LIST"), "the runs were to need several records: {attributes}");
    println!("{} extents", file.extents().len());
    assert!(file.extents().len() > 322 && all_bytes(&file) == hive);
    assert!(compare_all(&made.path(), 60) > 5);
    writes_in_place(&made, &hive);
}

/// Writes at many places of the hive: the volume changes only there, and remains consistent.
fn writes_in_place(made: &NtfsVolume, hive: &[u8]) {
    let before = made.bytes();
    let medium = Memory::new(before.clone());
    let file = Ntfs::open(medium.clone()).unwrap().open(HIVE).unwrap().unwrap();
    let mut expected = hive.to_vec();
    for at in (0..hive.len() - 5000).step_by(50_021) {
        let new = noise(5000, at as u64 + 5);
        file.write_at(at as u64, &new).unwrap();
        expected[at..at + 5000].copy_from_slice(&new);
    }
    assert_eq!(file.write_at(hive.len() as u64 - 1, b"xy").unwrap_err().kind(), Kind::NoRoom);
    let after = medium.copy();
    let owned = |at: usize| {
        let mine = |e: &Extent| e.volume_offset.is_some_and(|start| (start..start + e.len).contains(&(at as u64)));
        file.extents().iter().any(mine)
    };
    for at in (0..before.len()).filter(|&i| before[i] != after[i]) {
        assert!(owned(at), "byte {at:#x} of the volume is not the file's");
    }
    fs::write(made.path(), &after).unwrap();
    let image = made.path();
    let image = image.to_str().unwrap();
    assert!(output("ntfscat", &["-f", image, "Windows/System32/config/SYSTEM"]) == expected);
    assert!(succeeds("ntfsfix", &["-n", image]));
}

#[test]
fn a_fragmented_master_file_table() {
    if !have(JUDGES) {
        return;
    }
    let Some(made) = NtfsVolume::make(12, &["-c", "1024"]) else { return };
    let hive = noise(150_000, 4);
    let filled = made.fill(|root| {
        fs::create_dir_all(root.join("Windows/System32/config")).unwrap();
        fs::write(root.join("Windows/System32/config/SYSTEM"), &hive).unwrap();
        // Names and clusters alternate until the volume is full, so that the table grows in small pieces.
        fs::create_dir(root.join("many")).unwrap();
        for i in 0..20_000 {
            let name = root.join(format!("many/{i:05}"));
            if fs::write(&name, noise(if i % 2 == 0 { 200 } else { 1024 }, i)).is_err() {
                let _ = fs::remove_file(&name);
                break;
            }
        }
        for i in (1..20_000).step_by(2) {
            let _ = fs::remove_file(root.join(format!("many/{i:05}")));
        }
        for i in 0..20_000 {
            let name = root.join(format!("many/again-{i:05}"));
            if fs::write(&name, noise(300, i)).is_err() {
                let _ = fs::remove_file(&name);
                break;
            }
        }
    });
    if filled.is_none() {
        return;
    }
    let runs = judged_runs(made.path().to_str().unwrap(), 0);
    println!("$MFT has {} runs", runs.len());
    assert!(runs.len() > 20, "the table was to be in pieces: {}", runs.len());
    let volume = open(&made.path());
    assert!(all_bytes(&volume.open(HIVE).unwrap().unwrap()) == hive);
    let many = volume.list("many").unwrap().unwrap();
    println!("{} files in one folder", many.len());
    for entry in many.iter().step_by(1 + many.len() / 300) {
        let file = volume.open(&format!("many/{}", entry.name)).unwrap().unwrap();
        let i: u64 = entry.name.trim_start_matches("again-").parse().unwrap();
        assert!(all_bytes(&file) == noise(usize::try_from(file.len().unwrap()).unwrap(), i), "{}", entry.name);
    }
    assert!(compare_all(&made.path(), 20) > 10);
}

#[test]
fn opening_one_file_among_thousands_reads_little() {
    let hive = noise(12 << 20, 6);
    let Some(made) = NtfsVolume::make(96, &["-c", "4096"]) else { return };
    if made.fill(|root| volumes::windows(root, &hive, 6000)).is_none() {
        return;
    }
    let medium = Memory::new(made.bytes());
    let volume = Ntfs::open(medium.clone()).unwrap();
    let file = volume.open(HIVE).unwrap().unwrap();
    let opened = medium.bytes_read();
    volume.state().unwrap();
    volume.confirm(&file).unwrap();
    println!("{opened} bytes read to open, {} with the state and the map of clusters", medium.bytes_read());
    assert!(opened < 256 << 10 && medium.bytes_read() < 300 << 10);
    let before = medium.bytes_read();
    assert!(all_bytes(&file) == hive);
    assert_eq!(medium.bytes_read() - before, hive.len() as u64, "the hive is read once");
}

#[test]
fn a_volume_of_two_tebibytes_costs_the_same() {
    // Sparse: the tool writes about 130 MB of it.
    let Some(made) = NtfsVolume::make(2 << 20, &["-c", "4096"]) else { return };
    let hive = noise(1 << 20, 6);
    if made.fill(|root| volumes::windows(root, &hive, 6000)).is_none() {
        return;
    }
    let medium = ReadOnly::open(&made.path());
    let volume = Ntfs::open(medium.clone()).unwrap();
    let file = volume.open(HIVE).unwrap().unwrap();
    volume.state().unwrap();
    volume.confirm(&file).unwrap();
    println!("{} bytes read of 2 TiB, the hive at {:?}", medium.bytes_read(), file.locate(0)[0]);
    assert!(medium.bytes_read() < 300 << 10);
    assert!(all_bytes(&file) == hive);
}

#[test]
fn links_on_the_path_are_reported() {
    let Some(made) = NtfsVolume::make(16, &[]) else { return };
    // A junction to C:\Windows, and the tag of a file that Windows compressed.
    let target = "\\??\\C:\\Windows".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let mut junction = vec![3, 0, 0, 0xa0, 0, 0, 0, 0, 0, 0, target.len() as u8, 0, target.len() as u8 + 2, 0, 0, 0];
    junction.extend(&target);
    junction.extend([0; 4]);
    junction[4] = junction.len() as u8 - 8;
    let compact = [0x17, 0, 0, 0x80, 16, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let hex = |bytes: &[u8]| bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"));
    let filled = made.fill(|root| {
        fs::create_dir(root.join("Windows")).unwrap();
        fs::write(root.join("Windows/real"), "bytes").unwrap();
        fs::create_dir(root.join("WinDir")).unwrap();
        fs::write(root.join("compact"), "").unwrap();
        for (name, data) in [("WinDir", hex(&junction)), ("compact", hex(&compact))] {
            let at = root.join(name);
            output("setfattr", &["-h", "-n", "system.ntfs_reparse_data", "-v", &data, at.to_str().unwrap()]);
        }
    });
    if filled.is_none() {
        return;
    }
    let volume = open(&made.path());
    let kinds = [("windir\\real", "file-reparse"), ("WinDir", "file-reparse"), ("compact", "file-filtered")];
    for (path, code) in kinds {
        let error = volume.open(path).unwrap_err();
        assert_eq!(error.code(), code, "{path}: {error}");
        println!("{error}");
    }
    assert_eq!(volume.open("Windows/real").unwrap().unwrap().len().unwrap(), 5);
}
