//! Where the bytes of a hive lie in the image: the only addresses that an edit may write to.

use crate::error::{Error, Place, Result, Space};
use crate::files::FileInVolume;
use crate::hive::{Patch, PatchSet};
use crate::storage::Storage;

/// A stretch of a hive that is contiguous in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Bytes from the start of the hive.
    hive: u64,
    /// Bytes from the start of the image.
    image: u64,
    /// Bytes.
    len: u64,
}

/// All stretches of one hive, in order and without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) struct Placement {
    runs: Vec<Run>,
    len: u64,
}

/// How much is compared at once.
const PIECE: u64 = 1 << 20;

impl Placement {
    /// The places of `file`, which lies in a raw image.
    ///
    /// # Errors
    /// `placement`: a byte of it has no place of its own.
    pub(in crate::session) fn of(file: &FileInVolume) -> Result<Self> {
        let len = file.len()?;
        let mut runs = Vec::new();
        for extent in file.extents().iter().take_while(|extent| extent.file_offset < len) {
            let run_len = extent.len.min(len - extent.file_offset);
            let image = in_image(&file.locate(extent.file_offset)).ok_or_else(unplaced)?;
            let last = in_image(&file.locate(extent.file_offset + run_len - 1)).ok_or_else(unplaced)?;
            if last != image + (run_len - 1) {
                return Err(unplaced());
            }
            runs.push(Run { hive: extent.file_offset, image, len: run_len });
        }
        let ends_at = runs.last().map_or(0, |run: &Run| run.hive + run.len);
        if ends_at == len { Ok(Placement { runs, len }) } else { Err(unplaced()) }
    }

    /// The parts of `len` bytes of the hive from `offset` on.
    fn within(&self, offset: u64, len: u64) -> impl Iterator<Item = Run> {
        let end = offset + len;
        self.runs.iter().filter_map(move |run| {
            let (from, to) = (offset.max(run.hive), end.min(run.hive + run.len));
            (from < to).then(|| Run { hive: from, image: run.image + (from - run.hive), len: to - from })
        })
    }

    /// The same change, addressed in an image of `image_len` bytes.
    ///
    /// # Errors
    /// `no-room` if the hive would grow; `placement` for a patch outside of it.
    pub(in crate::session) fn place(&self, set: &PatchSet, image_len: u64) -> Result<PatchSet> {
        if set.old_len != self.len || set.new_len != self.len {
            return Err(Error::new(crate::Kind::NoRoom, "no-room", "the hive would have to grow inside of its volume")
                .expected(format_args!("{} bytes", self.len), set.new_len)
                .advise("mount the volume and edit the hive there, where its file can grow"));
        }
        let mut patches = Vec::new();
        for patch in &set.patches {
            let len = patch.new.len() as u64;
            if patch.old.len() != patch.new.len() || patch.offset.checked_add(len).is_none_or(|end| end > self.len) {
                return Err(unplaced());
            }
            for run in self.within(patch.offset, len) {
                // Both lie within the patch.
                let start = usize::try_from(run.hive - patch.offset).map_err(|_| unplaced())?;
                let end = start + usize::try_from(run.len).map_err(|_| unplaced())?;
                let (old, new) = (patch.old[start..end].to_vec(), patch.new[start..end].to_vec());
                patches.push(Patch { offset: run.image, old, new, what: patch.what.clone(), step: patch.step });
            }
        }
        Ok(PatchSet { old_len: image_len, new_len: image_len, patches })
    }

    /// Refuses unless the image holds `hive` at these places, all of it.
    ///
    /// # Errors
    /// `changed-since`; the image cannot be read.
    pub(in crate::session) fn expect(&self, image: &dyn Storage, hive: &[u8]) -> Result<()> {
        let differs = |at| {
            Error::refused("changed-since", "the image does not hold the hive where its file system says")
                .at(Space::Hive, at)
                .advise("see what else uses the image, then start again from what is there now")
        };
        if hive.len() as u64 != self.len {
            return Err(differs(self.len));
        }
        let mut there = Vec::new();
        for start in (0..self.len).step_by(1 << 20) {
            for run in self.within(start, PIECE) {
                let from = usize::try_from(run.hive).map_err(|_| unplaced())?;
                there.resize(usize::try_from(run.len).map_err(|_| unplaced())?, 0);
                image.read_at(run.image, &mut there)?;
                if hive[from..from + there.len()] != there[..] {
                    return Err(differs(run.hive));
                }
            }
        }
        Ok(())
    }
}

/// The offset in the file of the host, if the byte has one.
fn in_image(places: &[Place]) -> Option<u64> {
    places.last().filter(|place| place.space == Space::File).map(|place| place.offset)
}

fn unplaced() -> Error {
    Error::refused("placement", "the hive has bytes without a place of their own in the image")
}
