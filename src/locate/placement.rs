//! The places of a hive's bytes in the files of an image: the only addresses that an edit may write to.

use super::HiveHandle;
use hivewright_disk::files::FileInVolume;
use hivewright_error::{Code, Error, Result, Space};
use hivewright_hive::Patch;
use hivewright_storage::Storage;

/// A range of a hive that is contiguous in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Offset in the hive, in bytes.
    hive: u64,
    /// Offset in the concatenated files of the image, in bytes.
    image: u64,
    /// Length in bytes.
    len: u64,
}

/// All ranges of one hive, in order and without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    runs: Vec<Run>,
    len: u64,
}

/// Bytes compared at once.
const PIECE: u64 = 256 << 10;

/// Bytes that no image splits: the places of the first and the last byte determine the others.
const GRAIN: u64 = 512;

impl Placement {
    /// Returns the places of `file`; `start_of` returns the start of the host's file of an address space. In a linear
    /// image the ends of an extent determine the places in between.
    ///
    /// # Errors
    /// `placement`: a byte has no place.
    pub(super) fn of(file: &FileInVolume, is_linear: bool, start_of: &dyn Fn(Space) -> Option<u64>) -> Result<Self> {
        let len = file.len()?;
        let place = |offset| {
            let last = file.locate(offset).last().copied().ok_or_else(unplaced)?;
            start_of(last.space).and_then(|start| start.checked_add(last.offset)).ok_or_else(unplaced)
        };
        let mut placement = Placement { runs: Vec::new(), len };
        for extent in file.extents().iter().take_while(|extent| extent.file_offset < len) {
            let end = extent.end().min(len);
            let step = if is_linear { u64::MAX } else { GRAIN };
            let mut at = extent.file_offset;
            while at < end {
                let mut stop = end.min(at.saturating_add(step));
                let image = place(at)?;
                while place(stop - 1)? != image + (stop - 1 - at) {
                    if is_linear {
                        return Err(unplaced());
                    }
                    // The first byte has a place, so this terminates.
                    stop = at + (stop - at).div_ceil(2);
                }
                placement.push(Run { hive: at, image, len: stop - at });
                at = stop;
            }
        }
        let ends_at = placement.runs.last().map_or(0, |run| run.hive + run.len);
        if ends_at == len { Ok(placement) } else { Err(unplaced()) }
    }

    fn push(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last) if last.hive + last.len == run.hive && last.image + last.len == run.image => last.len += run.len,
            _ => self.runs.push(run),
        }
    }

    /// Refuses a patch of the image outside the hive.
    ///
    /// # Errors
    /// `placement`.
    pub(crate) fn holds(&self, patch: &Patch) -> Result<()> {
        let (start, end) = (patch.offset, patch.offset + patch.new.len() as u64);
        let inside = self.runs.iter().map(|run| {
            let (from, to) = (start.max(run.image), end.min(run.image.saturating_add(run.len)));
            to.saturating_sub(from)
        });
        if inside.sum::<u64>() == end - start {
            return Ok(());
        }
        Err(Error::refused(Code::Placement, "the change would write outside the hive's clusters in the image")
            .at(Space::File, start))
    }

    /// Returns the parts of `len` bytes of the hive from `offset` on.
    fn within(&self, offset: u64, len: u64) -> impl Iterator<Item = Run> {
        let end = offset + len;
        self.runs.iter().filter_map(move |run| {
            let (from, to) = (offset.max(run.hive), end.min(run.hive + run.len));
            (from < to).then(|| Run { hive: from, image: run.image + (from - run.hive), len: to - from })
        })
    }

    /// Refuses unless the image has `hive` at these places, or at the first of them if its file will grow.
    ///
    /// # Errors
    /// `changed-since`; I/O errors of the image.
    pub(crate) fn expect(&self, image: &dyn Storage, hive: &[u8], of: &HiveHandle) -> Result<()> {
        let differs = |at| {
            let file = of.file_at(at);
            let what = format!("{} does not contain the hive at the offset in its file system", file.display());
            Error::refused(Code::ChangedSince, what)
                .at(Space::Hive, at)
                .advise("close other programs that use the image, and try again")
        };
        let len = hive.len() as u64;
        if len > self.len {
            return Err(differs(self.len));
        }
        let mut there = Vec::new();
        let pieces = (0..len.div_ceil(PIECE)).map(|piece| piece * PIECE);
        for start in pieces {
            for run in self.within(start, PIECE.min(len - start)) {
                let from = usize::try_from(run.hive).map_err(|_| unplaced())?;
                there.resize(usize::try_from(run.len).map_err(|_| unplaced())?, 0);
                image.read_at(run.image, &mut there)?;
                let own = &hive[from..from + there.len()];
                if *own != *there {
                    let at = own.iter().zip(&there).take_while(|(a, b)| a == b).count();
                    return Err(differs(run.hive + at as u64));
                }
            }
        }
        Ok(())
    }
}

fn unplaced() -> Error {
    Error::refused(Code::Placement, "the hive has bytes without an offset in the image")
}
