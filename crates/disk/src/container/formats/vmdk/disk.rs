//! The disk that the guest sees: extents one after the other, and the parent where they hold nothing.

use std::sync::{Mutex, PoisonError};

use super::content_id::ContentId;
use super::descriptor::Access;
use super::extents::{Body, Extent};
use super::grains::{Grain, Grains};
use crate::container::helpers::block_cache::BlockCache;
use crate::container::helpers::block_mapping::{BlockMapping, Location, not_allocated};
use crate::container::helpers::tables::index;
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::{advised, dirty_flag};

/// The extents of a disk, which has no other bytes.
pub(super) struct Extents {
    extents: Vec<Extent>,
    content_id: ContentId,
    /// Compressed grains, by extent and number.
    unpacked: Mutex<BlockCache<(usize, u64)>>,
}

impl Extents {
    pub(super) fn new(extents: Vec<Extent>, content_id: ContentId) -> Self {
        Extents { extents, content_id, unpacked: Mutex::default() }
    }

    /// Returns the number of the extent that holds the byte at `offset`, which is inside of the disk; the offset in the
    /// extent; and how many bytes are left of it, `most` at most.
    fn find(&self, offset: u64, most: u64) -> (usize, u64, u64) {
        let number = self.extents.partition_point(|extent| extent.start + extent.len <= offset);
        let extent = &self.extents[number];
        let within = offset - extent.start;
        (number, within, most.min(extent.len - within))
    }

    /// Fills `buf` with bytes of the compressed grain at `place` of the extent, from `offset` of the extent on. A run of a
    /// compressed grain ends with the grain.
    fn decompress(&self, number: usize, grains: &Grains, place: u64, offset: u64, buf: &mut [u8]) -> Result<()> {
        let (size, grain) = (index(grains.layout.grain), offset / grains.layout.grain);
        let within = index(offset % grains.layout.grain);
        let mut kept = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = kept.piece((number, grain), size, |bytes| grains.unpack(place, grain, bytes))?;
        buf.copy_from_slice(&bytes[within..within + buf.len()]);
        Ok(())
    }
}

impl BlockMapping for Extents {
    fn map(&self, offset: u64, most: u64) -> Result<(Location<'_>, u64)> {
        let (number, within, most) = self.find(offset, most);
        let extent = &self.extents[number];
        if extent.access == Access::None {
            let what = format!("the image keeps the extent {} from being read (NOACCESS)", extent.name);
            return Err(Error::new(Kind::Unsupported, Code::VmdkNoAccess, what).at(Space::Disk, offset).advise(
                "if it may be read all the same, say RW or RDONLY in a copy of the descriptor, and name that",
            ));
        }
        let on_disk = move |error: Error| error.at(Space::Disk, offset);
        Ok(match &extent.body {
            Body::Zero => (Location::Zeros, most),
            Body::Flat(file, start) => (Location::File(&**file, start + within), most),
            Body::Sparse(grains) => match grains.run(within, most).map_err(on_disk)? {
                (Grain::Absent, len) => (Location::Parent, len),
                (Grain::Zero, len) => (Location::Zeros, len),
                (Grain::At(place), len) if grains.layout.packed.is_some() => {
                    let read =
                        move |buf: &mut [u8]| self.decompress(number, grains, place, within, buf).map_err(on_disk);
                    (Location::Compressed(Box::new(read)), len)
                }
                (Grain::At(place), len) => (Location::File(&*grains.file, place), len),
            },
        })
    }

    fn prepare_write(&self, offset: u64, len: u64) -> Result<()> {
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let (number, within, most) = self.find(at, end - at);
            let extent = &self.extents[number];
            if extent.access != Access::ReadWrite {
                let what = format!("the image keeps the extent {} from being written to (RDONLY)", extent.name);
                return Err(Error::refused(Code::VmdkReadOnlyExtent, what).at(Space::Disk, at).advise(
                    "if it may be changed all the same, say RW for it in the descriptor, of which a copy is kept",
                ));
            }
            let (place, len) = match self.map(at, most)? {
                (Location::File(_, place), len) => (place, len),
                (location, _) => return Err(self.not_allocated(at, &location)),
            };
            if let Body::Sparse(grains) = &extent.body {
                grains.check_alone(within, len, place).map_err(|error| error.at(Space::Disk, at))?;
            }
            at += len;
        }
        self.content_id.renew()?;
        for extent in &self.extents[self.find(offset, 1).0..=self.find(end - 1, 1).0] {
            extent.dirty.set();
        }
        Ok(())
    }

    fn not_allocated(&self, offset: u64, _: &Location<'_>) -> Error {
        let what = "the image has no place of its own for these bytes: they are its parent's, or zeros never written";
        not_allocated(offset, what, format!("edit a flat copy of it: {}", advised::TO_FLAT_VMDK))
    }

    fn flush(&self) -> Result<()> {
        dirty_flag::flush(self.extents.iter().filter_map(|extent| Some((&extent.dirty, &**extent.file()?))))
    }
}
