//! The files of one image, concatenated into a single address space.

use std::ops::Deref;

use super::Storage;
use crate::dirty_flag::{self, DirtyFlag};
use crate::span::end_within;
use hivewright_error::{Code, Error, Kind, Place, Result};

/// Every file begins at a multiple of this, so that a block of one address space is a block of the other. Bytes between
/// the end of a file and the next file read as zeros; writes to them are discarded.
pub const ALIGNMENT: u64 = 4096;

/// Files in one address space. Only the last file can grow, unless others have room: see [`Joined::with_room`].
pub struct Joined<S> {
    parts: Vec<Part<S>>,
}

struct Part<S> {
    start: u64,
    /// Length when it was joined, in bytes. The last file without room is measured anew instead.
    len: u64,
    /// Length that it may grow to, in bytes; `len` if it may not grow, or is the last of several that keep their
    /// lengths.
    room: u64,
    storage: S,
    dirty: DirtyFlag,
}

impl<S> Part<S> {
    fn grows(&self) -> bool {
        self.room > self.len
    }
}

/// The lengths of a file that may grow with others, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Length before the growth.
    pub before: u64,
    /// Length after the growth.
    pub after: u64,
}

/// Returns the first address of each file of these lengths.
///
/// # Errors
/// `image-size`: the addresses would exceed 2^63.
pub fn starts(lens: &[u64]) -> Result<Vec<u64>> {
    let mut next: u64 = 0;
    let mut starts = Vec::new();
    for len in lens {
        starts.push(next);
        let end = next.checked_add(*len).and_then(|end| end.checked_next_multiple_of(ALIGNMENT));
        next = end.filter(|end| *end < 1 << 63).ok_or_else(too_large)?;
    }
    Ok(starts)
}

fn too_large() -> Error {
    Error::new(Kind::Unsupported, Code::ImageSize, "the files of the image together exceed 2^63 bytes")
}

fn fixed() -> Error {
    Error::new(Kind::Unsupported, Code::FixedLength, "only the last file of an image can change its length")
}

impl<S: Deref<Target: Storage>> Joined<S> {
    /// Joins files in this order.
    ///
    /// # Errors
    /// As [`starts`]; I/O errors.
    pub fn new(files: Vec<S>) -> Result<Self> {
        let lens = files.iter().map(|file| file.len()).collect::<Result<Vec<_>>>()?;
        let parts = files.into_iter().zip(starts(&lens)?).zip(lens);
        let part = |((storage, start), len)| Part { start, len, room: len, storage, dirty: DirtyFlag::default() };
        Ok(Joined { parts: parts.map(part).collect() })
    }

    /// Joins files of which several grow together, the last among them. Each has addresses for its length after the
    /// growth; those past its current end read as zeros, and writes to them are discarded.
    ///
    /// The total length tells how far the growth got. It is the length before, or after, if every file has that length;
    /// a value between them if the files differ; and a value past both if a file's length lies outside its two lengths.
    /// [`Storage::set_len`] accepts the total before or after and resizes each file.
    ///
    /// # Errors
    /// As [`starts`]; `fixed-length` if the last file grows by less than two bytes.
    pub fn with_room(files: Vec<(S, Room)>) -> Result<Self> {
        let rooms: Vec<u64> = files.iter().map(|(_, room)| room.after).collect();
        let starts = starts(&rooms)?;
        if files.last().is_none_or(|(_, last)| last.after < last.before.saturating_add(2)) {
            return Err(fixed());
        }
        let part = |((storage, room), start): ((S, Room), u64)| Part {
            start,
            len: room.before,
            room: room.after.max(room.before),
            storage,
            dirty: DirtyFlag::default(),
        };
        Ok(Joined { parts: files.into_iter().zip(starts).map(part).collect() })
    }

    fn last(&self) -> Result<&Part<S>> {
        self.parts.last().ok_or_else(|| Error::new(Kind::NotFound, Code::ImageSize, "an image without files"))
    }

