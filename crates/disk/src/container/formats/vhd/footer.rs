//! The footer (specification, "Hard Disk Footer Format"): at the end of the file, with a copy at the start of every
//! image that is not fixed.

use super::{Uuid, checksum, corrupt, u32_at, u64_at};
use hivewright_error::{Code, Error, Result};
use hivewright_storage::Storage;

pub(super) const COOKIE: &[u8] = b"conectix";
/// Bytes of a footer. Before Virtual PC 2004 it lacked the last byte, a zero.
pub(super) const LENGTHS: [usize; 2] = [512, 511];

/// The type of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Fixed,
    Dynamic,
    Differencing,
}

/// A footer with valid cookie, checksum, version and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) kind: Type,
    /// Size of the disk in bytes.
    pub(super) size: u64,
    /// Offset of the header of a dynamic or differencing image.
    pub(super) header: u64,
    /// Creation time in seconds since 2000.
    pub(super) made: u32,
    pub(super) creator: String,
    /// Size of the disk in bytes by its cylinders, heads and sectors.
    pub(super) geometry: u64,
    pub(super) uuid: Uuid,
    pub(super) saved_state: bool,
    /// Offset of the footer in the file.
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
}

impl Footer {
    /// Parses the footer in `bytes`, which lie at offset `at`.
    pub(super) fn parse(bytes: &[u8], at: u64) -> Result<Self> {
        let invalid = |what| corrupt(Code::VhdFooter, what, at);
        if !bytes.starts_with(COOKIE) || bytes.len() < LENGTHS[1] {
            return Err(invalid("the file has no VHD footer"));
        }
        let (found, sum) = (u32_at(bytes, 64), checksum(bytes, 64));
        if found != sum {
            return Err(invalid("the checksum of a VHD footer is wrong")
                .expected(format_args!("{sum:#010x}"), format_args!("{found:#010x}")));
        }
        let version = u32_at(bytes, 12);
        if version >> 16 != 1 {
            return Err(invalid("the version of the VHD footer is not supported")
                .expected("1.x", format_args!("{}.{}", version >> 16, version & 0xffff)));
        }
        let kind = match u32_at(bytes, 60) {
            2 => Type::Fixed,
            3 => Type::Dynamic,
            4 => Type::Differencing,
            other => return Err(invalid("the type of the VHD image is not supported").expected("2, 3 or 4", other)),
        };
        let size = u64_at(bytes, 48);
        if size == 0 {
            return Err(invalid("the disk of the VHD image has no bytes"));
        }
        let [cylinders, heads, sectors] = [u64::from(u32_at(bytes, 56) >> 16), bytes[58].into(), bytes[59].into()];
        Ok(Footer {
            kind,
            size,
            header: u64_at(bytes, 16),
            made: u32_at(bytes, 24),
            creator: bytes[28..32].escape_ascii().to_string().trim_end().to_owned(),
            geometry: cylinders * heads * sectors * 512,
            uuid: Uuid::at(bytes, 68),
            saved_state: bytes[84] != 0,
            at,
            bytes: bytes.to_vec(),
        })
    }

    /// Checks that the file has room for the disk before `end`.
    fn fits(self, end: u64) -> Result<Self> {
        let wanted = match self.kind {
            Type::Fixed => Some(self.size),
            _ => self.header.checked_add(1024),
        };
        if wanted.is_none_or(|wanted| wanted > end) {
            let wanted = wanted.map_or("more than 2^64".to_owned(), |wanted| wanted.to_string());
            let what = "the file is truncated: it is shorter than its footer requires";
            return Err(corrupt(Code::VhdTruncated, what, self.at)
                .expected(format_args!("{wanted} bytes before the footer"), end)
                .advise("copy it again from its source; the missing bytes cannot be restored"));
        }
        Ok(self)
    }

    fn read(file: &dyn Storage, at: u64, len: usize) -> Result<Self> {
        let mut bytes = vec![0; len];
        file.read_at(at, &mut bytes)?;
        Footer::parse(&bytes, at)
    }

    /// Returns whether both footers describe the same disk.
    fn agrees(&self, other: &Footer) -> bool {
        (self.kind, self.size, self.header, self.uuid) == (other.kind, other.size, other.header, other.uuid)
    }
}

/// Returns the footer at the end of `file`, else the copy at its start, and appends remarks on defects.
pub(super) fn find(file: &dyn Storage, remarks: &mut Vec<(Code, String)>) -> Result<Footer> {
    let len = file.len()?;
    if len < 512 {
        return Err(corrupt(Code::VhdFooter, "the file is truncated: a VHD image has 512 bytes or more", 0));
    }
    let mut last = Footer::read(file, len - 512, 512);
    if last.is_err()
        && let Ok(older) = Footer::read(file, len - 511, 511)
    {
        last = Ok(older);
    }
    let last = last.and_then(|footer| {
        let at = footer.at;
        footer.fits(at)
    });
    let copy = || Footer::read(file, 0, 512).and_then(|footer| footer.fits(len)).and_then(not_fixed);
    match last {
        Err(error) => {
            // If the file is too short for a valid copy, that error is more useful than the missing footer.
            let footer =
                copy().map_err(|of_copy| if of_copy.code() == Code::VhdTruncated { of_copy } else { error })?;
            let what = "the footer at the end of the file is damaged; its copy at the start is used";
            remarks.push((Code::VhdFooterDamaged, what.to_owned()));
            Ok(footer)
        }
        Ok(footer) if footer.kind == Type::Fixed => {
            if footer.at != footer.size {
                let what = format!("the file has {} bytes between the disk and the footer", footer.at - footer.size);
                remarks.push((Code::VhdSlack, what));
            }
            Ok(footer)
        }
        Ok(footer) => {
            match copy() {
                Ok(copy) if copy.agrees(&footer) => {}
                Ok(_) => remarks.push((Code::VhdCopyDiffers, "the copy of the footer differs".to_owned())),
                Err(error) => {
                    remarks
                        .push((Code::VhdCopyDamaged, format!("the copy of the footer is invalid: {}", error.what())));
                }
            }
            Ok(footer)
        }
    }
}

/// Returns the footer unless its type is fixed: a fixed image has no copy, and its first bytes are data.
fn not_fixed(footer: Footer) -> Result<Footer> {
    let fixed = || -> Error { corrupt(Code::VhdFooter, "the copy of the footer is of a fixed image", 0) };
    if footer.kind == Type::Fixed { Err(fixed()) } else { Ok(footer) }
}
