//! How far a change got, by comparing what is there with what the undo file says.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::members::{absolute, starts};
use super::{Change, Locked, Overlaid, folder_of};
use crate::locate::changed_since;
use hivewright_error::{Error, Result, Space};
use hivewright_hive::Patch;
use hivewright_storage::span::lay_over;
use hivewright_storage::{Host, Storage};

use super::record::{BLOCK, Block, Record};

/// How far a change got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The file is what it was before.
    Untouched,
    /// Some of it is written; the undo file restores the old state.
    Partly,
    /// All of it is written.
    Written,
    /// The file is something else: changed since, or not the file that the undo file belongs to.
    Foreign,
}

/// The saved blocks as they are after each step.
pub(crate) struct Versions<'a> {
    change: &'a Change,
    blocks: &'a [Block],
    /// For each block, the patches that touch its old bytes, with the number of their group.
    touching: Vec<Vec<(usize, usize)>>,
    /// For each group, the blocks that its patches touch, ascending.
    touched: Vec<Vec<usize>>,
    groups: usize,
}

impl<'a> Versions<'a> {
    pub(crate) fn new(change: &'a Change, blocks: &'a [Block]) -> Self {
        let groups = change.groups();
        let (mut touching, mut touched_by) = (vec![Vec::new(); blocks.len()], vec![Vec::new(); groups.len()]);
        for (group, range) in groups.iter().enumerate() {
            for index in range.clone() {
                let patch = &change.patches[index];
                let end = patch.offset + patch.new.len() as u64;
                // A block that the old file ended in is touched by what is written behind that end: it shares a sector.
                let first = blocks.partition_point(|b| b.offset + BLOCK <= patch.offset);
                let touched = blocks[first..].iter().take_while(|b| b.offset < end).count();
                for of_block in &mut touching[first..first + touched] {
                    of_block.push((group, index));
                }
                touched_by[group].extend(first..first + touched);
            }
            touched_by[group].sort_unstable();
            touched_by[group].dedup();
        }
        Versions { change, blocks, touching, touched: touched_by, groups: groups.len() }
    }

    /// The old part of block `index` when the first `groups` groups are written.
    fn block(&self, index: usize, groups: usize) -> Vec<u8> {
        let block = &self.blocks[index];
        let mut bytes = block.old.clone();
        for (_, patch) in self.touching[index].iter().filter(|(group, _)| *group < groups) {
            let patch = &self.change.patches[*patch];
            lay_over(&mut bytes, block.offset, patch.offset, &patch.new);
        }
        bytes
    }

    /// Whether the blocks hold the old bytes of the patches; of a byte with several, the first one's.
    pub(crate) fn fit(&self) -> bool {
        self.blocks.iter().zip(&self.touching).all(|(block, touching)| {
            let mut bytes = block.old.clone();
            for (_, patch) in touching.iter().rev() {
                let patch = &self.change.patches[*patch];
                lay_over(&mut bytes, block.offset, patch.offset, &patch.old);
            }
            bytes == block.old
        })
    }

    /// Every saved block as it is there, cut where the old file ended.
    fn read(&self, storage: &dyn Storage) -> Result<Vec<Vec<u8>>> {
        let read = |block: &Block| {
            let mut there = vec![0; block.old.len()];
            storage.read_at(block.offset, &mut there).map(|()| there)
        };
        self.blocks.iter().map(read).collect()
    }

    /// Whether each block is as the first `groups` groups leave it.
    fn is_at(&self, there: &[Vec<u8>], groups: usize) -> bool {
        there.iter().enumerate().all(|(i, bytes)| *bytes == self.block(i, groups))
    }

    /// The numbers of groups, ascending, as whose first ones block `index` can be what is `there`: all of the old block, one
    /// range of them between two groups that touch it, and so on. Each patch is laid once.
    fn fitting(&self, index: usize, there: &[u8]) -> Vec<Range<usize>> {
        let block = &self.blocks[index];
        let (mut bytes, mut start, mut fits) = (block.old.clone(), 0, Vec::new());
        for of_group in self.touching[index].chunk_by(|a, b| a.0 == b.0) {
            let group = of_group[0].0;
            if bytes == there {
                fits.push(start..group + 1);
            }
            for (_, patch) in of_group {
                let patch = &self.change.patches[*patch];
                lay_over(&mut bytes, block.offset, patch.offset, &patch.new);
            }
            start = group + 1;
        }
        if bytes == there {
            fits.push(start..self.groups + 1);
        }
        fits
    }

