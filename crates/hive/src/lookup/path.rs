//! Key paths: the names from one key down to another.

use std::fmt;

use crate::regf::name::Name;

/// The names from a key (usually the root) down to another key. An empty path is the key itself.
///
/// A `&str` is a path whose names are separated by backslashes and taken literally; empty names are ignored, so that
/// leading, trailing and repeated backslashes have no effect. A name with a
/// backslash or an unpaired surrogate is given in a list of names, or as text with escapes.
///
/// # Examples
/// ```
/// use hivewright_hive::KeyPath;
/// use hivewright_hive::regf::name::Name;
///
/// let path = KeyPath::from(r"Setup\A");
/// assert_eq!(path.names().len(), 2);
/// let odd = KeyPath::from_names(["Setup", r"C:\x"]);
/// assert_eq!(odd.names().len(), 2);
/// assert_eq!(odd.to_string(), r"Setup\C:{U+005C}x");
/// assert_eq!(KeyPath::from_escaped(r"Setup\C:{U+005C}x"), odd);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath<'a> {
    names: Vec<Name<'a>>,
}

impl<'a> KeyPath<'a> {
    /// Creates a path from literal names.
    pub fn from_names<N: Into<Name<'a>>>(names: impl IntoIterator<Item = N>) -> Self {
        KeyPath { names: names.into_iter().map(Into::into).collect() }
    }

    /// Parses the escaped form: backslashes separate the names, each of which is parsed by [`Name::from_escaped`].
    pub fn from_escaped(text: &str) -> KeyPath<'static> {
        KeyPath { names: parts(text).map(Name::from_escaped).collect() }
    }

    /// Returns the names, from the top down.
    pub fn names(&self) -> &[Name<'a>] {
        &self.names
    }

    /// Returns whether the path has no name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Appends a name.
    pub fn push(&mut self, name: impl Into<Name<'a>>) {
        self.names.push(name.into());
    }

    /// Removes and returns the last name.
    pub fn pop(&mut self) -> Option<Name<'a>> {
        self.names.pop()
    }

    /// Converts into a path that owns its names.
    pub fn into_owned(self) -> KeyPath<'static> {
        KeyPath { names: self.names.into_iter().map(Name::into_owned).collect() }
    }
}

/// Splits a path into its names.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split('\\').filter(|name| !name.is_empty())
}

impl<'a> From<&'a str> for KeyPath<'a> {
    /// Splits the text at its backslashes. Escapes are not interpreted.
    fn from(text: &'a str) -> Self {
        KeyPath { names: parts(text).map(Name::from).collect() }
    }
}

impl<'a> From<&'a String> for KeyPath<'a> {
    fn from(text: &'a String) -> Self {
        KeyPath::from(text.as_str())
    }
}

impl<'a> From<&'a KeyPath<'_>> for KeyPath<'a> {
    fn from(path: &'a KeyPath<'_>) -> Self {
        KeyPath { names: path.names.iter().map(Name::from).collect() }
    }
}

impl fmt::Display for KeyPath<'_> {
    /// Writes the escaped form, which [`KeyPath::from_escaped`] parses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\\" };
            write!(f, "{separator}{}", name.to_escaped())?;
        }
        Ok(())
    }
}
