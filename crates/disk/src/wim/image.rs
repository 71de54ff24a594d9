//! An image of an archive as a volume with files.

use std::sync::{Arc, OnceLock};

use super::Archive;
use super::blobs::Hash;
use super::metadata::{Entry, attributes};
use crate::files::{
    Contents, DirEntry, Extents, Facts, FileInVolume, Files, Hibernation, Journal, MAX_ENTRIES, Packed, Traits,
    VolumeState, hibernation,
};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;

/// An image of an archive.
pub struct WimImage {
    archive: Arc<Archive>,
    number: u32,
}

impl WimImage {
    pub(super) fn new(archive: Arc<Archive>, number: u32) -> Self {
        WimImage { archive, number }
    }

    fn file(&self, entry: &Entry) -> Result<FileInVolume> {
        let len = if entry.hash == Hash::default() { 0 } else { self.archive.len_of(&entry.hash)? };
        let is_encrypted = entry.has(attributes::ENCRYPTED);
        let facts = Facts {
            id: entry.at as u64,
            len,
            valid_len: len,
            covered_len: 0,
            links: 1,
            traits: Traits { encrypted: is_encrypted, ..Traits::default() },
        };
        let contents = Blob { archive: self.archive.clone(), hash: entry.hash, bytes: OnceLock::new() };
        let below = self.archive.first().file.clone();
        Ok(FileInVolume::new(below, facts, Extents::default(), Some(Box::new(contents))))
    }

    fn hibernation(&self) -> Hibernation {
        match self.open(hibernation::FILE) {
            Ok(None) => Hibernation::NoFile,
            Ok(Some(file)) => Hibernation::of(Ok(file.facts().len), |first| file.read_at(0, first)),
            Err(error) => Hibernation::unreadable(&error),
        }
    }
}

/// The contents of a file.
struct Blob {
    archive: Arc<Archive>,
    hash: Hash,
    /// The unpacked bytes, after the first read.
    bytes: OnceLock<Arc<Vec<u8>>>,
}

impl Contents for Blob {
    fn read_at(&self, file: &dyn Storage, offset: u64, buf: &mut [u8]) -> Result<()> {
        let bytes = match self.bytes.get() {
            Some(bytes) => bytes,
            None => {
                let bytes = self.archive.unpack(&self.hash)?;
                self.bytes.get_or_init(|| bytes)
            }
        };
        let wanted = usize::try_from(offset).ok().and_then(|start| bytes.get(start..)?.get(..buf.len()));
        buf.copy_from_slice(
            wanted
                .ok_or_else(|| super::resource::damaged(file, "the data of the file is shorter than its length", 0))?,
        );
        Ok(())
    }

    fn packed(&self) -> Option<Packed> {
        self.archive.packed(&self.hash)
    }
}

impl Files for WimImage {
    fn open(&self, path: &str) -> Result<Option<FileInVolume>> {
        let Some(entry) = self.archive.metadata(self.number)?.find(path)? else { return Ok(None) };
        if let Some(link) = entry.reparse(path) {
            return Err(link);
        }
        if entry.is_folder() {
            let what = format!("{path} is a folder");
            return Err(Error::new(Kind::NotFound, Code::FileIsFolder, what).at(Space::Volume, entry.at as u64));
        }
        self.file(&entry).map(Some).map_err(|error| error.about(path))
    }

    fn list(&self, path: &str) -> Result<Option<Vec<DirEntry>>> {
        let metadata = self.archive.metadata(self.number)?;
        let Some(folder) = metadata.find(path)?.filter(Entry::is_folder) else { return Ok(None) };
        if let Some(link) = folder.reparse(path) {
            return Err(link);
        }
        let mut entries = Vec::new();
        for entry in metadata.entries(&folder) {
            if entries.len() == MAX_ENTRIES {
                let what = "the folder has too many entries";
                return Err(
                    Error::new(Kind::Unsupported, Code::FolderTooLarge, what).at(Space::Volume, folder.at as u64)
                );
            }
            let entry = entry?;
            entries.push(DirEntry {
                name: String::from_utf16_lossy(&entry.name),
                id: entry.at as u64,
                is_folder: entry.is_folder(),
                is_reparse: entry.has(attributes::REPARSE_POINT) && entry.reparse("").is_some(),
                // Entries of folders do not have the size; the blob table does.
                len: 0,
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(entries))
    }

    fn replaces_files(&self) -> bool {
        true
    }

    fn state(&self) -> Result<VolumeState> {
        let described = self.archive.described(self.number);
        Ok(VolumeState {
            file_system: "WIM",
            version: None,
            label: described.name.unwrap_or_default(),
            dirty: false,
            flags: 0,
            journal: Journal::None,
            hibernation: self.hibernation(),
            shadow_copies: Some(0),
            remarks: Vec::new(),
        })
    }
}
