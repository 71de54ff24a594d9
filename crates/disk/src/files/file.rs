//! A file of a volume as a storage.

use std::fmt;
use std::sync::Arc;

use super::extents::{Extent, Extents};
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::span::zeros_behind;

/// How a file is stored. Each of these prevents writing in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Traits {
    /// Whether its clusters have compressed data.
    pub compressed: bool,
    /// Whether its clusters have encrypted data, which cannot be read.
    pub encrypted: bool,
    /// Whether it may have holes.
    pub sparse: bool,
    /// Whether its contents are in the file system's records instead of clusters.
    pub resident: bool,
}

/// The file system's metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Facts {
    /// The file system's number of the file.
    pub id: u64,
    /// Length in bytes.
    pub len: u64,
    /// Valid data length in bytes; the file reads as zeros from here to `len`.
    pub valid_len: u64,
    /// Bytes that its extents cover, including holes.
    pub covered_len: u64,
    /// Number of names, as the file system counts them; NTFS counts short names too.
    pub links: u16,
    /// The storage form of the file.
    pub traits: Traits,
}

/// The contents of a file whose clusters have other bytes than the file.
pub trait Contents: Send + Sync {
    /// Fills `buf` from `offset` on; the range lies within the valid data length.
    ///
    /// # Errors
    /// I/O errors; the stored bytes are damaged.
    fn read_at(&self, volume: &dyn Storage, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Returns the place of the bytes, if they are stored as a whole and not in clusters.
    fn packed(&self) -> Option<Packed> {
        None
    }
}

/// The place of a file in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Packed {
    /// Offset of its resource in the part of the archive.
    pub offset: u64,
    /// Stored bytes; `None` if it shares a solid resource with other files.
    pub len: Option<u64>,
    /// The number of references in the archive: several files may have the same bytes.
    pub uses: u32,
}

/// A file of a volume. Reads work anywhere in it; writes only within its valid data length, into its clusters.
pub struct FileInVolume {
    volume: Arc<dyn Storage>,
    facts: Facts,
    extents: Extents,
    contents: Option<Box<dyn Contents>>,
}

impl FileInVolume {
    /// Creates a file of `volume`. With `contents`, the extents are used only to determine its clusters.
    pub fn new(
        volume: Arc<dyn Storage>,
        facts: Facts,
        extents: Extents,
        contents: Option<Box<dyn Contents>>,
    ) -> FileInVolume {
        FileInVolume { volume, facts, extents, contents }
    }

    /// Returns the metadata of the file.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Returns its extents in order and without gaps. They end with the last cluster, often past the end of the file.
    pub fn extents(&self) -> &[Extent] {
        self.extents.as_slice()
    }

    /// Returns its place in an archive, if its volume is an image of one.
    pub fn packed(&self) -> Option<Packed> {
        self.contents.as_ref()?.packed()
    }

    /// Checks that `len` bytes from `offset` on can be written in place.
    ///
    /// # Errors
    /// [`Kind::Refused`]: `file-compressed`, `file-encrypted`, `file-sparse`, `file-resident`, `file-not-allocated` (a
    /// hole), `file-not-valid` (past the valid data length). [`Kind::NoRoom`]: `file-too-short`.
    pub fn writable(&self, offset: u64, len: u64) -> Result<()> {
        let Facts { traits, .. } = self.facts;
        let uncompress = &*format!(
            "mount the volume and edit the hive there, or uncompress the file with Windows first: {}",
            advised::UNCOMPRESS
        );
        let copy = "mount the volume and edit the hive there, where a new file takes its place";
        for (is, code, what, advice) in [
            (traits.encrypted, Code::FileEncrypted, "the file is encrypted", DECRYPT),
            (traits.compressed, Code::FileCompressed, "the file is compressed on its volume", uncompress),
            (traits.sparse, Code::FileSparse, "the file is marked as sparse", UNCOMPRESS_SPARSE),
            (traits.resident, Code::FileResident, "the file is stored in its file record, not in clusters", copy),
            (
                self.contents.is_some(),
                Code::FileNotPlain,
                "the clusters of the file contain its data in another form",
                copy,
            ),
        ] {
            if is {
                return Err(Error::refused(code, what).advise(advice));
            }
        }
        if offset.checked_add(len).is_none_or(|end| end > self.facts.len) {
            return Err(Error::new(Kind::NoRoom, Code::FileTooShort, "the change ends past the end of the file")
                .expected(format_args!("an end of at most {}", self.facts.len), u128::from(offset) + u128::from(len))
                .advise("mount the volume and edit the hive there, where a new file takes its place"));
        }
        if offset + len > self.facts.valid_len {
            return Err(Error::refused(Code::FileNotValid, "a part of the change is past the valid data of the file")
                .expected(format_args!("an end of at most {}", self.facts.valid_len), offset + len)
                .advise(copy));
        }
        let owned: u64 = self.extents.within(offset, len).filter(|e| e.volume_offset.is_some()).map(|e| e.len).sum();
        if owned != len {
            return Err(Error::refused(Code::FileNotAllocated, "the file has no clusters for a part of the change")
                .advise(copy));
        }
        Ok(())
    }

    fn within(&self, offset: u64, len: usize) -> Result<()> {
        if offset.checked_add(len as u64).is_some_and(|end| end <= self.facts.len) {
            return Ok(());
        }
        Err(Error::new(Kind::Io, Code::PastEnd, "the file ends before the requested bytes")
            .expected(format_args!("an end of at most {}", self.facts.len), u128::from(offset) + len as u128))
    }
}

const DECRYPT: &str = "decrypt it with Windows, under the account that encrypted it";
const UNCOMPRESS_SPARSE: &str =
    "mount the volume and edit the hive there, or replace the file with a plain copy in Windows";

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

    /// Writes nothing unless the whole range is writable: see [`FileInVolume::writable`].
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

    /// Returns no place for bytes that are not in clusters: in a hole, past the end, in a resident or compressed file.
    fn locate(&self, offset: u64) -> Vec<Place> {
        if self.contents.is_some() || offset >= self.facts.len {
            return Vec::new();
        }
        let Some(at) = self.extents.from(offset).and_then(|extent| extent.volume_offset) else { return Vec::new() };
        let own = Place { space: Space::Volume, offset: at };
        // A volume that is a window adds its own places.
        std::iter::once(own).chain(self.volume.locate(at).into_iter().filter(|place| *place != own)).collect()
    }
}

#[cfg(test)]
mod tests;
