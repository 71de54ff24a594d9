//! Reading metadata in blocks, and keeping the last of them, so that a walk does not read the same bytes twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::corrupt;
use crate::error::Result;
use crate::storage::Storage;

/// Bytes of a block.
const BLOCK: u64 = 4096;
/// Blocks that are kept: half a MiB.
const KEPT: usize = 128;

/// The metadata of a volume.
pub(crate) struct Cache {
    volume: Arc<dyn Storage>,
    len: u64,
    /// Newest first.
    blocks: Mutex<VecDeque<(u64, Arc<[u8]>)>>,
}

impl Cache {
    pub(crate) fn new(volume: Arc<dyn Storage>) -> Result<Cache> {
        let len = volume.len()?;
        Ok(Cache { volume, len, blocks: Mutex::default() })
    }

    pub(crate) fn volume(&self) -> &Arc<dyn Storage> {
        &self.volume
    }

    /// Bytes of the storage, which may be fewer than the volume claims.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|&end| end <= self.len).ok_or_else(|| {
            corrupt("volume-truncated", "the storage ends before the volume does", offset)
                .expected(format_args!("more than {offset} bytes"), self.len)
                .advise("the image is cut short: copy the disk again")
        })?;
        let mut at = offset;
        while at < end {
            let block = self.block(at / BLOCK)?;
            let skip = at % BLOCK;
            let part = (block.len() as u64 - skip).min(end - at);
            // All of these lie within the block or the buffer.
            let (from, to) = (to_usize(skip), to_usize(at - offset));
            buf[to..to + to_usize(part)].copy_from_slice(&block[from..from + to_usize(part)]);
            at += part;
        }
        Ok(())
    }

    fn block(&self, number: u64) -> Result<Arc<[u8]>> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(i) = blocks.iter().position(|(kept, _)| *kept == number)
            && let Some(found) = blocks.remove(i)
        {
            blocks.push_front(found.clone());
            return Ok(found.1);
        }
        let start = number * BLOCK;
        let mut bytes = vec![0; to_usize(BLOCK.min(self.len - start))];
        self.volume.read_at(start, &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        blocks.truncate(KEPT - 1);
        blocks.push_front((number, bytes.clone()));
        Ok(bytes)
    }
}

fn to_usize(small: u64) -> usize {
    usize::try_from(small).unwrap_or(usize::MAX)
}
