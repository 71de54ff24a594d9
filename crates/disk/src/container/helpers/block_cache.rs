//! Cache of decompressed blocks. Reads come back to the last ones: a file system lies in few of them, and a page of a file
//! may begin in one and end in the next.

use hivewright_error::Result;
use hivewright_storage::Slots;

/// Cache limits; at least one block is kept. A larger cache touches more memory and is seldom hit.
const MOST: usize = 16;
const MOST_BYTES: usize = 4 << 20;

/// The blocks used last, by key. One cache serves all files of a disk, which may be many.
pub(in crate::container) struct BlockCache<K = u64> {
    slots: Option<Slots>,
    /// The latest at the end.
    kept: Vec<Piece<K>>,
}

/// The piece that is called so: the first `len` bytes of a slot.
#[derive(Clone, Copy)]
struct Piece<K> {
    key: K,
    slot: usize,
    len: usize,
}

impl<K> Default for BlockCache<K> {
    fn default() -> Self {
        BlockCache { slots: None, kept: Vec::new() }
    }
}

impl<K: Copy + PartialEq> BlockCache<K> {
    /// The piece that is called so, of `size` bytes or less, as all of them. One that is not kept is filled in by `unpack`,
    /// which says how many bytes it has; what it is given has `size` bytes, of other pieces.
    ///
    /// # Errors
    /// Those of `unpack`; `no-memory`.
    pub(in crate::container) fn piece(
        &mut self,
        key: K,
        size: usize,
        unpack: impl FnOnce(&mut [u8]) -> Result<usize>,
    ) -> Result<&[u8]> {
        let slots = match self.slots.take().filter(|slots| slots.size() == size) {
            Some(slots) => slots,
            None => {
                self.kept.clear();
                Slots::new((MOST_BYTES / size.max(1)).clamp(1, MOST), size)?
            }
        };
        let slots = self.slots.insert(slots);
        let piece = match self.kept.iter().rposition(|piece| piece.key == key) {
            Some(at) => self.kept.remove(at),
            None => {
                if self.kept.len() == slots.count() {
                    self.kept.remove(0);
                }
                let is_free = |slot: &usize| self.kept.iter().all(|piece| piece.slot != *slot);
                let slot = (0..slots.count()).find(is_free).unwrap_or(0);
                Piece { key, slot, len: unpack(slots.get_mut(slot))?.min(size) }
            }
        };
        self.kept.push(piece);
        Ok(&slots.get(piece.slot)[..piece.len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_error::Code;
    use hivewright_error::Error;

    /// The numbers of the pieces that had to be unpacked when these were asked for in turn.
    fn unpacked(kept: &mut BlockCache, size: usize, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut done = Vec::new();
        for number in numbers {
            let piece = kept.piece(number, size, |bytes| {
                done.push(number);
                assert_eq!(bytes.len(), size);
                bytes[..8].copy_from_slice(&number.to_le_bytes());
                Ok(8)
            });
            assert_eq!(piece.unwrap(), number.to_le_bytes());
        }
        done
    }

    #[test]
    fn the_piece_that_was_used_least_lately_goes() {
        let mut kept = BlockCache::default();
        let most = MOST as u64;
        assert_eq!(unpacked(&mut kept, 9, 0..most), (0..most).collect::<Vec<_>>());
        assert_eq!(unpacked(&mut kept, 9, [0, most, 0, 1, 2, 0]), [most, 1, 2]);
        assert_eq!(unpacked(&mut kept, 10, [0, 1]), [0, 1], "of another size");
    }

    #[test]
    fn of_large_ones_few_are_kept() {
        let mut kept = BlockCache::default();
        assert_eq!(unpacked(&mut kept, MOST_BYTES / 2, [1, 2, 1, 2, 3, 2, 1, 2]), [1, 2, 3, 1]);
        assert_eq!(unpacked(&mut kept, MOST_BYTES + 1, [1, 1, 2, 1]), [1, 2, 1]);
    }

    #[test]
    fn what_could_not_be_unpacked_is_not_kept() {
        let mut kept = BlockCache::default();
        unpacked(&mut kept, MOST_BYTES / 2, [1, 2]);
        let failed = kept.piece(3, MOST_BYTES / 2, |bytes| {
            bytes.fill(0xff);
            Err(Error::refused(Code::Damaged, "half of it"))
        });
        assert_eq!(failed.unwrap_err().code(), "damaged");
        assert_eq!(unpacked(&mut kept, MOST_BYTES / 2, [2, 3, 1]), [3, 1]);
    }
}
