//! A file that appears under its name only when it is complete.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::file::failed;
use super::fitting::{RANDOM, fitting};
use super::temp_files::{self, What};
use super::{FileStorage, Storage};
use hivewright_error::{Code, Error, Kind, Result};

/// The suffix of the temporary name.
const UNFINISHED: &str = ".unfinished";

/// A file that is being written under a temporary name. Dropping it removes it.
pub struct NewFile {
    file: BufWriter<File>,
    written: TempPath,
    path: PathBuf,
    may_replace: bool,
    // Declared last, so that it is dropped after the file is removed.
    _held: Held,
}

/// The temporary name, registered while the file has it.
struct Held(PathBuf);

impl Drop for Held {
    fn drop(&mut self) {
        temp_files::let_go(&self.0);
    }
}

impl NewFile {
    /// Begins a file that gets the name `path` when it is finished. An existing file is replaced only if it is a
    /// regular file that begins with `like`, and never without `like`.
    ///
    /// # Errors
    /// `file-exists`: another file or a folder is there. `no-folder`: its folder does not exist. I/O errors if the
    /// folder cannot be written to.
    pub fn begin(path: &Path, like: Option<&[u8]>) -> Result<Self> {
        if !may_be_replaced(path, like)? {
            return Err(exists(path, like.is_some()));
        }
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        // The temporary name tells which file a killed run was writing.
        let mut prefix = OsString::from(".");
        prefix.push(fitting(path.file_name().unwrap_or_default(), 2 + RANDOM + UNFINISHED.len()));
        prefix.push(".");
        builder.prefix(&prefix).rand_bytes(RANDOM).suffix(UNFINISHED);
        // A temporary file has mode 0600; the new file gets the mode of any new file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let make = || {
            let made = builder.tempfile_in(folder).map_err(|e| not_begun(path, folder, e))?;
            Ok((made.path().to_owned(), made.into_parts()))
        };
        let (name, (file, written)) = temp_files::hold(What::File, make)?;
        let may_replace = like.is_some();
        Ok(NewFile { file: BufWriter::new(file), written, path: path.to_owned(), may_replace, _held: Held(name) })
    }

    /// Renames the file to its final name. An existing file is replaced only where `like` was given.
    ///
    /// # Errors
    /// `file-exists`: a file has got that name meanwhile, and is not replaced. I/O errors.
    pub fn finish(self) -> Result<()> {
        let file = self.file.into_inner().map_err(|e| failed("write", &self.path, e.into_error()))?;
        // Flush before the rename, so that the name never leads to incomplete contents after a crash.
        file.sync_all().map_err(|e| failed("write", &self.path, e))?;
        let name = self.written.to_path_buf();
        let NewFile { written, path, may_replace, .. } = self;
        let persist = || {
            let named = if may_replace { written.persist(&path) } else { written.persist_noclobber(&path) };
            named.map(|()| true).map_err(|e| match e.error.kind() {
                io::ErrorKind::AlreadyExists if !may_replace => exists(&path, false),
                _ => failed("create", &path, e.error),
            })
        };
        temp_files::rename(&name, persist).map(drop)
    }
}

fn exists(path: &Path, may_be_like: bool) -> Error {
    let why = if may_be_like { ", and differs from the new contents" } else { "" };
    Error::refused(Code::FileExists, format!("{} already exists{why}", path.display()))
        .advise("name a file that does not exist")
}

fn not_begun(path: &Path, folder: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound && !folder.exists() {
        let what = format!("cannot write {}: the folder {} does not exist", path.display(), folder.display());
        return Error::new(Kind::NotFound, Code::NoFolder, what).advise("create the folder, or name another one");
    }
    // The error names the temporary file, which the user does not know.
    let what =
        format!("cannot write {}: no file can be created in {}: {}", path.display(), folder.display(), error.kind());
    Error::io(what, error).advise("name a folder where files can be created")
}

/// Returns whether there is nothing at `path`, or a regular file that begins with `like`.
fn may_be_replaced(path: &Path, like: Option<&[u8]>) -> Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(failed("access", path, e)),
        Ok(found) if !found.is_file() => return Ok(false),
        Ok(_) => {}
    }
    let Some(like) = like else { return Ok(false) };
    let file = FileStorage::open(path)?;
    let mut head = vec![0; like.len()];
    Ok(file.len()? >= like.len() as u64 && file.read_at(0, &mut head).is_ok() && head == like)
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appears_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        std::fs::write(&path, "old").unwrap();
        let mut fresh = NewFile::begin(&path, Some(b"old")).unwrap();
        fresh.write_all(b"ne").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        drop(fresh);
        assert_eq!((std::fs::read(&path).unwrap(), std::fs::read_dir(&folder).unwrap().count()), (b"old".to_vec(), 1));
        let mut fresh = NewFile::begin(&path, Some(b"old")).unwrap();
        fresh.write_all(b"new").unwrap();
        fresh.finish().unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), std::fs::read_dir(&folder).unwrap().count()), (b"new".to_vec(), 1));
        assert_eq!(
            NewFile::begin(&folder.path().join("none/x"), Some(b"")).err().map(|e| e.code()),
            Some(Code::NoFolder)
        );
        assert!(NewFile::begin(&path.join("x"), Some(b"")).is_err());
        // The existing file begins with other bytes; devices and folders are never replaced.
        let device = if cfg!(unix) { Path::new("/dev/null") } else { folder.path() };
        for other in [&path, device, folder.path()] {
            assert_eq!(
                NewFile::begin(other, Some(b"old")).err().map(|e| e.code()),
                Some(Code::FileExists),
                "{}",
                other.display()
            );
        }
    }
}
