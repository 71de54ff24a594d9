//! Cache of metadata blocks, so that a walk does not read the same bytes twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::corrupt;
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;

/// Bytes of a block.
const BLOCK: u64 = 4096;
/// Number of cached blocks: half a MiB.
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

    /// Returns the length of the storage, which may be less than the volume claims.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|&end| end <= self.len).ok_or_else(|| {
            corrupt(Code::VolumeTruncated, "the storage ends before the volume does", offset)
                .expected(format_args!("more than {offset} bytes"), self.len)
                .advise("the image is truncated: copy the disk again")
        })?;
        let mut at = offset;
        while at < end {
            let block = self.block(at / BLOCK)?;
            let skip = at % BLOCK;
            let part = (block.len() as u64 - skip).min(end - at);
            // All offsets lie within the block or the buffer.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use hivewright_error::Place;

    /// A storage of 100,000 bytes that counts the bytes read.
    struct Counting(AtomicU64);

    impl Storage for Counting {
        fn len(&self) -> Result<u64> {
            Ok(100_000)
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            assert!(offset + buf.len() as u64 <= 100_000);
            self.0.fetch_add(buf.len() as u64, Ordering::Relaxed);
            buf.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = (at % 251) as u8);
            Ok(())
        }
        fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
            unreachable!("reading never writes")
        }
        fn flush(&self) -> Result<()> {
            Ok(())
        }
        fn locate(&self, _: u64) -> Vec<Place> {
            Vec::new()
        }
    }

    #[test]
    fn reads_each_block_once_and_the_short_last_one() {
        let medium = Arc::new(Counting(AtomicU64::new(0)));
        let cache = Cache::new(medium.clone()).unwrap();
        for (offset, len, read) in [(10, 100, 4096), (4000, 200, 8192), (0, 8192, 8192), (98_304, 1696, 9888)] {
            let mut buf = vec![0; len];
            cache.read_at(offset, &mut buf).unwrap();
            assert!(buf.iter().zip(offset..).all(|(&byte, at)| byte == (at % 251) as u8));
            assert_eq!(medium.0.load(Ordering::Relaxed), read);
        }
        assert_eq!(cache.read_at(99_999, &mut [0; 2]).unwrap_err().code(), "volume-truncated");
        assert_eq!(cache.read_at(u64::MAX, &mut [0; 2]).unwrap_err().code(), "volume-truncated");
    }
}
