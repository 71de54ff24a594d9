//! Registry of temporary files and private folders of this process, so that a signal handler can remove them.
//!
//! Files without a name (`O_TMPFILE`) would not need it, but not every file system has them, and a new file that
//! replaces another needs a temporary name anyway.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::Duration;

use hivewright_error::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    File,
    Folder,
}

type Names = BTreeMap<PathBuf, What>;

static HELD: Mutex<Names> = Mutex::new(Names::new());
static HOOK: OnceLock<fn()> = OnceLock::new();
static FIRST: Once = Once::new();

fn names() -> MutexGuard<'static, Names> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `hook` before the first file is registered, so that a process without temporary files installs no signal
/// handler. Only the first hook counts.
pub fn before_the_first(hook: fn()) {
    let _ = HOOK.set(hook);
}

/// Makes a file or folder and registers it. Does not return while the process is ending.
pub(super) fn hold<T>(what: What, make: impl FnOnce() -> Result<(PathBuf, T)>) -> Result<(PathBuf, T)> {
    if let Some(hook) = HOOK.get() {
        FIRST.call_once(hook);
    }
    let mut names = names();
    let (path, made) = make()?;
    names.insert(path.clone(), what);
    Ok((path, made))
}

/// Unregisters a file that is gone.
pub(super) fn let_go(path: &Path) {
    names().remove(path);
}

/// Runs `rename`, which returns whether `from` has its final name, and unregisters it then. The process cannot end in
/// between; while it is ending, this does not return.
pub(super) fn rename(from: &Path, rename: impl FnOnce() -> Result<bool>) -> Result<bool> {
    let mut names = names();
    let renamed = rename()?;
    if renamed {
        names.remove(from);
    }
    Ok(renamed)
}

/// Removes the registered folders: those of abandoned threads have no other owner.
pub fn remove_folders() {
    let mut names = names();
    names.iter().filter(|(_, what)| **what == What::Folder).for_each(|(path, _)| remove_folder(path));
    names.retain(|_, what| *what != What::Folder);
}

/// Removes all registered files and folders and ends the process. Files with their final name, such as an undo file,
/// are not touched, and no file is made or renamed from here on.
pub fn end(status: i32) -> ! {
    // Keeps the lock until the end: other threads would report the removed files as missing; they wait here instead.
    let names = names();
    for (path, what) in &*names {
        match what {
            What::Folder => remove_folder(path),
            // Errors are ignored: the file is gone, or cannot be removed.
            What::File => drop(std::fs::remove_file(path)),
        }
    }
    std::process::exit(status)
}

/// Retries while another thread adds files to the folder.
fn remove_folder(path: &Path) {
    for _ in 0..5 {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(Duration::from_millis(5));
            }
            // Errors are ignored: the folder is gone, or cannot be removed.
            _ => return,
        }
    }
}

#[cfg(test)]
pub(super) fn is_held(path: &Path) -> bool {
    names().contains_key(path)
}

#[cfg(test)]
mod tests {
    use super::is_held;
    use crate::{Host, RealHost};

    #[test]
    fn a_file_is_held_until_it_has_its_place_or_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (target, other) = (folder.path().join("a"), folder.path().join("b"));
        let make = || RealHost.create_temporary(&target, 0o600).unwrap().0;
        let (new, replacing, removed) = (make(), make(), make());
        for path in [&new, &replacing, &removed] {
            assert!(is_held(path) && path.exists());
        }
        assert!(RealHost.rename_new(&new, &target).unwrap());
        assert!(!RealHost.rename_new(&replacing, &target).unwrap());
        assert!(!is_held(&new) && !is_held(&target) && is_held(&replacing), "a name that is taken changes nothing");
        assert!(RealHost.rename(&replacing, &folder.path().join("none/c")).is_err());
        assert!(is_held(&replacing));
        RealHost.rename(&replacing, &other).unwrap();
        RealHost.remove(&removed).unwrap();
        assert!(!is_held(&replacing) && !is_held(&other) && !is_held(&removed));
    }
}
