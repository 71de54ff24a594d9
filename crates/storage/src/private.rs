//! Folders that no other user can read.

use std::path::Path;

use super::temp_files::{self, What};
use hivewright_error::{Error, Result};

/// A new folder of mode 0700 with a short path, removed with its contents when the value is dropped.
#[derive(Debug)]
pub struct PrivateFolder(tempfile::TempDir);

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        temp_files::let_go(self.path());
    }
}

/// The path of a socket has at most 108 bytes on Linux, 104 elsewhere; the socket's name takes some of them.
const LONGEST: usize = 80;

impl PrivateFolder {
    /// Makes a folder, in the one for temporary files unless its path is too long for sockets.
    ///
    /// # Errors
    /// I/O errors.
    pub fn make() -> Result<Self> {
        let temporary = std::env::temp_dir();
        let long = temporary.as_os_str().len() > LONGEST;
        let within = if long { Path::new("/tmp") } else { &temporary };
        let failed = |e| Error::io(format!("cannot make a folder in {}: {e}", within.display()), e);
        let mut builder = tempfile::Builder::new();
        // It is created with this mode, so that no other user can look into it at any time.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        builder.prefix("hivewright-");
        let make = || builder.tempdir_in(within).map(|made| (made.path().to_owned(), made)).map_err(failed);
        temp_files::hold(What::Folder, make).map(|(_, made)| PrivateFolder(made))
    }

    /// Returns the path of the folder.
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
        assert!(temp_files::is_held(&path));
        drop(folder);
        assert!(!path.exists() && !temp_files::is_held(&path));
    }
}
