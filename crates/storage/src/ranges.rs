//! Locks of byte ranges that virtual machines use. They belong to the open file (OFD, `fcntl(2)`): other handles of
//! this process neither hold nor release them.
//!
//! Facts: QEMU `block/file-posix.c`. A user of an image holds a shared lock on byte 100 + n for each permission n that
//! it uses, and on byte 200 + n for each that others must not use: 0 is reading, 1 writing, 3 changing the length.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_RDLCK, F_UNLCK, F_WRLCK, SEEK_SET, flock};

use super::FileStorage;
use super::file::failed;
use hivewright_error::Result;

/// The first byte of the locks for used permissions, and for permissions denied to others.
const DOES: i64 = 100;
const KEEPS_FROM: i64 = 200;
const READ: i64 = 0;
const WRITE: i64 = 1;
const RESIZE: i64 = 3;

/// Takes all bytes exclusively, which excludes every user of the image. Returns `false` if there is one.
pub(super) fn try_lock(storage: &FileStorage) -> Result<bool> {
    take(storage, range(F_WRLCK, 0, 0))
}

/// Takes the locks of a reader that excludes writers. Returns `false` if a program writes, or excludes readers.
pub(super) fn try_share(storage: &FileStorage) -> Result<bool> {
    for byte in [DOES + READ, KEEPS_FROM + WRITE, KEEPS_FROM + RESIZE] {
        if !take(storage, range(F_RDLCK, byte, 1))? {
            return Ok(false);
        }
    }
    for byte in [DOES + WRITE, DOES + RESIZE, KEEPS_FROM + READ] {
        if is_taken(storage, byte)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether a program that locks as QEMU does may write to the file. Takes no lock.
pub(super) fn has_writer(storage: &FileStorage) -> Result<bool> {
    Ok(is_taken(storage, DOES + WRITE)? || is_taken(storage, DOES + RESIZE)?)
}

/// Returns whether another program has a lock that conflicts with [`try_lock`]. Takes no lock.
pub(super) fn has_user(storage: &FileStorage) -> Result<bool> {
    is_range_taken(storage, range(F_WRLCK, 0, 0))
}

/// Releases all bytes.
pub(super) fn unlock(storage: &FileStorage) {
    // A file system without locks refuses; then there is nothing to release.
    let _ = fcntl(storage.file(), FcntlArg::F_OFD_SETLK(&range(F_UNLCK, 0, 0)));
}

fn take(storage: &FileStorage, lock: flock) -> Result<bool> {
    match fcntl(storage.to_lock(), FcntlArg::F_OFD_SETLK(&lock)) {
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => without_locks(storage, error).map(|()| true),
        Ok(_) => Ok(true),
    }
}

/// Returns whether another open file has a lock on that byte.
fn is_taken(storage: &FileStorage, byte: i64) -> Result<bool> {
    is_range_taken(storage, range(F_WRLCK, byte, 1))
}

fn is_range_taken(storage: &FileStorage, mut lock: flock) -> Result<bool> {
    match fcntl(storage.file(), FcntlArg::F_OFD_GETLK(&mut lock)) {
        Err(error) => without_locks(storage, error).map(|()| false),
        Ok(_) => Ok(i32::from(lock.l_type) != F_UNLCK),
    }
}

/// Ignores the error of a file system without locks: it has no holders of locks.
fn without_locks(storage: &FileStorage, error: Errno) -> Result<()> {
    match error {
        Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS => Ok(()),
        other => Err(failed("lock", storage.path(), other.into())),
    }
}

/// Returns a lock of `kind` on `len` bytes from `start` on; 0 means all bytes that follow.
fn range(kind: i32, start: i64, len: i64) -> flock {
    // Kinds are 0 to 2. OFD locks have no process id.
    let l_type = i16::try_from(kind).unwrap_or_default();
    let l_whence = i16::try_from(SEEK_SET).unwrap_or_default();
    flock { l_type, l_whence, l_start: start, l_len: len, l_pid: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Host, HostFile, RealHost};

    #[test]
    fn a_copy_of_the_handle_in_a_starting_program_holds_no_lock() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || RealHost.open(file.path(), Access::Write).unwrap();
        let locked = open();
        assert!(HostFile::try_lock(&locked).unwrap() && try_lock(&locked).unwrap());
        let copy = locked.file().try_clone().unwrap();
        drop(locked);
        assert!(HostFile::try_lock(&open()).unwrap() && try_lock(&open()).unwrap());
        drop(copy);
    }

    #[test]
    fn readers_meet_writers_and_not_each_other() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || RealHost.open(file.path(), Access::Write).unwrap();
        let (one, two, three) = (open(), open(), open());
        assert!(try_share(&one).unwrap() && try_share(&two).unwrap());
        assert!(!try_lock(&three).unwrap(), "there are readers");
        drop((one, two));
        // Closing other handles releases no lock.
        assert!(try_lock(&three).unwrap());
        drop(open());
        assert!(!try_lock(&open()).unwrap() && !try_share(&open()).unwrap());
        assert!(try_lock(&three).unwrap(), "one's own lock is no obstacle");
        drop(three);
        // As a virtual machine that writes and lets others write.
        let machine = open();
        assert!(take(&machine, range(F_RDLCK, DOES + WRITE, 1)).unwrap());
        assert!(!try_share(&open()).unwrap());
        assert!(has_writer(&open()).unwrap() && !has_writer(&machine).unwrap(), "one's own lock is none");
        drop(machine);
        assert!(!has_writer(&open()).unwrap());
    }
}
