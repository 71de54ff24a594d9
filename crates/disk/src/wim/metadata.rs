//! The metadata of an image: security descriptors, then the tree of folders.
//!
//! The descriptors begin with their total length (4 bytes). The entry of the root follows at the next multiple of 8.
//! The entries of a folder are adjacent, each at a multiple of 8; a length of 0 ends them.
//!
//! | bytes | entry |
//! |---:|---|
//! | 0 | bytes of the entry, without its streams |
//! | 8 | attributes |
//! | 12 | number of its security descriptor |
//! | 16 | offset of the entries of the folder; 0 for none |
//! | 40 | times of creation, of the last access and of the last write, 8 bytes each |
//! | 64 | hash of the contents; zeros for none, or if a stream has it |
//! | 88 | tag of a reparse point; else, 8 bytes, the group of hard links, 0 for none |
//! | 96 | number of streams that follow |
//! | 98 | size of the short name in bytes |
//! | 100 | size of the name in bytes |
//! | 102 | the name in UTF-16, then two zeros if it has any, and the short name |
//!
//! A stream has its length at 0, its hash at 16, the size of its name at 36, and its name after that. The stream
//! without a name is the contents of the file.

use std::sync::Arc;

use super::blobs::Hash;
use crate::files::{names, reparse};
use crate::little_endian::{u16_at, u32_at, u64_at};
use hivewright_error::{Code, Error, Kind, Result, Space};

/// Bytes of an entry without names.
const ENTRY: usize = 102;
/// Bytes of a stream without its name.
const STREAM: usize = 38;
/// Offset of the hash in an entry, and in a stream.
const HASH_AT: usize = 64;
const STREAM_HASH_AT: usize = 16;

/// Attributes of files (\[MS-FSCC\] 2.6).
pub(super) mod attributes {
    pub(in crate::wim) const DIRECTORY: u32 = 0x10;
    pub(in crate::wim) const REPARSE_POINT: u32 = 0x400;
    pub(in crate::wim) const ENCRYPTED: u32 = 0x4000;
}

/// The metadata of an image.
pub(super) struct Metadata {
    pub(super) bytes: Arc<Vec<u8>>,
    root: usize,
}

/// An entry of a folder.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Offset in the metadata.
    pub(super) at: usize,
    /// Offset of the next entry of the folder.
    end: usize,
    pub(super) attributes: u32,
    subfolder: usize,
    /// The tag of a reparse point.
    pub(super) reparse_tag: u32,
    /// The group of hard links; 0 for none and for reparse points.
    pub(super) link_group: u64,
    pub(super) name: Vec<u16>,
    short_name: Vec<u16>,
    /// Offset of the hash of the contents.
    pub(super) hash_at: usize,
    /// The hash of the contents; zeros for none.
    pub(super) hash: Hash,
}

impl Entry {
    pub(super) fn has(&self, attribute: u32) -> bool {
        self.attributes & attribute != 0
    }

    pub(super) fn is_folder(&self) -> bool {
        self.has(attributes::DIRECTORY)
    }

    /// Returns the error for a link, or for a file whose contents a filter driver of Windows makes; `None` for other
    /// entries.
    pub(super) fn reparse(&self, path: &str) -> Option<Error> {
        let error = if self.has(attributes::REPARSE_POINT) {
            reparse::refusal(path, self.reparse_tag, self.is_folder())
        } else {
            None
        };
        error.map(|error| error.at(Space::Volume, self.at as u64))
    }

    /// Returns whether the entry has the name, without regard to case.
    fn is_called(&self, name: &[u16]) -> bool {
        let same = |own: &[u16]| {
            own.len() == name.len() && own.iter().zip(name).all(|(a, b)| a == b || upcase(*a) == upcase(*b))
        };
        same(&self.name) || !self.short_name.is_empty() && same(&self.short_name)
    }
}

/// Returns the upper case of a code unit, if it is one unit.
fn upcase(unit: u16) -> u16 {
    let Some(letter) = char::from_u32(u32::from(unit)) else { return unit };
    let mut capital = letter.to_uppercase();
    match (capital.next(), capital.next()) {
        (Some(capital), None) => u16::try_from(u32::from(capital)).unwrap_or(unit),
        _ => unit,
    }
}

impl Metadata {
    /// Parses the metadata.
    ///
    /// # Errors
    /// `wim-metadata`: the root is missing.
    pub(super) fn new(bytes: Arc<Vec<u8>>) -> Result<Self> {
        let security = u32_at(&bytes, 0).max(8) as usize;
        let root = security
            .checked_next_multiple_of(8)
            .ok_or_else(|| damaged("the table of security descriptors has no end", 0))?;
        let metadata = Metadata { bytes, root };
        match metadata.entry(root)? {
            Some(root) if root.is_folder() => Ok(metadata),
            _ => Err(damaged("the image has no root folder", root)),
        }
    }

