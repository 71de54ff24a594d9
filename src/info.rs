//! Reports on a disk: its image, its volumes, and the Windows installations on them.

use std::path::PathBuf;

use crate::locate::logs::LogFiles;
use crate::locate::{
    Choice, Disk, HiveHandle, Installation, LogChoice, Obstacle, Paged, absolute, of_file, of_volume, roots,
};
use crate::settings::nat_t;
use crate::windows::{self, Detection, Mistake, Product};
use hivewright_disk::container::{About, HostFile, Verified};
use hivewright_disk::files::{Files, VolumeState};
use hivewright_disk::partition::{Partition, Table};
use hivewright_error::{Place, Result};
use hivewright_hive::{Hive, Opened};
use hivewright_storage::Storage;
use hivewright_storage::exact::field;

/// Hives that stand in the folder `config` of every Windows.
const HIVES: [&str; 5] = ["SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DEFAULT"];

/// A disk and its storeys.
#[derive(Debug, serde::Serialize)]
pub struct DiskInfo {
    /// Its file.
    #[serde(flatten, serialize_with = "field::file")]
    pub file: PathBuf,
    /// What kind of image it is.
    pub container: About,
    /// The files of the host that it is made of; the first is the one that was named.
    pub files: Vec<HostFile>,
    /// Bytes of the disk.
    pub size: u64,
    /// What divides it.
    #[serde(flatten)]
    pub table: Table,
    /// What stands against writing anywhere in it.
    pub obstacles: Vec<Obstacle>,
    /// What the partitions hold, in the order of the table.
    pub volumes: Vec<VolumeInfo>,
    /// The hashes that the image stores, and those of its bytes, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Vec<Verified>>,
    /// Bytes read of the image for all of this.
    pub bytes_read: u64,
}

/// A volume.
#[derive(Debug, serde::Serialize)]
pub struct VolumeInfo {
    /// The number of its partition; 0 is the whole disk.
    pub partition: u32,
    /// What it says about itself; none if it cannot be opened.
    pub state: Option<VolumeState>,
    /// Why it cannot be read.
    pub unreadable: Option<Obstacle>,
    /// What stands against writing to it.
    pub obstacles: Vec<Obstacle>,
    /// The installations in it.
    pub installations: Vec<InstallationInfo>,
}

/// A Windows installation.
#[derive(Debug, serde::Serialize)]
pub struct InstallationInfo {
    /// Where it is.
    #[serde(flatten)]
    pub place: Installation,
    /// What it is, as its hives say.
    #[serde(flatten)]
    pub windows: InstallationSummary,
    /// The hives in its folder `config`.
    pub hives: Vec<HiveInfo>,
}

/// Which Windows, by two hives that know nothing of each other.
#[derive(Debug, Default, serde::Serialize)]
pub struct InstallationSummary {
    /// By the hive SOFTWARE.
    pub product: Option<Product>,
    /// By the hive SYSTEM, its primary file alone.
    pub evidence: Option<Detection>,
    /// Whether both speak of the same era; none if one of them is silent.
    pub agree: Option<bool>,
    /// What `set` refuses in the hive SYSTEM, and what of it cannot be read.
    pub mistakes: Vec<Mistake>,
}

/// A hive file.
#[derive(Debug, serde::Serialize)]
pub struct HiveInfo {
    /// Its name.
    pub name: &'static str,
    /// Bytes.
    pub size: u64,
    /// `clean`, `dirty`, or the code of what keeps it from being read.
    pub state: &'static str,
    /// How many pieces it lies in; 0 if it has no clusters of its own.
    pub extents: usize,
    /// Where its first byte is, in every address space.
    pub starts_at: Vec<Place>,
    /// What stands against writing to it in place, beside what the volume has; of SYSTEM what the hive itself has as well.
    pub obstacles: Vec<Obstacle>,
}

impl Disk {
    /// Looks at everything that `choice` leaves.
    ///
    /// # Errors
    /// `no-partition`; the image cannot be read. What is wrong with one volume stands in its own place.
    pub fn info(&self, choice: &Choice) -> Result<DiskInfo> {
        let mut volumes = Vec::new();
        for partition in self.partitions(choice.partition)? {
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
            partition: partition.number,
            state: None,
            unreadable: None,
            obstacles: Vec::new(),
            installations: Vec::new(),
        };
        if partition.is_reserved() || self.is_told_before(partition) {
            return Ok(info);
        }
        if let Err(error) = self.look_into(partition, choice, &mut info) {
            if error.kind() == crate::Kind::Io {
                return Err(error);
            }
            info.unreadable = Some(Obstacle::new(error.code(), error.to_string()));
        }
        Ok(info)
    }

    fn look_into(&self, partition: &Partition, choice: &Choice, info: &mut VolumeInfo) -> Result<()> {
        let files = self.volume(partition)?;
        let state = files.state()?;
        info.obstacles = of_volume(&state);
        info.state = Some(state);
        let wanted = choice.windows_root.as_deref().map(|root| root.trim_matches(['\\', '/']).to_owned());
        for root in roots(&*files)? {
            if wanted.as_deref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&root[1..])) {
                continue;
            }
            let place = Installation { partition: partition.number, root };
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
    let product = paged("SOFTWARE").and_then(|bytes| windows::product(Hive::open(bytes).ok()?.primary_alone()).ok()?);
    let report =
        paged("SYSTEM").map(|bytes| Hive::open(bytes).and_then(|opened| nat_t::report(opened.primary_alone(), None)));
    let (evidence, mistakes) = match report {
        None => (None, Vec::new()),
        Some(Ok(report)) => {
            let mistakes = report.mistakes.into_iter().filter(Mistake::is_in_the_way).collect();
            (Some(report.windows), mistakes)
        }
        Some(Err(error)) => (None, vec![Mistake::from(&error)]),
    };
    let eras = (product.as_ref().and_then(Product::era), evidence.as_ref().and_then(|found| found.service));
    let agree = match eras {
        (Some(era), Some(service)) => Some(era.decision().service() == Some(service)),
        _ => None,
    };
    InstallationSummary { product, evidence, agree, mistakes }
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
                return Ok(Some(HiveInfo { name, size: 0, state, extents: 0, starts_at: Vec::new(), obstacles }));
            }
        };
        let (size, extents, starts_at) = (file.len()?, file.extents().len(), file.locate(0));
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
        Ok(Some(HiveInfo { name, size, state, extents, starts_at, obstacles }))
    }
}
