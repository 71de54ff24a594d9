//! A file of the host as a storage.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
#[cfg(windows)]
use std::sync::OnceLock;
#[cfg(not(windows))]
use std::sync::atomic::{AtomicBool, Ordering};

use crate::advised;
use hivewright_error::{Code, Error, Kind, Place, Result, Space};

use super::Storage;

/// An open file. Reads and writes name their offset; the file position is not used.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    path: PathBuf,
    /// Whether a lock was asked for.
    #[cfg(not(windows))]
    has_locks: AtomicBool,
    /// The size of a disk or volume of this machine, and `None` for a file.
    #[cfg(windows)]
    device: Option<super::win32::Device>,
    /// Another opening, which excludes writers.
    #[cfg(windows)]
    shared: OnceLock<File>,
}

impl FileStorage {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// I/O errors; `no-file` if there is no such file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| failed("open", path, e))?;
        Ok(FileStorage::new(file, path.to_owned()))
    }

    pub(super) fn new(file: File, path: PathBuf) -> Self {
        FileStorage {
            #[cfg(windows)]
            device: super::win32::device_name(&path).and_then(|_| super::win32::device(&file).ok()),
            #[cfg(windows)]
            shared: OnceLock::new(),
            file,
            path,
            #[cfg(not(windows))]
            has_locks: AtomicBool::new(false),
        }
    }

    /// Returns the file, for a lock: dropping the storage releases it.
    #[cfg(not(windows))]
    pub(super) fn to_lock(&self) -> &File {
        self.has_locks.store(true, Ordering::Relaxed);
        &self.file
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    #[cfg(windows)]
    pub(super) fn is_device(&self) -> bool {
        self.device.is_some()
    }

    /// Excludes writers until the storage is dropped. Returns `false` if there is one. Unlike a lock, this does not
    /// depend on what the other program asks.
    #[cfg(windows)]
    pub(super) fn exclude_writers(&self) -> io::Result<bool> {
        const FILE_SHARE_READ: u32 = 1;
        if self.is_device() || self.shared.get().is_some() {
            return Ok(true);
        }
        let mut options = File::options();
        std::os::windows::fs::OpenOptionsExt::share_mode(options.read(true), FILE_SHARE_READ);
        match super::win32::patiently(|| options.open(&self.path)) {
            Ok(file) => Ok(self.shared.set(file).is_ok()),
            Err(e) if is_in_use(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// `too-large` if it has more than `most` bytes; I/O errors.
    pub fn read_whole(&self, most: usize) -> Result<Vec<u8>> {
        super::read_whole(self, &self.path, most)
    }

    /// Returns the path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, what: &str, source: io::Error) -> Error {
        failed(what, &self.path, source)
    }
}

/// Returns whether the error says that another program uses the file or the device.
pub(super) fn is_in_use(error: &io::Error) -> bool {
    #[cfg(windows)]
    if super::win32::is_in_use(error) {
        return true;
    }
    error.kind() == io::ErrorKind::ResourceBusy
}

pub(super) fn in_use(path: &Path) -> Error {
    Error::refused(Code::InUse, format!("{} is in use by another program", path.display()))
        .advise("close the program that uses it, unmount it, or shut down the virtual machine, and try again")
        .of_file(path)
}

/// Makes the error of a failed system call on `path`. A missing file is [`Kind::NotFound`], and so is a name that the
/// host does not allow, such as one that is too long.
pub(super) fn failed(what: &str, path: &Path, source: io::Error) -> Error {
    if is_in_use(&source) {
        return in_use(path);
    }
    let error = if source.kind() == io::ErrorKind::InvalidFilename && matches!(what, "open" | "access") {
        Error::new(Kind::NotFound, Code::NoFile, format!("cannot {what} {}: {source}", path.display()))
    } else if source.kind() == io::ErrorKind::NotFound {
        Error::new(Kind::NotFound, Code::NoFile, format!("cannot {what} {}: it does not exist", path.display()))
    } else {
        Error::io(format!("cannot {what} {}: {source}", path.display()), source)
    };
    error.of_file(path)
}

/// Makes the error of a failed open for writing: `read-only` where the host denies the user write access.
pub(super) fn denied(path: &Path, source: io::Error) -> Error {
    let is_denied = is_denied(&source);
    let error = failed("open for writing", path, source);
    if !is_denied {
        return error;
    }
    let marked = match cfg!(windows) {
        true => format!("read-only ({})", advised::LIST_ATTRIBUTES),
        false => format!("immutable ({})", advised::LIST_FLAGS),
    };
    error.becoming(Kind::Io, Code::ReadOnly).advise(format!(
        "run as a user who may write to it; make sure that its file system is not mounted read-only and that it is not marked {marked}; or write a copy: --output"
    ))
}

/// Makes the error of a failure to make a file: `folder-read-only` where the host denies the user write access.
pub(super) fn denied_folder(what: &str, folder: &Path, source: io::Error) -> Error {
    let is_denied = is_denied(&source);
    let error = failed(what, folder, source);
    if !is_denied {
        return error;
    }
    error.becoming(Kind::Io, Code::FolderReadOnly).advise(
        "run as a user who may create files in that folder: the new file or the undo file is created beside the target",
    )
}

fn is_denied(source: &io::Error) -> bool {
    matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Releases the locks. To close the file is not enough: a program that another thread has just started holds the file
/// until it has replaced the copy of this process.
#[cfg(not(windows))]
impl Drop for FileStorage {
    fn drop(&mut self) {
        if *self.has_locks.get_mut() {
            // A file system without locks refuses; then there is nothing to release.
            let _ = self.file.unlock();
            #[cfg(target_os = "linux")]
            super::ranges::unlock(self);
        }
    }
}

impl Storage for FileStorage {
    fn len(&self) -> Result<u64> {
        #[cfg(windows)]
        if let Some(device) = &self.device {
            return Ok(device.len);
        }
        let about = self.file.metadata().map_err(|e| self.failed("access", e))?;
        if about.is_file() {
            return Ok(about.len());
        }
        // `stat(2)` reports no length for a block device; its end is found by seeking.
        (&self.file).seek(SeekFrom::End(0)).map_err(|e| self.failed("measure", e))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        #[cfg(windows)]
        if let Some(device) = &self.device {
            let read = device.read_exact_at(&self.file, offset, buf);
            return read.map_err(|e| self.failed("read", e).at(Space::File, offset));
        }
        read_exact_at(&self.file, offset, buf).map_err(|e| self.failed("read", e).at(Space::File, offset))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        #[cfg(windows)]
        if let Some(device) = &self.device {
            let written = device.write_all_at(&self.file, offset, bytes);
            return written.map_err(|e| self.failed("write", e).at(Space::File, offset));
        }
        write_all_at(&self.file, offset, bytes).map_err(|e| self.failed("write", e).at(Space::File, offset))
    }

    fn flush(&self) -> Result<()> {
        sync(&self.file).map_err(|e| self.failed("flush", e))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|e| self.failed("change the length of", e))
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        vec![Place { space: Space::File, offset }]
    }
}

/// Returns when the bytes are on the medium: FlushFileBuffers on Windows, F_FULLFSYNC on macOS, `fsync(2)` elsewhere.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn sync(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Returns when the bytes are on the medium: `sync_all` calls F_FULLFSYNC, which some file systems do not offer.
#[cfg(target_vendor = "apple")]
pub(super) fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(e) if matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => {
            Ok(rustix::fs::fsync(file)?)
        }
        done => done,
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, offset)
}

#[cfg(unix)]
fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
    while !buf.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => (offset, buf) = (offset + n as u64, &mut buf[n..]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(windows)]
pub(super) fn write_all_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => (offset, bytes) = (offset + n as u64, &bytes[n..]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
