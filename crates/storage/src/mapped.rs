//! Memory maps of files, and anonymous memory. The only `unsafe` code besides `container/helpers/nbd/child.rs`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use memmap2::{Mmap, MmapMut};

use hivewright_error::{Code, Error, Kind, Result};

use super::file::failed;
use super::probe::{EntryKind, kind_of};
use super::{FileStorage, Storage};

/// The bytes of a file in a read-only memory map.
///
/// A map is not a copy: it shows later writes of other processes, and if the file is truncated, the first access to a
/// missing page ends the process with SIGBUS. No write relies on mapped bytes: a commit reads the file again under a
/// lock and compares.
#[derive(Debug)]
pub struct Mapped {
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Map(Mmap),
    /// A copy, for empty files, on Windows, and on file systems without shared maps (9p, some FUSE and network file
    /// systems).
    Read(Vec<u8>),
}

/// Bytes read at most where there is no map; the bins of a hive stay below 2 GiB.
const MOST_BYTES: usize = 3 << 30;

impl Mapped {
    /// Maps the whole file at `path`.
    ///
    /// # Errors
    /// I/O errors; an error if it is not a regular file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(&File::open(path).map_err(|e| failed("open", path, e))?, path)
    }

    /// As [`Mapped::open`], but returns `None` if the file is not regular or does not begin with `magic`. Never blocks:
    /// opens neither pipes nor devices.
    ///
    /// # Errors
    /// As [`Mapped::open`].
    pub fn open_if(path: &Path, magic: &[u8]) -> Result<Option<Self>> {
        if kind_of(path)? != EntryKind::File {
            return Ok(None);
        }
        let file = FileStorage::open(path)?;
        let mut head = vec![0; magic.len()];
        if file.len()? < head.len() as u64 {
            return Ok(None);
        }
        file.read_at(0, &mut head)?;
        if head == magic { Self::of(file.file(), path).map(Some) } else { Ok(None) }
    }

    fn of(file: &File, path: &Path) -> Result<Self> {
        // SAFETY: a map is sound as long as nobody changes the file under it, which no program can promise for a
        // file that others can reach. What limits the harm: the map is read-only and private to this value; the
        // bytes have no validity rule (`u8`) and every reader checks each offset against the slice's length at
        // each access, so a change gives wrong bytes, never a wrong address; a shortened file ends the process by
        // a signal before anything is written. `commit` compares the file with what was read before it writes.
        Self::by(file, path, |file| unsafe { Mmap::map(file) })
    }

    fn by(file: &File, path: &Path, map: impl Fn(&File) -> io::Result<Mmap>) -> Result<Self> {
        let about = file.metadata().map_err(|e| failed("access", path, e))?;
        if !about.is_file() {
            let what = format!("{} is not a regular file", path.display());
            return Err(Error::new(Kind::Unsupported, Code::NotAFile, what));
        }
        // On Windows, a map keeps everybody from shortening the file, even a rollback of this program.
        if about.len() > 0
            && cfg!(not(windows))
            && let Ok(map) = map(file)
        {
            return Ok(Mapped { bytes: Bytes::Map(map) });
        }
        // Where the map failed, `read` reports the reason, if there is one.
        let file = file.try_clone().map_err(|e| failed("open", path, e))?;
        let bytes = FileStorage::new(file, path.to_owned()).read_whole(MOST_BYTES)?;
        Ok(Mapped { bytes: Bytes::Read(bytes) })
    }
}

/// Anonymous memory, zeros at first. A page is allocated on its first access.
pub(super) struct Anonymous(MmapMut);

impl Anonymous {
    /// Returns `len` zeros.
    ///
    /// # Errors
    /// `no-memory`: the host cannot map `len` bytes.
    pub(super) fn new(len: usize) -> Result<Self> {
        let no_memory = |e| Error::new(Kind::Io, Code::NoMemory, format!("no memory for {len} bytes: {e}"));
        let map = MmapMut::map_anon(len).map_err(no_memory)?;
        // With huge pages everywhere, each first access would clear 2 MiB. Kernels without huge pages return an error.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::NoHugePage);
        Ok(Anonymous(map))
    }
}

impl Deref for Anonymous {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Anonymous {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Returns `len` zeros, in huge pages where the host has them: page faults take most of the time of reading a file of
/// some MiB into new memory.
pub fn zeros_in_large_pages(len: usize) -> Vec<u8> {
    #[cfg(target_os = "linux")]
    const PAGE: usize = 4 << 10;
    const LARGE_PAGE: usize = 2 << 20;
    if len < LARGE_PAGE || cfg!(not(target_os = "linux")) {
        return vec![0; len];
    }
    // With its header, an allocation of this size is a map of whole large pages, which the kernel aligns.
    const HEADER: usize = 64;
    let mut bytes = vec![0; (len + HEADER).next_multiple_of(LARGE_PAGE) - HEADER];
    bytes.truncate(len);
    #[cfg(target_os = "linux")]
    {
        let start = bytes.as_ptr().addr() % PAGE;
        let whole = (start + bytes.capacity()).next_multiple_of(PAGE);
        // SAFETY: these are the pages that hold the allocation of `bytes`. The advice changes how they are backed and
        // not their contents.
        let advised = unsafe {
            use rustix::mm::{Advice, madvise};
            let at = bytes.as_ptr().sub(start).cast_mut().cast();
            // The allocator has written its header, so the first large page is several small ones: all at once.
            madvise(at, whole, Advice::LinuxHugepage)
                .and_then(|()| madvise(at, LARGE_PAGE.min(whole), Advice::LinuxPopulateWrite))
        };
        // Without huge pages the call fails, and the memory is only slower.
        let _ = advised;
    }
    bytes
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Map(map) => map,
            Bytes::Read(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_bytes_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"bytes").unwrap();
        assert_eq!(&*Mapped::open(&path).unwrap(), b"bytes");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(&*Mapped::open(&path).unwrap(), b"");
    }

    #[test]
    fn a_file_that_cannot_be_mapped_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for len in [0, 1, 5_000, 1 << 20] {
            let bytes: Vec<u8> = (0..len).map(|i: u32| i.to_le_bytes()[1]).collect();
            std::fs::write(&path, &bytes).unwrap();
            let refuse = |_: &File| Err(io::Error::from_raw_os_error(19));
            let mapped = Mapped::by(&File::open(&path).unwrap(), &path, refuse).unwrap();
            assert!(matches!(mapped.bytes, Bytes::Read(_)) && *mapped == *bytes, "{len}");
        }
    }

    #[test]
    fn says_why_it_cannot() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Mapped::open(&folder.path().join("none")).unwrap_err().kind(), Kind::NotFound);
        if cfg!(unix) {
            assert_eq!(Mapped::open(folder.path()).unwrap_err().code(), "not-a-file");
        }
    }
}
