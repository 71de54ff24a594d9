//! The path policy: which files of the host an image may open. The [`PathPolicy`] opens them, and nothing else does.
//!
//! An image may name other files: a backing file, a parent, extents, segments. The name may come from an attacker who
//! wants to read this host's files, or to access a device. So a name leads only to a regular file in the folder of the
//! image or in a folder that the user allowed, after all symbolic links are resolved.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::helpers::nbd;
use crate::wim::Unpacked;
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::exact::field;
use hivewright_storage::probe::{EntryKind, kind_of, select};
use hivewright_storage::shell;
use hivewright_storage::{Host, RealHost, Storage};

/// The role of a file in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The image itself, the top of its chain.
    Image,
    /// A further file of the top layer: an extent, a segment, an external data file. It may be written to.
    Part,
    /// A backing file or parent, or a part of one: only read.
    Backing,
}

/// Opens files for a [`PathPolicy`].
pub trait Opener: Send + Sync {
    /// Opens the file at `path`, which is absolute and has no symbolic link.
    ///
    /// # Errors
    /// I/O errors.
    fn open(&self, path: &Path, role: Role) -> Result<Arc<dyn Storage>>;
}

/// A file that was opened through the policy.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HostFile {
    /// The absolute path, with symbolic links resolved.
    #[serde(flatten, serialize_with = "field::path")]
    pub path: PathBuf,
    /// Its role in the image.
    pub role: Role,
    /// Length in bytes.
    pub size: u64,
}

/// Maximum number of files of one image.
const MAX_FILES: usize = 4096;

/// The path policy of one image.
pub struct PathPolicy {
    opener: Arc<dyn Opener>,
    allowed: Vec<PathBuf>,
    /// The path of qemu-nbd, if it is not on PATH.
    pub qemu_nbd: Option<PathBuf>,
    /// Whether the disk will be written to. An engine then opens it for writing.
    pub writing: bool,
    /// Whether the log of an image is replayed in its file when it is opened for writing. Otherwise an image with a log
    /// is not written to.
    pub replay_log: bool,
    /// Unpacked bytes of earlier openings of an archive.
    pub unpacked: Unpacked,
    /// Bytes at most of a temporary file into which a compressed image is unpacked; `None` refuses such images.
    pub unpack: Option<u64>,
    opened: Mutex<Vec<HostFile>>,
    folder: Mutex<Option<PathBuf>>,
    pub(super) closing: nbd::Closing,
}

impl PathPolicy {
    /// Returns a policy that allows files in the folder of the image, and in or below one of `allowed`.
    pub fn new(opener: Arc<dyn Opener>, allowed: &[PathBuf]) -> Self {
        let allowed = allowed.iter().filter_map(|folder| RealHost.resolve(folder).ok()).collect();
        let (unpacked, opened, folder, closing) = <_>::default();
        PathPolicy {
            opener,
            allowed,
            qemu_nbd: None,
            writing: false,
            replay_log: false,
            unpack: None,
            unpacked,
            opened,
            folder,
            closing,
        }
    }

    /// Returns a policy that allows no file, for an image whose bytes are in memory.
    pub fn shut() -> Self {
        struct Nothing;
        impl Opener for Nothing {
            fn open(&self, path: &Path, _: Role) -> Result<Arc<dyn Storage>> {
                Err(Error::new(Kind::NotFound, Code::NoFile, format!("{} is not available", path.display())))
            }
        }
        PathPolicy::new(Arc::new(Nothing), &[])
    }

    /// Opens the image that the user named, and returns its path with symbolic links resolved.
    ///
    /// # Errors
    /// I/O errors.
    pub fn image(&self, path: &Path) -> Result<(PathBuf, Arc<dyn Storage>)> {
        let path = RealHost.resolve(path)?;
        // For a link to an image in another folder, related files are searched beside the image.
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = path.parent().map(Path::to_owned);
        let file = self.hand_out(&path, Role::Image)?;
        Ok((path, file))
    }

    /// Opens the file that the image at `named_by` calls `name`: relative to its folder, or absolute. Backslashes
    /// separate names too, since images made on Windows have them. If an absolute name, which may be from another
    /// machine, leads nowhere, the file of its last name beside the image is opened.
    ///
    /// # Errors
    /// `outside-folder` ([`Kind::Refused`]): the name leads to another folder. `not-a-file`: it is a folder, a device
    /// or a pipe. `no-file`: there is no such file.
    pub fn named(&self, named_by: &Path, name: &str, role: Role) -> Result<(PathBuf, Arc<dyn Storage>)> {
        let path = self.find(named_by, name)?;
        let file = self.hand_out(&path, role)?;
        Ok((path, file))
    }

