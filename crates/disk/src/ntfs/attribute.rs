//! Attributes of a file record (Linux-NTFS documentation, "Attribute header"; Microsoft, "ATTRIBUTE_RECORD_HEADER").

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::corrupt;
use hivewright_error::{Code, Result};

/// Types of attributes.
pub mod kind {
    /// Times, flags, and the case sensitivity of a folder.
    pub const STANDARD_INFORMATION: u32 = 0x10;
    /// The list of attributes of a file with several records.
    pub const ATTRIBUTE_LIST: u32 = 0x20;
    /// A name of the file, and its parent folder.
    pub const FILE_NAME: u32 = 0x30;
    /// The volume's label.
    pub const VOLUME_NAME: u32 = 0x60;
    /// Version and flags of the volume.
    pub const VOLUME_INFORMATION: u32 = 0x70;
    /// A stream of bytes.
    pub const DATA: u32 = 0x80;
    /// The root node of an index.
    pub const INDEX_ROOT: u32 = 0x90;
    /// The other nodes of an index.
    pub const INDEX_ALLOCATION: u32 = 0xa0;
    /// The bitmap of index blocks in use.
    pub const BITMAP: u32 = 0xb0;
    /// The target of a link, or the tag of a filter driver.
    pub const REPARSE_POINT: u32 = 0xc0;
    /// The end of the attributes.
    pub const END: u32 = u32::MAX;
}

/// Flags of an attribute.
pub mod flags {
    /// Compressed; the bits hold the method.
    pub const COMPRESSED: u16 = 0x00ff;
    /// Encrypted.
    pub const ENCRYPTED: u16 = 0x4000;
    /// Sparse.
    pub const SPARSE: u16 = 0x8000;
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    kind: U32,
    /// 4: bytes of the attribute, a multiple of 8.
    pub(super) length: U32,
    non_resident: u8,
    name_length: u8,
    name_offset: U16,
    flags: U16,
    instance: U16,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Resident {
    value_length: U32,
    value_offset: U16,
    indexed: U16,
}

/// Header of a non-resident attribute after the common part.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct NonResident {
    /// 16: first cluster of the stream that this attribute maps.
    pub lowest_vcn: U64,
    /// 24: the last; all ones for none.
    pub highest_vcn: U64,
    /// 32.
    pub runs_offset: U16,
    /// 34: power of two of the clusters in a compression unit; 0 for none.
    pub compression_unit: u8,
    reserved: [u8; 5],
    /// 40: this and the next two count in the first attribute of a stream only.
    pub allocated: U64,
    /// 48.
    pub len: U64,
    /// 56: the valid data length; bytes after it read as zeros.
    pub valid_len: U64,
}

/// The place of an attribute's bytes.
#[derive(Clone, Copy, Debug)]
pub enum Form<'r> {
    /// In the record.
    Resident(&'r [u8]),
    /// In clusters; the second is the encoded run list.
    Runs(NonResident, &'r [u8]),
}

/// An attribute.
#[derive(Clone, Copy, Debug)]
pub struct Attribute<'r> {
    /// See [`kind`].
    pub kind: u32,
    /// See [`flags`].
    pub flags: u16,
    /// Its instance number in the record.
    pub instance: u16,
    /// UTF-16, little-endian.
    pub name: &'r [u8],
    /// The place of its bytes.
    pub form: Form<'r>,
    /// Volume offset of the attribute.
    pub at: u64,
    /// Bytes from the start of the record.
    pub offset: usize,
    /// Bytes from the start of the attribute to its value or run list.
    pub body: usize,
    /// Bytes of the attribute, a multiple of 8.
    pub length: usize,
}

impl Attribute<'_> {
    /// First cluster that it maps.
    pub fn lowest_vcn(&self) -> u64 {
        match self.form {
            Form::Resident(_) => 0,
            Form::Runs(header, _) => header.lowest_vcn.get(),
        }
    }

    /// Returns whether it has this `kind` and the name `name` (ASCII, case-sensitive).
    pub fn is(&self, kind: u32, name: &str) -> bool {
        self.kind == kind && is_name(self.name, name)
    }
}

