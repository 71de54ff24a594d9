//! The growth of a file: the changes of its volume, planned before anything is written.
//!
//! Every prefix of the writes is harmless: first zeros go to unreferenced clusters, then clusters are marked as in use
//! (a crash leaks them), then the file gets them and its new size, and last come copies of the size that file systems
//! treat as hints. Each file system documents its [`Group`]s.

mod search;

pub(crate) use search::{MOST_RUNS, Search};

use std::fmt;
use std::sync::Arc;

use super::{Extent, Extents, FileInVolume, VolumeState};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::{Storage, advised};

/// A change of bytes of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumePatch {
    /// Offset in the volume, in bytes.
    pub offset: u64,
    /// The old bytes.
    pub old: Vec<u8>,
    /// The new bytes, of the same length.
    pub new: Vec<u8>,
}

/// Patches that may reach the medium in any order, after those of earlier groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The changed structure, for messages.
    pub what: &'static str,
    /// The patches. They do not overlap within a group; those of a later group may overlap earlier ones.
    pub patches: Vec<VolumePatch>,
}

/// The plan that makes one file longer. Nothing is written until [`Growth::write`].
#[derive(Clone)]
pub struct Growth {
    volume: Arc<dyn Storage>,
    /// Length of the file afterwards, in bytes.
    pub len: u64,
    /// Its extents afterwards.
    pub extents: Extents,
    /// The new extents, a part of `extents`.
    pub added: Vec<Extent>,
    /// Ranges that are zeroed before anything else: bytes past the valid data length, and new ones.
    pub fresh: Vec<Extent>,
    /// The changes that follow, in this order.
    pub groups: Vec<Group>,
}

/// Bytes written at once.
const PIECE: usize = 1 << 17;

impl Growth {
    /// Creates a plan for `file` of `volume`, which gets the clusters `added` (volume offset and bytes).
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

    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.groups.is_empty()
    }

    /// Rewrites the present bytes wherever [`Growth::write`] will write, so that a disk image allocates.
    ///
    /// # Errors
    /// As [`Growth::write`].
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

    /// Writes everything and flushes after the zeros and after each group. The file must then be opened again.
    ///
    /// # Errors
    /// `changed-since`, with nothing written: the volume has changed since the plan was made. I/O errors.
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

    /// Returns the fresh ranges in pieces: volume offset and bytes.
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
        Err(Error::refused(Code::ChangedSince, "the volume has changed since the change was planned")
            .at(Space::Volume, patch.offset)
            .advise("close other programs that use the image, and try again"))
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

/// Returns whether `file` must change to have `new_len` bytes, all of them valid. Refuses files that would shrink,
/// files whose clusters do not have their contents as they are, and volumes whose metadata may be outdated: a journal
/// that is replayed later would restore the old size below the new hive.
pub(crate) fn is_needed(file: &FileInVolume, state: &VolumeState, new_len: u64) -> Result<bool> {
    let facts = file.facts();
    if new_len == facts.len && new_len == facts.valid_len {
        return Ok(false);
    }
    if new_len < facts.len {
        return Err(Error::new(Kind::Unsupported, Code::FixedLength, "a file on a volume cannot become shorter")
            .expected(format_args!("at least {} bytes", facts.len), new_len));
    }
    file.writable(0, 0)?;
    if file.extents().iter().any(|extent| extent.volume_offset.is_none()) {
        return Err(Error::refused(Code::FileNotAllocated, "some parts of the file have no clusters")
            .advise("mount the volume and edit the hive there, where a new file takes its place"));
    }
    let journal = state.journal.is_unclean() || state.journal.may_be_cached();
    if state.dirty || journal || state.hibernation.is_saved() != Some(false) || !state.remarks.is_empty() {
        let tool = if state.file_system == "NTFS" { advised::SETTLE_NTFS } else { advised::SETTLE_FAT };
        let what = "the file would grow, but the volume is dirty, damaged, or used by a hibernated session";
        return Err(Error::refused(Code::GrowthInDoubt, what)
            .advise(format!("repair the volume first, in Windows ({}) or with `{tool}`", advised::CHECK_DISK)));
    }
    Ok(true)
}

/// Returns the choice of `search` for a file that needs `wanted` more clusters of `cluster` bytes.
///
/// # Errors
/// `no-room`; `free-space-in-pieces`: the free space is too fragmented.
pub(crate) fn choose(search: Search, wanted: u64, cluster: u64) -> Result<Vec<(u64, u64)>> {
    let bytes = |clusters: u64| u128::from(clusters) * u128::from(cluster);
    let free = search.free();
    if free < wanted {
        return Err(Error::new(
            Kind::NoRoom,
            Code::NoRoom,
            "the file would grow, but its volume has too little free space",
        )
        .expected(format_args!("{} bytes in free clusters", bytes(wanted)), bytes(free))
        .advise("free some space on the volume, or enlarge it"));
    }
    search.best().ok_or_else(|| {
        let what = "the file would grow, but the free space of the volume is too fragmented";
        Error::new(Kind::NoRoom, Code::FreeSpaceInPieces, what)
            .expected(format_args!("{} bytes in {MOST_RUNS} runs of clusters", bytes(wanted)), "more pieces")
            .advise("consolidate the free space of the volume with Windows (defrag /X), or mount the volume and edit the hive there")
    })
}

/// Returns the error for a length that exceeds the file system's limit.
pub(crate) fn too_long(len: u64) -> Error {
    Error::new(Kind::NoRoom, Code::NoRoom, "the file would exceed the file size limit of its file system")
        .expected("a length within the limit", len)
}

#[cfg(test)]
mod tests;
