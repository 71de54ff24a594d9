//! Key paths in which `*` matches any one name.

use std::fmt;

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::KeyPath;
use hivewright_hive::reg_text::RegKey;
use hivewright_hive::regf::name::Name;

use crate::windows::control_set::LINK;
use crate::{HiveKind, RegistryPath};

/// One part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Name(Name<'static>),
    Any,
}

/// Hives in which a path begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hives {
    One(HiveKind),
    /// SYSTEM, below a control set.
    ControlSets,
    /// `NTUSER.DAT` of every user.
    Users,
    /// `UsrClass.dat` of every user.
    UserClasses,
}

/// A key path with wildcards: `HKLM\SYSTEM\CurrentControlSet\Services\*\Parameters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    pub(super) hives: Hives,
    pub(super) parts: Vec<Part>,
    text: String,
}

/// The part that matches any name.
const ANY: &str = "*";
/// The name of the default user in a path of policies.
const DEFAULT_USER: &str = "Default";

impl KeyPattern {
    /// Parses a path. `HKU\*` and `HKCU` are every user, `HKU\Default` is the default user; `{U+002A}` is an asterisk
    /// in a name.
    ///
    /// # Errors
    /// `registry-root`: the path does not begin at a root of the registry with hives.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('\\').filter(|part| !part.is_empty()).collect();
        let any: Vec<bool> = parts.iter().map(|part| *part == ANY).collect();
        let names: Vec<Name<'static>> = parts.iter().map(|part| Name::from_escaped(part)).collect();
        let is_root = |at: usize, all: &[&str]| {
            parts.get(at).is_some_and(|part| all.iter().any(|name| name.eq_ignore_ascii_case(part)))
        };
        let is_of_users = is_root(0, &["HKU", "HKEY_USERS"]);
        let (user, below) = match () {
            () if is_root(0, &["HKCU", "HKEY_CURRENT_USER"]) => (Some(Hives::Users), 1),
            () if is_of_users && is_root(1, &[ANY]) => (Some(Hives::Users), 2),
            () if is_of_users && is_root(1, &["*_Classes"]) => (Some(Hives::UserClasses), 2),
            () if is_of_users && is_root(1, &[DEFAULT_USER]) => (Some(Hives::One(HiveKind::DefaultUser)), 2),
            () => (None, 0),
        };
        let part = |(name, any): (&Name<'static>, &bool)| if *any { Part::Any } else { Part::Name(name.clone()) };
        let of = |hives, below: usize| {
            let parts = names[below..].iter().zip(&any[below..]).map(part).collect();
            KeyPattern { hives, parts, text: text.to_owned() }
        };
        if let Some(hives) = user {
            let is_classes = is_root(below, &["Software"]) && is_root(below + 1, &["Classes"]);
            return Ok(match hives {
                // `Software\Classes` links to the root of another hive.
                Hives::Users if is_classes => of(Hives::UserClasses, below + 2),
                hives => of(hives, below),
            });
        }
        let path = RegistryPath::from_names(KeyPath::from_names(names.iter().cloned()))?;
        let Some(hive) = path.hive().cloned() else {
            let what = format!("{text} does not begin at a root of the registry");
            return Err(Error::new(Kind::Unsupported, Code::RegistryRoot, what)
                .advise("begin with HKLM\\SYSTEM, HKLM\\SOFTWARE, HKU\\*, HKU\\.DEFAULT ..."));
        };
        // `from_names` may replace leading names; trailing names are unchanged.
        let all = path.key().names();
        let own = all.len().min(names.len());
        let (front, back) = all.split_at(all.len() - own);
        let any = &any[names.len() - own..];
        let front = front.iter().map(|name| Part::Name(name.clone()));
        let mut parts: Vec<Part> = front.chain(back.iter().zip(any).map(part)).collect();
        let is_link = matches!(parts.first(), Some(Part::Name(first)) if first.matches(LINK));
        let hives = match hive {
            HiveKind::System if is_link => {
                parts.remove(0);
                Hives::ControlSets
            }
            hive => Hives::One(hive),
        };
        Ok(KeyPattern { hives, parts, text: text.to_owned() })
    }

    /// Returns the pattern of a key of a registration file, in which no name is a wildcard.
    ///
    /// # Errors
    /// As [`KeyPattern::parse`].
    pub(super) fn of_key(key: &RegKey) -> Result<Self> {
        let name = |name: &Name<'_>| match name.to_escaped() {
            name if name == ANY => "{U+002A}".to_owned(),
            name => name,
        };
        let names: Vec<String> = key.names.iter().map(name).collect();
        Self::parse(&format!("{}\\{}", key.root.short_name(), names.join("\\")))
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_matches_one_name() {
        let one = |kind| Hives::One(kind);
        for (text, hives, parts) in [
            (r"HKLM\SYSTEM\CurrentControlSet\Services\*\Parameters", Hives::ControlSets, "Services|*|Parameters"),
            (r"HKLM\SYSTEM\ControlSet001\*", one(HiveKind::System), "ControlSet001|*"),
            (r"hkey_local_machine\software\*\X\", one(HiveKind::Software), "*|X"),
            (r"HKCR\{U+002A}\shell\*", one(HiveKind::Software), "Classes|{U+002A}|shell|*"),
            (r"HKU\*\Software\*", Hives::Users, "Software|*"),
            (r"HKCU\Software\Classes\.txt", Hives::UserClasses, ".txt"),
            (r"HKU\*_Classes", Hives::UserClasses, ""),
            (r"HKU\.DEFAULT\*", one(HiveKind::Default), "*"),
            (r"HKU\default\Console", one(HiveKind::DefaultUser), "Console"),
            (r"HKU\S-1-5-21-1\Software\Classes\*\x", one(HiveKind::UserClasses("S-1-5-21-1".into())), "*|x"),
        ] {
            let found = KeyPattern::parse(text).unwrap();
            let names: Vec<String> = found
                .parts
                .iter()
                .map(|part| match part {
                    Part::Any => "*".to_owned(),
                    Part::Name(name) if name.matches("*") => "{U+002A}".to_owned(),
                    Part::Name(name) => name.to_string(),
                })
                .collect();
            assert_eq!((found.hives, names.join("|").as_str()), (hives, parts), "{text}");
        }
        for text in ["", r"Services\*", r"HKLM\*\X", r"HKLM", r"HKLM\HARDWARE\X", "*"] {
            assert_eq!(KeyPattern::parse(text).unwrap_err().code(), Code::RegistryRoot, "{text}");
        }
    }
}
