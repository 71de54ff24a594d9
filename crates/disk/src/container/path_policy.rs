//! The path policy: which files of the host an image may open. The [`Gate`] opens them, and nothing else does.
//!
//! An image may name other files: a backing file, a parent, extents, segments. Such a name may come from an attacker, who
//! wants to read this host's files through it, or to have a device touched. So a name leads only to a regular file in
//! the folder of the image or in one that the user allowed, after every symbolic link.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::helpers::nbd;
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::exact::field;
use hivewright_storage::folder::{EntryKind, entries, kind_of};
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

/// Opens files for a gate.
pub trait Opener: Send + Sync {
    /// Opens the file at `path`, which is absolute and holds no symbolic link.
    ///
    /// # Errors
    /// The host could not.
    fn open(&self, path: &Path, role: Role) -> Result<Arc<dyn Storage>>;
}

/// A file that went through the gate.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HostFile {
    /// Absolute, through every symbolic link.
    #[serde(flatten, serialize_with = "field::path")]
    pub path: PathBuf,
    /// Its role in the image.
    pub role: Role,
    /// Bytes.
    pub size: u64,
}

/// How many files one image may have.
const MAX_FILES: usize = 4096;

/// See the module.
pub struct Gate {
    opener: Arc<dyn Opener>,
    allowed: Vec<PathBuf>,
    /// Where qemu-nbd is, if not on PATH.
    pub qemu_nbd: Option<PathBuf>,
    /// Whether the disk is going to be written to. An engine then opens it for writing.
    pub writing: bool,
    /// Whether a log of the image, which says what has yet to be written to it, is brought to its places when it is
    /// opened for writing. Otherwise an image whose log counts is not written to.
    pub replay_log: bool,
    opened: Mutex<Vec<HostFile>>,
    folder: Mutex<Option<PathBuf>>,
    pub(super) closing: nbd::Closing,
}

impl Gate {
    /// Returns a gate that allows files in the folder of the image, and in or below one of `allowed`.
    pub fn new(opener: Arc<dyn Opener>, allowed: &[PathBuf]) -> Self {
        let allowed = allowed.iter().filter_map(|folder| RealHost.resolve(folder).ok()).collect();
        let (opened, folder, closing) = <_>::default();
        Gate { opener, allowed, qemu_nbd: None, writing: false, replay_log: false, opened, folder, closing }
    }

    /// Returns a gate that allows no file, for an image whose bytes are in memory.
    pub fn shut() -> Self {
        struct Nothing;
        impl Opener for Nothing {
            fn open(&self, path: &Path, _: Role) -> Result<Arc<dyn Storage>> {
                Err(Error::new(Kind::NotFound, Code::NoFile, format!("{} is not at hand", path.display())))
            }
        }
        Gate::new(Arc::new(Nothing), &[])
    }

    /// Opens the image that the user named, whatever it is; gives its path without symbolic links too.
    ///
    /// # Errors
    /// The host could not.
    pub fn image(&self, path: &Path) -> Result<(PathBuf, Arc<dyn Storage>)> {
        let path = RealHost.resolve(path)?;
        // A link to an image elsewhere: its neighbours are those of the image.
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = path.parent().map(Path::to_owned);
        let file = self.hand_out(&path, Role::Image)?;
        Ok((path, file))
    }

    /// Opens the file that the image at `named_by` calls `name`: relative to its folder, or absolute. Backslashes part
    /// names too, since images made on Windows have them. Where nothing is at an absolute name, which is that of the system
    /// where the image was made, the file of its last name beside the image is meant; a drive or a share is nowhere here.
    ///
    /// # Errors
    /// `outside-folder`: it leads elsewhere, [`Kind::Refused`]. `not-a-file`: to a folder, a device or a pipe.
    /// `no-file`: to nothing.
    pub fn named(&self, named_by: &Path, name: &str, role: Role) -> Result<(PathBuf, Arc<dyn Storage>)> {
        let path = self.find(named_by, name)?;
        let file = self.hand_out(&path, role)?;
        Ok((path, file))
    }

    /// Opens the segment of the same image as the one at `named_by` that has its name but for the ending: that of `like`.
    ///
    /// # Errors
    /// As [`Gate::named`].
    pub fn segment(&self, named_by: &Path, like: &str, role: Role) -> Result<Arc<dyn Storage>> {
        // Of the rest of the name, a text may not hold all.
        let name = match (named_by.extension(), Path::new(like).extension()) {
            (Some(_), Some(ending)) => named_by.with_extension(ending),
            _ => PathBuf::from(like),
        };
        let name = Path::new(name.file_name().unwrap_or_default());
        let path = self.find_path(named_by, name, &name.display())?;
        self.hand_out(&path, role)
    }

    /// Opens a file as [`Gate::named`] does, to see which one it is: it does not become a file of the image.
    ///
    /// # Errors
    /// As [`Gate::named`].
    pub fn look_at(&self, named_by: &Path, name: &str) -> Result<(PathBuf, Arc<dyn Storage>)> {
        let path = self.find(named_by, name)?;
        let file = self.opener.open(&path, Role::Backing)?;
        Ok((path, file))
    }

    /// The folders that names may lead to: that of the image, then those that the user allowed.
    pub fn folders(&self) -> Vec<PathBuf> {
        let own = self.folder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        own.into_iter().chain(self.allowed.iter().cloned()).collect()
    }

