//! The file system of this machine.

use std::ffi::OsStr;
#[cfg(not(windows))]
use std::fs::TryLockError;
use std::fs::{self, FileTimes, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use hivewright_error::Result;

use super::file::{FileStorage, denied, denied_folder, failed, in_use, is_in_use};
use super::fitting::{RANDOM, fitting};
use super::temp_files::{self, What};
use super::{About, Access, Carried, Host, HostFile, Times};

/// The suffix of a temporary name.
const NEW: &str = ".hivewright-new";

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealHost;

impl Host for RealHost {
    type File = FileStorage;

    fn resolve(&self, path: &Path) -> Result<PathBuf> {
        super::probe::canonical(path).map_err(|e| failed("open", path, e))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        #[cfg(windows)]
        if super::win32::device_name(path).is_some() {
            return Ok(super::win32::open_for_metadata(path, true).is_ok());
        }
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            // A name that the host does not allow belongs to no file.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename) => Ok(false),
            Err(e) => Err(failed("access", path, e)),
        }
    }

    fn starting_with(&self, folder: &Path, prefix: &OsStr) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(|e| failed("list", folder, e))? {
            let entry = entry.map_err(|e| failed("list", folder, e))?;
            let named = entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
            if named && entry.file_type().is_ok_and(|t| t.is_file()) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    fn open(&self, path: &Path, access: Access) -> Result<FileStorage> {
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::Write);
        keep_writers_out(&mut options, path, access);
        claim_device(&mut options, path, access);
        let file = attempt(|| options.open(path)).map_err(|e| match access {
            _ if is_in_use(&e) => in_use(path),
            Access::Write => denied(path, e),
            Access::Read => failed("open", path, e),
        })?;
        #[cfg(windows)]
        if access == Access::Write {
            claim(&file, path)?;
        }
        Ok(FileStorage::new(file, path.to_owned()))
    }

    fn create_temporary(&self, beside: &Path, mode: u32) -> Result<(PathBuf, FileStorage)> {
        let folder = beside.parent().unwrap_or(Path::new("."));
        let mut prefix = std::ffi::OsString::from(".");
        let more = 2 + RANDOM + NEW.len();
        prefix.push(fitting(beside.file_name().unwrap_or_default(), more));
        prefix.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).rand_bytes(RANDOM).suffix(NEW);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        #[cfg(not(unix))]
        let _ = mode;
        temp_files::hold(What::File, || {
            let made = builder.tempfile_in(folder).map_err(|e| denied_folder("create a file in", folder, e))?;
            let (file, path) = made.keep().map_err(|e| failed("save a new file in", folder, e.error))?;
            Ok((path.clone(), FileStorage::new(file, path)))
        })
    }

    fn carry_metadata(&self, from: &FileStorage, to: &FileStorage) -> Result<Carried> {
        carry(from, to)
    }

    #[cfg(target_os = "linux")]
    fn copy_bytes(&self, from: &FileStorage, to: &FileStorage) -> Result<()> {
        super::metadata::copy_bytes(from, to)
    }

    #[cfg(windows)]
    fn copy_bytes(&self, from: &FileStorage, to: &FileStorage) -> Result<()> {
        if super::win32::is_sparse(from.file()) {
            // Without it, the copy only takes more room.
            let _ = super::win32::make_sparse(to.file());
        }
        super::host::copy_range(from, to, 0, super::Storage::len(from)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let rename = || replace(from, to).map(|()| true).map_err(|e| failed("rename a file to", to, e));
        temp_files::rename(from, rename).map(drop)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> Result<bool> {
        temp_files::rename(from, || rename_new(from, to))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let removed = fs::remove_file(path).map_err(|e| failed("remove", path, e));
        temp_files::let_go(path);
        removed
    }

    #[cfg(unix)]
    fn sync_folder(&self, folder: &Path) -> Result<()> {
        match fs::File::open(folder).and_then(|f| super::file::sync(&f)) {
            // Some network file systems cannot flush a folder and return an error.
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            done => done.map_err(|e| failed("flush the folder", folder, e)),
        }
    }

    #[cfg(windows)]
    fn sync_folder(&self, folder: &Path) -> Result<()> {
        super::win32::flush_folder(folder).map_err(|e| failed("flush the folder", folder, e))
    }
}

#[cfg(windows)]
use super::win32::patiently as attempt;

#[cfg(unix)]
fn attempt<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    open()
}

