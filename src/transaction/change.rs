//! A checked set of patches in the order in which they are written.

use std::ops::Range;

use super::appended::Appended;
use super::record::BLOCK;
use hivewright_error::{Code, Error, Result};
use hivewright_hive::{Patch, PatchSet, Step};

/// The patches, and the length before and after. Phases are written one after the other. Within a phase, patches are
/// sorted by step and do not overlap; those of a later phase may overlap earlier ones. All lie within the new length,
/// and together they cover every byte by which the file grows. Each `old` is as long as its `new`, cut at the old end
/// of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) len_before: u64,
    pub(crate) len_after: u64,
    pub(crate) patches: Vec<Patch>,
    /// Index in `patches` of the second phase, and of each later one.
    pub(crate) later: Vec<usize>,
    /// Further appended runs, by offset, in a change from an undo file. Their bytes are unknown.
    pub(crate) appended: Vec<Appended>,
}

impl Change {
    /// Makes a change of the patches of an edit and the new bytes of the whole file.
    pub(crate) fn new(set: &PatchSet, image: &[u8]) -> Result<Self> {
        let mut patches = set.patches.clone();
        let inside = |p: &Patch| at(image, p.offset, p.new.len()) == Some(&p.new[..]);
        if image.len() as u64 != set.new_len || !patches.iter().all(inside) {
            return Err(broken("the edited image differs from its patches"));
        }
        patches.retain(|p| !p.new.is_empty());
        let gaps = uncovered(&patches, &[], set.old_len, set.new_len);
        patches.extend(gaps.into_iter().filter_map(|gap| {
            let new = at(image, gap.start, usize::try_from(gap.end - gap.start).ok()?)?.to_vec();
            Some(Patch { offset: gap.start, old: Vec::new(), new, what: "new space".into(), step: Step::Prepare })
        }));
        Self::checked(set.old_len, set.new_len, vec![patches]).map_err(broken)
    }

    /// Makes a change of unchecked parts. The error names the violated rule.
    pub(crate) fn checked(
        len_before: u64,
        len_after: u64,
        phases: Vec<Vec<Patch>>,
    ) -> std::result::Result<Self, &'static str> {
        Self::with_appended(len_before, len_after, phases, Vec::new())
    }

    /// As [`Change::checked`], with appended runs whose bytes are unknown.
    pub(crate) fn with_appended(
        len_before: u64,
        len_after: u64,
        phases: Vec<Vec<Patch>>,
        appended: Vec<Appended>,
    ) -> std::result::Result<Self, &'static str> {
        if len_after < len_before {
            return Err("the file would shrink");
        }
        let mut change = Change { len_before, len_after, patches: Vec::new(), later: Vec::new(), appended };
        for phase in phases.into_iter().filter(|phase| !phase.is_empty()) {
            if !change.patches.is_empty() {
                change.later.push(change.patches.len());
            }
            change.patches.extend(Self::checked_phase(len_before, len_after, phase)?);
        }
        change.check_appended()?;
        if !change.covers(len_before, len_after) {
            return Err("the file grows by bytes that are in no patch");
        }
        Ok(change)
    }

    /// Checks that the appended runs are behind the block of the old end, and that no patch overlaps them.
    fn check_appended(&self) -> std::result::Result<(), &'static str> {
        let mut free = self.len_before.next_multiple_of(BLOCK);
        for run in &self.appended {
            if run.len == 0
                || run.offset < free
                || run.offset.checked_add(run.len).is_none_or(|end| end > self.len_after)
            {
                return Err("appended bytes exceed the new space");
            }
            free = run.end();
        }
        let overlaps = |patch: &Patch| {
            let next = self.appended.partition_point(|run| run.end() <= patch.offset);
            self.appended.get(next).is_some_and(|run| run.offset < patch.offset + patch.new.len() as u64)
        };
        if self.patches.iter().any(overlaps) { Err("patches overlap") } else { Ok(()) }
    }

    fn checked_phase(
        len_before: u64,
        len_after: u64,
        mut patches: Vec<Patch>,
    ) -> std::result::Result<Vec<Patch>, &'static str> {
        for patch in &patches {
            let end = patch.offset.checked_add(patch.new.len() as u64).ok_or("the end of a patch exceeds 2^64")?;
            if patch.new.is_empty() || end > len_after {
                return Err("a patch exceeds the file");
            }
            if patch.old.len() as u64 != end.min(len_before).saturating_sub(patch.offset) {
                return Err("the old and the new bytes of a patch differ in length");
            }
        }
        patches.sort_by_key(|p| p.offset);
        let overlap = |p: &[Patch]| p[0].offset + p[0].new.len() as u64 > p[1].offset;
        if patches.windows(2).any(overlap) {
            return Err("patches overlap");
        }
        patches.sort_by_key(|p| p.step);
        Ok(patches)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.patches.is_empty() && self.len_before == self.len_after
    }

    pub(crate) fn grows(&self) -> bool {
        self.len_after > self.len_before
    }

    /// Returns whether patches write every byte of `from..to`.
    pub(crate) fn covers(&self, from: u64, to: u64) -> bool {
        uncovered(&self.patches, &self.appended, from, to).is_empty()
    }

    /// Returns the range of patches of each phase.
    pub(crate) fn phases(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.later.iter().copied());
        let ends = self.later.iter().copied().chain(std::iter::once(self.patches.len()));
        starts.zip(ends).map(|(start, end)| start..end)
    }

    /// Returns the ranges of patches that are written together, in order.
    pub(crate) fn groups(&self) -> Vec<Range<usize>> {
        let mut groups = Vec::new();
        for phase in self.phases() {
            let mut start = phase.start;
            for group in self.patches[phase].chunk_by(|a, b| a.step == b.step) {
                groups.push(start..start + group.len());
                start += group.len();
            }
        }
        groups
    }
}

