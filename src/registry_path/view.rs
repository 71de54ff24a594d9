//! The registry as 32-bit programs of a 64-bit Windows see it.
//!
//! Source: Microsoft Learn, "Registry Keys Affected by WOW64", the column of Windows 7 and later. Earlier versions copy
//! some of the shared keys between both views instead.

use hivewright_hive::KeyPath;
use hivewright_hive::regf::name::Name;

use super::{RegistryPath, Root};
use crate::hive_kind::HiveKind;

/// The key with the redirected keys.
const NODE: &str = "WOW6432Node";

/// Keys below `Classes` that are redirected; all others are shared.
const CLASSES: [&str; 5] = ["CLSID", "DirectShow", "Interface", "Media Type", "MediaFoundation"];

/// Keys below `HKLM\SOFTWARE` that both views share, with all keys below them. Of two names the article has another
/// spelling than Windows: both are here.
const SHARED: [&str; 50] = [
    "Clients",
    "Microsoft\\COM3",
    "Microsoft\\Cryptography\\Calais\\Current",
    "Microsoft\\Cryptography\\Calais\\Readers",
    "Microsoft\\Cryptography\\Services",
    "Microsoft\\CTF\\SystemShared",
    "Microsoft\\CTF\\TIP",
    "Microsoft\\DFS",
    "Microsoft\\Driver Signing",
    "Microsoft\\EnterpriseCertificates",
    "Microsoft\\EventSystem",
    "Microsoft\\MSMQ",
    "Microsoft\\Non-Driver Signing",
    "Microsoft\\Notepad\\DefaultFonts",
    "Microsoft\\OLE",
    "Microsoft\\RAS",
    "Microsoft\\RPC",
    "Microsoft\\Shared Tools\\MSInfo",
    "Microsoft\\SystemCertificates",
    "Microsoft\\TermServLicensing",
    "Microsoft\\Transaction Server",
    "Microsoft\\TransactionServer",
    "Microsoft\\Windows\\CurrentVersion\\App Paths",
    "Microsoft\\Windows\\CurrentVersion\\Control Panel\\Cursors\\Schemes",
    "Microsoft\\Windows\\CurrentVersion\\Explorer\\AutoplayHandlers",
    "Microsoft\\Windows\\CurrentVersion\\Explorer\\DriveIcons",
    "Microsoft\\Windows\\CurrentVersion\\Explorer\\KindMap",
    "Microsoft\\Windows\\CurrentVersion\\Group Policy",
    "Microsoft\\Windows\\CurrentVersion\\Policies",
    "Microsoft\\Windows\\CurrentVersion\\PreviewHandlers",
    "Microsoft\\Windows\\CurrentVersion\\Setup",
    "Microsoft\\Windows\\CurrentVersion\\Telephony\\Locations",
    "Microsoft\\Windows NT\\CurrentVersion\\Console",
    "Microsoft\\Windows NT\\CurrentVersion\\FontDpi",
    "Microsoft\\Windows NT\\CurrentVersion\\FontLink",
    "Microsoft\\Windows NT\\CurrentVersion\\FontMapper",
    "Microsoft\\Windows NT\\CurrentVersion\\Fonts",
    "Microsoft\\Windows NT\\CurrentVersion\\FontSubstitutes",
    "Microsoft\\Windows NT\\CurrentVersion\\Gre_initialize",
    "Microsoft\\Windows NT\\CurrentVersion\\Image File Execution Options",
    "Microsoft\\Windows NT\\CurrentVersion\\Language Pack",
    "Microsoft\\Windows NT\\CurrentVersion\\LanguagePack",
    "Microsoft\\Windows NT\\CurrentVersion\\NetworkCards",
    "Microsoft\\Windows NT\\CurrentVersion\\Perflib",
    "Microsoft\\Windows NT\\CurrentVersion\\Ports",
    "Microsoft\\Windows NT\\CurrentVersion\\Print",
    "Microsoft\\Windows NT\\CurrentVersion\\ProfileList",
    "Microsoft\\Windows NT\\CurrentVersion\\Time Zones",
    "Policies",
    "RegisteredApplications",
];

