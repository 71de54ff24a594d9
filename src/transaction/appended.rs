//! Appended bytes, of which an undo file has only the hash: an undo does not need them.

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::Change;
use super::record::BLOCK;
use hivewright_error::Result;
use hivewright_hive::Patch;
use hivewright_storage::Storage;

/// Bytes of a run at least. The hash of a shorter run saves nothing.
const LEAST: u64 = 4096;
/// Bytes hashed at once.
const PIECE: u64 = 1 << 20;

/// A run of bytes behind the old end, written by one patch before the last step of the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) sha256: [u8; 32],
}

impl Appended {
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    /// Returns whether `storage` has the bytes of the run.
    pub(crate) fn is_in(&self, storage: &dyn Storage) -> Result<bool> {
        let mut hash = Sha256::new();
        let mut bytes = Vec::new();
        let mut at = self.offset;
        while at < self.end() {
            // At most `PIECE`.
            bytes.resize(usize::try_from((self.end() - at).min(PIECE)).unwrap_or(0), 0);
            storage.read_at(at, &mut bytes)?;
            hash.update(&bytes);
            at += bytes.len() as u64;
        }
        Ok(self.sha256 == *hash.finalize())
    }
}

impl Change {
    /// Returns the patches of each phase for an undo file, and the hashes of the other, appended bytes.
    ///
    /// Patches of the last step stay patches, because they may be written again. So do bytes in the block of the old
    /// end, which an interruption can garble.
    pub(crate) fn without_appended(&self) -> (Vec<Vec<Patch>>, Vec<Appended>) {
        let start = self.len_before.next_multiple_of(BLOCK);
        let last = self.groups().pop().unwrap_or_default();
        let mut appended = self.appended.clone();
        let mut kept = |index: usize| {
            let patch = &self.patches[index];
            let run = patch.offset.max(start)..patch.offset + patch.new.len() as u64;
            if last.contains(&index) || run.end < run.start.saturating_add(LEAST) || !self.is_written_once(index, &run)
            {
                return Some(patch.clone());
            }
            // `run.start` is within the patch.
            let (head, rest) = patch.new.split_at(usize::try_from(run.start - patch.offset).unwrap_or(0));
            let sha256 = Sha256::digest(rest).into();
            appended.push(Appended { offset: run.start, len: run.end - run.start, sha256 });
            (!head.is_empty()).then(|| Patch { new: head.to_vec(), ..patch.clone() })
        };
        let phases = self.phases().map(|phase| phase.filter_map(&mut kept).collect::<Vec<_>>());
        let phases: Vec<Vec<Patch>> = phases.filter(|phase| !phase.is_empty()).collect();
        appended.sort_unstable_by_key(|run| run.offset);
        (phases, appended)
    }

    /// Returns whether no other patch writes to the run.
    fn is_written_once(&self, index: usize, run: &Range<u64>) -> bool {
        let is_apart = |patch: &Patch| patch.offset >= run.end || patch.offset + patch.new.len() as u64 <= run.start;
        self.patches.iter().enumerate().all(|(other, patch)| other == index || is_apart(patch))
    }
}
