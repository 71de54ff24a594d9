//! The data of a value, by its type.

use crate::regf::key_value::ValueType;
use crate::text::{Text, TextList};

/// The data of a value, typed. Lossless: [`Data::new`] of [`Data::data_type`] and [`Data::to_bytes`] is the same data.
///
/// # Examples
/// ```
/// use hivewright_hive::{Data, ValueType};
///
/// assert_eq!(Data::new(ValueType::DWORD, *b"\x03\0\0\0"), Data::Dword(3));
/// assert_eq!(Data::sz("x").to_bytes(), b"x\0\0\0");
/// // A DWORD of two bytes is not a number.
/// assert!(matches!(Data::new(ValueType::DWORD, *b"\x03\0"), Data::Other { .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Data {
    /// `REG_NONE`: no type is defined. The data is usually empty.
    None(Vec<u8>),
    /// `REG_SZ`: a string.
    Sz(Text),
    /// `REG_EXPAND_SZ`: a string with names of environment variables.
    ExpandSz(Text),
    /// `REG_BINARY`: bytes.
    Binary(Vec<u8>),
    /// `REG_DWORD`: a number of 32 bits.
    Dword(u32),
    /// `REG_DWORD_BIG_ENDIAN`: a number of 32 bits, stored with the highest byte first.
    DwordBigEndian(u32),
    /// `REG_LINK`: the target of a symbolic link, which by convention has no terminating zero.
    Link(Text),
    /// `REG_MULTI_SZ`: a list of strings.
    MultiSz(TextList),
    /// `REG_RESOURCE_LIST`: resources of a device.
    ResourceList(Vec<u8>),
    /// `REG_FULL_RESOURCE_DESCRIPTOR`: resources of a piece of hardware.
    FullResourceDescriptor(Vec<u8>),
    /// `REG_RESOURCE_REQUIREMENTS_LIST`: resources that a device can use.
    ResourceRequirementsList(Vec<u8>),
    /// `REG_QWORD`: a number of 64 bits.
    Qword(u64),
    /// Any other type, or a number whose data does not have the size of its type.
    Other {
        /// The type as stored.
        data_type: ValueType,
        /// The bytes as stored.
        bytes: Vec<u8>,
    },
}

impl Data {
    /// Interprets `bytes` by their type.
    pub fn new(data_type: ValueType, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        match data_type {
            ValueType::NONE => Data::None(bytes),
            ValueType::SZ => Data::Sz(Text::from_bytes(bytes)),
            ValueType::EXPAND_SZ => Data::ExpandSz(Text::from_bytes(bytes)),
            ValueType::BINARY => Data::Binary(bytes),
            ValueType::LINK => Data::Link(Text::from_bytes(bytes)),
            ValueType::MULTI_SZ => Data::MultiSz(TextList::from_bytes(bytes)),
            ValueType::RESOURCE_LIST => Data::ResourceList(bytes),
            ValueType::FULL_RESOURCE_DESCRIPTOR => Data::FullResourceDescriptor(bytes),
            ValueType::RESOURCE_REQUIREMENTS_LIST => Data::ResourceRequirementsList(bytes),
            _ => Data::number(data_type, &bytes).unwrap_or(Data::Other { data_type, bytes }),
        }
    }

    fn number(data_type: ValueType, bytes: &[u8]) -> Option<Self> {
        Some(match data_type {
            ValueType::DWORD => Data::Dword(u32::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::DWORD_BIG_ENDIAN => Data::DwordBigEndian(u32::from_be_bytes(bytes.try_into().ok()?)),
            ValueType::QWORD => Data::Qword(u64::from_le_bytes(bytes.try_into().ok()?)),
            _ => return None,
        })
    }

    /// Creates a `REG_SZ`.
    pub fn sz(text: &str) -> Self {
        Data::Sz(Text::new(text))
    }

    /// Creates a `REG_EXPAND_SZ`.
    pub fn expand_sz(text: &str) -> Self {
        Data::ExpandSz(Text::new(text))
    }

    /// Creates a `REG_MULTI_SZ`.
    pub fn multi_sz<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        Data::MultiSz(TextList::new(texts))
    }

    /// Returns the type as stored.
    pub fn data_type(&self) -> ValueType {
        match self {
            Data::None(_) => ValueType::NONE,
            Data::Sz(_) => ValueType::SZ,
            Data::ExpandSz(_) => ValueType::EXPAND_SZ,
            Data::Binary(_) => ValueType::BINARY,
            Data::Dword(_) => ValueType::DWORD,
            Data::DwordBigEndian(_) => ValueType::DWORD_BIG_ENDIAN,
            Data::Link(_) => ValueType::LINK,
            Data::MultiSz(_) => ValueType::MULTI_SZ,
            Data::ResourceList(_) => ValueType::RESOURCE_LIST,
            Data::FullResourceDescriptor(_) => ValueType::FULL_RESOURCE_DESCRIPTOR,
            Data::ResourceRequirementsList(_) => ValueType::RESOURCE_REQUIREMENTS_LIST,
            Data::Qword(_) => ValueType::QWORD,
            Data::Other { data_type, .. } => *data_type,
        }
    }

    /// Returns the bytes as stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Data::Sz(text) | Data::ExpandSz(text) | Data::Link(text) => text.as_bytes().to_vec(),
            Data::MultiSz(list) => list.as_bytes().to_vec(),
            Data::Dword(number) => number.to_le_bytes().to_vec(),
            Data::DwordBigEndian(number) => number.to_be_bytes().to_vec(),
            Data::Qword(number) => number.to_le_bytes().to_vec(),
            Data::None(bytes)
            | Data::Binary(bytes)
            | Data::ResourceList(bytes)
            | Data::FullResourceDescriptor(bytes)
            | Data::ResourceRequirementsList(bytes)
            | Data::Other { bytes, .. } => bytes.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_keeps_every_byte() {
        for number in (0..16).chain([0xffff_0001]) {
            for bytes in
                [&b""[..], b"\x01", b"a\0", b"\x01\x02\x03\x04", b"a\0\0\0b", b"\x01\x02\x03\x04\x05\x06\x07\x08"]
            {
                let data = Data::new(ValueType(number), bytes);
                assert_eq!((data.data_type(), &*data.to_bytes()), (ValueType(number), bytes));
            }
        }
    }

    #[test]
    fn numbers_have_their_byte_order() {
        let dword = *b"\x01\x02\x03\x04";
        assert_eq!(Data::new(ValueType::DWORD, dword), Data::Dword(0x0403_0201));
        assert_eq!(Data::new(ValueType::DWORD_BIG_ENDIAN, dword), Data::DwordBigEndian(0x0102_0304));
        assert_eq!(Data::new(ValueType::QWORD, 7u64.to_le_bytes()), Data::Qword(7));
    }
}
