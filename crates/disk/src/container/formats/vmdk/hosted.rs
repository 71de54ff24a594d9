//! The header of a sparse extent of VMware Workstation and related products.
//!
//! Facts: *Virtual Disk Format 5.0*, "Hosted Sparse Extents" and "Stream-Optimized Compressed Sparse Extents". All
//! numbers are little-endian, all offsets and sizes in sectors: magic 0 (4), version 4 (4), flags 8 (4), capacity 12
//! (8), grain size 20 (8), descriptor 28 (8) and its size 36 (8), entries of a table 44 (4), redundant directory 48
//! (8), directory 56 (8), overhead 64 (8), unclean 72 (1), four bytes that a text transfer would change 73, compression
//! 77 (2).

use std::sync::Arc;

use super::grains::Layout;
use super::{SECTOR, broken, refusal};
use crate::container::cut_short;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::span::placed;

pub(super) const MAGIC: &[u8] = b"KDMV";
/// The directory offset that means that the footer has the directory.
const AT_END: u64 = u64::MAX;
const MARKER_OF_FOOTER: u32 = 3;

mod flags {
    pub(super) const NEWLINES: u32 = 1;
    pub(super) const REDUNDANT: u32 = 1 << 1;
    pub(super) const ZEROED: u32 = 1 << 2;
    pub(super) const COMPRESSED: u32 = 1 << 16;
    pub(super) const MARKERS: u32 = 1 << 17;
}

/// The first sector of an extent.
pub(super) struct Header {
    bytes: [u8; 512],
}

impl Header {
    pub(super) fn read(file: &Arc<dyn Storage>) -> Result<Self> {
        Header::read_at(file, 0)
    }

    fn read_at(file: &Arc<dyn Storage>, offset: u64) -> Result<Self> {
        let mut bytes = [0; 512];
        let wrong = |code, what: String| Err(placed(broken(code, what), &**file, offset));
        if file.len()? < SECTOR {
            let error = cut_short(Code::VmdkHeader, "it ends inside its header", SECTOR, file.len()?);
            return Err(placed(error, &**file, offset));
        }
        file.read_at(offset, &mut bytes)?;
        let header = Header { bytes };
        if !bytes.starts_with(MAGIC) {
            return wrong(Code::VmdkMagic, "the extent is not a sparse extent".into());
        }
        let version = header.u32(4);
        if !(1..=3).contains(&version) {
            let what = format!("version {version} of sparse extents is not supported");
            return Err(placed(Error::new(Kind::Unsupported, Code::VmdkVersion, what), &**file, offset + 4));
        }
        if header.has(flags::NEWLINES) && bytes[73..77] != *b"\n \r\n" {
            return wrong(Code::VmdkNewlines, "its line ends were changed: it was copied as text".into());
        }
        Ok(header)
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]])
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }

    fn has(&self, flag: u32) -> bool {
        self.u32(8) & flag != 0
    }

    /// Returns a field in sectors as bytes.
    fn sectors(&self, at: usize) -> Result<u64> {
        let too_large = || {
            broken(Code::VmdkHeader, format!("the header of a sparse extent holds {:#x} sectors at {at}", self.u64(at)))
        };
        // Sums of two of them must not overflow.
        self.u64(at).checked_mul(SECTOR).filter(|&bytes| bytes < 1 << 62).ok_or_else(too_large)
    }

    /// Returns offset and length of the descriptor, if the extent has one.
    pub(super) fn descriptor(&self) -> Result<Option<(u64, u64)>> {
        let found = (self.sectors(28)?, self.sectors(36)?);
        Ok(Some(found).filter(|&(start, len)| start > 0 && len > 0))
    }

    pub(super) fn layout(&self, file: &Arc<dyn Storage>) -> Result<Layout> {
        if self.u64(56) == AT_END { self.footer(file)?.layout_here() } else { self.layout_here() }
    }

    fn layout_here(&self) -> Result<Layout> {
        let packed = self.has(flags::COMPRESSED).then(|| self.has(flags::MARKERS));
        let method = u16::from_le_bytes([self.bytes[77], self.bytes[78]]);
        if packed.is_some() && method != 1 {
            let what = format!("the compression method {method} is not supported");
            return Err(Error::new(Kind::Unsupported, Code::VmdkCompression, what));
        }
        let per_table = u64::from(self.u32(44));
        if per_table > 512 {
            return Err(broken(Code::VmdkHeader, "a table has too many entries").expected(512, per_table));
        }
        let redundant = self.sectors(48).ok().filter(|&at| at > 0 && self.has(flags::REDUNDANT));
        let mut metadata = vec![(0, SECTOR)];
        metadata.extend(self.descriptor()?.map(|(start, len)| (start, start + len)));
        let unclean =
            format!("convert a copy of it: {}; or start its virtual machine and shut it down", advised::TO_SPARSE_VMDK);
        let refusal = match (packed, self.bytes[72]) {
            (Some(_), _) => Some(refusal(
                Code::VmdkStream,
                "its grains are compressed, so changed grains may not fit in place",
                &format!("convert a copy of it: {}", advised::TO_SPARSE_VMDK),
            )),
            (None, 0) => None,
            _ => Some(refusal(
                Code::VmdkUnclean,
                "it was not closed: a virtual machine uses it, or has crashed",
                &unclean,
            )),
        };
        Ok(Layout {
            capacity: self.sectors(12)?,
            grain: self.sectors(20)?,
            per_table,
            directory: self.sectors(56)?,
            redundant,
            zeroed: self.has(flags::ZEROED),
            packed,
            grows: packed.is_none(),
            metadata,
            refusal,
            ..Layout::default()
        })
    }

    /// Returns the footer of a stream, a copy of the header three sectors from the end: a marker, the footer, and the
    /// end-of-stream marker.
    fn footer(&self, file: &Arc<dyn Storage>) -> Result<Header> {
        let len = file.len()?;
        let start = len.saturating_sub(3 * SECTOR);
        let no_footer = || {
            let error = broken(Code::VmdkFooter, "the stream has no footer");
            placed(error, &**file, start).advise("it was truncated in transfer: look for a complete copy")
        };
        let mut tail = [0; 1536];
        if len < 4 * SECTOR {
            return Err(no_footer());
        }
        file.read_at(start, &mut tail)?;
        let marker = |at: usize| (tail[at + 8..at + 12] == [0; 4]).then(|| tail[at + 12]);
        if marker(0).map(u32::from) != Some(MARKER_OF_FOOTER) || marker(1024) != Some(0) {
            return Err(no_footer());
        }
        let footer = Header::read_at(file, start + SECTOR)?;
        if (12..28).any(|i| footer.bytes[i] != self.bytes[i]) || footer.u64(56) == AT_END {
            return Err(no_footer());
        }
        Ok(footer)
    }
}
