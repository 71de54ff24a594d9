//! Cells (specification, "Cell"): a signed 32-bit size, then data. A negative size means allocated.

use super::CellOffset;
use hivewright_error::{Code, Error, Result};

/// Bytes of the size field.
pub const HEADER_SIZE: usize = 4;
/// Every cell's size is a multiple of this.
pub const ALIGNMENT: u32 = 8;

/// The size field of a cell, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the cell, including the size field.
    pub size: u32,
    /// Whether the cell is in use.
    pub allocated: bool,
}

impl Header {
    /// Decodes a size field.
    ///
    /// # Errors
    /// `cell-size` for 0 and sizes that are not a multiple of 8. The caller checks that the bin contains the cell.
    pub fn parse(raw: [u8; HEADER_SIZE], at: CellOffset) -> Result<Self> {
        let value = i32::from_le_bytes(raw);
        let size = value.unsigned_abs();
        if size == 0 || !size.is_multiple_of(ALIGNMENT) {
            return Err(Error::corrupt(Code::CellSize, "cell size is not a positive multiple of 8", at.in_file())
                .expected("a multiple of 8", value));
        }
        Ok(Header { size, allocated: value < 0 })
    }

    /// Encodes the size field of a cell.
    ///
    /// # Panics
    /// Never for sizes that a hive can hold (below 2 GiB).
    pub fn encode(self) -> [u8; HEADER_SIZE] {
        let size = i32::try_from(self.size).expect("a hive is smaller than 2 GiB");
        if self.allocated { -size } else { size }.to_le_bytes()
    }
}

/// Returns the size of the cell that `data` bytes of content need.
pub fn size_for(data: usize) -> Option<u32> {
    let raw = data.checked_add(HEADER_SIZE)?;
    u32::try_from(raw).ok()?.checked_next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_means_allocated() {
        let at = CellOffset(0x20);
        assert_eq!(Header::parse((-16i32).to_le_bytes(), at).unwrap(), Header { size: 16, allocated: true });
        assert_eq!(Header::parse(24i32.to_le_bytes(), at).unwrap(), Header { size: 24, allocated: false });
        assert_eq!(Header { size: 16, allocated: true }.encode(), (-16i32).to_le_bytes());
        for bad in [0, 13, -7, i32::MAX] {
            assert_eq!(Header::parse(bad.to_le_bytes(), at).unwrap_err().code(), "cell-size");
        }
        assert_eq!(Header::parse(i32::MIN.to_le_bytes(), at).unwrap().size, 1 << 31);
    }

    #[test]
    fn sizes_include_the_header() {
        assert_eq!((size_for(0), size_for(4), size_for(5)), (Some(8), Some(8), Some(16)));
        assert_eq!(size_for(usize::MAX), None);
    }
}