    /// Opens a segment of the same image as the one at `named_by`: the file with its name and the extension of `like`.
    ///
    /// # Errors
    /// As [`PathPolicy::named`].
    pub fn segment(&self, named_by: &Path, like: &str, role: Role) -> Result<Arc<dyn Storage>> {
        // The rest of the name may not be valid text.
        let name = match (named_by.extension(), Path::new(like).extension()) {
            (Some(_), Some(ending)) => named_by.with_extension(ending),
            _ => PathBuf::from(like),
        };
        let name = Path::new(name.file_name().unwrap_or_default());
        let path = self.find_path(named_by, name, &name.display())?;
        self.hand_out(&path, role)
    }

    /// Opens a file to identify it, under the rules of [`PathPolicy::named`]. It does not become a file of the image.
    ///
    /// # Errors
    /// As [`PathPolicy::named`].
    pub fn look_at(&self, named_by: &Path, name: &str) -> Result<(PathBuf, Arc<dyn Storage>)> {
        let path = self.find(named_by, name)?;
        let file = self.opener.open(&path, Role::Backing)?;
        Ok((path, file))
    }

    /// Returns the folders that names may lead to: that of the image, then those that the user allowed.
    pub fn folders(&self) -> Vec<PathBuf> {
        let own = self.folder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        own.into_iter().chain(self.allowed.iter().cloned()).collect()
    }

    fn find(&self, named_by: &Path, name: &str) -> Result<PathBuf> {
        self.find_path(named_by, &on_this_host(name), &name)
    }

    /// Finds the file that the image at `named_by` calls `name`. Messages print it as `shown`.
    fn find_path(&self, named_by: &Path, name: &Path, shown: &dyn std::fmt::Display) -> Result<PathBuf> {
        let own = named_by.parent().unwrap_or(Path::new("/"));
        let wanted = own.join(name);
        let missing = |error: Error| match error.kind() {
            Kind::NotFound => Error::new(
                Kind::NotFound,
                Code::NoFile,
                format!("the image {} needs {shown}, which does not exist", named_by.display()),
            )
            .advise(match name.has_root() || name.components().count() == 1 {
                true => "copy it beside the image, or give --allow-path with its folder".to_owned(),
                // A copy beside the image would not be found, and one in another folder would not be allowed.
                _ => format!("it is searched at {}: give --allow-path with its folder", wanted.display()),
            }),
            _ => error,
        };
        let beside = name.has_root().then_some(own);
        let found = RealHost.resolve(&wanted).or_else(|error| resembling(&wanted).ok_or(error));
        let path = found.or_else(|error| self.moved(&wanted, beside).ok_or(missing(error)))?;
        if !self.lets_through(&path) {
            let what =
                format!("the image {} names {}, which is not beside the image", named_by.display(), path.display());
            let folder = shell::word(path.parent().unwrap_or(&path));
            return Err(
                Error::refused(Code::OutsideFolder, what).advise(format!("to allow it, give --allow-path {folder}"))
            );
        }
        if kind_of(&path)? != EntryKind::File {
            let what =
                format!("the image {} names {}, which is not a regular file", named_by.display(), path.display());
            return Err(Error::refused(Code::NotAFile, what));
        }
        Ok(path)
    }

    /// Returns the file of that name in the folder `beside` the image, or in one that the user allowed, because images
    /// are moved.
    fn moved(&self, wanted: &Path, beside: Option<&Path>) -> Option<PathBuf> {
        let name = wanted.file_name()?;
        let mut folders = beside.into_iter().chain(self.allowed.iter().map(PathBuf::as_path));
        let resolve = |path: PathBuf| RealHost.resolve(&path).ok().or_else(|| resembling(&path));
        folders.find_map(|folder| resolve(folder.join(name)))
    }

    fn lets_through(&self, path: &Path) -> bool {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        // Files in subfolders of the image's folder are not allowed: an image in the root would have access to the
        // whole host. Folders that the user allows include their subfolders.
        folder.as_deref().is_some_and(|folder| path.parent() == Some(folder))
            || self.allowed.iter().any(|folder| path.starts_with(folder))
    }

