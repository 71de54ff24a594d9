//! Registry paths: a hive of an installation, and a key of it.

mod view;

use std::fmt;
use std::str::FromStr;

use crate::hive_kind::HiveKind;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::KeyPath;
use hivewright_hive::regf::name::Name;

/// A path in the notation of Windows: `HKLM\SYSTEM\CurrentControlSet\Services`, with the long or the short name of its
/// root. Case is ignored.
///
/// Without the name of a root, the path begins at the root of the hive that the user named: a bare hive file, or
/// SYSTEM. A path with the name of a root can also be used with a bare hive, if the hive is of that kind.
///
/// | root | hive |
/// |---|---|
/// | `HKLM\SYSTEM`, `SOFTWARE`, `SAM`, `SECURITY`, `COMPONENTS`, `DRIVERS` | the file of that name in `System32\config` |
/// | `HKLM\BCD00000000` | `BCD` on the EFI or the boot volume |
/// | `HKU\.DEFAULT`, `HKU\S-1-5-18` | `DEFAULT` in `System32\config` |
/// | `HKU\<user>`, by SID or by the name of the folder of the profile | `NTUSER.DAT` of the profile |
/// | `HKU\<user>_Classes`, and `HKU\<user>\Software\Classes` | `UsrClass.dat` of the profile |
/// | `HKCU` | the hives of the selected user: see [`RegistryPath::of_user`] |
/// | `HKCR` | `HKLM\SOFTWARE\Classes`, to which Windows redirects writes |
///
/// # Examples
/// ```
/// use hivewright::{HiveKind, RegistryPath};
///
/// let path: RegistryPath = r"hkey_local_machine\Software\Example".parse()?;
/// assert_eq!(path.hive(), Some(&HiveKind::Software));
/// assert_eq!(path.key().to_string(), "Example");
/// assert_eq!(path.to_string(), r"HKLM\SOFTWARE\Example");
///
/// // A name with a backslash.
/// let odd: RegistryPath = r"HKCU\Console\C:{U+005C}Tool".parse()?;
/// assert_eq!(odd.key().names().len(), 2);
/// # Ok::<(), hivewright::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryPath {
    root: Root,
    key: KeyPath<'static>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Root {
    /// The root of the hive that the user named.
    Named,
    Hive(HiveKind),
    CurrentUser,
}

/// Roots of a path, by their long and short names.
const ROOTS: [(&str, &str); 5] = [
    ("HKEY_LOCAL_MACHINE", "HKLM"),
    ("HKEY_USERS", "HKU"),
    ("HKEY_CURRENT_USER", "HKCU"),
    ("HKEY_CLASSES_ROOT", "HKCR"),
    ("HKEY_CURRENT_CONFIG", "HKCC"),
];

/// The suffix of keys of `HKEY_USERS` that are `UsrClass.dat`.
const CLASSES: &str = "_Classes";

impl RegistryPath {
    /// Creates the path of a key in a hive of an installation.
    pub fn new<'p>(hive: HiveKind, key: impl Into<KeyPath<'p>>) -> Self {
        RegistryPath { root: Root::Hive(hive), key: key.into().into_owned() }
    }

    /// Creates a path of unescaped names, of which the first may be the name of a root.
    ///
    /// # Errors
    /// As [`RegistryPath::from_str`](FromStr::from_str).
    pub fn from_names<'p>(path: impl Into<KeyPath<'p>>) -> Result<Self> {
        let path = path.into().into_owned();
        let first = path.names().first().map(ToString::to_string).unwrap_or_default();
        let root =
            ROOTS.iter().find(|(long, short)| [long, short].iter().any(|name| name.eq_ignore_ascii_case(&first)));
        let Some((_, root)) = root else {
            if first.to_ascii_uppercase().starts_with("HKEY_") {
                let what = format!("{first} is not a root of the registry with hives");
                return Err(Error::new(Kind::Unsupported, Code::RegistryRoot, what).advise(ADVICE));
            }
            return Ok(RegistryPath { root: Root::Named, key: path });
        };
        let mut names = path.names().iter().skip(1).cloned();
        let root = match *root {
            "HKLM" => Root::Hive(of_machine(names.next())?),
            "HKU" => Root::Hive(of_users(names.next())?),
            "HKCU" => Root::CurrentUser,
            "HKCR" => {
                let key = KeyPath::from_names(std::iter::once(Name::encode("Classes")).chain(names));
                return Ok(RegistryPath::new(HiveKind::Software, key));
            }
            _ => {
                let what = "HKEY_CURRENT_CONFIG is a link that Windows creates at boot";
                return Err(Error::new(Kind::Unsupported, Code::RegistryRoot, what)
                    .advise("name the profile: HKLM\\SYSTEM\\CurrentControlSet\\Hardware Profiles\\0001"));
            }
        };
        Ok(RegistryPath { root, key: KeyPath::from_names(names) }.past_classes())
    }

    /// Returns the hive; `None` for the hive that the user named, and for `HKCU` before a user is selected.
    pub fn hive(&self) -> Option<&HiveKind> {
        match &self.root {
            Root::Hive(hive) => Some(hive),
            Root::Named | Root::CurrentUser => None,
        }
    }

    /// Returns the path of the key below the root of the hive.
    pub fn key(&self) -> &KeyPath<'static> {
        &self.key
    }

    /// Returns whether it begins with `HKCU` and no user is selected yet.
    pub fn needs_user(&self) -> bool {
        self.root == Root::CurrentUser
    }

    /// Returns the path with `HKCU` replaced by the hive of a user: [`HiveKind::User`] or [`HiveKind::DefaultUser`].
    #[must_use]
    pub fn of_user(self, user: &HiveKind) -> Self {
        match self.root {
            Root::CurrentUser => RegistryPath { root: Root::Hive(user.clone()), ..self }.past_classes(),
            _ => self,
        }
    }

    /// Resolves `Software\Classes` of a user, which is a link to the root of another hive.
    fn past_classes(self) -> Self {
        let Root::Hive(HiveKind::User(user)) = &self.root else { return self };
        match self.key.names() {
            [software, classes, rest @ ..] if software.matches("Software") && classes.matches("Classes") => {
                RegistryPath::new(HiveKind::UserClasses(user.clone()), KeyPath::from_names(rest.iter().cloned()))
            }
            _ => self,
        }
    }
}

