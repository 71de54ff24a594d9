//! Hive bins (specification, "Hive bin"): a 32-byte header, then cells that fill the bin exactly.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::CellOffset;
use hivewright_error::{Code, Error, Result};

/// The header of a hive bin.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BinHeader {
    /// 0: `hbin`.
    pub signature: [u8; 4],
    /// 4: bytes from the start of the first bin to this one.
    pub offset: U32,
    /// 8: bytes of this bin, a multiple of 4096.
    pub size: U32,
    /// 12: unused.
    pub reserved: [u8; 8],
    /// 20: FILETIME, a copy of that of the base block; used in the first bin only.
    pub timestamp: U64,
    /// 28: unused on disk.
    pub spare: U32,
}

/// Bytes of the header; the first cell follows it.
pub const HEADER_SIZE: u32 = 32;
/// Offsets and sizes of bins are multiples of this.
pub const ALIGNMENT: u32 = 4096;
/// The signature of a bin.
pub const SIGNATURE: [u8; 4] = *b"hbin";

impl BinHeader {
    /// Creates the header of a new bin. The timestamp is 0: only that of the first bin is used.
    pub fn new(offset: u32, size: u32) -> Self {
        BinHeader {
            signature: SIGNATURE,
            offset: offset.into(),
            size: size.into(),
            reserved: [0; 8],
            timestamp: 0.into(),
            spare: 0.into(),
        }
    }

    /// Reads the header at the start of `bytes`; `at` is the offset of the bin and `length` the end of all bins.
    /// The offset field is not compared: [`crate::check`] does that.
    pub fn parse(bytes: &[u8], at: u32, length: u32) -> Result<Self> {
        let place = CellOffset(at).in_file();
        let Ok((header, _)) = BinHeader::read_from_prefix(bytes) else {
            return Err(Error::corrupt(Code::BinSize, "the hive bin's header exceeds the end", place));
        };
        if header.signature != SIGNATURE {
            return Err(Error::corrupt(Code::BinSignature, "hive bin signature", place)
                .expected("\"hbin\"", format_args!("\"{}\"", header.signature.escape_ascii())));
        }
        let size = header.size.get();
        if size == 0 || !size.is_multiple_of(ALIGNMENT) || at.checked_add(size).is_none_or(|end| end > length) {
            return Err(Error::corrupt(Code::BinSize, "hive bin size", place + 8)
                .expected(format_args!("a multiple of 4096, at most {}", length.saturating_sub(at)), size));
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_stays_within_the_hive() {
        let raw = BinHeader::new(4096, 8192);
        assert_eq!(raw.as_bytes().len(), HEADER_SIZE as usize);
        assert!(BinHeader::parse(raw.as_bytes(), 4096, 12288).is_ok());
        assert_eq!(BinHeader::parse(raw.as_bytes(), 4096, 8192).unwrap_err().code(), "bin-size");
        assert_eq!(BinHeader::parse(&[0; 32], 0, 4096).unwrap_err().code(), "bin-signature");
        assert_eq!(BinHeader::parse(&raw.as_bytes()[..31], 0, 4096).unwrap_err().code(), "bin-size");
    }
}
