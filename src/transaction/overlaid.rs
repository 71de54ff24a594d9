//! The bytes of a file with some ranges replaced.

use sha2::{Digest, Sha256};

use hivewright_error::Result;
use hivewright_storage::Storage;
use hivewright_storage::span;

use super::change::Change;

/// Bytes read or written at once.
const PIECE: usize = 1 << 17;

/// Bytes with replaced ranges, cut to a length. Copied only on demand.
#[derive(Debug)]
pub(crate) struct Overlaid<'a> {
    base: &'a [u8],
    /// By offset, without overlap.
    runs: Vec<(u64, &'a [u8])>,
}

impl<'a> Overlaid<'a> {
    /// Returns `base` unchanged.
    pub(crate) fn plain(base: &'a [u8]) -> Self {
        Overlaid { base, runs: Vec::new() }
    }

    /// Returns `base`, cut to `len` bytes, with `runs` over it, which must not overlap.
    pub(crate) fn new(base: &'a [u8], len: u64, mut runs: Vec<(u64, &'a [u8])>) -> Self {
        runs.sort_by_key(|run| run.0);
        let end = usize::try_from(len).unwrap_or(usize::MAX).min(base.len());
        Overlaid { base: &base[..end], runs }
    }

    /// Returns the old bytes of a file, computed from its new bytes.
    pub(crate) fn before(change: &'a Change, image: &'a [u8]) -> Self {
        Self::new(image, change.len_before, change.patches.iter().map(|p| (p.offset, &p.old[..])).collect())
    }

    pub(crate) fn len(&self) -> u64 {
        self.base.len() as u64
    }

    /// Passes all bytes in pieces, with the offset of each, to `visit` until it returns `false`.
    fn pieces(&self, mut visit: impl FnMut(u64, &[u8]) -> Result<bool>) -> Result<()> {
        let mut piece = Vec::new();
        for (i, plain) in self.base.chunks(PIECE).enumerate() {
            let start = (i * PIECE) as u64;
            let go_on = if self.has_runs(start, start + plain.len() as u64) {
                piece.clear();
                piece.extend_from_slice(plain);
                self.lay_over(start, &mut piece);
                visit(start, &piece)?
            } else {
                visit(start, plain)?
            };
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    fn has_runs(&self, start: u64, end: u64) -> bool {
        let first = self.runs.partition_point(|(offset, run)| offset + run.len() as u64 <= start);
        self.runs.get(first).is_some_and(|run| run.0 < end)
    }

    fn lay_over(&self, start: u64, piece: &mut [u8]) {
        let end = start + piece.len() as u64;
        let first = self.runs.partition_point(|(offset, run)| offset + run.len() as u64 <= start);
        for (offset, run) in self.runs[first..].iter().take_while(|run| run.0 < end) {
            span::lay_over(piece, start, *offset, run);
        }
    }

    /// Returns all bytes.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut all = self.base.to_vec();
        self.lay_over(0, &mut all);
        all
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let whole = self.pieces(|_, piece| {
            hash.update(piece);
            Ok(true)
        });
        whole.expect("nothing is read");
        hash.finalize().into()
    }

    /// Writes all bytes to an empty storage.
    pub(crate) fn write_to(&self, storage: &dyn Storage) -> Result<()> {
        self.pieces(|start, piece| storage.write_at(start, piece).map(|()| true))
    }

    /// Returns the first offset at which `storage` differs; the shorter length if one is a prefix of the other.
    pub(crate) fn first_difference(&self, storage: &dyn Storage) -> Result<Option<u64>> {
        let len = storage.len()?;
        if len != self.len() {
            return Ok(Some(len.min(self.len())));
        }
        let mut found = None;
        let mut there = Vec::new();
        self.pieces(|start, piece| {
            there.resize(piece.len(), 0);
            storage.read_at(start, &mut there)?;
            if there != piece {
                let same = there.iter().zip(piece).take_while(|(a, b)| a == b).count();
                found = Some(start + same as u64);
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cross_pieces() {
        let base = vec![0; PIECE + 10];
        let run = [1; 8];
        let start = PIECE as u64 - 4;
        let over = Overlaid::new(&base, PIECE as u64 + 6, vec![(start, &run), (2, &[7])]);
        let mut expected = vec![0; PIECE + 6];
        expected[PIECE - 4..PIECE + 4].fill(1);
        expected[2] = 7;
        assert_eq!(over.to_vec(), expected);
        assert_eq!(over.sha256(), Overlaid::plain(&expected).sha256());
    }
}
