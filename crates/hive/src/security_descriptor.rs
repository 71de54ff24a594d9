//! Security descriptors (MS-DTYP 2.4.6): the owner of a key, and the rights that it grants.
//!
//! A key security holds a descriptor in its self-relative form, which [`SecurityDescriptor::from_bytes`] reads and
//! [`SecurityDescriptor::to_bytes`] writes. [`SecurityDescriptor::to_sddl`] and [`SecurityDescriptor::from_sddl`] turn
//! it into the text that Windows' programs show, and back.
//!
//! # Examples
//! ```
//! use hivewright_hive::security_descriptor::SecurityDescriptor;
//!
//! let parent = SecurityDescriptor::from_sddl("O:BAG:SYD:PAI(A;CI;KA;;;BA)(A;CIIO;KA;;;CO)")?;
//! assert_eq!(SecurityDescriptor::from_bytes(&parent.to_bytes()?)?, parent);
//!
//! let child = parent.for_new_key();
//! assert_eq!(child.to_sddl()?.text, "O:BAG:SYD:AI(A;CIID;KA;;;BA)(A;ID;KA;;;BA)(A;CIIOID;KA;;;CO)");
//! # Ok::<(), hivewright_hive::Error>(())
//! ```

mod acl;
mod inherit;
mod sddl;
mod sid;

pub use acl::{Ace, AceBody, AceType, Acl, Guid, ObjectTypes, ace_flags};
pub use sddl::{Omitted, Sddl};
pub use sid::{Sid, WellKnownSid};

use hivewright_error::{Code, Error, Kind, Result};

/// Bytes of the header.
const HEADER_SIZE: usize = 20;

/// Bits of [`SecurityDescriptor::control`] (MS-DTYP 2.4.6).
pub mod control {
    /// The owner was not given, but a default.
    pub const OWNER_DEFAULTED: u16 = 0x0001;
    /// The group was not given, but a default.
    pub const GROUP_DEFAULTED: u16 = 0x0002;
    /// There is a list of rights; where it is null, it grants everything to everyone.
    pub const DACL_PRESENT: u16 = 0x0004;
    /// There is a list of audits and labels.
    pub const SACL_PRESENT: u16 = 0x0010;
    /// The list of rights is to be inherited by what is below.
    pub const DACL_AUTO_INHERIT_REQUIRED: u16 = 0x0100;
    /// The list of audits is to be inherited by what is below.
    pub const SACL_AUTO_INHERIT_REQUIRED: u16 = 0x0200;
    /// The list of rights was made by inheritance.
    pub const DACL_AUTO_INHERITED: u16 = 0x0400;
    /// The list of audits was made by inheritance.
    pub const SACL_AUTO_INHERITED: u16 = 0x0800;
    /// The list of rights inherits nothing.
    pub const DACL_PROTECTED: u16 = 0x1000;
    /// The list of audits inherits nothing.
    pub const SACL_PROTECTED: u16 = 0x2000;
    /// The byte after the revision is valid.
    pub const RESOURCE_MANAGER_CONTROL_VALID: u16 = 0x4000;
    /// The descriptor is contiguous, with offsets from its start.
    pub const SELF_RELATIVE: u16 = 0x8000;
}

/// Rights to a registry key (winnt.h; the generic mapping of keys as MS-RRP 2.2.4 and "Registry key security and access
/// rights" have it).
pub mod rights {
    /// `KEY_ALL_ACCESS`.
    pub const ALL: u32 = 0x000f_003f;
    /// `KEY_READ`.
    pub const READ: u32 = 0x0002_0019;
    /// `KEY_WRITE`.
    pub const WRITE: u32 = 0x0002_0006;
    /// `KEY_EXECUTE`, which is `KEY_READ`.
    pub const EXECUTE: u32 = READ;
    /// `GENERIC_ALL`.
    pub const GENERIC_ALL: u32 = 0x1000_0000;
    /// `GENERIC_EXECUTE`.
    pub const GENERIC_EXECUTE: u32 = 0x2000_0000;
    /// `GENERIC_WRITE`.
    pub const GENERIC_WRITE: u32 = 0x4000_0000;
    /// `GENERIC_READ`.
    pub const GENERIC_READ: u32 = 0x8000_0000;
}

/// A security descriptor.
///
/// Equal descriptors have the same meaning. Unused bytes (between the parts, and after the last entry of a list) are
/// not kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecurityDescriptor {
    /// The control bits: see [`control`]. [`SecurityDescriptor::to_bytes`] sets those that the lists imply.
    pub control: u16,
    /// A byte of the resource manager; counts with [`control::RESOURCE_MANAGER_CONTROL_VALID`].
    pub resource_manager_control: u8,
    /// The owner.
    pub owner: Option<Sid>,
    /// The primary group.
    pub group: Option<Sid>,
    /// The list of audits and labels. `None` with [`control::SACL_PRESENT`] set is a null list.
    pub sacl: Option<Acl>,
    /// The list of rights. `None` with [`control::DACL_PRESENT`] set is a null list, which grants everything to
    /// everyone.
    pub dacl: Option<Acl>,
}

