//! The on-disk structures of a hive file, one module each: pure functions over `&[u8]`.
//!
//! Names and layouts follow Maxim Suhanov's *Windows registry file format specification*
//! (`github.com/msuhanov/regf`); the section is named at each structure. All integers are little-endian.

pub mod base_block;
pub mod big_data;
pub mod bin;
pub mod cell;
pub mod key_node;
pub mod key_security;
pub mod key_value;
pub mod log;
pub mod marvin32;
pub mod name;
pub mod subkeys_list;
pub mod timestamp;

use std::fmt;

/// Bytes of the base block; the first hive bin begins after it.
pub const BASE_BLOCK_SIZE: u32 = 4096;
/// The minor versions of the format that are known: NT 4 to Windows 10 and later.
pub const MINOR_VERSIONS: std::ops::RangeInclusive<u32> = 3..=6;
/// The lowest minor version with layered keys and tombstones. In earlier versions their bits are undefined.
pub const LAYERED_SINCE_MINOR: u32 = 6;

/// A cell offset: bytes from the start of the first hive bin (not of the file).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellOffset(pub u32);

impl CellOffset {
    /// "No cell".
    pub const NIL: CellOffset = CellOffset(u32::MAX);

    /// Returns whether it means "no cell".
    pub fn is_nil(self) -> bool {
        self == Self::NIL
    }

    /// Returns the offset of the cell's size field in the hive file.
    pub fn in_file(self) -> u64 {
        u64::from(self.0) + u64::from(BASE_BLOCK_SIZE)
    }

    /// Returns the offset of the cell's data (after the size field) in the hive file.
    pub fn data_in_file(self) -> u64 {
        self.in_file() + cell::HEADER_SIZE as u64
    }
}

impl fmt::Display for CellOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_nil() { f.write_str("no cell") } else { write!(f, "cell offset {:#x}", self.0) }
    }
}
