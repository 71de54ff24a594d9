//! What the user named: a hive, or a folder in which one is found as Windows would find it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use hivewright_disk::container::in_bundle;
use hivewright_error::{Error, Kind, Result};
use hivewright_storage::folder::{EntryKind, entries, kind_of, named};
use hivewright_storage::look::see;

/// A hive to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The hive's file.
    pub hive: PathBuf,
    /// The folder of the Windows installation, where the hive was found through one.
    pub windows: Option<PathBuf>,
}

/// Finds the SYSTEM hive that `path` stands for: the file itself, or `System32\config\SYSTEM` of the Windows
/// installation in or at the folder.
///
/// # Errors
/// Nothing there, no installation in the folder, or several of them (the user has to name one).
pub fn find(path: &Path) -> Result<Target> {
    match kind_of(path)? {
        EntryKind::File => Ok(Target { hive: path.to_owned(), windows: None }),
        EntryKind::Folder => find_in(path),
        EntryKind::Device | EntryKind::Other => Err(Error::new(
            Kind::Unsupported,
            "target-kind",
            format!("{} is neither a file nor a folder", path.display()),
        )),
    }
}

/// The transaction logs beside a hive: its name with `.LOG`, `.LOG1` or `.LOG2`.
pub fn logs_beside(hive: &Path) -> Result<Vec<PathBuf>> {
    let Some(name) = hive.file_name() else { return Ok(Vec::new()) };
    let folder = match hive.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let names = [".LOG", ".LOG1", ".LOG2"].map(|ending| [name, OsStr::new(ending)].into_iter().collect::<OsString>());
    entries(folder, EntryKind::File, &|entry| names.iter().any(|log| log.eq_ignore_ascii_case(entry)))
}

/// The error for a file of the host that is no hive. Nothing has spoken for a disk either, or it would be read as one.
pub(super) fn neither(error: Error, path: &Path) -> Error {
    if error.code() != "base-signature" {
        return error;
    }
    let advice = match see(path) {
        Ok(seen) if seen.len == 0 => "the file is empty: copy it again from where it came",
        _ => {
            "name a SYSTEM hive (it begins with `regf`), a folder with Windows, or an image of a disk; \
             if this is an image all the same, say of which format: --format raw"
        }
    };
    error.adding("nor a disk image or a volume that is known here").advise(advice)
}

fn find_in(folder: &Path) -> Result<Target> {
    let mut found: Vec<Target> = Vec::new();
    let mut unreadable = 0;
    // The config folder itself, the Windows folder itself, or the root of a volume.
    found.extend(named(folder, EntryKind::File, "SYSTEM")?.into_iter().map(|hive| Target { hive, windows: None }));
    if found.is_empty() {
        found.extend(installation_at(folder)?);
    }
    if found.is_empty() {
        for windows in entries(folder, EntryKind::Folder, &|_| true)? {
            match installation_at(&windows) {
                Ok(more) => found.extend(more),
                // A volume's own folders are often closed to others; Windows' is not among them.
                Err(e) if e.kind() == Kind::Io => unreadable += 1,
                Err(e) => return Err(e),
            }
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::new(
            Kind::NotFound,
            "no-installation",
            match unreadable {
                0 => format!("{} holds no Windows installation", folder.display()),
                n => format!("{} holds no Windows installation ({n} folders could not be read)", folder.display()),
            },
        )
        .advise(in_bundle(folder).unwrap_or_else(|| {
            "name the root of the mounted volume, its Windows folder, or the file System32/config/SYSTEM itself"
                .to_owned()
        }))),
        _ => {
            let names: Vec<String> = found.iter().map(|t| t.hive.display().to_string()).collect();
            Err(Error::refused(
                "several-installations",
                format!("{} holds {} SYSTEM hives: {}", folder.display(), names.len(), names.join(", ")),
            )
            .advise("name one of them"))
        }
    }
}

/// The SYSTEM hives of the installation whose Windows folder is `windows`: several where the host tells cases apart.
///
/// # Errors
/// A folder on the way cannot be read.
pub fn installation_at(windows: &Path) -> Result<Vec<Target>> {
    let mut found = Vec::new();
    for system32 in named(windows, EntryKind::Folder, "System32")? {
        for config in named(&system32, EntryKind::Folder, "config")? {
            let hives = named(&config, EntryKind::File, "SYSTEM")?;
            found.extend(hives.into_iter().map(|hive| Target { hive, windows: Some(windows.to_owned()) }));
        }
    }
    Ok(found)
}
