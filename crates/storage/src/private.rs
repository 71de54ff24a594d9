//! A folder that nobody else can look into, for as long as it is held.

use std::path::Path;

use super::temp_files::{self, What};
use hivewright_error::{Error, Result};

/// A new empty folder of mode 0700 with a short path, removed with all that is in it when this value goes.
#[derive(Debug)]
pub struct PrivateFolder(tempfile::TempDir);

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        temp_files::let_go(self.path());
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
        builder.prefix("hivewright-");
        let make = || builder.tempdir_in(within).map(|made| (made.path().to_owned(), made)).map_err(failed);
        temp_files::hold(What::Folder, make).map(|(_, made)| PrivateFolder(made))
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
        assert!(temp_files::is_held(&path));
        drop(folder);
        assert!(!path.exists() && !temp_files::is_held(&path));
    }
}
