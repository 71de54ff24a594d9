//! A cache of unpacked files and metadata of an archive, by their verified hash.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::blobs::Hash;
use hivewright_error::Result;

/// Maximum number of bytes kept after their last use. The hives of an installation are read several times.
const MOST_KEPT: usize = 128 << 20;

/// The unpacked bytes of an archive. Successive openings may share them, so that nothing is unpacked twice. Each
/// opening reads the tables again, and only bytes with a known hash are reused.
#[derive(Clone, Default)]
pub struct Unpacked(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// All entries in use.
    all: Vec<(Hash, Weak<Vec<u8>>)>,
    /// The most recent entries, the oldest first.
    kept: Vec<Arc<Vec<u8>>>,
}

impl Unpacked {
    /// Returns the bytes with a hash. `unpack` provides missing ones, and must verify them.
    pub(super) fn get(&self, hash: &Hash, unpack: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<Vec<u8>>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.all.iter().find(|(own, _)| own == hash).and_then(|(_, bytes)| bytes.upgrade());
        if let Some(bytes) = found {
            return Ok(bytes);
        }
        let bytes = Arc::new(unpack()?);
        known.all.push((*hash, Arc::downgrade(&bytes)));
        known.keep(bytes.clone());
        Ok(bytes)
    }
}

impl Known {
    /// Keeps new bytes, and drops the oldest beyond the limit.
    fn keep(&mut self, bytes: Arc<Vec<u8>>) {
        self.kept.push(bytes);
        let len = |kept: &[Arc<Vec<u8>>]| kept.iter().map(|bytes| bytes.len()).sum::<usize>();
        while len(&self.kept) > MOST_KEPT {
            self.kept.remove(0);
        }
        self.all.retain(|(_, bytes)| bytes.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_error::{Code, Error, Kind};

    #[test]
    fn known_contents_are_reused_within_a_limit() {
        let unpacked = Unpacked::default();
        let get = |number: u8, len: usize| unpacked.get(&[number; 20], || Ok(vec![number; len])).unwrap();
        let first = get(1, 10);
        assert!(Arc::ptr_eq(&first, &get(1, 20)));
        assert_eq!(get(2, MOST_KEPT).len(), MOST_KEPT);
        // The first one is still in use, and the second one is kept.
        assert!(get(1, 20).len() == 10 && get(2, 1).len() == MOST_KEPT);
        get(3, 10);
        assert_eq!((get(2, 1).len(), get(3, 1).len()), (1, 10));
        let failed = unpacked.get(&[4; 20], || Err(Error::new(Kind::Corrupt, Code::WimHash, "it is damaged")));
        assert_eq!(failed.unwrap_err().code(), Code::WimHash);
        assert_eq!(get(4, 5).len(), 5);
    }
}