    /// Calls `each` with every part that overlaps `offset .. offset + len`, the offset in the part, and the range in
    /// the caller's buffer. Skips the gaps between files.
    fn pieces(
        &self,
        offset: u64,
        len: usize,
        mut each: impl FnMut(&Part<S>, u64, std::ops::Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let total = self.len_now()?;
        let end = end_within("the last file of the image", total, offset, len)?;
        let last = self.parts.len() - 1;
        for (i, part) in self.parts.iter().enumerate() {
            let part_end = match part.grows() {
                true => part.start + part.storage.len()?.min(part.room),
                false if i == last => total,
                false => part.start + part.len,
            };
            let (from, to) = (offset.max(part.start), end.min(part_end));
            if from < to {
                // Both differences are at most `len`.
                let local = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
                each(part, from - part.start, local(from)..local(to))?;
            }
        }
        Ok(())
    }

    fn len_now(&self) -> Result<u64> {
        let last = self.last()?;
        if !last.grows() {
            return last.start.checked_add(last.storage.len()?).ok_or_else(too_large);
        }
        let (before, after) = (last.start + last.len, last.start + last.room);
        let (mut all_before, mut all_after) = (true, true);
        for part in self.parts.iter().filter(|part| part.grows()) {
            let len = part.storage.len()?;
            if !(part.len..=part.room).contains(&len) {
                return Ok(after + 1);
            }
            all_before &= len == part.len;
            all_after &= len == part.room;
        }
        Ok(match (all_before, all_after) {
            (true, _) => before,
            (_, true) => after,
            _ => before + 1,
        })
    }
}

impl<S: Deref<Target: Storage> + Send + Sync> Storage for Joined<S> {
    fn len(&self) -> Result<u64> {
        self.len_now()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        buf.fill(0);
        self.pieces(offset, buf.len(), |part, within, piece| part.storage.read_at(within, &mut buf[piece]))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.pieces(offset, bytes.len(), |part, within, piece| {
            part.dirty.set();
            part.storage.write_at(within, &bytes[piece])
        })
    }

    fn flush(&self) -> Result<()> {
        dirty_flag::flush(self.parts.iter().map(|part| (&part.dirty, &*part.storage)))
    }

    /// Changes the length of the last file, or of all files with room.
    fn set_len(&self, len: u64) -> Result<()> {
        let last = self.last()?;
        if last.grows() {
            let is_after = len == last.start + last.room;
            if !is_after && len != last.start + last.len {
                return Err(fixed());
            }
            return self.parts.iter().filter(|part| part.grows()).try_for_each(|part| {
                part.dirty.set();
                part.storage.set_len(if is_after { part.room } else { part.len })
            });
        }
        let own = len.checked_sub(last.start).ok_or_else(fixed)?;
        last.dirty.set();
        last.storage.set_len(own)
    }

