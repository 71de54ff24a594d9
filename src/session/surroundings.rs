//! What surrounds a hive in a mounted volume: whether the Windows that it belongs to sleeps.

use std::path::{Path, PathBuf};

use super::target::Target;
use crate::error::{Error, Result};
use crate::storage::folder::{EntryKind, named};
use crate::storage::{FileStorage, Storage};

/// Bytes of the header page of a hibernation file.
const HEADER_SIZE: usize = 4096;

/// The hibernation file of the volume, if it holds a saved session: Windows will resume with the hive that it has in
/// memory and write that over whatever stands in the file. Shutting down with Fast Startup saves one too.
///
/// A session is saved where `hiberfil.sys` in the root of the volume begins with `hibr` or `HIBR`, or is too short to
/// say; ntfs-3g refuses a writable mount for the same sign.
///
/// # Errors
/// The file is there and cannot be read.
pub fn saved_session(target: &Target) -> Result<Option<PathBuf>> {
    let Some(volume) = target.windows.as_deref().and_then(Path::parent) else { return Ok(None) };
    let volume = if volume.as_os_str().is_empty() { Path::new(".") } else { volume };
    for path in named(volume, EntryKind::File, "hiberfil.sys")? {
        let file = FileStorage::open(&path)?;
        let mut head = [0; HEADER_SIZE];
        if file.len()? < HEADER_SIZE as u64 {
            return Ok(Some(path));
        }
        file.read_at(0, &mut head)?;
        if head.starts_with(b"hibr") || head.starts_with(b"HIBR") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Refuses to write beside a saved session.
pub(super) fn refuse_saved_session(target: &Target) -> Result<()> {
    match saved_session(target)? {
        None => Ok(()),
        Some(path) => Err(Error::refused(
            "hibernated",
            format!("{} holds a saved session, which would write its own hive over the edited one", path.display()),
        )
        .advise(
            "start that Windows and shut it down fully (hold Shift, or `shutdown /s`), then edit; reading is fine",
        )),
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
        let mut page = vec![0; HEADER_SIZE];
        page[..4].copy_from_slice(start);
        page
    }

    #[test]
    fn a_sleeping_windows_is_told_from_one_that_is_shut_down() {
        let sleeps = |name: &str, bytes: &[u8]| {
            let (_folder, target) = volume(Some((name, bytes)));
            let found = saved_session(&target).unwrap().is_some();
            assert_eq!(refuse_saved_session(&target).is_err(), found);
            found
        };
        assert!(sleeps("hiberfil.sys", &page(b"hibr")));
        assert!(sleeps("HIBERFIL.SYS", &page(b"HIBR")));
        assert!(sleeps("hiberfil.sys", b"wake"), "too short to say");
        assert!(!sleeps("hiberfil.sys", &page(b"wake")));
        assert!(!sleeps("hiberfil.sys", &page(&[0; 4])));
        let (_folder, target) = volume(None);
        assert_eq!(saved_session(&target).unwrap(), None);
        assert_eq!(saved_session(&Target { windows: None, ..target }).unwrap(), None);
    }
}
