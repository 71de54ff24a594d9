//! Key security (specification, "Key security"): a security descriptor that keys share. All form a ring.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::CellOffset;
use hivewright_error::{Code, Error, Result};

/// The fixed part of a key security; the descriptor follows it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct KeySecurity {
    /// 0: `sk`.
    pub signature: [u8; 2],
    /// 2: unused.
    pub reserved: U16,
    /// 4: next key security of the ring.
    pub flink: U32,
    /// 8: previous key security of the ring.
    pub blink: U32,
    /// 12: number of keys that use it.
    pub reference_count: U32,
    /// 16: bytes of the descriptor.
    pub descriptor_size: U32,
}

/// Bytes of the fixed part.
pub const SIZE: usize = size_of::<KeySecurity>();

impl KeySecurity {
    /// Reads the fixed part from a cell's data, and checks that the cell contains the descriptor.
    pub fn parse(data: &[u8], at: CellOffset) -> Result<Self> {
        let place = at.data_in_file();
        let wrong = |what, at| Error::corrupt(Code::KeySecurity, what, at);
        let Ok((security, rest)) = KeySecurity::read_from_prefix(data) else {
            return Err(wrong("the cell is too small for a key security", place)
                .expected(format_args!("{SIZE} bytes"), data.len()));
        };
        if security.signature != *b"sk" {
            return Err(wrong("key security signature", place)
                .expected("\"sk\"", format_args!("\"{}\"", security.signature.escape_ascii())));
        }
        if security.descriptor_size.get() as usize > rest.len() {
            return Err(wrong("the security descriptor exceeds its cell", place + 16)
                .expected(format_args!("at most {} bytes", rest.len()), security.descriptor_size));
        }
        Ok(security)
    }
}
