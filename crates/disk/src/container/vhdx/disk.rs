//! The disk that the guest sees.

use std::sync::{Arc, Mutex, PoisonError};

use super::blocks::{Blocks, Lie};
use super::fields::index;
use super::header::Header;
use crate::container::Refusal;
use crate::container::within_disk;
use hivewright_error::{Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::span::read_then_zeros;

/// See the module.
pub(super) struct Disk {
    pub(super) file: Arc<dyn Storage>,
    pub(super) blocks: Blocks,
    pub(super) size: u64,
    pub(super) parent: Option<Arc<dyn Storage>>,
    pub(super) refusal: Option<Refusal>,
    pub(super) header: Mutex<Renewed>,
}

/// The header, and whether this opening has put its own.
pub(super) struct Renewed {
    pub(super) header: Header,
    pub(super) done: bool,
}

impl Disk {
    /// Calls `with` for each piece of `len` bytes at `offset`: its place on the disk, where it lies, its range.
    fn pieces(
        &self,
        offset: u64,
        len: usize,
        mut with: impl FnMut(u64, Lie, std::ops::Range<usize>) -> Result<()>,
    ) -> Result<()> {
        within_disk(self.size, offset, len)?;
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let (lie, found) = self.blocks.find(at, (len - done) as u64)?;
            let end = done + index(found);
            with(at, lie, done..end)?;
            done = end;
        }
        Ok(())
    }

    /// What the parent has, and zeros behind its end.
    fn read_parent(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        let Some(parent) = &self.parent else {
            buf.fill(0);
            return Ok(());
        };
        read_then_zeros(&**parent, parent.len()?, at, buf)
    }

    /// What has to be done once before the first byte of data changes.
    fn make_ready(&self) -> Result<()> {
        let mut renewed = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if !renewed.done {
            self.blocks.check_unshared(&*self.file)?;
            renewed.header.renew(&*self.file)?;
            renewed.done = true;
        }
        Ok(())
    }
}

impl Storage for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.pieces(offset, buf.len(), |at, lie, range| match lie {
            Lie::File(place) => self.file.read_at(place, &mut buf[range]),
            Lie::Parent => self.read_parent(at, &mut buf[range]),
            Lie::Zeros => {
                buf[range].fill(0);
                Ok(())
            }
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if let Some(Refusal { code, what, advice }) = &self.refusal {
            return Err(Error::refused(code, what.clone()).advise(advice.clone()));
        }
        let mut places = Vec::new();
        self.pieces(offset, bytes.len(), |at, lie, range| match lie {
            Lie::File(place) => {
                places.push((place, range));
                Ok(())
            }
            _ => Err(not_allocated(at, lie)),
        })?;
        if places.is_empty() {
            return Ok(());
        }
        self.make_ready()?;
        places.into_iter().try_for_each(|(place, range)| self.file.write_at(place, &bytes[range]))
    }

    fn flush(&self) -> Result<()> {
        self.file.flush()
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        let mut places = vec![Place { space: Space::Disk, offset }];
        if offset < self.size {
            match (self.blocks.find(offset, 1), &self.parent) {
                (Ok((Lie::File(place), _)), _) => places.extend(self.file.locate(place)),
                // Its first place is the same one of the disk.
                (Ok((Lie::Parent, _)), Some(parent)) => places.extend(parent.locate(offset).into_iter().skip(1)),
                _ => {}
            }
        }
        places
    }
}

fn not_allocated(at: u64, lie: Lie) -> Error {
    let what = match lie {
        Lie::Parent => "the bytes are in the parent of the image, which is not written to",
        _ => "the image has no place for these bytes yet",
    };
    Error::new(Kind::NoRoom, "not-allocated", what).at(Space::Disk, at).advise(match lie {
        Lie::Parent => format!(
            "edit a raw copy of the disk, parents and all: {}; or merge it into its parent: {}",
            advised::UNPACK_VHDX,
            advised::MERGE_VHD
        ),
        _ => format!("edit a raw copy of the disk, {}; or have the guest do it", advised::UNPACK_VHDX),
    })
}
