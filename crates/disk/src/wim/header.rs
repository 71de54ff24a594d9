//! The header of an archive, and references to resources, which tables contain too.
//!
//! Facts: Microsoft, "Windows Imaging File Format (WIM)", "WIM header" and "Resource header". The documentation of
//! wimlib describes LZMS, solid resources and pipable archives.
//!
//! | bytes | header |
//! |---:|---|
//! | 0 | `MSWIM\0\0\0`; `WLPWM\0\0\0` in a pipable archive |
//! | 8 | bytes of the header: 208 |
//! | 12 | version: 0x10d00; 0xe00 if solid resources are possible |
//! | 16 | flags |
//! | 20 | bytes of a chunk; 0 without compression |
//! | 24 | GUID, the same in all parts |
//! | 40 | number of this part, and number of parts, 2 bytes each |
//! | 44 | number of images |
//! | 48 | the blob table |
//! | 72 | the description, in XML |
//! | 96 | the metadata of the bootable image |
//! | 120 | the number of that image |
//! | 124 | the integrity table |
//!
//! | bytes | reference to a resource |
//! |---:|---|
//! | 0 | bytes in the archive, 7 bytes |
//! | 7 | flags |
//! | 8 | offset in the archive |
//! | 16 | bytes when unpacked |

use super::decode::Compression;
use super::resource::placed;
use crate::little_endian::{u16_at, u32_at, u64_at};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;

/// Bytes of a header.
pub(super) const SIZE: usize = 208;
/// The first bytes of an archive.
pub(crate) const MAGIC: &[u8; 8] = b"MSWIM\0\0\0";
/// The first bytes of a pipable archive. Its header is at the end; the copy at the start has no references.
pub(crate) const PIPABLE_MAGIC: &[u8; 8] = b"WLPWM\0\0\0";

/// Versions of the format.
const VERSION: u32 = 0x10d00;
const SOLID_VERSION: u32 = 0xe00;
/// Size of a chunk in bytes if the header has none.
const USUAL_CHUNK: u32 = 0x8000;
/// Maximum size of a chunk in bytes.
const MOST_CHUNK: u32 = 1 << 30;

/// Flags of a header.
pub(super) mod flags {
    pub(in crate::wim) const COMPRESSED: u32 = 0x2;
    pub(in crate::wim) const READ_ONLY: u32 = 0x4;
    pub(in crate::wim) const SPANNED: u32 = 0x8;
    pub(in crate::wim) const WRITE_IN_PROGRESS: u32 = 0x40;
    pub(in crate::wim) const XPRESS: u32 = 0x2_0000;
    pub(in crate::wim) const LZX: u32 = 0x4_0000;
    pub(in crate::wim) const LZMS: u32 = 0x8_0000;
}

/// Flags of a resource.
pub(super) mod resource_flags {
    pub(in crate::wim) const METADATA: u8 = 0x2;
    pub(in crate::wim) const COMPRESSED: u8 = 0x4;
    pub(in crate::wim) const SOLID: u8 = 0x10;
}

/// A reference to a resource. In an entry of the blob table, the meaning of the fields depends on the flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reference {
    /// Stored size in bytes.
    pub(super) stored: u64,
    pub(super) flags: u8,
    pub(super) offset: u64,
    /// Unpacked size in bytes.
    pub(super) len: u64,
}

impl Reference {
    /// Size of an encoded reference in bytes.
    pub(super) const SIZE: usize = 24;

