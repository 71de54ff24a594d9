//! File records of `$MFT` (Linux-NTFS documentation, "FILE Record"; Microsoft, "FILE_RECORD_SEGMENT_HEADER").

use std::fmt;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::attribute::{self, Attribute, Form, flags, kind};
use super::{corrupt, fixup};
use crate::files::reparse;
use hivewright_error::{Code, Error, Result};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// `FILE`, or `BAAD` in a record that chkdsk found torn.
    signature: [u8; 4],
    fixup: [u8; 4],
    log_sequence: U64,
    /// 16: raised when the record is freed.
    sequence: U16,
    /// 18.
    links: U16,
    /// 20.
    attributes: U16,
    /// 22.
    flags: U16,
    /// 24: bytes up to the end of the last attribute, including the end mark.
    pub(super) used: U32,
    /// 28: bytes of the record.
    pub(super) allocated: U32,
    /// 32: the record that this one extends; 0 for none.
    base: U64,
    next_instance: U16,
}

const IN_USE: u16 = 1;
const IS_FOLDER: u16 = 2;

/// A file reference: 48 bits of record number, 16 bits of sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reference(pub u64);

impl Reference {
    /// Returns the record's number.
    pub fn number(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }

    /// Returns the sequence number of the record when the reference was made; 0 means that it is not compared.
    pub fn sequence(self) -> u16 {
        // The upper 16 bits fit.
        (self.0 >> 48) as u16
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number(), self.sequence())
    }
}

/// A record in use.
#[derive(Debug)]
pub struct Record {
    /// Its number.
    pub number: u64,
    /// Volume offset of its first byte.
    pub at: u64,
    /// Its sequence number.
    pub sequence: u16,
    /// Number of its names.
    pub links: u16,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// The base record, if it is an extension.
    pub base: Option<Reference>,
    bytes: Vec<u8>,
    attributes: usize,
}

impl Record {
    /// Parses record `number`, whose bytes as on the medium lie at volume offset `at`.
    ///
    /// # Errors
    /// `ntfs-record`, `ntfs-record-torn`, `ntfs-fixup`; `ntfs-record-free` if it is not in use.
    pub fn parse(mut bytes: Vec<u8>, number: u64, at: u64) -> Result<Record> {
        let wrong = |what, field: u64| corrupt(Code::NtfsRecord, format!("file record {number}: {what}"), at + field);
        let (header, _) = Header::read_from_prefix(&bytes).map_err(|_| wrong("too short", 0))?;
        match &header.signature {
            b"FILE" => fixup::apply(&mut bytes, at, Code::NtfsRecordTorn)?,
            b"BAAD" => {
                return Err(corrupt(Code::NtfsRecordTorn, format!("file record {number} is marked as torn"), at));
            }
            other => {
                return Err(wrong("the signature is missing", 0)
                    .expected("\"FILE\"", format_args!("\"{}\"", other.escape_ascii())));
            }
        }
        if header.flags.get() & IN_USE == 0 {
            return Err(corrupt(
                Code::NtfsRecordFree,
                format!("a reference leads to file record {number}, which is not in use"),
                at,
            ));
        }
        let (used, attributes) = (header.used.get() as usize, usize::from(header.attributes.get()));
        if used > bytes.len() || attributes > used || attributes < size_of::<Header>() {
            return Err(wrong("the bytes in use", 24).expected(format_args!("at most {}", bytes.len()), used));
        }
        bytes.truncate(used);
        Ok(Record {
            number,
            at,
            sequence: header.sequence.get(),
            links: header.links.get(),
            is_folder: header.flags.get() & IS_FOLDER != 0,
            base: Some(Reference(header.base.get())).filter(|base| base.0 != 0),
            bytes,
            attributes,
        })
    }

    /// Iterates over the attributes in this record. Ends after the first error.
    pub fn attributes(&self) -> impl Iterator<Item = Result<Attribute<'_>>> {
        attribute::all(&self.bytes, self.attributes, self.at)
    }

    /// Returns the first attribute of `kind` in this record, whatever its name.
    ///
    /// # Errors
    /// `ntfs-attribute`.
    pub fn first(&self, kind: u32) -> Result<Option<Attribute<'_>>> {
        for attribute in self.attributes() {
            let attribute = attribute?;
            if attribute.kind == kind {
                return Ok(Some(attribute));
            }
        }
        Ok(None)
    }

    /// Returns the value of the first attribute of `kind`, if it is resident.
    ///
    /// # Errors
    /// `ntfs-attribute`.
    pub fn value(&self, kind: u32) -> Result<Option<&[u8]>> {
        Ok(self.first(kind)?.and_then(|attribute| match attribute.form {
            Form::Resident(value) => Some(value),
            Form::Runs(..) => None,
        }))
    }

    /// Returns whether the folder is case-sensitive. Since Windows 10 1803, two fields of `$STANDARD_INFORMATION` that
    /// were version numbers show it: maximum 0, current 1 (libfsntfs, keramics).
    ///
    /// # Errors
    /// `ntfs-attribute`.
    pub fn minds_case(&self) -> Result<bool> {
        let value = self.value(kind::STANDARD_INFORMATION)?.unwrap_or_default();
        Ok(value.get(36..44) == Some(&[0, 0, 0, 0, 1, 0, 0, 0]))
    }

    /// Checks that the record is that of `reference`.
    ///
    /// # Errors
    /// `ntfs-stale-reference`.
    pub fn expect(&self, reference: Reference) -> Result<()> {
        if reference.sequence() != 0 && reference.sequence() != self.sequence {
            return Err(corrupt(
                Code::NtfsStaleReference,
                format!("a reference leads to file record {}, which now belongs to another file", self.number),
                self.at + 16,
            )
            .expected(reference.sequence(), self.sequence));
        }
        Ok(())
    }

    /// Returns the error for a link at `path`, or for a file whose contents a filter driver makes; `None` for other
    /// records.
    ///
    /// # Errors
    /// `ntfs-attribute`.
    pub fn reparse(&self, path: &str) -> Result<Option<Error>> {
        let Some(attribute) = self.first(kind::REPARSE_POINT)? else { return Ok(None) };
        let tag = match attribute.form {
            Form::Resident([a, b, c, d, ..]) => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => 0,
        };
        let refusal = reparse::refusal(path, tag, self.is_folder);
        Ok(refusal.map(|error| error.at(hivewright_error::Space::Volume, attribute.at)))
    }
}

/// Returns whether the flags of an attribute mark its clusters as compressed or encrypted.
pub fn is_transformed(attribute_flags: u16) -> bool {
    attribute_flags & (flags::COMPRESSED | flags::ENCRYPTED) != 0
}
