//! Disks in blocks, as in VHD, VDI, VHDX, VMDK and qcow2. A format maps bytes of the disk and prepares writes by a
//! [`BlockMapping`]; [`MappedDisk`] reads, writes and locates by it.

use std::sync::Arc;

use crate::container::helpers::tables::index;
use crate::container::{About, Image, Refusal, within_disk};
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::span::read_then_zeros;

/// Fills a buffer of the length of the run.
pub(in crate::container) type ReadRun<'m> = Box<dyn FnOnce(&mut [u8]) -> Result<()> + 'm>;

/// The location of bytes of the disk.
pub(in crate::container) enum Location<'m> {
    /// In this file, at this offset.
    File(&'m dyn Storage, u64),
    /// In a compressed block, which this function decompresses.
    Compressed(ReadRun<'m>),
    /// In the parent, at the same offset of its disk; zeros without a parent, and past its end.
    Parent,
    /// Not stored: the bytes are zeros.
    Zeros,
}

/// The tables of one image.
pub(in crate::container) trait BlockMapping: Send + Sync {
    /// Returns the location of the byte at `offset`, and the number of bytes for which it holds: at least 1, at most
    /// `len`, which is not 0. The range lies in the disk.
    fn map(&self, offset: u64, len: u64) -> Result<(Location<'_>, u64)>;

    /// Allocates the whole range in files of this image and renews the identifiers that a writer must renew, or
    /// refuses. The contents of the disk do not change. The range is not empty.
    fn prepare_write(&self, offset: u64, len: u64) -> Result<()>;

    /// Returns the error for a byte that this image has not allocated.
    fn not_allocated(&self, offset: u64, location: &Location<'_>) -> Error;

    /// Flushes the files of this image.
    fn flush(&self) -> Result<()>;

    /// Fails if this image has not allocated a byte of the range.
    fn check_allocated(&self, offset: u64, len: u64) -> Result<()> {
        let (mut at, end) = (offset, offset + len);
        while at < end {
            match self.map(at, end - at)? {
                (Location::File(..), run) => at += run,
                (location, _) => return Err(self.not_allocated(at, &location)),
            }
        }
        Ok(())
    }
}

/// Builds the image whose disk has this mapping, over `parent`.
pub(in crate::container) fn image(
    mapping: impl BlockMapping + 'static,
    parent: Option<Image>,
    mut about: About,
) -> Image {
    let (parent, below) = parent.map(|parent| (parent.disk, Box::new(parent.about))).unzip();
    about.below = below;
    let disk = MappedDisk { mapping, parent, size: about.size, refusal: about.refusal.clone() };
    Image::of_disk(Arc::new(disk), about)
}

/// A disk that reads and writes by a mapping.
struct MappedDisk<M> {
    mapping: M,
    parent: Option<Arc<dyn Storage>>,
    /// Size of the disk in bytes.
    size: u64,
    refusal: Option<Refusal>,
}

/// Fills `buf` from the disk at `offset`. The range lies in the disk.
pub(in crate::container) fn read(
    mapping: &impl BlockMapping,
    parent: Option<&dyn Storage>,
    offset: u64,
    buf: &mut [u8],
) -> Result<()> {
    let mut done = 0;
    while done < buf.len() {
        let at = offset + done as u64;
        let (location, len) = mapping.map(at, (buf.len() - done) as u64)?;
        // At most the rest of the buffer.
        let run = &mut buf[done..][..index(len)];
        match (location, parent) {
            (Location::File(file, at), _) => file.read_at(at, run)?,
            (Location::Compressed(read), _) => read(run)?,
            (Location::Parent, Some(parent)) => read_then_zeros(parent, parent.len()?, at, run)?,
            (Location::Parent, None) | (Location::Zeros, _) => run.fill(0),
        }
        done += run.len();
    }
    Ok(())
}

impl<M: BlockMapping> Storage for MappedDisk<M> {
    fn len(&self) -> Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        within_disk(self.size, offset, buf.len())?;
        read(&self.mapping, self.parent.as_deref(), offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        within_disk(self.size, offset, bytes.len())?;
        if let Some(Refusal { code, what, advice }) = &self.refusal {
            return Err(Error::refused(*code, what.as_str()).advise(advice.as_str()));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.mapping.prepare_write(offset, bytes.len() as u64)?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            match self.mapping.map(at, (bytes.len() - done) as u64)? {
                (Location::File(file, place), len) => {
                    let run = &bytes[done..][..index(len)];
                    file.write_at(place, run)?;
                    done += run.len();
                }
                (location, _) => return Err(self.mapping.not_allocated(at, &location)),
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.mapping.flush()
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        let mut places = vec![Place { space: Space::Disk, offset }];
        if offset < self.size {
            match (self.mapping.map(offset, 1), &self.parent) {
                (Ok((Location::File(file, at), _)), _) => places.extend(file.locate(at)),
                // Without the parent's "disk" place, which has the same address.
                (Ok((Location::Parent, _)), Some(parent)) if parent.len().is_ok_and(|len| offset < len) => {
                    places.extend(parent.locate(offset).into_iter().skip(1));
                }
                _ => {}
            }
        }
        places
    }
}

#[cfg(test)]
pub(in crate::container) mod hostile;

/// Returns the error for bytes that are not allocated.
pub(in crate::container) fn not_allocated(offset: u64, what: &str, advice: String) -> Error {
    Error::new(Kind::NoRoom, Code::NotAllocated, what).at(Space::Disk, offset).advise(advice)
}

/// The reason for formats that do not distinguish bytes of the parent from zeros.
pub(in crate::container) const NO_PLACE: &str = "the image has no block for this part of the disk";

/// Calls `each` with the index and the four bytes of each entry of a table of `entries`, read in large pieces.
pub(in crate::container) fn each_entry(
    file: &dyn Storage,
    table: u64,
    entries: u64,
    mut each: impl FnMut(u64, [u8; 4]) -> Result<()>,
) -> Result<()> {
    let mut buf = vec![0; 1 << 16];
    let mut first = 0;
    while first < entries {
        let piece = (entries - first).min(buf.len() as u64 / 4);
        let bytes = &mut buf[..index(piece) * 4];
        file.read_at(table + first * 4, bytes)?;
        for (i, entry) in bytes.as_chunks::<4>().0.iter().enumerate() {
            each(first + i as u64, *entry)?;
        }
        first += piece;
    }
    Ok(())
}
