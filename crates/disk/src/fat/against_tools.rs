//! Compares the reader with mkfs.vfat, mtools, The Sleuth Kit and the crate fatfs.

use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{DISK_ERROR, Fat, FatType, Hibernation};
use crate::files::{Extent, FileInVolume, Files};
use hivewright_storage::Storage;
use hivewright_storage::memory::Memory;

const PATH: &str = "Windows/System32/config/A long name of a SYSTEM hive.dat";

/// Runs a tool; `None`, with a message, if it is not installed.
fn run(tool: &str, args: &[&str]) -> Option<Vec<u8>> {
    let Ok(output) = Command::new(tool).args(args).env("MTOOLS_SKIP_CHECK", "1").output() else {
        hivewright_fixtures::skip::missing(format_args!("{tool} is not installed"));
        return None;
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{tool} {args:?}: {text}{}", String::from_utf8_lossy(&output.stdout));
    Some(output.stdout)
}

/// Returns a number of bytes without long repetitions.
pub(super) fn contents(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Returns a volume of `kib` made by mkfs.vfat with `args`, with a fragmented file at [`PATH`], made by mtools.
fn volume(folder: &Path, kib: u64, args: &[&str], data: &[u8]) -> Option<String> {
    let image = folder.join("volume.raw");
    std::fs::File::create(&image).unwrap().set_len(kib << 10).unwrap();
    let image = image.into_os_string().into_string().unwrap();
    run("mkfs.vfat", &[args, &[&image]].concat())?;
    for path in ["::Windows", "::Windows/System32", "::Windows/System32/config"] {
        run("mmd", &["-i", &image, path])?;
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    // Fill the volume, then delete every second file: the next file is fragmented.
    let small = write("small", &contents(9000));
    let last = (1..400).take_while(|i| {
        let target = format!("::fill{i}");
        let output = Command::new("mcopy").args(["-i", &image, &small, &target]).output().unwrap();
        output.status.success() && *i as u64 * 9000 < kib * 1024 * 3 / 4
    });
    for i in (1..=last.count()).step_by(2) {
        run("mdel", &["-i", &image, &format!("::fill{i}")])?;
    }
    // FAT32 stores the last allocated cluster (FSInfo, at 492): clear it for mtools.
    let mut bytes = std::fs::read(&image).unwrap();
    let hint = usize::from(u16::from_le_bytes([bytes[11], bytes[12]])) + 492;
    if args.contains(&"32") {
        bytes[hint..hint + 4].fill(0xff);
    }
    std::fs::write(&image, bytes).unwrap();
    let data = write("data", data);
    run("mcopy", &["-i", &image, &data, &format!("::{PATH}")])?;
    Some(image)
}

/// Returns the offset of an extent. FAT has no holes.
fn start(extent: &Extent) -> u64 {
    extent.volume_offset.unwrap()
}

const VOLUMES: [(u64, &[&str], FatType); 6] = [
    (2048, &["-F", "12", "-s", "1"], FatType::Fat12),
    (2880, &["-F", "12", "-s", "4"], FatType::Fat12),
    (8192, &["-F", "16", "-s", "2"], FatType::Fat16),
    (40_000, &["-F", "16", "-S", "4096", "-s", "1"], FatType::Fat16),
    (40_000, &["-F", "32", "-s", "1"], FatType::Fat32),
    (300_000, &["-F", "32", "-S", "4096", "-s", "1"], FatType::Fat32),
];

#[test]
fn mtools_and_the_sleuth_kit_agree() {
    for (kib, args, fat_type) in VOLUMES {
        let (folder, data) = (tempfile::tempdir().unwrap(), contents(123_457));
        let Some(image) = volume(folder.path(), kib, args, &data) else { return };
        let before = std::fs::read(&image).unwrap();
        let memory = Arc::new(Memory::new(before.clone()));
        let fat = Fat::open(memory.clone()).unwrap();
        assert_eq!(fat.geometry().fat_type, fat_type, "{args:?}");
        let file = fat.open("\\WINDOWS\\system32\\CONFIG\\a LONG name of a system hive.DAT").unwrap().unwrap();
        assert!(file.extents().len() > 1, "{args:?}: the file was to be fragmented");
        let mut read = vec![0; data.len()];
        file.read_at(0, &mut read).unwrap();
        assert_eq!(read, data, "{args:?}");
        for (offset, len) in [(0, 1), (511, 2), (9000, 40_000), (123_456, 1), (123_457, 0)] {
            let mut part = vec![0; len];
            file.read_at(offset as u64, &mut part).unwrap();
            assert_eq!(part, data[offset..offset + len]);
        }
        let short = format!("WINDOWS/SYSTEM32/CONFIG/{}", fat.entry(&format!("/{PATH}")).unwrap().unwrap().short_name);
        assert_eq!(fat.open(&short).unwrap().unwrap().extents(), file.extents(), "{short}");
        assert!(fat.open("Windows/nothing").unwrap().is_none());
        assert_eq!(fat.open("Windows/System32").unwrap_err().code(), "file-is-folder");
        let state = fat.state().unwrap();
        assert_eq!(
            (state.dirty, state.flags & DISK_ERROR != 0, state.hibernation),
            (false, false, Hibernation::NoFile)
        );
        sleuth_kit(&image, &fat, &data);
        edit(&image, &before, &memory, &file, &data);
    }
}

/// Checks that The Sleuth Kit reads the same bytes from the same sectors, and the same sizes.
fn sleuth_kit(image: &str, fat: &Fat, data: &[u8]) {
    let Some(inode) = run("ifind", &["-f", "fat", "-n", PATH, image]) else { return };
    let inode = String::from_utf8(inode).unwrap().trim().to_owned();
    assert_eq!(run("icat", &["-f", "fat", image, &inode]).unwrap(), data);
    let sizes = String::from_utf8(run("fsstat", &["-f", "fat", image]).unwrap()).unwrap();
    let geometry = fat.geometry();
    for line in [
        format!("Sector Size: {}", geometry.sector_size),
        format!("Cluster Size: {}", geometry.cluster_size),
        format!("Total Cluster Range: 2 - {}", geometry.clusters + 1),
    ] {
        assert!(sizes.contains(&line), "{line}: {sizes}");
    }
    let stat = String::from_utf8(run("istat", &["-f", "fat", image, &inode]).unwrap()).unwrap();
    let listed: Vec<u64> =
        stat.split("Sectors:").nth(1).unwrap().split_whitespace().map_while(|s| s.parse().ok()).collect();
    let size = u64::from(geometry.sector_size);
    let file = fat.open(PATH).unwrap().unwrap();
    let ours: Vec<u64> = file.extents().iter().flat_map(|e| (start(e) / size)..((start(e) + e.len) / size)).collect();
    // istat fills its last row with zeros.
    let listed: Vec<u64> = listed.into_iter().filter(|&s| s != 0).collect();
    assert!(ours.starts_with(&listed) && listed.len() >= data.len().div_ceil(size as usize), "{ours:?} {listed:?}");
}

/// Checks that a write in place changes only the file.
fn edit(image: &str, before: &[u8], memory: &Memory, file: &FileInVolume, data: &[u8]) {
    let mut expected = data.to_vec();
    for (offset, len) in [(0, 4), (8990, 20), (60_000, 30_000), (123_450, 7)] {
        let new: Vec<u8> = (0..len).map(|i| (i as u8) ^ 0x5a).collect();
        file.write_at(offset as u64, &new).unwrap();
        expected[offset..offset + len].copy_from_slice(&new);
    }
    assert_eq!(file.write_at(123_450, &[0; 8]).unwrap_err().code(), "file-too-short");
    assert_eq!(file.write_at(u64::MAX, &[0; 8]).unwrap_err().code(), "file-too-short");
    file.flush().unwrap();
    let mut after = vec![0; before.len()];
    memory.read_at(0, &mut after).unwrap();
    let mut inside = before.to_vec();
    for extent in file.extents() {
        let range = start(extent) as usize..(start(extent) + extent.len) as usize;
        inside[range.clone()].copy_from_slice(&after[range]);
    }
    assert!(inside == after, "something outside of the file's clusters changed");
    let place = file.locate(60_000)[0].offset;
    assert_eq!((after[place as usize], file.locate(123_457).len()), (0x5a, 0));
    std::fs::write(image, &after).unwrap();
    assert_eq!(run("mtype", &["-i", image, &format!("::{PATH}")]).unwrap(), expected);
    run("fsck.vfat", &["-n", image]);
}

/// A volume for fatfs. It can be read; writes are counted and fail.
struct ReadOnly(Cursor<Vec<u8>>, Arc<AtomicU32>);

impl Read for ReadOnly {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}
impl Seek for ReadOnly {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}
impl Write for ReadOnly {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn fatfs_agrees() {
    for (kib, args, _) in &VOLUMES[..5] {
        let (folder, data) = (tempfile::tempdir().unwrap(), contents(70_001));
        let Some(image) = volume(folder.path(), *kib, args, &data) else { return };
        let bytes = std::fs::read(&image).unwrap();
        let fat = Fat::open(Arc::new(Memory::new(bytes.clone()))).unwrap();
        let writes = Arc::new(AtomicU32::new(0));
        let witness = fatfs::FileSystem::new(ReadOnly(Cursor::new(bytes), writes.clone()), fatfs::FsOptions::new());
        let witness = witness.unwrap();
        for path in ["", "Windows", "Windows/System32/config"] {
            let root = witness.root_dir();
            let dir = if path.is_empty() { root } else { root.open_dir(path).unwrap() };
            let theirs: Vec<_> = dir
                .iter()
                .map(Result::unwrap)
                .filter(|e| !e.file_name().starts_with('.'))
                .map(|e| (e.file_name().to_uppercase(), e.short_file_name(), e.is_dir(), e.len()))
                .collect();
            let ours: Vec<_> = fat
                .entries(path)
                .unwrap()
                .unwrap()
                .into_iter()
                .map(|e| (e.name.to_uppercase(), e.short_name, e.is_folder, e.len))
                .collect();
            assert_eq!(ours, theirs, "{args:?} {path}");
        }
        let mut theirs = Vec::new();
        witness.root_dir().open_file(PATH).unwrap().read_to_end(&mut theirs).unwrap();
        assert_eq!(theirs, data);
        let flags = witness.read_status_flags().unwrap();
        assert_eq!(
            (flags.dirty(), flags.io_error()),
            (fat.state().unwrap().dirty, fat.state().unwrap().flags & DISK_ERROR != 0)
        );
        drop(witness);
        assert_eq!(writes.load(Ordering::SeqCst), 0, "reading through fatfs wrote");
    }
}
