//! Registration files (`.reg`): the text form of keys and values that `regedit` exports and imports.
//!
//! [`parse`] reads a whole file into a list of operations, each with its line. It is strict: a line that regedit would
//! silently ignore is an error with line, column and advice, and a file with an error yields no operation.
//! [`ReadOptions::lenient`] does as regedit does and lists the ignored lines as warnings.
//!
//! [`Writer`] writes the form that regedit exports: [`Writer::export`] writes a key of a hive with all below it,
//! [`Writer::operation`] the operations that turn one hive into another (see [`crate::compare`]). Reading the written
//! file yields the same bytes for every value.
//!
//! There is no specification. The facts are those that Wine's tests assert of Windows' regedit, and reports of its
//! users; other choices are documented in the code.
//!
//! # Examples
//! ```
//! use hivewright_hive::reg_text::{Change, ReadOptions, parse};
//! use hivewright_hive::{Data, ValueType};
//!
//! let text = b"Windows Registry Editor Version 5.00\r\n\r\n\
//!     [HKEY_LOCAL_MACHINE\\SOFTWARE\\Example]\r\n\"Count\"=dword:00000003\r\n\"Old\"=-\r\n";
//! let file = parse(text, &ReadOptions::default())?;
//! let [key, set, delete] = &file.operations[..] else { panic!() };
//! assert_eq!((key.line, &key.change), (3, &Change::CreateKey));
//! assert_eq!(key.key.to_string(), r"HKEY_LOCAL_MACHINE\SOFTWARE\Example");
//! let Change::SetValue { name, data_type, data } = &set.change else { panic!() };
//! assert!(name.matches("count"));
//! assert_eq!(Data::new(*data_type, data.clone()), Data::Dword(3));
//! assert!(matches!(&delete.change, Change::DeleteValue { name } if name.matches("Old")));
//! # Ok::<(), hivewright_hive::reg_text::Problems>(())
//! ```

mod code_page;
mod export;
mod lines;
mod problem;
mod read;
#[cfg(test)]
mod table;
mod write;

pub use code_page::CodePage;
pub use export::Exported;
pub use problem::{Problem, Problems};
pub use read::{ReadOptions, RegFile, parse};
pub use write::{Form, Writer};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::regf::key_value::ValueType;
use crate::regf::name::Name;
use hivewright_error::{Code, Error, Kind, Result};

/// The first line of a file of Windows 2000 and later.
const HEADER_5: &str = "Windows Registry Editor Version 5.00";
/// The first line of a file of Windows 95 to NT 4.0.
const HEADER_4: &str = "REGEDIT4";

/// A root of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RootKey {
    /// `HKEY_CLASSES_ROOT`: `SOFTWARE\Classes` of the machine, and of the user over it.
    ClassesRoot,
    /// `HKEY_CURRENT_USER`: the hive of the user who runs the program.
    CurrentUser,
    /// `HKEY_LOCAL_MACHINE`: the hives of the machine.
    LocalMachine,
    /// `HKEY_USERS`: the hives of users.
    Users,
    /// `HKEY_CURRENT_CONFIG`: the current hardware profile.
    CurrentConfig,
}

impl RootKey {
    /// Every root.
    pub const ALL: [RootKey; 5] =
        [RootKey::ClassesRoot, RootKey::CurrentUser, RootKey::LocalMachine, RootKey::Users, RootKey::CurrentConfig];

    /// Returns the full name.
    pub fn name(self) -> &'static str {
        match self {
            RootKey::ClassesRoot => "HKEY_CLASSES_ROOT",
            RootKey::CurrentUser => "HKEY_CURRENT_USER",
            RootKey::LocalMachine => "HKEY_LOCAL_MACHINE",
            RootKey::Users => "HKEY_USERS",
            RootKey::CurrentConfig => "HKEY_CURRENT_CONFIG",
        }
    }

    /// Returns the short name, which `reg.exe` takes and a file may not have.
    pub fn short_name(self) -> &'static str {
        match self {
            RootKey::ClassesRoot => "HKCR",
            RootKey::CurrentUser => "HKCU",
            RootKey::LocalMachine => "HKLM",
            RootKey::Users => "HKU",
            RootKey::CurrentConfig => "HKCC",
        }
    }

    /// Returns the root with this full name, in any letter case.
    fn from_units(units: &[u16]) -> Option<RootKey> {
        RootKey::ALL.into_iter().find(|root| equals(units, root.name()))
    }
}

impl fmt::Display for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key of the whole registry: a root, and the names below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegKey {
    /// The root.
    pub root: RootKey,
    /// The names from the root down to the key.
    pub names: Vec<Name<'static>>,
}

impl fmt::Display for RegKey {
    /// Writes the full path. Unpaired surrogates come out as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)?;
        self.names.iter().try_for_each(|name| write!(f, "\\{name}"))
    }
}

impl FromStr for RegKey {
    type Err = Error;

    /// Parses a path whose root has its full or its short name, in any letter case.
    fn from_str(path: &str) -> Result<Self> {
        let mut names = path.split('\\').filter(|name| !name.is_empty());
        let first = names.next().unwrap_or_default();
        let is_it =
            |root: &RootKey| [root.name(), root.short_name()].iter().any(|name| name.eq_ignore_ascii_case(first));
        let root = RootKey::ALL.into_iter().find(is_it).ok_or_else(|| {
            Error::new(Kind::Refused, Code::RegRoot, format!("{first:?} is not a root of the registry"))
                .advise("begin the path with HKEY_LOCAL_MACHINE, HKEY_USERS or another root")
        })?;
        Ok(RegKey { root, names: names.map(Name::encode).collect() })
    }
}

/// A change of one key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Create the key, and the missing keys above it.
    CreateKey,
    /// Delete the key and all below it. A missing key is not an error.
    DeleteKey,
    /// Set a value; an earlier operation creates the key.
    SetValue {
        /// The name; empty for the default value.
        name: Name<'static>,
        /// The type.
        data_type: ValueType,
        /// The bytes as stored.
        data: Vec<u8>,
    },
    /// Delete a value. A missing value is not an error.
    DeleteValue {
        /// The name; empty for the default value.
        name: Name<'static>,
    },
}

/// A change and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegOperation {
    /// The line of the operation, counted from 1; 0 if there is none.
    pub line: u64,
    /// The key, shared by the operations of one section.
    pub key: Arc<RegKey>,
    /// The change.
    pub change: Change,
}

/// Returns whether code units equal `text` without regard to the case of ASCII letters.
fn equals(units: &[u16], text: &str) -> bool {
    units.len() == text.len()
        && units
            .iter()
            .zip(text.bytes())
            .all(|(&unit, byte)| u8::try_from(unit).is_ok_and(|unit| unit.eq_ignore_ascii_case(&byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_long_and_short_roots() {
        let key: RegKey = r"hklm\SOFTWARE\\Ключ\".parse().unwrap();
        assert_eq!(key.to_string(), r"HKEY_LOCAL_MACHINE\SOFTWARE\Ключ");
        assert_eq!(r"HKEY_USERS".parse::<RegKey>().unwrap(), RegKey { root: RootKey::Users, names: vec![] });
        for path in ["", r"\", "HKXX", "HKLM ", "SOFTWARE"] {
            assert_eq!(path.parse::<RegKey>().unwrap_err().code(), "reg-root", "{path}");
        }
    }
}
