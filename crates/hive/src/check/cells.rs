//! Bitmaps of the cells: existing, in use, and referenced; one bit for each 8 bytes of bins.

use crate::regf::CellOffset;
use crate::regf::cell::{ALIGNMENT, HEADER_SIZE, Header};

/// One bit for each offset at which a cell can begin.
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn new(length: usize) -> Self {
        Bitmap(vec![0; length.div_ceil(ALIGNMENT as usize * 64)])
    }

    fn place(at: CellOffset) -> (usize, u64) {
        let bit = at.0 / ALIGNMENT;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn has(&self, at: CellOffset) -> bool {
        let (word, bit) = Self::place(at);
        self.0.get(word).is_some_and(|w| w & bit != 0)
    }

    /// Sets the bit. Returns `false` if it was set, or is out of range.
    fn set(&mut self, at: CellOffset) -> bool {
        let (word, bit) = Self::place(at);
        self.0.get_mut(word).is_some_and(|w| {
            let fresh = *w & bit == 0;
            *w |= bit;
            fresh
        })
    }
}

/// The cells of a hive.
pub(super) struct CellMap<'h> {
    bins: &'h [u8],
    allocated: Bitmap,
    claimed: Bitmap,
    keys: Bitmap,
    ring: Bitmap,
}

impl<'h> CellMap<'h> {
    pub(super) fn new(bins: &'h [u8]) -> Self {
        let map = || Bitmap::new(bins.len());
        CellMap { bins, allocated: map(), claimed: map(), keys: map(), ring: map() }
    }

    /// Adds an allocated cell. The caller has checked that its bin contains it.
    pub(super) fn allocate(&mut self, at: CellOffset) {
        self.allocated.set(at);
    }

    /// Returns the data of the allocated cell that begins at `at`; `None` if there is none.
    pub(super) fn data(&self, at: CellOffset) -> Option<&'h [u8]> {
        if !at.0.is_multiple_of(ALIGNMENT) || !self.allocated.has(at) {
            return None;
        }
        let cell = self.bins.get(at.0 as usize..)?;
        let header = Header::parse(*cell.first_chunk()?, at).ok()?;
        cell.get(HEADER_SIZE..header.size as usize)
    }

    /// Claims the cell. Returns `false` if it has an owner.
    pub(super) fn claim(&mut self, at: CellOffset) -> bool {
        self.claimed.set(at)
    }

    /// Claims the cell for a key. Returns `false` if it has an owner.
    pub(super) fn claim_key(&mut self, at: CellOffset) -> bool {
        let fresh = self.claimed.set(at);
        if fresh {
            self.keys.set(at);
        }
        fresh
    }

    /// Returns whether a key was reached there.
    pub(super) fn is_key(&self, at: CellOffset) -> bool {
        self.keys.has(at)
    }

    /// Adds the cell to the members of the security ring. Returns `false` if it is a member already.
    pub(super) fn join_ring(&mut self, at: CellOffset) -> bool {
        self.ring.set(at)
    }

    /// Returns whether the cell is a member of the security ring.
    pub(super) fn in_ring(&self, at: CellOffset) -> bool {
        self.ring.has(at)
    }

    /// Returns the allocated cells that have no owner, in their order.
    pub(super) fn unclaimed(&self) -> impl Iterator<Item = CellOffset> + use<> {
        let words: Vec<(u32, u64)> = (0u32..)
            .zip(self.allocated.0.iter().zip(&self.claimed.0))
            .map(|(i, (allocated, claimed))| (i, allocated & !claimed))
            .filter(|&(_, word)| word != 0)
            .collect();
        words.into_iter().flat_map(|(i, word)| {
            (0..64u32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| CellOffset((i * 64 + bit) * ALIGNMENT))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_starts_of_allocated_cells_are_cells() {
        let mut bins = vec![0u8; 4096];
        bins[32..36].copy_from_slice(&(-16i32).to_le_bytes());
        bins[600..604].copy_from_slice(&(-3496i32).to_le_bytes());
        let mut map = CellMap::new(&bins);
        map.allocate(CellOffset(32));
        map.allocate(CellOffset(600));
        assert_eq!(map.data(CellOffset(32)).map(<[u8]>::len), Some(12));
        for none in [0, 36, 40, 4096, 0x7fff_fff8, u32::MAX] {
            assert!(map.data(CellOffset(none)).is_none(), "{none:#x}");
        }
        assert!(map.claim_key(CellOffset(32)) && !map.claim(CellOffset(32)));
        assert!(map.is_key(CellOffset(32)) && !map.is_key(CellOffset(600)));
        assert_eq!(map.unclaimed().collect::<Vec<_>>(), [CellOffset(600)]);
    }
}
