//! The hives of an installation and the profiles of its users, as its registry lists them. No folder is guessed.
//!
//! `SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList` has a subkey for each user, named by SID. Its
//! `ProfileImagePath` is the folder of the profile. The value `Default` of the list is the folder of the default user.
//! On Windows XP, `ProfilesDirectory` and `DefaultUserProfile` together are that folder.

use super::Installation;
use crate::hive::Key;
use crate::hive_kind::HiveKind;
use crate::locate::HiveHandle;
use hivewright_error::{Code, Error, Kind, Result};

/// The key of the version of Windows.
const CURRENT_VERSION: &str = r"Microsoft\Windows NT\CurrentVersion";
/// The folder of the default user where the registry does not name one.
const DEFAULT_USER: &str = r"\Users\Default";
/// The folders of `UsrClass.dat` in a profile: since Windows Vista, and before.
const CLASSES: [&str; 2] = [r"AppData\Local\Microsoft\Windows", r"Local Settings\Application Data\Microsoft\Windows"];
/// The folders of the boot configuration: on an EFI system partition, and on a boot volume.
const BOOT: [&str; 2] = [r"\EFI\Microsoft\Boot", r"\Boot"];

/// A user with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The security identifier.
    pub sid: String,
    /// The folder of the profile, as in the registry: `%SystemDrive%\Users\name`.
    pub folder: String,
}

impl Profile {
    /// Returns the last name of the folder, which is usually the name of the user.
    pub fn name(&self) -> &str {
        self.folder.trim_end_matches('\\').rsplit('\\').next().unwrap_or_default()
    }

    /// Returns whether this is the profile of `user`, a SID or the name of the folder. A profile whose SID ends with
    /// `.bak` is found by SID only.
    fn is_of(&self, user: &str) -> bool {
        self.sid.eq_ignore_ascii_case(user)
            || self.sid.rsplit('.').next() != Some("bak") && self.name().eq_ignore_ascii_case(user)
    }
}

impl Installation {
    /// Returns the users that have a profile, as the key `ProfileList` of SOFTWARE lists them.
    ///
    /// # Errors
    /// `no-file` without SOFTWARE; `no-profile` without that key; SOFTWARE cannot be read.
    pub fn profiles(&self) -> Result<Vec<Profile>> {
        let software = self.software()?;
        let Some(list) = software.key(&format!("{CURRENT_VERSION}\\ProfileList"))? else {
            return Err(no_profile(format!("SOFTWARE of {self} lists no profiles")));
        };
        let mut profiles = Vec::new();
        for key in list.subkeys()? {
            let key = key?;
            if let Some(folder) = text(&key, "ProfileImagePath")? {
                profiles.push(Profile { sid: key.name().to_string(), folder });
            }
        }
        Ok(profiles)
    }

