//! Access control lists and their entries (MS-DTYP 2.4.4 and 2.4.5).

use super::{Sid, damaged};
use hivewright_error::{Code, Error, Kind, Result};

/// Bytes of the header of a list.
const HEADER_SIZE: usize = 8;
/// Bytes of the header of an entry.
const ENTRY_HEADER_SIZE: usize = 4;
/// The largest size of a list and of an entry in bytes: the fields have 16 bits.
const MAX_SIZE: usize = 0xffff;

/// Flags of an entry (MS-DTYP 2.4.4.1; `CRITICAL` is winnt.h's).
pub mod ace_flags {
    /// Objects in the container inherit it. A registry key holds no such objects.
    pub const OBJECT_INHERIT: u8 = 0x01;
    /// Containers in the container inherit it: subkeys.
    pub const CONTAINER_INHERIT: u8 = 0x02;
    /// Heirs do not pass it on.
    pub const NO_PROPAGATE: u8 = 0x04;
    /// It does not apply to the object itself.
    pub const INHERIT_ONLY: u8 = 0x08;
    /// It was inherited.
    pub const INHERITED: u8 = 0x10;
    /// It may not be removed.
    pub const CRITICAL: u8 = 0x20;
    /// An audit of successful accesses.
    pub const SUCCESSFUL_ACCESS: u8 = 0x40;
    /// An audit of failed accesses.
    pub const FAILED_ACCESS: u8 = 0x80;
}

/// The type of an entry (MS-DTYP 2.4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AceType(pub u8);

impl AceType {
    /// Grants rights.
    pub const ALLOWED: AceType = AceType(0x00);
    /// Denies rights.
    pub const DENIED: AceType = AceType(0x01);
    /// Audits the use of rights.
    pub const AUDIT: AceType = AceType(0x02);
    /// The integrity level.
    pub const MANDATORY_LABEL: AceType = AceType(0x11);

    /// Returns whether the entry has a mask, then up to two types of objects, then a security identifier.
    pub(super) fn has_object_types(self) -> bool {
        matches!(self.0, 0x05..=0x08 | 0x0b | 0x0c | 0x0f | 0x10)
    }

    /// Returns whether the entry has a mask and a security identifier at once (all types of MS-DTYP and winnt.h but the
    /// compound one, and those with types of objects).
    fn is_plain(self) -> bool {
        matches!(self.0, 0x00..=0x03 | 0x09 | 0x0a | 0x0d | 0x0e | 0x11..=0x15)
    }

    /// Returns whether bytes after the security identifier are part of the entry: a condition, an attribute.
    pub(super) fn has_data(self) -> bool {
        matches!(self.0, 0x09..=0x10 | 0x12 | 0x15)
    }
}

/// A GUID, as its 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

/// The types of objects of an entry. Registry keys have no types, so such an entry never applies to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ObjectTypes {
    /// The type, property or right that the entry is about.
    pub object: Option<Guid>,
    /// The type of objects that inherit the entry.
    pub inherited: Option<Guid>,
}

/// The rest of an entry after its header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AceBody {
    /// Rights of a principal.
    Rights {
        /// The rights: see [`super::rights`].
        mask: u32,
        /// The types of objects, of entries that have them.
        object_types: Option<ObjectTypes>,
        /// The principal.
        sid: Sid,
        /// Bytes after the security identifier. Only some types define them; Windows XP leaves four bytes there.
        data: Vec<u8>,
    },
    /// The bytes of an entry of an unknown type.
    Other(Vec<u8>),
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ace {
    /// The type.
    pub ace_type: AceType,
    /// The flags: see [`ace_flags`].
    pub flags: u8,
    /// The rest.
    pub body: AceBody,
}

/// A list of entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acl {
    /// The revision: 2, or 4 where an entry has types of objects. Windows writes 4 for others too at times.
    pub revision: u8,
    /// The entries, in order.
    pub aces: Vec<Ace>,
}