const ADVICE: &str = "begin with HKLM\\SYSTEM, HKLM\\SOFTWARE, HKLM\\SAM, HKLM\\SECURITY, HKLM\\COMPONENTS, HKLM\\DRIVERS, \
                      HKLM\\BCD00000000, HKU\\.DEFAULT, HKU\\<SID>, HKCU or HKCR";

fn of_machine(name: Option<Name<'static>>) -> Result<HiveKind> {
    let machine = HiveKind::OF_CONFIG.into_iter().filter(|kind| *kind != HiveKind::Default);
    let name = name.map(|name| name.to_string()).unwrap_or_default();
    if name.eq_ignore_ascii_case("BCD00000000") {
        return Ok(HiveKind::Bcd);
    }
    let is_named = |kind: &HiveKind| kind.file_name().eq_ignore_ascii_case(&name);
    machine.into_iter().find(is_named).ok_or_else(|| {
        let what = match &*name {
            "" => "HKEY_LOCAL_MACHINE is not a hive, but its subkeys are".to_owned(),
            _ => format!("HKEY_LOCAL_MACHINE\\{name} is not a hive of an installation that is not running"),
        };
        Error::new(Kind::Unsupported, Code::RegistryRoot, what).advise(ADVICE)
    })
}

fn of_users(name: Option<Name<'static>>) -> Result<HiveKind> {
    let name = name.map(|name| name.to_string()).unwrap_or_default();
    if name.is_empty() {
        let what = "HKEY_USERS is not a hive, but its subkeys are";
        return Err(Error::new(Kind::Unsupported, Code::RegistryRoot, what).advise(ADVICE));
    }
    // The account LocalSystem.
    if [".DEFAULT", "S-1-5-18"].iter().any(|default| default.eq_ignore_ascii_case(&name)) {
        return Ok(HiveKind::Default);
    }
    let cut = name.len().saturating_sub(CLASSES.len());
    Ok(match name.split_at_checked(cut) {
        Some((user, end)) if !user.is_empty() && end.eq_ignore_ascii_case(CLASSES) => {
            HiveKind::UserClasses(user.to_owned())
        }
        _ => HiveKind::User(name),
    })
}

impl FromStr for RegistryPath {
    type Err = Error;

    /// Parses the text form: backslashes separate names, and `{U+005C}` stands for a code unit that text cannot
    /// represent, as in [`KeyPath::from_escaped`].
    ///
    /// # Errors
    /// `registry-root`: the path begins with a root without hives.
    fn from_str(text: &str) -> Result<Self> {
        Self::from_names(KeyPath::from_escaped(text))
    }
}

impl TryFrom<&str> for RegistryPath {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for RegistryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.key.is_empty() { "" } else { "\\" };
        match &self.root {
            Root::Named => write!(f, "{}", self.key),
            Root::Hive(hive) => write!(f, "{hive}{part}{}", self.key),
            Root::CurrentUser => write!(f, "HKCU{part}{}", self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_known_by_both_names_in_any_case() {
        let user = |user: &str| HiveKind::User(user.to_owned());
        for (text, hive, key) in [
            (r"HKLM\SYSTEM\Select", Some(HiveKind::System), "Select"),
            (r"hkey_local_machine\system", Some(HiveKind::System), ""),
            (r"\HKLM\sam\SAM\", Some(HiveKind::Sam), "SAM"),
            (r"HKLM\BCD00000000\Objects", Some(HiveKind::Bcd), "Objects"),
            (r"HKU\.default\Software", Some(HiveKind::Default), "Software"),
            (r"HKEY_USERS\S-1-5-18", Some(HiveKind::Default), ""),
            (r"HKU\S-1-5-21-1\Software\X", Some(user("S-1-5-21-1")), r"Software\X"),
            (r"HKU\S-1-5-21-1_classes\X", Some(HiveKind::UserClasses("S-1-5-21-1".into())), "X"),
            (r"HKU\bob\SOFTWARE\classes\.txt", Some(HiveKind::UserClasses("bob".into())), ".txt"),
            (r"HKCR\.txt", Some(HiveKind::Software), r"Classes\.txt"),
            (r"HKCU\Software", None, "Software"),
            (r"Select\Sub", None, r"Select\Sub"),
            ("", None, ""),
        ] {
            let path: RegistryPath = text.parse().unwrap();
            assert_eq!((path.hive(), &*path.key().to_string()), (hive.as_ref(), key), "{text}");
        }
        let current: RegistryPath = r"HKCU\Software\Classes\X".parse().unwrap();
        assert!(current.needs_user());
        assert_eq!(current.clone().of_user(&user("bob")).to_string(), r"HKU\bob_Classes\X");
        assert_eq!(current.of_user(&HiveKind::DefaultUser).key().to_string(), r"Software\Classes\X");
        for text in ["HKLM", r"HKLM\HARDWARE\X", "HKU", r"HKCC\Software", "HKEY_DYN_DATA"] {
            assert_eq!(text.parse::<RegistryPath>().unwrap_err().code(), "registry-root", "{text}");
        }
    }
}
