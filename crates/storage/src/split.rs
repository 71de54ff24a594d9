//! Split raw images: `disk.001`, `disk.002` ... or `disk.aa`, `disk.ab` ... as one storage.
//!
//! The names are a convention: FTK Imager counts `.001` to `.999` and continues with `.1000`, `dcfldd` and `ewfexport`
//! count from `.000` or `.001`, `split` counts in letters. All segments but the last have one size.

mod names;

pub use names::{firsts, order};

use std::ops::Deref;

use super::Storage;
use crate::dirty_flag::{self, DirtyFlag};
use crate::span::end_within;
use hivewright_error::{Code, Error, Kind, Place, Result, Space};

/// Segments, concatenated to one disk.
#[derive(Debug)]
pub struct Split<S> {
    segments: Vec<Segment<S>>,
    segment_len: u64,
    len: u64,
}

#[derive(Debug)]
struct Segment<S> {
    name: String,
    storage: S,
    dirty: DirtyFlag,
}

impl<S: Deref<Target: Storage>> Split<S> {
    /// Joins `segments` in their order, each with a name for messages. See [`order`] for the order.
    ///
    /// # Errors
    /// `split-empty`: there is no segment, or one has no bytes. `split-uneven`: a segment before the last differs in
    /// size from the first, or the last is larger.
    pub fn new(segments: Vec<(String, S)>) -> Result<Self> {
        let Some((_, first)) = segments.first() else {
            return Err(Error::new(Kind::NotFound, Code::SplitEmpty, "a split image without segments"));
        };
        let (segment_len, last) = (first.len()?, segments.len() - 1);
        let mut len: u64 = 0;
        for (i, (name, storage)) in segments.iter().enumerate() {
            let this = storage.len()?;
            if this == 0 {
                return Err(Error::new(Kind::Corrupt, Code::SplitEmpty, format!("segment {name} is empty")));
            }
            if this > segment_len || (i < last && this < segment_len) {
                return Err(Error::new(
                    Kind::Corrupt,
                    Code::SplitUneven,
                    format!("segment {name} has a different size"),
                )
                .expected(format_args!("{segment_len} bytes, as {}", segments[0].0), this)
                .advise("the segment is truncated, or belongs to another image"));
            }
            len = len.checked_add(this).ok_or_else(too_large)?;
        }
        let segment = |(name, storage)| Segment { name, storage, dirty: DirtyFlag::default() };
        let segments = segments.into_iter().map(segment).collect();
        Ok(Split { segments, segment_len, len })
    }

    /// Returns the name of the segment that holds the byte at `offset`, and the offset in it.
    pub fn segment(&self, offset: u64) -> Option<(&str, u64)> {
        let (index, within) = self.find(offset)?;
        Some((&self.segments[index].name, within))
    }

    fn find(&self, offset: u64) -> Option<(usize, u64)> {
        // `new` refuses empty segments, so `segment_len` is not zero.
        let index = usize::try_from(offset / self.segment_len).ok()?;
        (offset < self.len).then_some((index, offset % self.segment_len))
    }

    /// Calls `each` with every segment that overlaps `offset .. offset + len`, the offset in that segment, and the
    /// range in the caller's buffer.
    fn pieces(
        &self,
        offset: u64,
        len: usize,
        mut each: impl FnMut(&Segment<S>, u64, std::ops::Range<usize>) -> Result<()>,
    ) -> Result<()> {
        end_within("the split image", self.len, offset, len).map_err(|error| error.at(Space::Disk, offset))?;
        let mut done = 0;
        while done < len {
            let Some((index, within)) = self.find(offset + done as u64) else { break };
            let room = usize::try_from(self.segment_len - within).unwrap_or(usize::MAX);
            let end = done + room.min(len - done);
            each(&self.segments[index], within, done..end)?;
            done = end;
        }
        Ok(())
    }
}

impl<S: Deref<Target: Storage> + Send + Sync> Storage for Split<S> {
    fn len(&self) -> Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.pieces(offset, buf.len(), |segment, within, piece| segment.storage.read_at(within, &mut buf[piece]))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.pieces(offset, bytes.len(), |segment, within, piece| {
            segment.dirty.set();
            segment.storage.write_at(within, &bytes[piece])
        })
    }

    fn flush(&self) -> Result<()> {
        dirty_flag::flush(self.segments.iter().map(|segment| (&segment.dirty, &*segment.storage)))
    }

    /// Returns the address in the whole image as a place of the disk, then the places of the segment.
    fn locate(&self, offset: u64) -> Vec<Place> {
        let mut places = vec![Place { space: Space::Disk, offset }];
        if let Some((index, within)) = self.find(offset) {
            places.extend(self.segments[index].storage.locate(within));
        }
        places
    }
}