impl SecurityDescriptor {
    /// Reads a self-relative descriptor.
    ///
    /// # Errors
    /// `security-descriptor`, of kind [`Kind::Corrupt`]: it is not self-relative or not of revision 1, or a part runs
    /// out of the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let short = || damaged("the security descriptor is too small", 0);
        let header = bytes.first_chunk::<HEADER_SIZE>().ok_or_else(short)?;
        let control = u16::from_le_bytes([header[2], header[3]]);
        if header[0] != 1 || control & control::SELF_RELATIVE == 0 {
            return Err(damaged("the security descriptor is not self-relative, or not of revision 1", 0)
                .expected("revision 1 and bit 0x8000", format_args!("{} and {control:#x}", header[0])));
        }
        let part = |field: usize| -> Result<Option<(&[u8], usize)>> {
            let raw = [header[field], header[field + 1], header[field + 2], header[field + 3]];
            let at = usize::try_from(u32::from_le_bytes(raw)).unwrap_or(usize::MAX);
            match at {
                0 => Ok(None),
                _ => bytes.get(at..).map(|part| Some((part, at))).ok_or_else(|| {
                    damaged("a part of the security descriptor begins past its end", field)
                        .expected(format_args!("at most {}", bytes.len()), at)
                }),
            }
        };
        let sid = |field| part(field)?.map(|(part, at)| Sid::parse(part, at)).transpose();
        // Without the bit there is no list, whatever the offset.
        let acl = |field, present| match control & present {
            0 => Ok(None),
            _ => part(field)?.map(|(part, at)| Acl::parse(part, at)).transpose(),
        };
        Ok(SecurityDescriptor {
            control,
            resource_manager_control: header[1],
            owner: sid(4)?,
            group: sid(8)?,
            sacl: acl(12, control::SACL_PRESENT)?,
            dacl: acl(16, control::DACL_PRESENT)?,
        })
    }

    /// Returns the bytes in self-relative form, in the order that Windows uses: header, audits, rights, owner, group.
    ///
    /// # Errors
    /// `security-descriptor`, of kind [`Kind::Unsupported`]: a list has more than 65,535 bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; HEADER_SIZE];
        let mut add = |field: usize, part: Option<Vec<u8>>| {
            let Some(part) = part else { return };
            // Each part begins at a multiple of four (MS-DTYP 2.4.6). The parts have at most 128 KiB.
            let at = bytes.len().next_multiple_of(4);
            bytes.resize(at, 0);
            bytes[field..field + 4].copy_from_slice(&u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(part);
        };
        add(12, self.sacl.as_ref().map(Acl::to_bytes).transpose()?);
        add(16, self.dacl.as_ref().map(Acl::to_bytes).transpose()?);
        add(4, self.owner.as_ref().map(Sid::to_bytes));
        add(8, self.group.as_ref().map(Sid::to_bytes));
        bytes[0] = 1;
        bytes[1] = self.resource_manager_control;
        bytes[2..4].copy_from_slice(&self.effective_control().to_le_bytes());
        Ok(bytes)
    }

    /// Returns the control bits with those that the form and the lists imply.
    fn effective_control(&self) -> u16 {
        let sacl = if self.sacl.is_some() { control::SACL_PRESENT } else { 0 };
        let dacl = if self.dacl.is_some() { control::DACL_PRESENT } else { 0 };
        self.control | control::SELF_RELATIVE | sacl | dacl
    }
}

/// Returns the error for bytes that are not a descriptor. `at` counts from the start of the descriptor.
fn damaged(what: &str, at: usize) -> Error {
    Error::new(Kind::Corrupt, Code::SecurityDescriptor, format!("{what} (byte {at} of the descriptor)"))
}

/// Returns the error for text that is not a descriptor.
fn text_error(what: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, Code::Sddl, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Owner and group are administrators, one entry for everyone: `header` is what lies before the parts.
    fn bytes(header: [u8; 20]) -> Vec<u8> {
        let mut bytes = header.to_vec();
        bytes.extend(b"\x02\0\x1c\0\x01\0\0\0\0\x02\x14\0\x19\0\x02\0\x01\x01\0\0\0\0\0\x01\0\0\0\0");
        bytes.extend(b"\x01\x02\0\0\0\0\0\x05\x20\0\0\0\x20\x02\0\0");
        bytes
    }

    const HEADER: [u8; 20] = *b"\x01\0\x04\x84\x30\0\0\0\x30\0\0\0\0\0\0\0\x14\0\0\0";

    #[test]
    fn parts_are_found_by_their_offsets() {
        let read = SecurityDescriptor::from_bytes(&bytes(HEADER)).unwrap();
        assert_eq!(read.owner, read.group);
        assert_eq!(read.owner, Some(Sid::ADMINISTRATORS.to_sid()));
        let everyone = Sid::new(1, [0]).unwrap();
        let ace = Ace::allow(ace_flags::CONTAINER_INHERIT, rights::READ, everyone);
        assert_eq!((&read.sacl, &read.dacl), (&None, &Some(Acl::new(vec![ace]))));
        // Windows writes the owner twice where it is the group too.
        let written = read.to_bytes().unwrap();
        assert_eq!(written.len(), bytes(HEADER).len() + 16);
        assert_eq!(SecurityDescriptor::from_bytes(&written).unwrap(), read);
    }

    #[test]
    fn a_list_that_is_not_present_is_none() {
        let mut header = HEADER;
        header[2] = 0;
        assert_eq!(SecurityDescriptor::from_bytes(&bytes(header)).unwrap().dacl, None);
        header[2] = 4;
        header[16] = 0;
        let null = SecurityDescriptor::from_bytes(&bytes(header)).unwrap();
        assert_eq!((null.control & control::DACL_PRESENT, null.dacl), (control::DACL_PRESENT, None));
    }

    #[test]
    fn damage_is_an_error() {
        for (at, byte) in [(0, 2), (3, 4), (4, 0x50), (4, 0x41), (7, 0xff), (16, 0x40), (22, 0x40), (24, 2), (36, 9)] {
            let mut bytes = bytes(HEADER);
            bytes[at] = byte;
            assert_eq!(SecurityDescriptor::from_bytes(&bytes).unwrap_err().code(), "security-descriptor", "{at}");
        }
        for len in 0..bytes(HEADER).len() {
            assert!(SecurityDescriptor::from_bytes(&bytes(HEADER)[..len]).is_err(), "{len}");
        }
    }
}