    /// Returns every user whose profile has a hive, by SID, and the default user. Also returns an error for each
    /// skipped profile, which is on another volume.
    ///
    /// # Errors
    /// As [`Installation::profiles`]; a folder cannot be read.
    pub(crate) fn users(&self) -> Result<(Vec<HiveKind>, Vec<Error>)> {
        let of_profile = |profile: Profile| HiveKind::User(profile.sid);
        let all = self.profiles()?.into_iter().map(of_profile).chain([HiveKind::DefaultUser]);
        let (mut found, mut skipped) = (Vec::new(), Vec::new());
        for user in all {
            match self.find(&user) {
                Ok(_) => found.push(user),
                Err(error) if error.code() == Code::NoFile => {}
                Err(error) if error.code() == Code::ProfileVolume => {
                    skipped.push(error.about(&format!("the profile of {user} is skipped")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((found, skipped))
    }

    /// Finds the file of a hive.
    ///
    /// # Errors
    /// As [`Installation::hive`]; `profile-volume` for a profile on another volume than Windows.
    pub(crate) fn find(&self, kind: &HiveKind) -> Result<HiveHandle> {
        let name = kind.file_name();
        let found = match kind {
            HiveKind::Bcd => return self.find_boot(),
            HiveKind::DefaultUser => self.system.on_its_volume(&self.default_user()?, name)?,
            HiveKind::User(user) => self.in_profile(&self.profile(user)?, false)?,
            HiveKind::UserClasses(user) => self.in_profile(&self.profile(user)?, true)?,
            // A hive that the user named may have any name.
            HiveKind::System => self.system.sibling(self.system.name())?,
            _ => self.system.sibling(name)?,
        };
        found.ok_or_else(|| self.lacks(name))
    }

    /// Finds a hive in the folder of a profile: `UsrClass.dat` for the `classes` of the user, else `NTUSER.DAT`.
    fn in_profile(&self, folder: &str, classes: bool) -> Result<Option<HiveHandle>> {
        if !classes {
            return self.system.on_its_volume(folder, "NTUSER.DAT");
        }
        let places =
            CLASSES.iter().map(|below| self.system.on_its_volume(&format!("{folder}\\{below}"), "UsrClass.dat"));
        places.filter_map(Result::transpose).next().transpose()
    }

    /// Finds a hive of a profile that is already known. Returns `None` if the profile has no such file.
    ///
    /// # Errors
    /// As [`Installation::find`].
    #[cfg(feature = "cli")]
    pub(crate) fn hive_of_profile(&self, profile: &Profile, classes: bool) -> Result<Option<HiveHandle>> {
        self.in_profile(&self.on_volume(&profile.folder)?, classes)
    }

    pub(super) fn lacks(&self, name: &str) -> Error {
        Error::new(Kind::NotFound, Code::NoFile, format!("there is no {name} beside {}", self.system.description()))
    }

    /// Returns the folder of the profile of `user`, from the root of the volume.
    fn profile(&self, user: &str) -> Result<String> {
        let profiles = self.profiles()?;
        let mut found = profiles.iter().filter(|profile| profile.is_of(user));
        match (found.next(), found.next()) {
            (Some(one), None) => self.on_volume(&one.folder),
            (Some(one), Some(other)) => {
                let what = format!("the profiles {} and {} both have the name {user}", one.sid, other.sid);
                Err(Error::refused(Code::SeveralProfiles, what).advise("name the user by SID"))
            }
            (None, _) => {
                let names: Vec<String> = profiles.iter().map(|it| format!("{} ({})", it.sid, it.name())).collect();
                let error = no_profile(format!("{self} has no profile of {user}"));
                Err(error.advise(format!("it has profiles of {}", names.join(", "))))
            }
        }
    }

    /// Returns the folder of the default user, from the root of the volume.
    fn default_user(&self) -> Result<String> {
        let software = match self.software() {
            Err(error) if error.code() == Code::NoFile => return Ok(DEFAULT_USER.to_owned()),
            software => software?,
        };
        let Some(list) = software.key(&format!("{CURRENT_VERSION}\\ProfileList"))? else {
            return Ok(DEFAULT_USER.to_owned());
        };
        if let Some(folder) = text(&list, "Default")? {
            return self.on_volume(&folder);
        }
        match (text(&list, "ProfilesDirectory")?, text(&list, "DefaultUserProfile")?) {
            (Some(all), Some(name)) => self.on_volume(&format!("{}\\{name}", all.trim_end_matches('\\'))),
            _ => Ok(DEFAULT_USER.to_owned()),
        }
    }

    /// Returns the path of a folder from the root of the Windows volume. `path` begins with a drive or a variable.
    fn on_volume(&self, path: &str) -> Result<String> {
        let (root, rest) = path.split_once('\\').unwrap_or((path, ""));
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(root));
        if is(&["%SystemDrive%"]) {
            return Ok(format!("\\{rest}"));
        }
        let windows = self.windows_folder()?;
        if let Some((drive, folder)) = windows.as_deref().and_then(|folder| folder.split_once('\\')) {
            if is(&["%SystemRoot%", "%windir%"]) {
                return Ok(format!("\\{folder}\\{rest}"));
            }
            if is(&[drive]) {
                return Ok(format!("\\{rest}"));
            }
        }
        let what = format!("the folder {path} of a profile may not be on the volume of {self}");
        Err(Error::new(Kind::Unsupported, Code::ProfileVolume, what).advise("name the file of the hive, on its volume"))
    }

    /// Returns the folder of Windows with its drive, as in SOFTWARE.
    fn windows_folder(&self) -> Result<Option<String>> {
        let software = self.software()?;
        let key = software.key(CURRENT_VERSION)?;
        key.map(|key| text(&key, "SystemRoot")).transpose().map(Option::flatten)
    }

    /// Finds the boot configuration on any volume of the disk.
    fn find_boot(&self) -> Result<HiveHandle> {
        let name = HiveKind::Bcd.file_name();
        let mut found = Vec::new();
        let Some(disk) = self.system.disk() else {
            for folder in BOOT {
                found.extend(self.system.on_its_volume(folder, name)?);
            }
            return self.one_of(found);
        };
        // Images in an archive are other installations.
        let own = disk.archive().map(|_| self.system.volume());
        let volumes = disk.partitions(own)?.into_iter().filter(|partition| !partition.is_reserved());
        for (id, folder) in volumes.flat_map(|partition| BOOT.map(|folder| (partition.id(), folder))) {
            match self.system.on_other_volume(id, folder, name) {
                Ok(more) => found.extend(more),
                Err(error) if error.kind() == Kind::Io => return Err(error),
                // The file system of this volume is not supported.
                Err(_) => {}
            }
        }
        self.one_of(found)
    }

    fn one_of(&self, mut found: Vec<HiveHandle>) -> Result<HiveHandle> {
        match found.len() {
            0 => Err(self.lacks(HiveKind::Bcd.file_name())),
            1 => Ok(found.remove(0)),
            _ => {
                let names: Vec<String> = found.iter().map(HiveHandle::description).collect();
                let what = format!("there are {} boot configurations: {}", names.len(), names.join(", "));
                Err(Error::refused(Code::SeveralBootConfigurations, what).advise("name the file of the hive"))
            }
        }
    }
}

fn no_profile(what: String) -> Error {
    Error::new(Kind::NotFound, Code::NoProfile, what)
}

/// Returns the text of a value, if the value is a string.
fn text(key: &Key<'_>, name: &str) -> Result<Option<String>> {
    let Some(value) = key.value(name)? else { return Ok(None) };
    Ok(match value.data()? {
        crate::Data::Sz(text) | crate::Data::ExpandSz(text) => text.to_str(),
        _ => None,
    })
}
