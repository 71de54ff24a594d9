//! Reports on a disk: its image, its volumes, and the Windows installations on them.

use std::path::PathBuf;

use crate::locate::logs::LogFiles;
use crate::locate::{
    Choice, Disk, HiveHandle, Installation, LogChoice, Obstacle, Paged, absolute, of_file, of_volume, roots,
};
use crate::settings::nat_t;
use crate::windows::{self, Detection, Finding, Product};
use hivewright_disk::container::{About, HostFile, Verified};
use hivewright_disk::files::{Files, Packed, VolumeState};
use hivewright_disk::partition::{Partition, Table, VolumeId};
use hivewright_error::{Place, Result};
use hivewright_hive::{Hive, Opened};
use hivewright_storage::Storage;
use hivewright_storage::exact::field;

/// Hives in the folder `config` of every Windows.
const HIVES: [&str; 5] = ["SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DEFAULT"];

/// A disk and its volumes.
#[derive(Debug, serde::Serialize)]
pub struct DiskInfo {
    /// The file that the user named.
    #[serde(flatten, serialize_with = "field::file")]
    pub file: PathBuf,
    /// The image and its format.
    pub container: About,
    /// The files of the host that it consists of; the first is the one that the user named.
    pub files: Vec<HostFile>,
    /// Size of the disk in bytes.
    pub size: u64,
    /// The partition table.
    #[serde(flatten)]
    pub table: Table,
    /// Reasons against writing anywhere in it.
    pub obstacles: Vec<Obstacle>,
    /// The volumes, in the order of the partition table.
    pub volumes: Vec<VolumeInfo>,
    /// The stored hashes of the image and those of its bytes, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Vec<Verified>>,
    /// Bytes of the image that were read for this report.
    pub bytes_read: u64,
}

/// A volume.
#[derive(Debug, serde::Serialize)]
pub struct VolumeInfo {
    /// Its identity.
    #[serde(rename = "partition")]
    pub volume: VolumeId,
    /// The state of the volume; `None` if it cannot be opened.
    pub state: Option<VolumeState>,
    /// The reason why it cannot be read.
    pub unreadable: Option<Obstacle>,
    /// Reasons against writing to it.
    pub obstacles: Vec<Obstacle>,
    /// The installations on it.
    pub installations: Vec<InstallationInfo>,
}

/// A Windows installation.
#[derive(Debug, serde::Serialize)]
pub struct InstallationInfo {
    /// Its place.
    #[serde(flatten)]
    pub place: Installation,
    /// Its version, according to its hives.
    #[serde(flatten)]
    pub windows: InstallationSummary,
    /// The hives in its folder `config`.
    pub hives: Vec<HiveInfo>,
}

/// The version of Windows according to two independent hives.
#[derive(Debug, Default, serde::Serialize)]
pub struct InstallationSummary {
    /// According to the hive SOFTWARE.
    pub software: Option<Product>,
    /// According to the primary file of the hive SYSTEM.
    pub windows: Option<Detection>,
    /// Whether both belong to the same era; `None` if one of them is unknown.
    pub hives_agree: Option<bool>,
    /// Findings in the hive SYSTEM that `set` refuses, and its unreadable parts.
    pub findings: Vec<Finding>,
}

/// A hive file.
#[derive(Debug, serde::Serialize)]
pub struct HiveInfo {
    /// Its name.
    pub name: &'static str,
    /// Length in bytes.
    pub size: u64,
    /// `clean`, `dirty`, or the code of the error that prevents reading it.
    pub hive_state: &'static str,
    /// The number of extents; 0 if it has no clusters.
    pub extents: usize,
    /// Its place in the archive, for a hive in an image of an archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packed>,
    /// The places of its first byte in every address space.
    pub starts_at: Vec<Place>,
    /// Reasons against writing to it in place, other than those of the volume; for SYSTEM those of the hive as well.
    pub obstacles: Vec<Obstacle>,
}

impl Disk {
    /// Reports on everything that `choice` selects.
    ///
    /// # Errors
    /// `no-partition`; the image cannot be read. Errors of a volume are part of its report.
    pub fn info(&self, choice: &Choice) -> Result<DiskInfo> {
        let mut volumes = Vec::new();
        for partition in self.partitions(self.chosen(choice)?)? {
            volumes.push(self.volume_info(partition, choice)?);
        }
        Ok(DiskInfo {
            file: absolute(self.path()),
            container: self.about().clone(),
            files: self.files().to_vec(),
            size: self.len(),
            table: self.table().clone(),
            obstacles: self.host_obstacles().into_iter().chain(self.obstacles()).chain(self.children()).collect(),
            volumes,
            verified: None,
            bytes_read: self.bytes_read(),
        })
    }