/// Returns whether UTF-16 bytes equal `name`.
pub fn is_name(units: &[u8], name: &str) -> bool {
    units.len() == 2 * name.len() && units.chunks_exact(2).zip(name.bytes()).all(|(unit, byte)| unit == [byte, 0])
}

/// Iterates over the attributes in `record` (fixed up, cut to the bytes in use) from `start` on, which lies at volume
/// offset `at`. Ends after the first error.
pub fn all(record: &[u8], start: usize, at: u64) -> impl Iterator<Item = Result<Attribute<'_>>> {
    let mut next = Some(start);
    std::iter::from_fn(move || {
        let i = next.take()?;
        match parse(record, i, at + i as u64) {
            Ok(Some(attribute)) => {
                next = Some(i + attribute.length);
                Some(Ok(attribute))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    })
}

fn parse(record: &[u8], offset: usize, at: u64) -> Result<Option<Attribute<'_>>> {
    let wrong = |what| corrupt(Code::NtfsAttribute, what, at);
    let rest = record.get(offset..).unwrap_or_default();
    if rest.starts_with(&kind::END.to_le_bytes()) {
        return Ok(None);
    }
    let (header, _) = Header::read_from_prefix(rest).map_err(|_| wrong("the list of attributes has no end"))?;
    let length = header.length.get() as usize;
    if length < size_of::<Header>() || !length.is_multiple_of(8) || length > rest.len() {
        return Err(
            wrong("the length of an attribute").expected(format_args!("a multiple of 8 up to {}", rest.len()), length)
        );
    }
    let bytes = &rest[..length];
    let part = |offset: U16, len: usize| {
        let offset = usize::from(offset.get());
        bytes.get(offset..).and_then(|tail| tail.get(..len))
    };
    let name = match header.name_length {
        0 => &[],
        units => part(header.name_offset, 2 * usize::from(units))
            .ok_or_else(|| wrong("the name of an attribute exceeds it"))?,
    };
    let behind = &bytes[size_of::<Header>()..];
    let (form, body) = match header.non_resident {
        0 => {
            let (fields, _) = Resident::read_from_prefix(behind).map_err(|_| wrong("an attribute is truncated"))?;
            let value = part(fields.value_offset, fields.value_length.get() as usize);
            let value = value.ok_or_else(|| wrong("the value of an attribute exceeds it"))?;
            (Form::Resident(value), fields.value_offset)
        }
        1 => {
            let (fields, _) = NonResident::read_from_prefix(behind).map_err(|_| wrong("an attribute is truncated"))?;
            let runs = bytes.get(usize::from(fields.runs_offset.get())..);
            let runs = runs.ok_or_else(|| wrong("the run list of an attribute is outside it"))?;
            (Form::Runs(fields, runs), fields.runs_offset)
        }
        _ => return Err(wrong("an attribute is neither resident nor nonresident")),
    };
    let (kind, flags, instance) = (header.kind.get(), header.flags.get(), header.instance.get());
    let body = usize::from(body.get());
    Ok(Some(Attribute { kind, flags, instance, name, form, at, offset, body, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_matches_the_documentation() {
        assert_eq!((size_of::<Header>(), size_of::<Resident>(), size_of::<NonResident>()), (16, 8, 48));
    }

    #[test]
    fn invalid_lengths_end_the_list() {
        let mut record = vec![0u8; 64];
        record[0] = 0x80;
        for length in [0u32, 8, 15, 17, 72, u32::MAX - 7] {
            record[4..8].copy_from_slice(&length.to_le_bytes());
            let found: Vec<_> = all(&record, 0, 0).collect();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].as_ref().unwrap_err().code(), "ntfs-attribute");
        }
        assert!(all(&record, 1000, 0).next().unwrap().is_err(), "no end marker");
    }
}
