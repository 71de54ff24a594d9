//! The dirty vector of the old format (specification, "Dirty vector"): `DIRT`, then one bit for each 512 bytes of
//! hive bins, least significant first; the dirty pages follow from the next sector on, without gaps.

use super::{Page, Rejection, SECTOR};

/// The signature of the vector.
pub const SIGNATURE: [u8; 4] = *b"DIRT";

/// The dirty vector of a log with all its pages.
#[derive(Clone, Copy, Debug)]
pub struct DirtyVector<'l> {
    bitmap: &'l [u8],
    pages: &'l [u8],
}

impl<'l> DirtyVector<'l> {
    /// Reads the vector of a log. `length` is the size of all hive bins from its base block (a multiple of 4096).
    ///
    /// # Errors
    /// `LogEmpty` if no page is dirty, `DirtTorn` if the log ends within the pages.
    pub fn parse(log: &'l [u8], length: u32) -> Result<Self, Rejection> {
        let vector = log.get(SECTOR..).unwrap_or_default();
        let Some(rest) = vector.strip_prefix(&SIGNATURE) else {
            let blank = vector.iter().take(SECTOR).all(|&b| b == 0);
            return Err(if blank { Rejection::LogEmpty } else { Rejection::LogNotALog });
        };
        let size = length as usize / SECTOR / 8;
        let bitmap = rest.get(..size).ok_or(Rejection::DirtTorn)?;
        let pages_at = (SIGNATURE.len() + size).next_multiple_of(SECTOR);
        let count: usize = bitmap.iter().map(|byte| byte.count_ones() as usize).sum();
        if count == 0 {
            return Err(Rejection::LogEmpty);
        }
        let pages = vector.get(pages_at..).and_then(|pages| pages.get(..count * SECTOR)).ok_or(Rejection::DirtTorn)?;
        Ok(DirtyVector { bitmap, pages })
    }

    /// Returns the dirty pages by ascending offset; adjacent pages are merged.
    pub fn pages(&self) -> impl Iterator<Item = Page<'l>> + use<'l> {
        let (bitmap, mut rest) = (self.bitmap, self.pages);
        let bits = bitmap.len() * 8;
        let is_dirty = move |bit: usize| bit < bits && bitmap[bit / 8] >> (bit % 8) & 1 != 0;
        let mut bit = 0;
        std::iter::from_fn(move || {
            while bit < bits && !is_dirty(bit) {
                bit += 1;
            }
            let first = bit;
            while is_dirty(bit) {
                bit += 1;
            }
            let data;
            (data, rest) = rest.split_at_checked((bit - first) * SECTOR)?;
            // The offset lies below the hive's length, a u32.
            let offset = u32::try_from(first * SECTOR).ok()?;
            (!data.is_empty()).then_some(Page { offset, data })
        })
    }
}
