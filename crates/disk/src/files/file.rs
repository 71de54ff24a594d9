//! A file of a volume, as a storage on top of the volume.

use std::fmt;
use std::sync::Arc;

use super::extents::{Extent, Extents};
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::span::zeros_behind;

/// How a file is kept. Any of the first four means that it cannot be written in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Traits {
    /// Its clusters hold compressed bytes.
    pub compressed: bool,
    /// Its clusters hold encrypted bytes: it can be found and not read.
    pub encrypted: bool,
    /// It may have holes.
    pub sparse: bool,
    /// Its bytes stand in the file system's own records, not in clusters.
    pub resident: bool,
}

/// What the file system says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Facts {
    /// The file system's number of the file.
    pub id: u64,
    /// Bytes.
    pub len: u64,
    /// Bytes that were ever written; from here to `len` the file reads as zeros, whatever its clusters hold.
    pub valid_len: u64,
    /// Bytes that its extents cover, a hole counting too.
    pub covered_len: u64,
    /// Names that lead to it, as the file system counts them; NTFS counts a short name too.
    pub links: u16,
    /// How it is kept.
    pub traits: Traits,
}

/// The bytes of a file whose clusters do not hold them as they are.
pub trait Contents: Send + Sync {
    /// Fills `buf` from `offset` on; the range lies within the file's valid length.
    ///
    /// # Errors
    /// The storage below could not be read, or the bytes cannot be made out.
    fn read_at(&self, volume: &dyn Storage, offset: u64, buf: &mut [u8]) -> Result<()>;
}

/// A file. Reading works anywhere in it; writing only into clusters that it owns and has already filled.
pub struct FileInVolume {
    volume: Arc<dyn Storage>,
    facts: Facts,
    extents: Extents,
    contents: Option<Box<dyn Contents>>,
}

impl FileInVolume {
    /// A file of `volume`. With `contents`, the extents only say which clusters it owns.
    pub fn new(
        volume: Arc<dyn Storage>,
        facts: Facts,
        extents: Extents,
        contents: Option<Box<dyn Contents>>,
    ) -> FileInVolume {
        FileInVolume { volume, facts, extents, contents }
    }

    /// What the file system says about it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its extents in order, without gaps. They end with the last cluster, so often behind the file's last byte.
    pub fn extents(&self) -> &[Extent] {
        self.extents.as_slice()
    }

    /// Whether `len` bytes from `offset` on could be written in place.
    ///
    /// # Errors
    /// [`Kind::Refused`]: `file-compressed`, `file-encrypted`, `file-sparse`, `file-resident`, `file-not-allocated`
    /// (a hole), `file-not-valid` (behind the valid length). [`Kind::NoRoom`]: `file-too-short`.
    pub fn writable(&self, offset: u64, len: u64) -> Result<()> {
        let Facts { traits, .. } = self.facts;
        let uncompress = &*format!(
            "mount the volume and edit the hive there, or have Windows uncompress it first: {}",
            advised::UNCOMPRESS
        );
        let copy = "mount the volume and edit the hive there, where a new file takes its place";
        for (is, code, what, advice) in [
            (traits.encrypted, Code::FileEncrypted, "the file is encrypted", DECRYPT),
            (traits.compressed, Code::FileCompressed, "the file is compressed on its volume", uncompress),
            (traits.sparse, Code::FileSparse, "the file is marked as sparse", UNCOMPRESS_SPARSE),
            (
                traits.resident,
                Code::FileResident,
                "the file is kept inside its record, not in clusters of its own",
                copy,
            ),
            (
                self.contents.is_some(),
                Code::FileNotPlain,
                "the file's clusters do not hold its bytes as they are",
                copy,
            ),
        ] {
            if is {
                return Err(Error::refused(code, what).advise(advice));
            }
        }
        if offset.checked_add(len).is_none_or(|end| end > self.facts.len) {
            return Err(Error::new(Kind::NoRoom, Code::FileTooShort, "the file would have to grow")
                .expected(format_args!("an end of at most {}", self.facts.len), u128::from(offset) + u128::from(len))
                .advise("make the file longer first: Files::plan_growth"));
        }
        if offset + len > self.facts.valid_len {
            return Err(Error::refused(Code::FileNotValid, "the file was never filled there")
                .expected(format_args!("an end of at most {}", self.facts.valid_len), offset + len)
                .advise(copy));
        }
        let owned: u64 = self.extents.within(offset, len).filter(|e| e.volume_offset.is_some()).map(|e| e.len).sum();
        if owned != len {
            return Err(Error::refused(Code::FileNotAllocated, "the file has no clusters there").advise(copy));
        }
        Ok(())
    }

    fn within(&self, offset: u64, len: usize) -> Result<()> {
        if offset.checked_add(len as u64).is_some_and(|end| end <= self.facts.len) {
            return Ok(());
        }
        Err(Error::new(Kind::Io, Code::PastEnd, "the file ends before what was to be read")
            .expected(format_args!("an end of at most {}", self.facts.len), u128::from(offset) + len as u128))
    }
}

const DECRYPT: &str = "decrypt it with Windows, under the account that encrypted it";
const UNCOMPRESS_SPARSE: &str =
    "mount the volume and edit the hive there, or have Windows put a plain copy in its place";

impl fmt::Debug for FileInVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileInVolume")
            .field("facts", &self.facts)
            .field("extents", &self.extents.as_slice().len())
            .finish_non_exhaustive()
    }
}

impl Storage for FileInVolume {
    fn len(&self) -> Result<u64> {
        Ok(self.facts.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.within(offset, buf.len())?;
        if self.facts.traits.encrypted {
            return Err(
                Error::new(Kind::Unsupported, Code::FileEncrypted, "the file is encrypted (EFS)").advise(DECRYPT)
            );
        }
        let stored = zeros_behind(self.facts.valid_len, offset, buf);
        if stored.is_empty() {
            return Ok(());
        }
        match &self.contents {
            Some(contents) => contents.read_at(&*self.volume, offset, stored),
            None => self.extents.read(offset, stored, |at, part| self.volume.read_at(at, part)),
        }
    }

    /// Nothing is written unless all of it can be: see [`FileInVolume::writable`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.writable(offset, bytes.len() as u64)?;
        let mut rest = bytes;
        for extent in self.extents.within(offset, bytes.len() as u64) {
            let (part, behind) = rest.split_at(usize::try_from(extent.len).unwrap_or(usize::MAX));
            if let Some(at) = extent.volume_offset {
                self.volume.write_at(at, part)?;
            }
            rest = behind;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.volume.flush()
    }

    /// Nothing where the byte has no place of its own: in a hole, past the end, in a resident or compressed file.
    fn locate(&self, offset: u64) -> Vec<Place> {
        if self.contents.is_some() || offset >= self.facts.len {
            return Vec::new();
        }
        let Some(at) = self.extents.from(offset).and_then(|extent| extent.volume_offset) else { return Vec::new() };
        let own = Place { space: Space::Volume, offset: at };
        // A volume that is a window says where it is itself.
        std::iter::once(own).chain(self.volume.locate(at).into_iter().filter(|place| *place != own)).collect()
    }
}

#[cfg(test)]
mod tests;
