//! One hive file, wherever it lies: on the host, or on a volume of a disk.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::folder::HiveFile;
use super::options::Reader;
use super::paged::Paged;
use super::placement::Placement;
use super::{Disk, Image, Installation, Obstacle, changed_since, host_obstacles, logs, obstacles};
use crate::windows::{self, Product};
use hivewright_disk::container::{Gate, ImageOverlay, Opener, explained};
use hivewright_disk::files::{FileInVolume, Files, Growth, VolumeState};
use hivewright_disk::host_folder::{HostFiles, guest_name};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_hive::{Hive, HiveBytes};
use hivewright_storage::{Access, Host, Mapped, RealHost, SparseBuffer, Storage, joined, zeros_in_large_pages};

/// The most bytes of a hive or a log: a hive's bins stay below 2 GiB.
const MOST_BYTES: u64 = 3 << 30;

/// A hive file, and the files beside it.
pub struct HiveHandle {
    image: Image,
    /// Its file of the host; the image's where it is inside of one.
    host_file: PathBuf,
    /// The Windows folder of the host through which it was found.
    host_windows: Option<PathBuf>,
    installation: Option<Installation>,
    /// The number of its partition; 0 is the whole disk, or the host.
    partition: u32,
    /// The files of its volume; of a hive of the host, those of its folder where no volume is at hand.
    files: Arc<dyn Files>,
    /// The volume, where it is at hand.
    volume: Option<Arc<dyn Files>>,
    state: Arc<OnceLock<VolumeState>>,
    /// Its folder in `files`.
    folder: String,
    name: String,
    bytes: Bytes,
}

enum Bytes {
    Mapped(Mapped),
    Paged(Paged, OnceLock<Vec<u8>>),
}

impl Bytes {
    fn paged(paged: Paged) -> Self {
        Bytes::Paged(paged, OnceLock::new())
    }
}

impl HiveHandle {
    /// A hive in the folder `config` of an installation on a disk.
    pub(crate) fn on_disk(disk: Disk, installation: Installation, name: &str) -> Result<Self> {
        let (partition, folder) = (installation.partition, installation.config());
        Self::on_volume(disk, installation, partition, folder, name)
    }

    /// A hive that belongs to an installation on a disk, wherever on it that lies.
    fn on_volume(disk: Disk, installation: Installation, partition: u32, folder: String, name: &str) -> Result<Self> {
        let files = disk.volume(disk.partitions(Some(partition))?.remove(0))?;
        let path = format!("{folder}\\{name}");
        let gone = || Error::new(Kind::NotFound, Code::NoFile, format!("there is no {path} on the disk"));
        let paged = Paged::new(files.open(&path)?.ok_or_else(gone)?);
        Ok(HiveHandle {
            host_file: disk.path().to_owned(),
            host_windows: None,
            folder,
            installation: Some(installation),
            partition,
            volume: Some(files.clone()),
            state: Arc::default(),
            files,
            name: name.to_owned(),
            bytes: Bytes::paged(paged),
            image: Image::from(disk),
        })
    }

    /// A hive of the host, read through a map or by calls: a mapped file that somebody cuts short ends the process, and with
    /// it an audit of many others.
    pub(super) fn on_host(image: &Image, host: &dyn HostFiles, file: HiveFile, mapped: bool) -> Result<Self> {
        let bytes = match mapped {
            true => Bytes::Mapped(Mapped::open(&file.hive)?),
            false => Bytes::paged(Paged::new(host.file(&file.hive)?)),
        };
        Ok(HiveHandle {
            image: image.clone(),
            installation: None,
            partition: 0,
            files: host.folder(file.folder()),
            volume: file.volume().map(|root| host.folder(&root)),
            state: Arc::default(),
            folder: String::new(),
            name: guest_name(file.hive.file_name().unwrap_or_default()),
            host_file: file.hive,
            host_windows: file.windows,
            bytes,
        })
    }

    /// The image that it is in: a disk, a folder, or the hive itself.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The disk that it is in.
    pub fn disk(&self) -> Option<&Disk> {
        self.image.disk()
    }

    /// Its file of the host; of a hive inside of a disk, the image that was named.
    pub fn host_file(&self) -> &Path {
        &self.host_file
    }

