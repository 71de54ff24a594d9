//! A disk: from a file of the host to the hives in it. Never writes: an edit writes, through `commit`, to the places in
//! the image that a [`HiveHandle`] has.
//!
//! file -> (segments) -> partition table -> volume -> NTFS or FAT -> Windows installations -> hives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::options::{self, ImageOptions, Reader};
use super::{HiveHandle, Installation, Obstacle, Search, host_obstacles, obstacles};
use hivewright_disk::container::{
    About, DependentSearch, FoundDependents, HostFile, Image, PathPolicy, Role, Verified, explained,
};
use hivewright_disk::files::Files;
use hivewright_disk::partition::{Scheme, Table, VolumeId, VolumeKind};
use hivewright_disk::wim::Archive;
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::probe::{EntryKind, kind_of};
use hivewright_storage::{Host, RealHost, Storage};

/// Selects one of several partitions and installations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The volume.
    pub volume: Option<VolumeChoice>,
    /// The folder of the Windows installation, from the root of its volume.
    pub windows_root: Option<String>,
    /// Options for opening the image.
    pub image: ImageOptions,
}

impl Choice {
    /// Returns whether no volume and no folder is selected.
    pub fn is_empty(&self) -> bool {
        self.volume.is_none() && self.windows_root.is_none()
    }

    /// Returns the same choice on one volume.
    pub(crate) fn on_volume(&self, id: VolumeId) -> Self {
        Choice { volume: Some(VolumeChoice::Id(id)), ..self.clone() }
    }
}

/// Selects one of several volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeChoice {
    /// The volume with this identity.
    Id(VolumeId),
    /// An image of a WIM archive, by its number or its name.
    ArchiveImage(String),
}

/// A disk, or a single volume, and its partition table.
#[derive(Clone)]
pub struct Disk {
    pub(super) path: PathBuf,
    pub(super) options: ImageOptions,
    /// The guest's disk.
    pub(super) below: Arc<dyn Storage>,
    pub(super) about: About,
    pub(super) files: Vec<HostFile>,
    pub(super) read: Arc<AtomicU64>,
    /// The archive, where it is one of images.
    pub(super) archive: Option<Arc<Archive>>,
    pub(super) table: Table,
    /// The opened file systems.
    pub(super) volumes: Arc<Mutex<BTreeMap<VolumeId, Arc<dyn Files>>>>,
    pub(super) is_device: bool,
}

impl Disk {
    /// Opens the disk at `path`. `None` if nothing indicates a disk; the file may be a hive.
    ///
    /// # Errors
    /// As [`hivewright_disk::container::open`]; `gpt-damaged`.
    pub fn open(path: &Path) -> Result<Option<Disk>> {
        Self::open_as(path, &ImageOptions::default())
    }

