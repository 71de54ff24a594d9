//! Names of keys and values: Latin-1 or UTF-16 in the file, compared by upper-cased UTF-16 code units.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A name as stored in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    bytes: Cow<'a, [u8]>,
    latin1: bool,
}

impl<'a> Name<'a> {
    /// Creates a name from its stored bytes: one byte (Latin-1) or two (UTF-16LE) for each code unit.
    pub fn new(bytes: Cow<'a, [u8]>, latin1: bool) -> Self {
        Name { bytes, latin1 }
    }

    /// Encodes `text` as Windows stores it: Latin-1 if every code unit fits.
    pub fn encode(text: &str) -> Name<'static> {
        Self::from_units(&text.encode_utf16().collect::<Vec<_>>())
    }

    /// Encodes code units as Windows stores them: Latin-1 if every one fits. Only this
    /// function and escapes create names with unpaired surrogates.
    pub fn from_units(units: &[u16]) -> Name<'static> {
        let narrow: Option<Vec<u8>> = units.iter().map(|&u| u8::try_from(u).ok()).collect();
        match narrow {
            Some(bytes) => Name::new(Cow::Owned(bytes), true),
            None => Name::new(Cow::Owned(units.iter().flat_map(|u| u.to_le_bytes()).collect()), false),
        }
    }

    /// Parses the escaped form, in which `{U+`, four hexadecimal digits and `}` represent a code unit.
    ///
    /// # Examples
    /// ```
    /// use hivewright_hive::regf::name::Name;
    ///
    /// let name = Name::from_escaped("a{U+0000}b{U+D800}");
    /// assert!(name.units().eq([0x61, 0, 0x62, 0xd800]));
    /// assert_eq!(name.to_escaped(), "a{U+0000}b{U+D800}");
    /// ```
    pub fn from_escaped(text: &str) -> Name<'static> {
        let mut units = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(ESCAPE) {
            let (literal, escape) = rest.split_at(start);
            units.extend(literal.encode_utf16());
            match escaped_unit(escape) {
                Some(unit) => {
                    units.push(unit);
                    rest = &escape[ESCAPE_SIZE..];
                }
                None => {
                    units.extend(ESCAPE.encode_utf16());
                    rest = &escape[ESCAPE.len()..];
                }
            }
        }
        units.extend(rest.encode_utf16());
        Name::from_units(&units)
    }

    /// Returns the escaped form, which [`Name::from_escaped`] parses. Escapes are used for control characters,
    /// backslashes, unpaired surrogates, and text that has the form of an escape.
    pub fn to_escaped(&self) -> String {
        let mut text = String::with_capacity(self.bytes.len());
        for unit in char::decode_utf16(self.units()) {
            match unit {
                Ok(c) if c.is_control() || c == '\\' => push_escape(&mut text, u32::from(c)),
                Ok(c) => {
                    if c == '+' && text.ends_with("{U") {
                        text.truncate(text.len() - 2);
                        push_escape(&mut text, u32::from('{'));
                        text.push('U');
                    }
                    text.push(c);
                }
                Err(unpaired) => push_escape(&mut text, u32::from(unpaired.unpaired_surrogate())),
            }
        }
        text
    }

    /// Returns the stored bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether it is stored as Latin-1 ("compressed" name).
    pub fn is_latin1(&self) -> bool {
        self.latin1
    }

    /// Returns the size of the name in bytes as UTF-16, which the largest-name fields use.
    pub fn utf16_size(&self) -> usize {
        self.units().count() * 2
    }

    /// Returns the code units. An odd last byte of a damaged UTF-16 name is ignored.
    pub fn units(&self) -> impl Iterator<Item = u16> + '_ {
        let step = if self.latin1 { 1 } else { 2 };
        self.bytes
            .chunks_exact(step)
            .map(|c| if let [low, high] = *c { u16::from_le_bytes([low, high]) } else { u16::from(c[0]) })
    }

    /// Returns whether the name equals `other` without regard to case.
    pub fn matches<'n>(&self, other: impl Into<Name<'n>>) -> bool {
        self.equals(&other.into())
    }

    /// Returns whether two names are equal without regard to case.
    pub(crate) fn equals(&self, other: &Name<'_>) -> bool {
        if self.latin1 && other.latin1 && self.bytes.is_ascii() && other.bytes.is_ascii() {
            return self.bytes.eq_ignore_ascii_case(&other.bytes);
        }
        self.units().map(upcase).eq(other.units().map(upcase))
    }

    /// Compares two names in the registry's order: by upper-cased code units.
    pub fn compare(&self, other: &Name<'_>) -> Ordering {
        if self.latin1 && other.latin1 && self.bytes.is_ascii() && other.bytes.is_ascii() {
            let upper = |b: &u8| b.to_ascii_uppercase();
            return self.bytes.iter().map(upper).cmp(other.bytes.iter().map(upper));
        }
        self.units().map(upcase).cmp(other.units().map(upcase))
    }

    /// Returns the hash for a hash leaf (specification, "Hash leaf").
    pub fn hash(&self) -> u32 {
        hash(self.units())
    }

    /// Returns the name as Windows stores it: Latin-1 if every code unit fits.
    pub fn compressed(&self) -> Name<'static> {
        if self.latin1 { self.clone().into_owned() } else { Name::from_units(&self.units().collect::<Vec<_>>()) }
    }

    /// Converts into a name that owns its bytes.
    pub fn into_owned(self) -> Name<'static> {
        Name { bytes: Cow::Owned(self.bytes.into_owned()), latin1: self.latin1 }
    }
}

