//! Security identifiers (MS-DTYP 2.4.2).

use std::fmt;
use std::str::FromStr;

use super::{damaged, text_error};
use hivewright_error::{Error, Result};

/// The maximum number of subauthorities (MS-DTYP 2.4.2.2).
const MAX_SUBAUTHORITIES: usize = 15;
/// Identifier authorities from here on are written in hexadecimal (MS-DTYP 2.4.2.1).
const HEX_AUTHORITY: u64 = 1 << 32;

/// A security identifier: a user, a group, or another principal.
///
/// # Examples
/// ```
/// use hivewright_hive::security_descriptor::Sid;
///
/// let administrators: Sid = "S-1-5-32-544".parse()?;
/// assert_eq!(administrators, Sid::ADMINISTRATORS.to_sid());
/// assert_eq!(administrators.to_bytes().len(), 16);
/// # Ok::<(), hivewright_hive::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sid {
    authority: u64,
    subauthorities: Vec<u32>,
}

/// A security identifier that is the same on every computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WellKnownSid {
    authority: u64,
    subauthorities: &'static [u32],
}

impl WellKnownSid {
    pub(super) const fn new(authority: u64, subauthorities: &'static [u32]) -> Self {
        WellKnownSid { authority, subauthorities }
    }

    /// Returns it as a [`Sid`].
    pub fn to_sid(self) -> Sid {
        Sid { authority: self.authority, subauthorities: self.subauthorities.to_vec() }
    }

    /// Returns whether `sid` is this one.
    pub fn is(self, sid: &Sid) -> bool {
        sid.authority == self.authority && sid.subauthorities == self.subauthorities
    }
}

impl Sid {
    /// The owner that a new object gets: a placeholder in inheritable entries.
    pub const CREATOR_OWNER: WellKnownSid = WellKnownSid::new(3, &[0]);
    /// The group that a new object gets: a placeholder in inheritable entries.
    pub const CREATOR_GROUP: WellKnownSid = WellKnownSid::new(3, &[1]);
    /// Local system.
    pub const SYSTEM: WellKnownSid = WellKnownSid::new(5, &[18]);
    /// The administrators of the computer.
    pub const ADMINISTRATORS: WellKnownSid = WellKnownSid::new(5, &[32, 544]);

    /// Makes a security identifier.
    ///
    /// # Errors
    /// An identifier authority of more than 48 bits, or more than 15 subauthorities.
    pub fn new(authority: u64, subauthorities: impl Into<Vec<u32>>) -> Result<Self> {
        let subauthorities = subauthorities.into();
        if authority >> 48 != 0 || subauthorities.len() > MAX_SUBAUTHORITIES {
            return Err(text_error("a security identifier has at most 48 bits of authority and 15 subauthorities"));
        }
        Ok(Sid { authority, subauthorities })
    }

    /// Returns the identifier authority, a number of 48 bits.
    pub fn authority(&self) -> u64 {
        self.authority
    }

    /// Returns the subauthorities; the last one is the relative identifier.
    pub fn subauthorities(&self) -> &[u32] {
        &self.subauthorities
    }

    /// Reads the security identifier at the start of `bytes`; more bytes may follow. `at` is its place in the
    /// descriptor.
    pub(super) fn parse(bytes: &[u8], at: usize) -> Result<Self> {
        let short = || damaged("a security identifier exceeds its space", at);
        let (&[revision, count, high @ ..], rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
        let count = usize::from(count);
        if revision != 1 || count > MAX_SUBAUTHORITIES {
            let what = "the security identifier is not of revision 1, or has more than 15 subauthorities";
            return Err(damaged(what, at).expected("1 and at most 15", format_args!("{revision} and {count}")));
        }
        let authority = high.iter().fold(0, |authority, &byte| authority << 8 | u64::from(byte));
        let subauthorities = rest.get(..4 * count).ok_or_else(short)?.chunks_exact(4);
        let subauthorities = subauthorities.map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])).collect();
        Ok(Sid { authority, subauthorities })
    }

    /// Returns the size of its bytes.
    pub fn size(&self) -> usize {
        8 + 4 * self.subauthorities.len()
    }

    /// Returns the bytes as a descriptor holds them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        bytes.push(1);
        bytes.push(u8::try_from(self.subauthorities.len()).unwrap_or(u8::MAX));
        bytes.extend(&self.authority.to_be_bytes()[2..]);
        bytes.extend(self.subauthorities.iter().flat_map(|part| part.to_le_bytes()));
        bytes
    }
}

impl fmt::Display for Sid {
    /// Writes `S-1-...` (MS-DTYP 2.4.2.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.authority >= HEX_AUTHORITY {
            write!(f, "S-1-{:#014x}", self.authority)?;
        } else {
            write!(f, "S-1-{}", self.authority)?;
        }
        self.subauthorities.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

impl FromStr for Sid {
    type Err = Error;

    /// Reads `S-1-...`; numbers may be hexadecimal with `0x`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || text_error(format!("{text:?} is not a security identifier")).advise("write it as S-1-5-32-544");
        let mut parts = text.split('-');
        if !parts.next().is_some_and(|s| s.eq_ignore_ascii_case("s")) || parts.next() != Some("1") {
            return Err(wrong());
        }
        let authority = parts.next().and_then(number).ok_or_else(wrong)?;
        let subauthorities = parts.take(MAX_SUBAUTHORITIES + 1);
        let subauthorities = subauthorities
            .map(|part| u32::try_from(number(part)?).ok())
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong)?;
        Sid::new(authority, subauthorities)
    }
}

/// Reads a number, decimal or hexadecimal with `0x`, without a sign.
pub(super) fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(digits, radix).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_match_the_specification() {
        for (text, bytes) in [
            ("S-1-1-0", &b"\x01\x01\0\0\0\0\0\x01\0\0\0\0"[..]),
            ("S-1-5-32-544", b"\x01\x02\0\0\0\0\0\x05\x20\0\0\0\x20\x02\0\0"),
            ("S-1-5", b"\x01\0\0\0\0\0\0\x05"),
            ("S-1-0x010203040506-4294967295", b"\x01\x01\x01\x02\x03\x04\x05\x06\xff\xff\xff\xff"),
        ] {
            let sid: Sid = text.parse().unwrap();
            assert_eq!((sid.to_string().as_str(), &*sid.to_bytes()), (text, bytes));
            assert_eq!(Sid::parse(bytes, 0).unwrap(), sid);
            assert_eq!(Sid::parse(&bytes[..bytes.len() - 1], 0).unwrap_err().code(), "security-descriptor");
        }
        assert_eq!("s-1-0x5-0x20".parse::<Sid>().unwrap().to_string(), "S-1-5-32");
    }

    #[test]
    fn invalid_identifiers_are_refused() {
        let long = format!("S-1-5{}", "-1".repeat(16));
        for text in [
            "",
            "S",
            "S-1",
            "S-1-",
            "S-2-5-18",
            "S-1-5-",
            "S-1-5-x",
            "S-1-5-+1",
            "S-1-5-4294967296",
            "S-1-0x1000000000000-1",
            &long,
        ] {
            assert_eq!(text.parse::<Sid>().unwrap_err().code(), "sddl", "{text}");
        }
        let mut many = vec![1, 16, 0, 0, 0, 0, 0, 5];
        many.resize(8 + 64, 0);
        assert!(Sid::parse(&many, 0).is_err() && Sid::parse(b"\x02\0\0\0\0\0\0\x05", 0).is_err());
    }
}
