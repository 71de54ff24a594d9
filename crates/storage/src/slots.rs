//! Memory for a few pieces of one size. All pages of a piece are had when it is first used: one by one that takes longer than
//! to fill it.

use super::mapped::Anonymous;
use hivewright_error::Result;

/// See the module.
pub struct Slots {
    map: Anonymous,
    size: usize,
    /// Which were used.
    had: Vec<bool>,
}

impl Slots {
    /// `count` pieces of `size` bytes, zeros.
    ///
    /// # Errors
    /// `no-memory`: the host has no room for so many.
    pub fn new(count: usize, size: usize) -> Result<Self> {
        let map = Anonymous::new(count.saturating_mul(size))?;
        Ok(Slots { map, size, had: vec![false; count] })
    }

    /// Pieces there are.
    pub fn count(&self) -> usize {
        self.had.len()
    }

    /// Bytes of each.
    pub fn size(&self) -> usize {
        self.size
    }

    /// A piece, below [`Slots::count`].
    pub fn get(&self, slot: usize) -> &[u8] {
        &self.map[slot * self.size..][..self.size]
    }

    /// A piece, below [`Slots::count`], to be filled.
    pub fn get_mut(&mut self, slot: usize) -> &mut [u8] {
        let start = slot * self.size;
        if !std::mem::replace(&mut self.had[slot], true) {
            self.map.have(start, self.size);
        }
        &mut self.map[start..][..self.size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_what_is_put_into_them_and_nothing_of_each_other() {
        for size in [1, 700, 4096, 5000, 70_000] {
            let mut slots = Slots::new(3, size).unwrap();
            assert_eq!((slots.count(), slots.size()), (3, size));
            for slot in [2, 0, 1] {
                assert!(slots.get_mut(slot).iter().all(|&byte| byte == 0));
                slots.get_mut(slot).fill(slot as u8 + 1);
            }
            for slot in 0..3 {
                assert!(slots.get(slot).len() == size && slots.get(slot).iter().all(|&byte| byte == slot as u8 + 1));
            }
        }
        assert_eq!(Slots::new(3, usize::MAX / 4).map(|_| ()).unwrap_err().code(), "no-memory");
    }
}