    fn find(&self, named_by: &Path, name: &str) -> Result<PathBuf> {
        self.find_path(named_by, &on_this_host(name), &name)
    }

    /// Finds the file that the image at `named_by` calls `name`. Messages have it as `shown`.
    fn find_path(&self, named_by: &Path, name: &Path, shown: &dyn std::fmt::Display) -> Result<PathBuf> {
        let own = named_by.parent().unwrap_or(Path::new("/"));
        let wanted = own.join(name);
        let missing = |error: Error| match error.kind() {
            Kind::NotFound => Error::new(
                Kind::NotFound,
                Code::NoFile,
                format!("the image {} needs {shown}, which is not there", named_by.display()),
            )
            .advise(match name.is_absolute() || name.components().count() == 1 {
                true => "copy it beside the image, or give --allow-path with the folder where it is".to_owned(),
                // A copy beside the image would not be found, and one in another folder not be let through.
                _ => format!("it is looked for at {}: give --allow-path with the folder where it is", wanted.display()),
            }),
            _ => error,
        };
        let beside = name.is_absolute().then_some(own);
        let found = RealHost.resolve(&wanted).or_else(|error| resembling(&wanted).ok_or(error));
        let path = found.or_else(|error| self.moved(&wanted, beside).ok_or(missing(error)))?;
        if !self.lets_through(&path) {
            let what =
                format!("the image {} names {}, which is not beside the image", named_by.display(), path.display());
            let folder = shell::word(path.parent().unwrap_or(&path));
            return Err(Error::refused(Code::OutsideFolder, what)
                .advise(format!("if that is right, allow it: --allow-path {folder}")));
        }
        if kind_of(&path)? != EntryKind::File {
            let what =
                format!("the image {} names {}, which is not a regular file", named_by.display(), path.display());
            return Err(Error::refused(Code::NotAFile, what));
        }
        Ok(path)
    }

    /// The file of that name in the folder `beside` the image, or in one that the user allowed: images are moved.
    fn moved(&self, wanted: &Path, beside: Option<&Path>) -> Option<PathBuf> {
        let name = wanted.file_name()?;
        let mut folders = beside.into_iter().chain(self.allowed.iter().map(PathBuf::as_path));
        let resolve = |path: PathBuf| RealHost.resolve(&path).ok().or_else(|| resembling(&path));
        folders.find_map(|folder| resolve(folder.join(name)))
    }

    fn lets_through(&self, path: &Path) -> bool {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        // Beside the image, not below: an image in the root would have all of the host. What the user allows, he allows
        // whole.
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

    /// Takes the error of closing an image that was opened through this gate. An engine writes its last metadata when it is
    /// closed, so a writer drops the disk, asks this, and only then takes the recorded writes.
    pub fn closing_error(&self) -> Option<Error> {
        self.closing.take()
    }

    /// Returns every file that was opened, in that order; the first is the image.
    pub fn files(&self) -> Vec<HostFile> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Converts a name to a path of this host: a plain one, or an address such as `file://localhost/VMs/base%20disk.vhd` (RFC 8089).
pub(super) fn on_this_host(name: &str) -> PathBuf {
    let address = name.strip_prefix("file://").and_then(|rest| rest.find('/').map(|at| percents(&rest[at..])));
    let name = address.as_deref().or(name.strip_prefix("file:")).unwrap_or(name);
    let is_drive = |name: &str| name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    if is_drive(name) || name.starts_with(r"\\") {
        return name.rsplit(['\\', '/']).next().unwrap_or(name).into();
    }
    name.replace('\\', "/").into()
}

/// The one file whose name looks like that of `wanted`, as text: names in images are text here, while a name of the host
/// may have bytes that are not UTF-8.
fn resembling(wanted: &Path) -> Option<PathBuf> {
    let name = wanted.file_name()?.to_str().filter(|name| name.contains(char::REPLACEMENT_CHARACTER))?;
    let alike = entries(wanted.parent()?, EntryKind::File, &|other| other.to_string_lossy() == name).ok()?;
    <[PathBuf; 1]>::try_from(alike).ok().and_then(|[only]| RealHost.resolve(&only).ok())
}

/// Decodes `%20` and the like.
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

/// A file other than the first, whose places say so.
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
    fn a_name_of_any_system_is_a_path_of_this_one() {
        for (name, path) in [
            (r"C:\VMs\base.vhd", "base.vhd"),
            (r"\\server\share\base.vhd", "base.vhd"),
            (r"\\?\Volume{6cd1e3ac-0000-0000-0000-100000000000}\VMs\base.vhdx", "base.vhdx"),
            (r"\VMs\base.vhd", "/VMs/base.vhd"),
            (r"..\base\base.vhd", "../base/base.vhd"),
            ("/Users/me/base.hds", "/Users/me/base.hds"),
            ("file:base.qcow2", "base.qcow2"),
            ("file:///Users/me/my%20base.vhd", "/Users/me/my base.vhd"),
            ("file://localhost/C:/VMs/base.vhd", "/C:/VMs/base.vhd"),
        ] {
            assert_eq!(on_this_host(name), Path::new(path), "{name}");
        }
    }

    #[test]
    fn only_digits_stand_for_a_character() {
        assert_eq!(percents("two%20.vmdk%zz%+1%"), "two .vmdk%zz%+1%");
    }
}
