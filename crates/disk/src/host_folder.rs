//! A folder of the host as a volume: names are compared as Windows compares them, and links are not followed.
//!
//! A mounted or copied volume has no metadata that can be read here; its state consists of the hibernation file in its
//! root, and the shadow copies.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::counting::Counting;
use hivewright_storage::exact::from_encoded;
use hivewright_storage::probe::{EntryKind, FolderEntry, list, open_plain};
use hivewright_storage::{Access, Host, Storage};

use crate::files::{
    DirEntry, Extents, Facts, FileInVolume, Files, Hibernation, Journal, MAX_ENTRIES, Traits, VolumeState, hibernation,
    names, shadow_copies,
};

/// A folder of `H`, as the root of a volume.
struct HostFolder<H> {
    host: H,
    root: PathBuf,
    read: Arc<AtomicU64>,
}

impl<H: Host> HostFolder<H> {
    /// Returns the file of the host at `path`. `None` if a name of the path does not exist.
    ///
    /// # Errors
    /// A folder of the path cannot be listed; `file-is-folder`; `ambiguous-name`: the host's names are case-sensitive,
    /// and several of them are equal in Windows.
    fn path_of(&self, path: &str) -> Result<Option<PathBuf>> {
        let Some((path, kind)) = self.find(path)? else { return Ok(None) };
        match kind {
            EntryKind::File => Ok(Some(path)),
            EntryKind::Folder => {
                let what = format!("{} is a folder", path.display());
                Err(Error::new(Kind::Corrupt, Code::FileIsFolder, what))
            }
            EntryKind::Device | EntryKind::Other => Ok(None),
        }
    }

    fn find(&self, path: &str) -> Result<Option<(PathBuf, EntryKind)>> {
        let mut at = (self.root.clone(), EntryKind::Folder);
        for name in names(path) {
            if at.1 != EntryKind::Folder {
                return Ok(None);
            }
            let wanted = host_name(name);
            let mut found = list(&at.0)?.into_iter().filter(|entry| entry.name.eq_ignore_ascii_case(&wanted));
            let Some(FolderEntry { name, kind }) = found.next() else { return Ok(None) };
            if let Some(other) = found.next() {
                let (one, other) = (name.to_string_lossy(), other.name.to_string_lossy());
                let what = format!("{} has {one} and {other}, which are the same name in Windows", at.0.display());
                return Err(Error::refused(Code::AmbiguousName, what).advise("move one of them away"));
            }
            at = (at.0.join(name), kind);
        }
        Ok(Some(at))
    }

    /// Returns the state of the hibernation file. Of several files with its name, the worst state counts.
    fn hibernation(&self) -> Hibernation {
        let entries = match list(&self.root) {
            Ok(entries) => entries,
            Err(error) => return Hibernation::unreadable(&error),
        };
        let files = entries.into_iter().filter(|entry| entry.name.eq_ignore_ascii_case(hibernation::FILE));
        let judged = files.map(|entry| judge(&self.root.join(entry.name)));
        let worst = judged.max_by_key(|state| match state.is_saved() {
            Some(false) => 0,
            None => 1,
            Some(true) => 2,
        });
        worst.unwrap_or(Hibernation::NoFile)
    }

    /// Returns the number of shadow copies, as far as their files can be listed.
    fn shadow_copies(&self) -> Option<u32> {
        let is_folder = |entry: &FolderEntry| {
            entry.kind == EntryKind::Folder && entry.name.eq_ignore_ascii_case(shadow_copies::FOLDER)
        };
        let mut count = 0;
        for folder in list(&self.root).ok()?.into_iter().filter(is_folder) {
            let files = list(&self.root.join(folder.name)).ok()?;
            let is_store =
                |it: &&FolderEntry| it.kind == EntryKind::File && shadow_copies::is_store(&it.name.to_string_lossy());
            count += files.iter().filter(is_store).count();
        }
        u32::try_from(count).ok()
    }
}

fn judge(path: &Path) -> Hibernation {
    match open_plain(path) {
        Ok(Some(file)) => Hibernation::of(file.len(), |first| file.read_at(0, first)),
        Ok(None) => {
            let what = format!("{} is not a regular file", path.display());
            Hibernation::unreadable(&Error::new(Kind::Unsupported, Code::NotAFile, what))
        }
        Err(error) => Hibernation::unreadable(&error),
    }
}

impl<H: Host> Files for HostFolder<H> {
    fn open(&self, path: &str) -> Result<Option<FileInVolume>> {
        self.path_of(path)?.map(|path| open_file(&self.host, &path, &self.read)).transpose()
    }

    fn host_path(&self, path: &str) -> Result<Option<PathBuf>> {
        self.path_of(path)
    }

