//! One hive of one installation on one disk.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::bottom::Reader;
use super::paged::Paged;
use super::placement::Placement;
use super::{Disk, Installation, Obstacle, obstacles};
use crate::session::commit::{Stage, changed_since};
use crate::windows::{self, Product};
use hivewright_disk::container::{Gate, Opener, explained};
use hivewright_disk::files::{Files, VolumeState};
use hivewright_disk::partition::Partition;
use hivewright_error::{Error, Kind, Result, Space};
use hivewright_hive::Hive;
use hivewright_storage::{Access, Blank, Host, RealHost, Storage, joined};

/// The most bytes of a hive or a log: a hive's bins stay below 2 GiB.
const MOST_BYTES: u64 = 3 << 30;
/// Endings of the transaction logs of a hive.
const LOGS: [&str; 3] = ["LOG", "LOG1", "LOG2"];

/// A hive inside of a disk.
pub struct HiveOnDisk {
    disk: Disk,
    installation: Installation,
    name: String,
    files: Arc<dyn Files>,
    paged: Paged,
    whole: OnceLock<Vec<u8>>,
}

impl HiveOnDisk {
    pub(super) fn open(disk: Disk, installation: Installation, name: &str) -> Result<Self> {
        let partition = disk.partitions(Some(installation.partition))?.remove(0);
        let files = disk.volume(partition)?;
        let path = installation.hive(name);
        let gone = || Error::new(Kind::NotFound, "no-file", format!("there is no {path} on the disk"));
        let paged = Paged::new(files.open(&path)?.ok_or_else(gone)?);
        Ok(HiveOnDisk { disk, installation, name: name.to_owned(), files, paged, whole: OnceLock::new() })
    }

    /// The disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The installation.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The path of the hive in its volume.
    pub fn path(&self) -> String {
        self.installation.hive(&self.name)
    }

    /// Its bytes, page by page.
    pub fn paged(&self) -> &Paged {
        &self.paged
    }

    /// All of its bytes.
    ///
    /// # Errors
    /// `too-large`; they cannot be read.
    pub fn whole(&self) -> Result<&[u8]> {
        if self.whole.get().is_none() {
            let whole = self.paged.whole(self.most());
            let _ = self.whole.set(whole.map_err(|error| explained(error, &self.disk.files))?);
        }
        Ok(self.whole.get().map_or(&[], Vec::as_slice))
    }

    /// See [`Paged::seen`].
    pub(in crate::session) fn seen(&self) -> Result<Option<Blank>> {
        self.paged.seen(self.most())
    }

