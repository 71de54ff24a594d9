//! The header, version 1.1: 72 bytes that are common to all versions, then the length of the other fields, and those
//! fields.

use super::corrupt;
use crate::container::cut_short;
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

pub(super) const MAGIC_AT: usize = 64;
pub(super) const MAGIC: &[u8] = b"\x7f\x10\xda\xbe";
/// Offset of the number of blocks that the file has.
pub(super) const ALLOCATED_AT: u64 = 388;
/// Offset of the identifier that changes with the contents.
pub(super) const CHANGED_AT: u64 = 408;
/// Offset of the fields whose length is in the header, and their minimum length.
const FIELDS: (u64, u32) = (72, 384);
/// Maximum number of blocks: 64 TiB with blocks of 1 MiB.
const MOST_BLOCKS: u64 = 1 << 26;
/// Maximum size of a block, and of the extra bytes before it.
const LARGEST_BLOCK: u64 = 1 << 30;

/// The type of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Dynamic,
    Static,
    Differencing,
}

/// A UUID as stored in the file: the first three fields are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uuid(pub(super) [u8; 16]);

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, at) in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].into_iter().enumerate() {
            let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{:02x}", self.0[at])?;
        }
        Ok(())
    }
}

/// A validated header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Type,
    /// Offset of the block map.
    pub(super) map: u64,
    /// Offset of the first block.
    pub(super) data: u64,
    /// Size of the disk in bytes.
    pub(super) size: u64,
    /// Bytes of a block.
    pub(super) block: u64,
    /// Extra bytes before each block in the file.
    pub(super) extra: u64,
    /// Entries of the block map.
    pub(super) blocks: u64,
    /// Number of blocks in the file.
    pub(super) allocated: u64,
    pub(super) made: Uuid,
    pub(super) changed: Uuid,
    pub(super) parent_made: Uuid,
    pub(super) parent_changed: Uuid,
}

impl Header {
    pub(super) fn read(file: &dyn Storage) -> Result<Self> {
        let len = file.len()?;
        let mut bytes = [0; 456];
        if len < bytes.len() as u64 {
            let needed = bytes.len() as u64;
            return Err(cut_short(Code::VdiHeader, "it ends inside its header", needed, len).at(Space::File, 0));
        }
        file.read_at(0, &mut bytes)?;
        let header = Header::parse(&bytes)?;
        header.check(len)?;
        Ok(header)
    }

    fn parse(bytes: &[u8; 456]) -> Result<Self> {
        let four = |at: usize| bytes[at..].first_chunk().map_or(0, |four| u32::from_le_bytes(*four));
        let long = |at: usize| u64::from(four(at));
        let uuid = |at: usize| Uuid(bytes[at..].first_chunk().copied().unwrap_or_default());
        if !bytes[MAGIC_AT..].starts_with(MAGIC) {
            return Err(corrupt(Code::VdiHeader, "the file has no VDI header", 64));
        }
        let version = four(68);
        if version >> 16 != 1 {
            let what = format!("VDI images of version {}.{} are not supported", version >> 16, version & 0xffff);
            return Err(Error::new(Kind::Unsupported, Code::VdiVersion, what)
                .at(Space::File, 68)
                .advise(format!("convert a copy of it: {}", advised::CLONE_VDI)));
        }
        if four(72) < FIELDS.1 {
            return Err(
                corrupt(Code::VdiHeader, "the header of the VDI image is too short", 72).expected(FIELDS.1, four(72))
            );
        }
        let (parent_made, parent_changed) = (uuid(424), uuid(440));
        let kind = match four(76) {
            // QEMU and VirtualBox both test the identifier of the parent.
            1 | 2 if parent_made != Uuid([0; 16]) => Type::Differencing,
            1 => Type::Dynamic,
            2 => Type::Static,
            4 => Type::Differencing,
            other => {
                let what = format!("VDI images of type {other} are not supported");
                return Err(Error::new(Kind::Unsupported, Code::VdiType, what).at(Space::File, 76));
            }
        };
        Ok(Header {
            kind,
            map: long(340),
            data: long(344),
            size: long(368) | long(372) << 32,
            block: long(376),
            extra: long(380),
            blocks: long(384),
            allocated: long(388),
            made: uuid(392),
            changed: uuid(408),
            parent_made,
            parent_changed,
        })
    }

    fn check(&self, len: u64) -> Result<()> {
        if self.block == 0 || !self.block.is_multiple_of(512) || self.block.max(self.extra) > LARGEST_BLOCK {
            return Err(corrupt(Code::VdiHeader, "the block size is invalid", 376)
                .expected("a multiple of 512", format_args!("{} and {} in front", self.block, self.extra)));
        }
        let needed = self.size.div_ceil(self.block);
        if self.size == 0 || needed > self.blocks || self.blocks > MOST_BLOCKS {
            return Err(corrupt(Code::VdiHeader, "the number of blocks does not match the size of the disk", 384)
                .expected(format_args!("{needed} blocks, {MOST_BLOCKS} at most"), self.blocks));
        }
        if self.data > len && self.data < 1 << 50 {
            return Err(
                cut_short(Code::VdiHeader, "its blocks begin past its end", self.data, len).at(Space::File, 340)
            );
        }
        if self.map < FIELDS.0 + u64::from(FIELDS.1) || self.map + self.blocks * 4 > self.data || self.data > len {
            let found = format!("at {:#x} of {} entries, and at {:#x}", self.map, self.blocks, self.data);
            return Err(corrupt(Code::VdiHeader, "the offset of the block map or of the blocks is invalid", 340)
                .expected(format_args!("the header, then the map, then the blocks, in {len} bytes"), found));
        }
        Ok(())
    }
}
