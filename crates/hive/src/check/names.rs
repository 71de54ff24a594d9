//! Names in a full check. Nearly all are short ASCII, for which these functions are fast.

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::regf::name::{Name, upcase};

/// Properties of a name, computed in one pass over its stored bytes.
#[derive(Clone, Copy)]
pub(super) struct CheckedName<'h> {
    /// The stored bytes: one or two for each code unit.
    pub(super) bytes: &'h [u8],
    pub(super) latin1: bool,
    /// The hash of hash leaves.
    pub(super) hash: u32,
    ascii: bool,
}

impl<'h> CheckedName<'h> {
    pub(super) fn new(bytes: &'h [u8], latin1: bool) -> Self {
        let (mut hash, mut all) = (0u32, 0u8);
        for &byte in bytes {
            hash = hash.wrapping_mul(37).wrapping_add(u32::from(byte.to_ascii_uppercase()));
            all |= byte;
        }
        let ascii = latin1 && all.is_ascii();
        let mut seen = CheckedName { bytes, latin1, hash, ascii };
        if !ascii {
            seen.hash = seen.name().hash();
        }
        seen
    }

    pub(super) fn name(&self) -> Name<'h> {
        Name::new(self.bytes.into(), self.latin1)
    }

    /// Rule units of the name.
    pub(super) fn characters(&self) -> usize {
        if self.latin1 { self.bytes.len() } else { self.bytes.len() / 2 }
    }

    /// Returns the number of bytes of the name as UTF-16.
    pub(super) fn utf16_size(&self) -> usize {
        self.characters() * 2
    }

    /// Returns whether its last code unit is incomplete.
    pub(super) fn is_odd(&self) -> bool {
        !self.latin1 && !self.bytes.len().is_multiple_of(2)
    }

    pub(super) fn has_backslash(&self) -> bool {
        if self.latin1 {
            return self.bytes.contains(&b'\\');
        }
        self.name().units().any(|unit| unit == u16::from(b'\\'))
    }

    pub(super) fn compare(&self, other: &CheckedName<'_>) -> Ordering {
        if self.ascii && other.ascii {
            let upper = |b: &u8| b.to_ascii_uppercase();
            return self.bytes.iter().map(upper).cmp(other.bytes.iter().map(upper));
        }
        self.name().compare(&other.name())
    }

    /// Returns a keyed hash of the upper-cased name, which an attacker cannot predict.
    pub(super) fn keyed_hash(&self, key: &RandomState) -> u64 {
        let mut hasher = key.build_hasher();
        self.name().units().for_each(|unit| hasher.write_u16(upcase(unit)));
        hasher.finish()
    }

    /// Returns whether all versions of Windows agree on the upper case of the name, so that its order and hash are
    /// known.
    pub(super) fn has_stable_case(&self) -> bool {
        self.ascii || self.name().units().all(has_stable_case)
    }

    /// Returns whether a fast leaf's hint may belong to this name. Windows writes zeros for names stored as UTF-16;
    /// hints with characters beyond ASCII are not checked.
    pub(super) fn allows_hint(&self, hint: u32) -> bool {
        let hint = hint.to_le_bytes();
        if hint == [0; 4] || !self.latin1 {
            return true;
        }
        let mut padded = [0u8; 4];
        for (to, &from) in padded.iter_mut().zip(self.bytes) {
            *to = from;
        }
        padded.eq_ignore_ascii_case(&hint) || !padded.is_ascii()
    }
}

/// Returns whether the upper case of `unit` is the same in all versions of Windows. That of Latin-1 and of the basic
/// Greek and Cyrillic letters is; the tables for other letters grew, but never for characters without case.
fn has_stable_case(unit: u16) -> bool {
    match unit {
        0..=0xff | 0x391..=0x3a9 | 0x3b1..=0x3c1 | 0x3c3..=0x3c9 | 0x401..=0x40c | 0x40e..=0x44f => true,
        0x451..=0x45c | 0x45e..=0x45f => true,
        _ => {
            upcase(unit) == unit
                && char::from_u32(u32::from(unit)).is_none_or(|c| c.to_uppercase().eq([c]) && c.to_lowercase().eq([c]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str) -> CheckedName<'static> {
        let name = Name::encode(name);
        let latin1 = name.is_latin1();
        CheckedName::new(Box::leak(name.bytes().to_vec().into_boxed_slice()), latin1)
    }

    #[test]
    fn results_match_those_of_name() {
        let names = ["", "a", "PolicyAgent", "policyagenu", "\u{e4}b", "\u{c4}C", "Ключ", "ключи", "\u{ff}"];
        for a in names {
            assert_eq!(seen(a).hash, Name::encode(a).hash(), "{a}");
            assert_eq!(seen(a).utf16_size(), Name::encode(a).utf16_size(), "{a}");
            for b in names {
                assert_eq!(seen(a).compare(&seen(b)), Name::encode(a).compare(&Name::encode(b)), "{a} {b}");
            }
        }
    }

    #[test]
    fn hints_are_the_first_four_characters() {
        let hint = |text: &[u8; 4]| u32::from_le_bytes(*text);
        assert!(seen("Services").allows_hint(hint(b"Serv")));
        assert!(seen("Services").allows_hint(hint(b"SERV")));
        assert!(seen("Services").allows_hint(0));
        assert!(!seen("Services").allows_hint(hint(b"Sera")));
        assert!(seen("ab").allows_hint(hint(b"ab\0\0")) && !seen("ab").allows_hint(hint(b"abc\0")));
        assert!(seen("\u{9f}").allows_hint(hint(b"\x81\0\0\0")), "seen in a real hive");
    }

    #[test]
    fn letters_with_a_stable_case_are_known() {
        for stable in ["Run", "\u{e4}", "Ключ", "キー", "\u{10400}"] {
            assert!(seen(stable).has_stable_case(), "{stable}");
        }
        for unstable in ["\u{250}", "\u{10d0}", "\u{1c5}", "\u{2c65}", "\u{23a}"] {
            assert!(!seen(unstable).has_stable_case(), "{unstable}");
        }
    }
}