    fn hand_out(&self, path: &Path, role: Role) -> Result<Arc<dyn Storage>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.len() == MAX_FILES {
            return Err(Error::new(
                Kind::Unsupported,
                Code::ImageFiles,
                format!("the image has more than {MAX_FILES} files"),
            ));
        }
        let file = self.opener.open(path, role)?;
        opened.push(HostFile { path: path.to_owned(), role, size: file.len()? });
        // Below MAX_FILES.
        let number = u16::try_from(opened.len()).unwrap_or(u16::MAX);
        Ok(if number == 1 { file } else { Arc::new(Part { below: file, number }) })
    }

    /// Takes the error of closing an image that was opened through this policy. An engine writes its last metadata when
    /// it is closed, so a writer drops the disk, calls this, and only then takes the recorded writes.
    pub fn closing_error(&self) -> Option<Error> {
        self.closing.take()
    }

    /// Returns all opened files in that order; the first is the image.
    pub fn files(&self) -> Vec<HostFile> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Converts a name to a path of this host. The name is a path, or a URI such as `file://localhost/VMs/base%20disk.vhd`
/// (RFC 8089). Of a name with a drive letter, another system keeps only the last part; of a name on a server or of a
/// device, Windows does too, since looking it up would already send this user's name to the server.
pub(super) fn on_this_host(name: &str) -> PathBuf {
    let address = name.strip_prefix("file://").and_then(|rest| rest.find('/').map(|at| percents(&rest[at..])));
    let name = address.as_deref().or(name.strip_prefix("file:")).unwrap_or(name);
    let is_drive = |name: &str| name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    let name = if cfg!(windows) && name.starts_with('/') && is_drive(&name[1..]) { &name[1..] } else { name };
    let slashed = name.replace('\\', "/");
    let is_of_server = name.starts_with(r"\\") || cfg!(windows) && slashed.starts_with("//");
    if is_drive(name) && cfg!(not(windows)) || is_of_server {
        return slashed.rsplit('/').next().unwrap_or(name).into();
    }
    slashed.into()
}

/// Returns the only file whose name has the same lossy text as that of `wanted`: names in images are text here, while a
/// name of the host may have bytes that are not UTF-8.
fn resembling(wanted: &Path) -> Option<PathBuf> {
    let name = wanted.file_name()?.to_str().filter(|name| name.contains(char::REPLACEMENT_CHARACTER))?;
    let alike = select(wanted.parent()?, EntryKind::File, &|other| other.to_string_lossy() == name).ok()?;
    <[PathBuf; 1]>::try_from(alike).ok().and_then(|[only]| RealHost.resolve(&only).ok())
}

/// Decodes percent-encoded bytes such as `%20`.
pub(super) fn percents(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|code| first == b'%' && code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A part of an image, whose places name it.
struct Part {
    below: Arc<dyn Storage>,
    number: u16,
}

impl Storage for Part {
    fn len(&self) -> Result<u64> {
        self.below.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.below.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.below.write_at(offset, bytes)
    }

    fn flush(&self) -> Result<()> {
        self.below.flush()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.below.set_len(len)
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        vec![Place { space: Space::Part(self.number), offset }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_systems_become_paths_of_the_host() {
        for (name, path) in [
            (r"C:\VMs\base.vhd", if cfg!(windows) { "C:/VMs/base.vhd" } else { "base.vhd" }),
            (r"\\server\share\base.vhd", "base.vhd"),
            (r"\\?\Volume{6cd1e3ac-0000-0000-0000-100000000000}\VMs\base.vhdx", "base.vhdx"),
            (r"\VMs\base.vhd", "/VMs/base.vhd"),
            (r"..\base\base.vhd", "../base/base.vhd"),
            ("/Users/me/base.hds", "/Users/me/base.hds"),
            ("file:base.qcow2", "base.qcow2"),
            ("file:///Users/me/my%20base.vhd", "/Users/me/my base.vhd"),
            ("file://localhost/C:/VMs/base.vhd", if cfg!(windows) { "C:/VMs/base.vhd" } else { "/C:/VMs/base.vhd" }),
            (r"/\server\share\base.vhd", if cfg!(windows) { "base.vhd" } else { "//server/share/base.vhd" }),
        ] {
            assert_eq!(on_this_host(name), Path::new(path), "{name}");
        }
    }

    #[test]
    fn only_valid_percent_encodings_are_decoded() {
        assert_eq!(percents("two%20.vmdk%zz%+1%"), "two .vmdk%zz%+1%");
    }
}
