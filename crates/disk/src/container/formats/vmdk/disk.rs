//! The guest's disk: extents, and the parent where they have no data.

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

/// The extents of a disk, which cover it completely.
pub(super) struct Extents {
    extents: Vec<Extent>,
    content_id: ContentId,
    /// Whether there is a parent. A new grain would need its data.
    has_parent: bool,
    /// Cache of decompressed grains by extent and number.
    unpacked: Mutex<BlockCache<(usize, u64)>>,
}

impl Extents {
    pub(super) fn new(extents: Vec<Extent>, content_id: ContentId, has_parent: bool) -> Self {
        Extents { extents, content_id, has_parent, unpacked: Mutex::default() }
    }

    /// Allocates the missing grains of a range of an extent, if possible.
    fn make_grains(&self, grains: &Grains, within: u64, len: u64) -> Result<()> {
        let size = grains.layout.grain;
        let all = within / size..(within + len).div_ceil(size);
        let mut absent = Vec::new();
        for grain in all.clone().filter(|_| !self.has_parent) {
            if !matches!(grains.find(grain, grains.layout.directory)?, Grain::At(_)) {
                absent.push(grain);
            }
        }
        if absent.is_empty() {
            return Ok(());
        }
        grains.tables_agree(all)?;
        grains.make(&absent)
    }

    /// Returns the number of the extent that holds the byte at `offset` of the disk, the offset in the extent, and the
    /// number of bytes that follow in it, `most` at most.
    fn find(&self, offset: u64, most: u64) -> (usize, u64, u64) {
        let number = self.extents.partition_point(|extent| extent.start + extent.len <= offset);
        let extent = &self.extents[number];
        let within = offset - extent.start;
        (number, within, most.min(extent.len - within))
    }

    /// Fills `buf` from the compressed grain at `place` of the extent. `offset` is an offset in the extent; a run ends
    /// with its grain.
    fn decompress(&self, number: usize, grains: &Grains, place: u64, offset: u64, buf: &mut [u8]) -> Result<()> {
        let (size, grain) = (index(grains.layout.grain), offset / grains.layout.grain);
        let within = index(offset % grains.layout.grain);
        let mut kept = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = kept.block((number, grain), size, |bytes| grains.unpack(place, grain, bytes))?;
        buf.copy_from_slice(&bytes[within..within + buf.len()]);
        Ok(())
    }
}

impl BlockMapping for Extents {
    fn map(&self, offset: u64, most: u64) -> Result<(Location<'_>, u64)> {
        let (number, within, most) = self.find(offset, most);
        let extent = &self.extents[number];
        if extent.access == Access::None {
            let what = format!("the descriptor forbids reading the extent {} (NOACCESS)", extent.name);
            return Err(Error::new(Kind::Unsupported, Code::VmdkNoAccess, what)
                .at(Space::Disk, offset)
                .advise("to read it, write RW or RDONLY into a copy of the descriptor, and name the copy"));
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
                let what = format!("the descriptor forbids writing to the extent {} (RDONLY)", extent.name);
                return Err(Error::refused(Code::VmdkReadOnlyExtent, what)
                    .at(Space::Disk, at)
                    .advise("to change it, write RW into the descriptor, and keep a copy of the old one"));
            }
            if let Body::Sparse(grains) = &extent.body {
                self.make_grains(grains, within, most).map_err(|error| error.at(Space::Disk, at))?;
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
        let what = "the image has no grain for this part of the disk: the data is in its parent, or was never written";
        not_allocated(offset, what, format!("edit a flat copy of it: {}", advised::TO_FLAT_VMDK))
    }

    fn flush(&self) -> Result<()> {
        dirty_flag::flush(self.extents.iter().filter_map(|extent| Some((&extent.dirty, &**extent.file()?))))
    }
}
