//! A file that appears under its name when it is whole.

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

/// What its name ends in until it is whole.
const UNFINISHED: &str = ".unfinished";

/// A file that is being written under another name, and gone if it is dropped.
pub struct Fresh {
    file: BufWriter<File>,
    written: TempPath,
    path: PathBuf,
    // After what it stands for.
    _held: Held,
}

/// The name for the time being, as long as it is held.
struct Held(PathBuf);

impl Drop for Held {
    fn drop(&mut self) {
        temp_files::let_go(&self.0);
    }
}

impl Fresh {
    /// Begins a file that shall be called `path`. What is called so is only replaced if it is a regular file that begins
    /// with `like`: an earlier one of its kind.
    ///
    /// # Errors
    /// `file-exists`: something else is there. `no-folder`: its folder is not there. The folder cannot be written to.
    pub fn begin(path: &Path, like: &[u8]) -> Result<Self> {
        if !may_be_replaced(path, like)? {
            let what = format!("{} is there already, and is not what would be written there", path.display());
            return Err(Error::refused(Code::FileExists, what).advise("name a file that does not exist"));
        }
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        // Whoever finds it, left by a run that was killed, sees what it was going to be.
        let mut prefix = OsString::from(".");
        prefix.push(fitting(path.file_name().unwrap_or_default(), 2 + RANDOM + UNFINISHED.len()));
        prefix.push(".");
        builder.prefix(&prefix).rand_bytes(RANDOM).suffix(UNFINISHED);
        // As any new file: a temporary one is its owner's alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let make = || {
            let made = builder.tempfile_in(folder).map_err(|e| not_begun(path, folder, e))?;
            Ok((made.path().to_owned(), made.into_parts()))
        };
        let (name, (file, written)) = temp_files::hold(What::File, make)?;
        Ok(Fresh { file: BufWriter::new(file), written, path: path.to_owned(), _held: Held(name) })
    }

    /// Gives it its name, in place of what was called so.
    ///
    /// # Errors
    /// The host could not write it.
    pub fn finish(self) -> Result<()> {
        let file = self.file.into_inner().map_err(|e| failed("write", &self.path, e.into_error()))?;
        // Else a name could stand for a file that the disk has not got.
        file.sync_all().map_err(|e| failed("write", &self.path, e))?;
        let name = self.written.to_path_buf();
        let persist =
            || self.written.persist(&self.path).map(|()| true).map_err(|e| failed("create", &self.path, e.error));
        temp_files::rename(&name, persist).map(drop)
    }
}

fn not_begun(path: &Path, folder: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound && !folder.exists() {
        let what = format!("cannot write {}: there is no folder {}", path.display(), folder.display());
        return Error::new(Kind::NotFound, Code::NoFolder, what).advise("make the folder, or name another place");
    }
    // The error itself names a file that nobody has asked for.
    let what =
        format!("cannot write {}: nothing can be made in {}: {}", path.display(), folder.display(), error.kind());
    Error::io(what, error).advise("name a place where files can be made")
}

/// Whether nothing is at `path`, or a regular file that begins with `like`.
fn may_be_replaced(path: &Path, like: &[u8]) -> Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(failed("look at", path, e)),
        Ok(found) if !found.is_file() => return Ok(false),
        Ok(_) => {}
    }
    let file = FileStorage::open(path)?;
    let mut head = vec![0; like.len()];
    Ok(file.len()? >= like.len() as u64 && file.read_at(0, &mut head).is_ok() && head == like)
}

impl Write for Fresh {
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
        let mut fresh = Fresh::begin(&path, b"old").unwrap();
        fresh.write_all(b"ne").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        drop(fresh);
        assert_eq!((std::fs::read(&path).unwrap(), std::fs::read_dir(&folder).unwrap().count()), (b"old".to_vec(), 1));
        let mut fresh = Fresh::begin(&path, b"old").unwrap();
        fresh.write_all(b"new").unwrap();
        fresh.finish().unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), std::fs::read_dir(&folder).unwrap().count()), (b"new".to_vec(), 1));
        assert_eq!(Fresh::begin(&folder.path().join("none/x"), b"").err().map(|e| e.code()), Some(Code::NoFolder));
        assert!(Fresh::begin(&path.join("x"), b"").is_err());
        // What is there now begins otherwise; a device and a folder are no files at all.
        for other in [&path, Path::new("/dev/null"), folder.path()] {
            assert_eq!(
                Fresh::begin(other, b"old").err().map(|e| e.code()),
                Some(Code::FileExists),
                "{}",
                other.display()
            );
        }
    }
}
