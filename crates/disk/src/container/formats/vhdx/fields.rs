//! Little-endian numbers and identifiers of a VHDX file ([MS-VHDX] 1.3).

use crate::little_endian::{array, u16_at, u32_at};
use std::fmt;

use crate::container::helpers::random::uuid;
pub(super) use crate::container::helpers::tables::index;
use hivewright_error::{Code, Error, Kind, Result};

/// 1 MiB: regions, blocks and the log are aligned to it ([MS-VHDX] 2.2).
pub(super) const MIB: u64 = 1 << 20;

/// Decodes UTF-16 bytes; invalid and control characters become U+FFFD.
pub(super) fn text(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16_at(pair, 0));
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    char::decode_utf16(units).map(|c| shown(c.unwrap_or(char::REPLACEMENT_CHARACTER))).collect()
}

/// A GUID as stored in the file: its first three parts are little-endian ([MS-DTYP] 2.3.4.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Guid(pub(super) [u8; 16]);

impl Guid {
    pub(super) const ZERO: Guid = Guid([0; 16]);

    /// Creates a GUID from its text form, written as one number: `0x2dc27766_f623_...`.
    pub(super) const fn of(number: u128) -> Guid {
        let text = number.to_be_bytes();
        let mut bytes = text;
        let order = [3, 2, 1, 0, 5, 4, 7, 6];
        let mut i = 0;
        while i < order.len() {
            bytes[i] = text[order[i]];
            i += 1;
        }
        Guid(bytes)
    }

    pub(super) fn at(bytes: &[u8], at: usize) -> Guid {
        Guid(array(bytes, at))
    }

    /// Parses the text form, with or without braces.
    pub(super) fn parse(text: &str) -> Option<Guid> {
        let text = text.trim().trim_start_matches('{').trim_end_matches('}');
        let is_form = text.len() == 36 && [8, 13, 18, 23].iter().all(|&i| text.as_bytes()[i] == b'-');
        let digits: String = text.chars().filter(|&c| c != '-').collect();
        if !is_form || digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(&digits, 16).ok().map(Guid::of)
    }

    /// Returns a new random GUID.
    pub(super) fn random() -> Result<Guid> {
        uuid().map(Guid)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Guid(b) = self;
        write!(f, "{:08x}-{:04x}-{:04x}-", u32_at(b, 0), u16_at(b, 4), u16_at(b, 6))?;
        write!(f, "{:02x}{:02x}-", b[8], b[9])?;
        b[10..].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Returns an error at an offset of the file.
pub(super) fn corrupt(code: Code, what: impl Into<String>, offset: u64) -> Error {
    Error::new(Kind::Corrupt, code, what).at(hivewright_error::Space::File, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_round_trip_as_text_and_bytes() {
        let text = "2dc27766-f623-4200-9d64-115e9bfd4a08";
        let guid = Guid::parse(&format!("{{{text}}}")).unwrap();
        assert_eq!(guid.0[..8], [0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42]);
        assert_eq!(guid.to_string(), text);
        assert!(guid == Guid::of(0x2dc27766_f623_4200_9d64_115e9bfd4a08));
        for bad in ["", "{}", "2dc27766-f623-4200-9d64-115e9bfd4a0", "+dc27766-f623-4200-9d64-115e9bfd4a08"] {
            assert!(Guid::parse(bad).is_none(), "{bad}");
        }
        for strange in ["2dc27766-f623-4200-9d64-115e9bfd4aé", "é-------------------------------------"] {
            assert!(Guid::parse(strange).is_none(), "{strange}");
        }
    }

    #[test]
    fn random_guids_have_version_4() {
        let (one, other) = (Guid::random().unwrap(), Guid::random().unwrap());
        assert!(one != other && one != Guid::ZERO);
        let text = one.to_string();
        assert_eq!(&text[14..15], "4");
        assert!(["8", "9", "a", "b"].contains(&&text[19..20]), "{text}");
    }
}
