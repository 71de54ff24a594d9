//! The files that change together, in the order of their addresses.

use std::path::{Component, Path, PathBuf};

use hivewright_error::Result;
use hivewright_storage::joined::{self, Room};

/// One of several files that change together: of an image, or hives of the host and their logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its path; in an undo file, relative to the folder of the target.
    pub(crate) path: PathBuf,
    /// Length before, in bytes.
    pub(crate) len: u64,
    /// Length after, in bytes, if several files grow. The length of a single growing file, always the last, is that of
    /// the change.
    pub(crate) grown: Option<u64>,
}

impl Member {
    /// Makes a member that keeps its length, or is the only one that grows.
    pub(crate) fn new(path: PathBuf, len: u64) -> Self {
        Member { path, len, grown: None }
    }

    /// Makes members of several files.
    pub(crate) fn all(files: &[(PathBuf, u64)]) -> Vec<Self> {
        files.iter().map(|(path, len)| Member::new(path.clone(), *len)).collect()
    }

    /// Returns both lengths.
    pub(crate) fn room(&self) -> Room {
        Room { before: self.len, after: self.grown.unwrap_or(self.len) }
    }
}

/// Returns the first address of each file.
///
/// # Errors
/// As [`joined::starts`].
pub(crate) fn starts(files: &[Member]) -> Result<Vec<u64>> {
    joined::starts(&files.iter().map(|file| file.room().after).collect::<Vec<_>>())
}

/// Returns the path of `to` relative to the folder `from`, both absolute; `to` itself if they have no common folder.
pub(crate) fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return to.to_owned();
    }
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

/// Returns whether a path does not depend on the folder that it is searched in. On Windows, this is not the same as
/// being absolute: a path without a drive, and a drive without a path, are neither.
pub(crate) fn has_own_place(path: &Path) -> bool {
    path.has_root() || matches!(path.components().next(), Some(Component::Prefix(_)))
}

/// Returns the path `name` relative to the folder `from`, with `..` resolved where the names allow.
pub(crate) fn absolute(from: &Path, name: &Path) -> PathBuf {
    let mut path = from.to_owned();
    for component in name.components() {
        match component {
            Component::ParentDir if path.file_name().is_some() => _ = path.pop(),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_from_one_folder_leads_to_the_other() {
        for (from, to, path) in [
            ("/w/Windows/System32/config", "/w/Users/Default/NTUSER.DAT", "../../../Users/Default/NTUSER.DAT"),
            ("/w", "/w/a", "a"),
            ("/w/a", "/w/b", "../b"),
            ("/", "/b", "b"),
            ("/w", "/b/c", "../b/c"),
        ] {
            assert_eq!(relative(Path::new(from), Path::new(to)), Path::new(path));
            assert_eq!(absolute(Path::new(from), Path::new(path)), Path::new(to));
        }
        assert_eq!(absolute(Path::new("/w"), Path::new("/v/t")), Path::new("/v/t"));
    }
}
