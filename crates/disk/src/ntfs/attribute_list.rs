//! Attribute lists of files with several records (Microsoft, "ATTRIBUTE_LIST_ENTRY").

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::attribute::is_name;
use super::corrupt;
use super::record::Reference;
use hivewright_error::{Code, Result};

/// Maximum size of a list in bytes, the limit of Windows.
pub const MAX_SIZE: u64 = 256 << 10;

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    kind: U32,
    length: U16,
    name_length: u8,
    name_offset: u8,
    lowest_vcn: U64,
    record: U64,
    instance: U16,
}

/// One part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First cluster of the stream in this part.
    pub lowest_vcn: u64,
    /// The record that holds the attribute.
    pub record: Reference,
}

/// Returns the parts of the attribute of `kind` called `name`, in order. `list` lies at volume offset `at`.
///
/// # Errors
/// `ntfs-attribute-list`.
pub fn parts(list: &[u8], kind: u32, name: &str, at: u64) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut i = 0;
    while i < list.len() {
        let wrong = |what| corrupt(Code::NtfsAttributeList, what, at);
        let rest = &list[i..];
        let (header, _) = Header::read_from_prefix(rest).map_err(|_| wrong("an attribute list is truncated"))?;
        let length = usize::from(header.length.get());
        if length < size_of::<Header>() || length > rest.len() || !length.is_multiple_of(8) {
            return Err(wrong("an entry of an attribute list")
                .expected(format_args!("a length of 32 to {}", rest.len()), length));
        }
        let units = match header.name_length {
            0 => Some(&[][..]),
            count => {
                rest[..length].get(usize::from(header.name_offset)..).and_then(|t| t.get(..2 * usize::from(count)))
            }
        };
        let units = units.ok_or_else(|| wrong("a name exceeds its entry of the attribute list"))?;
        if header.kind.get() == kind && is_name(units, name) {
            parts.push(Part { lowest_vcn: header.lowest_vcn.get(), record: Reference(header.record.get()) });
        }
        i += length;
    }
    parts.sort_by_key(|part| part.lowest_vcn);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u8, name: &str, lowest: u8, record: u8) -> Vec<u8> {
        let mut bytes = vec![0; (26 + 2 * name.len()).next_multiple_of(8)];
        bytes[0] = kind;
        bytes[4] = bytes.len() as u8;
        bytes[6] = name.len() as u8;
        bytes[7] = 26;
        bytes[8] = lowest;
        bytes[16] = record;
        for (i, unit) in name.encode_utf16().enumerate() {
            bytes[26 + 2 * i..28 + 2 * i].copy_from_slice(&unit.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn parts_are_in_the_order_of_their_clusters() {
        let list =
            [entry(0x10, "", 0, 1), entry(0x80, "", 9, 3), entry(0x80, "other", 0, 4), entry(0x80, "", 0, 2)].concat();
        let found: Vec<_> =
            parts(&list, 0x80, "", 0).unwrap().iter().map(|p| (p.lowest_vcn, p.record.number())).collect();
        assert_eq!(found, [(0, 2), (9, 3)]);
        assert_eq!(parts(&list, 0x80, "other", 0).unwrap().len(), 1);
    }

    #[test]
    fn invalid_entries_are_refused() {
        for (i, byte) in [(4, 0), (4, 25), (4, 40), (5, 0xff), (6, 200), (7, 40)] {
            let mut list = entry(0x80, "a", 0, 2);
            list[i] = byte;
            assert_eq!(parts(&list, 0x80, "a", 0).unwrap_err().code(), "ntfs-attribute-list", "{i} {byte}");
        }
    }
}
