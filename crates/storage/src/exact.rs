//! Lossless paths in JSON.
//!
//! A path is text in a field of its name. Where the path is not valid UTF-8 (on Windows: has an unpaired surrogate),
//! the text has U+FFFD in its place, and a second field, with `_hex` appended to the name, holds the whole path in
//! hexadecimal: its bytes, or on Windows its UTF-16 code units in little-endian order. Without that field the text is
//! the path.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::Serializer;
use serde::ser::SerializeMap;

use super::hex;

/// Returns the whole path in hexadecimal if its text is lossy, else `None`.
pub fn hex(path: impl AsRef<OsStr>) -> Option<String> {
    let path = path.as_ref();
    path.to_str().is_none().then(|| whole(path))
}

/// Returns the whole path in hexadecimal.
pub fn whole(path: impl AsRef<OsStr>) -> String {
    hex::encode(&units(path.as_ref()))
}

/// Returns the path that was written as `text` and `hex` (see [`hex()`]), or `None` if `hex` is malformed.
pub fn path(text: &str, hex: Option<&str>) -> Option<PathBuf> {
    match hex {
        None => Some(PathBuf::from(text)),
        Some(hex) => from_units(hex::decode(hex)?).map(PathBuf::from),
    }
}

#[cfg(unix)]
fn units(path: &OsStr) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(path).to_vec()
}

#[cfg(unix)]
fn from_units(bytes: Vec<u8>) -> Option<OsString> {
    Some(std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

#[cfg(windows)]
fn units(path: &OsStr) -> Vec<u8> {
    std::os::windows::ffi::OsStrExt::encode_wide(path).flat_map(u16::to_le_bytes).collect()
}

#[cfg(windows)]
fn from_units(bytes: Vec<u8>) -> Option<OsString> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    rest.is_empty().then(|| std::os::windows::ffi::OsStringExt::from_wide(&units))
}

/// Returns the path whose [`OsStr::as_encoded_bytes`] are `bytes`: on Windows, UTF-8 with unpaired surrogates as three
/// bytes (WTF-8). `None` if there is none.
#[cfg(unix)]
pub fn from_encoded(bytes: Vec<u8>) -> Option<OsString> {
    from_units(bytes)
}

/// Returns the path whose [`OsStr::as_encoded_bytes`] are `bytes`: on Windows, UTF-8 with unpaired surrogates as three
/// bytes (WTF-8). `None` if there is none.
#[cfg(windows)]
pub fn from_encoded(bytes: Vec<u8>) -> Option<OsString> {
    let (mut units, mut rest) = (Vec::new(), &bytes[..]);
    while !rest.is_empty() {
        let text = rest.utf8_chunks().next()?.valid();
        units.extend(text.encode_utf16());
        rest = &rest[text.len()..];
        match rest {
            [] => {}
            [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, after @ ..] => {
                units.push(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f));
                rest = after;
            }
            _ => return None,
        }
    }
    Some(std::os::windows::ffi::OsStringExt::from_wide(&units))
}

/// A field that may hold a path.
pub trait Field {
    /// Returns the path, if there is one.
    fn path(&self) -> Option<&Path>;
}

impl Field for PathBuf {
    fn path(&self) -> Option<&Path> {
        Some(self)
    }
}

impl Field for &Path {
    fn path(&self) -> Option<&Path> {
        Some(self)
    }
}

impl<F: Field> Field for Option<F> {
    fn path(&self) -> Option<&Path> {
        self.as_ref().and_then(Field::path)
    }
}

/// Defines functions for `#[serde(flatten, serialize_with)]`, one for each field name that holds a path.
macro_rules! fields {
    ($($name:ident and $hex:ident),*) => {
        $(
            /// Writes the field of this name and, for a lossy text, the `_hex` field. No path is `null`.
            ///
            /// # Errors
            /// Errors of the serializer.
            pub fn $name<S: Serializer>(field: &impl Field, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                let path = field.path();
                map.serialize_entry(stringify!($name), &path.map(Path::to_string_lossy))?;
                if let Some(hex) = path.and_then(hex) {
                    map.serialize_entry(stringify!($hex), &hex)?;
                }
                map.end()
            }
        )*
    };
}

/// The functions that `fields` defines, named as their fields.
pub mod field {
    use super::{Field, Path, SerializeMap, Serializer, hex};

    fields!(file and file_hex, path and path_hex, target and target_hex, undo and undo_hex);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize)]
    struct Document {
        before: u8,
        #[serde(flatten, serialize_with = "field::file")]
        file: PathBuf,
        #[serde(flatten, serialize_with = "field::undo")]
        undo: Option<PathBuf>,
    }

    #[test]
    fn text_is_the_path_where_it_can_be() {
        for text in ["", "/a b/\u{fc}\n\"", "\u{fffd}"] {
            assert_eq!((hex(text), path(text, None)), (None, Some(PathBuf::from(text))));
            let document = Document { before: 1, file: text.into(), undo: None };
            let expected = serde_json::json!({ "before": 1, "file": text, "undo": null });
            assert_eq!(serde_json::to_value(document).unwrap(), expected);
        }
        assert_eq!(path("a", Some("0")), None);
    }

    #[cfg(windows)]
    #[test]
    fn every_other_path_comes_back_from_its_numbers() {
        let path_of = |units: &[u16]| PathBuf::from(<OsString as std::os::windows::ffi::OsStringExt>::from_wide(units));
        for odd in [&[0xd800][..], &[0x61, 0xdfff, 0x62], &[0xdc00, 0xd800], &[0xd83d, 0xde00, 0xd83d]] {
            let document = Document { before: 1, file: "f".into(), undo: Some(path_of(odd)) };
            let json = serde_json::to_value(document).unwrap();
            assert_eq!((json["file"].as_str(), json.get("file_hex")), (Some("f"), None));
            let back = path(json["undo"].as_str().unwrap(), json["undo_hex"].as_str()).unwrap();
            assert_eq!(back, path_of(odd));
            assert_eq!(from_encoded(back.as_os_str().as_encoded_bytes().to_vec()).unwrap(), path_of(odd));
        }
        assert_eq!(hex(path_of(&[0x78, 0xd800])).unwrap(), "780000d8");
        assert_eq!(from_encoded(b"a\xff".to_vec()), None);
        assert_eq!(from_encoded("\u{fc}/\u{1f600}".into()).unwrap(), "\u{fc}/\u{1f600}");
    }

    // Names of any bytes exist on Unix alone; there is a test for UTF-16.
    #[cfg(unix)]
    #[test]
    fn every_other_path_comes_back_from_its_numbers() {
        let bytes =
            |bytes: &[u8]| PathBuf::from(<OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes.to_vec()));
        for odd in [&b"\xff"[..], b"a/\xe2\x82", b"\xed\xa0\x80\n", b"\xffvisible\xfe"] {
            let document = Document { before: 1, file: "f".into(), undo: Some(bytes(odd)) };
            let json = serde_json::to_value(document).unwrap();
            assert_eq!((json["file"].as_str(), json.get("file_hex")), (Some("f"), None));
            let back = path(json["undo"].as_str().unwrap(), json["undo_hex"].as_str()).unwrap();
            assert_eq!(back, bytes(odd));
        }
        assert_eq!(hex(bytes(b"x\xff")).unwrap(), "78ff");
    }
}