#[cfg(unix)]
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

#[cfg(windows)]
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    super::win32::rename(from, to, true)
}

#[cfg(windows)]
fn rename_new(from: &Path, to: &Path) -> Result<bool> {
    match super::win32::rename(from, to, false) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(failed("rename a file to", to, e)),
    }
}

#[cfg(unix)]
fn rename_new(from: &Path, to: &Path) -> Result<bool> {
    let temporary = tempfile::TempPath::try_from_path(from).map_err(|e| failed("rename", from, e))?;
    let Err(error) = temporary.persist_noclobber(to) else { return Ok(true) };
    let tempfile::PathPersistError { error, path } = error;
    path.keep().map_err(|e| failed("keep", from, e.error))?;
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(false) } else { claim_and_rename(from, to) }
}

/// Renames on file systems with neither a non-replacing rename nor hard links: creates an empty file, which fails if
/// the name is in use, and replaces it.
#[cfg(unix)]
fn claim_and_rename(from: &Path, to: &Path) -> Result<bool> {
    match OpenOptions::new().write(true).create_new(true).open(to) {
        Ok(_) => fs::rename(from, to).map(|()| true).map_err(|e| failed("rename a file to", to, e)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(failed("make", to, e)),
    }
}

#[cfg(windows)]
fn keep_writers_out(options: &mut OpenOptions, path: &Path, access: Access) {
    const FILE_SHARE_READ: u32 = 1;
    // A disk cannot be opened without sharing; `claim` excludes others.
    if access == Access::Write && super::win32::device_name(path).is_none() {
        std::os::windows::fs::OpenOptionsExt::share_mode(options, FILE_SHARE_READ);
    }
}

#[cfg(not(windows))]
fn keep_writers_out(_: &mut OpenOptions, _: &Path, _: Access) {}

/// Claims a disk or volume for writing.
#[cfg(windows)]
fn claim(file: &fs::File, path: &Path) -> Result<()> {
    use super::win32;
    let Some(name) = win32::device_name(path) else { return Ok(()) };
    match win32::claim(file, &name) {
        Ok(true) => Ok(()),
        Ok(false) => Err(device_in_use(path, &name)),
        Err(e) => Err(failed("claim", path, e)),
    }
}

#[cfg(windows)]
pub(super) fn device_in_use(path: &Path, name: &str) -> hivewright_error::Error {
    let advice = match super::win32::is_whole_disk(name) {
        true => "take the disk offline in Disk Management, or name one of its volumes; then try again",
        false => "close all programs and windows that use the volume, and try again",
    };
    in_use(path).advise(advice)
}

/// On Linux, O_EXCL claims a block device: mounts and other claims then fail, and the other way round.
#[cfg(target_os = "linux")]
fn claim_device(options: &mut OpenOptions, path: &Path, access: Access) {
    let is_device = fs::metadata(path).is_ok_and(|data| super::probe::is_block_device(&data));
    if is_device && access == Access::Write {
        // The bits of O_EXCL fit into an `i32`.
        let flags = i32::try_from(rustix::fs::OFlags::EXCL.bits()).unwrap_or(0);
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags);
    }
}

#[cfg(not(target_os = "linux"))]
fn claim_device(_: &mut OpenOptions, _: &Path, _: Access) {}