pub(crate) fn broken(what: &str) -> Error {
    Error::refused(Code::PatchSet, what).advise("this is a bug: please report it")
}

fn at(image: &[u8], offset: u64, len: usize) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    image.get(start..start.checked_add(len)?)
}

/// Returns the parts of `from..to` that no patch and no run writes. Empty for overlapping patches, which are refused
/// elsewhere.
fn uncovered(patches: &[Patch], appended: &[Appended], from: u64, to: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = patches
        .iter()
        .map(|p| p.offset..p.offset.saturating_add(p.new.len() as u64))
        .chain(appended.iter().map(|run| run.offset..run.end()))
        .filter(|r| r.end > from)
        .collect();
    runs.sort_by_key(|r| r.start);
    let mut gaps = Vec::new();
    let mut next = from;
    for run in runs.into_iter().chain(std::iter::once(to..to)) {
        if run.start > next {
            gaps.push(next..run.start.min(to));
        }
        next = next.max(run.end);
    }
    gaps.retain(|gap| gap.start < gap.end);
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(offset: u64, old: &[u8], new: &[u8], step: Step) -> Patch {
        Patch { offset, old: old.to_vec(), new: new.to_vec(), what: "".into(), step }
    }

    #[test]
    fn growth_is_covered_and_steps_are_sorted() {
        let set = PatchSet {
            old_len: 4,
            new_len: 10,
            patches: vec![patch(1, b"b", b"B", Step::Link), patch(3, b"d", b"DE", Step::Base)],
        };
        let change = Change::new(&set, b"aBcDE\0\0\0\0\0").unwrap();
        assert_eq!(change.patches[0], patch(5, b"", b"\0\0\0\0\0", Step::Prepare).called("new space"));
        assert_eq!(change.groups(), [0..1, 1..2, 2..3]);
        assert_eq!(change.patches[2].step, Step::Link);
    }

    #[test]
    fn broken_sets_are_refused() {
        let refused = |len_after, patches: Vec<Patch>| Change::checked(4, len_after, vec![patches]).unwrap_err();
        assert_eq!(refused(3, vec![]), "the file would shrink");
        assert_eq!(refused(5, vec![]), "the file grows by bytes that are in no patch");
        assert_eq!(refused(4, vec![patch(3, b"a", b"ab", Step::Link)]), "a patch exceeds the file");
        assert_eq!(refused(4, vec![patch(u64::MAX, b"", b"ab", Step::Link)]), "the end of a patch exceeds 2^64");
        let short = vec![patch(1, b"a", b"ab", Step::Link)];
        assert_eq!(refused(4, short), "the old and the new bytes of a patch differ in length");
        let overlapping = vec![patch(1, b"ab", b"ab", Step::Link), patch(2, b"b", b"b", Step::Base)];
        assert_eq!(refused(4, overlapping), "patches overlap");
        let set = PatchSet { old_len: 4, new_len: 4, patches: vec![patch(0, b"a", b"b", Step::Link)] };
        assert_eq!(Change::new(&set, b"aaaa").unwrap_err().code(), "patch-set");
    }

    #[test]
    fn a_later_phase_may_go_over_an_earlier_one() {
        let (first, then) = (patch(1, b"bc", b"BC", Step::Finish), patch(2, b"C", b"x", Step::Link));
        let change = Change::checked(4, 4, vec![vec![first.clone()], vec![], vec![then.clone()]]).unwrap();
        assert_eq!((change.groups(), &change.later[..]), (vec![0..1, 1..2], &[1][..]));
        assert_eq!(Change::checked(4, 4, vec![vec![first, then]]).unwrap_err(), "patches overlap");
    }

    trait Called {
        fn called(self, what: &'static str) -> Self;
    }
    impl Called for Patch {
        fn called(mut self, what: &'static str) -> Self {
            self.what = what.into();
            self
        }
    }
}
