//! An opened image: a disk image or a single volume, a folder of the host, or a bare hive.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::{self, HiveFile};
use super::{Choice, Disk, HiveHandle, ImageOptions};
use hivewright_disk::container::has_type_of_log;
use hivewright_disk::host_folder::{FilesOf, HostFiles};
use hivewright_error::{Code, Error, Result};
use hivewright_hive::regf::base_block::{self, SIGNATURE};
use hivewright_storage::probe::{EntryKind, kind_of, peek};
use hivewright_storage::{Host, RealHost};

/// An image with Windows installations or a hive in it.
#[derive(Clone)]
pub struct Image {
    path: PathBuf,
    content: Content,
    /// See [`ImageOptions::mapped`].
    mapped: bool,
}

#[derive(Clone)]
enum Content {
    Disk(Box<Disk>),
    /// A folder of the host, or a file that is not a disk and is treated as a hive.
    Host(Arc<dyn HostFiles>),
}

impl Image {
    /// Opens the disk image, folder or hive at `path`.
    ///
    /// # Errors
    /// `no-file`, `io`; the image is damaged or not supported; `gpt-damaged`.
    pub fn open(path: impl AsRef<Path>) -> Result<Image> {
        Self::open_as(path.as_ref(), &ImageOptions::default())
    }

    /// As [`Image::open`], with options.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open_as(path: &Path, options: &ImageOptions) -> Result<Image> {
        Self::open_on(&RealHost, path, options)
    }

    /// As [`Image::open_as`], on another host: names are looked up on this system, and bytes are read from `host`.
    ///
    /// # Errors
    /// As [`Image::open`].
    #[doc(hidden)]
    pub fn open_on<H: Host>(host: &H, path: &Path, options: &ImageOptions) -> Result<Image> {
        let open = || {
            let is_hive = options.format.is_none() && is_hive(path)?;
            let disk = if is_hive { None } else { Disk::open_on(host, path, options)? };
            Ok(disk.map_or_else(|| Self::on_host(host, path, options.mapped), Image::from))
        };
        open().map_err(|error: Error| error.in_file(path))
    }

    /// Makes an image that is not a disk.
    fn on_host<H: Host>(host: &H, path: &Path, mapped: bool) -> Image {
        Image { path: path.to_owned(), content: Content::Host(Arc::new(FilesOf::new(host.clone()))), mapped }
    }

    /// Returns a known hive of the host, found through the Windows folder `windows`; it is read with read calls.
    ///
    /// # Errors
    /// It cannot be opened.
    #[doc(hidden)]
    pub fn hive_of_file<H: Host>(host: &H, hive: &Path, windows: Option<&Path>) -> Result<HiveHandle> {
        let files = Arc::new(FilesOf::new(host.clone()));
        let image = Image { path: hive.to_owned(), content: Content::Host(files.clone()), mapped: false };
        let file = HiveFile { hive: hive.to_owned(), windows: windows.map(Path::to_owned) };
        HiveHandle::on_host(&image, &*files, file, false)
    }

    /// Returns the path that the user named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the disk, where it is one.
    #[doc(hidden)]
    pub fn disk(&self) -> Option<&Disk> {
        match &self.content {
            Content::Disk(disk) => Some(disk),
            Content::Host(_) => None,
        }
    }

    /// Returns whether hives that are files of the host are read through memory maps.
    pub(super) fn is_mapped(&self) -> bool {
        self.mapped
    }

    /// Returns whether it is a hive of the host that the user named directly.
    pub(crate) fn is_hive(&self) -> bool {
        matches!(self.content, Content::Host(_)) && matches!(kind_of(&self.path), Ok(EntryKind::File))
    }

    /// Returns the bytes read of its files so far.
    pub fn bytes_read(&self) -> u64 {
        match &self.content {
            Content::Disk(disk) => disk.bytes_read(),
            Content::Host(files) => files.bytes_read(),
        }
    }

    /// Returns the selected SYSTEM hive.
    ///
    /// # Errors
    /// As [`Disk::installation`]; for an image that is not a disk, `no-installation` and `several-installations` of a
    /// folder, and `not-a-disk` if `choice` selects something.
    #[doc(hidden)]
    pub fn system_hive(&self, choice: &Choice) -> Result<HiveHandle> {
        self.system_hive_by(choice, self.mapped)
    }

    /// As [`Image::system_hive`], but maps a hive of the host if possible.
    ///
    /// # Errors
    /// As [`Image::system_hive`].
    #[doc(hidden)]
    pub fn mapped_system_hive(&self, choice: &Choice) -> Result<HiveHandle> {
        self.system_hive_by(choice, true)
    }

    fn system_hive_by(&self, choice: &Choice, mapped: bool) -> Result<HiveHandle> {
        match &self.content {
            Content::Disk(disk) => disk.system_hive(choice),
            Content::Host(files) => HiveHandle::on_host(self, &**files, self.hive_file(choice)?, mapped),
        }
    }

    /// Returns the SYSTEM hives of all installations.
    pub(crate) fn system_hives(&self) -> Result<Vec<HiveHandle>> {
        match &self.content {
            Content::Disk(disk) => disk.system_hives(),
            Content::Host(files) => {
                let found = folder::find_all(&self.path)?;
                found.into_iter().map(|file| HiveHandle::on_host(self, &**files, file, self.mapped)).collect()
            }
        }
    }

    fn hive_file(&self, choice: &Choice) -> Result<HiveFile> {
        let file = folder::find(&self.path)?;
        if choice.is_empty() {
            return Ok(file);
        }
        let what = format!("{} is not a disk: it has no partition or folder to choose", self.path.display());
        Err(Error::refused(Code::NotADisk, what))
    }
}

impl From<Disk> for Image {
    fn from(disk: Disk) -> Self {
        Image { path: disk.path().to_owned(), content: Content::Disk(Box::new(disk)), mapped: false }
    }
}

/// Returns whether the regular file at `path` begins as a hive and not as a transaction log.
fn is_hive(path: &Path) -> Result<bool> {
    if kind_of(path)? != EntryKind::File {
        return Ok(false);
    }
    let found = peek(path, base_block::SIZE, true)?;
    Ok(found.is_some_and(|(_, head)| head.starts_with(&SIGNATURE) && !has_type_of_log(&head)))
}
