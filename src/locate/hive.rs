//! A hive file with its logs, on the host or on a volume of a disk.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::folder::HiveFile;
use super::options::Reader;
use super::paged::Paged;
use super::placement::Placement;
use super::{Disk, Image, Installation, Obstacle, changed_since, host_obstacles, logs, obstacles};
use hivewright_disk::container::{ImageOverlay, Opener, PathPolicy, explained};
use hivewright_disk::files::{FileInVolume, Files, Growth, VolumeState};
use hivewright_disk::host_folder::{HostFiles, guest_name};
use hivewright_disk::partition::VolumeId;
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_hive::HiveBytes;
use hivewright_storage::{Access, Host, Mapped, RealHost, SparseBuffer, Storage, joined, zeros_in_large_pages};

/// Bytes of a hive or a log at most; the bins of a hive stay below 2 GiB.
const MOST_BYTES: u64 = 3 << 30;

/// A hive file and its transaction logs.
pub struct HiveHandle {
    image: Image,
    /// Its file on the host; the image's file for a hive in an image.
    host_file: PathBuf,
    /// The Windows folder of the host through which it was found.
    host_windows: Option<PathBuf>,
    installation: Option<Installation>,
    volume: VolumeId,
    /// The files of its volume; for a hive of the host without a volume, those of its folder.
    files: Arc<dyn Files>,
    /// The files of its volume, if it is known.
    volume_files: Option<Arc<dyn Files>>,
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
    /// Opens a hive in the folder `config` of an installation on a disk.
    pub(crate) fn on_disk(disk: Disk, installation: Installation, name: &str) -> Result<Self> {
        let (volume, folder) = (installation.volume, installation.config());
        Self::on_volume(disk, installation, volume, folder, name)
    }

    /// Opens a hive of an installation on a disk, on any volume.
    fn on_volume(disk: Disk, installation: Installation, volume: VolumeId, folder: String, name: &str) -> Result<Self> {
        let files = disk.volume(disk.partition(volume)?)?;
        let path = format!("{folder}\\{name}");
        let gone = || Error::new(Kind::NotFound, Code::NoFile, format!("there is no {path} on the disk"));
        let paged = Paged::new(files.open(&path)?.ok_or_else(gone)?);
        Ok(HiveHandle {
            host_file: disk.path().to_owned(),
            host_windows: None,
            folder,
            installation: Some(installation),
            volume,
            volume_files: Some(files.clone()),
            state: Arc::default(),
            files,
            name: name.to_owned(),
            bytes: Bytes::paged(paged),
            image: Image::from(disk),
        })
    }

    /// Opens a hive of the host, with a memory map or read calls: a mapped file that another program truncates would
    /// end the process, and with it an audit of many others.
    pub(super) fn on_host(image: &Image, host: &dyn HostFiles, file: HiveFile, mapped: bool) -> Result<Self> {
        let bytes = match mapped {
            true => Bytes::Mapped(Mapped::open(&file.hive)?),
            false => Bytes::paged(Paged::new(host.file(&file.hive)?)),
        };
        Ok(HiveHandle {
            image: image.clone(),
            installation: None,
            volume: VolumeId::Whole,
            files: host.folder(file.folder()),
            volume_files: file.volume().map(|root| host.folder(&root)),
            state: Arc::default(),
            folder: String::new(),
            name: guest_name(file.hive.file_name().unwrap_or_default()),
            host_file: file.hive,
            host_windows: file.windows,
            bytes,
        })
    }

    /// Returns its image: a disk, a folder, or the hive itself.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Returns the disk with the hive.
    pub fn disk(&self) -> Option<&Disk> {
        self.image.disk()
    }

    /// Returns its file on the host; for a hive in a disk, the image that the user named.
    pub fn host_file(&self) -> &Path {
        &self.host_file
    }

    /// Returns the Windows folder of the host through which it was found.
    pub fn host_windows(&self) -> Option<&Path> {
        self.host_windows.as_deref()
    }

    /// Returns the installation on the disk that it belongs to.
    pub fn installation(&self) -> Option<&Installation> {
        self.installation.as_ref()
    }

    /// Returns the name of its file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the path of the hive in its volume; its name, if only its folder is known.
    pub fn path(&self) -> String {
        self.beside(&self.name)
    }

    /// Returns the hive in words: the file, and its place in the disk if that is one.
    pub fn description(&self) -> String {
        let file = self.host_file.display();
        match (self.disk(), self.volume) {
            (None, _) => file.to_string(),
            (_, VolumeId::Whole) => format!("{} in {file}", self.path()),
            (_, volume) => format!("{} in {volume} of {file}", self.path()),
        }
    }

