//! What surrounds a hive in a mounted volume: whether the Windows that it belongs to sleeps.

use std::fmt;
use std::path::{Path, PathBuf};

use super::target::Target;
use crate::error::{Error, Result};
use crate::storage::folder::{EntryKind, named};
use crate::storage::{FileStorage, Storage};

/// Bytes of the header page of a hibernation file.
const HEADER_SIZE: usize = 4096;

/// A hibernation file that says, or may mean, that a session is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSession {
    /// The file.
    pub path: PathBuf,
    /// Its bytes, where they are too few to say: then the session may be saved elsewhere.
    pub too_short: Option<u64>,
}

impl fmt::Display for SavedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.too_short {
            None => write!(f, "{path} holds a saved session"),
            Some(len) => {
                write!(f, "{path} has {len} bytes, too few to rule out that a session is saved (elsewhere, maybe)")
            }
        }
    }
}

/// The hibernation file of the volume, if it holds a saved session: Windows will resume with the hive that it has in
/// memory and write that over whatever stands in the file. Shutting down with Fast Startup saves one too.
///
/// A session is saved where `hiberfil.sys` in the root of the volume begins with `hibr` or `HIBR`, or is too short to
/// say; ntfs-3g refuses a writable mount for the same sign.
///
/// # Errors
/// The file is there and cannot be read.
pub fn sleeping(target: &Target) -> Result<Option<SavedSession>> {
    let Some(volume) = target.windows.as_deref().and_then(Path::parent) else { return Ok(None) };
    let volume = if volume.as_os_str().is_empty() { Path::new(".") } else { volume };
    for path in named(volume, EntryKind::File, "hiberfil.sys")? {
        let file = FileStorage::open(&path)?;
        let mut head = [0; HEADER_SIZE];
        let len = file.len()?;
        if len < HEADER_SIZE as u64 {
            return Ok(Some(SavedSession { path, too_short: Some(len) }));
        }
        file.read_at(0, &mut head)?;
        if head.starts_with(b"hibr") || head.starts_with(b"HIBR") {
            return Ok(Some(SavedSession { path, too_short: None }));
        }
    }
    Ok(None)
}

/// Refuses to write beside a saved session.
pub(super) fn refuse_saved_session(target: &Target) -> Result<()> {
    match sleeping(target)? {
        None => Ok(()),
        Some(session) => Err(Error::refused(
            "hibernated",
            format!("{session}: it would write its own hive over the edited one"),
        )
        .advise(match session.too_short {
            None => {
                "start that Windows and shut it down fully (hold Shift, or `shutdown /s`), then edit; reading is fine"
            }
            Some(_) => {
                "start the Windows of this volume and shut it down fully (`shutdown /s`); \
                 where no session is known to be saved, the file is a leftover: move it away"
            }
        })),
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
            let found = sleeping(&target).unwrap().is_some();
            assert_eq!(refuse_saved_session(&target).is_err(), found);
            found
        };
        assert!(sleeps("hiberfil.sys", &page(b"hibr")));
        assert!(sleeps("HIBERFIL.SYS", &page(b"HIBR")));
        assert!(sleeps("hiberfil.sys", b"wake") && sleeps("hiberfil.sys", b""), "too short to say");
        let (_folder, target) = volume(Some(("hiberfil.sys", b"")));
        let said = refuse_saved_session(&target).unwrap_err();
        assert!(said.what().contains("has 0 bytes, too few") && !said.what().contains("holds"), "{said}");
        assert!(!sleeps("hiberfil.sys", &page(b"wake")));
        assert!(!sleeps("hiberfil.sys", &page(&[0; 4])));
        let (_folder, target) = volume(None);
        assert_eq!(sleeping(&target).unwrap(), None);
        assert_eq!(sleeping(&Target { windows: None, ..target }).unwrap(), None);
    }
}