impl HostFile for FileStorage {
    fn about(&self) -> Result<About> {
        #[cfg(windows)]
        if self.is_device() {
            return Ok(About { id: None, links: 1, regular: false, device: true, mode: 0, keeps: None });
        }
        let data = self.file().metadata().map_err(|e| failed("access", self.path(), e))?;
        about(self, &data)
    }

    /// On Windows a lock would exclude the read-back as well. Opening for writing has already excluded other writers; a
    /// reader may have locked bytes.
    #[cfg(windows)]
    fn try_lock(&self) -> Result<bool> {
        if self.is_device() {
            return Ok(true);
        }
        match super::win32::find_locks(self.file()) {
            Ok(()) => Ok(true),
            Err(e) if is_in_use(&e) => Ok(false),
            Err(e) => Err(failed("lock", self.path(), e)),
        }
    }

    #[cfg(not(windows))]
    fn try_lock(&self) -> Result<bool> {
        match self.to_lock().try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            // A file system without locks has no holders of locks.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => Ok(true),
            Err(TryLockError::Error(e)) => Err(failed("lock", self.path(), e)),
        }
    }

    #[cfg(target_os = "linux")]
    fn try_lock_ranges(&self) -> Result<bool> {
        super::ranges::try_lock(self)
    }

    #[cfg(windows)]
    fn try_share(&self) -> Result<bool> {
        self.exclude_writers().map_err(|e| failed("lock", self.path(), e))
    }

    #[cfg(not(windows))]
    fn try_share(&self) -> Result<bool> {
        let shared = match self.to_lock().try_lock_shared() {
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(e)) if e.kind() != io::ErrorKind::Unsupported => {
                return Err(failed("lock", self.path(), e));
            }
            _ => true,
        };
        #[cfg(target_os = "linux")]
        let shared = shared && super::ranges::try_share(self)?;
        Ok(shared)
    }

    fn take_times(&self, from: &Times) -> Result<()> {
        let times = FileTimes::new().set_accessed(from.accessed).set_modified(from.modified);
        self.file().set_times(times).map_err(|e| failed("set the times of", self.path(), e))
    }

    fn times(&self) -> Result<Times> {
        #[cfg(windows)]
        if self.is_device() {
            let none = std::time::SystemTime::UNIX_EPOCH;
            return Ok(Times { accessed: none, modified: none });
        }
        let of = |e| failed("access", self.path(), e);
        let data = self.file().metadata().map_err(of)?;
        Ok(Times { accessed: data.accessed().map_err(of)?, modified: data.modified().map_err(of)? })
    }
}

#[cfg(unix)]
fn about(storage: &FileStorage, data: &fs::Metadata) -> Result<About> {
    use std::os::unix::fs::MetadataExt;
    Ok(About {
        id: Some(super::FileId { device: data.dev(), file: data.ino().into() }),
        links: data.nlink(),
        regular: data.is_file(),
        device: super::probe::is_block_device(data),
        mode: data.mode() & 0o777,
        keeps: keeps(storage),
    })
}

/// ReplaceFileW would carry the security, the attributes and the streams over, but it is not atomic: it renames twice,
/// and a stop in between leaves no file of that name.
#[cfg(windows)]
fn about(storage: &FileStorage, data: &fs::Metadata) -> Result<About> {
    let (id, links) = super::win32::identity(storage.file()).map_err(|e| failed("access", storage.path(), e))?;
    let keeps = Some("Windows keeps security, attributes and streams that a new file would not have");
    Ok(About { id: Some(id), links, regular: data.is_file(), device: false, mode: 0, keeps })
}

#[cfg(target_os = "linux")]
use super::metadata::{carry, keeps};

#[cfg(all(unix, not(target_os = "linux")))]
fn keeps(_: &FileStorage) -> Option<&'static str> {
    Some("this system keeps access lists and flags that a new file would not have")
}

#[cfg(not(target_os = "linux"))]
fn carry(_: &FileStorage, _: &FileStorage) -> Result<Carried> {
    Ok(Carried::Lost("access lists and flags".to_owned()))
}
