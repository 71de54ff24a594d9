//! Tells whether a commit could write to a file of the host, without opening it for writing and without taking a lock,
//! so that readers never obstruct other programs.

use std::io;
use std::path::Path;

use super::Host;
use super::file::{denied, denied_folder};
use super::real::in_use;
use hivewright_error::{Code, Error, Result};

/// How other programs use a file, as far as their locks tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// No lock.
    Free,
    /// A program excludes writers.
    Kept,
    /// A program may write to the file.
    Written,
}

/// Checks that the user may open the file or block device at `path` for writing.
///
/// # Errors
/// `read-only`; `in-use` for a block device that is mounted, or that another program has claimed.
pub fn may_write(path: &Path) -> Result<()> {
    system::may_write(path).map_err(|e| match e.kind() {
        io::ErrorKind::ResourceBusy => in_use(path),
        _ => denied(path, e),
    })
}

/// Checks that the user may make files in `folder`.
///
/// # Errors
/// `folder-read-only`.
pub fn may_make_files(folder: &Path) -> Result<()> {
    system::may_make_files(folder).map_err(|e| denied_folder("make a new file in", folder, e))
}

/// Returns how other programs use the file at `path`; for an image, the locks of virtual machines count too.
/// [`Usage::Free`] where the locks cannot be queried.
pub fn usage(path: &Path, is_image: bool) -> Usage {
    system::usage(path, is_image).unwrap_or(Usage::Free)
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::{self, File, Metadata};
    use std::io;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    use std::path::Path;

    use rustix::fs::{Access, AtFlags, CWD, OFlags, accessat, major, minor};

    use super::Usage;
    use crate::folder::is_block_device;
    use crate::probe::open_plain;
    use crate::ranges;
    use hivewright_error::Result;

    pub(super) fn may_write(path: &Path) -> io::Result<()> {
        accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS)?;
        let about = fs::metadata(path)?;
        if !is_block_device(&about) {
            return Ok(());
        }
        // O_EXCL claims the device as a writer would, but without writing: inotify does not report a close after
        // writing.
        let flags = i32::try_from(OFlags::EXCL.bits()).unwrap_or(0);
        File::options().read(true).custom_flags(flags).open(path)?;
        let (major, minor) = (major(about.rdev()), minor(about.rdev()));
        match fs::read(format!("/sys/dev/block/{major}:{minor}/ro")) {
            Ok(text) if text.starts_with(b"1") => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn may_make_files(folder: &Path) -> io::Result<()> {
        Ok(accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
    }

    pub(super) fn usage(path: &Path, is_image: bool) -> Result<Usage> {
        let whole = fs::metadata(path).map_or(Usage::Free, |about| locked(&about));
        let Some(file) = open_plain(path)?.filter(|_| is_image) else { return Ok(whole) };
        let of_ranges = match (ranges::has_writer(&file)?, ranges::has_user(&file)?) {
            (true, _) => Usage::Written,
            (false, true) => Usage::Kept,
            (false, false) => Usage::Free,
        };
        Ok(whole.max(of_ranges))
    }

    /// Finds `flock` locks in the kernel's table (`proc_locks(5)`): `flock(2)` offers no query. Finds none on file
    /// systems that report another device number in the table than `stat(2)` does.
    fn locked(about: &Metadata) -> Usage {
        let Ok(table) = fs::read_to_string("/proc/locks") else { return Usage::Free };
        let own = format!("{:02x}:{:02x}:{}", major(about.dev()), minor(about.dev()), about.ino());
        let of_line = |line: &str| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            match fields[..] {
                [_, "FLOCK", _, "WRITE", _, file, ..] if file == own => Usage::Written,
                [_, "FLOCK", _, _, _, file, ..] if file == own => Usage::Kept,
                _ => Usage::Free,
            }
        };
        table.lines().map(of_line).max().unwrap_or(Usage::Free)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::fs;
    use std::io;
    use std::path::Path;

    use super::Usage;
    use hivewright_error::Result;

    pub(super) fn may_write(path: &Path) -> io::Result<()> {
        let is_read_only = fs::metadata(path)?.permissions().readonly();
        if is_read_only { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }

    pub(super) fn may_make_files(_: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn usage(_: &Path, _: bool) -> Result<Usage> {
        Ok(Usage::Free)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn locks_are_seen_and_not_taken() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(file.path()).unwrap();
        let asked = || (usage(file.path(), false), usage(file.path(), true));
        assert_eq!(asked(), (Usage::Free, Usage::Free));
        let holder = open();
        holder.lock_shared().unwrap();
        assert_eq!(asked(), (Usage::Kept, Usage::Kept));
        holder.unlock().unwrap();
        holder.lock().unwrap();
        assert_eq!(asked(), (Usage::Written, Usage::Written));
        holder.unlock().unwrap();
        assert_eq!(asked(), (Usage::Free, Usage::Free));
        open().try_lock().unwrap();
        assert_eq!(usage(std::path::Path::new("/nothing/there"), true), Usage::Free);
    }

    #[test]
    fn folders_and_files_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert_eq!(may_write(&file).unwrap_err().code(), "no-file");
        std::fs::write(&file, "").unwrap();
        assert!(may_write(&file).is_ok() && may_make_files(folder.path()).is_ok());
        assert!(may_make_files(&file.join("below")).is_err());
    }
}

/// Refuses if VMware has the disk at `path` open: it keeps a folder of that name with `.lck` appended, with a file in
/// it.
///
/// # Errors
/// `in-use`; I/O errors if the folder cannot be listed.
pub fn vmware_is_out<H: Host>(host: &H, path: &Path) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lck");
    let folder = path.with_file_name(name);
    if !host.exists(&folder)? || host.starting_with(&folder, std::ffi::OsStr::new(""))?.is_empty() {
        return Ok(());
    }
    let what = format!("{} is in use by VMware: {} says so", path.display(), folder.display());
    Err(Error::refused(Code::InUse, what).advise("shut the virtual machine down; if none runs, remove that folder"))
}
