//! Key values (specification, "Key value"): a name, a type, and data in the key value, in a cell, or in segments.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{CellOffset, LAYERED_SINCE_MINOR};
use hivewright_error::{Code, Error, Result};

/// The fixed part of a key value; the name follows it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct KeyValue {
    /// 0: `vk`.
    pub signature: [u8; 2],
    /// 2: bytes of the name as stored; 0 for the default value.
    pub name_length: U16,
    /// 4: bytes of the data; the top bit marks inline data in `data`.
    pub data_size: U32,
    /// 8: cell offset of the data, or up to four bytes of it.
    pub data: [u8; 4],
    /// 12: REG_SZ, REG_DWORD ...
    pub data_type: U32,
    /// 16: bit 0, the name is Latin-1; bit 1, layered tombstone.
    pub flags: U16,
    /// 18: unused.
    pub spare: U16,
}

/// Bytes of the fixed part.
pub const SIZE: usize = size_of::<KeyValue>();
/// The bit of [`KeyValue::data_size`] that marks inline data.
pub const INLINE: u32 = 0x8000_0000;
/// The bit of [`KeyValue::flags`] that marks a Latin-1 name.
pub const LATIN1_NAME: u16 = 1;
/// The bit of [`KeyValue::flags`] that marks the tombstone of a layered hive (specification, "Key value", flags).
pub const TOMBSTONE: u16 = 2;
/// The maximum length of a value's name in characters (Microsoft, "Registry element size limits").
pub const MAX_NAME_CHARACTERS: usize = 16_383;

/// The location of a value's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the key value itself: up to four bytes.
    Inline {
        /// The field.
        bytes: [u8; 4],
        /// Number of bytes in use.
        size: usize,
    },
    /// In a cell (or in segments, see [`super::big_data`]).
    Cell {
        /// Its offset.
        at: CellOffset,
        /// Bytes of data.
        size: u32,
    },
}

impl KeyValue {
    /// Reads the fixed part from a cell's data, and checks the signature, the name and the inline size.
    pub fn parse(data: &[u8], at: CellOffset) -> Result<Self> {
        let place = at.data_in_file();
        let Ok((value, rest)) = KeyValue::read_from_prefix(data) else {
            return Err(Error::corrupt(Code::ValueSignature, "the cell is too small for a key value", place)
                .expected(format_args!("{SIZE} bytes"), data.len()));
        };
        if value.signature != *b"vk" {
            return Err(Error::corrupt(Code::ValueSignature, "key value signature", place)
                .expected("\"vk\"", format_args!("\"{}\"", value.signature.escape_ascii())));
        }
        if usize::from(value.name_length.get()) > rest.len() {
            return Err(Error::corrupt(Code::ValueName, "the value's name exceeds its cell", place + 2)
                .expected(format_args!("at most {} bytes", rest.len()), value.name_length));
        }
        let size = value.data_size.get();
        if size & INLINE != 0 && size & !INLINE > 4 {
            return Err(Error::corrupt(Code::ValueData, "inline data size", place + 4)
                .expected("at most 4 bytes", size & !INLINE));
        }
        Ok(value)
    }

    /// Returns whether it is a tombstone, which hides the value of a lower layer. Hives without layers have no
    /// tombstones.
    pub fn is_tombstone(&self, minor_version: u32) -> bool {
        minor_version >= LAYERED_SINCE_MINOR && self.flags.get() & TOMBSTONE != 0
    }

    /// Returns the location of the data.
    pub fn location(&self) -> Location {
        let size = self.data_size.get();
        if size & INLINE != 0 {
            Location::Inline { bytes: self.data, size: ((size & !INLINE) as usize).min(4) }
        } else {
            Location::Cell { at: CellOffset(u32::from_le_bytes(self.data)), size }
        }
    }
}

/// Types of data (MS-RRP 2.2.9, winnt.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueType(pub u32);

impl ValueType {
    /// No type is defined.
    pub const NONE: ValueType = ValueType(0);
    /// A string, UTF-16.
    pub const SZ: ValueType = ValueType(1);
    /// A string with names of environment variables.
    pub const EXPAND_SZ: ValueType = ValueType(2);
    /// Bytes.
    pub const BINARY: ValueType = ValueType(3);
    /// 32 bits, little-endian.
    pub const DWORD: ValueType = ValueType(4);
    /// 32 bits, big-endian.
    pub const DWORD_BIG_ENDIAN: ValueType = ValueType(5);
    /// The target of a symbolic link, UTF-16.
    pub const LINK: ValueType = ValueType(6);
    /// Strings, each ended by a zero.
    pub const MULTI_SZ: ValueType = ValueType(7);
    /// Resources of a device.
    pub const RESOURCE_LIST: ValueType = ValueType(8);
    /// Resources of a piece of hardware.
    pub const FULL_RESOURCE_DESCRIPTOR: ValueType = ValueType(9);
    /// Resources that a device can use.
    pub const RESOURCE_REQUIREMENTS_LIST: ValueType = ValueType(10);
    /// 64 bits, little-endian.
    pub const QWORD: ValueType = ValueType(11);
}

/// Names of the types below 12, by number (MS-RRP 3.1.1.5).
pub const NAMES: [&str; 12] = [
    "REG_NONE",
    "REG_SZ",
    "REG_EXPAND_SZ",
    "REG_BINARY",
    "REG_DWORD",
    "REG_DWORD_BIG_ENDIAN",
    "REG_LINK",
    "REG_MULTI_SZ",
    "REG_RESOURCE_LIST",
    "REG_FULL_RESOURCE_DESCRIPTOR",
    "REG_RESOURCE_REQUIREMENTS_LIST",
    "REG_QWORD",
];

impl std::fmt::Display for ValueType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "type {:#x}", self.0),
        }
    }
}

impl std::str::FromStr for ValueType {
    type Err = ();

    /// Reads a name in any case, or a number, `0x` for hexadecimal.
    ///
    /// # Errors
    /// `text` is neither.
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let number = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u32::from_str_radix(hex, 16));
        let named = |name: &&str| name.eq_ignore_ascii_case(text);
        let by_name = || (0..).zip(NAMES).find(|(_, name)| named(name)).map(|(number, _)| number);
        number.ok().or_else(by_name).map(ValueType).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_data_is_at_most_four_bytes() {
        let mut raw = *b"vk\0\0\x04\0\0\x80\x02\0\0\0\x04\0\0\0\0\0\0\0";
        let value = KeyValue::parse(&raw, CellOffset(32)).unwrap();
        assert_eq!(value.location(), Location::Inline { bytes: [2, 0, 0, 0], size: 4 });
        raw[4] = 5;
        assert_eq!(KeyValue::parse(&raw, CellOffset(32)).unwrap_err().code(), "value-data");
        raw[7] = 0;
        let value = KeyValue::parse(&raw, CellOffset(32)).unwrap();
        assert_eq!(value.location(), Location::Cell { at: CellOffset(2), size: 5 });
        raw[2] = 1;
        assert_eq!(KeyValue::parse(&raw, CellOffset(32)).unwrap_err().code(), "value-name");
    }

    #[test]
    fn types_have_their_names() {
        assert_eq!(ValueType::DWORD.to_string(), "REG_DWORD");
        assert_eq!(ValueType(0x8000_0000).to_string(), "type 0x80000000");
    }
}