impl<'a> From<&'a str> for Name<'a> {
    /// Encodes the text literally. Escapes are not interpreted.
    fn from(text: &'a str) -> Self {
        if text.is_ascii() { Name::new(Cow::Borrowed(text.as_bytes()), true) } else { Name::encode(text) }
    }
}

impl<'a> From<&'a String> for Name<'a> {
    fn from(text: &'a String) -> Self {
        Name::from(text.as_str())
    }
}

impl<'a> From<&'a Name<'_>> for Name<'a> {
    fn from(name: &'a Name<'_>) -> Self {
        Name::new(Cow::Borrowed(&name.bytes), name.latin1)
    }
}

/// The start of an escape in [`Name::from_escaped`]. Many names have braces (GUIDs), but no known name has this.
const ESCAPE: &str = "{U+";
/// Bytes of a whole escape.
const ESCAPE_SIZE: usize = "{U+0000}".len();

/// Returns the code unit of the escape at the start of `text`, if it is one.
fn escaped_unit(text: &str) -> Option<u16> {
    let digits = text.get(..ESCAPE_SIZE)?.strip_prefix(ESCAPE)?.strip_suffix('}')?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

fn push_escape(text: &mut String, unit: u32) {
    text.push_str(&format!("{ESCAPE}{unit:04X}}}"));
}

impl fmt::Display for Name<'_> {
    /// Writes unpaired surrogates as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        char::decode_utf16(self.units()).try_for_each(|c| f.write_char(c.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }
}

/// Returns the hash of the upper-cased code units, as hash leaves store it.
pub fn hash(units: impl Iterator<Item = u16>) -> u32 {
    units.fold(0, |h: u32, unit| h.wrapping_mul(37).wrapping_add(u32::from(upcase(unit))))
}

/// Code units that have an upper case or a folding in Unicode, but not in Windows (measured against the
/// $UpCase table that Windows Vista and later write to NTFS volumes).
const UNCHANGED: &[(u16, u16)] = &[
    (0x00b5, 0x00b5),
    (0x0131, 0x0131),
    (0x017f, 0x017f),
    (0x01c5, 0x01c5),
    (0x01c8, 0x01c8),
    (0x01cb, 0x01cb),
    (0x01f2, 0x01f2),
    (0x023f, 0x0240),
    (0x0252, 0x0252),
    (0x025c, 0x025c),
    (0x0261, 0x0261),
    (0x0264, 0x0266),
    (0x026a, 0x026a),
    (0x026c, 0x026c),
    (0x0282, 0x0282),
    (0x0287, 0x0287),
    (0x029d, 0x029e),
    (0x0345, 0x0345),
    (0x03c2, 0x03c2),
    (0x03d0, 0x03d1),
    (0x03d5, 0x03d6),
    (0x03f0, 0x03f1),
    (0x03f3, 0x03f3),
    (0x03f5, 0x03f5),
    (0x0525, 0x052f),
    (0x10d0, 0x10ff),
    (0x13f8, 0x13fd),
    (0x1c80, 0x1c8a),
    (0x1d8e, 0x1d8e),
    (0x1e9b, 0x1e9b),
    (0x1fbe, 0x1fbe),
    (0x2c5f, 0x2c5f),
    (0x2cec, 0x2cf3),
    (0x2d27, 0x2d2d),
    (0xa661, 0xa661),
    (0xa699, 0xa69b),
    (0xa791, 0xa7f6),
    (0xab53, 0xabbf),
];

