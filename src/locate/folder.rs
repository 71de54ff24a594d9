//! A hive of the host: the file that the user named, or that of a Windows installation in a folder.

use std::path::{Path, PathBuf};

use hivewright_disk::container::in_bundle;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::probe::{EntryKind, kind_of, metadata, named, select};

/// A hive of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiveFile {
    /// The hive's file.
    pub hive: PathBuf,
    /// The folder of the Windows installation, where the hive was found through one.
    pub windows: Option<PathBuf>,
}

/// Finds the SYSTEM hive at `path`: the file itself, or `System32\config\SYSTEM` of the Windows installation in the
/// folder.
///
/// # Errors
/// `no-file`; `no-installation`; `several-installations`.
pub(super) fn find(path: &Path) -> Result<HiveFile> {
    match kind_of(path)? {
        EntryKind::File => Ok(HiveFile { hive: path.to_owned(), windows: None }),
        EntryKind::Folder => find_in(path),
        EntryKind::Device | EntryKind::Other => Err(Error::new(
            Kind::Unsupported,
            Code::TargetKind,
            format!("{} is neither a file nor a folder", path.display()),
        )),
    }
}

impl HiveFile {
    /// Returns its folder.
    pub(super) fn folder(&self) -> &Path {
        match self.hive.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    /// Returns the root of its volume: the folder above the Windows folder through which it was found, or above the one
    /// in its path. `None` for a hive outside of such folders.
    pub(super) fn volume(&self) -> Option<PathBuf> {
        let above = |windows: &Path| {
            let volume = windows.parent()?;
            Some(if volume.as_os_str().is_empty() { PathBuf::from(".") } else { volume.to_owned() })
        };
        if let Some(windows) = &self.windows {
            return above(windows);
        }
        let hive = std::path::absolute(&self.hive).ok()?;
        let (config, system32) = (hive.parent()?, hive.ancestors().nth(2)?);
        let is = |folder: &Path, name: &str| folder.file_name().is_some_and(|own| own.eq_ignore_ascii_case(name));
        if is(config, "config") && is(system32, "System32") { above(system32.parent()?) } else { None }
    }
}

/// Returns the error for a file of the host that is neither a hive nor recognised as a disk.
pub(crate) fn no_hive_no_disk(error: Error, path: &Path) -> Error {
    if error.code() != Code::BaseSignature {
        return error;
    }
    let advice = match metadata(path) {
        Ok(found) if found.len == 0 => "the file is empty: copy it again",
        _ => {
            "name a SYSTEM hive (it begins with `regf`), a folder with Windows, or an image of a disk; \
             if it is in fact a raw image, give --format raw"
        }
    };
    error.adding("it is not a known disk image or volume either").advise(advice)
}

/// Returns all SYSTEM hives at `path`: the file itself, or those of the installations in the folder.
pub(super) fn find_all(path: &Path) -> Result<Vec<HiveFile>> {
    if kind_of(path)? == EntryKind::Folder { Ok(all_in(path)?.0) } else { Ok(vec![find(path)?]) }
}

/// Returns all SYSTEM hives in a folder, and the number of folders that could not be read.
fn all_in(folder: &Path) -> Result<(Vec<HiveFile>, usize)> {
    let mut found: Vec<HiveFile> = Vec::new();
    let mut unreadable = 0;
    // The folder may be the config folder, the Windows folder, or the root of a volume.
    found.extend(named(folder, EntryKind::File, "SYSTEM")?.into_iter().map(|hive| HiveFile { hive, windows: None }));
    if found.is_empty() {
        found.extend(installation_at(folder)?);
    }
    if found.is_empty() {
        for windows in select(folder, EntryKind::Folder, &|_| true)? {
            match installation_at(&windows) {
                Ok(more) => found.extend(more),
                // Some folders of a volume are not readable for every user; the Windows folder is.
                Err(e) if e.kind() == Kind::Io => unreadable += 1,
                Err(e) => return Err(e),
            }
        }
    }
    Ok((found, unreadable))
}

fn find_in(folder: &Path) -> Result<HiveFile> {
    let (mut found, unreadable) = all_in(folder)?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::new(
            Kind::NotFound,
            Code::NoInstallation,
            match unreadable {
                0 => format!("{} contains no Windows installation", folder.display()),
                n => format!("{} contains no Windows installation ({n} folders could not be read)", folder.display()),
            },
        )
        .advise(in_bundle(folder).unwrap_or_else(|| {
            "name the root of the mounted volume, its Windows folder, or the file System32/config/SYSTEM itself"
                .to_owned()
        }))),
        _ => {
            let names: Vec<String> = found.iter().map(|t| t.hive.display().to_string()).collect();
            Err(Error::refused(
                Code::SeveralInstallations,
                format!("{} contains {} SYSTEM hives: {}", folder.display(), names.len(), names.join(", ")),
            )
            .advise("name one of them"))
        }
    }
}

/// Returns the SYSTEM hives of the installation in the Windows folder `windows`: several where the host's names are
/// case-sensitive.
///
/// # Errors
/// A folder of the path cannot be read.
pub fn installation_at(windows: &Path) -> Result<Vec<HiveFile>> {
    let mut found = Vec::new();
    for system32 in named(windows, EntryKind::Folder, "System32")? {
        for config in named(&system32, EntryKind::Folder, "config")? {
            let hives = named(&config, EntryKind::File, "SYSTEM")?;
            found.extend(hives.into_iter().map(|hive| HiveFile { hive, windows: Some(windows.to_owned()) }));
        }
    }
    Ok(found)
}
