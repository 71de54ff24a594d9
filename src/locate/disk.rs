//! A disk: from a file of the host up to the hives inside. Nothing here writes: an edit goes to the places in the image that
//! a [`HiveHandle`] names, through `commit`.
//!
//! file -> (segments) -> partition table -> volume -> NTFS or FAT -> Windows installations -> hives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::options::{self, ImageOptions, Reader};
use super::{HiveHandle, Installation, Obstacle, Search, host_obstacles, obstacles};
use hivewright_disk::container::{
    About, FoundDependents, Gate, HostFile, Image, Role, Verified, explained, find_dependents,
};
use hivewright_disk::files::Files;
use hivewright_disk::partition::{Scheme, Table, VolumeKind};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::folder::{EntryKind, kind_of};
use hivewright_storage::{Host, RealHost, Storage};

/// Which of several partitions and installations is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The number of the partition, as Linux counts them.
    pub partition: Option<u32>,
    /// The folder of the Windows installation, from the root of its volume.
    pub windows_root: Option<String>,
    /// How the image is opened.
    pub image: ImageOptions,
}

impl Choice {
    /// Whether nothing inside of a disk was chosen.
    pub fn is_empty(&self) -> bool {
        self.partition.is_none() && self.windows_root.is_none()
    }
}

/// A disk, or a single volume, and its partition table.
#[derive(Clone)]
pub struct Disk {
    pub(super) path: PathBuf,
    pub(super) options: ImageOptions,
    /// What the guest sees.
    pub(super) below: Arc<dyn Storage>,
    pub(super) about: About,
    pub(super) files: Vec<HostFile>,
    pub(super) read: Arc<AtomicU64>,
    pub(super) table: Table,
    /// File systems that were opened, by the numbers of their partitions.
    pub(super) volumes: Arc<Mutex<BTreeMap<u32, Arc<dyn Files>>>>,
    pub(super) is_device: bool,
}

impl Disk {
    /// Opens the disk that `path` is. `None` if nothing speaks for a disk: the file may be a hive.
    ///
    /// # Errors
    /// As [`hivewright_disk::container::open`]; the partition table cannot be trusted (`gpt-damaged`).
    pub fn open(path: &Path) -> Result<Option<Disk>> {
        Self::open_as(path, &ImageOptions::default())
    }

