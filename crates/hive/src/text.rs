//! Strings of values: UTF-16LE, possibly without a terminating zero, with bytes after it, or with unpaired surrogates.

use std::fmt;

/// A string of a value, with its bytes.
///
/// Registry strings are UTF-16LE and should end with one zero. Many strings in real hives lack the zero, have old bytes
/// after it, an odd number of bytes, or unpaired surrogates. `Text` keeps the bytes, so that writing it back changes
/// nothing. It displays them as the programs of Windows do: up to the first zero.
///
/// # Examples
/// ```
/// use hivewright_hive::Text;
///
/// let regular = Text::new("ab");
/// assert_eq!(regular.as_bytes(), b"a\0b\0\0\0");
/// assert!(regular.is_regular());
///
/// let unterminated = Text::from_bytes(*b"a\0b\0");
/// assert_eq!(unterminated.to_string(), "ab");
/// assert!(!unterminated.is_regular());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text {
    bytes: Vec<u8>,
}

impl Text {
    /// Encodes `text` with a terminating zero. A zero within `text` is kept, but ends the displayed string.
    pub fn new(text: &str) -> Self {
        let units = text.encode_utf16().chain([0]);
        Text { bytes: units.flat_map(u16::to_le_bytes).collect() }
    }

    /// Wraps stored bytes without a change.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Text { bytes: bytes.into() }
    }

    /// Returns the bytes as stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the bytes as stored.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns all code units, zeros included. An odd last byte is ignored.
    pub fn units(&self) -> impl Iterator<Item = u16> + '_ {
        units(&self.bytes)
    }

    /// Returns the string up to the first zero; `None` if it has an unpaired surrogate.
    pub fn to_str(&self) -> Option<String> {
        char::decode_utf16(self.units().take_while(|&unit| unit != 0)).collect::<Result<_, _>>().ok()
    }

    /// Returns whether the bytes equal those of [`Text::new`] for the string: one zero, at the end, and no unpaired
    /// surrogate. Otherwise the string does not represent the bytes completely.
    pub fn is_regular(&self) -> bool {
        self.to_str().is_some_and(|text| Text::new(&text) == *self)
    }
}

impl fmt::Display for Text {
    /// Writes the string up to the first zero, with unpaired surrogates as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_units(f, self.units().take_while(|&unit| unit != 0))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_regular() {
            write!(f, "{:?}", self.to_string())
        } else {
            write!(f, "{:?} (of {} bytes)", self.to_string(), self.bytes.len())
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::new(text)
    }
}

/// A list of strings, with its bytes: each string ends with a zero, and the list with another one.
///
/// Keeps the bytes as [`Text`] does.
///
/// # Examples
/// ```
/// use hivewright_hive::TextList;
///
/// let list = TextList::new(["RpcSs", "Tcpip"]);
/// assert_eq!(list.strings().collect::<Vec<_>>(), ["RpcSs", "Tcpip"]);
/// assert!(list.is_regular());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TextList {
    bytes: Vec<u8>,
}

impl TextList {
    /// Encodes `texts`. An empty text is kept, but ends the list for most readers, including [`TextList::strings`].
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut bytes = Vec::new();
        for text in texts {
            bytes.extend(Text::new(text.as_ref()).bytes);
        }
        bytes.extend([0, 0]);
        TextList { bytes }
    }

    /// Wraps stored bytes without a change.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        TextList { bytes: bytes.into() }
    }

    /// Returns the bytes as stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the bytes as stored.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns the strings up to the first empty one or the end of the bytes, with unpaired surrogates as U+FFFD.
    pub fn strings(&self) -> impl Iterator<Item = String> + '_ {
        let mut units = units(&self.bytes);
        std::iter::from_fn(move || {
            let text = char::decode_utf16(units.by_ref().take_while(|&unit| unit != 0))
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect::<String>();
            (!text.is_empty()).then_some(text)
        })
        .fuse()
    }

    /// Returns whether the bytes equal those of [`TextList::new`] for the strings.
    pub fn is_regular(&self) -> bool {
        TextList::new(self.strings()) == *self
    }
}

impl fmt::Debug for TextList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.strings()).finish()?;
        if self.is_regular() { Ok(()) } else { write!(f, " (of {} bytes)", self.bytes.len()) }
    }
}

fn units(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
}

fn write_units(f: &mut fmt::Formatter<'_>, units: impl Iterator<Item = u16>) -> fmt::Result {
    use fmt::Write;
    char::decode_utf16(units).try_for_each(|c| f.write_char(c.unwrap_or(char::REPLACEMENT_CHARACTER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn irregular_strings_keep_their_bytes() {
        for bytes in [&b""[..], b"a\0", b"a\0\0\0b\0\0\0", b"a\0\0\0\0", b"a\0\0", b"\x00\xd8\0\0", b"a\0\0\0\0\0"] {
            let text = Text::from_bytes(bytes);
            assert!(!text.is_regular(), "{bytes:?}");
            assert_eq!(text.as_bytes(), bytes);
        }
        assert_eq!(Text::from_bytes(*b"\x00\xd8\0\0").to_str(), None);
        assert_eq!(Text::from_bytes(*b"a\0\0\0b\0\0\0").to_string(), "a");
        assert!(Text::new("").is_regular() && Text::new("𝄞").is_regular());
    }

    #[test]
    fn lists_end_at_the_first_empty_string() {
        let strings = |bytes: &[u8]| TextList::from_bytes(bytes).strings().collect::<Vec<_>>();
        assert_eq!(strings(b""), Vec::<String>::new());
        assert_eq!(strings(b"a\0\0\0b\0\0\0\0\0"), ["a", "b"]);
        assert_eq!(strings(b"a\0\0\0b\0"), ["a", "b"]);
        assert_eq!(strings(b"a\0\0\0\0\0b\0\0\0\0\0"), ["a"]);
        for bytes in [&b""[..], b"a\0\0\0", b"a\0\0\0b\0", b"a\0\0\0\0\0b\0\0\0\0\0", b"\x00\xd8\0\0\0\0"] {
            assert!(!TextList::from_bytes(bytes).is_regular(), "{bytes:?}");
        }
        assert!(TextList::new([""; 0]).is_regular() && TextList::new(["a", "b"]).is_regular());
    }
}
