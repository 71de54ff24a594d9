//! Cache of decompressed blocks. Reads return to recent blocks: a file system uses few of them, and a page of a file
//! may begin in one block and end in the next.

use hivewright_error::Result;

/// Cache limits; at least one block is kept. A larger cache uses more memory and has few more hits.
const MOST: usize = 16;
const MOST_BYTES: usize = 4 << 20;

/// The most recently used blocks by key. One cache serves all files of a disk.
pub(in crate::container) struct BlockCache<K = u64> {
    /// Bytes of each block's buffer.
    size: usize,
    /// The most recent block is at the end.
    blocks: Vec<Block<K>>,
}

/// A cached block: the first `len` bytes of its buffer.
struct Block<K> {
    key: K,
    bytes: Vec<u8>,
    len: usize,
}

impl<K> Default for BlockCache<K> {
    fn default() -> Self {
        BlockCache { size: 0, blocks: Vec::new() }
    }
}

impl<K: Copy + PartialEq> BlockCache<K> {
    /// Returns the block with this key, of at most `size` bytes; `size` is the same for all blocks. A missing block is
    /// filled by `unpack`, which returns its length; its buffer has `size` bytes with the contents of another block.
    ///
    /// # Errors
    /// Errors of `unpack`.
    pub(in crate::container) fn block(
        &mut self,
        key: K,
        size: usize,
        unpack: impl FnOnce(&mut [u8]) -> Result<usize>,
    ) -> Result<&[u8]> {
        if self.size != size {
            *self = BlockCache { size, blocks: Vec::new() };
        }
        let block = match self.blocks.iter().rposition(|block| block.key == key) {
            Some(at) => self.blocks.remove(at),
            None => {
                let is_full = self.blocks.len() == (MOST_BYTES / size.max(1)).clamp(1, MOST);
                let mut bytes = if is_full { self.blocks.remove(0).bytes } else { vec![0; size] };
                let len = unpack(&mut bytes)?.min(size);
                Block { key, bytes, len }
            }
        };
        self.blocks.push(block);
        Ok(self.blocks.last().map_or(&[], |block| &block.bytes[..block.len]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_error::Code;
    use hivewright_error::Error;

    /// Returns the numbers of the blocks that had to be decompressed when `numbers` were read in turn.
    fn unpacked(kept: &mut BlockCache, size: usize, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut done = Vec::new();
        for number in numbers {
            let block = kept.block(number, size, |bytes| {
                done.push(number);
                assert_eq!(bytes.len(), size);
                bytes[..8].copy_from_slice(&number.to_le_bytes());
                Ok(8)
            });
            assert_eq!(block.unwrap(), number.to_le_bytes());
        }
        done
    }

    #[test]
    fn the_least_recently_used_block_is_dropped() {
        let mut kept = BlockCache::default();
        let most = MOST as u64;
        assert_eq!(unpacked(&mut kept, 9, 0..most), (0..most).collect::<Vec<_>>());
        assert_eq!(unpacked(&mut kept, 9, [0, most, 0, 1, 2, 0]), [most, 1, 2]);
        assert_eq!(unpacked(&mut kept, 10, [0, 1]), [0, 1], "of another size");
    }

    #[test]
    fn the_size_of_the_cache_is_limited() {
        let mut kept = BlockCache::default();
        assert_eq!(unpacked(&mut kept, MOST_BYTES / 2, [1, 2, 1, 2, 3, 2, 1, 2]), [1, 2, 3, 1]);
        assert_eq!(unpacked(&mut kept, MOST_BYTES + 1, [1, 1, 2, 1]), [1, 2, 1]);
    }

    #[test]
    fn a_failed_block_is_not_cached() {
        let mut kept = BlockCache::default();
        unpacked(&mut kept, MOST_BYTES / 2, [1, 2]);
        let failed = kept.block(3, MOST_BYTES / 2, |bytes| {
            bytes.fill(0xff);
            Err(Error::refused(Code::Damaged, "half of it"))
        });
        assert_eq!(failed.unwrap_err().code(), "damaged");
        assert_eq!(unpacked(&mut kept, MOST_BYTES / 2, [2, 3, 1]), [3, 1]);
    }
}
