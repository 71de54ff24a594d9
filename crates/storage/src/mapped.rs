//! Files of the host and memory. With `container/nbd/child.rs` the only place with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use memmap2::{Mmap, MmapMut};

use hivewright_error::{Code, Error, Kind, Result};

use super::file::failed;
use super::folder::{EntryKind, kind_of};
use super::{FileStorage, Storage};

/// The bytes of a file as they were, or became, while it is mapped. Read-only.
///
/// A map is not a copy: a file that another process writes to changes under the reader, and one that is cut short
/// ends the process with SIGBUS on first touch of a missing page. Nothing that is read here is believed for a write:
/// a commit reads the file again, under a lock, and compares.
#[derive(Debug)]
pub struct Mapped {
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Map(Mmap),
    /// Read by calls: file systems that share no memory maps (9p, some of FUSE and of the network), and empty files.
    Read(Vec<u8>),
}

/// The most bytes that are read where there is no map: a hive's bins stay below 2 GiB.
const MOST_BYTES: usize = 3 << 30;

impl Mapped {
    /// Maps the whole of `path`.
    ///
    /// # Errors
    /// It cannot be opened or mapped, or is no regular file (a device has no length to map).
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(&File::open(path).map_err(|e| failed("open", path, e))?, path)
    }

    /// As [`Mapped::open`] if the file is regular and begins with `magic`, else `None`. Nothing is opened that could
    /// block: neither a pipe nor a device.
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
        let about = file.metadata().map_err(|e| failed("look at", path, e))?;
        if !about.is_file() {
            let what = format!("{} is not a regular file", path.display());
            return Err(Error::new(Kind::Unsupported, Code::NotAFile, what));
        }
        if about.len() > 0
            && let Ok(map) = map(file)
        {
            return Ok(Mapped { bytes: Bytes::Map(map) });
        }
        // Without a map, the calls say what is wrong with the file, if anything is.
        let file = file.try_clone().map_err(|e| failed("open", path, e))?;
        let bytes = FileStorage::new(file, path.to_owned()).read_whole(MOST_BYTES)?;
        Ok(Mapped { bytes: Bytes::Read(bytes) })
    }
}

/// Memory of its own, zeros at first: a page is had when it is touched.
pub(super) struct Anonymous(MmapMut);

impl Anonymous {
    /// `len` bytes.
    ///
    /// # Errors
    /// `no-memory`: the host has no room for so many.
    pub(super) fn new(len: usize) -> Result<Self> {
        let no_memory = |e| Error::new(Kind::Io, Code::NoMemory, format!("no room for {len} bytes: {e}"));
        let map = MmapMut::map_anon(len).map_err(no_memory)?;
        // Where every map is in large pages, each touch would have two MiB cleared. A host without them says no.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::NoHugePage);
        Ok(Anonymous(map))
    }

    /// Has the pages of a part at once: one by one, which is what happens where the host cannot, takes longer.
    pub(super) fn have(&self, start: usize, len: usize) {
        #[cfg(target_os = "linux")]
        let _ = self.0.advise_range(memmap2::Advice::PopulateWrite, start, len);
        #[cfg(not(target_os = "linux"))]
        let _ = (start, len);
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

/// Zeros, in pages as large as the host has them: most of the time of reading a file of some MiB into new memory goes
/// into making that page by page.
pub fn zeros_in_large_pages(len: usize) -> Vec<u8> {
    let bytes = vec![0; len];
    #[cfg(target_os = "linux")]
    {
        const LARGE_PAGE: usize = 2 << 20;
        let start = bytes.as_ptr().align_offset(LARGE_PAGE);
        let whole = len.saturating_sub(start) / LARGE_PAGE * LARGE_PAGE;
        if whole > 0 {
            // SAFETY: the range lies within `bytes`, which nobody else knows of, and begins and ends at page boundaries.
            // The advice is about how memory is had, and leaves what it holds alone.
            let advised = unsafe {
                let at = bytes.as_ptr().add(start).cast_mut().cast();
                rustix::mm::madvise(at, whole, rustix::mm::Advice::LinuxHugepage)
            };
            // A host without large pages says no: it is only slower.
            let _ = advised;
        }
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