    /// For each group, whether each block is as the groups before it leave it; those that itself touches may be anything.
    fn interrupted_in(&self, there: &[Vec<u8>]) -> Vec<bool> {
        // By how much the number of blocks that fit differs from the group before.
        let mut steps = vec![0_i64; self.groups + 2];
        let mut add = |range: Range<usize>| {
            steps[range.start] += 1;
            steps[range.end] -= 1;
        };
        for (index, bytes) in there.iter().enumerate() {
            let fits = self.fitting(index, bytes);
            for of_group in self.touching[index].chunk_by(|a, b| a.0 == b.0) {
                let group = of_group[0].0;
                let next = fits.partition_point(|range| range.end <= group);
                if fits.get(next).is_none_or(|range| range.start > group) {
                    add(group..group + 1);
                }
            }
            fits.into_iter().for_each(&mut add);
        }
        let mut sum = 0;
        let counts = steps.iter().take(self.groups).map(|step| {
            sum += step;
            sum
        });
        counts.map(|count| usize::try_from(count) == Ok(there.len())).collect()
    }

    /// Writes the blocks back: of the first `begun` groups, the last one first; each is durable before the one before
    /// it is touched. A group that was never begun must not count: its blocks would get what earlier groups write.
    pub(crate) fn roll_back(&self, storage: &dyn Storage, begun: usize) -> Result<()> {
        for group in (0..begun.min(self.groups)).rev() {
            self.write_blocks(storage, group, group)?;
            storage.flush()?;
        }
        if self.change.grows() {
            storage.set_len(self.change.len_before)?;
            storage.flush()?;
        }
        Ok(())
    }

    /// Writes what the last group wrote once more, over the same bytes, and flushes it.
    ///
    /// After a flush that failed, reading shows bytes that may never reach the medium, and flushing again does not
    /// bring them there; writing them again does. Only the group that was in hand can be in that state.
    fn write_last_again(&self, storage: &dyn Storage) -> Result<()> {
        let Some(last) = self.groups.checked_sub(1) else { return Ok(()) };
        self.write_blocks(storage, last, self.groups)?;
        let (start, new_space) = (self.change.len_before, new_space(self.change)?);
        for patch in &self.change.patches[self.change.groups()[last].clone()] {
            // Whole blocks here too: the sectors around a patch may have suffered with it.
            let end = (patch.offset + patch.new.len() as u64).next_multiple_of(BLOCK).min(self.change.len_after);
            let from = (patch.offset / BLOCK * BLOCK).max(start);
            if from < end {
                // Both differences are within the new space.
                let local = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
                storage.write_at(from, &new_space[local(from)..local(end)])?;
            }
        }
        storage.flush()
    }

    /// Writes the blocks that `group` touches as they are when the first `written` groups are written.
    fn write_blocks(&self, storage: &dyn Storage, group: usize, written: usize) -> Result<()> {
        for &index in &self.touched[group] {
            storage.write_at(self.blocks[index].offset, &self.block(index, written))?;
        }
        Ok(())
    }
}

/// The bytes past the old end when all is written.
fn new_space(change: &Change) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(change.len_after - change.len_before).map_err(|_| too_long())?];
    change.patches.iter().for_each(|patch| lay_over(&mut bytes, change.len_before, patch.offset, &patch.new));
    Ok(bytes)
}

fn too_long() -> Error {
    super::record::damaged("the file does not fit into memory")
}

