//! The base block (specification, "Base block"): the first 4096 bytes of a hive file.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BASE_BLOCK_SIZE, CellOffset, MINOR_VERSIONS};
use hivewright_error::{Code, Error, Kind, Result, Space};

/// The checksummed part of the base block. Reserved bytes are kept as read.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BaseBlock {
    /// 0: `regf`.
    pub signature: [u8; 4],
    /// 4: raised before the bins are written.
    pub primary_sequence: U32,
    /// 8: set to the primary sequence number after the bins are written.
    pub secondary_sequence: U32,
    /// 12: FILETIME of the last flush; Windows 8.1 and later do not update it.
    pub last_written: U64,
    /// 20: 1.
    pub major_version: U32,
    /// 24: 3 (NT 4) to 6 (layered hives).
    pub minor_version: U32,
    /// 28: 0 for a primary file, 1, 2 or 6 for the copy in a log.
    pub file_type: U32,
    /// 32: 1, direct memory load.
    pub file_format: U32,
    /// 36: cell offset of the root key node.
    pub root_cell: U32,
    /// 40: bytes of all hive bins.
    pub length: U32,
    /// 44: sectors of the medium in units of 512 bytes; 1.
    pub clustering_factor: U32,
    /// 48: the tail of the file's path, UTF-16.
    pub file_name: [u8; 64],
    /// 112: resource manager ids, flags (at 144) and GUID signature (`rmtm` at 164, Vista and later).
    pub reserved: [u8; 396],
    /// 508: see [`BaseBlock::computed_checksum`].
    pub checksum: U32,
}

/// Bytes that the checksum covers together with the checksum itself.
pub const SIZE: usize = size_of::<BaseBlock>();
/// The signature of a hive file.
pub const SIGNATURE: [u8; 4] = *b"regf";

impl BaseBlock {
    /// Reads the base block at the start of `bytes`. Checks only the length: see [`BaseBlock::validate`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Ok((block, _)) = BaseBlock::read_from_prefix(bytes) else {
            return Err(not_a_hive(format!("{} bytes are too few for a base block", bytes.len())));
        };
        if block.signature != SIGNATURE {
            return Err(not_a_hive("the base block's signature is missing".to_owned())
                .expected("\"regf\"", format_args!("\"{}\"", block.signature.escape_ascii())));
        }
        Ok(block)
    }

    /// Computes the checksum of the first 508 bytes (specification, "Base block", checksum).
    pub fn computed_checksum(&self) -> u32 {
        let bytes = self.as_bytes();
        let words = bytes[..SIZE - 4].chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        match words.fold(0, |sum, word| sum ^ word) {
            0 => 1,
            u32::MAX => u32::MAX - 1,
            sum => sum,
        }
    }

    /// Returns whether the stored checksum is valid.
    pub fn checksum_holds(&self) -> bool {
        self.checksum.get() == self.computed_checksum()
    }

    /// Returns whether the last write is incomplete. The transaction logs may then have newer pages.
    pub fn is_dirty(&self) -> bool {
        self.primary_sequence != self.secondary_sequence || !self.checksum_holds()
    }

    /// Returns the cell offset of the root key node.
    pub fn root(&self) -> CellOffset {
        CellOffset(self.root_cell.get())
    }

    /// Returns the end of the last hive bin in the file.
    pub fn end_of_bins(&self) -> u64 {
        u64::from(BASE_BLOCK_SIZE) + u64::from(self.length.get())
    }

    /// Returns whether the block has the GUID signature, which only Vista and later write.
    pub fn has_rmtm(&self) -> bool {
        self.reserved[52..56] == *b"rmtm"
    }

    /// Checks the fields that must be valid before any cell is read. `file_len` is the file's length in bytes.
    pub fn validate(&self, file_len: u64) -> Result<()> {
        let (major, minor) = (self.major_version.get(), self.minor_version.get());
        if major != 1 || !MINOR_VERSIONS.contains(&minor) {
            return Err(unsupported(Code::BaseVersion, "hive version", 20)
                .expected("1.3 to 1.6", format_args!("{major}.{minor}")));
        }
        if self.file_type.get() != 0 {
            return Err(unsupported(Code::FileType, "not a primary hive file (a transaction log?)", 28)
                .expected(0, self.file_type));
        }
        if self.file_format.get() != 1 {
            return Err(unsupported(Code::FileFormat, "file format", 32).expected(1, self.file_format));
        }
        let length = self.length.get();
        if length == 0 || !length.is_multiple_of(4096) || length > i32::MAX as u32 {
            return Err(Error::corrupt(Code::LengthAlignment, "hive bins data size", 40)
                .expected("a positive multiple of 4096 below 2 GiB", length));
        }
        if self.end_of_bins() > file_len {
            return Err(Error::corrupt(Code::LengthPastEnd, "the file ends before its hive bins do", 40)
                .expected(format_args!("{} bytes", self.end_of_bins()), file_len)
                .advise("the file is truncated: look for another copy"));
        }
        Ok(())
    }
}

fn not_a_hive(what: String) -> Error {
    Error::new(Kind::Unsupported, Code::BaseSignature, format!("not a registry hive: {what}")).at(Space::Hive, 0)
}

fn unsupported(code: Code, what: &str, offset: u64) -> Error {
    Error::new(Kind::Unsupported, code, what).at(Space::Hive, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> BaseBlock {
        let mut bytes = [0u8; SIZE];
        bytes[..4].copy_from_slice(b"regf");
        let mut block = BaseBlock::parse(&bytes).unwrap();
        block.major_version = 1.into();
        block.minor_version = 5.into();
        block.file_format = 1.into();
        block.length = 4096.into();
        block.checksum = block.computed_checksum().into();
        block
    }

    #[test]
    fn layout_matches_the_specification() {
        assert_eq!(SIZE, 512);
        assert_eq!(std::mem::offset_of!(BaseBlock, length), 40);
        assert_eq!(std::mem::offset_of!(BaseBlock, checksum), 508);
    }

    #[test]
    fn reserved_checksums_are_avoided() {
        let mut block = block();
        let sum = block.computed_checksum();
        block.reserved[0..4].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(block.computed_checksum(), 1, "0 becomes 1");
        block.reserved[0..4].copy_from_slice(&(!sum).to_le_bytes());
        assert_eq!(block.computed_checksum(), 0xffff_fffe, "all ones lose the lowest bit");
    }

    #[test]
    fn validation_names_the_field() {
        assert!(block().validate(8192).is_ok());
        let mut short = block();
        assert_eq!(short.validate(8191).unwrap_err().code(), "length-past-end");
        short.length = 100.into();
        assert_eq!(short.validate(8192).unwrap_err().code(), "length-alignment");
        short.minor_version = 7.into();
        assert_eq!(short.validate(8192).unwrap_err().code(), "base-version");
        assert_eq!(BaseBlock::parse(b"CREG").unwrap_err().kind(), Kind::Unsupported);
    }
}
