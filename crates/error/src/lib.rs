//! The error type of the hivewright crates: a kind, a stable code, a message, and the places of the fault.
//!
//! [`Kind`] tells the caller what to do, and the code is stable for programs. Each layer that translates an address
//! adds the [`Place`] in its address space to the trail.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
#![cfg_attr(test, allow(clippy::cast_possible_truncation))]

mod code;

use std::fmt;
use std::path::{Path, PathBuf};

pub use code::Code;

/// The result of all fallible functions of the hivewright crates.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Kind {
    /// A call of the operating system failed: try again, or repair the medium.
    Io,
    /// The bytes violate their format.
    Corrupt,
    /// The bytes may be valid, but this program does not support them.
    Unsupported,
    /// The operation would do harm; nothing was changed.
    Refused,
    /// The object does not exist.
    NotFound,
    /// The edit needs more space than is available.
    NoRoom,
    /// A write began and did not end; the message names the undo file that restores the old state.
    Unfinished,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Io => "i/o error",
            Kind::Corrupt => "corrupt",
            Kind::Unsupported => "unsupported",
            Kind::Refused => "refused",
            Kind::NotFound => "not found",
            Kind::NoRoom => "no room",
            Kind::Unfinished => "unfinished",
        }
    }
}

/// An address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Offset in a hive file; a cell offset plus 4096.
    Hive,
    /// Offset in a transaction log.
    Log,
    /// Offset in a volume.
    Volume,
    /// Offset in a disk.
    Disk,
    /// Offset in a file of the host.
    File,
    /// Offset in another file of the host that belongs to the same image, numbered from 2 as `info` lists them.
    Part(u16),
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Space::Hive => "hive",
            Space::Log => "log",
            Space::Volume => "volume",
            Space::Disk => "disk",
            Space::File => "file",
            Space::Part(number) => return write!(f, "file {number}"),
        })
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Space {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An offset in bytes, in one address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Place {
    /// The address space.
    pub space: Space,
    /// Bytes from the start of that space.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:#x}", self.space, self.offset)
    }
}

/// An error. One pointer in size.
#[derive(Debug)]
pub struct Error(Box<Details>);

#[derive(Debug)]
struct Details {
    kind: Kind,
    code: Code,
    what: String,
    advice: Option<String>,
    expected: Option<String>,
    actual: Option<String>,
    trail: Vec<Place>,
    file: Option<PathBuf>,
    source: Option<std::io::Error>,
}

impl Error {
    /// Makes an error of `kind`. `what` is a fragment of a sentence, in lower case and without a full stop.
    pub fn new(kind: Kind, code: Code, what: impl Into<String>) -> Self {
        Error(Box::new(Details {
            kind,
            code,
            what: what.into(),
            advice: None,
            expected: None,
            actual: None,
            trail: Vec::new(),
            file: None,
            source: None,
        }))
    }

    /// Makes an error about bytes that violate their format, at an offset of a hive file.
    pub fn corrupt(code: Code, what: impl Into<String>, offset: u64) -> Self {
        Self::new(Kind::Corrupt, code, what).at(Space::Hive, offset)
    }

    /// Makes a refusal: nothing was changed.
    pub fn refused(code: Code, what: impl Into<String>) -> Self {
        Self::new(Kind::Refused, code, what)
    }

    /// Makes an error about a failed call of the operating system. `what` names the operation, the file, and the cause.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        let mut error = Self::new(Kind::Io, Code::Io, what);
        error.0.source = Some(source);
        error
    }

    /// Names the file of the host that the error is about. The message names it too.
    #[must_use]
    pub fn of_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.file = Some(file.into());
        self
    }

    /// Names the file of the host that was asked about, unless the error names one already.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.file.get_or_insert_with(|| file.into());
        self
    }

    /// Adds a place to the trail.
    #[must_use]
    pub fn at(mut self, space: Space, offset: u64) -> Self {
        self.0.trail.push(Place { space, offset });
        self
    }

    /// Sets the advice: what to do next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Puts the subject in front of the message: the key or the value, for example.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        self.0.what = format!("{subject}: {}", self.0.what);
        self
    }

    /// Appends to the message, after a semicolon: the state of the files, for example.
    #[must_use]
    pub fn adding(mut self, more: &str) -> Self {
        self.0.what.push_str("; ");
        self.0.what.push_str(more);
        self
    }

    /// Replaces kind and code: the same failure with another consequence for the caller.
    #[must_use]
    pub fn becoming(mut self, kind: Kind, code: Code) -> Self {
        (self.0.kind, self.0.code) = (kind, code);
        self
    }

    /// Adds the value that the format requires and the value found.
    #[must_use]
    pub fn expected(mut self, expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        self.0.expected = Some(expected.to_string());
        self.0.actual = Some(actual.to_string());
        self
    }

    /// Returns the kind: what the caller should do.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns the stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns the message without the places.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Returns the message with the value required and the value found, without kind and places.
    pub fn sentence(&self) -> String {
        match (&self.0.expected, &self.0.actual) {
            (Some(expected), Some(actual)) => format!("{}, expected {expected}, found {actual}", self.0.what),
            _ => self.0.what.clone(),
        }
    }

    /// Returns the advice, if there is one.
    pub fn advice(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }

    /// Returns the value that the format requires, if known.
    pub fn wanted(&self) -> Option<&str> {
        self.0.expected.as_deref()
    }

    /// Returns the value found instead, if known.
    pub fn actual(&self) -> Option<&str> {
        self.0.actual.as_deref()
    }

    /// Returns the file of the host that the error is about: the one on which a call failed, else the image or hive
    /// that was asked about. `None` for what has no file: text that does not parse, and keys and values of a hive that
    /// is open.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// Returns the error of the operating system, if one is the cause.
    pub fn io_error(&self) -> Option<&std::io::Error> {
        self.0.source.as_ref()
    }

    /// Returns the places, innermost address space first.
    pub fn trail(&self) -> &[Place] {
        &self.0.trail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &self.0;
        write!(f, "{}: {}", details.kind.as_str(), self.sentence())?;
        for (i, place) in details.trail.iter().enumerate() {
            write!(f, "{}{place}", if i == 0 { " (" } else { ", " })?;
        }
        if !details.trail.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    /// Returns the error of the operating system, if one is the cause. The message has its text already: a report need
    /// not follow the chain beyond this error.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_and_the_file_are_data() {
        let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Error::io("cannot write a.img", cause).of_file("a.img");
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::StorageFull));
        assert_eq!(error.file(), Some(Path::new("a.img")));
        assert_eq!(error.in_file("disk.vmdk").file(), Some(Path::new("a.img")));
        let refused = Error::refused(Code::InUse, "it is in use").in_file("disk.vmdk");
        assert_eq!(refused.file(), Some(Path::new("disk.vmdk")));
    }

    #[test]
    fn reads_as_one_line_with_every_place() {
        let error = Error::corrupt(Code::CellSize, "cell size is not a multiple of 8", 0x21a030)
            .expected("a multiple of 8", 13)
            .at(Space::Disk, 0x2183b7030);
        assert_eq!(
            error.to_string(),
            "corrupt: cell size is not a multiple of 8, expected a multiple of 8, found 13 (hive 0x21a030, disk 0x2183b7030)"
        );
    }
}
