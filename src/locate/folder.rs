//! A hive on the host: the file that the user named, or the one of a Windows installation in a folder.

use std::path::{Path, PathBuf};

use hivewright_disk::container::in_bundle;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::folder::{EntryKind, entries, kind_of, named};
use hivewright_storage::probe::see;

/// A hive of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiveFile {
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
    /// The folder that it lies in.
    pub(super) fn folder(&self) -> &Path {
        match self.hive.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    /// The root of the volume that it lies in: above the Windows folder through which it was found, or in which it lies by the
    /// names of its folders. `None` where only a hive is at hand.
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

/// The error for a file of the host that is no hive. Nothing has spoken for a disk either, or it would be read as one.
pub(crate) fn no_hive_no_disk(error: Error, path: &Path) -> Error {
    if error.code() != Code::BaseSignature {
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

/// All SYSTEM hives that `path` stands for: the file itself, or those of the installations in or at the folder.
pub(super) fn find_all(path: &Path) -> Result<Vec<HiveFile>> {
    if kind_of(path)? == EntryKind::Folder { Ok(all_in(path)?.0) } else { Ok(vec![find(path)?]) }
}

/// All SYSTEM hives in a folder, and the number of folders that could not be read.
fn all_in(folder: &Path) -> Result<(Vec<HiveFile>, usize)> {
    let mut found: Vec<HiveFile> = Vec::new();
    let mut unreadable = 0;
    // The config folder itself, the Windows folder itself, or the root of a volume.
    found.extend(named(folder, EntryKind::File, "SYSTEM")?.into_iter().map(|hive| HiveFile { hive, windows: None }));
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
                Code::SeveralInstallations,
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
