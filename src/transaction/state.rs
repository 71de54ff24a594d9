//! Determines the progress of a change by comparing files with the undo file.

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

/// The progress of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The file has its old bytes.
    Untouched,
    /// A part is written; the undo file restores the old state.
    Partly,
    /// The whole change is written.
    Written,
    /// The file has other bytes: it has changed since, or is not the file of the undo file.
    Foreign,
}

/// The saved blocks after each step.
pub(crate) struct Versions<'a> {
    change: &'a Change,
    blocks: &'a [Block],
    /// For each block, the patches that overlap its old bytes, with the number of their group.
    touching: Vec<Vec<(usize, usize)>>,
    /// For each group, the blocks that its patches overlap, ascending.
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
                // The block of the old end is affected by writes past that end, which share its sector.
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

    /// Returns the old part of block `index` after the first `groups` groups.
    fn block(&self, index: usize, groups: usize) -> Vec<u8> {
        let block = &self.blocks[index];
        let mut bytes = block.old.clone();
        for (_, patch) in self.touching[index].iter().filter(|(group, _)| *group < groups) {
            let patch = &self.change.patches[*patch];
            lay_over(&mut bytes, block.offset, patch.offset, &patch.new);
        }
        bytes
    }

    /// Returns whether the blocks have the old bytes of the patches; for a byte with several patches, those of the
    /// first.
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

    /// Reads the saved blocks from `storage`, cut at the old end of the file.
    fn read(&self, storage: &dyn Storage) -> Result<Vec<Vec<u8>>> {
        let read = |block: &Block| {
            let mut there = vec![0; block.old.len()];
            storage.read_at(block.offset, &mut there).map(|()| there)
        };
        self.blocks.iter().map(read).collect()
    }

    /// Returns whether each block is as after the first `groups` groups.
    fn is_at(&self, there: &[Vec<u8>], groups: usize) -> bool {
        there.iter().enumerate().all(|(i, bytes)| *bytes == self.block(i, groups))
    }

    /// Returns the ascending ranges of numbers of groups after which block `index` can have the bytes `there`: all for
    /// an unchanged block, one range between two groups that overlap it, and so on. Each patch is applied once.
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

    /// Returns for each group whether each block is as the groups before it leave it; blocks that the group overlaps
    /// may have any bytes.
    fn interrupted_in(&self, there: &[Vec<u8>]) -> Vec<bool> {
        // The change of the number of matching blocks from one group to the next.
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

    /// Restores the blocks of the first `begun` groups, the last group first; each is durable before the one before it.
    /// A group that was not begun must not be counted: its blocks would get the bytes of earlier groups.
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

    /// Writes the bytes of the last group again and flushes them.
    ///
    /// After a failed flush, reads return bytes that may never reach the medium, and another flush does not write them;
    /// writing them again does. Only the last group can be in that state.
    fn write_last_again(&self, storage: &dyn Storage) -> Result<()> {
        let Some(last) = self.groups.checked_sub(1) else { return Ok(()) };
        self.write_blocks(storage, last, self.groups)?;
        let start = self.change.len_before;
        for patch in &self.change.patches[self.change.groups()[last].clone()] {
            // Whole blocks, because the sectors around a patch may be affected.
            let end = (patch.offset + patch.new.len() as u64).next_multiple_of(BLOCK).min(self.change.len_after);
            let from = (patch.offset / BLOCK * BLOCK).max(start);
            if from < end {
                // The hashes of the appended runs were compared before.
                let mut bytes = vec![0; usize::try_from(end - from).map_err(|_| too_long())?];
                storage.read_at(from, &mut bytes)?;
                self.change.patches.iter().for_each(|patch| lay_over(&mut bytes, from, patch.offset, &patch.new));
                storage.write_at(from, &bytes)?;
            }
        }
        storage.flush()
    }

    /// Writes the blocks that `group` overlaps as after the first `written` groups.
    fn write_blocks(&self, storage: &dyn Storage, group: usize, written: usize) -> Result<()> {
        for &index in &self.touched[group] {
            storage.write_at(self.blocks[index].offset, &self.block(index, written))?;
        }
        Ok(())
    }
}

/// Returns the ranges past the old end whose bytes after the change are known.
fn known_space(change: &Change) -> Vec<Range<u64>> {
    let mut free = change.len_before;
    let mut known: Vec<Range<u64>> = Vec::new();
    for run in &change.appended {
        known.push(free..run.offset);
        free = run.end();
    }
    known.push(free..change.len_after);
    known
}

fn too_long() -> Error {
    super::record::damaged("the file does not fit in memory")
}

