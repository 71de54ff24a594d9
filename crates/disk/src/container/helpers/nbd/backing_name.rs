//! Hides the name of the backing file from QEMU.
//!
//! QEMU uses the name in a header even if it is given another node. So the bits of the header that announce a name read
//! as zero, and a write leaves them unchanged.

use std::sync::Arc;

use super::Driver;
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// An image whose header hides the name of its backing file.
pub(super) struct HeaderWithoutBackingName {
    below: Arc<dyn Storage>,
    at: u64,
    /// The hidden bits, from offset `at` on.
    mask: &'static [u8],
    /// Whether those bytes may be written to, except the hidden bits.
    rewrites: bool,
}

impl HeaderWithoutBackingName {
    pub(super) fn new(below: Arc<dyn Storage>, driver: Driver) -> Self {
        let (at, mask, rewrites): (u64, &[u8], bool) = match driver {
            // QED: the feature bits of a backing file, and of a raw one. The rest of the header is written back as it
            // was read.
            Driver::Qed => (16, &[5], true),
            // QCOW: offset and length of the name. A rewritten header would lack them.
            Driver::Qcow => (8, &[0xff; 12], false),
            Driver::Parallels => (0, &[], true),
        };
        HeaderWithoutBackingName { below, at, mask, rewrites }
    }

    /// Returns the hidden bits in `len` bytes at `offset`: index in those bytes, offset, and mask.
    fn hidden(&self, offset: u64, len: usize) -> impl Iterator<Item = (usize, u64, u8)> {
        let bytes = self.mask.iter().zip(self.at..);
        bytes.filter_map(move |(&mask, at)| {
            let index = usize::try_from(at.checked_sub(offset)?).ok().filter(|&index| index < len)?;
            Some((index, at, mask))
        })
    }
}

impl Storage for HeaderWithoutBackingName {
    fn len(&self) -> Result<u64> {
        self.below.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.below.read_at(offset, buf)?;
        for (index, _, mask) in self.hidden(offset, buf.len()) {
            buf[index] &= !mask;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut hidden = self.hidden(offset, bytes.len()).peekable();
        if hidden.peek().is_none() {
            return self.below.write_at(offset, bytes);
        }
        if !self.rewrites {
            let what = "qemu-nbd would rewrite the header of this image without its backing file";
            return Err(Error::new(Kind::Unsupported, Code::HeaderRewrite, what)
                .at(Space::File, offset)
                .advise(format!("convert a copy of it: {}", advised::TO_RAW)));
        }
        let mut bytes = bytes.to_vec();
        for (index, at, mask) in hidden {
            let mut there = [0];
            self.below.read_at(at, &mut there)?;
            bytes[index] = bytes[index] & !mask | there[0] & mask;
        }
        self.below.write_at(offset, &bytes)
    }

    fn flush(&self) -> Result<()> {
        self.below.flush()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.below.set_len(len)
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        self.below.locate(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_storage::memory::Memory;

    fn bytes(storage: &dyn Storage, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        storage.read_at(offset, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn hides_bits_and_keeps_them() {
        let below = Arc::new(Memory::new(vec![0xff; 64]));
        let qed = HeaderWithoutBackingName::new(below.clone(), Driver::Qed);
        assert_eq!(bytes(&qed, 15, 3), [0xff, 0xfa, 0xff]);
        assert_eq!(bytes(&qed, 17, 3), [0xff; 3]);
        qed.write_at(14, &[0; 4]).unwrap();
        assert_eq!(bytes(&*below, 13, 6), [0xff, 0, 0, 5, 0, 0xff]);
        qed.write_at(0, &[2; 16]).unwrap();
        assert_eq!(bytes(&*below, 15, 2), [2, 5]);
    }

    #[test]
    fn a_header_that_would_lose_the_name_is_not_written() {
        let below = Arc::new(Memory::new(vec![7; 64]));
        let qcow = HeaderWithoutBackingName::new(below.clone(), Driver::Qcow);
        assert_eq!(bytes(&qcow, 0, 64), [&[7; 8][..], &[0; 12], &[7; 44]].concat());
        for (offset, len) in [(0, 64), (0, 9), (19, 1)] {
            assert_eq!(qcow.write_at(offset, &vec![1; len]).unwrap_err().code(), "header-rewrite");
        }
        qcow.write_at(0, &[1; 8]).unwrap();
        qcow.write_at(20, &[1; 8]).unwrap();
        assert_eq!(bytes(&*below, 0, 64), [&[1; 8][..], &[7; 12], &[1; 8], &[7; 36]].concat());
    }
}
