//! A range of another storage as a storage: a partition of a disk, a volume in a file.

use std::ops::Deref;

use super::Storage;
use crate::span::end_within;
use hivewright_error::{Code, Error, Kind, Place, Result, Space};

/// A window of `len` bytes from `start` on. Bytes outside are never read or written.
///
/// `S` is any pointer to a storage: `&dyn Storage`, `Arc<dyn Storage>`, `Box<dyn Storage>`.
#[derive(Clone, Debug)]
pub struct Window<S> {
    below: S,
    start: u64,
    len: u64,
    space: Space,
}

impl<S: Deref<Target: Storage>> Window<S> {
    /// Makes a window of `len` bytes from `start`. `space` names its addresses in [`Storage::locate`].
    ///
    /// # Errors
    /// `window-past-end`: the storage below ends before the window does.
    pub fn new(below: S, start: u64, len: u64, space: Space) -> Result<Self> {
        let below_len = below.len()?;
        match start.checked_add(len) {
            Some(end) if end <= below_len => Ok(Window { below, start, len, space }),
            _ => Err(Error::new(Kind::Corrupt, Code::WindowPastEnd, "the storage ends before this part of it")
                .expected(format_args!("{len} bytes from {start:#x}"), format_args!("{below_len} bytes in all"))
                .advise("the image is truncated, or a segment of it is missing: look for a complete copy")),
        }
    }

    /// Returns the start of the window in the storage below, in bytes.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Returns the offset in the storage below, if `len` bytes at `offset` lie inside.
    fn below(&self, offset: u64, len: usize) -> Result<u64> {
        end_within("this part of the storage", self.len, offset, len).map_err(|error| error.at(self.space, offset))?;
        // `start + self.len` does not overflow (see `new`), so neither does a smaller sum.
        Ok(self.start + offset)
    }
}

impl<S: Deref<Target: Storage> + Send + Sync> Storage for Window<S> {
    fn len(&self) -> Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.below.read_at(self.below(offset, buf.len())?, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.below.write_at(self.below(offset, bytes.len())?, bytes)
    }

    fn flush(&self) -> Result<()> {
        self.below.flush()
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        let mut places = vec![Place { space: self.space, offset }];
        if offset < self.len {
            places.extend(self.below.locate(self.start + offset));
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    #[test]
    fn never_leaves_its_range() {
        let below = Memory::new((0..100).collect());
        let window = Window::new(&below, 10, 20, Space::Volume).unwrap();
        let mut buf = [0; 20];
        window.read_at(0, &mut buf).unwrap();
        assert_eq!((buf[0], buf[19]), (10, 29));
        for (offset, len) in [(1, 20), (20, 1), (u64::MAX, 2), (u64::MAX - 9, 20)] {
            let mut buf = vec![0; len];
            assert_eq!(window.read_at(offset, &mut buf).unwrap_err().code(), "past-end", "{offset}");
            assert_eq!(window.write_at(offset, &buf).unwrap_err().code(), "past-end", "{offset}");
        }
        window.write_at(19, &[0xee]).unwrap();
        window.flush().unwrap();
        let expected: Vec<u8> = (0..100).map(|b| if b == 29 { 0xee } else { b }).collect();
        assert_eq!(below.into_bytes(), expected);
    }

    #[test]
    fn refuses_what_the_storage_below_has_not() {
        let below = Memory::new(vec![0; 100]);
        assert!(Window::new(&below, 100, 0, Space::Disk).is_ok());
        for (start, len) in [(81, 20), (101, 0), (u64::MAX, 2), (1, u64::MAX)] {
            assert_eq!(Window::new(&below, start, len, Space::Disk).unwrap_err().code(), "window-past-end");
        }
    }

    #[test]
    fn names_every_address_on_the_way_down() {
        let below: Box<dyn Storage> = Box::new(Memory::new(vec![0; 100]));
        let disk = Window::new(below, 8, 90, Space::Disk).unwrap();
        let volume = Window::new(&disk, 16, 64, Space::Volume).unwrap();
        let (inner, outer) = (Place { space: Space::Volume, offset: 5 }, Place { space: Space::Disk, offset: 21 });
        assert_eq!(volume.locate(5), [inner, outer]);
        assert_eq!(volume.locate(64).len(), 1, "past its end it speaks only for itself");
    }
}