impl Record {
    pub(crate) fn versions(&self) -> Versions<'_> {
        Versions::new(&self.change, &self.blocks)
    }

    /// How far the change got in `storage`.
    ///
    /// An interruption can leave only this: all groups before some group written, none after it, and in the blocks
    /// that this one touches anything at all. Whatever else is there was not left by us. Where the hash of the whole
    /// file is known, the rest of it has to fit too.
    pub(crate) fn state(&self, storage: &dyn Storage) -> Result<State> {
        self.reached(storage).map(|(state, _)| state)
    }

    /// How far the change got, and how many groups may have been begun. Where several numbers fit, the largest.
    pub(crate) fn reached(&self, storage: &dyn Storage) -> Result<(State, usize)> {
        let found = self.reached_by_blocks(storage)?;
        let (Some(before), Some(after)) = (self.sha256_before, self.sha256_after) else { return Ok(found) };
        let fits = match found.0 {
            State::Foreign => false,
            State::Written => Overlaid::plain(&self.whole(storage)?).sha256() == after,
            State::Untouched | State::Partly => self.old_image(&self.whole(storage)?).sha256() == before,
        };
        Ok(if fits { found } else { (State::Foreign, 0) })
    }

    fn reached_by_blocks(&self, storage: &dyn Storage) -> Result<(State, usize)> {
        let (versions, len) = (self.versions(), storage.len()?);
        let Change { len_before, len_after, .. } = self.change;
        if len < len_before || len > len_after {
            return Ok((State::Foreign, 0));
        }
        let there = versions.read(storage)?;
        if len == len_before && versions.is_at(&there, 0) {
            return Ok((State::Untouched, 0));
        }
        if len == len_after && versions.is_at(&there, versions.groups) && self.has_new_space(storage)? {
            return Ok((State::Written, versions.groups));
        }
        // The length changes before the first group is written, and back after it is restored; but what was restored
        // may be written once more to be sure that it is durable.
        let groups = if len == len_after { versions.groups } else { versions.groups.min(1) };
        let interrupted = versions.interrupted_in(&there);
        if let Some(last) = interrupted[..groups].iter().rposition(|is| *is) {
            return Ok((State::Partly, last + 1));
        }
        Ok(if versions.is_at(&there, 0) { (State::Partly, 0) } else { (State::Foreign, 0) })
    }

    /// For a file `target` that is wholly old or wholly new: makes sure that this is so on the medium too.
    pub(crate) fn make_durable<H: Host>(&self, locked: &Locked<'_, H>, target: &Path, state: State) -> Result<()> {
        let storage = locked.storage_at(target, &self.files_of(target)?)?;
        match state {
            State::Untouched => self.versions().roll_back(&*storage, 1)?,
            State::Written => self.versions().write_last_again(&*storage)?,
            State::Partly | State::Foreign => {}
        }
        locked.host.sync_folder(folder_of(target))
    }

    /// Compares the length and every saved block with what is there, and the blocks with the patches.
    pub(crate) fn expect_old(&self, storage: &dyn Storage) -> Result<()> {
        let len = storage.len()?;
        if len != self.change.len_before {
            let last = self.files.last().map_or(&self.target, |file| &file.path);
            return Err(changed_since(last).expected(self.change.len_before, len));
        }
        let versions = self.versions();
        let there = versions.read(storage)?;
        match self.blocks.iter().zip(there).find(|(block, there)| block.old != *there) {
            Some((block, _)) => {
                let (path, offset) = self.file_at(block.offset);
                Err(changed_since(&path).at(Space::File, offset))
            }
            None if versions.fit() => Ok(()),
            None => Err(changed_since(&self.target)),
        }
    }

    /// The file that holds a byte of the addresses, as it is named here, and where in it.
    fn file_at(&self, offset: u64) -> (PathBuf, u64) {
        let starts = starts(&self.files).unwrap_or_default();
        let found = starts.iter().zip(&self.files).rev().find(|(start, _)| **start <= offset);
        let folder = self.target.parent().unwrap_or(Path::new(""));
        // Names in the record lie beside the target, or are whole.
        found.map_or((self.target.clone(), offset), |(start, file)| (absolute(folder, &file.path), offset - start))
    }

    /// Where the change wrote over other bytes in the file at `path`, once for each sector, with the image at `target`.
    pub(crate) fn changed_in(&self, target: &Path, path: &Path) -> Result<Vec<u64>> {
        const SECTOR: usize = 512;
        let files = self.files_of(target)?;
        let starts = starts(&files)?;
        let mut found = Vec::new();
        // What is only added behind the old end, or written over itself, was nobody else's.
        for Patch { offset, old, new, .. } in
            self.change.patches.iter().filter(|patch| !patch.new.starts_with(&patch.old))
        {
            let holder = starts.iter().zip(&files).rev().find(|(start, _)| **start <= *offset);
            let (start, file) = holder.map_or((0, target), |(start, file)| (*start, &*file.path));
            if file == path {
                let end = offset + old.len().min(new.len()) as u64;
                found.extend((*offset..end).step_by(SECTOR).chain([end - 1]).map(|at| at - start));
            }
        }
        Ok(found)
    }

    /// Whether all is as the change left it where that wrote, and the file has only become longer since.
    pub(crate) fn has_only_grown(&self, storage: &dyn Storage) -> Result<bool> {
        let versions = self.versions();
        Ok(storage.len()? > self.change.len_after
            && versions.is_at(&versions.read(storage)?, versions.groups)
            && self.has_new_space(storage)?)
    }

    /// The file that is neither old nor new, where that can be told of one of several.
    pub(crate) fn foreign_file(&self, storage: &dyn Storage) -> Option<PathBuf> {
        let versions = self.versions();
        let there = versions.read(storage).ok()?;
        let is_foreign = |i: &usize| versions.fitting(*i, &there[*i]).is_empty();
        let index = (0..self.blocks.len()).find(is_foreign)?;
        Some(self.file_at(self.blocks[index].offset).0)
    }

    /// Whether what lies past the old end is what the patches put there.
    fn has_new_space(&self, storage: &dyn Storage) -> Result<bool> {
        if !self.change.grows() {
            return Ok(true);
        }
        let wanted = new_space(&self.change)?;
        let mut there = vec![0; wanted.len()];
        storage.read_at(self.change.len_before, &mut there)?;
        Ok(there == wanted)
    }

    /// All bytes of `storage`. Only for what has a hash of the whole, which is read into memory anyway.
    pub(crate) fn whole(&self, storage: &dyn Storage) -> Result<Vec<u8>> {
        let len = storage.len()?.min(self.change.len_after);
        let len = usize::try_from(len).map_err(|_| too_long())?;
        let mut bytes = vec![0; len];
        storage.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// What the file was, out of what is there.
    pub(crate) fn old_image<'a>(&'a self, there: &'a [u8]) -> Overlaid<'a> {
        let old = self.blocks.iter().map(|b| (b.offset, &b.old[..])).collect();
        Overlaid::new(there, self.change.len_before, old)
    }
}

#[cfg(test)]
mod tests;