    /// Reads the entry at an offset. Returns `None` at the end of a folder.
    fn entry(&self, at: usize) -> Result<Option<Entry>> {
        let cut = || damaged("a folder entry exceeds the metadata", at);
        let whole = self.bytes.get(at..).ok_or_else(cut)?;
        let len = u64_at(whole, 0);
        // Some writers end a folder with an entry of 8 bytes; the end of the metadata ends it too.
        if len <= 8 {
            return Ok(None);
        }
        let len = usize::try_from(len).map_err(|_| cut())?;
        let own = whole.get(..len).filter(|own| own.len() >= ENTRY).ok_or_else(cut)?;
        let (short_len, name_len) = (usize::from(u16_at(own, 98)), usize::from(u16_at(own, 100)));
        let name_end = ENTRY + name_len;
        let short_at = if name_len > 0 { name_end + 2 } else { name_end };
        let name = own.get(ENTRY..name_end).ok_or_else(cut)?;
        let short_name = if short_len > 0 { own.get(short_at..short_at + short_len).ok_or_else(cut)? } else { &[] };
        let attributes = u32_at(own, 8);
        let is_reparse = attributes & attributes::REPARSE_POINT != 0;
        let mut entry = Entry {
            at,
            end: at + len,
            attributes,
            subfolder: usize::try_from(u64_at(own, 16)).map_err(|_| cut())?,
            reparse_tag: if is_reparse { u32_at(own, 88) } else { 0 },
            link_group: if is_reparse { 0 } else { u64_at(own, 88) },
            name: units(name),
            short_name: units(short_name),
            hash_at: at + HASH_AT,
            hash: hash_at(own, HASH_AT),
        };
        let mut next = at.checked_add(len).and_then(|end| end.checked_next_multiple_of(8)).ok_or_else(cut)?;
        for _ in 0..u16_at(own, 96) {
            let stream = self.bytes.get(next..).ok_or_else(cut)?;
            let len = usize::try_from(u64_at(stream, 0)).map_err(|_| cut())?;
            if len < STREAM || len > stream.len() {
                return Err(cut());
            }
            if u16_at(stream, 36) == 0 && entry.hash == Hash::default() {
                (entry.hash_at, entry.hash) = (next + STREAM_HASH_AT, hash_at(stream, STREAM_HASH_AT));
            }
            next = (next + len).checked_next_multiple_of(8).ok_or_else(cut)?;
        }
        entry.end = next;
        Ok(Some(entry))
    }

    /// Returns an iterator over the entries of a folder.
    pub(super) fn entries(&self, folder: &Entry) -> impl Iterator<Item = Result<Entry>> {
        // No entry begins there: the security descriptors precede the root.
        let mut at = if folder.is_folder() { folder.subfolder } else { 0 };
        std::iter::from_fn(move || {
            if at <= self.root || at >= self.bytes.len() {
                return None;
            }
            let entry = self.entry(at).transpose()?;
            at = entry.as_ref().map_or(usize::MAX, |entry| entry.end);
            Some(entry)
        })
    }

    /// Returns the root folder.
    pub(super) fn root(&self) -> Result<Entry> {
        self.entry(self.root)?.ok_or_else(|| damaged("the image has no root folder", self.root))
    }

    /// Finds the entry at a path. `None` if a name of the path does not exist, or is not a folder.
    ///
    /// # Errors
    /// `wim-metadata`; `file-reparse` if the path leads through a link.
    pub(super) fn find(&self, path: &str) -> Result<Option<Entry>> {
        let mut at = self.root()?;
        let mut so_far = String::new();
        for name in names(path) {
            if let Some(link) = at.reparse(&so_far) {
                return Err(link);
            }
            so_far.extend(["\\", name]);
            let units: Vec<u16> = name.encode_utf16().collect();
            let found = self.entries(&at).find(|entry| !entry.as_ref().is_ok_and(|entry| !entry.is_called(&units)));
            let Some(found) = found.transpose()? else { return Ok(None) };
            at = found;
        }
        Ok(Some(at))
    }

    /// Returns all entries of a group of hard links.
    ///
    /// # Errors
    /// `wim-metadata`; also if folders share entries, so that there are more entries than fit into the metadata.
    pub(super) fn links(&self, group: u64) -> Result<Vec<Entry>> {
        let (mut found, mut seen) = (Vec::new(), 0);
        let mut rest = vec![self.root()?];
        while let Some(folder) = rest.pop() {
            for entry in self.entries(&folder) {
                let entry = entry?;
                seen += 1;
                if seen > self.bytes.len() / ENTRY {
                    return Err(damaged("the folder tree is a cycle", entry.at));
                }
                if entry.is_folder() {
                    rest.push(entry);
                } else if entry.link_group == group && !entry.has(attributes::REPARSE_POINT) {
                    found.push(entry);
                }
            }
        }
        Ok(found)
    }
}

fn hash_at(bytes: &[u8], at: usize) -> Hash {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default()
}

fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect()
}

pub(super) fn damaged(what: &str, at: usize) -> Error {
    Error::new(Kind::Corrupt, Code::WimMetadata, what).at(Space::Volume, at as u64)
}
