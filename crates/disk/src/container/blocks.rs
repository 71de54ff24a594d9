//! Disks in blocks: what VHD and VDI share. A table says where in the file each block of the disk lies.

use std::sync::Arc;

use super::tables::index;
use crate::container::within_disk;
use hivewright_error::{Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::span::read_then_zeros;

/// Where bytes of the disk come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From the file, at this offset.
    File(u64),
    /// From the parent; zeros where there is none, or where it ends.
    Parent,
    /// From nowhere: they are zeros.
    Zeros,
}

/// The tables of one format.
pub(super) trait Mapping: Send + Sync {
    /// Where the byte at `offset` comes from, and for how many bytes that goes on: at least 1, at most `len`, which is
    /// not 0. The range lies inside of the disk.
    fn map(&self, offset: u64, len: u64) -> Result<(Source, u64)>;

    /// Makes all of the range come from the file, or refuses. What it wrote till then changes no byte of the disk.
    fn make_room(&self, offset: u64, len: u64) -> Result<()>;

    /// What to do where no room can be made.
    fn instead(&self) -> String;
}

/// A disk that is mapped to a file, and to a parent where the file does not have the bytes.
pub(super) struct Mapped<M> {
    pub(super) mapping: M,
    pub(super) file: Arc<dyn Storage>,
    pub(super) parent: Option<Arc<dyn Storage>>,
    /// Bytes of the disk.
    pub(super) size: u64,
}

impl<M: Mapping> Mapped<M> {
    fn read_parent(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let Some(parent) = &self.parent else {
            buf.fill(0);
            return Ok(());
        };
        read_then_zeros(&**parent, parent.len()?, offset, buf)
    }
}

impl<M: Mapping> Storage for Mapped<M> {
    fn len(&self) -> Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        within_disk(self.size, offset, buf.len())?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let (source, len) = self.mapping.map(at, (buf.len() - done) as u64)?;
            // At most what is left of the buffer.
            let piece = &mut buf[done..][..index(len)];
            match source {
                Source::File(at) => self.file.read_at(at, piece)?,
                Source::Parent => self.read_parent(at, piece)?,
                Source::Zeros => piece.fill(0),
            }
            done += piece.len();
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        within_disk(self.size, offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.mapping.make_room(offset, bytes.len() as u64)?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (source, len) = self.mapping.map(at, (bytes.len() - done) as u64)?;
            let Source::File(place) = source else { return Err(not_allocated(at, self.mapping.instead())) };
            let piece = &bytes[done..][..index(len)];
            self.file.write_at(place, piece)?;
            done += piece.len();
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.file.flush()
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        let mut places = vec![Place { space: Space::Disk, offset }];
        if offset < self.size {
            match (self.mapping.map(offset, 1), &self.parent) {
                (Ok((Source::File(at), _)), _) => places.extend(self.file.locate(at)),
                // Without the parent's own "disk": it is the same address.
                (Ok((Source::Parent, _)), Some(parent)) => places.extend(parent.locate(offset).into_iter().skip(1)),
                _ => {}
            }
        }
        places
    }
}

#[cfg(test)]
pub(super) mod hostile;

/// The error for bytes that cannot be written in place.
pub(super) fn not_allocated(offset: u64, advice: String) -> Error {
    let what = "the image has no place of its own for these bytes of the disk";
    Error::new(Kind::NoRoom, "not-allocated", what).at(Space::Disk, offset).advise(advice)
}

/// Calls `each` with index and four bytes of every entry of a table of `entries`, read in large pieces.
pub(super) fn each_entry(
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