    pub(super) fn parse(bytes: &[u8; Self::SIZE]) -> Self {
        let [word, offset, len] = [0, 8, 16].map(|at| u64_at(bytes, at));
        // The highest byte.
        Reference { stored: word & ((1 << 56) - 1), flags: (word >> 56) as u8, offset, len }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let word = self.stored | u64::from(self.flags) << 56;
        for (at, number) in [(0, word), (8, self.offset), (16, self.len)] {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A header.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// The bytes of the header.
    pub(super) bytes: [u8; SIZE],
    pub(super) flags: u32,
    /// `None` without compression.
    pub(super) compression: Option<Compression>,
    /// Size of a chunk in bytes.
    pub(super) chunk_size: u32,
    pub(super) guid: [u8; 16],
    pub(super) part: u16,
    pub(super) parts: u16,
    pub(super) images: u32,
    pub(super) table: Reference,
    pub(super) xml: Reference,
    pub(super) boot_metadata: Reference,
    pub(super) boot_image: u32,
    pub(super) integrity: Reference,
    pub(super) is_pipable: bool,
}

/// Offsets of the references.
pub(super) const TABLE_AT: usize = 48;
pub(super) const XML_AT: usize = 72;
pub(super) const BOOT_METADATA_AT: usize = 96;
pub(super) const INTEGRITY_AT: usize = 124;

impl Header {
    /// Reads the header of an archive.
    ///
    /// # Errors
    /// `wim-header`, `wim-version`; I/O errors.
    pub(super) fn read(file: &dyn Storage) -> Result<Self> {
        let header = Self::read_at(file, 0)?;
        if header.is_pipable && header.table.offset == 0 {
            let end = file.len()?.checked_sub(SIZE as u64).filter(|at| *at >= SIZE as u64);
            let at = end.ok_or_else(|| damaged(file, "the pipable archive has no header at its end", 0))?;
            return Self::read_at(file, at);
        }
        Ok(header)
    }

    fn read_at(file: &dyn Storage, at: u64) -> Result<Self> {
        let mut bytes = [0; SIZE];
        if file.len()? < at + SIZE as u64 {
            return Err(damaged(file, "the file is truncated: it ends inside its header", at));
        }
        file.read_at(at, &mut bytes)?;
        Self::parse(file, bytes, at)
    }

    fn parse(file: &dyn Storage, bytes: [u8; SIZE], at: u64) -> Result<Self> {
        let is_pipable = bytes.starts_with(PIPABLE_MAGIC);
        if !is_pipable && !bytes.starts_with(MAGIC) || u32_at(&bytes, 8) as usize != SIZE {
            return Err(damaged(file, "the file has no header of a WIM archive", at));
        }
        let version = u32_at(&bytes, 12);
        if !matches!(version, VERSION | SOLID_VERSION) {
            return Err(unknown(file, "the version of the archive is not supported", at)
                .expected(format_args!("{VERSION:#x} or {SOLID_VERSION:#x}"), format_args!("{version:#x}")));
        }
        let flags = u32_at(&bytes, 16);
        let known =
            [(flags::XPRESS, Compression::Xpress), (flags::LZX, Compression::Lzx), (flags::LZMS, Compression::Lzms)];
        let mut named = known.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, compression)| compression);
        let compression = match (flags & flags::COMPRESSED != 0, named.next(), named.next()) {
            (false, ..) => None,
            (true, Some(one), None) => Some(one),
            _ => return Err(unknown(file, "the compression method of the archive is not supported", at)),
        };
        let chunk_size = match u32_at(&bytes, 20) {
            0 => USUAL_CHUNK,
            size => size,
        };
        if compression.is_some() && !(chunk_size.is_power_of_two() && chunk_size <= MOST_CHUNK) {
            return Err(damaged(file, "the chunk size is invalid", at).expected("a power of two", chunk_size));
        }
        let reference = |at: usize| {
            let mut field = [0; Reference::SIZE];
            field.copy_from_slice(&bytes[at..at + Reference::SIZE]);
            Reference::parse(&field)
        };
        let mut guid = [0; 16];
        guid.copy_from_slice(&bytes[24..40]);
        let (part, parts) = (u16_at(&bytes, 40), u16_at(&bytes, 42));
        if part == 0 || part > parts {
            return Err(damaged(file, "the part number is invalid", at).expected(format_args!("1 to {parts}"), part));
        }
        Ok(Header {
            flags,
            compression,
            chunk_size,
            guid,
            part,
            parts,
            images: u32_at(&bytes, 44),
            table: reference(TABLE_AT),
            xml: reference(XML_AT),
            boot_metadata: reference(BOOT_METADATA_AT),
            boot_image: u32_at(&bytes, 120),
            integrity: reference(INTEGRITY_AT),
            is_pipable,
            bytes,
        })
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

fn damaged(file: &dyn Storage, what: &str, at: u64) -> Error {
    placed(Error::new(Kind::Corrupt, Code::WimHeader, what), file, at)
        .advise("the archive is damaged or truncated: look for another copy of it")
}

fn unknown(file: &dyn Storage, what: &str, at: u64) -> Error {
    placed(Error::new(Kind::Unsupported, Code::WimVersion, what), file, at)
        .advise("look for another copy of the archive, or have the program that made it write version 1.13")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_round_trip() {
        let bytes: [u8; 24] = std::array::from_fn(|i| i as u8 * 11);
        let reference = Reference::parse(&bytes);
        assert_eq!((reference.flags, reference.to_bytes()), (77, bytes));
    }
}
