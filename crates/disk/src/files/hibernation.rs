//! Detects a saved session of the Windows on a volume, for images and folders.
//!
//! Windows resumes a saved session with the hive in memory, and overwrites the file with it. Sources for the first four
//! bytes of `hiberfil.sys`: Volatility's *Hiber Address Space*; J. Sylve, V. Marziale and G. Richard, *Modern Windows
//! hibernation file analysis*, 2016; ntfs-3g refuses a writable mount for the first row and for a short file:
//!
//! | bytes | the session |
//! |---|---|
//! | `hibr`, `HIBR` | is saved, possibly by Fast Startup |
//! | `wake`, `WAKE` | has been resumed |
//! | zeros | does not exist: Windows 8 and later clears the page after resuming |
//! | `RSTR` | was being resumed, with unknown result |
//! | anything else, or fewer than 4096 bytes | cannot be ruled out; it may be saved elsewhere |

use std::fmt;

use serde::Serialize;

use hivewright_error::{Code, Error, Result};

/// The name of the hibernation file, in the root of the volume.
pub const FILE: &str = "hiberfil.sys";
/// Bytes of the header page of a hibernation file.
const HEADER_SIZE: u64 = 4096;

/// The state of `hiberfil.sys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hibernation {
    /// There is no hibernation file.
    NoFile,
    /// The file is shorter than its header page: its length in bytes.
    Short(u64),
    /// `hibr` or `HIBR`: a session is saved.
    Saved,
    /// `wake` or `WAKE`: the session has been resumed.
    Resumed,
    /// Zeros: no session is saved.
    Zeros,
    /// Other bytes.
    Other([u8; 4]),
    /// The file exists, or may exist, and cannot be read.
    Unreadable {
        /// The code of the error.
        code: Code,
        /// The reason, as a fragment of a sentence.
        what: String,
    },
}

impl Hibernation {
    /// Judges a hibernation file by its length and its first four bytes, which `read` returns, or by the error of
    /// opening it.
    pub fn of(file: Result<u64>, read: impl FnOnce(&mut [u8; 4]) -> Result<()>) -> Self {
        let judged = file.and_then(|len| {
            let mut first = [0; 4];
            if len >= HEADER_SIZE {
                read(&mut first)?;
            }
            Ok(Self::judge(len, first))
        });
        judged.unwrap_or_else(|error| Self::unreadable(&error))
    }

    /// Returns the state of a file that cannot be read.
    pub fn unreadable(error: &Error) -> Self {
        Hibernation::Unreadable { code: error.code(), what: error.to_string() }
    }

    /// Judges by the file's length and its first four bytes.
    fn judge(len: u64, first: [u8; 4]) -> Self {
        match (len, &first) {
            (0..HEADER_SIZE, _) => Hibernation::Short(len),
            (_, b"hibr" | b"HIBR") => Hibernation::Saved,
            (_, b"wake" | b"WAKE") => Hibernation::Resumed,
            (_, [0, 0, 0, 0]) => Hibernation::Zeros,
            _ => Hibernation::Other(first),
        }
    }

    /// Returns whether a session is saved; `None` if unknown.
    pub fn is_saved(&self) -> Option<bool> {
        match self {
            Hibernation::NoFile | Hibernation::Resumed | Hibernation::Zeros => Some(false),
            Hibernation::Saved => Some(true),
            Hibernation::Short(_) | Hibernation::Other(_) | Hibernation::Unreadable { .. } => None,
        }
    }
}

impl fmt::Display for Hibernation {
    /// Formats a fragment of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hibernation::NoFile => f.write_str("no hibernation file"),
            Hibernation::Resumed | Hibernation::Zeros => f.write_str("not hibernated"),
            Hibernation::Saved => f.write_str("hibernated"),
            Hibernation::Short(len) => {
                write!(f, "hiberfil.sys has only {len} bytes, so it is unknown whether a session is saved")
            }
            Hibernation::Other(first) => {
                write!(
                    f,
                    "hiberfil.sys begins with \"{}\", so it is unknown whether a session is saved",
                    first.escape_ascii()
                )
            }
            Hibernation::Unreadable { what, .. } => write!(f, "hiberfil.sys cannot be read: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_error::Kind;

    fn of(len: u64, first: [u8; 4]) -> Hibernation {
        Hibernation::of(Ok(len), |bytes| {
            *bytes = first;
            Ok(())
        })
    }

    #[test]
    fn each_signature_has_one_meaning() {
        for (first, saved) in [
            (*b"hibr", Some(true)),
            (*b"HIBR", Some(true)),
            (*b"wake", Some(false)),
            (*b"WAKE", Some(false)),
            ([0; 4], Some(false)),
            (*b"RSTR", None),
            (*b"link", None),
            (*b"Hibr", None),
            ([0xff; 4], None),
        ] {
            assert_eq!(of(HEADER_SIZE, first).is_saved(), saved, "{}", first.escape_ascii());
            assert_eq!(of(HEADER_SIZE - 1, first), Hibernation::Short(HEADER_SIZE - 1));
        }
    }

    #[test]
    fn an_unreadable_file_is_unknown() {
        let failed = || Error::new(Kind::Corrupt, Code::NtfsIndex, "a reason");
        let lost = Hibernation::Unreadable { code: Code::NtfsIndex, what: failed().to_string() };
        assert_eq!(Hibernation::of(Err(failed()), |_| Ok(())), lost);
        assert_eq!(Hibernation::of(Ok(HEADER_SIZE), |_| Err(failed())), lost);
        assert_eq!((lost.is_saved(), Hibernation::NoFile.is_saved()), (None, Some(false)));
    }
}