    fn beside(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}\\{name}", self.folder) }
    }

    /// Returns the pages of a hive that is read page by page; `None` if all bytes are in memory or mapped.
    pub fn paged(&self) -> Option<&Paged> {
        match &self.bytes {
            Bytes::Mapped(_) => None,
            Bytes::Paged(paged, _) => Some(paged),
        }
    }

    /// Returns all bytes of the file.
    ///
    /// # Errors
    /// `too-large`; I/O errors.
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

    /// Returns whether `bytes` are all bytes of the file, which is read again in pieces.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn holds(&self, bytes: &[u8]) -> Result<bool> {
        match &self.bytes {
            Bytes::Mapped(map) => Ok(**map == *bytes),
            Bytes::Paged(paged, _) => paged.holds(bytes),
        }
    }

    /// Returns a copy of all bytes. The bytes of a hive in a disk are also kept, to be compared before it is written.
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

    /// Returns the error with the part of a disk image that it is about.
    fn explained(&self, error: Error) -> Error {
        match self.disk() {
            Some(disk) => explained(error, disk.files()),
            None => error,
        }
    }

    /// Returns the transaction logs beside it, each with its path on the host or, in a disk, its name.
    ///
    /// # Errors
    /// I/O errors; a log cannot be opened.
    pub(super) fn logs(&self) -> Result<Vec<(PathBuf, FileInVolume)>> {
        let mut logs = Vec::new();
        for name in logs::ENDINGS.map(|ending| format!("{}.{ending}", self.name)) {
            if let Some(file) = open_file(&*self.files, &self.beside(&name))? {
                logs.push((self.files.host_path(&self.beside(&name))?.unwrap_or_else(|| PathBuf::from(&name)), file));
            }
        }
        Ok(logs)
    }

    /// Returns the state of its volume, read once. `None` if the volume is unknown.
    ///
    /// # Errors
    /// I/O errors; the volume's metadata is damaged.
    pub fn volume_state(&self) -> Result<Option<&VolumeState>> {
        let Some(files) = &self.volume_files else { return Ok(None) };
        if self.state.get().is_none() {
            let _ = self.state.set(files.state()?);
        }
        Ok(self.state.get())
    }

    /// Returns whether it belongs to a hibernated session. `None` if unknown.
    pub fn is_hibernated(&self) -> Option<bool> {
        self.volume_state().ok()??.hibernation.is_saved()
    }

    /// Returns the number of shadow copies of its volume. `None` if unknown.
    pub fn shadow_copies(&self) -> Option<u32> {
        self.volume_state().ok()??.shadow_copies
    }

    /// Refuses if the hive must not, or cannot, be written; `ignore` has codes of obstacles that the user overrides, of
    /// those in `obstacles::IGNORABLE`.
    ///
    /// # Errors
    /// [`Kind::Refused`] with the code of the first remaining [`Obstacle`].
    pub fn may_be_written(&self, ignore: &[Code]) -> Result<()> {
        let mut all = self.obstacles()?;
        // Obstacles that no option overrides come first; otherwise the advice to give an option would lead to the next
        // refusal.
        all.sort_by_key(Obstacle::is_ignorable);
        let stands = |obstacle: &&Obstacle| !(obstacle.is_ignorable() && ignore.contains(&obstacle.code));
        all.iter().find(stands).map_or(Ok(()), |obstacle| Err(obstacle.refuse()))
    }

    /// Refuses if other images depend on this one, unless `ignore` has the code. Only for writes in place.
    pub(crate) fn refuse_children(&self, ignore: &[Code]) -> Result<()> {
        match self.disk().and_then(Disk::children) {
            Some(obstacle) if !ignore.contains(&obstacle.code) => Err(obstacle.refuse()),
            _ => Ok(()),
        }
    }

    /// Returns all obstacles to writing to it, those of the disk and the volume first.
    ///
    /// # Errors
    /// I/O errors; the state of the volume cannot be read.
    pub fn obstacles(&self) -> Result<Vec<Obstacle>> {
        let state = self.volume_state()?;
        let of_disk = self.disk().map(Disk::obstacles).unwrap_or_default();
        let all = of_disk.into_iter().chain(state.into_iter().flat_map(obstacles::of_volume));
        let of_file = self.paged().map(|paged| obstacles::of_file(&*self.files, paged.file()));
        Ok(all.chain(of_file.into_iter().flatten()).collect())
    }

    /// Returns all known obstacles to writing to it except dependent images, which [`Disk::children`] searches. An
    /// unreadable state of the volume is an obstacle too.
    pub fn all_obstacles(&self) -> Vec<Obstacle> {
        let own = self.obstacles().unwrap_or_else(|error| {
            vec![Obstacle::new(error.code(), format!("the state of the volume is unknown: {error}")).doubting()]
        });
        let of_host = match self.disk() {
            Some(disk) => disk.host_obstacles(),
            None => host_obstacles::obstacles(std::slice::from_ref(&self.host_file), &[], false),
        };
        // In a disk the file is the first obstacle; in a folder the Windows installation precedes its files.
        match self.disk() {
            Some(_) => of_host.into_iter().chain(own).chain(self.of_placement()).collect(),
            None => own.into_iter().chain(of_host).collect(),
        }
    }

    /// Returns the obstacle if the first sector of the hive, which every edit changes, cannot be written because it
    /// lies in a parent of the image. Tried in memory, for formats that may not allocate it in the child.
    pub(crate) fn of_placement(&self) -> Option<Obstacle> {
        const MAY_REFUSE: [&str; 4] = ["vhd", "vhdx", "vdi", "vmdk"];
        let disk = self.disk()?;
        if !MAY_REFUSE.contains(&disk.about().format) || !disk.backing_files().contains(&self.file_at(0)) {
            return None;
        }
        let overlay = ImageOverlay::new(|path, _| Ok(Arc::new(RealHost.open(path, Access::Read)?)));
        let again = self.again(&self.policy(overlay).ok()?).ok()?;
        let mut sector = [0; 512];
        let file = again.file().ok()?;
        file.read_at(0, &mut sector).ok()?;
        file.write_at(0, &sector).err().map(|error| Obstacle::of(&error))
    }

    /// Returns the host's file that contains a byte of the hive, or the image if it does not map that byte.
    pub(crate) fn file_at(&self, offset: u64) -> PathBuf {
        let file = || {
            let space = self.paged()?.file().locate(offset).last()?.space;
            let number = if let Space::Part(number) = space { usize::from(number).saturating_sub(1) } else { 0 };
            Some(self.disk()?.files().get(number)?.path.clone())
        };
        file().unwrap_or_else(|| self.host_file.clone())
    }

    /// Returns a policy that opens files of the same image with `opener`.
    pub(crate) fn policy(&self, opener: Arc<dyn Opener>) -> Result<PathPolicy> {
        Ok(self.in_disk()?.options().policy(opener))
    }

    /// As [`HiveHandle::policy`]; the new opening of an archive shares the unpacked bytes of this one. Only for
    /// callers that compare the bytes of the files with the old or the written ones.
    pub(crate) fn policy_sharing(&self, opener: Arc<dyn Opener>) -> Result<PathPolicy> {
        let mut policy = self.policy(opener)?;
        if let Some(archive) = self.in_disk()?.archive() {
            policy.unpacked = archive.unpacked().clone();
        }
        Ok(policy)
    }

    /// Returns the disk, for operations on hives in disks only.
    pub(crate) fn in_disk(&self) -> Result<&Disk> {
        self.disk().ok_or_else(|| changed_since(&self.host_file))
    }

    /// Opens everything again, from the files that `policy` opens to the hive.
    pub(crate) fn again(&self, policy: &PathPolicy) -> Result<HiveHandle> {
        let disk = self.in_disk()?;
        let gone = || Error::refused(Code::ChangedSince, format!("{} is no longer a disk", disk.path().display()));
        self.again_on(Disk::open_through(disk.path(), disk.options(), policy, Arc::default())?.ok_or_else(gone)?)
    }

    /// Returns the same file on a disk that was opened again.
    fn again_on(&self, disk: Disk) -> Result<HiveHandle> {
        let installation = self.installation.clone().ok_or_else(|| changed_since(&self.host_file))?;
        HiveHandle::on_volume(disk, installation, self.volume, self.folder.clone(), &self.name)
    }

    /// Returns the same hive on the same disk with its file system opened again, because its metadata was written to.
    pub(crate) fn anew(&self) -> Result<HiveHandle> {
        self.again_on(self.in_disk()?.reopening_volumes())
    }

    /// Plans to make its file in the volume `len` bytes long: see [`Files::plan_growth`].
    pub(crate) fn plan_growth(&self, len: u64) -> Result<Growth> {
        self.files.plan_growth(&self.path(), len)?.ok_or_else(|| changed_since(&self.host_file))
    }

    /// As [`HiveHandle::policy_sharing`], with the files of `host`, for reading.
    pub(crate) fn gate_on<H: Host>(&self, host: &H) -> Result<PathPolicy> {
        self.policy_sharing(Arc::new(Reader { host: host.clone(), read: Arc::default() }))
    }

    /// Returns its transaction logs as writable files.
    pub(crate) fn log_handles(&self) -> Result<Vec<HiveHandle>> {
        let logs = logs::ENDINGS.iter().map(|ending| self.sibling(&format!("{}.{ending}", self.name)));
        logs.filter_map(Result::transpose).collect()
    }

    /// Returns the file of `other` on the disk of this one.
    pub(crate) fn same_file(&self, other: &HiveHandle) -> Result<HiveHandle> {
        other.again_on(self.in_disk()?.clone())
    }

    /// Returns whether both are the same file.
    pub(crate) fn is_same_file(&self, other: &HiveHandle) -> bool {
        let inside = |hive: &HiveHandle| hive.disk().map(|_| (hive.volume, hive.path().to_ascii_lowercase()));
        self.host_file == other.host_file && inside(self) == inside(other)
    }

    /// Returns another file in its folder.
    pub(crate) fn sibling(&self, name: &str) -> Result<Option<HiveHandle>> {
        self.file_of(&self.files, self.volume, &self.folder, name)
    }

    /// Returns a file on its volume, by the path of its folder from the root. `None` if it does not exist.
    ///
    /// # Errors
    /// `no-volume`: only a folder of hives is known, and not its volume.
    pub(crate) fn on_its_volume(&self, folder: &str, name: &str) -> Result<Option<HiveHandle>> {
        let files = self.volume_files.as_ref().ok_or_else(|| {
            let what = format!("the volume of {} is unknown, so {folder} is not found", self.description());
            Error::new(Kind::NotFound, Code::NoVolume, what)
                .advise("name the root of the volume, or the Windows folder")
        })?;
        self.file_of(files, self.volume, folder, name)
    }

    /// Returns a file on another volume of its disk.
    pub(crate) fn on_other_volume(&self, volume: VolumeId, folder: &str, name: &str) -> Result<Option<HiveHandle>> {
        let disk = self.in_disk()?;
        let files = disk.volume(disk.partition(volume)?)?;
        self.file_of(&files, volume, folder, name)
    }

    fn file_of(
        &self,
        files: &Arc<dyn Files>,
        volume: VolumeId,
        folder: &str,
        name: &str,
    ) -> Result<Option<HiveHandle>> {
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}\\{name}") };
        let Some(file) = open_file(&**files, &path)? else { return Ok(None) };
        let is_own_volume = volume == self.volume;
        let host_path = files.host_path(&path)?;
        let bytes = match &host_path {
            Some(path) if self.image.is_mapped() => Bytes::Mapped(Mapped::open(path)?),
            _ => Bytes::paged(Paged::new(file)),
        };
        Ok(Some(HiveHandle {
            image: self.image.clone(),
            host_file: host_path.unwrap_or_else(|| self.host_file.clone()),
            host_windows: self.host_windows.clone(),
            installation: self.installation.clone(),
            volume,
            files: files.clone(),
            volume_files: if is_own_volume { self.volume_files.clone() } else { Some(files.clone()) },
            state: if is_own_volume { self.state.clone() } else { Arc::default() },
            folder: folder.to_owned(),
            name: name.to_owned(),
            bytes,
        }))
    }

    /// Returns the places of its bytes, as addresses in the concatenated `files`. `None` if the image does not map
    /// them.
    ///
    /// # Errors
    /// `placement`: a byte has no place in an image whose bytes all have one.
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

    /// Returns the file in its volume.
    ///
    /// # Errors
    /// An error if the hive is mapped.
    pub fn file(&self) -> Result<&FileInVolume> {
        self.paged().map(Paged::file).ok_or_else(|| changed_since(&self.host_file))
    }

    /// A file without holes is not larger than its disk, unless it is compressed in an archive.
    pub(super) fn most(&self) -> u64 {
        self.disk().filter(|disk| disk.archive().is_none()).map_or(MOST_BYTES, |disk| MOST_BYTES.min(disk.len()))
    }

    /// Returns its volume; the whole disk for a hive of the host.
    pub(crate) fn volume(&self) -> VolumeId {
        self.volume
    }
}

/// Returns the file at `path`; `None` for a folder.
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
