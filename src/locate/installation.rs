//! Windows installations on a disk: folders with `System32\config\SYSTEM`.

use std::fmt;

use super::{Choice, Disk};
use hivewright_disk::files::{Files, names};
use hivewright_disk::partition::{Partition, VolumeId, VolumeKind};
use hivewright_error::{Code, Error, Kind, Result};

/// Folders at the root of a volume that are searched at most; a Windows volume has far fewer.
const MOST_FOLDERS: usize = 4096;

/// The place of a Windows installation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Installation {
    /// Its volume.
    #[serde(rename = "partition")]
    pub volume: VolumeId,
    /// Its folder, from the root of the volume: `\Windows`.
    pub root: String,
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.volume {
            VolumeId::Whole => f.write_str(&self.root),
            volume => write!(f, "{} of {volume}", self.root),
        }
    }
}

impl Installation {
    /// Returns the folder of its hives.
    pub fn config(&self) -> String {
        format!("{}\\System32\\config", self.root)
    }

    /// Returns the path of a hive of that name in its folder `config`.
    pub fn hive(&self, name: &str) -> String {
        format!("{}\\{name}", self.config())
    }
}

/// The result of a search: the installations, and the errors of volumes that could not be searched.
#[derive(Debug)]
pub struct Search {
    /// The installations, in the order of the partition table.
    pub found: Vec<Installation>,
    /// Volumes that may have Windows and cannot be searched.
    pub unsearched: Vec<UnsearchedVolume>,
}

/// A volume that may have Windows and cannot be searched.
#[derive(Debug)]
pub struct UnsearchedVolume {
    /// The volume.
    pub volume: VolumeId,
    /// The reason.
    pub error: Error,
}

impl Disk {
    /// Returns all installations that `choice` selects.
    ///
    /// # Errors
    /// `no-partition`.
    pub fn search(&self, choice: &Choice) -> Result<Search> {
        let mut search = Search { found: Vec::new(), unsearched: Vec::new() };
        let chosen = self.chosen(choice)?;
        for partition in self.partitions(chosen)? {
            if chosen.is_none() && (partition.is_reserved() || self.is_reported_before(partition)) {
                continue;
            }
            let roots = self.volume(partition).and_then(|files| match &choice.windows_root {
                Some(root) => named(&*files, root),
                None => roots(&*files),
            });
            match roots {
                Ok(roots) => {
                    search.found.extend(roots.into_iter().map(|root| Installation { volume: partition.id(), root }))
                }
                Err(error) if error.kind() == Kind::Io || chosen.is_some() || may_hide_windows(partition) => {
                    let volume = partition.id();
                    let error = error.adding(&format!("it is {volume} of {}", self.path.display()));
                    search.unsearched.push(UnsearchedVolume { volume, error });
                }
                Err(_) => {}
            }
        }
        Ok(search)
    }
}

/// Partition types that Windows uses for its volumes: FAT and NTFS in an MBR, basic data in a GPT.
const OF_WINDOWS: [&str; 6] = ["0x06", "0x07", "0x0b", "0x0c", "0x0e", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"];

/// Returns whether the partition is likely to have Windows.
fn may_hide_windows(partition: &Partition) -> bool {
    use VolumeKind::{
        Bitlocker, BitlockerToGo, DynamicDisk, Fat, Ntfs, PastEnd, Refs, StorageSpaces, Unknown, WimImage,
    };
    match partition.kind {
        Ntfs | Fat | Refs | Bitlocker | BitlockerToGo | DynamicDisk | StorageSpaces | WimImage => true,
        // Damaged or truncated: the partition table still has the type.
        Unknown | PastEnd => OF_WINDOWS.iter().any(|id| id.eq_ignore_ascii_case(&partition.type_id)),
        _ => false,
    }
}

/// Returns the folder that the user named, if it has Windows.
fn named(files: &dyn Files, root: &str) -> Result<Vec<String>> {
    let root: String = names(root).flat_map(|name| ["\\", name]).collect();
    Ok(if has_system(files, &root)? { vec![root] } else { Vec::new() })
}

/// Returns the folders at the root of the volume that have Windows.
pub(crate) fn roots(files: &dyn Files) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let top = files.list("")?.unwrap_or_default();
    let folders = top.into_iter().filter(|entry| entry.is_folder && !entry.is_reparse && !entry.name.starts_with('$'));
    for folder in folders.take(MOST_FOLDERS) {
        let root = format!("\\{}", folder.name);
        match has_system(files, &root) {
            Ok(true) => found.push(root),
            Ok(false) => {}
            Err(error) if error.kind() == Kind::Io => return Err(error),
            // A folder that cannot be searched does not affect the others, unless it is the Windows folder itself.
            Err(error) if is_usual(&folder.name) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(found)
}

fn is_usual(name: &str) -> bool {
    name.eq_ignore_ascii_case("Windows") || name.eq_ignore_ascii_case("WINNT")
}

/// Returns whether the folder has the hive SYSTEM. A hive whose contents only Windows can make counts too: its error is
/// reported later, and hides neither the volume nor other installations.
fn has_system(files: &dyn Files, root: &str) -> Result<bool> {
    match files.open(&format!("{root}\\System32\\config\\SYSTEM")) {
        Ok(file) => Ok(file.is_some()),
        Err(error) if error.code() == Code::FileIsFolder => Ok(false),
        Err(error) if error.code() == Code::FileFiltered => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use hivewright_disk::container::About;
    use hivewright_error::{Error, Place};
    use hivewright_storage::Storage;
    use hivewright_storage::memory::Memory;

    /// A disk with bad sectors from an offset on.
    struct Bad(Memory, u64);

    impl Storage for Bad {
        fn len(&self) -> Result<u64> {
            self.0.len()
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            if offset + buf.len() as u64 > self.1 {
                return Err(Error::new(Kind::Io, Code::Io, "a bad sector"));
            }
            self.0.read_at(offset, buf)
        }

        fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
            unreachable!("nothing is written here")
        }

        fn flush(&self) -> Result<()> {
            Ok(())
        }

        fn locate(&self, _: u64) -> Vec<Place> {
            Vec::new()
        }
    }

    #[test]
    fn bad_sectors_of_one_volume_do_not_hide_the_other_and_leave_no_choice() {
        let fixture = hivewright_fixtures::disks::Disk::named("two-windows").unwrap();
        let bytes = fixture.read(&hivewright_fixtures::folder::home()).unwrap();
        let (table, size) =
            (hivewright_disk::partition::partitions(&Memory::new(bytes.clone())).unwrap(), bytes.len() as u64);
        let second = table.partitions[1].offset;
        let disk = Disk {
            path: "disk".into(),
            options: <_>::default(),
            below: Arc::new(Bad(Memory::new(bytes), second + (1 << 20))),
            about: About { format: "raw", size, ..About::default() },
            files: Vec::new(),
            read: Arc::default(),
            archive: None,
            table,
            volumes: Arc::default(),
            is_device: false,
        };
        let Search { found, unsearched } = disk.search(&Choice::default()).unwrap();
        assert_eq!(
            (found.len(), found[0].volume.number(), unsearched.len(), unsearched[0].volume.number()),
            (1, 1, 1, 2)
        );
        assert_eq!(disk.installation(&Choice::default()).unwrap_err().kind(), Kind::Io, "there may be another");
        let first = Choice::default().on_volume(VolumeId::Partition(1));
        assert_eq!(disk.installation(&first).unwrap(), found[0]);
    }
}