    /// The transaction logs beside it, by name.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn logs(&self) -> Result<Vec<(String, Vec<u8>)>> {
        logs_of(&*self.files, &self.installation, &self.name, self.disk.len())
    }

    /// The state of its volume.
    ///
    /// # Errors
    /// The volume does not say.
    pub fn volume_state(&self) -> Result<VolumeState> {
        self.files.state()
    }

    /// Refuses if the hive should not, or cannot, be written in place; `ignore` names obstacles of the volume that the
    /// user takes upon himself, of those that can be: see `obstacles::IGNORABLE`.
    ///
    /// # Errors
    /// [`Kind::Refused`] with the code of the first [`Obstacle`] that counts.
    pub fn may_be_written(&self, ignore: &[&str]) -> Result<()> {
        let mut all = self.obstacles(&self.volume_state()?);
        // What no option overrides comes first: else the advice to give one would lead to the next refusal.
        all.sort_by_key(Obstacle::is_ignorable);
        let stands = |obstacle: &&Obstacle| !(obstacle.is_ignorable() && ignore.contains(&obstacle.code));
        all.iter().find(stands).map_or(Ok(()), |obstacle| Err(obstacle.refuse()))
    }

    /// Refuses where other images stand on this one, unless `ignore` has that: for writes in place alone.
    pub(in crate::session) fn refuse_children(&self, ignore: &[&str]) -> Result<()> {
        match self.disk.children() {
            Some(obstacle) if !ignore.contains(&obstacle.code) => Err(obstacle.refuse()),
            _ => Ok(()),
        }
    }

    /// Everything that stands against writing to it in place, the disk's and the volume's first; `state` is that of its
    /// volume.
    pub fn obstacles(&self, state: &VolumeState) -> Vec<Obstacle> {
        let all = self.disk.obstacles().into_iter().chain(obstacles::of_volume(state));
        all.chain(obstacles::of_file(&*self.files, self.paged.file())).collect()
    }

    /// The partition that its volume is.
    pub fn partition(&self) -> Option<&Partition> {
        self.disk.table.partitions.iter().find(|partition| partition.number == self.installation.partition)
    }

    /// Which Windows the hive SOFTWARE beside it says it is, its primary file alone. `None` where there is no such hive, or it
    /// does not say.
    ///
    /// # Errors
    /// It is there, and is no hive or damaged.
    pub fn product(&self) -> Result<Option<Product>> {
        match self.files.open(&self.installation.hive("SOFTWARE"))? {
            Some(file) => windows::product(Hive::open(Paged::new(file))?.primary_alone()),
            None => Ok(None),
        }
    }

    /// The file of the host that holds a byte of it, as far as the image tells; else the image.
    pub(in crate::session) fn file_at(&self, offset: u64) -> PathBuf {
        let number = match self.paged.file().locate(offset).last().map(|place| place.space) {
            Some(Space::Part(number)) => usize::from(number).saturating_sub(1),
            _ => 0,
        };
        self.disk.files.get(number).map_or_else(|| self.disk.path.clone(), |file| file.path.clone())
    }

    /// A gate that hands out files of `opener` for the same image.
    pub(in crate::session) fn gate(&self, opener: Arc<dyn Opener>) -> Gate {
        self.disk.options.gate(opener)
    }

    /// Opens everything anew, from the files that `gate` hands out up to the hive.
    pub(in crate::session) fn again(&self, gate: &Gate) -> Result<HiveOnDisk> {
        let gone = || Error::refused("changed-since", format!("{} is no disk any more", self.disk.path.display()));
        let disk = Disk::open_through(&self.disk.path, &self.disk.options, gate, Arc::default())?.ok_or_else(gone)?;
        HiveOnDisk::open(disk, self.installation.clone(), &self.name)
    }

    /// As [`HiveOnDisk::gate`], with the files of `host`, for reading.
    pub(in crate::session) fn gate_on<H: Host>(&self, host: &H) -> Gate {
        self.gate(Arc::new(Reader { host: host.clone(), read: Arc::default() }))
    }

    /// Its transaction logs as files to be written to.
    pub(in crate::session) fn log_files(&self) -> Result<Vec<HiveOnDisk>> {
        let logs = LOGS.iter().map(|ending| self.named(format!("{}.{ending}", self.name)));
        logs.filter_map(Result::transpose).collect()
    }

    /// The same file as `other`, in the folder of this hive: on the disk as this one has it open.
    pub(in crate::session) fn beside(&self, other: &HiveOnDisk) -> Result<HiveOnDisk> {
        self.named(other.name.clone())?.ok_or_else(|| changed_since(&self.disk.path))
    }

    fn named(&self, name: String) -> Result<Option<HiveOnDisk>> {
        let Some(file) = self.files.open(&self.installation.hive(&name))? else { return Ok(None) };
        let (disk, installation, files) = (self.disk.clone(), self.installation.clone(), self.files.clone());
        Ok(Some(HiveOnDisk { disk, installation, name, files, paged: Paged::new(file), whole: OnceLock::new() }))
    }

    /// Where its bytes lie, as addresses of `files` one after the other. `None` where the image does not tell.
    ///
    /// # Errors
    /// `placement`: a byte of it has no place of its own in an image whose bytes all have one.
    pub(in crate::session) fn placement(&self, files: &[(PathBuf, u64)]) -> Result<Option<Placement>> {
        let is_linear = self.disk.about.format == "raw" && self.disk.files.len() == 1;
        let lens: Vec<u64> = files.iter().map(|file| file.1).collect();
        let starts = joined::starts(&lens)?;
        let start_of = |space| {
            let number = match space {
                Space::File => 0,
                Space::Part(number) => usize::from(number).checked_sub(1)?,
                _ => return None,
            };
            let path = &self.disk.files.get(number)?.path;
            starts.get(files.iter().position(|file| file.0 == *path)?).copied()
        };
        match Placement::of(self.paged.file(), is_linear, &start_of) {
            Err(_) if self.disk.about.format != "raw" => Ok(None),
            placement => placement.map(Some),
        }
    }

    /// Everything that is known to stand against a write to it but other images that stand on this one, which
    /// [`Disk::children`] looks for. A state of the volume that cannot be read is one thing more.
    pub fn all_obstacles(&self) -> Vec<Obstacle> {
        let of_hive = match self.volume_state() {
            Ok(state) => self.obstacles(&state),
            Err(error) => {
                vec![Obstacle::new(error.code(), format!("the state of the volume is not known: {error}")).doubting()]
            }
        };
        self.disk.host_obstacles().into_iter().chain(of_hive).chain(self.of_placement()).collect()
    }

    /// Why the first sector of the hive, which every edit changes, cannot be written where it lies in a parent of the image.
    /// That is tried in memory, with the formats that may have no place for it in the child.
    pub(super) fn of_placement(&self) -> Option<Obstacle> {
        const MAY_REFUSE: [&str; 4] = ["vhd", "vhdx", "vdi", "vmdk"];
        if !MAY_REFUSE.contains(&self.disk.about.format) || !self.disk.backing_files().contains(&self.file_at(0)) {
            return None;
        }
        let stage = Stage::new(|path, _| Ok(Arc::new(RealHost.open(path, Access::Read)?)));
        let again = self.again(&self.gate(stage)).ok()?;
        let mut sector = [0; 512];
        let file = again.paged.file();
        file.read_at(0, &mut sector).ok()?;
        file.write_at(0, &sector).err().map(|error| Obstacle::of(&error))
    }

    /// No file is larger than its disk, unless it has holes: those are no bytes to be kept in memory.
    fn most(&self) -> u64 {
        MOST_BYTES.min(self.disk.len())
    }
}

/// The transaction logs of a hive on a disk of `disk_len` bytes, by name.
pub(super) fn logs_of(
    files: &dyn Files,
    place: &Installation,
    hive: &str,
    disk_len: u64,
) -> Result<Vec<(String, Vec<u8>)>> {
    let mut logs = Vec::new();
    for ending in LOGS {
        let name = format!("{hive}.{ending}");
        if let Some(file) = files.open(&place.hive(&name))? {
            logs.push((name, Paged::new(file).whole(MOST_BYTES.min(disk_len))?));
        }
    }
    Ok(logs)
}

impl fmt::Debug for HiveOnDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HiveOnDisk")
            .field("disk", &self.disk.path)
            .field("installation", &self.installation)
            .field("file", self.paged.file())
            .finish_non_exhaustive()
    }
}