impl Ace {
    /// Makes an entry that grants `mask` to `sid`.
    pub fn allow(flags: u8, mask: u32, sid: Sid) -> Self {
        let body = AceBody::Rights { mask, object_types: None, sid, data: Vec::new() };
        Ace { ace_type: AceType::ALLOWED, flags, body }
    }

    /// Returns whether `flag` is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn parse(header: [u8; ENTRY_HEADER_SIZE], body: &[u8], at: usize) -> Result<Self> {
        let (ace_type, flags) = (AceType(header[0]), header[1]);
        let at = at + ENTRY_HEADER_SIZE;
        let body = if ace_type.is_plain() || ace_type.has_object_types() {
            Self::parse_rights(ace_type, body, at)?
        } else {
            AceBody::Other(body.to_vec())
        };
        Ok(Ace { ace_type, flags, body })
    }

    fn parse_rights(ace_type: AceType, body: &[u8], at: usize) -> Result<AceBody> {
        let short = || damaged("an entry of an access control list is too small for its type", at);
        let (mask, mut rest) = body.split_first_chunk::<4>().ok_or_else(short)?;
        let object_types = if ace_type.has_object_types() {
            let (flags, behind) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            let flags = u32::from_le_bytes(*flags);
            if flags > 3 {
                return Ok(AceBody::Other(body.to_vec()));
            }
            rest = behind;
            let mut guid = |flag| -> Result<Option<Guid>> {
                if flags & flag == 0 {
                    return Ok(None);
                }
                let (guid, behind) = rest.split_first_chunk::<16>().ok_or_else(short)?;
                rest = behind;
                Ok(Some(Guid(*guid)))
            };
            Some(ObjectTypes { object: guid(1)?, inherited: guid(2)? })
        } else {
            None
        };
        let sid = Sid::parse(rest, at + body.len() - rest.len())?;
        let data = rest.get(sid.size()..).unwrap_or_default().to_vec();
        Ok(AceBody::Rights { mask: u32::from_le_bytes(*mask), object_types, sid, data })
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![self.ace_type.0, self.flags, 0, 0];
        match &self.body {
            AceBody::Rights { mask, object_types, sid, data } => {
                bytes.extend(mask.to_le_bytes());
                if let Some(types) = object_types {
                    let flags = u32::from(types.object.is_some()) | u32::from(types.inherited.is_some()) << 1;
                    bytes.extend(flags.to_le_bytes());
                    bytes.extend([types.object, types.inherited].into_iter().flatten().flat_map(|guid| guid.0));
                }
                bytes.extend(sid.to_bytes());
                bytes.extend(data);
            }
            AceBody::Other(body) => bytes.extend(body),
        }
        let size = size_field(bytes.len())?;
        bytes[2..4].copy_from_slice(&size);
        Ok(bytes)
    }
}

impl Acl {
    /// Makes a list of the revision that its entries need.
    pub fn new(aces: Vec<Ace>) -> Self {
        let revision = if aces.iter().any(|ace| ace.ace_type.has_object_types()) { 4 } else { 2 };
        Acl { revision, aces }
    }

    /// Reads the list at the start of `bytes`; more bytes may follow. `at` is its place in the descriptor.
    pub(super) fn parse(bytes: &[u8], at: usize) -> Result<Self> {
        let short = || damaged("an access control list exceeds the descriptor", at);
        let header = bytes.first_chunk::<HEADER_SIZE>().ok_or_else(short)?;
        let field = |offset: usize| usize::from(u16::from_le_bytes([header[offset], header[offset + 1]]));
        let (size, count) = (field(2), field(4));
        let mut rest = bytes.get(HEADER_SIZE..size).ok_or_else(short)?;
        let mut aces = Vec::new();
        for _ in 0..count {
            let at = at + size - rest.len();
            let short = || damaged("an entry exceeds its access control list", at);
            let header = *rest.first_chunk::<ENTRY_HEADER_SIZE>().ok_or_else(short)?;
            let ace_size = usize::from(u16::from_le_bytes([header[2], header[3]]));
            let body = rest.get(ENTRY_HEADER_SIZE..ace_size).ok_or_else(short)?;
            aces.push(Ace::parse(header, body, at)?);
            rest = &rest[ace_size..];
        }
        Ok(Acl { revision: header[0], aces })
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; HEADER_SIZE];
        for ace in &self.aces {
            bytes.extend(ace.to_bytes()?);
        }
        bytes[0] = self.revision;
        let size = size_field(bytes.len())?;
        bytes[2..4].copy_from_slice(&size);
        bytes[4..6].copy_from_slice(&size_field(self.aces.len())?);
        Ok(bytes)
    }
}

