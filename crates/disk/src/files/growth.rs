//! A file becomes longer: the change of its volume, planned before anything is written.
//!
//! The order is such that every prefix of the writes is harmless: first zeros go to bytes that nothing refers to, then
//! clusters are marked as in use (a stop leaks them), then the file gets them and its new size, and last come copies of
//! the size that file systems treat as hints. Each file system says what it writes in which [`Group`].

mod search;

pub(crate) use search::{MOST_RUNS, Search};

use std::fmt;
use std::sync::Arc;

use super::{Extent, Extents, FileInVolume, VolumeState};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::{Storage, advised};

/// Bytes of a volume that change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumePatch {
    /// Bytes from the start of the volume.
    pub offset: u64,
    /// What stands there before anything is written.
    pub old: Vec<u8>,
    /// What shall stand there, as many bytes.
    pub new: Vec<u8>,
}

/// Patches that may reach the medium in any order, after those of the groups before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they change, for people.
    pub what: &'static str,
    /// The patches. None overlaps another of its group; those of a later group may go over an earlier one's bytes.
    pub patches: Vec<VolumePatch>,
}

/// What makes one file longer. Nothing is written until [`Growth::write`].
#[derive(Clone)]
pub struct Growth {
    volume: Arc<dyn Storage>,
    /// Bytes of the file afterwards.
    pub len: u64,
    /// Where its bytes lie afterwards.
    pub extents: Extents,
    /// The part of `extents` that it gets.
    pub added: Vec<Extent>,
    /// Where zeros go before anything else: bytes of the file that were never filled, or are new.
    pub fresh: Vec<Extent>,
    /// What changes then, in this order.
    pub groups: Vec<Group>,
}

/// How much is written at once.
const PIECE: usize = 1 << 17;

impl Growth {
    /// A plan for `file` of `volume`, which takes the clusters `added` (volume offset and bytes).
    pub(crate) fn new(
        volume: Arc<dyn Storage>,
        file: &FileInVolume,
        len: u64,
        added: &[(u64, u64)],
        groups: Vec<Group>,
    ) -> Result<Self> {
        let mut extents = Extents::default();
        let before = file.extents().iter().map(|extent| (extent.volume_offset, extent.len));
        let new = added.iter().map(|&(start, len)| (Some(start), len));
        if !before.chain(new).all(|(start, len)| extents.push(start, len)) {
            return Err(too_long(len));
        }
        let facts = file.facts();
        let cut = |from: u64, to: u64| extents.within(from, to.saturating_sub(from)).collect();
        let (added, fresh) = (cut(facts.covered_len, extents.len()), cut(facts.valid_len, len));
        let groups = groups.into_iter().filter(|group| !group.patches.is_empty()).collect();
        Ok(Growth { volume, len, extents, added, fresh, groups })
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.groups.is_empty()
    }

    /// Writes the bytes that are there over themselves wherever [`Growth::write`] will write: a disk image makes the room
    /// that it needs.
    ///
    /// # Errors
    /// As there.
    pub fn make_room(&self) -> Result<()> {
        for (at, len) in self.pieces() {
            let mut bytes = vec![0; len];
            self.volume.read_at(at, &mut bytes)?;
            self.volume.write_at(at, &bytes)?;
        }
        for patch in self.patches() {
            self.expect_old(patch)?;
            self.volume.write_at(patch.offset, &patch.old)?;
        }
        self.volume.flush()
    }

    /// Writes everything, and flushes behind the zeros and behind each group. The file has to be opened anew.
    ///
    /// # Errors
    /// `changed-since`, and nothing was written: the volume is not what it was when this was planned; or the storage
    /// could not be read or written.
    pub fn write(&self) -> Result<()> {
        self.patches().try_for_each(|patch| self.expect_old(patch))?;
        for (at, len) in self.pieces() {
            self.volume.write_at(at, &vec![0; len])?;
        }
        self.volume.flush()?;
        for group in &self.groups {
            group.patches.iter().try_for_each(|patch| self.volume.write_at(patch.offset, &patch.new))?;
            self.volume.flush()?;
        }
        Ok(())
    }

    fn patches(&self) -> impl Iterator<Item = &VolumePatch> {
        self.groups.iter().flat_map(|group| &group.patches)
    }

