//! The changes of an edit: disjoint runs of bytes, with their old contents.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::{Patch, PatchSet, Step};

#[derive(Debug)]
struct Run {
    old: Vec<u8>,
    what: Cow<'static, str>,
    step: Step,
}

impl Run {
    /// Returns the end of the run that begins at `start`.
    fn end(&self, start: u64) -> u64 {
        start + self.old.len() as u64
    }
}

/// Runs by file offset. The new bytes lie in the image itself.
#[derive(Debug, Default)]
pub(super) struct Journal {
    runs: BTreeMap<u64, Run>,
    /// Length of the file before the edit.
    grown_from: Option<u64>,
}

impl Journal {
    /// Records that the file grew from `old_len` bytes.
    pub(super) fn note_growth(&mut self, old_len: u64) {
        self.grown_from.get_or_insert(old_len);
    }

    /// Creates a journal that continues earlier changes.
    pub(super) fn after(first: &PatchSet) -> Self {
        let run = |patch: &Patch| {
            let mut old = patch.old.clone();
            old.resize(patch.new.len(), 0);
            (patch.offset, Run { old, what: patch.what.clone(), step: patch.step })
        };
        let grown_from = (first.new_len > first.old_len).then_some(first.old_len);
        Journal { runs: first.patches.iter().map(run).collect(), grown_from }
    }

    /// Records that the bytes `current` at `offset` are about to be replaced.
    pub(super) fn note(&mut self, offset: u64, current: &[u8], step: Step, what: impl Into<Cow<'static, str>>) {
        let end = offset + current.len() as u64;
        // Most writes fall into a new bin or into bytes that were written before.
        if let Some((&start, run)) = self.runs.range(..=offset).next_back()
            && run.end(start) >= end
            && later(run.step, step) == run.step
        {
            return;
        }
        let what = what.into();
        self.part(offset, step);
        self.part(end, step);
        let mut at = offset;
        // Runs are disjoint, so at most one that begins before `offset` overlaps the range.
        if let Some((&start, run)) = self.runs.range_mut(..=offset).next_back()
            && run.end(start) > offset
        {
            run.step = later(run.step, step);
            at = run.end(start);
        }
        let within = |(&start, run): (&u64, &mut Run)| {
            run.step = later(run.step, step);
            (start, run.end(start))
        };
        let known: Vec<_> = if at < end { self.runs.range_mut(at..end).map(within).collect() } else { Vec::new() };
        let new = |old| Run { old, what: what.clone(), step };
        for (start, stop) in known {
            self.fill(at..start, offset, current, new);
            at = stop;
        }
        self.fill(at..end, offset, current, new);
    }

    /// Splits the run that includes `at`, if a write in `step` changes the step of one of the two parts.
    fn part(&mut self, at: u64, step: Step) {
        if let Some((&start, run)) = self.runs.range_mut(..at).next_back()
            && run.end(start) > at
            && later(run.step, step) != run.step
        {
            let here = usize::try_from(at - start).unwrap_or(usize::MAX);
            let behind = Run { old: run.old.split_off(here), what: run.what.clone(), step: run.step };
            self.runs.insert(at, behind);
        }
    }

    /// Returns the step in which the byte at `offset` is written, if it was changed.
    pub(super) fn step_at(&self, offset: u64) -> Option<Step> {
        let (&start, run) = self.runs.range(..=offset).next_back()?;
        (offset < run.end(start)).then_some(run.step)
    }

    /// Adds a run for `part` of a write at `offset`.
    fn fill(&mut self, part: Range<u64>, offset: u64, current: &[u8], new: impl Fn(Vec<u8>) -> Run) {
        let index = |place: u64| usize::try_from(place.saturating_sub(offset)).unwrap_or(usize::MAX);
        if let Some(old) = current.get(index(part.start)..index(part.end)).filter(|old| !old.is_empty()) {
            self.runs.insert(part.start, new(old.to_vec()));
        }
    }

    /// Returns whether no byte has changed.
    pub(super) fn changes_nothing(&self, image: &[u8]) -> bool {
        self.runs.iter().all(|(&offset, run)| bytes_at(image, offset, run.old.len()) == run.old)
    }

    /// Returns the patches in the order of writing. They contain only the bytes that differ.
    pub(super) fn into_patches(self, image: &[u8]) -> Vec<Patch> {
        let mut patches = Vec::with_capacity(self.runs.len());
        for (offset, run) in self.runs {
            let new = bytes_at(image, offset, run.old.len());
            let exists =
                usize::try_from(self.grown_from.unwrap_or(u64::MAX).saturating_sub(offset)).unwrap_or(usize::MAX);
            let old = &run.old[..run.old.len().min(exists)];
            for part in differences(old, new) {
                patches.push(Patch {
                    offset: offset + part.start as u64,
                    old: old[part.start..part.end.min(old.len())].to_vec(),
                    new: new[part.clone()].to_vec(),
                    what: run.what.clone(),
                    step: run.step,
                });
            }
        }
        patches.sort_by_key(|patch| (patch.step, patch.offset));
        patches
    }
}