/// Returns the upper case of a code unit in the registry. One unit maps to one unit; surrogates are unchanged.
pub fn upcase(unit: u16) -> u16 {
    if let Ok(ascii) = u8::try_from(unit)
        && ascii.is_ascii()
    {
        return u16::from(ascii.to_ascii_uppercase());
    }
    match unit {
        // The full mapping of Unicode expands small Greek letters with iota subscript; the table does not.
        0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7 => return unit + 8,
        0x1fb3 | 0x1fc3 | 0x1ff3 => return unit + 9,
        _ => {}
    }
    if UNCHANGED.iter().any(|&(first, last)| (first..=last).contains(&unit)) {
        return unit;
    }
    let Some(c) = char::from_u32(u32::from(unit)) else { return unit };
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => u16::try_from(u32::from(one)).unwrap_or(unit),
        _ => unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_case_is_one_to_one() {
        assert_eq!(upcase(u16::from(b'z')), u16::from(b'Z'));
        assert_eq!(upcase(0xe4), 0xc4, "a umlaut");
        assert_eq!(upcase(0xdf), 0xdf, "sharp s stays");
        assert_eq!(upcase(0xff), 0x178, "y diaeresis leaves Latin-1");
        assert_eq!(upcase(0x131), 0x131, "dotless i stays");
        assert_eq!(upcase(0x1f80), 0x1f88);
        assert_eq!(upcase(0xd83d), 0xd83d, "surrogates stay");
    }

    #[test]
    fn matches_without_regard_to_case_or_storage() {
        let narrow = Name::encode("PolicyAgent");
        assert!(narrow.is_latin1() && narrow.matches("policyagent") && !narrow.matches("policyagent "));
        let wide = Name::encode("Ключ");
        assert!(!wide.is_latin1() && wide.matches("КЛЮЧ"));
        assert_eq!(wide.utf16_size(), 8);
        let padded = Name::new(Cow::Borrowed(b"A\0b\0"), false);
        assert!(padded.matches("aB") && padded.compare(&Name::encode("ab")) == Ordering::Equal);
    }

    #[test]
    fn escapes_represent_every_name() {
        for (text, units) in [
            ("plain {0001-x} U+0041", "plain {0001-x} U+0041".encode_utf16().collect::<Vec<_>>()),
            ("{U+005C}{U+0000}\u{1d11e}", vec![0x5c, 0, 0xd834, 0xdd1e]),
            ("{U+DD1E}{U+D834}x", vec![0xdd1e, 0xd834, 0x78]),
            ("{U+007B}U+0041}", "{U+0041}".encode_utf16().collect()),
            ("{{U+007B}U+{U+0009}", "{{U+\t".encode_utf16().collect()),
        ] {
            let name = Name::from_units(&units);
            assert_eq!(name.to_escaped(), text);
            assert!(Name::from_escaped(text).units().eq(units.iter().copied()));
        }
        for literal in ["{U+004}", "{U+", "{u+0041}", "{U+00g1}", "{U+004é", "{U+ 041}"] {
            assert_eq!(Name::from_escaped(literal), Name::encode(literal), "no escape");
        }
        assert_eq!(Name::from_escaped("{U+00e4}"), Name::encode("\u{e4}"));
    }

    #[test]
    fn hash_known_answer() {
        // h = ((A * 37) + B) * 37 + C
        assert_eq!(Name::encode("abc").hash(), (65 * 37 + 66) * 37 + 67);
    }

    #[test]
    fn damaged_utf16_is_shown_not_lost() {
        let odd = Name::new(Cow::Borrowed(&[0x41, 0, 0x00, 0xd8, 0x42]), false);
        assert_eq!(odd.to_string(), "A\u{fffd}");
    }
}