    /// The fresh stretches in pieces: volume offset and bytes.
    fn pieces(&self) -> impl Iterator<Item = (u64, usize)> {
        self.fresh.iter().flat_map(|extent| {
            let start = extent.volume_offset.unwrap_or_default();
            let ends = (0..extent.len).step_by(PIECE);
            // Both are at most a piece.
            ends.map(move |at| (start + at, usize::try_from(extent.len - at).unwrap_or(PIECE).min(PIECE)))
        })
    }

    fn expect_old(&self, patch: &VolumePatch) -> Result<()> {
        let mut there = vec![0; patch.old.len()];
        self.volume.read_at(patch.offset, &mut there)?;
        if there == patch.old {
            return Ok(());
        }
        Err(Error::refused(Code::ChangedSince, "the volume changed since the growth of its file was planned")
            .at(Space::Volume, patch.offset)
            .advise("see what else uses the image, then start again from what is there now"))
    }
}

impl fmt::Debug for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Growth")
            .field("len", &self.len)
            .field("added", &self.added)
            .field("fresh", &self.fresh)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// Whether `file` has to change so that it has `new_len` bytes, all of them valid. Refuses what no plan is made for: a file
/// that would shrink, one whose clusters do not hold its bytes as they are, and a volume whose metadata may not be the
/// newest, even where its owner writes into the file despite that: a journal that is replayed later would bring back the
/// old size under the new hive.
pub(crate) fn is_needed(file: &FileInVolume, state: &VolumeState, new_len: u64) -> Result<bool> {
    let facts = file.facts();
    if new_len == facts.len && new_len == facts.valid_len {
        return Ok(false);
    }
    if new_len < facts.len {
        return Err(Error::new(Kind::Unsupported, Code::FixedLength, "a file in a volume is not cut short")
            .expected(format_args!("at least {} bytes", facts.len), new_len));
    }
    file.writable(0, 0)?;
    if file.extents().iter().any(|extent| extent.volume_offset.is_none()) {
        return Err(Error::refused(Code::FileNotAllocated, "the file has no clusters in places")
            .advise("mount the volume and edit the hive there, where a new file takes its place"));
    }
    let journal = state.journal.is_unclean() || state.journal.may_be_cached();
    if state.dirty || journal || state.hibernation.is_saved() != Some(false) || !state.remarks.is_empty() {
        let tool = if state.file_system == "NTFS" { advised::SETTLE_NTFS } else { advised::SETTLE_FAT };
        let what = "the file would have to grow, and the volume's metadata is in doubt: it is dirty, damaged, or used by a saved session";
        return Err(Error::refused(Code::GrowthInDoubt, what)
            .advise(format!("settle the volume first, in Windows ({}) or by `{tool}`", advised::CHECK_DISK)));
    }
    Ok(true)
}

/// The choice of `search` for a file that wants so many more clusters of `cluster` bytes.
///
/// # Errors
/// `no-room`; `free-space-in-pieces` where what is free lies in very many pieces.
pub(crate) fn choose(search: Search, wanted: u64, cluster: u64) -> Result<Vec<(u64, u64)>> {
    let bytes = |clusters: u64| u128::from(clusters) * u128::from(cluster);
    let free = search.free();
    if free < wanted {
        return Err(Error::new(
            Kind::NoRoom,
            Code::NoRoom,
            "the file would have to grow, and its volume has too little room",
        )
        .expected(format_args!("{} bytes in free clusters", bytes(wanted)), bytes(free))
        .advise("free some space on the volume, or enlarge it"));
    }
    search.best().ok_or_else(|| {
        let what = "the file would have to grow, and the volume's free clusters lie in too many pieces";
        Error::new(Kind::NoRoom, Code::FreeSpaceInPieces, what)
            .expected(format_args!("{} bytes in {MOST_RUNS} pieces", bytes(wanted)), "more pieces")
            .advise("join the volume's free space with Windows (defrag /X), or mount it and edit the hive there")
    })
}

/// The refusal of a length that the file system has no number for.
pub(crate) fn too_long(len: u64) -> Error {
    Error::new(Kind::NoRoom, Code::NoRoom, "the file would be longer than its file system lets files be")
        .expected("a length that it has a number for", len)
}

#[cfg(test)]
mod tests;