fn size_field(size: usize) -> Result<[u8; 2]> {
    u16::try_from(size).map(u16::to_le_bytes).map_err(|_| {
        Error::new(Kind::Unsupported, Code::SecurityDescriptor, "an access control list or an entry is too large")
            .expected(format_args!("at most {MAX_SIZE}"), size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(bytes: &[u8]) -> Acl {
        let acl = Acl::parse(bytes, 0).unwrap();
        assert_eq!(acl.to_bytes().unwrap(), bytes);
        acl
    }

    #[test]
    fn entries_of_all_kinds_keep_their_bytes() {
        let list = |entry: &[u8]| {
            let mut bytes = vec![4, 0, 8 + 4 + entry.len() as u8 - 2, 0, 1, 0, 0, 0, entry[0], entry[1]];
            bytes.extend((entry.len() as u16 + 2).to_le_bytes());
            bytes.extend(&entry[2..]);
            bytes
        };
        let everyone = b"\x01\x01\0\0\0\0\0\x01\0\0\0\0";
        let plain = [&[0x11, 0x13, 1, 0, 0, 0][..], everyone, &[9, 9, 9, 9]].concat();
        let acl = round_trip(&list(&plain));
        let AceBody::Rights { mask: 1, object_types: None, data, .. } = &acl.aces[0].body else { panic!() };
        assert_eq!(*data, [9; 4]);
        let object = [&[5, 0, 1, 0, 0, 0, 2, 0, 0, 0][..], &[7; 16], everyone].concat();
        let acl = round_trip(&list(&object));
        let AceBody::Rights { object_types: Some(types), .. } = &acl.aces[0].body else { panic!() };
        assert_eq!(*types, ObjectTypes { object: None, inherited: Some(Guid([7; 16])) });
        // The compound type, a type of the future, and object flags of the future.
        for entry in [&[4, 0, 1, 2][..], &[0x40, 0xff], &[5, 0, 1, 0, 0, 0, 4, 0, 0, 0]] {
            assert!(matches!(round_trip(&list(entry)).aces[0].body, AceBody::Other(_)));
        }
    }

    #[test]
    fn sizes_must_fit_the_bytes() {
        for bytes in [
            &b"\x02\0\x08\0\x00\0\0"[..],
            b"\x02\0\x09\0\x00\0\0\0",
            b"\x02\0\x07\0\x00\0\0\0",
            b"\x02\0\x08\0\x01\0\0\0",
            b"\x02\0\x0c\0\x01\0\0\0\0\0\x03\0",
            b"\x02\0\x0c\0\x01\0\0\0\0\0\x05\0",
            b"\x02\0\x0c\0\x01\0\0\0\0\0\x04\0",
            b"\x02\0\x0c\0\xff\xff\0\0\x40\0\0\0",
        ] {
            assert_eq!(Acl::parse(bytes, 0).unwrap_err().code(), "security-descriptor", "{bytes:?}");
        }
        let large = Ace { ace_type: AceType(0x40), flags: 0, body: AceBody::Other(vec![0; 0xffff]) };
        assert!(Acl::new(vec![large]).to_bytes().is_err());
    }
}
