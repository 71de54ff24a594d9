//! What the user named, opened: a disk image or a single volume, a folder of the host, or a bare hive.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::{self, HiveFile};
use super::{Choice, Disk, HiveHandle, ImageOptions};
use hivewright_disk::container::has_type_of_log;
use hivewright_disk::host_folder::{FilesOf, HostFiles};
use hivewright_error::{Code, Error, Result};
use hivewright_hive::regf::base_block::{self, SIGNATURE};
use hivewright_storage::folder::{EntryKind, kind_of};
use hivewright_storage::probe::peek;
use hivewright_storage::{Host, RealHost};

/// An image: something with Windows installations, or a hive, in it.
#[derive(Clone)]
pub struct Image {
    path: PathBuf,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Disk(Box<Disk>),
    /// A folder of the host, or a file that is no disk and so is taken for a hive.
    Host(Arc<dyn HostFiles>),
}

impl Image {
    /// Opens what stands at `path`.
    ///
    /// # Errors
    /// `no-file`, `io`; the image is damaged or of a kind that is not read; its partition table cannot be trusted
    /// (`gpt-damaged`).
    pub fn open(path: impl AsRef<Path>) -> Result<Image> {
        Self::open_as(path.as_ref(), &ImageOptions::default())
    }

    /// As [`Image::open`], where more is known of the image.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open_as(path: &Path, options: &ImageOptions) -> Result<Image> {
        Self::open_on(&RealHost, path, options)
    }

    /// As [`Image::open_as`], on another file system: names are looked up on this one, bytes are that one's.
    ///
    /// # Errors
    /// As [`Image::open`].
    #[doc(hidden)]
    pub fn open_on<H: Host>(host: &H, path: &Path, options: &ImageOptions) -> Result<Image> {
        if options.format.is_none() && is_hive(path)? {
            return Ok(Self::on_host(host, path));
        }
        match Disk::open_on(host, path, options)? {
            Some(disk) => Ok(Image::from(disk)),
            None => Ok(Self::on_host(host, path)),
        }
    }

    /// What is no disk.
    fn on_host<H: Host>(host: &H, path: &Path) -> Image {
        Image { path: path.to_owned(), content: Content::Host(Arc::new(FilesOf::new(host.clone()))) }
    }

    /// A hive of the host that is known already, found through the Windows folder `windows`; it is read by calls.
    ///
    /// # Errors
    /// It cannot be opened.
    #[doc(hidden)]
    pub fn hive_of_file<H: Host>(host: &H, hive: &Path, windows: Option<&Path>) -> Result<HiveHandle> {
        let files = Arc::new(FilesOf::new(host.clone()));
        let image = Image { path: hive.to_owned(), content: Content::Host(files.clone()) };
        let file = HiveFile { hive: hive.to_owned(), windows: windows.map(Path::to_owned) };
        HiveHandle::on_host(&image, &*files, file, false)
    }

    /// What was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk, where it is one.
    #[doc(hidden)]
    pub fn disk(&self) -> Option<&Disk> {
        match &self.content {
            Content::Disk(disk) => Some(disk),
            Content::Host(_) => None,
        }
    }

    /// Whether it is a hive of the host that was named itself.
    pub(crate) fn is_hive(&self) -> bool {
        matches!(self.content, Content::Host(_)) && matches!(kind_of(&self.path), Ok(EntryKind::File))
    }

    /// Bytes read of its files so far.
    pub fn bytes_read(&self) -> u64 {
        match &self.content {
            Content::Disk(disk) => disk.bytes_read(),
            Content::Host(files) => files.bytes_read(),
        }
    }

    /// The SYSTEM hive that is meant.
    ///
    /// # Errors
    /// As [`Disk::installation`]; for what is no disk, `no-installation` and `several-installations` of a folder, and
    /// `not-a-disk` for a choice where there is none.
    #[doc(hidden)]
    pub fn system_hive(&self, choice: &Choice) -> Result<HiveHandle> {
        self.system_hive_by(choice, false)
    }

    /// As [`Image::system_hive`]; a hive of the host is mapped where that can be done.
    ///
    /// # Errors
    /// As there.
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

    /// The SYSTEM hives of all installations.
    pub(crate) fn system_hives(&self) -> Result<Vec<HiveHandle>> {
        match &self.content {
            Content::Disk(disk) => disk.system_hives(),
            Content::Host(files) => {
                let found = folder::find_all(&self.path)?;
                found.into_iter().map(|file| HiveHandle::on_host(self, &**files, file, false)).collect()
            }
        }
    }

    fn hive_file(&self, choice: &Choice) -> Result<HiveFile> {
        let file = folder::find(&self.path)?;
        if choice.is_empty() {
            return Ok(file);
        }
        let what = format!("{} is no disk: there is no partition or folder to choose", self.path.display());
        Err(Error::refused(Code::NotADisk, what))
    }
}

impl From<Disk> for Image {
    fn from(disk: Disk) -> Self {
        Image { path: disk.path().to_owned(), content: Content::Disk(Box::new(disk)) }
    }
}

/// Whether the regular file at `path` begins as a hive, and not as a transaction log.
fn is_hive(path: &Path) -> Result<bool> {
    if kind_of(path)? != EntryKind::File {
        return Ok(false);
    }
    let found = peek(path, base_block::SIZE, true)?;
    Ok(found.is_some_and(|(_, head)| head.starts_with(&SIGNATURE) && !has_type_of_log(&head)))
}