    /// As [`Disk::open`], with options.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub fn open_as(path: &Path, options: &ImageOptions) -> Result<Option<Disk>> {
        Self::open_on(&RealHost, path, options)
    }

    /// As [`Disk::open_as`], on another host: names are looked up on this system, and bytes are read from `host`.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub fn open_on<H: Host>(host: &H, path: &Path, options: &ImageOptions) -> Result<Option<Disk>> {
        let read = Arc::<AtomicU64>::default();
        let reader = Reader { host: host.clone(), read: read.clone() };
        Self::open_through(path, options, &options.policy(Arc::new(reader)), read)
    }

    /// As [`Disk::open`], with the files that `policy` opens; `read` counts their bytes.
    pub(crate) fn open_through(
        path: &Path,
        options: &ImageOptions,
        policy: &PathPolicy,
        read: Arc<AtomicU64>,
    ) -> Result<Option<Disk>> {
        let Some(Image { disk: below, about, archive }) = options::open(policy, path, options)? else {
            return Ok(None);
        };
        let files = policy.files();
        let table = match &archive {
            Some(archive) => archive.table(about.size),
            None => hivewright_disk::partition::partitions(&*below).map_err(|error| explained(error, &files))?,
        };
        let is_device = kind_of(path)? == EntryKind::Device;
        let (path, options) = (path.to_owned(), options.clone());
        let disk =
            Disk { path, options, below, about, files, read, archive, table, volumes: Arc::default(), is_device };
        Ok((disk.is_device || disk.is_evident()).then_some(disk))
    }

    /// Returns whether it is a disk by its contents, and not only because the user named a format.
    fn is_evident(&self) -> bool {
        let kind = self.table.partitions.first().map(|partition| partition.kind);
        self.about.format != "raw"
            || self.files.len() > 1
            || self.options.format.is_some()
            || self.table.scheme != Scheme::None
            || !matches!(kind, None | Some(VolumeKind::Unknown | VolumeKind::Empty | VolumeKind::PastEnd))
            || self.table.partitions.first().is_some_and(|whole| self.volume(whole).is_ok())
    }

    /// Returns its file; for a split image, the segment that the user named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its kind in one word: `device`, `split`, or the name of its format.
    pub fn container(&self) -> &'static str {
        match (self.is_device, self.about.format) {
            (true, _) => "device",
            (_, "raw") if self.own_files().len() > 1 => "split",
            (_, format) => format,
        }
    }

    /// Returns the archive, where it is one of images.
    pub(crate) fn archive(&self) -> Option<&Arc<Archive>> {
        self.archive.as_ref()
    }

    /// Returns the description of the image.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Verifies the hashes that its image stores, which reads the whole disk. Empty if there are none.
    ///
    /// # Errors
    /// As [`hivewright_disk::container::verify`].
    pub fn verify(&self) -> Result<Vec<Verified>> {
        hivewright_disk::container::verify(&*self.below, &self.about)
    }

    /// Returns the files of the host that it consists of; the first is the one that the user named.
    pub fn files(&self) -> &[HostFile] {
        &self.files
    }

    /// Returns whether the bytes of `file` are the first bytes of the disk, judged by 65 samples. The path is as in
    /// [`Disk::files`].
    pub fn begins_with(&self, file: &Path) -> bool {
        let index = self.files.iter().position(|own| own.path == file).filter(|_| self.archive.is_none());
        let Some(index) = index else { return false };
        let len = self.files[index].size;
        // An image with an external data file has all data in that file; unwritten data has no place.
        let may_have_holes = self.about.format == "qcow2" && self.about.below.is_none();
        let is_there = |offset: u64| match self.below.locate(offset).last() {
            Some(place) if matches!(place.space, Space::Part(_) | Space::File) => {
                let number = if let Space::Part(number) = place.space { usize::from(number) } else { 1 };
                number == index + 1 && place.offset == offset
            }
            _ => may_have_holes && offset > 0,
        };
        (1..=self.len()).contains(&len) && (0..64).all(|part| is_there(len / 64 * part)) && is_there(len - 1)
    }

    /// Returns the partition table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Returns the size of the disk in bytes.
    pub fn len(&self) -> u64 {
        self.about.size
    }

    /// Returns whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the reasons against writing anywhere in it.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        obstacles::of_disk(self)
    }

    /// Returns the images that depend on this one, and those of which it is a part, found in its folder.
    pub fn find_dependents(&self, search: &DependentSearch) -> FoundDependents {
        if self.is_device { FoundDependents::default() } else { search.find(&self.own_files(), &self.path) }
    }

    /// Returns the obstacle that dependent images are to a write.
    pub fn children(&self) -> Option<Obstacle> {
        self.children_among(&self.find_dependents(&DependentSearch::default()))
    }

    /// As [`Disk::children`], for dependents that are already known.
    pub fn children_among(&self, found: &FoundDependents) -> Option<Obstacle> {
        let own = self.own_files();
        obstacles::of_whole(&own, found).or_else(|| obstacles::of_children(&own, found))
    }

    /// Returns the paths of the files that a write may change; the first is the one that the user named.
    pub(crate) fn own_files(&self) -> Vec<PathBuf> {
        self.paths(|role| role != Role::Backing)
    }

    /// Returns the paths of the files that are only read.
    pub(crate) fn backing_files(&self) -> Vec<PathBuf> {
        self.paths(|role| role == Role::Backing)
    }

    fn paths(&self, wanted: impl Fn(Role) -> bool) -> Vec<PathBuf> {
        self.files.iter().filter(|file| wanted(file.role)).map(|file| file.path.clone()).collect()
    }

    /// Returns the obstacles of its files on the host: they are in use, or not writable.
    pub fn host_obstacles(&self) -> Vec<Obstacle> {
        host_obstacles::obstacles(&self.own_files(), &self.backing_files(), true)
    }

    /// Returns the number of shadow copies of all readable volumes; `None` if one of them is unknown.
    pub fn shadow_copies(&self) -> Option<u32> {
        let partitions = self.partitions(None).ok()?;
        let states = partitions.into_iter().filter_map(|partition| self.volume(partition).ok()?.state().ok());
        states.map(|state| state.shadow_copies).sum()
    }

    /// Returns the paths of all of its files.
    pub(crate) fn all_files(&self) -> Vec<PathBuf> {
        self.paths(|_| true)
    }

    /// Returns the options with which it was opened.
    pub(crate) fn options(&self) -> &ImageOptions {
        &self.options
    }

    /// Returns the bytes read of its files so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Returns the SYSTEM hive of the selected installation.
    ///
    /// # Errors
    /// As [`Disk::installation`]; the hive's file cannot be opened.
    pub fn system_hive(&self, choice: &Choice) -> Result<HiveHandle> {
        let installation = self.installation(choice)?;
        HiveHandle::on_disk(self.clone(), installation, "SYSTEM").map_err(|error| explained(error, &self.files))
    }

    /// Returns the SYSTEM hive of an installation that [`Disk::search`] found.
    ///
    /// # Errors
    /// I/O errors; it cannot be opened.
    pub fn system_hive_of(&self, installation: &Installation) -> Result<HiveHandle> {
        HiveHandle::on_disk(self.clone(), installation.clone(), "SYSTEM")
    }

    /// Returns the SYSTEM hives of all installations.
    ///
    /// # Errors
    /// An image or volume cannot be read: for a volume only if no other volume has Windows.
    pub(crate) fn system_hives(&self) -> Result<Vec<HiveHandle>> {
        let Search { found, mut unsearched } = self.search(&Choice::default())?;
        if let Some(i) = unsearched.iter().position(|it| it.error.kind() == Kind::Io || found.is_empty()) {
            return Err(self.doubted(unsearched.swap_remove(i).error));
        }
        found.iter().map(|installation| self.system_hive_of(installation)).collect()
    }

    /// Returns the selected Windows installation.
    ///
    /// # Errors
    /// `no-installation`, `several-installations`, `no-partition`; the error of a volume that cannot be read, if no
    /// other has Windows: `volume-bitlocker`, `volume-dynamic-disk`, `volume-storage-spaces`, `volume-refs` and damage.
    pub fn installation(&self, choice: &Choice) -> Result<Installation> {
        let Search { mut found, mut unsearched } = self.search(choice)?;
        // A volume that cannot be read may have another installation.
        if let Some(i) = unsearched.iter().position(|trouble| trouble.error.kind() == Kind::Io) {
            return Err(unsearched.swap_remove(i).error);
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 if !unsearched.is_empty() => Err(self.doubted(unsearched.remove(0).error)),
            0 => Err(self.no_installation(choice)),
            count => {
                let names: Vec<String> = found.iter().map(Installation::to_string).collect();
                let what = format!("{} contains {count} installations: {}", self.path.display(), names.join(", "));
                let advice = match self.archive {
                    Some(_) => "choose one with --image, by its number or name",
                    None => "choose one with --partition, --windows-root or both",
                };
                Err(Error::refused(Code::SeveralInstallations, what).advise(advice))
            }
        }
    }

    /// Returns the error for a disk without an installation.
    pub fn no_installation(&self, choice: &Choice) -> Error {
        let what = match &choice.windows_root {
            Some(root) => format!("{} contains no Windows installation in {root}", self.path.display()),
            None => format!("{} contains no Windows installation", self.path.display()),
        };
        let advice =
            "`hivewright info` shows the contents of the disk; --windows-root names a folder deeper in a volume";
        self.doubted(Error::new(Kind::NotFound, Code::NoInstallation, what).advise(advice))
    }

    /// Adds remarks on the image that may explain the error.
    fn doubted(&self, error: Error) -> Error {
        let error = explained(error, &self.files);
        self.about.doubts().into_iter().fold(error, Error::adding)
    }
}

pub(crate) fn absolute(path: &Path) -> PathBuf {
    RealHost.resolve(path).unwrap_or_else(|_| path.to_owned())
}
