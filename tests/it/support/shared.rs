//! Bytes with cheap copies that share equal parts.

use std::sync::Arc;

/// Size of a piece in bytes.
const PIECE: usize = 16 << 10;

/// Bytes in pieces, which copies share until one of them is written.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// All pieces except the last have [`PIECE`] bytes.
    pieces: Vec<Arc<Vec<u8>>>,
}

impl Shared {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Shared { pieces: bytes.chunks(PIECE).map(|piece| Arc::new(piece.to_vec())).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        self.pieces.iter().map(|piece| &piece[..]).collect::<Vec<_>>().concat()
    }

    /// Returns `len` bytes from `start` on, if they exist.
    pub(super) fn get(&self, start: usize, len: usize) -> Option<Vec<u8>> {
        let end = start.checked_add(len).filter(|&end| end <= self.len())?;
        let mut bytes = Vec::with_capacity(len);
        while start + bytes.len() < end {
            let at = start + bytes.len();
            let piece = &self.pieces[at / PIECE];
            bytes.extend_from_slice(&piece[at % PIECE..piece.len().min(end - at / PIECE * PIECE)]);
        }
        Some(bytes)
    }

    /// Changes the length; new bytes are zeros.
    pub(super) fn resize(&mut self, len: usize) {
        self.pieces.truncate(len.div_ceil(PIECE));
        while self.len() < len && self.pieces.last().is_none_or(|last| last.len() == PIECE) {
            self.pieces.push(Arc::new(vec![0; PIECE.min(len - self.len())]));
        }
        if let Some(last) = self.pieces.len().checked_sub(1) {
            let wanted = PIECE.min(len - last * PIECE);
            if self.pieces[last].len() != wanted {
                Arc::make_mut(&mut self.pieces[last]).resize(wanted, 0);
            }
        }
        if self.len() < len {
            self.resize(len);
        }
    }

    /// Writes bytes, after zeros if they begin after the end.
    pub(super) fn put(&mut self, offset: usize, new: &[u8]) {
        self.resize(self.len().max(offset + new.len()));
        let mut done = 0;
        while done < new.len() {
            let at = offset + done;
            let piece = Arc::make_mut(&mut self.pieces[at / PIECE]);
            let count = (piece.len() - at % PIECE).min(new.len() - done);
            piece[at % PIECE..at % PIECE + count].copy_from_slice(&new[done..done + count]);
            done += count;
        }
    }
}

#[test]
fn copies_equal_vectors() {
    let (mut shared, mut plain) = (Shared::new(&[]), Vec::new());
    let mut old = Vec::new();
    for (at, len) in [(0, 5), (3, 40_000), (PIECE - 1, 2), (100_000, 1), (2 * PIECE, PIECE), (99_990, 40_000)] {
        old.push((shared.clone(), plain.clone()));
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + at) as u8).collect();
        shared.put(at, &bytes);
        plain.resize(plain.len().max(at + len), 0);
        plain[at..at + len].copy_from_slice(&bytes);
        assert!(shared.len() == plain.len() && shared.to_vec() == plain, "{at}");
        assert_eq!(shared.get(at, len).unwrap(), bytes);
    }
    for len in [100_000, 2 * PIECE, 2 * PIECE - 1, 3 * PIECE + 9, 3 * PIECE + 10, 0, 7, PIECE, 5 * PIECE] {
        old.push((shared.clone(), plain.clone()));
        shared.resize(len);
        plain.resize(len, 0);
        assert!(shared.len() == len && shared.to_vec() == plain, "{len}");
        assert_eq!(shared.get(len, 1), None);
    }
    assert!(old.iter().all(|(shared, plain)| shared.to_vec() == *plain));
}
