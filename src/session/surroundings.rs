//! What surrounds a hive in a mounted volume: whether the Windows that it belongs to is hibernated, and whether the volume has
//! shadow copies. The same is asked of a volume inside of an image by [`hivewright_disk::files::Files::state`].

use std::path::{Path, PathBuf};

use super::disk::{Obstacle, of_hibernation};
use super::host_files;
use super::target::Target;
use hivewright_disk::files::{Hibernation, hibernation as file, shadow_copies as copies};
use hivewright_error::{Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::folder::{EntryKind, named};
use hivewright_storage::look::{list, open_plain};

/// What the hibernation file in the root of the volume says; `None` where only a hive is at hand.
pub fn hibernation(target: &Target) -> Option<Hibernation> {
    volume_of(target).map(|volume| hibernation_of(&volume).0)
}

/// How many shadow copies the volume has, as far as their files can be listed; `None` where that cannot be told.
pub fn shadow_copies(target: &Target) -> Option<u32> {
    let mut count = 0;
    for folder in named(&volume_of(target)?, EntryKind::Folder, copies::FOLDER).ok()? {
        let files = list(&folder).ok()?;
        count += files
            .iter()
            .filter(|it| it.kind == EntryKind::File && copies::is_store(&it.name.to_string_lossy()))
            .count();
    }
    u32::try_from(count).ok()
}

/// Everything that is known to stand against a write to a hive of the host.
pub fn obstacles(target: &Target) -> Vec<Obstacle> {
    let own = std::slice::from_ref(&target.hive);
    hibernated(target).into_iter().chain(host_files::obstacles(own, &[], false)).collect()
}

/// Refuses to write beside a saved session.
pub(super) fn refuse_saved_session(target: &Target) -> Result<()> {
    hibernated(target).map_or(Ok(()), |obstacle| Err(obstacle.refuse()))
}

fn hibernated(target: &Target) -> Option<Obstacle> {
    let (state, path) = hibernation_of(&volume_of(target)?);
    of_hibernation(&state, path.as_deref())
}

/// The root of the volume that a hive lies in: above the Windows folder through which it was found, or in which it lies by
/// the names of its folders.
fn volume_of(target: &Target) -> Option<PathBuf> {
    let above = |windows: &Path| {
        let volume = windows.parent()?;
        Some(if volume.as_os_str().is_empty() { PathBuf::from(".") } else { volume.to_owned() })
    };
    if let Some(windows) = &target.windows {
        return above(windows);
    }
    let hive = std::path::absolute(&target.hive).ok()?;
    let (config, system32) = (hive.parent()?, hive.ancestors().nth(2)?);
    let is = |folder: &Path, name: &str| folder.file_name().is_some_and(|own| own.eq_ignore_ascii_case(name));
    if is(config, "config") && is(system32, "System32") { above(system32.parent()?) } else { None }
}

/// The state, and the file that says so. Where names differ only by case, the worst counts.
fn hibernation_of(volume: &Path) -> (Hibernation, Option<PathBuf>) {
    let entries = match list(volume) {
        Ok(entries) => entries,
        Err(error) => return (Hibernation::unreadable(&error), None),
    };
    let files = entries.into_iter().filter(|entry| entry.name.eq_ignore_ascii_case(file::FILE));
    let judged = files.map(|entry| {
        let path = volume.join(entry.name);
        (judge(&path), Some(path))
    });
    let worst = judged.max_by_key(|(state, _)| match state.is_saved() {
        Some(false) => 0,
        None => 1,
        Some(true) => 2,
    });
    worst.unwrap_or((Hibernation::NoFile, None))
}

fn judge(path: &Path) -> Hibernation {
    match open_plain(path) {
        Ok(Some(file)) => Hibernation::of(file.len(), |first| file.read_at(0, first)),
        Ok(None) => {
            let what = format!("{} is no plain file", path.display());
            Hibernation::unreadable(&Error::new(Kind::Unsupported, "not-a-file", what))
        }
        Err(error) => Hibernation::unreadable(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(hiberfil: Option<(&str, &[u8])>) -> (tempfile::TempDir, Target) {
        let folder = tempfile::tempdir().unwrap();
        let windows = folder.path().join("Windows");
        if let Some((name, bytes)) = hiberfil {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let target = Target { hive: windows.join("System32/config/SYSTEM"), windows: Some(windows) };
        (folder, target)
    }

    fn page(start: &[u8; 4]) -> Vec<u8> {
        let mut page = vec![0; 4096];
        page[..4].copy_from_slice(start);
        page
    }

    #[test]
    fn a_hibernated_windows_is_told_from_one_that_is_shut_down() {
        for (name, bytes, code) in [
            ("hiberfil.sys", page(b"hibr"), Some("volume-hibernated")),
            ("HIBERFIL.SYS", page(b"HIBR"), Some("volume-hibernated")),
            ("hiberfil.sys", page(b"RSTR"), Some("volume-hibernation-unknown")),
            ("hiberfil.sys", b"wake".to_vec(), Some("volume-hibernation-unknown")),
            ("hiberfil.sys", Vec::new(), Some("volume-hibernation-unknown")),
            ("hiberfil.sys", page(b"wake"), None),
            ("hiberfil.sys", page(&[0; 4]), None),
        ] {
            let (_folder, mut target) = volume(Some((name, &bytes)));
            for windows in [target.windows.take(), None] {
                target.windows = windows;
                assert_eq!(hibernated(&target).map(|it| it.code), code);
                assert_eq!(refuse_saved_session(&target).err().map(|it| it.code()), code);
            }
        }
        let (folder, target) = volume(None);
        assert_eq!(hibernation(&target), Some(Hibernation::NoFile));
        assert_eq!(hibernation(&Target { hive: folder.path().join("SYSTEM"), windows: None }), None);
        // The worst of two counts; what is no file is not known.
        std::fs::write(folder.path().join("hiberfil.sys"), page(b"wake")).unwrap();
        std::fs::create_dir(folder.path().join("HiberFil.sys")).unwrap();
        assert_eq!(hibernation(&target).unwrap().is_saved(), None);
        std::fs::write(folder.path().join("Hiberfil.SYS"), page(b"hibr")).unwrap();
        assert_eq!(hibernation(&target), Some(Hibernation::Saved));
    }

    #[test]
    fn shadow_copies_are_counted_by_their_files() {
        let (folder, target) = volume(None);
        assert_eq!(shadow_copies(&target), Some(0));
        let of = folder.path().join(copies::FOLDER);
        std::fs::create_dir(&of).unwrap();
        for own in ["", "{600f0b69-5bdf-11e3-9d6c-005056c00008}", "{600f0b6d-5bdf-11e3-9d6c-005056c00008}"] {
            std::fs::write(of.join(format!("{own}{{3808876b-c176-4e48-b7ae-04046e6cc752}}")), "").unwrap();
        }
        assert_eq!(shadow_copies(&target), Some(2));
        assert_eq!(shadow_copies(&Target { hive: folder.path().join("SYSTEM"), windows: None }), None);
    }
}
