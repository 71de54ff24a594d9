//! NTFS volumes made by `mkntfs` and filled with `ntfs-3g`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hivewright_disk::files::Files;
use hivewright_disk::ntfs::Ntfs;
use hivewright_storage::Storage;
use tempfile::TempDir;

use super::memory::Memory;
use super::tools::{have, output, succeeds};
use crate::support::file_ext::FileExt;

/// Programs that the builders need.
pub(crate) const MAKERS: &[&str] = &["mkntfs", "ntfs-3g", "umount", "setfattr"];

/// A volume in its own file.
pub(crate) struct NtfsVolume {
    folder: TempDir,
}

impl NtfsVolume {
    /// Creates an empty volume. Prints a line and returns `None` without the tools.
    pub(crate) fn make(mib: u64, arguments: &[&str]) -> Option<NtfsVolume> {
        if !have(MAKERS) {
            return None;
        }
        let volume = NtfsVolume { folder: tempfile::tempdir().unwrap() };
        File::create(volume.path()).unwrap().set_len(mib << 20).unwrap();
        let path = volume.path();
        let all: Vec<&str> = [&["-F", "-Q", "-q", "-L", "Test"], arguments, &[path.to_str().unwrap()]].concat();
        output("mkntfs", &all);
        Some(volume)
    }

    /// Creates a volume with these bytes.
    pub(crate) fn of(bytes: &[u8]) -> NtfsVolume {
        let volume = NtfsVolume { folder: tempfile::tempdir().unwrap() };
        fs::write(volume.path(), bytes).unwrap();
        volume
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("volume.ntfs")
    }

    /// Runs `fill` on the mounted volume. Prints a line and returns `None` if mounting is impossible.
    pub(crate) fn fill(&self, fill: impl FnOnce(&Path)) -> Option<()> {
        let point = self.folder.path().join("mounted");
        fs::create_dir_all(&point).unwrap();
        let (volume, at) = (self.path(), point.to_str().unwrap());
        if !succeeds("ntfs-3g", &["-o", "compression", volume.to_str().unwrap(), at]) {
            hivewright_fixtures::skip::impossible("ntfs-3g cannot mount here");
            return None;
        }
        let filled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fill(&point)));
        // Programs that observe mounts may use it for a moment.
        let unmounted = (0..50).any(|_| {
            succeeds("umount", &[at]) || {
                std::thread::sleep(std::time::Duration::from_millis(50));
                false
            }
        });
        assert!(unmounted, "umount {at}");
        if let Err(panic) = filled {
            std::panic::resume_unwind(panic);
        }
        // The driver may run for a moment after its mount point is gone.
        for _ in 0..200 {
            if succeeds("ntfsinfo", &["-m", volume.to_str().unwrap()]) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Some(())
    }

    /// Writes `bytes` to a volume in which only single clusters are free, so that no two of them are adjacent.
    pub(crate) fn fragment(&self, path: &str, bytes: &[u8], cluster: usize) -> Option<()> {
        let mut fill = Vec::new();
        self.fill(|root| {
            fs::create_dir(root.join("fill")).unwrap();
            let name = |i: usize| root.join(format!("fill/{i:05}"));
            let count = (0..100_000).find(|&i| fs::write(name(i), vec![1; cluster]).is_err()).unwrap();
            let _ = fs::remove_file(name(count));
            fill.extend((0..count).map(|i| format!("fill/{i:05}")));
        })?;
        let volume = Ntfs::open(Memory::new(self.bytes())).unwrap();
        let start = |name: &String| volume.open(name).unwrap().unwrap().extents()[0].volume_offset.unwrap();
        fill.sort_by_cached_key(start);
        let mut freed = 0;
        let victims = fill.iter().filter(|name| {
            let is_apart = start(name) >= freed + 2 * cluster as u64;
            if is_apart {
                freed = start(name);
            }
            is_apart
        });
        let victims: Vec<_> = victims.cloned().collect();
        self.fill(|root| {
            victims.iter().for_each(|name| fs::remove_file(root.join(name)).unwrap());
            fs::write(root.join(path), bytes).unwrap();
            fs::remove_dir_all(root.join("fill")).unwrap();
        })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }
}

/// Returns pseudo-random bytes, the same in each run.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// Fills a folder like Windows: a hive, `count` names beside its folder, and one file of each special kind.
pub(crate) fn windows(root: &Path, hive: &[u8], count: u32) {
    let system32 = root.join("Windows/System32");
    fs::create_dir_all(system32.join("config")).unwrap();
    fs::write(system32.join("config/SYSTEM"), hive).unwrap();
    for i in 0..count {
        fs::write(system32.join(format!("api-ms-win-core-{i:05}.dll")), vec![b'M'; 20 + i as usize % 700]).unwrap();
    }
    fs::write(root.join("Ключ и ÄÖÜ.txt"), "resident").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::hard_link(system32.join("config/SYSTEM"), root.join("link")).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(&noise(5000, 3), 3_000_000).unwrap();
    sparse.set_len(5_000_000).unwrap();
}

/// Fills a folder with compressed files of several shapes.
pub(crate) fn compressed(root: &Path) {
    let folder = root.join("packed");
    fs::create_dir(&folder).unwrap();
    // FILE_ATTRIBUTE_COMPRESSED in little-endian order, as the driver expects it.
    output("setfattr", &["-h", "-n", "system.ntfs_attrib", "-v", "0x00080000", folder.to_str().unwrap()]);
    let text: Vec<u8> = (0..40_000u32).flat_map(|i| format!("line {} of {}\r\n", i, i % 7).into_bytes()).collect();
    fs::write(folder.join("text"), &text).unwrap();
    fs::write(folder.join("noise"), noise(200_001, 9)).unwrap();
    fs::write(folder.join("zeros"), vec![0; 300_000]).unwrap();
    fs::write(folder.join("mixed"), [&text[..70_000], &noise(70_000, 1), &[0; 70_000], &text[..99]].concat()).unwrap();
}

/// Opens bytes as a volume and reads everything: the entry point for fuzzing (`poke(&Memory::new(data.to_vec()))`),
/// which must neither panic nor hang nor read much more than the volume. Returns the number of bytes read.
pub(crate) fn poke(medium: &Arc<Memory>) -> u64 {
    let before = medium.bytes_read();
    reach_everything(medium);
    medium.bytes_read() - before
}

fn reach_everything(medium: &Arc<Memory>) {
    let Ok(volume) = Ntfs::open(medium.clone()) else { return };
    let _ = volume.state();
    for folder in ["", "Windows", "Windows/System32", "Windows/System32/config"] {
        let _ = volume.list(folder);
    }
    for path in ["Windows/System32/config/SYSTEM", "windows\\SYSTEM32\\Config\\system.log1", "packed/text", "sparse"] {
        let Ok(Some(file)) = volume.open(path) else { continue };
        let _ = file.locate(0);
        let len = file.len().unwrap_or(0);
        let mut buf = vec![0; usize::try_from(len.min(64 << 10)).unwrap()];
        let _ = file.read_at(0, &mut buf);
        let _ = file.read_at(len - buf.len() as u64, &mut buf);
        let _ = (file.writable(0, len), volume.confirm(&file));
        let grown = |more| volume.plan_growth(path, file.facts().covered_len.saturating_add(more));
        let _ = (grown(1), grown(200_000));
    }
}
