//! Where the bytes of a hive lie in the files of an image: the only addresses that an edit of it may write to.

use super::HiveHandle;
use hivewright_disk::files::FileInVolume;
use hivewright_error::{Code, Error, Result, Space};
use hivewright_hive::Patch;
use hivewright_storage::Storage;

/// A stretch of a hive that is contiguous in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Bytes from the start of the hive.
    hive: u64,
    /// Bytes from the start of the image's files, put one after the other.
    image: u64,
    /// Bytes.
    len: u64,
}

/// All stretches of one hive, in order and without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    runs: Vec<Run>,
    len: u64,
}

/// How much is compared at once.
const PIECE: u64 = 256 << 10;

/// What no image parts: of as many bytes, the places of the first and the last tell those of all.
const GRAIN: u64 = 512;

impl Placement {
    /// The places of `file`; `start_of` gives where the host's file of an address space begins. In a linear image the
    /// ends of an extent tell all of it.
    ///
    /// # Errors
    /// `placement`: a byte of it has no place of its own.
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
                    // The first byte is where it is: this comes to an end.
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

    /// Refuses unless a patch of the image lies in the hive.
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
        Err(Error::refused(Code::Placement, "the image would be written to outside of the hive's place")
            .at(Space::File, start))
    }

    /// The parts of `len` bytes of the hive from `offset` on.
    fn within(&self, offset: u64, len: u64) -> impl Iterator<Item = Run> {
        let end = offset + len;
        self.runs.iter().filter_map(move |run| {
            let (from, to) = (offset.max(run.hive), end.min(run.hive + run.len));
            (from < to).then(|| Run { hive: from, image: run.image + (from - run.hive), len: to - from })
        })
    }

    /// Refuses unless the image holds `hive` at these places, or at the first of them where its file is going to grow.
    ///
    /// # Errors
    /// `changed-since`; the image cannot be read.
    pub(crate) fn expect(&self, image: &dyn Storage, hive: &[u8], of: &HiveHandle) -> Result<()> {
        let differs = |at| {
            let file = of.file_at(at);
            let what = format!("{} does not hold the hive where its file system says", file.display());
            Error::refused(Code::ChangedSince, what)
                .at(Space::Hive, at)
                .advise("see what else uses the image, then start again from what is there now")
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
    Error::refused(Code::Placement, "the hive has bytes without a place of their own in the image")
}
