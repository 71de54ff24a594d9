//! Paths of keys below the root of a hive: lists of names.

use std::fmt;

use hivewright_hive::regf::name::Name;

/// The path of a key below the root of a hive: the names of the keys on the way, outermost first. Empty for the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath {
    names: Vec<Name<'static>>,
}

impl KeyPath {
    /// Makes a path of names.
    pub fn from_names(names: impl IntoIterator<Item = Name<'static>>) -> Self {
        KeyPath { names: names.into_iter().collect() }
    }

    /// Returns the names, outermost first.
    pub fn names(&self) -> &[Name<'static>] {
        &self.names
    }

    /// Appends the name of a subkey.
    pub fn push(&mut self, name: Name<'static>) {
        self.names.push(name);
    }

    /// Whether it is the path of the root.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl From<&str> for KeyPath {
    /// Parts `text` at its backslashes; empty names are left out.
    fn from(text: &str) -> Self {
        KeyPath::from_names(text.split('\\').filter(|name| !name.is_empty()).map(Name::encode))
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names.iter().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { "\\" })?;
        }
        Ok(())
    }
}
