//! The disk that the guest sees: extents one after the other, and the parent where they hold nothing.

use std::sync::{Arc, Mutex, PoisonError};

use super::content_id::ContentId;
use super::descriptor::Access;
use super::extents::{Body, Extent};
use super::grains::Spot;
use crate::container::Refusal;
use crate::container::unpacked::Unpacked;
use crate::container::within_disk;
use hivewright_error::{Error, Kind, Place, Result, Space};
use hivewright_storage::advised;
use hivewright_storage::span::read_then_zeros;
use hivewright_storage::{Storage, touched};

pub(super) struct Disk {
    extents: Vec<Extent>,
    size: u64,
    below: Option<(Arc<dyn Storage>, u64)>,
    content_id: ContentId,
    refusal: Option<Refusal>,
    /// Compressed grains, by extent and number.
    unpacked: Mutex<Unpacked<(usize, u64)>>,
}

/// A piece of a write that has a place: the extent, where in its file, and how much.
struct Target {
    extent: usize,
    at: u64,
    len: usize,
}

impl Disk {
    pub(super) fn new(
        extents: Vec<Extent>,
        size: u64,
        below: Option<Arc<dyn Storage>>,
        content_id: ContentId,
        refusal: Option<Refusal>,
    ) -> Result<Self> {
        let below = match below {
            None => None,
            Some(below) => Some((below.clone(), below.len()?)),
        };
        Ok(Disk { extents, size, below, content_id, refusal, unpacked: Mutex::default() })
    }

    /// The extent that holds the byte at `offset`, which is inside; where in it; what is left of it, `most` at most.
    fn find(&self, offset: u64, most: usize) -> (usize, u64, usize) {
        let index = self.extents.partition_point(|extent| extent.start + extent.len <= offset);
        let extent = &self.extents[index];
        let within = offset - extent.start;
        let left = usize::try_from(extent.len - within).unwrap_or(usize::MAX);
        (index, within, left.min(most))
    }

    /// Where the bytes from `offset` of the guest on are: a stretch of them, `most` at most.
    fn run(&self, offset: u64, most: usize) -> Result<(usize, Spot, usize)> {
        let (index, within, most) = self.find(offset, most);
        let extent = &self.extents[index];
        if extent.access == Access::None {
            let what = format!("the image keeps the extent {} from being read (NOACCESS)", extent.name);
            return Err(Error::new(Kind::Unsupported, "vmdk-no-access", what).at(Space::Disk, offset).advise(
                "if it may be read all the same, say RW or RDONLY in a copy of the descriptor, and name that",
            ));
        }
        Ok(match &extent.body {
            Body::Zero => (index, Spot::Zero, most),
            Body::Flat(_, start) => (index, Spot::At(start + within), most),
            Body::Sparse(grains) => {
                let (spot, len) = grains.run(within, most as u64).map_err(|error| error.at(Space::Disk, offset))?;
                (index, spot, usize::try_from(len).unwrap_or(most))
            }
        })
    }

    fn read_run(&self, number: usize, spot: Spot, offset: u64, buf: &mut [u8]) -> Result<()> {
        let extent = &self.extents[number];
        match (spot, &extent.body, extent.file()) {
            (Spot::At(place), _, Some(file)) => file.read_at(place, buf),
            (Spot::Packed(place, index), Body::Sparse(grains), _) => {
                let within = offset - extent.start - index * grains.layout.grain;
                let within = usize::try_from(within).unwrap_or(usize::MAX);
                let size = usize::try_from(grains.layout.grain).unwrap_or(usize::MAX);
                let mut kept = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
                let grain = kept
                    .piece((number, index), size, |grain| grains.unpack(place, index, grain))
                    .map_err(|error| error.at(Space::Disk, offset))?;
                // A run of a packed grain ends with the grain.
                buf.copy_from_slice(&grain[within..within + buf.len()]);
                Ok(())
            }
            (Spot::Absent, ..) => self.read_below(offset, buf),
            _ => {
                buf.fill(0);
                Ok(())
            }
        }
    }

    fn read_below(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let Some((below, len)) = &self.below else {
            buf.fill(0);
            return Ok(());
        };
        // A child may be larger than its parent: zeros behind that.
        read_then_zeros(&**below, *len, offset, buf)
    }

    /// Where to write: nothing, unless all of it has a place.
    fn targets(&self, offset: u64, len: usize) -> Result<Vec<Target>> {
        let (mut targets, mut done) = (Vec::new(), 0);
        while done < len {
            let at = offset + done as u64;
            let (index, within, most) = self.find(at, len - done);
            let extent = &self.extents[index];
            if extent.access != Access::ReadWrite {
                let what = format!("the image keeps the extent {} from being written to (RDONLY)", extent.name);
                return Err(Error::refused("vmdk-read-only-extent", what).at(Space::Disk, at).advise(
                    "if it may be changed all the same, say RW for it in the descriptor, of which a copy is kept",
                ));
            }
            let place = match &extent.body {
                Body::Zero => None,
                Body::Flat(_, start) => Some((start + within, most as u64)),
                Body::Sparse(grains) => grains.place(within, most as u64).map_err(|e| e.at(Space::Disk, at))?,
            };
            let (place, len) = place.ok_or_else(|| not_allocated(at))?;
            let len = usize::try_from(len).unwrap_or(most);
            targets.push(Target { extent: index, at: place, len });
            done += len;
        }
        Ok(targets)
    }
}

fn not_allocated(offset: u64) -> Error {
    let what = "the image has no place of its own for these bytes: they are its parent's, or zeros never written";
    Error::new(Kind::NoRoom, "not-allocated", what)
        .at(Space::Disk, offset)
        .advise(format!("edit a flat copy of it: {}", advised::TO_FLAT_VMDK))
}

impl Storage for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        within_disk(self.size, offset, buf.len())?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let (extent, spot, len) = self.run(at, buf.len() - done)?;
            self.read_run(extent, spot, at, &mut buf[done..done + len])?;
            done += len;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        within_disk(self.size, offset, bytes.len())?;
        if let Some(refusal) = &self.refusal {
            return Err(Error::refused(refusal.code, refusal.what.as_str()).advise(refusal.advice.as_str()));
        }
        let targets = self.targets(offset, bytes.len())?;
        if !targets.is_empty() {
            self.content_id.renew()?;
        }
        let mut done = 0;
        for target in targets {
            let extent = &self.extents[target.extent];
            let Some(file) = extent.file() else { return Err(not_allocated(offset + done as u64)) };
            extent.touched.set();
            file.write_at(target.at, &bytes[done..done + target.len])?;
            done += target.len;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        touched::flush(self.extents.iter().filter_map(|extent| Some((&extent.touched, &**extent.file()?))))
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        let mut places = vec![Place { space: Space::Disk, offset }];
        if offset >= self.size {
            return places;
        }
        match self.run(offset, 1) {
            Ok((extent, Spot::At(place), _)) => {
                places.extend(self.extents[extent].file().map(|file| file.locate(place)).unwrap_or_default());
            }
            // The parent says first that it is a disk, at the same address.
            Ok((_, Spot::Absent, _)) => {
                let below = self.below.as_ref().filter(|(_, len)| offset < *len);
                places.extend(below.map(|(below, _)| below.locate(offset)).unwrap_or_default().into_iter().skip(1));
            }
            _ => {}
        }
        places
    }
}