    /// Returns the places of the file that holds the byte.
    fn locate(&self, offset: u64) -> Vec<Place> {
        let holder = self.parts.iter().rev().find(|part| part.start <= offset);
        holder.map(|part| part.storage.locate(offset - part.start)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::super::recorder::Recorder;
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn files_begin_at_blocks_and_the_last_one_grows() {
        let (first, second) = (Arc::new(Memory::new(vec![1; 5000])), Arc::new(Memory::new(vec![2; 10])));
        let last = Arc::new(Recorder::new(Arc::new(Memory::new(vec![3; 100]))).unwrap());
        let files: Vec<Arc<dyn Storage>> = vec![first.clone(), second.clone(), last.clone()];
        let joined = Joined::new(files).unwrap();
        assert_eq!(joined.len().unwrap(), 8192 + 4096 + 100);
        let mut all = vec![9; 8192 + 4096 + 100];
        joined.read_at(0, &mut all).unwrap();
        assert!(all[..5000].iter().all(|&b| b == 1) && all[5000..8192].iter().all(|&b| b == 0));
        assert!(all[8192..8202].iter().all(|&b| b == 2) && all[8202..12288].iter().all(|&b| b == 0));
        assert!(all[12288..].iter().all(|&b| b == 3));
        joined.write_at(4998, &[7; 4000]).unwrap();
        joined.set_len(12288 + 200).unwrap();
        joined.write_at(12288 + 98, &[8; 102]).unwrap();
        joined.flush().unwrap();
        let mut there = vec![0; 5000];
        first.read_at(0, &mut there).unwrap();
        assert_eq!((there[4997], there[4998], there[4999]), (1, 7, 7));
        second.read_at(0, &mut there[..10]).unwrap();
        assert_eq!(there[..10], [7; 10][..], "up to 8998 all of the second file is covered");
        assert_eq!(last.len().unwrap(), 200);
        assert_eq!(joined.set_len(100).unwrap_err().code(), "fixed-length");
        assert_eq!(joined.write_at(12288 + 199, &[0; 2]).unwrap_err().code(), "past-end");
        assert_eq!(joined.read_at(u64::MAX, &mut [0; 2]).unwrap_err().code(), "past-end");
    }

    /// A file whose length can grow and shrink.
    struct Changing(Mutex<Vec<u8>>);

    impl Storage for Changing {
        fn len(&self) -> Result<u64> {
            Ok(self.0.lock().unwrap().len() as u64)
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            let start = usize::try_from(offset).unwrap();
            buf.copy_from_slice(&self.0.lock().unwrap()[start..start + buf.len()]);
            Ok(())
        }

        fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
            let start = usize::try_from(offset).unwrap();
            self.0.lock().unwrap()[start..start + bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        fn flush(&self) -> Result<()> {
            Ok(())
        }

        fn set_len(&self, len: u64) -> Result<()> {
            self.0.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
            Ok(())
        }

        fn locate(&self, _: u64) -> Vec<Place> {
            Vec::new()
        }
    }

    #[test]
    fn files_with_room_grow_and_shrink_together() {
        let memory = |len: usize, byte| Arc::new(Changing(Mutex::new(vec![byte; len])));
        let (first, fixed, last) = (memory(100, 1), memory(50, 2), memory(4096, 3));
        let room = |before, after| Room { before, after };
        let files: Vec<(Arc<dyn Storage>, Room)> =
            vec![(first.clone(), room(100, 8000)), (fixed.clone(), room(50, 50)), (last.clone(), room(4096, 8192))];
        let joined = Joined::with_room(files).unwrap();
        let (before, after) = (8192 + 4096 + 4096, 8192 + 4096 + 8192);
        assert_eq!(joined.len().unwrap(), before);
        let mut there = vec![9; 300];
        joined.read_at(0, &mut there).unwrap();
        assert!(there[..100].iter().all(|&b| b == 1) && there[100..].iter().all(|&b| b == 0));
        joined.write_at(90, &[7; 20]).unwrap();
        assert_eq!(first.len().unwrap(), 100, "what is past the end of a file is gone");
        joined.set_len(after).unwrap();
        assert_eq!((first.len().unwrap(), fixed.len().unwrap(), last.len().unwrap()), (8000, 50, 8192));
        joined.write_at(90, &[8; 20]).unwrap();
        joined.write_at(after - 1, &[8]).unwrap();
        joined.read_at(100, &mut there[..10]).unwrap();
        assert_eq!((joined.len().unwrap(), &there[..10]), (after, &[8; 10][..]));
        first.set_len(100).unwrap();
        assert!((before + 1..after).contains(&joined.len().unwrap()), "one has shrunk and one has not");
        first.set_len(99).unwrap();
        assert!(joined.len().unwrap() > after);
        joined.set_len(before).unwrap();
        assert_eq!((first.len().unwrap(), last.len().unwrap(), joined.len().unwrap()), (100, 4096, before));
        assert_eq!(joined.set_len(before + 1).unwrap_err().code(), "fixed-length");
    }

    #[test]
    fn sizes_near_the_end_of_the_world_are_refused() {
        assert!(starts(&[u64::MAX, 1]).is_err());
        assert!(starts(&[1 << 62, 1 << 62]).is_err());
        assert_eq!(starts(&[1, 4096, 0, 5]).unwrap(), [0, 4096, 8192, 8192]);
    }
}
