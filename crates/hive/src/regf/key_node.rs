//! Key nodes (specification, "Key node"): one key of the registry.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{CellOffset, LAYERED_SINCE_MINOR};
use hivewright_error::{Code, Error, Result};

/// The fixed part of a key node; the name follows it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct KeyNode {
    /// 0: `nk`.
    pub signature: [u8; 2],
    /// 2: see [`flags`].
    pub flags: U16,
    /// 4: FILETIME of the last change of values or subkeys.
    pub last_written: U64,
    /// 12: access bits, layered-key bits (at 13): kept as read.
    pub access_bits: U32,
    /// 16: cell offset of the parent key node.
    pub parent: U32,
    /// 20: number of subkeys.
    pub subkey_count: U32,
    /// 24: undefined on disk (from a mounted hive); never used.
    pub volatile_subkey_count: U32,
    /// 28: cell offset of the subkeys list.
    pub subkeys_list: U32,
    /// 32: undefined on disk (from a mounted hive); never used.
    pub volatile_subkeys_list: U32,
    /// 36: number of values; a handle if [`flags::PREDEFINED_HANDLE`] is set.
    pub value_count: U32,
    /// 40: cell offset of the values list.
    pub values_list: U32,
    /// 44: cell offset of the key security.
    pub key_security: U32,
    /// 48: cell offset of the class name.
    pub class_name: U32,
    /// 52: bytes of the largest subkey name as UTF-16.
    pub largest_subkey_name: U16,
    /// 54: virtualisation and user flags, debug: kept as read.
    pub virtual_control: U16,
    /// 56: bytes of the largest subkey class name.
    pub largest_subkey_class: U32,
    /// 60: bytes of the largest value name as UTF-16.
    pub largest_value_name: U32,
    /// 64: bytes of the largest value data.
    pub largest_value_data: U32,
    /// 68: unused since XP.
    pub work_var: U32,
    /// 72: bytes of the name as stored.
    pub name_length: U16,
    /// 74: bytes of the class name.
    pub class_name_length: U16,
}

/// Bytes of the fixed part.
pub const SIZE: usize = size_of::<KeyNode>();
/// The maximum length of a key's name in characters (Microsoft, "Registry element size limits").
pub const MAX_NAME_CHARACTERS: usize = 255;
/// The maximum depth of a key (Microsoft, "Registry element size limits").
pub const MAX_DEPTH: usize = 512;

/// Bits of [`KeyNode::flags`].
pub mod flags {
    /// The root of its hive.
    pub const ROOT: u16 = 0x04;
    /// May not be deleted.
    pub const NO_DELETE: u16 = 0x08;
    /// A symbolic link: its one value is `SymbolicLinkValue`.
    pub const SYMBOLIC_LINK: u16 = 0x10;
    /// The name is Latin-1.
    pub const LATIN1_NAME: u16 = 0x20;
    /// The value count is a handle.
    pub const PREDEFINED_HANDLE: u16 = 0x40;
}

/// Low bits of the byte at 13. They are set in a layered key that hides the key of the lower layer (1: tombstone).
pub const LAYER_SEMANTICS_MASK: u8 = 0x03;

impl KeyNode {
    /// Reads the fixed part from a cell's data, and checks the signature and that the cell contains the name.
    pub fn parse(data: &[u8], at: CellOffset) -> Result<Self> {
        let place = at.data_in_file();
        let Ok((node, rest)) = KeyNode::read_from_prefix(data) else {
            return Err(Error::corrupt(Code::KeySize, "the cell is too small for a key node", place)
                .expected(format_args!("{SIZE} bytes"), data.len()));
        };
        if node.signature != *b"nk" {
            return Err(Error::corrupt(Code::KeySignature, "key node signature", place)
                .expected("\"nk\"", format_args!("\"{}\"", node.signature.escape_ascii())));
        }
        if usize::from(node.name_length.get()) > rest.len() {
            return Err(Error::corrupt(Code::KeyName, "the key's name exceeds its cell", place + 72)
                .expected(format_args!("at most {} bytes", rest.len()), node.name_length));
        }
        Ok(node)
    }

    /// Returns whether `flag` is set.
    pub fn has(&self, flag: u16) -> bool {
        self.flags.get() & flag != 0
    }

    /// Returns whether a layered key hides the key of the lower layer (specification, "Key node", layered keys). Hives
    /// without layers have no tombstones.
    pub fn is_tombstone(&self, minor_version: u32) -> bool {
        minor_version >= LAYERED_SINCE_MINOR
            && (self.access_bits.get() >> 8).to_le_bytes()[0] & LAYER_SEMANTICS_MASK == 1
    }

    /// Returns the number of values in the values list; 0 if the field is a handle.
    pub fn values(&self) -> u32 {
        if self.has(flags::PREDEFINED_HANDLE) { 0 } else { self.value_count.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn layout_matches_the_specification() {
        assert_eq!(SIZE, 76);
        assert_eq!(offset_of!(KeyNode, value_count), 36);
        assert_eq!(offset_of!(KeyNode, key_security), 44);
        assert_eq!(offset_of!(KeyNode, largest_value_data), 64);
        assert_eq!(offset_of!(KeyNode, name_length), 72);
    }

    #[test]
    fn the_name_must_fit_the_cell() {
        let mut data = vec![0; SIZE + 3];
        data[..2].copy_from_slice(b"nk");
        data[72] = 3;
        assert!(KeyNode::parse(&data, CellOffset(32)).is_ok());
        data[72] = 4;
        assert_eq!(KeyNode::parse(&data, CellOffset(32)).unwrap_err().code(), "key-name");
        assert_eq!(KeyNode::parse(&data[..75], CellOffset(32)).unwrap_err().code(), "key-size");
        data[0] = b'x';
        assert_eq!(KeyNode::parse(&data, CellOffset(32)).unwrap_err().code(), "key-signature");
    }
}
