//! Locks on ranges of bytes that virtual machines look at. They belong to the open file (OFD, `fcntl(2)`): other handles of
//! this process neither have them nor give them up.
//!
//! Facts: QEMU `block/file-posix.c`. Whoever uses an image holds a shared lock on byte 100 + n for each thing n that it
//! does, and on byte 200 + n for each that others must not do: 0 is reading, 1 writing, 3 changing the length.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_RDLCK, F_UNLCK, F_WRLCK, SEEK_SET, flock};

use super::FileStorage;
use super::file::failed;
use hivewright_error::Result;

/// The first byte for what is done, and for what others must not do.
const DOES: i64 = 100;
const KEEPS_FROM: i64 = 200;
const READ: i64 = 0;
const WRITE: i64 = 1;
const RESIZE: i64 = 3;

/// Takes all bytes, exclusively: whoever uses the image by any lock is met, and meets this. `false`: somebody does.
pub(super) fn try_lock(storage: &FileStorage) -> Result<bool> {
    take(storage, range(F_WRLCK, 0, 0))
}

/// Takes the locks of one that reads an image and keeps others from writing to it. `false`: somebody writes, or keeps
/// others from reading.
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

/// Whether a virtual machine, or whoever locks as it does, may write to the file. Nothing is taken.
pub(super) fn has_writer(storage: &FileStorage) -> Result<bool> {
    Ok(is_taken(storage, DOES + WRITE)? || is_taken(storage, DOES + RESIZE)?)
}

/// Whether another has any lock on the file that [`try_lock`] would meet. Nothing is taken.
pub(super) fn has_user(storage: &FileStorage) -> Result<bool> {
    is_range_taken(storage, range(F_WRLCK, 0, 0))
}

fn take(storage: &FileStorage, lock: flock) -> Result<bool> {
    match fcntl(storage.file(), FcntlArg::F_OFD_SETLK(&lock)) {
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => without_locks(storage, error).map(|()| true),
        Ok(_) => Ok(true),
    }
}

/// Whether another holds any lock on that byte.
fn is_taken(storage: &FileStorage, byte: i64) -> Result<bool> {
    is_range_taken(storage, range(F_WRLCK, byte, 1))
}

fn is_range_taken(storage: &FileStorage, mut lock: flock) -> Result<bool> {
    match fcntl(storage.file(), FcntlArg::F_OFD_GETLK(&mut lock)) {
        Err(error) => without_locks(storage, error).map(|()| false),
        Ok(_) => Ok(i32::from(lock.l_type) != F_UNLCK),
    }
}

/// A file system without locks has no holder either.
fn without_locks(storage: &FileStorage, error: Errno) -> Result<()> {
    match error {
        Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS => Ok(()),
        other => Err(failed("lock", storage.path(), other.into())),
    }
}

/// A lock of that kind on `len` bytes from `start` on; 0 is all that follow.
fn range(kind: i32, start: i64, len: i64) -> flock {
    // Kinds are 0 to 2. The owner of such a lock is no process.
    let l_type = i16::try_from(kind).unwrap_or_default();
    let l_whence = i16::try_from(SEEK_SET).unwrap_or_default();
    flock { l_type, l_whence, l_start: start, l_len: len, l_pid: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Host, RealHost};

    #[test]
    fn readers_meet_writers_and_not_each_other() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || RealHost.open(file.path(), Access::Write).unwrap();
        let (one, two, three) = (open(), open(), open());
        assert!(try_share(&one).unwrap() && try_share(&two).unwrap());
        assert!(!try_lock(&three).unwrap(), "there are readers");
        drop((one, two));
        // Handles that come and go take no lock along.
        assert!(try_lock(&three).unwrap());
        drop(open());
        assert!(!try_lock(&open()).unwrap() && !try_share(&open()).unwrap());
        assert!(try_lock(&three).unwrap(), "one's own lock is no obstacle");
        drop(three);
        // As a virtual machine that writes, and lets others do so too.
        let machine = open();
        assert!(take(&machine, range(F_RDLCK, DOES + WRITE, 1)).unwrap());
        assert!(!try_share(&open()).unwrap());
        assert!(has_writer(&open()).unwrap() && !has_writer(&machine).unwrap(), "one's own lock is none");
        drop(machine);
        assert!(!has_writer(&open()).unwrap());
    }
}