    fn volume_info(&self, partition: &Partition, choice: &Choice) -> Result<VolumeInfo> {
        let mut info = VolumeInfo {
            volume: partition.id(),
            state: None,
            unreadable: None,
            obstacles: Vec::new(),
            installations: Vec::new(),
        };
        if partition.is_reserved() || self.is_reported_before(partition) {
            return Ok(info);
        }
        if let Err(error) = self.read_volume(partition, choice, &mut info) {
            if error.kind() == crate::Kind::Io {
                return Err(error);
            }
            info.unreadable = Some(Obstacle::new(error.code(), error.to_string()));
        }
        Ok(info)
    }

    fn read_volume(&self, partition: &Partition, choice: &Choice, info: &mut VolumeInfo) -> Result<()> {
        let files = self.volume(partition)?;
        let state = files.state()?;
        info.obstacles = of_volume(&state);
        info.state = Some(state);
        let wanted = choice.windows_root.as_deref().map(|root| root.trim_matches(['\\', '/']).to_owned());
        for root in roots(&*files)? {
            if wanted.as_deref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&root[1..])) {
                continue;
            }
            let place = Installation { volume: partition.id(), root };
            let windows = summary(&*files, &place);
            let hives = HIVES.iter().filter_map(|name| self.hive_info(&*files, &place, name).transpose());
            let mut hives: Vec<HiveInfo> = hives.collect::<Result<_>>()?;
            if let Some(system) = hives.iter_mut().find(|hive| hive.name == HIVES[0] && hive.extents > 0) {
                system.obstacles.extend(HiveHandle::on_disk(self.clone(), place.clone(), HIVES[0])?.of_placement());
            }
            info.installations.push(InstallationInfo { place, windows, hives });
        }
        Ok(())
    }
}

fn summary(files: &dyn Files, place: &Installation) -> InstallationSummary {
    let paged = |name: &str| Some(Paged::new(files.open(&place.hive(name)).ok()??));
    let software =
        paged("SOFTWARE").and_then(|bytes| windows::product(Hive::open(bytes).ok()?.primary_alone()).ok()?);
    let report =
        paged("SYSTEM").map(|bytes| Hive::open(bytes).and_then(|opened| nat_t::report(opened.primary_alone(), None)));
    let (windows, findings) = match report {
        None => (None, Vec::new()),
        Some(Ok(report)) => {
            let findings = report.findings.into_iter().filter(Finding::is_in_the_way).collect();
            (Some(report.windows), findings)
        }
        Some(Err(error)) => (None, vec![Finding::from(&error)]),
    };
    let hives_agree =
        software.as_ref().zip(windows.as_ref()).and_then(|(software, windows)| software.agrees_with(windows));
    InstallationSummary { software, windows, hives_agree, findings }
}

impl Disk {
    fn hive_info(&self, files: &dyn Files, place: &Installation, name: &'static str) -> Result<Option<HiveInfo>> {
        let path = place.hive(name);
        let file = match files.open(&path) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == crate::Kind::Io => return Err(error),
            Err(error) => {
                let obstacles = vec![Obstacle::new(error.code(), error.what())];
                let state = error.code().as_str();
                let (packed, starts_at) = <_>::default();
                return Ok(Some(HiveInfo {
                    name,
                    size: 0,
                    hive_state: state,
                    extents: 0,
                    packed,
                    starts_at,
                    obstacles,
                }));
            }
        };
        let (size, extents, starts_at) = (file.len()?, file.extents().len(), file.locate(0));
        let packed = file.packed();
        let mut obstacles = of_file(files, &file);
        let is_system = name == HIVES[0];
        let state = match Hive::open(Paged::new(file)) {
            Ok(Opened::Clean(hive)) => {
                obstacles.extend(if is_system { nat_t::obstacle(&hive, None)? } else { None });
                "clean"
            }
            Ok(Opened::Dirty(hive)) => {
                if is_system {
                    let handle = HiveHandle::on_disk(self.clone(), place.clone(), name)?;
                    let logs = LogFiles::read(&handle, &LogChoice::Beside)?;
                    obstacles.extend(nat_t::obstacles_of_dirty(hive, &logs.logs())?);
                }
                "dirty"
            }
            Err(error) => error.code().as_str(),
        };
        Ok(Some(HiveInfo { name, size, hive_state: state, extents, packed, starts_at, obstacles }))
    }
}