    fn list(&self, path: &str) -> Result<Option<Vec<DirEntry>>> {
        let Some((folder, EntryKind::Folder)) = self.find(path)? else { return Ok(None) };
        let entries = list(&folder)?;
        if entries.len() > MAX_ENTRIES {
            let what = format!("{} has more than {MAX_ENTRIES} entries", folder.display());
            return Err(Error::new(Kind::Unsupported, Code::FolderTooLarge, what));
        }
        let entry = |FolderEntry { name, kind }: &FolderEntry| DirEntry {
            name: guest_name(name),
            id: 0,
            is_folder: *kind == EntryKind::Folder,
            is_reparse: matches!(kind, EntryKind::Other | EntryKind::Device),
            len: 0,
        };
        Ok(Some(entries.iter().map(entry).collect()))
    }

    fn state(&self) -> Result<VolumeState> {
        Ok(VolumeState {
            file_system: "host",
            version: None,
            label: String::new(),
            dirty: false,
            flags: 0,
            journal: Journal::None,
            hibernation: self.hibernation(),
            shadow_copies: self.shadow_copies(),
            remarks: Vec::new(),
        })
    }
}

/// The files and folders of one host, as volumes with files.
pub trait HostFiles: Send + Sync {
    /// Returns the folder `root` as the root of a volume.
    fn folder(&self, root: &Path) -> Arc<dyn Files>;

    /// Opens the file at `path`; follows links.
    ///
    /// # Errors
    /// I/O errors.
    fn file(&self, path: &Path) -> Result<FileInVolume>;

    /// Returns the bytes read of all files so far.
    fn bytes_read(&self) -> u64;
}

/// [`HostFiles`] of `H`.
pub struct FilesOf<H> {
    host: H,
    read: Arc<AtomicU64>,
}

impl<H: Host> FilesOf<H> {
    /// Makes the volumes of `host`.
    pub fn new(host: H) -> Self {
        FilesOf { host, read: Arc::default() }
    }
}

impl<H: Host> HostFiles for FilesOf<H> {
    fn folder(&self, root: &Path) -> Arc<dyn Files> {
        Arc::new(HostFolder { host: self.host.clone(), root: root.to_owned(), read: self.read.clone() })
    }

    fn file(&self, path: &Path) -> Result<FileInVolume> {
        open_file(&self.host, path, &self.read)
    }

    fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Opens the file of the host at `path` as a file of a volume; follows links. Bytes read of it are added to `read`.
///
/// # Errors
/// I/O errors.
fn open_file<H: Host>(host: &H, path: &Path, read: &Arc<AtomicU64>) -> Result<FileInVolume> {
    let file: Box<dyn Storage> = Box::new(host.open(path, Access::Read)?);
    let len = file.len()?;
    let mut extents = Extents::default();
    // A file of the host has at most 2^63 bytes.
    let _ = extents.push(Some(0), len);
    let facts = Facts { id: 0, len, valid_len: len, covered_len: len, links: 1, traits: Traits::default() };
    let file = Counting::into_total(file, read.clone());
    Ok(FileInVolume::new(Arc::new(file), facts, extents, None))
}

/// The first of 128 private-use characters; each represents a byte of a name that is not UTF-8 by its lower seven bits.
/// On Windows, these are the bytes of unpaired surrogates ([`OsStr::as_encoded_bytes`]).
const ESCAPE: u32 = 0xF780;
/// Represents a backslash, which separates names in paths of a volume and is an ordinary character in names of the
/// host.
const BACKSLASH: char = '\u{F05C}';

/// Returns the name of a file of the host as text. Bytes that are not UTF-8, and characters that represent such bytes,
/// become private-use characters, so that opening by that text finds the name again.
pub fn guest_name(name: &OsStr) -> String {
    let mut text = String::new();
    let escape = |text: &mut String, bytes: &[u8]| {
        text.extend(bytes.iter().filter_map(|&byte| char::from_u32(ESCAPE + u32::from(byte & 0x7f))));
    };
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push(BACKSLASH),
                BACKSLASH => escape(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                _ if (ESCAPE..ESCAPE + 0x80).contains(&u32::from(c)) => {
                    escape(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => text.push(c),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// Reverts [`guest_name`]. Text that it does not return is a name of its own.
fn host_name(name: &str) -> OsString {
    let mut bytes = Vec::with_capacity(name.len());
    for c in name.chars() {
        match u32::from(c).checked_sub(ESCAPE).and_then(|low| u8::try_from(low).ok()).filter(|low| *low < 0x80) {
            Some(low) => bytes.push(low | 0x80),
            None if c == BACKSLASH => bytes.push(b'\\'),
            None => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    from_encoded(bytes).unwrap_or_else(|| OsString::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_storage::RealHost;

    fn volume(root: &Path) -> HostFolder<RealHost> {
        HostFolder { host: RealHost, root: root.to_owned(), read: Arc::default() }
    }

    fn page(start: &[u8; 4]) -> Vec<u8> {
        let mut page = vec![0; 4096];
        page[..4].copy_from_slice(start);
        page
    }

    #[test]
    fn a_hibernated_windows_is_told_from_one_that_is_shut_down() {
        for (name, bytes, saved) in [
            ("hiberfil.sys", page(b"hibr"), Some(true)),
            ("HIBERFIL.SYS", page(b"HIBR"), Some(true)),
            ("hiberfil.sys", page(b"RSTR"), None),
            ("hiberfil.sys", b"wake".to_vec(), None),
            ("hiberfil.sys", Vec::new(), None),
            ("hiberfil.sys", page(b"wake"), Some(false)),
            ("hiberfil.sys", page(&[0; 4]), Some(false)),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), &bytes).unwrap();
            let state = volume(folder.path()).state().unwrap();
            assert_eq!(state.hibernation.is_saved(), saved, "{name} {:?}", bytes.get(..4));
        }
        let folder = tempfile::tempdir().unwrap();
        let volume = volume(folder.path());
        assert_eq!(volume.hibernation(), Hibernation::NoFile);
        // Of names that differ only in case, a host for which they are one name has one file.
        if cfg!(windows) {
            return;
        }
        // The worst of two counts; what is not a file is not known.
        std::fs::write(folder.path().join("hiberfil.sys"), page(b"wake")).unwrap();
        std::fs::create_dir(folder.path().join("HiberFil.sys")).unwrap();
        assert_eq!(volume.hibernation().is_saved(), None);
        std::fs::write(folder.path().join("Hiberfil.SYS"), page(b"hibr")).unwrap();
        assert_eq!(volume.hibernation(), Hibernation::Saved);
    }

    #[test]
    fn shadow_copies_are_counted_by_their_files() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(volume(folder.path()).shadow_copies(), Some(0));
        let of = folder.path().join(shadow_copies::FOLDER);
        std::fs::create_dir(&of).unwrap();
        for own in ["", "{600f0b69-5bdf-11e3-9d6c-005056c00008}", "{600f0b6d-5bdf-11e3-9d6c-005056c00008}"] {
            std::fs::write(of.join(format!("{own}{{3808876b-c176-4e48-b7ae-04046e6cc752}}")), "").unwrap();
        }
        assert_eq!(volume(folder.path()).shadow_copies(), Some(2));
    }

    #[test]
    fn files_are_found_whatever_the_case_and_two_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("WINDOWS/system32/Config")).unwrap();
        std::fs::write(folder.path().join("WINDOWS/system32/Config/system"), b"regf").unwrap();
        let volume = volume(folder.path());
        let path = r"\Windows\System32\config\SYSTEM";
        assert_eq!(volume.open(path).unwrap().unwrap().len().unwrap(), 4);
        assert!(volume.open(r"\Windows\nothing\config\SYSTEM").unwrap().is_none());
        assert_eq!(volume.open(r"\Windows").err().map(|error| error.code()), Some(Code::FileIsFolder));
        let made = std::fs::create_dir(folder.path().join("WINDOWS/System32"));
        assert!(made.is_ok() || cfg!(windows), "{made:?}");
        if std::fs::read_dir(folder.path().join("WINDOWS")).unwrap().count() == 2 {
            assert_eq!(volume.open(path).err().map(|error| error.code()), Some(Code::AmbiguousName));
        }
    }

    #[cfg(windows)]
    #[test]
    fn names_with_unpaired_surrogates_can_be_listed_and_opened() {
        use std::os::windows::ffi::OsStringExt;
        let folder = tempfile::tempdir().unwrap();
        let all = [&[0xd800, 0x57][..], &[0x57, 0xdfff], &[0xf780], &[0xf05c], &[0xe4], &[0xd83d, 0xde00]];
        for (number, units) in all.iter().enumerate() {
            let name = OsString::from_wide(units);
            assert_eq!(host_name(&guest_name(&name)), name);
            if std::fs::write(folder.path().join(&name), "x".repeat(number)).is_err() {
                // Wine keeps names as UTF-8.
                return hivewright_fixtures::skip::impossible("no unpaired surrogates in names");
            }
        }
        let volume = volume(folder.path());
        let names = volume.list("").unwrap().unwrap();
        assert_eq!(names.len(), all.len());
        for name in names {
            let number = usize::try_from(volume.open(&name.name).unwrap().unwrap().len().unwrap()).unwrap();
            assert_eq!(guest_name(&OsString::from_wide(all[number])), name.name);
        }
    }

    // Names of any bytes exist on Unix alone; there is a test for UTF-16.
    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf_8_can_be_listed_and_opened() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let all: [&[u8]; 6] =
            [b"\xffW\x80", "\u{F780}".as_bytes(), b"plain", "\u{e4}".as_bytes(), br"a\b", "\u{F05C}".as_bytes()];
        for name in all {
            std::fs::write(folder.path().join(OsStr::from_bytes(name)), name).unwrap();
            assert_eq!(host_name(&guest_name(OsStr::from_bytes(name))).as_bytes(), name);
        }
        let volume = volume(folder.path());
        let names = volume.list("").unwrap().unwrap();
        assert_eq!(names.len(), all.len());
        for name in names {
            let file = volume.open(&name.name).unwrap().unwrap();
            let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
            file.read_at(0, &mut bytes).unwrap();
            assert_eq!(guest_name(OsStr::from_bytes(&bytes)), name.name);
        }
    }
}
