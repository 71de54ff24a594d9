//! Decompressed pieces of a disk. Whoever reads a disk comes back to the last ones: a file system lies in few of them, and a
//! page of a file may begin in one and end in the next.

use crate::error::Result;

/// Pieces that are kept, and bytes: always two pieces. More would be more memory to be touched, for little that is asked
/// for again.
const MOST: usize = 16;
const MOST_BYTES: usize = 4 << 20;

/// The pieces used last, by number, the latest at the end.
#[derive(Default)]
pub(super) struct Unpacked(Vec<(u64, Vec<u8>)>);

impl Unpacked {
    /// The piece of that number, of `size` bytes or less. `unpack` fills in one that is not kept: what it is given has the
    /// bytes of another piece, or none.
    pub(super) fn piece(
        &mut self,
        number: u64,
        size: usize,
        unpack: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<&[u8]> {
        let piece = match self.0.iter().rposition(|(of, _)| *of == number) {
            Some(at) => self.0.remove(at),
            None => {
                let is_full = self.0.len() >= (MOST_BYTES / size.max(1)).clamp(2, MOST);
                let mut bytes = if is_full { self.0.remove(0).1 } else { Vec::new() };
                unpack(&mut bytes)?;
                (number, bytes)
            }
        };
        self.0.push(piece);
        Ok(self.0.last().map_or(&[], |(_, bytes)| bytes))
    }

    /// No longer keeps any.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// The numbers of the pieces that had to be unpacked when these were asked for in turn.
    fn unpacked(kept: &mut Unpacked, size: usize, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut done = Vec::new();
        for number in numbers {
            let piece = kept.piece(number, size, |bytes| {
                done.push(number);
                bytes.clear();
                bytes.extend(number.to_le_bytes());
                Ok(())
            });
            assert_eq!(piece.unwrap(), number.to_le_bytes());
        }
        done
    }

    #[test]
    fn the_piece_that_was_used_least_lately_goes() {
        let mut kept = Unpacked::default();
        let most = MOST as u64;
        assert_eq!(unpacked(&mut kept, 1, 0..most), (0..most).collect::<Vec<_>>());
        assert_eq!(unpacked(&mut kept, 1, [0, most, 0, 1, 2, 0]), [most, 1, 2]);
        kept.clear();
        assert_eq!(unpacked(&mut kept, 1, [0, 0]), [0]);
    }

    #[test]
    fn two_large_ones_are_kept() {
        let mut kept = Unpacked::default();
        assert_eq!(unpacked(&mut kept, MOST_BYTES, [1, 2, 1, 2, 3, 2, 1, 2]), [1, 2, 3, 1]);
        assert!(unpacked(&mut kept, usize::MAX, [2, 1, 2]).is_empty());
    }

    #[test]
    fn what_could_not_be_unpacked_is_not_kept() {
        let mut kept = Unpacked::default();
        unpacked(&mut kept, MOST_BYTES, [1, 2]);
        let failed = kept.piece(3, MOST_BYTES, |bytes| {
            bytes[0] ^= 0xff;
            Err(Error::refused("damaged", "half of it"))
        });
        assert_eq!(failed.unwrap_err().code(), "damaged");
        assert_eq!(unpacked(&mut kept, MOST_BYTES, [2, 3, 1]), [3, 1]);
    }
}
