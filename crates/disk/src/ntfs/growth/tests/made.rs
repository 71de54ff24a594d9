//! Volumes of mkntfs that are filled through ntfs-3g, and their checks by other tools.

use hivewright_error::Code;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::files::{Extents, Files};
use crate::ntfs::attribute::Form;
use crate::ntfs::{ClusterMap, Ntfs, runs};
use hivewright_storage::Storage;
use hivewright_storage::memory::Memory;

/// The path of the file that grows, in all volumes.
pub(super) const HIVE: &str = "Windows\\System32\\config\\SYSTEM";

/// Returns a number of bytes without long repetitions.
pub(super) fn contents(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect()
}

/// A volume in a file, for other tools.
pub(super) struct Made {
    folder: tempfile::TempDir,
}

/// Returns the standard output of a tool, and whether it succeeded. `None`, with a message, if it is not installed.
pub(super) fn run(tool: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let Ok(output) = Command::new(tool).args(arguments).output() else {
        hivewright_fixtures::skip::missing(format_args!("{tool} is not installed"));
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

impl Made {
    /// Returns an empty volume of `kib`.
    pub(super) fn new(kib: u64, arguments: &[&str]) -> Option<Made> {
        let made = Made { folder: tempfile::tempdir().unwrap() };
        std::fs::File::create(made.path()).unwrap().set_len(kib << 10).unwrap();
        let (done, text) = run("mkntfs", &[&["-F", "-Q", "-q", "-L", "T"], arguments, &[&*made.text()]].concat())?;
        assert!(done, "{text}");
        Some(made)
    }

    /// Returns a volume with these bytes.
    pub(super) fn of(bytes: &[u8]) -> Made {
        let made = Made { folder: tempfile::tempdir().unwrap() };
        made.put(bytes);
        made
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("volume")
    }

    fn text(&self) -> String {
        self.path().into_os_string().into_string().unwrap()
    }

    pub(super) fn put(&self, bytes: &[u8]) {
        std::fs::write(self.path(), bytes).unwrap();
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    /// Runs `fill` on the mounted volume; `None`, with a message, if it cannot be mounted.
    pub(super) fn fill(&self, fill: impl FnOnce(&Path)) -> Option<()> {
        let point = self.folder.path().join("mounted");
        std::fs::create_dir_all(&point).unwrap();
        let at = point.to_str().unwrap();
        let (mounted, text) = run("ntfs-3g", &[&self.text(), at])?;
        if !mounted {
            hivewright_fixtures::skip::impossible(format_args!("ntfs-3g cannot mount here: {text}"));
            return None;
        }
        fill(&point);
        let patient = |tool: &str, arguments: &[&str]| {
            let pause = || std::thread::sleep(std::time::Duration::from_millis(20));
            (0..200).any(|_| {
                run(tool, arguments).is_some_and(|(done, _)| done) || {
                    pause();
                    false
                }
            })
        };
        assert!(patient("umount", &[at]) && patient("ntfsinfo", &["-f", "-m", &self.text()]));
        Some(())
    }

    /// Fills the volume as in Windows: the hive of `len` bytes among other files.
    pub(super) fn windows(&self, len: usize) -> Option<()> {
        self.fill(|root| {
            let config = root.join("Windows/System32/config");
            std::fs::create_dir_all(&config).unwrap();
            std::fs::write(config.join("SYSTEM"), contents(len, 1)).unwrap();
            for i in 0..30 {
                std::fs::write(config.join(format!("other{i}")), contents(100 + 700 * i, i as u32)).unwrap();
            }
        })
    }

    /// Returns the findings of the cluster accounting of ntfsresize; `Err` has each finding that is not a leak.
    pub(super) fn resizable(&self) -> Option<Result<(), Vec<String>>> {
        let (done, text) = run("ntfsresize", &["-i", "-f", "-f", &self.text()])?;
        let is_harm = |line: &&str| {
            line.contains("luster") && line.contains("accounting failed") && !line.contains("extra cluster in $Bitmap")
        };
        let harm: Vec<String> = text.lines().filter(is_harm).map(str::to_owned).collect();
        let leaks = text.contains("extra cluster in $Bitmap");
        assert!(done || leaks || !harm.is_empty(), "{text}");
        Some(if done { Ok(()) } else { Err(harm) })
    }

    /// Returns whether all tools read `expected` from the hive and have no findings about the volume.
    pub(super) fn judged(&self, expected: &[u8]) -> Option<()> {
        let image = self.text();
        for (tool, arguments) in [("ntfsfix", &["-n", &*image][..]), ("ntfsresize", &["-i", "-f", &image])] {
            let (done, text) = run(tool, arguments)?;
            assert!(done || text.contains("Volume is full"), "{tool}: {text}");
        }
        let path = HIVE.replace('\\', "/");
        let out = Command::new("ntfscat").args(["-f", &image, &path]).output().ok()?;
        assert!(out.status.success() && out.stdout == expected, "ntfscat reads something else");
        let id = Ntfs::open(Arc::new(Memory::new(self.bytes()))).unwrap().open(HIVE).unwrap().unwrap().facts().id;
        let out = Command::new("icat").args([&*image, &format!("{id}-128")]).output().ok()?;
        assert!(out.status.success() && out.stdout == expected, "icat reads something else");
        let (done, text) = run("fls", &["-r", "-p", &image])?;
        assert!(done && text.contains(&path), "{text}");
        let (done, text) = run("ntfsinfo", &["-f", "-F", &path, &image])?;
        assert!(done && text.contains(&format!("Data size:\t\t {}", expected.len())), "{text}");
        Some(())
    }
}

pub(super) fn open(bytes: &[u8]) -> (Arc<Memory>, Ntfs) {
    let memory = Arc::new(Memory::new(bytes.to_vec()));
    (memory.clone(), Ntfs::open(memory).unwrap())
}

pub(super) fn all(memory: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; memory.len().unwrap() as usize];
    memory.read_at(0, &mut bytes).unwrap();
    bytes
}

pub(super) fn read(volume: &Ntfs, path: &str) -> Vec<u8> {
    let file = volume.open(path).unwrap().unwrap();
    volume.confirm(&file).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Returns every file below the folder of the hive, with its bytes.
pub(super) fn files(volume: &Ntfs) -> Vec<(String, Vec<u8>)> {
    let folder = "Windows\\System32\\config";
    let entries = volume.list(folder).unwrap().unwrap();
    entries
        .iter()
        .map(|entry| format!("{folder}\\{}", entry.name))
        .map(|path| (path.clone(), read(volume, &path)))
        .collect()
}

/// Counts the uses of each cluster in all records, and compares them with the bitmap. Returns the number of leaked
/// clusters.
pub(super) fn account(volume: &Ntfs) -> usize {
    let geometry = *volume.geometry();
    let mut used = vec![0u8; geometry.clusters as usize];
    for number in 0.. {
        let record = match volume.mft.record(number) {
            Ok(record) => record,
            Err(error) if error.code() == Code::NtfsMft => break,
            Err(error) if ["ntfs-record-free", "ntfs-record"].contains(&error.code().as_str()) => continue,
            Err(error) => panic!("{error}"),
        };
        for attribute in record.attributes() {
            let attribute = attribute.unwrap();
            let Form::Runs(header, encoded) = attribute.form else { continue };
            let count = header.highest_vcn.get().wrapping_add(1) - header.lowest_vcn.get();
            let mut extents = Extents::default();
            runs::append(encoded, count, geometry.cluster, geometry.clusters, 0, &mut extents).unwrap();
            for extent in extents.as_slice() {
                let Some(start) = extent.volume_offset else { continue };
                for cluster in start / geometry.cluster..(start + extent.len) / geometry.cluster {
                    used[cluster as usize] += 1;
                }
            }
        }
    }
    assert!(used.iter().all(|&count| count <= 1), "a cluster was given twice");
    let mut map = ClusterMap::open(&volume.mft).unwrap();
    let mut marked = vec![true; used.len()];
    map.free_runs(|start, len| marked[start as usize..(start + len) as usize].fill(false)).unwrap();
    assert!(
        used.iter().zip(&marked).all(|(&count, &marked)| count == 0 || marked),
        "a cluster in use is marked as free"
    );
    used.iter().zip(&marked).filter(|(count, marked)| **count == 0 && **marked).count()
}
