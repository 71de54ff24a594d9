//! The hives of a Windows installation, by their registry paths.

use std::fmt;

/// Kind of a hive in a Windows installation.
///
/// # Examples
/// ```
/// use hivewright::HiveKind;
///
/// assert_eq!(HiveKind::Software.file_name(), "SOFTWARE");
/// assert_eq!(HiveKind::Software.to_string(), r"HKLM\SOFTWARE");
/// assert_eq!(HiveKind::User("S-1-5-21-1-2-3-1001".to_owned()).file_name(), "NTUSER.DAT");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HiveKind {
    /// `HKEY_LOCAL_MACHINE\SYSTEM`: control sets, services, hardware.
    System,
    /// `HKEY_LOCAL_MACHINE\SOFTWARE`: installed software, the version of Windows.
    Software,
    /// `HKEY_LOCAL_MACHINE\SAM`: accounts.
    Sam,
    /// `HKEY_LOCAL_MACHINE\SECURITY`: secrets and policies.
    Security,
    /// `HKEY_USERS\.DEFAULT`: the profile of the account LocalSystem.
    Default,
    /// `HKEY_LOCAL_MACHINE\COMPONENTS`: the component store, loaded while Windows is serviced.
    Components,
    /// `HKEY_LOCAL_MACHINE\DRIVERS`: the driver store, loaded while Windows is serviced.
    Drivers,
    /// `HKEY_LOCAL_MACHINE\BCD00000000`: the boot configuration, on the EFI or the boot volume.
    Bcd,
    /// `NTUSER.DAT` of the default user, the template of every new profile.
    DefaultUser,
    /// `HKEY_USERS\<SID>`: `NTUSER.DAT` in the profile of a user, who is given by security identifier or by the name of
    /// the profile's folder.
    User(String),
    /// `HKEY_USERS\<SID>_Classes`: `UsrClass.dat` in the profile of a user.
    UserClasses(String),
}

impl HiveKind {
    /// The hives in `System32\config`.
    pub const OF_CONFIG: [HiveKind; 7] = [
        HiveKind::System,
        HiveKind::Software,
        HiveKind::Sam,
        HiveKind::Security,
        HiveKind::Default,
        HiveKind::Components,
        HiveKind::Drivers,
    ];

    /// Returns the name of its file.
    pub fn file_name(&self) -> &'static str {
        match self {
            HiveKind::System => "SYSTEM",
            HiveKind::Software => "SOFTWARE",
            HiveKind::Sam => "SAM",
            HiveKind::Security => "SECURITY",
            HiveKind::Default => "DEFAULT",
            HiveKind::Components => "COMPONENTS",
            HiveKind::Drivers => "DRIVERS",
            HiveKind::Bcd => "BCD",
            HiveKind::DefaultUser | HiveKind::User(_) => "NTUSER.DAT",
            HiveKind::UserClasses(_) => "UsrClass.dat",
        }
    }

    /// Returns whether a hive whose contents identify it as `found`, the name of a file, can be of this kind.
    pub(crate) fn may_be(&self, found: &str) -> bool {
        // Its keys are those of a user's hive.
        let is_like_user = *self == HiveKind::Default && found == HiveKind::DefaultUser.file_name();
        is_like_user || found == self.file_name()
    }
}

impl fmt::Display for HiveKind {
    /// Writes the registry path of its root.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HiveKind::System
            | HiveKind::Software
            | HiveKind::Sam
            | HiveKind::Security
            | HiveKind::Components
            | HiveKind::Drivers => write!(f, "HKLM\\{}", self.file_name()),
            HiveKind::Bcd => f.write_str("HKLM\\BCD00000000"),
            HiveKind::Default => f.write_str("HKU\\.DEFAULT"),
            HiveKind::DefaultUser => f.write_str("HKCU of the default user"),
            HiveKind::User(user) => write!(f, "HKU\\{user}"),
            HiveKind::UserClasses(user) => write!(f, "HKU\\{user}_Classes"),
        }
    }
}