/// Returns the parts of `new` that differ from `old`; differences with fewer than eight equal bytes between them
/// are one part. Bytes past the end of `old` differ.
fn differences(old: &[u8], new: &[u8]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for at in (0..new.len()).filter(|&at| old.get(at) != Some(&new[at])) {
        match parts.last_mut() {
            Some(part) if at - part.end < 8 => part.end = at + 1,
            _ => parts.push(at..at + 1),
        }
    }
    parts
}

/// Returns the step of bytes that are written twice in one edit. Bytes that were unreferenced before remain in the
/// first step.
fn later(first: Step, second: Step) -> Step {
    if first == Step::Prepare { first } else { first.max(second) }
}

fn bytes_at(image: &[u8], offset: u64, len: usize) -> &[u8] {
    usize::try_from(offset).ok().and_then(|start| image.get(start..start.checked_add(len)?)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(image: &mut [u8], journal: &mut Journal, offset: usize, new: &[u8], step: Step) {
        journal.note(offset as u64, &image[offset..offset + new.len()], step, "x");
        image[offset..offset + new.len()].copy_from_slice(new);
    }

    #[test]
    fn overlapping_writes_become_disjoint_patches_with_the_first_old_bytes() {
        let before = *b"0123456789";
        let (mut image, mut journal) = (before, Journal::default());
        apply(&mut image, &mut journal, 2, b"ab", Step::Link);
        apply(&mut image, &mut journal, 6, b"cd", Step::Link);
        apply(&mut image, &mut journal, 1, b"ABCDEFGH", Step::Finish);
        apply(&mut image, &mut journal, 3, b"3", Step::Finish);
        let patches = journal.into_patches(&image);
        let mut undone = image;
        for (i, patch) in patches.iter().enumerate() {
            let at = patch.offset as usize;
            assert_eq!(&image[at..at + patch.new.len()], patch.new);
            undone[at..at + patch.old.len()].copy_from_slice(&patch.old);
            assert!(
                patches[..i].iter().all(|p| p.offset + p.new.len() as u64 <= patch.offset || p.offset > patch.offset)
            );
        }
        assert_eq!(undone, before);
        assert!(patches.iter().all(|p| p.new != b"3"), "an unchanged byte is no patch");
    }

    #[test]
    fn only_the_bytes_that_are_written_again_are_written_later() {
        let (mut image, mut journal) = (*b"0123456789", Journal::default());
        apply(&mut image, &mut journal, 1, b"abcdefgh", Step::Link);
        apply(&mut image, &mut journal, 3, b"CD", Step::Finish);
        apply(&mut image, &mut journal, 4, b"D", Step::Link);
        let steps: Vec<_> = (0..10).map(|at| journal.step_at(at)).collect();
        let (link, finish) = (Some(Step::Link), Some(Step::Finish));
        assert_eq!(steps, [None, link, link, finish, finish, link, link, link, link, None]);
        // Bytes that were unreferenced before remain one run.
        let mut journal = Journal::default();
        apply(&mut image, &mut journal, 1, b"abcdefgh", Step::Prepare);
        apply(&mut image, &mut journal, 3, b"CD", Step::Finish);
        assert_eq!((journal.runs.len(), journal.step_at(3)), (1, Some(Step::Prepare)));
    }

    #[test]
    fn restored_bytes_are_no_change() {
        let (mut image, mut journal) = (*b"0123456789", Journal::default());
        apply(&mut image, &mut journal, 2, b"ab", Step::Link);
        assert!(!journal.changes_nothing(&image));
        apply(&mut image, &mut journal, 2, b"23", Step::Release);
        assert!(journal.changes_nothing(&image));
        assert!(journal.into_patches(&image).is_empty());
    }

    #[test]
    fn growth_has_no_old_bytes() {
        let mut journal = Journal::default();
        journal.note_growth(4);
        let image = *b"0123NEW!";
        journal.note(2, b"zz\0\0\0\0", Step::Prepare, "bin");
        let patches = journal.into_patches(&image);
        assert_eq!(
            (patches[0].offset, patches[0].old.as_slice(), patches[0].new.as_slice()),
            (2, &b"zz"[..], &b"23NEW!"[..])
        );
    }
}