impl Record {
    pub(crate) fn versions(&self) -> Versions<'_> {
        Versions::new(&self.change, &self.blocks)
    }

    /// Returns the progress of the change in `storage`.
    ///
    /// An interruption leaves all groups before some group written, none after it, and any bytes in the blocks that the
    /// group overlaps. Any other state is foreign. If the hash of the whole file is known, the rest must match too.
    pub(crate) fn state(&self, storage: &dyn Storage) -> Result<State> {
        self.reached(storage).map(|(state, _)| state)
    }

    /// Returns the progress, and the number of groups that may have been begun; the largest possible one.
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
        // The length changes before the first group, and back after its restoration; restored bytes may be written
        // again to make them durable.
        let groups = if len == len_after { versions.groups } else { versions.groups.min(1) };
        let interrupted = versions.interrupted_in(&there);
        if let Some(last) = interrupted[..groups].iter().rposition(|is| *is) {
            return Ok((State::Partly, last + 1));
        }
        Ok(if versions.is_at(&there, 0) { (State::Partly, 0) } else { (State::Foreign, 0) })
    }

    /// Makes sure that a file `target` that is completely old or completely new is durable.
    pub(crate) fn make_durable<H: Host>(&self, locked: &Locked<'_, H>, target: &Path, state: State) -> Result<()> {
        let storage = locked.storage_at(target, &self.files_of(target)?)?;
        match state {
            State::Untouched => self.versions().roll_back(&*storage, 1)?,
            State::Written => self.versions().write_last_again(&*storage)?,
            State::Partly | State::Foreign => {}
        }
        locked.host.sync_folder(folder_of(target))
    }

    /// Compares the length and the saved blocks with `storage`, and the blocks with the patches.
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

    /// Returns the file with a byte of the address space, and the offset in it.
    fn file_at(&self, offset: u64) -> (PathBuf, u64) {
        let starts = starts(&self.files).unwrap_or_default();
        let found = starts.iter().zip(&self.files).rev().find(|(start, _)| **start <= offset);
        let folder = self.target.parent().unwrap_or(Path::new(""));
        // Names in the record are relative to the target's folder, or absolute.
        found.map_or((self.target.clone(), offset), |(start, file)| (absolute(folder, &file.path), offset - start))
    }

    /// Returns the offsets in the file at `path` where the change overwrote other bytes, one for each sector, given the
    /// image at `target`.
    pub(crate) fn changed_in(&self, target: &Path, path: &Path) -> Result<Vec<u64>> {
        const SECTOR: usize = 512;
        let files = self.files_of(target)?;
        let starts = starts(&files)?;
        let mut found = Vec::new();
        // Bytes past the old end, and unchanged bytes, belonged to nothing else.
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

    /// Returns whether the storage has the bytes of the change and has only grown since.
    pub(crate) fn has_only_grown(&self, storage: &dyn Storage) -> Result<bool> {
        let versions = self.versions();
        Ok(storage.len()? > self.change.len_after
            && versions.is_at(&versions.read(storage)?, versions.groups)
            && self.has_new_space(storage)?)
    }

    /// Returns the one of several files that is neither old nor new, if it can be determined.
    pub(crate) fn foreign_file(&self, storage: &dyn Storage) -> Option<PathBuf> {
        let versions = self.versions();
        let there = versions.read(storage).ok()?;
        let is_foreign = |i: &usize| versions.fitting(*i, &there[*i]).is_empty();
        let index = (0..self.blocks.len()).find(is_foreign)?;
        Some(self.file_at(self.blocks[index].offset).0)
    }

    /// Returns whether the bytes past the old end are those of the patches.
    fn has_new_space(&self, storage: &dyn Storage) -> Result<bool> {
        for run in known_space(&self.change).into_iter().filter(|run| !run.is_empty()) {
            // Not longer than the patches that write it.
            let mut wanted = vec![0; usize::try_from(run.end - run.start).map_err(|_| too_long())?];
            let mut there = wanted.clone();
            storage.read_at(run.start, &mut there)?;
            self.change.patches.iter().for_each(|patch| lay_over(&mut wanted, run.start, patch.offset, &patch.new));
            if there != wanted {
                return Ok(false);
            }
        }
        for run in &self.change.appended {
            if !run.is_in(storage)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns all bytes of `storage`. Only for files with a hash of the whole, which are read into memory anyway.
    pub(crate) fn whole(&self, storage: &dyn Storage) -> Result<Vec<u8>> {
        let len = storage.len()?.min(self.change.len_after);
        let len = usize::try_from(len).map_err(|_| too_long())?;
        let mut bytes = vec![0; len];
        storage.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Returns the old bytes of the file, computed from its present ones.
    pub(crate) fn old_image<'a>(&'a self, there: &'a [u8]) -> Overlaid<'a> {
        let old = self.blocks.iter().map(|b| (b.offset, &b.old[..])).collect();
        Overlaid::new(there, self.change.len_before, old)
    }
}

#[cfg(test)]
mod tests;