    /// As [`Disk::open`], where more is known of the image.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub fn open_as(path: &Path, options: &ImageOptions) -> Result<Option<Disk>> {
        Self::open_on(&RealHost, path, options)
    }

    /// As [`Disk::open_as`], on another file system: names are looked up on this one, bytes are that one's.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub fn open_on<H: Host>(host: &H, path: &Path, options: &ImageOptions) -> Result<Option<Disk>> {
        let read = Arc::<AtomicU64>::default();
        let reader = Reader { host: host.clone(), read: read.clone() };
        Self::open_through(path, options, &options.gate(Arc::new(reader)), read)
    }

    /// As [`Disk::open`], with the files of the host as `gate` hands them out; `read` counts their bytes.
    pub(crate) fn open_through(
        path: &Path,
        options: &ImageOptions,
        gate: &Gate,
        read: Arc<AtomicU64>,
    ) -> Result<Option<Disk>> {
        let Some(Image { disk: below, about }) = options::open(gate, path, options)? else { return Ok(None) };
        let files = gate.files();
        let table = hivewright_disk::partition::partitions(&*below).map_err(|error| explained(error, &files))?;
        let is_device = kind_of(path)? == EntryKind::Device;
        let (path, options) = (path.to_owned(), options.clone());
        let disk = Disk { path, options, below, about, files, read, table, volumes: Arc::default(), is_device };
        Ok((disk.is_device || disk.is_evident()).then_some(disk))
    }

    /// Whether anything but the wish of the user says that this is a disk.
    fn is_evident(&self) -> bool {
        let kind = self.table.partitions.first().map(|partition| partition.kind);
        self.about.format != "raw"
            || self.files.len() > 1
            || self.options.format.is_some()
            || self.table.scheme != Scheme::None
            || !matches!(kind, None | Some(VolumeKind::Unknown | VolumeKind::Empty | VolumeKind::PastEnd))
            || self.table.partitions.first().is_some_and(|whole| self.volume(whole).is_ok())
    }

    /// Its file; of a split image the segment that was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is, before its partition table, in one word: `device`, `split`, or the name of its format.
    pub fn container(&self) -> &'static str {
        match (self.is_device, self.about.format) {
            (true, _) => "device",
            (_, "raw") if self.own_files().len() > 1 => "split",
            (_, format) => format,
        }
    }

    /// What kind of image it is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Holds the bytes of the disk against the hashes that its image stores: all of them are read. Empty where it stores
    /// none.
    ///
    /// # Errors
    /// As [`hivewright_disk::container::verify`].
    pub fn verify(&self) -> Result<Vec<Verified>> {
        hivewright_disk::container::verify(&*self.below, &self.about)
    }

    /// The files of the host that it is made of; the first is the one that was named.
    pub fn files(&self) -> &[HostFile] {
        &self.files
    }

    /// Whether the bytes of that file, from its first to its last, are the first of the disk, as far as 65 of them tell. The
    /// path is as in [`Disk::files`].
    pub fn begins_with(&self, file: &Path) -> bool {
        let Some(index) = self.files.iter().position(|own| own.path == file) else { return false };
        let len = self.files[index].size;
        // An image that keeps its data in another file has it from nowhere else; what it never wrote has no place.
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

    /// The partition table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Bytes of the disk.
    pub fn len(&self) -> u64 {
        self.about.size
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What stands against writing anywhere in it.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        obstacles::of_disk(self)
    }

    /// The images that stand on this one, or of which it is a part, as the other files of its folder tell.
    pub fn find_dependents(&self) -> FoundDependents {
        if self.is_device { FoundDependents::default() } else { find_dependents(&self.own_files(), &self.path) }
    }

    /// What those images have against writes to this one.
    pub fn children(&self) -> Option<Obstacle> {
        self.children_among(&self.find_dependents())
    }

    /// The same of images that are known already.
    pub fn children_among(&self, found: &FoundDependents) -> Option<Obstacle> {
        let own = self.own_files();
        obstacles::of_whole(&own, found).or_else(|| obstacles::of_children(&own, found))
    }

    /// Paths of the files that a write may change; the first is the one that was named.
    pub(crate) fn own_files(&self) -> Vec<PathBuf> {
        self.paths(|role| role != Role::Backing)
    }

    /// Paths of the files that are only read.
    pub(crate) fn backing_files(&self) -> Vec<PathBuf> {
        self.paths(|role| role == Role::Backing)
    }

    fn paths(&self, wanted: impl Fn(Role) -> bool) -> Vec<PathBuf> {
        self.files.iter().filter(|file| wanted(file.role)).map(|file| file.path.clone()).collect()
    }

    /// What keeps a write from its files on the host: they are in use, or may not be written to.
    pub fn host_obstacles(&self) -> Vec<Obstacle> {
        host_obstacles::obstacles(&self.own_files(), &self.backing_files(), true)
    }

    /// Shadow copies of all volumes that can be read; `None` where one of these cannot tell.
    pub fn shadow_copies(&self) -> Option<u32> {
        let partitions = self.partitions(None).ok()?;
        let states = partitions.into_iter().filter_map(|partition| self.volume(partition).ok()?.state().ok());
        states.map(|state| state.shadow_copies).sum()
    }

    /// Paths of all of its files.
    pub(crate) fn all_files(&self) -> Vec<PathBuf> {
        self.paths(|_| true)
    }

    /// How it was opened.
    pub(crate) fn options(&self) -> &ImageOptions {
        &self.options
    }

    /// Bytes read of its file so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The SYSTEM hive of the installation that is meant.
    ///
    /// # Errors
    /// As [`Disk::installation`]; the hive's file cannot be opened.
    pub fn system_hive(&self, choice: &Choice) -> Result<HiveHandle> {
        let installation = self.installation(choice)?;
        HiveHandle::on_disk(self.clone(), installation, "SYSTEM").map_err(|error| explained(error, &self.files))
    }

    /// The SYSTEM hive of an installation that [`Disk::search`] found.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn system_hive_of(&self, installation: &Installation) -> Result<HiveHandle> {
        HiveHandle::on_disk(self.clone(), installation.clone(), "SYSTEM")
    }

    /// The SYSTEM hives of all installations.
    ///
    /// # Errors
    /// An image or volume cannot be read; the trouble of a volume that may hold Windows, where no other has it.
    pub(crate) fn system_hives(&self) -> Result<Vec<HiveHandle>> {
        let Search { found, mut troubles } = self.search(&Choice::default())?;
        if let Some(i) = troubles.iter().position(|it| it.error.kind() == Kind::Io || found.is_empty()) {
            return Err(self.doubted(troubles.swap_remove(i).error));
        }
        found.iter().map(|installation| self.system_hive_of(installation)).collect()
    }

    /// The one installation of Windows that is meant.
    ///
    /// # Errors
    /// `no-installation`, `several-installations`, `no-partition`; what keeps a volume from being read, where no other
    /// has Windows: `volume-bitlocker`, `volume-dynamic-disk`, `volume-storage-spaces`, `volume-refs` and damage.
    pub fn installation(&self, choice: &Choice) -> Result<Installation> {
        let Search { mut found, mut troubles } = self.search(choice)?;
        // What could not be read may hold another one.
        if let Some(i) = troubles.iter().position(|trouble| trouble.error.kind() == Kind::Io) {
            return Err(troubles.swap_remove(i).error);
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 if !troubles.is_empty() => Err(self.doubted(troubles.remove(0).error)),
            0 => Err(self.no_installation(choice)),
            count => {
                let names: Vec<String> = found.iter().map(Installation::to_string).collect();
                let what = format!("{} holds {count} installations: {}", self.path.display(), names.join(", "));
                Err(Error::refused(Code::SeveralInstallations, what)
                    .advise("choose one with --partition, --windows-root or both"))
            }
        }
    }

    /// What to say of a disk without any.
    pub fn no_installation(&self, choice: &Choice) -> Error {
        let what = match &choice.windows_root {
            Some(root) => format!("{} holds no Windows installation in {root}", self.path.display()),
            None => format!("{} holds no Windows installation", self.path.display()),
        };
        let advice =
            "`hivewright info` shows what is on the disk; --windows-root names a folder that is not at the top";
        self.doubted(Error::new(Kind::NotFound, Code::NoInstallation, what).advise(advice))
    }

    /// The error, and what of the image may be the reason for it.
    fn doubted(&self, error: Error) -> Error {
        let error = explained(error, &self.files);
        self.about.doubts().into_iter().fold(error, Error::adding)
    }
}

pub(crate) fn absolute(path: &Path) -> PathBuf {
    RealHost.resolve(path).unwrap_or_else(|_| path.to_owned())
}
