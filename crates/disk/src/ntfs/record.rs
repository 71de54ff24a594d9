//! File records of `$MFT` (Linux-NTFS documentation, "FILE Record"; Microsoft, "FILE_RECORD_SEGMENT_HEADER").

use std::fmt;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::attribute::{self, Attribute, Form, flags, kind};
use super::{corrupt, fixup};
use crate::files::FILTERED;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::advised;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    /// `FILE`, or `BAAD` where chkdsk met a torn record.
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
    /// 24: bytes up to the end of the last attribute, the end mark included.
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
    /// The record's number.
    pub fn number(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }

    /// The sequence number that the record had when the reference was made; 0 if it is not to be compared.
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
    /// Names that lead to it.
    pub links: u16,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// The record that it extends.
    pub base: Option<Reference>,
    bytes: Vec<u8>,
    attributes: usize,
}

impl Record {
    /// Reads record `number`, whose bytes stand at volume offset `at` as they were on the medium.
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
                format!("file record {number} is referred to and not in use"),
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

    /// The attributes that stand in this record. Ends behind the first error.
    pub fn attributes(&self) -> impl Iterator<Item = Result<Attribute<'_>>> {
        attribute::all(&self.bytes, self.attributes, self.at)
    }

    /// The first attribute of `kind` in this record, whatever its name.
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

    /// The value of the first attribute of `kind`, if it is resident.
    ///
    /// # Errors
    /// `ntfs-attribute`.
    pub fn value(&self, kind: u32) -> Result<Option<&[u8]>> {
        Ok(self.first(kind)?.and_then(|attribute| match attribute.form {
            Form::Resident(value) => Some(value),
            Form::Runs(..) => None,
        }))
    }

    /// Whether names in this folder differ by case. Since Windows 10 1803 the two fields of `$STANDARD_INFORMATION`
    /// that once counted versions of a file say so: at most 0, now 1 (libfsntfs, keramics).
    ///
    /// # Errors
    /// `ntfs-attribute`.
    pub fn minds_case(&self) -> Result<bool> {
        let value = self.value(kind::STANDARD_INFORMATION)?.unwrap_or_default();
        Ok(value.get(36..44) == Some(&[0, 0, 0, 0, 1, 0, 0, 0]))
    }

    /// Checks that the record is the one that `reference` was made for.
    ///
    /// # Errors
    /// `ntfs-stale-reference`.
    pub fn expect(&self, reference: Reference) -> Result<()> {
        if reference.sequence() != 0 && reference.sequence() != self.sequence {
            return Err(corrupt(
                Code::NtfsStaleReference,
                format!("a reference leads to file record {}, which is another file by now", self.number),
                self.at + 16,
            )
            .expected(reference.sequence(), self.sequence));
        }
        Ok(())
    }

    /// The error for a link, or for a file whose bytes a filter driver makes, that stands at `path`; `None` if the record is
    /// neither.
    ///
    /// # Errors
    /// `ntfs-attribute`.
    pub fn reparse(&self, path: &str) -> Result<Option<Error>> {
        let Some(attribute) = self.first(kind::REPARSE_POINT)? else { return Ok(None) };
        let tag = match attribute.form {
            Form::Resident([a, b, c, d, ..]) => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => 0,
        };
        // A folder keeps its own index unless the tag says that another name is meant (Microsoft, "Reparse point
        // tags", bit N): folders of cloud files and the like are walked as they are.
        const ANOTHER_NAME: u32 = 0x2000_0000;
        if self.is_folder && tag & ANOTHER_NAME == 0 && tag != 0 {
            return Ok(None);
        }
        let compressed = of_compressed();
        let (code, what, advice) = match tag {
            0xa000_0003 => (LINK, "a junction or mount point", OF_LINK),
            0xa000_000c => (LINK, "a symbolic link", OF_LINK),
            0x8000_0017 => (FILTERED, "a file compressed by Windows (WOF: compact OS or WIMBoot)", &*compressed),
            0x8000_0013 => (FILTERED, "a deduplicated file", OF_FILTERED),
            tag if tag & ANOTHER_NAME == 0 && tag != 0 => (FILTERED, "a file whose bytes Windows makes", OF_FILTERED),
            _ => (LINK, "a reparse point", OF_LINK),
        };
        let what = format!("{path} is {what}, tag {tag:#010x}");
        let error = Error::new(Kind::Unsupported, code, what).at(hivewright_error::Space::Volume, attribute.at);
        Ok(Some(error.advise(advice)))
    }
}

const LINK: Code = Code::FileReparse;
const OF_LINK: &str = "name the place that it leads to";
fn of_compressed() -> String {
    format!(
        "have Windows store it plainly again, `{}` with its path: in that Windows itself, or in another one that has the disk \
         attached; or copy it out with Windows, and edit the copy",
        advised::UNCOMPRESS_WOF
    )
}
const OF_FILTERED: &str = "copy the file out with the Windows that keeps it so, and edit the copy";

/// Whether the flags of an attribute say that its clusters hold other bytes than its own.
pub fn is_transformed(attribute_flags: u16) -> bool {
    attribute_flags & (flags::COMPRESSED | flags::ENCRYPTED) != 0
}
