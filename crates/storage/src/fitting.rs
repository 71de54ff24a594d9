//! File names that are derived from a name and stay within the limits of file systems.

use std::ffi::{OsStr, OsString};

use sha2::{Digest, Sha256};

use crate::hex;

/// Bytes of a name at most, on Linux and most other systems. Systems that count characters allow at least as many
/// bytes.
const LONGEST: usize = 255;
/// Number of random characters in the name of a temporary file.
pub(super) const RANDOM: usize = 6;

/// Returns `name` if `more` bytes can be added to it, else its beginning, a `~` and a number that keeps names apart.
pub fn fitting(name: &OsStr, more: usize) -> OsString {
    if name.len() + more <= LONGEST {
        return name.to_owned();
    }
    let hash = hex::encode(&Sha256::digest(name.as_encoded_bytes())[..8]);
    let mut short = beginning(name, LONGEST.saturating_sub(more + 1 + hash.len()));
    short.push("~");
    short.push(hash);
    short
}

/// Returns at most the first `most` bytes. Text is cut between characters, because some file systems accept only valid
/// text.
fn beginning(name: &OsStr, most: usize) -> OsString {
    match name.to_str() {
        Some(text) => {
            let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
            OsString::from(&text[..end.unwrap_or(0)])
        }
        None => first_bytes(name, most),
    }
}

#[cfg(unix)]
fn first_bytes(name: &OsStr, most: usize) -> OsString {
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(name);
    <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&bytes[..most.min(bytes.len())]).to_owned()
}

#[cfg(not(unix))]
fn first_bytes(name: &OsStr, most: usize) -> OsString {
    let text = name.to_string_lossy().into_owned();
    beginning(OsStr::new(&text), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_where_it_must_be() {
        let long = "x".repeat(235);
        assert_eq!(fitting(OsStr::new(&long), 20), *long);
        let cut = |name: &str| fitting(OsStr::new(name), 20).into_string().unwrap();
        assert_eq!(cut(&format!("{long}y")).len(), 235);
        assert_ne!(cut(&format!("{long}y")), cut(&format!("{long}z")));
        let umlauts = cut(&"\u{fc}".repeat(127));
        assert!(umlauts.starts_with("\u{fc}\u{fc}") && umlauts.len() <= 235);
        assert_eq!(fitting(OsStr::new("x"), 1000).len(), 1 + 16);
    }

    // The limit of Unix counts bytes.
    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_cut_anywhere() {
        let odd: OsString = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff; 255]);
        let cut = fitting(&odd, 20);
        assert_eq!((cut.len(), cut.to_str()), (235, None));
    }
}
