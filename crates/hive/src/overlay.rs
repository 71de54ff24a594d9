//! A hive file with some of its bytes replaced, in memory, without a copy of the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::HiveBytes;
use hivewright_error::{Code, Error, Result};

/// The bytes of `base` with some ranges replaced. Bytes past the end of `base` that are not replaced are zero.
#[derive(Clone, Debug)]
pub struct Overlay<'l, B> {
    base: B,
    /// The replaced ranges by file offset, disjoint and not empty.
    ranges: BTreeMap<u64, Cow<'l, [u8]>>,
    len: u64,
}

impl<'l, B: HiveBytes> Overlay<'l, B> {
    /// Creates an overlay without replaced ranges. Zeros follow `base` up to `len`.
    pub fn new(base: B, len: u64) -> Self {
        let len = len.max(base.len());
        Overlay { base, ranges: BTreeMap::new(), len }
    }

    /// Replaces the bytes at `offset` by `data`, including earlier replacements. Bytes past the end are ignored.
    pub fn put(&mut self, offset: u64, data: impl Into<Cow<'l, [u8]>>) {
        let room = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut data = data.into();
        if data.len() > room {
            data = part(&data, 0, room);
        }
        if data.is_empty() {
            return;
        }
        let end = offset + data.len() as u64;
        // Every range is removed at most once and leaves at most two parts, so the total time is linear.
        while let Some((&at, _)) = self.ranges.range(..end).next_back() {
            let Some(old) = self.ranges.get(&at) else { break };
            let old_end = at + old.len() as u64;
            if old_end <= offset {
                break;
            }
            let Some(old) = self.ranges.remove(&at) else { break };
            if old_end > end {
                // Both differences are below the length of a slice.
                self.ranges.insert(end, part(&old, index(end - at), old.len()));
            }
            if at < offset {
                self.ranges.insert(at, part(&old, 0, index(offset - at)));
            }
        }
        self.ranges.insert(offset, data);
    }

    /// Returns the base bytes.
    pub fn base(&self) -> &B {
        &self.base
    }

    /// Returns the base bytes.
    pub fn into_base(self) -> B {
        self.base
    }

    /// Returns the replaced ranges, by ascending file offset.
    pub fn replaced(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.ranges.iter().map(|(&at, data)| (at, data.as_ref()))
    }

    /// Returns the offset of the first byte that neither `base` nor a range has.
    pub fn first_hole(&self) -> Option<u64> {
        let mut filled = self.base.len();
        for (at, data) in self.replaced() {
            if at > filled {
                break;
            }
            filled = filled.max(at + data.len() as u64);
        }
        (filled < self.len).then_some(filled)
    }

    /// Copies the whole file.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let len = usize::try_from(self.len).map_err(|_| past_end(self.len))?;
        self.assemble(0, len)
    }

    fn assemble(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let end = offset + len as u64;
        let from_base = index(self.base.len().saturating_sub(offset).min(len as u64));
        let mut out =
            if from_base == 0 { Vec::with_capacity(len) } else { self.base.read(offset, from_base)?.into_owned() };
        out.resize(len, 0);
        let first = self.ranges.range(..offset).next_back().map_or(offset, |(&at, _)| at);
        for (&at, data) in self.ranges.range(first..end) {
            let data_end = at + data.len() as u64;
            let (from, to) = (at.max(offset), data_end.min(end));
            if from < to {
                out[index(from - offset)..index(to - offset)].copy_from_slice(&data[index(from - at)..index(to - at)]);
            }
        }
        Ok(out)
    }
}

impl<B: HiveBytes> HiveBytes for Overlay<'_, B> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        let end = offset.checked_add(len as u64).filter(|&end| end <= self.len).ok_or_else(|| past_end(offset))?;
        match self.ranges.range(..end.max(1)).next_back() {
            Some((&at, data)) if at + data.len() as u64 > offset => {
                if at <= offset && at + data.len() as u64 >= end {
                    let start = index(offset - at);
                    return Ok(Cow::Borrowed(&data[start..start + len]));
                }
                self.assemble(offset, len).map(Cow::Owned)
            }
            _ if end <= self.base.len() => self.base.read(offset, len),
            _ => self.assemble(offset, len).map(Cow::Owned),
        }
    }
}

/// Converts a difference of two offsets in one slice, which fits into a usize.
fn index(difference: u64) -> usize {
    usize::try_from(difference).unwrap_or(usize::MAX)
}

fn part<'l>(data: &Cow<'l, [u8]>, start: usize, end: usize) -> Cow<'l, [u8]> {
    match data {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[start..end]),
        Cow::Owned(bytes) => Cow::Owned(bytes[start..end].to_vec()),
    }
}

fn past_end(offset: u64) -> Error {
    Error::corrupt(Code::PastEnd, "the file ends before the requested bytes", offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads_as(overlay: &Overlay<'_, &[u8]>, model: &[u8]) {
        assert_eq!(overlay.to_vec().unwrap(), model);
        for start in 0..=model.len() {
            for end in start..=model.len() {
                assert_eq!(&*overlay.read(start as u64, end - start).unwrap(), &model[start..end], "{start}..{end}");
            }
            assert_eq!(overlay.read(start as u64, model.len() - start + 1).unwrap_err().code(), "past-end");
        }
    }

    #[test]
    fn later_ranges_replace_earlier_ones() {
        let base = [0u8; 24];
        let mut model = vec![0u8; 32];
        let mut overlay = Overlay::new(&base[..], 32);
        let mut seed = 7u64;
        for round in 1..=60u8 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (at, len) = ((seed >> 33) as usize % 32, (seed >> 45) as usize % 12);
            let end = (at + len).min(32);
            model[at..end].fill(round);
            overlay.put(at as u64, vec![round; len]);
            reads_as(&overlay, &model);
        }
    }

    #[test]
    fn single_sources_are_borrowed() {
        let base = [1u8; 16];
        let over = [2u8; 4];
        let mut overlay = Overlay::new(&base[..], 16);
        overlay.put(8, &over[..]);
        assert!(matches!(overlay.read(0, 8).unwrap(), Cow::Borrowed(_)));
        assert!(matches!(overlay.read(9, 3).unwrap(), Cow::Borrowed(_)));
        assert!(matches!(overlay.read(6, 4).unwrap(), Cow::Owned(_)));
    }

    #[test]
    fn a_hole_is_reported() {
        let base = [1u8; 8];
        let mut overlay = Overlay::new(&base[..], 16);
        assert_eq!(overlay.first_hole(), Some(8));
        overlay.put(12, &[1u8; 4][..]);
        assert_eq!(overlay.first_hole(), Some(8));
        overlay.put(6, &[1u8; 5][..]);
        assert_eq!(overlay.first_hole(), Some(11));
        overlay.put(11, &[1u8; 1][..]);
        assert_eq!(overlay.first_hole(), None);
        assert_eq!(Overlay::new(&base[..], 4).len(), 8, "a file is never cut");
    }
}