    /// The Windows folder of the host through which it was found.
    pub fn host_windows(&self) -> Option<&Path> {
        self.host_windows.as_deref()
    }

    /// The installation on the disk that it belongs to.
    pub fn installation(&self) -> Option<&Installation> {
        self.installation.as_ref()
    }

    /// The name of its file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The path of the hive in its volume; its name, where only a folder of the host is at hand.
    pub fn path(&self) -> String {
        self.beside(&self.name)
    }

    /// The hive in words: its file, and where in the file if that is a disk.
    pub fn description(&self) -> String {
        let file = self.host_file.display();
        match (self.disk(), self.partition) {
            (None, _) => file.to_string(),
            (Some(_), 0) => format!("{} in {file}", self.path()),
            (Some(_), partition) => format!("{} in partition {partition} of {file}", self.path()),
        }
    }

    fn beside(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}\\{name}", self.folder) }
    }

    /// Its pages, where it is read page by page; else all of it is at hand for nothing.
    pub fn paged(&self) -> Option<&Paged> {
        match &self.bytes {
            Bytes::Mapped(_) => None,
            Bytes::Paged(paged, _) => Some(paged),
        }
    }

    /// All of its bytes.
    ///
    /// # Errors
    /// `too-large`; they cannot be read.
    pub fn whole(&self) -> Result<&[u8]> {
        match &self.bytes {
            Bytes::Mapped(map) => Ok(map),
            Bytes::Paged(paged, whole) => {
                if whole.get().is_none() {
                    let _ = whole.set(paged.whole(self.most()).map_err(|error| self.explained(error))?);
                }
                Ok(whole.get().map_or(&[], Vec::as_slice))
            }
        }
    }

    /// Whether these are all of its bytes. They are read again, piece by piece.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn holds(&self, bytes: &[u8]) -> Result<bool> {
        match &self.bytes {
            Bytes::Mapped(map) => Ok(**map == *bytes),
            Bytes::Paged(paged, _) => paged.holds(bytes),
        }
    }

    /// A copy of all of its bytes. Those of a hive inside of a disk are kept too: they are compared with what is there when it
    /// is written.
    ///
    /// # Errors
    /// As [`HiveHandle::whole`].
    pub(crate) fn to_vec(&self) -> Result<Vec<u8>> {
        if let (None, Some(paged)) = (self.disk(), self.paged()) {
            return paged.whole(self.most());
        }
        let whole = self.whole()?;
        let mut bytes = zeros_in_large_pages(whole.len());
        bytes.copy_from_slice(whole);
        Ok(bytes)
    }

    /// See [`Paged::seen`].
    pub(crate) fn seen(&self) -> Result<Option<SparseBuffer>> {
        match &self.bytes {
            Bytes::Mapped(_) => Ok(None),
            Bytes::Paged(paged, _) => paged.seen(self.most()),
        }
    }

    /// The error, with the part of a disk image that it is about.
    fn explained(&self, error: Error) -> Error {
        match self.disk() {
            Some(disk) => explained(error, disk.files()),
            None => error,
        }
    }

    /// The transaction logs beside it, each with its path on the host; inside of a disk, with its name.
    ///
    /// # Errors
    /// One of them cannot be opened.
    pub(super) fn logs(&self) -> Result<Vec<(PathBuf, FileInVolume)>> {
        let mut logs = Vec::new();
        for name in logs::ENDINGS.map(|ending| format!("{}.{ending}", self.name)) {
            if let Some(file) = open_file(&*self.files, &self.beside(&name))? {
                logs.push((self.files.host_path(&self.beside(&name))?.unwrap_or_else(|| PathBuf::from(&name)), file));
            }
        }
        Ok(logs)
    }

    /// The state of its volume, asked of it once. `None` where there is none at hand.
    ///
    /// # Errors
    /// The volume does not say.
    pub fn volume_state(&self) -> Result<Option<&VolumeState>> {
        let Some(volume) = &self.volume else { return Ok(None) };
        if self.state.get().is_none() {
            let _ = self.state.set(volume.state()?);
        }
        Ok(self.state.get())
    }

    /// Whether it belongs to a hibernated session. `None` where that cannot be told.
    pub fn is_hibernated(&self) -> Option<bool> {
        self.volume_state().ok()??.hibernation.is_saved()
    }

    /// How many shadow copies its volume has. `None` where that cannot be told.
    pub fn shadow_copies(&self) -> Option<u32> {
        self.volume_state().ok()??.shadow_copies
    }

    /// Refuses if the hive should not, or cannot, be written; `ignore` names obstacles of the volume that the user takes upon
    /// himself, of those that can be: see `obstacles::IGNORABLE`.
    ///
    /// # Errors
    /// [`Kind::Refused`] with the code of the first [`Obstacle`] that counts.
    pub fn may_be_written(&self, ignore: &[Code]) -> Result<()> {
        let mut all = self.obstacles()?;
        // What no option overrides comes first: else the advice to give one would lead to the next refusal.
        all.sort_by_key(Obstacle::is_ignorable);
        let stands = |obstacle: &&Obstacle| !(obstacle.is_ignorable() && ignore.contains(&obstacle.code));
        all.iter().find(stands).map_or(Ok(()), |obstacle| Err(obstacle.refuse()))
    }

    /// Refuses where other images stand on this one, unless `ignore` has that: for writes in place alone.
    pub(crate) fn refuse_children(&self, ignore: &[Code]) -> Result<()> {
        match self.disk().and_then(Disk::children) {
            Some(obstacle) if !ignore.contains(&obstacle.code) => Err(obstacle.refuse()),
            _ => Ok(()),
        }
    }

    /// Everything that stands against writing to it, the disk's and the volume's first.
    ///
    /// # Errors
    /// The state of the volume cannot be read.
    pub fn obstacles(&self) -> Result<Vec<Obstacle>> {
        let state = self.volume_state()?;
        let of_disk = self.disk().map(Disk::obstacles).unwrap_or_default();
        let all = of_disk.into_iter().chain(state.into_iter().flat_map(obstacles::of_volume));
        let of_file = self.paged().map(|paged| obstacles::of_file(&*self.files, paged.file()));
        Ok(all.chain(of_file.into_iter().flatten()).collect())
    }

    /// Everything that is known to stand against a write to it but other images that stand on this one, which
    /// [`Disk::children`] looks for. A state of the volume that cannot be read is one thing more.
    pub fn all_obstacles(&self) -> Vec<Obstacle> {
        let own = self.obstacles().unwrap_or_else(|error| {
            vec![Obstacle::new(error.code(), format!("the state of the volume is not known: {error}")).doubting()]
        });
        let of_host = match self.disk() {
            Some(disk) => disk.host_obstacles(),
            None => host_obstacles::obstacles(std::slice::from_ref(&self.host_file), &[], false),
        };
        // In a disk the file that is named is the first thing in the way; a folder's Windows comes before its files.
        match self.disk() {
            Some(_) => of_host.into_iter().chain(own).chain(self.of_placement()).collect(),
            None => own.into_iter().chain(of_host).collect(),
        }
    }

    /// Why the first sector of the hive, which every edit changes, cannot be written where it lies in a parent of the image.
    /// That is tried in memory, with the formats that may have no place for it in the child.
    pub(crate) fn of_placement(&self) -> Option<Obstacle> {
        const MAY_REFUSE: [&str; 4] = ["vhd", "vhdx", "vdi", "vmdk"];
        let disk = self.disk()?;
        if !MAY_REFUSE.contains(&disk.about().format) || !disk.backing_files().contains(&self.file_at(0)) {
            return None;
        }
        let overlay = ImageOverlay::new(|path, _| Ok(Arc::new(RealHost.open(path, Access::Read)?)));
        let again = self.again(&self.gate(overlay).ok()?).ok()?;
        let mut sector = [0; 512];
        let file = again.file().ok()?;
        file.read_at(0, &mut sector).ok()?;
        file.write_at(0, &sector).err().map(|error| Obstacle::of(&error))
    }

    /// Which Windows the hive SOFTWARE beside it says it is, its primary file alone. `None` where there is no such hive, it does
    /// not say, or this hive has another name than SYSTEM, so that it need not belong to it.
    ///
    /// # Errors
    /// It is there, and is no hive or damaged.
    pub fn product(&self) -> Result<Option<Product>> {
        if !self.name.eq_ignore_ascii_case("SYSTEM") {
            return Ok(None);
        }
        match self.files.open(&self.beside("SOFTWARE"))? {
            Some(file) => windows::product(Hive::open(Paged::new(file))?.primary_alone()),
            None => Ok(None),
        }
    }

    /// The file of the host that holds a byte of it, as far as the image tells; else the image.
    pub(crate) fn file_at(&self, offset: u64) -> PathBuf {
        let file = || {
            let space = self.paged()?.file().locate(offset).last()?.space;
            let number = if let Space::Part(number) = space { usize::from(number).saturating_sub(1) } else { 0 };
            Some(self.disk()?.files().get(number)?.path.clone())
        };
        file().unwrap_or_else(|| self.host_file.clone())
    }

    /// A gate that hands out files of `opener` for the same image.
    pub(crate) fn gate(&self, opener: Arc<dyn Opener>) -> Result<Gate> {
        Ok(self.in_disk()?.options().gate(opener))
    }

    /// The disk, for what is done to hives inside of disks alone.
    pub(crate) fn in_disk(&self) -> Result<&Disk> {
        self.disk().ok_or_else(|| changed_since(&self.host_file))
    }

    /// Opens everything anew, from the files that `gate` hands out up to the hive.
    pub(crate) fn again(&self, gate: &Gate) -> Result<HiveHandle> {
        let disk = self.in_disk()?;
        let gone = || Error::refused(Code::ChangedSince, format!("{} is no disk any more", disk.path().display()));
        self.again_on(Disk::open_through(disk.path(), disk.options(), gate, Arc::default())?.ok_or_else(gone)?)
    }

    /// The same file on a disk that was opened anew.
    fn again_on(&self, disk: Disk) -> Result<HiveHandle> {
        let installation = self.installation.clone().ok_or_else(|| changed_since(&self.host_file))?;
        HiveHandle::on_volume(disk, installation, self.partition, self.folder.clone(), &self.name)
    }

    /// The same hive on the disk as this one has it open, whose file system is opened anew: its metadata was written to.
    pub(crate) fn anew(&self) -> Result<HiveHandle> {
        self.again_on(self.in_disk()?.reopening_volumes())
    }

    /// Plans that its file in the volume becomes `len` bytes long: see [`Files::plan_growth`].
    pub(crate) fn plan_growth(&self, len: u64) -> Result<Growth> {
        self.files.plan_growth(&self.path(), len)?.ok_or_else(|| changed_since(&self.host_file))
    }

    /// As [`HiveHandle::gate`], with the files of `host`, for reading.
    pub(crate) fn gate_on<H: Host>(&self, host: &H) -> Result<Gate> {
        self.gate(Arc::new(Reader { host: host.clone(), read: Arc::default() }))
    }

    /// Its transaction logs as files to be written to.
    pub(crate) fn log_handles(&self) -> Result<Vec<HiveHandle>> {
        let logs = logs::ENDINGS.iter().map(|ending| self.sibling(&format!("{}.{ending}", self.name)));
        logs.filter_map(Result::transpose).collect()
    }

    /// The same file as `other`, on the disk as this one has it open.
    pub(crate) fn same_file(&self, other: &HiveHandle) -> Result<HiveHandle> {
        other.again_on(self.in_disk()?.clone())
    }

    /// Whether both are one file.
    pub(crate) fn is_same_file(&self, other: &HiveHandle) -> bool {
        let inside = |hive: &HiveHandle| hive.disk().map(|_| (hive.partition, hive.path().to_ascii_lowercase()));
        self.host_file == other.host_file && inside(self) == inside(other)
    }

    /// Another file in its folder.
    pub(crate) fn sibling(&self, name: &str) -> Result<Option<HiveHandle>> {
        self.file_of(&self.files, self.partition, &self.folder, name)
    }

    /// A file on its volume, by the path of its folder from the root of that. `None` if it is not there.
    ///
    /// # Errors
    /// `no-volume`: only a folder of hives is at hand, and not the volume around it.
    pub(crate) fn on_its_volume(&self, folder: &str, name: &str) -> Result<Option<HiveHandle>> {
        let volume = self.volume.as_ref().ok_or_else(|| {
            let what = format!("{} is not on a volume that is at hand: {folder} is not found", self.description());
            Error::new(Kind::NotFound, Code::NoVolume, what)
                .advise("name the root of the volume, or the Windows folder")
        })?;
        self.file_of(volume, self.partition, folder, name)
    }

    /// A file on another volume of its disk.
    pub(crate) fn on_other_volume(&self, partition: u32, folder: &str, name: &str) -> Result<Option<HiveHandle>> {
        let disk = self.in_disk()?;
        let files = disk.volume(disk.partitions(Some(partition))?.remove(0))?;
        self.file_of(&files, partition, folder, name)
    }

    fn file_of(&self, files: &Arc<dyn Files>, partition: u32, folder: &str, name: &str) -> Result<Option<HiveHandle>> {
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}\\{name}") };
        let Some(file) = open_file(&**files, &path)? else { return Ok(None) };
        let is_own_volume = partition == self.partition;
        Ok(Some(HiveHandle {
            image: self.image.clone(),
            host_file: files.host_path(&path)?.unwrap_or_else(|| self.host_file.clone()),
            host_windows: self.host_windows.clone(),
            installation: self.installation.clone(),
            partition,
            files: files.clone(),
            volume: if is_own_volume { self.volume.clone() } else { Some(files.clone()) },
            state: if is_own_volume { self.state.clone() } else { Arc::default() },
            folder: folder.to_owned(),
            name: name.to_owned(),
            bytes: Bytes::paged(Paged::new(file)),
        }))
    }

    /// Where its bytes lie, as addresses of `files` one after the other. `None` where the image does not tell.
    ///
    /// # Errors
    /// `placement`: a byte of it has no place of its own in an image whose bytes all have one.
    pub(crate) fn placement(&self, files: &[(PathBuf, u64)]) -> Result<Option<Placement>> {
        let disk = self.in_disk()?;
        let file = self.file()?;
        let is_linear = disk.about().format == "raw" && disk.files().len() == 1;
        let lens: Vec<u64> = files.iter().map(|file| file.1).collect();
        let starts = joined::starts(&lens)?;
        let start_of = |space| {
            let number = match space {
                Space::File => 0,
                Space::Part(number) => usize::from(number).checked_sub(1)?,
                _ => return None,
            };
            let path = &disk.files().get(number)?.path;
            starts.get(files.iter().position(|file| file.0 == *path)?).copied()
        };
        match Placement::of(file, is_linear, &start_of) {
            Err(_) if disk.about().format != "raw" => Ok(None),
            placement => placement.map(Some),
        }
    }

    /// The file in its volume.
    ///
    /// # Errors
    /// It is mapped.
    pub fn file(&self) -> Result<&FileInVolume> {
        self.paged().map(Paged::file).ok_or_else(|| changed_since(&self.host_file))
    }

    /// No file is larger than its disk, unless it has holes: those are no bytes to be kept in memory.
    pub(super) fn most(&self) -> u64 {
        self.disk().map_or(MOST_BYTES, |disk| MOST_BYTES.min(disk.len()))
    }
}

/// The file at `path`. A folder of that name is none.
fn open_file(files: &dyn Files, path: &str) -> Result<Option<FileInVolume>> {
    match files.open(path) {
        Err(error) if error.code() == Code::FileIsFolder => Ok(None),
        found => found,
    }
}

impl HiveBytes for HiveHandle {
    fn len(&self) -> u64 {
        match &self.bytes {
            Bytes::Mapped(map) => map.len() as u64,
            Bytes::Paged(paged, _) => HiveBytes::len(paged),
        }
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        match &self.bytes {
            Bytes::Mapped(map) => HiveBytes::read(&**map, offset, len),
            Bytes::Paged(paged, _) => paged.read(offset, len),
        }
    }
}

impl fmt::Debug for HiveHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HiveHandle")
            .field("host_file", &self.host_file)
            .field("installation", &self.installation)
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
