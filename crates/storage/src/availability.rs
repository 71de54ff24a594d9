//! Tells whether a commit could write to a file of the host, without opening it for writing and without taking a lock,
//! so that readers never obstruct other programs.
//!
//! Windows answers only to an attempt: the file is opened without sharing it with writers, then for writing, and bytes
//! are locked where that obstructs no reader; each attempt ends at once. A program that opens the file for writing in
//! that moment is refused. Attempts of other programs are waited for (`win32::patiently`).

use std::path::Path;

use super::Host;
use super::file::{denied, denied_folder, in_use, is_in_use};
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
    #[cfg(windows)]
    if let Some(name) = super::win32::device_name(path) {
        return system::may_write_device(path, &name);
    }
    system::may_write(path).map_err(|e| if is_in_use(&e) { in_use(path) } else { denied(path, e) })
}

/// Checks that the user may make files in `folder`.
///
/// # Errors
/// `folder-read-only`.
pub fn may_make_files(folder: &Path) -> Result<()> {
    system::may_make_files(folder).map_err(|e| denied_folder("create a file in", folder, e))
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
    use crate::probe::is_block_device;
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

#[cfg(windows)]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::OpenOptionsExt;
    use std::path::Path;
    use std::sync::{Mutex, MutexGuard, TryLockError};
    use std::time::Duration;

    use windows_sys::Win32::Storage::FileSystem as fs;

    use super::Usage;
    use crate::file::{denied, failed, is_in_use};
    use crate::real::device_in_use;
    use crate::win32;
    use hivewright_error::Result;

    fn open(path: &Path, access: u32, share: u32) -> io::Result<File> {
        let mut options = File::options();
        options.access_mode(access).share_mode(share).custom_flags(fs::FILE_FLAG_BACKUP_SEMANTICS).open(path)
    }

    const SHARE_ALL: u32 = fs::FILE_SHARE_READ | fs::FILE_SHARE_WRITE | fs::FILE_SHARE_DELETE;

    /// Permissions are checked before other users of the file, which [`usage`] finds.
    pub(super) fn may_write(path: &Path) -> io::Result<()> {
        match open(path, fs::FILE_WRITE_DATA, SHARE_ALL) {
            Err(e) if is_in_use(&e) => Ok(()),
            done => done.map(drop),
        }
    }

    /// A volume is not locked for the answer: that would close the files of others.
    pub(super) fn may_write_device(path: &Path, name: &str) -> Result<()> {
        open(path, fs::FILE_WRITE_DATA, SHARE_ALL).map_err(|e| denied(path, e))?;
        if !win32::is_whole_disk(name) {
            return Ok(());
        }
        let disk = open(path, fs::FILE_READ_DATA, SHARE_ALL).map_err(|e| failed("open", path, e))?;
        let is_offline = win32::is_offline(&disk).map_err(|e| failed("access", path, e))?;
        if is_offline { Ok(()) } else { Err(device_in_use(path, name)) }
    }

    pub(super) fn may_make_files(folder: &Path) -> io::Result<()> {
        open(folder, fs::FILE_ADD_FILE, SHARE_ALL).map(drop)
    }

    pub(super) fn usage(path: &Path, _: bool) -> Result<Usage> {
        if win32::device_name(path).is_some() {
            return Ok(Usage::Free);
        }
        let _turn = turn();
        let excludes = |found: io::Result<()>| found.is_err_and(|e| is_in_use(&e));
        // As a commit shares the file, which writers do not survive.
        let alone = win32::patiently(|| open(path, fs::FILE_READ_DATA, fs::FILE_SHARE_READ));
        let is_locked = alone.as_ref().is_ok_and(|file| excludes(win32::find_locks_as_reader(file)));
        if excludes(alone.map(drop)) {
            return Ok(Usage::Written);
        }
        let is_kept = || excludes(win32::patiently(|| open(path, fs::FILE_WRITE_DATA, SHARE_ALL).map(drop)));
        Ok(if is_locked || is_kept() { Usage::Kept } else { Usage::Free })
    }

    /// Waits until no other thread queries, since queries exclude each other. A server that does not answer one thread
    /// must not stop the others: they stop waiting.
    fn turn() -> Option<MutexGuard<'static, ()>> {
        static TURN: Mutex<()> = Mutex::new(());
        for _ in 0..20 {
            match TURN.try_lock() {
                Ok(turn) => return Some(turn),
                Err(TryLockError::Poisoned(turn)) => return Some(turn.into_inner()),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        None
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
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

// The tests for Windows are below.
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
}

#[cfg(test)]
mod tests_of_all_systems {
    use super::*;

    #[test]
    fn folders_and_files_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert_eq!(may_write(&file).unwrap_err().code(), "no-file");
        std::fs::write(&file, "").unwrap();
        assert!(may_write(&file).is_ok() && may_make_files(folder.path()).is_ok());
        // Other systems answer to an attempt alone.
        #[cfg(any(target_os = "linux", windows))]
        assert!(may_make_files(&file.join("below")).is_err());
    }
}

#[cfg(all(test, windows))]
mod tests_on_windows {
    use super::*;
    use crate::{Access, HostFile, RealHost};
    use hivewright_error::{Kind, Result};
    use std::fs::File;
    use std::os::windows::fs::OpenOptionsExt;

    #[test]
    fn a_writer_and_a_keeper_are_seen_and_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "bytes").unwrap();
        let refused = |result: Result<()>| {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.code()), (Kind::Refused, Code::InUse));
        };
        let open = |access| RealHost.open(&path, access);
        assert_eq!(usage(&path, true), Usage::Free);
        let reader = File::open(&path).unwrap();
        assert_eq!(usage(&path, true), Usage::Free);
        drop((open(Access::Write).unwrap(), reader));
        let writer = File::options().write(true).open(&path).unwrap();
        assert_eq!(usage(&path, true), Usage::Written, "although it shares the file with everybody");
        refused(open(Access::Write).map(drop));
        assert!(!open(Access::Read).unwrap().try_share().unwrap());
        drop(writer);
        let keeper = File::options().read(true).share_mode(1).open(&path).unwrap();
        assert_eq!(usage(&path, true), Usage::Kept);
        may_write(&path).unwrap();
        refused(open(Access::Write).map(drop));
        assert!(open(Access::Read).unwrap().try_share().unwrap());
        drop(keeper);
        let owner = File::options().read(true).share_mode(0).open(&path).unwrap();
        refused(open(Access::Read).map(drop));
        refused(crate::probe::peek(&path, 4, true).map(drop));
        drop(owner);
        // A writer of this program excludes all others, but not readers; so does a file that is shared.
        let writer = open(Access::Write).unwrap();
        assert!(writer.try_lock().unwrap() && writer.about().unwrap() == open(Access::Read).unwrap().about().unwrap());
        refused(open(Access::Write).map(drop));
        drop(writer);
        let shared = open(Access::Read).unwrap();
        assert!(shared.try_share().unwrap());
        refused(open(Access::Write).map(drop));
        drop(shared);
        open(Access::Write).unwrap();
    }

    #[test]
    fn locks_of_bytes_are_seen_and_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![0; 5000]).unwrap();
        // Returns the usage, and whether a commit would get the file.
        let asked = || (usage(&path, false), RealHost.open(&path, Access::Write).unwrap().try_lock().unwrap());
        let reader = File::open(&path).unwrap();
        for lock in [File::try_lock, File::try_lock_shared] {
            assert_eq!(asked(), (Usage::Free, true));
            lock(&reader).unwrap();
            assert_eq!(asked(), (Usage::Kept, false));
            // Wine reports an error of the second call that the standard library makes; the first has released the lock.
            let _ = reader.unlock();
        }
        assert_eq!(asked(), (Usage::Free, true));
        // The query and the attempt leave no lock.
        File::open(&path).unwrap().try_lock().unwrap();
    }

    #[test]
    fn queries_do_not_find_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "bytes").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20).for_each(|_| assert_eq!(usage(&path, true), Usage::Free)));
            }
        });
    }

    #[test]
    fn a_read_only_file_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let mut permissions = std::fs::metadata(&file).unwrap().permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(&file, permissions.clone()).unwrap();
        if File::options().write(true).open(&file).is_ok() {
            hivewright_fixtures::skip::impossible("the mark read-only does not hold for this user");
            return;
        }
        assert_eq!(may_write(&file).unwrap_err().code(), "read-only");
        assert_eq!(RealHost.open(&file, Access::Write).unwrap_err().code(), "read-only");
        permissions.set_readonly(false);
        std::fs::set_permissions(&file, permissions).unwrap();
    }
}
