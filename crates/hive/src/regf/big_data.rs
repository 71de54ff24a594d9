//! Big data (specification, "Big data"): data of more than 16,344 bytes in segments, since minor version 4.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::CellOffset;
use hivewright_error::{Code, Error, Result};

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
/// Bytes of data in every segment except the last; data of up to this size lies in one cell.
pub const SEGMENT_SIZE: usize = 16_344;
/// The lowest minor version with big data.
pub const SINCE_MINOR: u32 = 4;

/// Returns whether the data of a value of `size` bytes is in segments, with a record in the cell whose data is `cell`.
/// Determined by the bytes, not by the version of the hive: some tools write either form into any version.
pub fn is_used(size: usize, cell: &[u8]) -> bool {
    cell.len() < size && cell.starts_with(b"db")
}

/// Returns whether data of this size must be in segments (specification, "Big data").
pub fn is_wanted(minor_version: u32, size: usize) -> bool {
    minor_version >= SINCE_MINOR && size > SEGMENT_SIZE
}

/// Returns the number of segments for `size` bytes of data.
pub fn segments_for(size: usize) -> usize {
    size.div_ceil(SEGMENT_SIZE)
}

impl BigData {
    /// Reads the record from a cell's data, for a value of `size` bytes.
    pub fn parse(data: &[u8], at: CellOffset, size: usize) -> Result<Self> {
        let place = at.data_in_file();
        let wrong = |what| Error::corrupt(Code::BigData, what, place);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_resembles_a_record_is_data() {
        let mut cell = vec![0; 20_000];
        cell[..2].copy_from_slice(b"db");
        assert!(!is_used(20_000, &cell), "the cell holds all of it");
        assert!(is_used(20_000, &cell[..12]));
        assert!(!is_used(20_000, &[0; 12]));
    }

    #[test]
    fn segments_are_wanted_of_large_data_since_1_4() {
        assert!(is_wanted(4, SEGMENT_SIZE + 1) && !is_wanted(4, SEGMENT_SIZE) && !is_wanted(3, 20_000));
    }

    #[test]
    fn the_number_of_segments_follows_from_the_size() {
        let record = b"db\x02\0\x20\0\0\0";
        assert!(BigData::parse(record, CellOffset(32), SEGMENT_SIZE + 1).is_ok());
        assert_eq!(BigData::parse(record, CellOffset(32), 3 * SEGMENT_SIZE).unwrap_err().code(), "big-data");
        assert_eq!(BigData::parse(&record[..7], CellOffset(32), 20_000).unwrap_err().code(), "big-data");
    }
}