fn too_large() -> Error {
    Error::new(Kind::Unsupported, Code::SplitSize, "the segments together exceed 2^64 bytes")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::memory::Memory;
    use super::*;

    fn split(sizes: &[usize]) -> Result<Split<Box<Memory>>> {
        let memory = |i: usize, n: usize| Box::new(Memory::new((0..n).map(|b| (i * 10 + b) as u8).collect()));
        Split::new(sizes.iter().enumerate().map(|(i, &n)| (format!("x.{:03}", i + 1), memory(i, n))).collect())
    }

    #[test]
    fn reads_and_writes_across_segments() {
        let split = split(&[10, 10, 10, 3]).unwrap();
        assert_eq!(split.len().unwrap(), 33);
        for (start, len) in [(0, 33), (9, 2), (5, 20), (30, 3), (33, 0), (9, 1)] {
            let mut buf = vec![0; len];
            split.read_at(start as u64, &mut buf).unwrap();
            assert_eq!(buf, (start..start + len).map(|b| b as u8).collect::<Vec<_>>(), "{start} {len}");
        }
        assert_eq!(split.read_at(33, &mut [0]).unwrap_err().code(), "past-end");
        assert_eq!(split.write_at(32, &[0, 0]).unwrap_err().code(), "past-end");
        assert_eq!(split.read_at(u64::MAX, &mut [0, 0]).unwrap_err().code(), "past-end");
        split.write_at(8, &[0xaa; 14]).unwrap();
        let mut all = vec![0; 33];
        split.read_at(0, &mut all).unwrap();
        let expected: Vec<u8> = (0..33).map(|b| if (8..22).contains(&b) { 0xaa } else { b }).collect();
        assert_eq!(all, expected);
        assert_eq!(split.segment(29), Some(("x.003", 9)));
        assert_eq!(split.locate(12), [Place { space: Space::Disk, offset: 12 }]);
    }

    #[test]
    fn names_the_segment_of_the_wrong_size() {
        for (sizes, segment) in [(&[10, 9, 10][..], "x.002"), (&[10, 10, 11], "x.003"), (&[10, 12, 10], "x.002")] {
            let error = split(sizes).unwrap_err();
            assert_eq!(error.code(), "split-uneven");
            assert!(error.what().contains(segment), "{error}");
        }
        assert_eq!(split(&[10, 0]).unwrap_err().code(), "split-empty");
        assert_eq!(split(&[]).unwrap_err().code(), "split-empty");
    }

    /// A storage that counts flushes, and fails them on request.
    struct Flushes(Memory, AtomicBool, std::sync::atomic::AtomicU32);

    impl Storage for Flushes {
        fn len(&self) -> Result<u64> {
            self.0.len()
        }
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            self.0.read_at(offset, buf)
        }
        fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
            self.0.write_at(offset, bytes)
        }
        fn flush(&self) -> Result<()> {
            self.2.fetch_add(1, Ordering::SeqCst);
            match self.1.load(Ordering::SeqCst) {
                true => Err(Error::new(Kind::Io, Code::Io, "flush")),
                false => Ok(()),
            }
        }
        fn locate(&self, _: u64) -> Vec<Place> {
            Vec::new()
        }
    }

    #[test]
    fn flushes_what_was_touched_and_again_after_a_failure() {
        let below: Vec<Flushes> = (0..4).map(|_| Flushes(Memory::new(vec![0; 10]), false.into(), 0.into())).collect();
        let split = Split::new(below.iter().map(|s| (String::new(), s)).collect()).unwrap();
        let counts = || below.iter().map(|s| s.2.load(Ordering::SeqCst)).collect::<Vec<_>>();
        split.flush().unwrap();
        assert_eq!(counts(), [0, 0, 0, 0]);
        split.write_at(15, &[1; 10]).unwrap();
        below[1].1.store(true, Ordering::SeqCst);
        assert!(split.flush().is_err());
        assert_eq!(counts(), [0, 1, 1, 0], "the failure of one does not spare the next");
        below[1].1.store(false, Ordering::SeqCst);
        split.flush().unwrap();
        assert_eq!(counts(), [0, 2, 1, 0], "what failed is flushed again");
    }
}
