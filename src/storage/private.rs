//! A folder that nobody else can look into, for as long as it is held.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// A new empty folder of mode 0700 with a short path, removed with all that is in it when this value goes.
#[derive(Debug)]
pub struct PrivateFolder(tempfile::TempDir);

/// Those that are held.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn held() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes those that are still held: for a process that ends while threads of it hang, whose folders nobody else removes.
pub fn remove_all() {
    for folder in std::mem::take(&mut *held()) {
        // It is gone, or it cannot be helped.
        let _ = std::fs::remove_dir_all(folder);
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        held().remove(self.path());
    }
}

/// A socket's path has 108 bytes at most on Linux, 104 elsewhere, of which the name in the folder needs some.
const LONGEST: usize = 80;

impl PrivateFolder {
    /// Makes one, in the folder for temporary files unless its path is too long for sockets.
    ///
    /// # Errors
    /// The host could not.
    pub fn make() -> Result<Self> {
        let temporary = std::env::temp_dir();
        let long = temporary.as_os_str().len() > LONGEST;
        let within = if long { Path::new("/tmp") } else { &temporary };
        let failed = |e| Error::io(format!("cannot make a folder in {}: {e}", within.display()), e);
        let mut builder = tempfile::Builder::new();
        // It is made with this mode: at no time can others look in.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let folder = builder.prefix("hivewright-").tempdir_in(within).map(PrivateFolder).map_err(failed)?;
        held().insert(folder.path().to_owned());
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_for_this_user_alone_and_goes_with_its_holder() {
        let folder = PrivateFolder::make().unwrap();
        let path = folder.path().to_owned();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        }
        std::fs::write(path.join("s"), b"").unwrap();
        assert!(held().contains(&path));
        drop(folder);
        assert!(!path.exists() && !held().contains(&path));
    }
}
