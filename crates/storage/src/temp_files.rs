//! What stands on the host under a name for the time being, so that a process that is told to end can take it along:
//! new files that have not got their place yet, and private folders.
//!
//! A file without a name (`O_TMPFILE`) would need none of this, but not every file system has such files, and a new file
//! that replaces another needs a name of its own for a moment anyway.

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

/// Has `hook` run before something is held for the first time: whoever holds nothing needs no handler of signals. Only the
/// first hook counts.
pub fn before_the_first(hook: fn()) {
    let _ = HOOK.set(hook);
}

/// Makes something of a new name, which is held from then on. Where the process is ending, this does not return.
pub(super) fn hold<T>(what: What, make: impl FnOnce() -> Result<(PathBuf, T)>) -> Result<(PathBuf, T)> {
    if let Some(hook) = HOOK.get() {
        FIRST.call_once(hook);
    }
    let mut names = names();
    let (path, made) = make()?;
    names.insert(path.clone(), what);
    Ok((path, made))
}

/// What was called so is gone.
pub(super) fn let_go(path: &Path) {
    names().remove(path);
}

/// Runs `rename`, which says whether `from` has got another name: that is not held. No end comes in between, and none
/// before: where the process is ending, this does not return.
pub(super) fn rename(from: &Path, rename: impl FnOnce() -> Result<bool>) -> Result<bool> {
    let mut names = names();
    let renamed = rename()?;
    if renamed {
        names.remove(from);
    }
    Ok(renamed)
}

/// Removes the folders that are still held: of threads that were given up, which nobody else removes.
pub fn remove_folders() {
    let mut names = names();
    names.iter().filter(|(_, what)| **what == What::Folder).for_each(|(path, _)| remove_folder(path));
    names.retain(|_, what| *what != What::Folder);
}

/// Removes all that is held and ends the process. What has got its place, such as an undo file, is not touched; nothing
/// gets a name, or another one, from here on.
pub fn end(status: i32) -> ! {
    // Until the end: whoever finds what was held gone would say so on its way out, and waits here instead.
    let names = names();
    for (path, what) in &*names {
        match what {
            What::Folder => remove_folder(path),
            // It is gone, or it cannot be helped.
            What::File => drop(std::fs::remove_file(path)),
        }
    }
    std::process::exit(status)
}

/// More than once where somebody puts things into it meanwhile.
fn remove_folder(path: &Path) {
    for _ in 0..5 {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(Duration::from_millis(5));
            }
            // It is gone, or it cannot be helped.
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