impl RegistryPath {
    /// Returns the path at which a 32-bit program of a 64-bit Windows finds the key. A path without the name of a root
    /// stays as it is.
    #[must_use]
    pub fn in_32_bit_view(self) -> Self {
        let names = self.key.names();
        let at = match &self.root {
            Root::Hive(HiveKind::Software) => of_software(names),
            Root::Hive(HiveKind::UserClasses(_)) => of_classes(names),
            Root::Hive(HiveKind::User(_) | HiveKind::DefaultUser) | Root::CurrentUser => {
                starts_with(names, "Software\\Classes").then(|| of_classes(&names[2..])).flatten().map(|at| at + 2)
            }
            _ => None,
        };
        let Some(at) = at else { return self };
        let node = std::iter::once(Name::encode(NODE));
        let key = KeyPath::from_names(names[..at].iter().cloned().chain(node).chain(names[at..].iter().cloned()));
        RegistryPath { key, ..self }
    }
}

/// Returns the index at which [`NODE`] comes in a path below `HKLM\SOFTWARE`; `None` for a shared key.
fn of_software(names: &[Name<'_>]) -> Option<usize> {
    match names.first() {
        // The hive itself is in both views.
        None => None,
        Some(first) if first.matches(NODE) => None,
        Some(first) if first.matches("Classes") => of_classes(&names[1..]).map(|at| at + 1),
        _ => (!SHARED.iter().any(|shared| starts_with(names, shared))).then_some(0),
    }
}

/// Returns the index at which [`NODE`] comes in a path below `Classes`; `None` for a shared key.
fn of_classes(names: &[Name<'_>]) -> Option<usize> {
    let first = names.first()?;
    CLASSES.iter().any(|class| first.matches(*class)).then_some(0)
}

fn starts_with(names: &[Name<'_>], path: &str) -> bool {
    let wanted: Vec<&str> = path.split('\\').collect();
    names.len() >= wanted.len() && names.iter().zip(wanted).all(|(name, wanted)| name.matches(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirected_keys_move_and_shared_ones_stay() {
        for (path, expected) in [
            (r"HKLM\SOFTWARE", r"HKLM\SOFTWARE"),
            (r"HKLM\SOFTWARE\Example\A", r"HKLM\SOFTWARE\WOW6432Node\Example\A"),
            (r"HKLM\software\wow6432node\Example", r"HKLM\SOFTWARE\wow6432node\Example"),
            (
                r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Run",
                r"HKLM\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Run",
            ),
            (
                r"HKLM\SOFTWARE\microsoft\windows\currentversion\policies\x",
                r"HKLM\SOFTWARE\microsoft\windows\currentversion\policies\x",
            ),
            (r"HKLM\SOFTWARE\PoliciesNot\x", r"HKLM\SOFTWARE\WOW6432Node\PoliciesNot\x"),
            (r"HKLM\SOFTWARE\Classes\.txt", r"HKLM\SOFTWARE\Classes\.txt"),
            (r"HKCR\clsid\{1}", r"HKLM\SOFTWARE\Classes\WOW6432Node\clsid\{1}"),
            (r"HKCU\Software\Example", r"HKCU\Software\Example"),
            (r"HKCU\Software\Classes\Interface\x", r"HKCU\Software\Classes\WOW6432Node\Interface\x"),
            (r"HKU\S-1-5-21-1\Software\Classes\CLSID", r"HKU\S-1-5-21-1_Classes\WOW6432Node\CLSID"),
            (r"HKLM\SYSTEM\Select", r"HKLM\SYSTEM\Select"),
            (r"Example", r"Example"),
        ] {
            let path: RegistryPath = path.parse().unwrap();
            let expected: RegistryPath = expected.parse().unwrap();
            assert_eq!(path.in_32_bit_view(), expected);
        }
    }
}
