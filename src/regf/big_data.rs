//! Big data (specification, "Big data"): data of more than 16,344 bytes in segments, since minor version 4.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::CellOffset;
use crate::error::{Error, Result};

/// A big data record: it points to a list of segments.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BigData {
    /// 0: `db`.
    pub signature: [u8; 2],
    /// 2: number of segments, at least 2.
    pub segment_count: U16,
    /// 4: cell offset of the list of their cell offsets.
    pub list: U32,
}

/// Bytes of the record.
pub const SIZE: usize = size_of::<BigData>();
/// Bytes of data in every segment but the last; data of up to this size stands in one cell.
pub const SEGMENT_SIZE: usize = 16_344;
/// The lowest minor version that knows big data.
pub const SINCE_MINOR: u32 = 4;

/// Number of segments for `size` bytes of data.
pub fn segments_for(size: usize) -> usize {
    size.div_ceil(SEGMENT_SIZE)
}

impl BigData {
    /// Reads the record from a cell's data, for a value of `size` bytes.
    pub fn parse(data: &[u8], at: CellOffset, size: usize) -> Result<Self> {
        let place = at.data_in_file();
        let wrong = |what| Error::corrupt("big-data", what, place);
        let Ok((record, _)) = BigData::read_from_prefix(data) else {
            return Err(wrong("the cell is too small for a big data record"));
        };
        if record.signature != *b"db" {
            return Err(
                wrong("big data signature").expected("\"db\"", format_args!("\"{}\"", record.signature.escape_ascii()))
            );
        }
        if usize::from(record.segment_count.get()) != segments_for(size) {
            return Err(wrong("number of big data segments").expected(segments_for(size), record.segment_count));
        }
        Ok(record)
    }
}
