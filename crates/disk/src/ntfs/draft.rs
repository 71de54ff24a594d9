//! A file record or index block that is being changed.

use super::cache::Cache;
use super::fixup::{self, STRIDE};
use crate::files::growth::VolumePatch;
use crate::files::{Extent, Extents};
use hivewright_error::{Code, Result};

/// A block with its old and new bytes.
pub(super) struct Draft {
    /// The bytes on the medium.
    raw: Vec<u8>,
    /// The bytes after fix-up, to be changed.
    pub(super) bytes: Vec<u8>,
    pieces: Vec<Extent>,
}

/// The update sequence number of the changed block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// The present one. A torn write leaves some strides old.
    Kept,
    /// The present one if a single stride changes, which a medium writes atomically, so that the block is never torn;
    /// else the next one, so that a torn block is detected.
    Renewed,
}

impl Draft {
    /// Reads `len` bytes from `offset` on of a stream that has `extents`. `torn` is the code for a torn block.
    pub(super) fn read(cache: &Cache, extents: &Extents, offset: u64, len: usize, torn: Code) -> Result<Draft> {
        let mut raw = vec![0; len];
        extents.read(offset, &mut raw, |at, part| cache.read_at(at, part))?;
        let pieces: Vec<Extent> = extents.within(offset, len as u64).collect();
        let mut bytes = raw.clone();
        fixup::apply(&mut bytes, place(&pieces), torn)?;
        Ok(Draft { raw, bytes, pieces })
    }

    /// Volume offset of its first byte.
    pub(super) fn at(&self) -> u64 {
        place(&self.pieces)
    }

    /// Returns the changes on the medium: at most one patch in each stride, unless it is fragmented.
    pub(super) fn patches(&self, number: Number) -> Result<Vec<VolumePatch>> {
        let mut new = self.protected(false)?;
        let strides = new.chunks(STRIDE).zip(self.raw.chunks(STRIDE)).filter(|(new, old)| new != old).count();
        if strides > 1 && number == Number::Renewed {
            new = self.protected(true)?;
        }
        let mut patches = Vec::new();
        let first = self.pieces.first().map_or(0, |piece| piece.file_offset);
        for piece in &self.pieces {
            // All within the block.
            let start = index(piece.file_offset - first);
            let end = start + index(piece.len);
            let mut at = start;
            while at < end {
                let stop = end.min((at / STRIDE + 1) * STRIDE);
                let differs = |i: &usize| self.raw[*i] != new[*i];
                if let (Some(from), Some(last), Some(volume)) =
                    ((at..stop).find(differs), (at..stop).rfind(differs), piece.volume_offset)
                {
                    let offset = volume + (from - start) as u64;
                    let (old, new) = (self.raw[from..=last].to_vec(), new[from..=last].to_vec());
                    patches.push(VolumePatch { offset, old, new });
                }
                at = stop;
            }
        }
        Ok(patches)
    }

    fn protected(&self, renew: bool) -> Result<Vec<u8>> {
        let mut new = self.bytes.clone();
        fixup::protect(&mut new, self.at(), renew)?;
        Ok(new)
    }
}

fn place(pieces: &[Extent]) -> u64 {
    pieces.first().and_then(|piece| piece.volume_offset).unwrap_or(0)
}

/// Converts a length that is at most that of a block.
fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
