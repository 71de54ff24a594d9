//! WIM archives, including ESD files: the images from which Windows is installed.
//!
//! An archive has images, each a tree of files that was captured from a volume. The images share the contents of
//! files, which are identified by their SHA-1. An [`Archive`] is opened from its file, or from all parts of a split
//! archive. Each image implements [`Files`](crate::files::Files). The first read of a file unpacks it completely and
//! checks its hash.
//!
//! [`Archive::replace`] replaces the contents of files. It appends the new data and writes the header last: see [`write`].

mod blobs;
pub mod decode;
mod header;
mod image;
mod metadata;
mod resource;
mod unpacked;
mod write;
mod xml;

pub(crate) use header::{MAGIC, PIPABLE_MAGIC};
pub use image::WimImage;
pub use unpacked::Unpacked;
pub use write::Replacement;
pub use xml::Described;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(test)]
use crate::little_endian::u64_at;
use blobs::{Entry, Hash, Table};
use decode::Compression;
use header::{Header, Reference, flags, resource_flags};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::{Storage, advised};
use metadata::Metadata;
use resource::Resource;
use sha1::{Digest, Sha1};
use xml::Xml;

use crate::container::Refusal;
use crate::files::Packed;
use crate::partition;

/// Bytes of the header of an archive, at its start.
pub const HEADER_SIZE: u64 = header::SIZE as u64;
/// Maximum size of the metadata of an image, and of an unpacked file, in bytes.
const MOST_METADATA: u64 = 512 << 20;
const MOST_FILE: u64 = 2 << 30;
/// Maximum size of an unpacked piece of a solid resource that is cached for the next file, in bytes.
const MOST_KEPT: usize = 64 << 20;
/// Maximum number of images. An archive of Windows has about twenty.
const MOST_IMAGES: u32 = 4096;

/// An archive. All users of one opening share it.
pub struct Archive {
    parts: Vec<Part>,
    xml: Xml,
    /// The metadata of the image that was read last.
    metadata: Mutex<Option<(u32, Arc<Metadata>)>>,
    unpacked: Unpacked,
    /// The last unpacked piece of a solid resource.
    solid: Mutex<Option<(SolidPiece, Arc<Vec<u8>>)>>,
}

/// The part, the offset of a solid resource in it, and the number of a piece.
type SolidPiece = (usize, u64, u64);

/// One file of an archive.
struct Part {
    file: Arc<dyn Storage>,
    header: Header,
    table: Table,
}

/// The part of an archive that a file holds, according to its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// The identifier of the archive.
    pub guid: [u8; 16],
    /// The number of the part, from 1.
    pub number: u16,
    /// The number of parts.
    pub count: u16,
}

impl PartOf {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// `wim-header`, `wim-version`; I/O errors.
    pub fn read(file: &dyn Storage) -> Result<Self> {
        let Header { guid, part, parts, .. } = Header::read(file)?;
        Ok(PartOf { guid, number: part, count: parts })
    }
}

impl Part {
    fn open(file: Arc<dyn Storage>) -> Result<Self> {
        let header = Header::read(&*file)?;
        let reference = header.table;
        if reference.len > blobs::MOST_BYTES {
            return Err(resource::too_large(&*file, reference.len, reference.offset));
        }
        let bytes = header.resource(&*file, reference)?.unpack(&*file)?;
        let table = Table::new(bytes).map_err(|error| resource::placed(error, &*file, reference.offset))?;
        Ok(Part { table, file, header })
    }
}

impl Header {
    /// Returns the compression of resources, and the size of their chunks.
    fn chunks(&self) -> Option<(Compression, u32)> {
        self.compression.map(|compression| (compression, self.chunk_size))
    }

    fn resource(&self, file: &dyn Storage, reference: Reference) -> Result<Resource> {
        Resource::open(file, reference, self.chunks(), self.is_pipable)
    }
}

impl Archive {
    /// Opens an archive. `files` are all of its parts, in their order.
    ///
    /// # Errors
    /// `wim-header`, `wim-version`, `wim-parts`, `wim-table`, `wim-xml`, `wim-encrypted`; I/O errors.
    pub fn open(files: Vec<Arc<dyn Storage>>) -> Result<Arc<Archive>> {
        Self::open_sharing(files, Unpacked::default())
    }

    /// Opens an archive with the unpacked bytes of other openings. See [`Archive::open`].
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn open_sharing(files: Vec<Arc<dyn Storage>>, unpacked: Unpacked) -> Result<Arc<Archive>> {
        let parts = files.into_iter().map(Part::open).collect::<Result<Vec<_>>>()?;
        let first = parts.first().ok_or_else(|| foreign("there is none"))?;
        let is_right = |(number, part): (u16, &Part)| {
            let Header { guid, part: own, parts: count, .. } = part.header;
            guid == first.header.guid && own == number && usize::from(count) == parts.len()
        };
        if !(1..).zip(&parts).all(is_right) {
            return Err(foreign("the files are not the parts of one archive in order"));
        }
        let Header { xml: reference, images, .. } = first.header;
        if images > MOST_IMAGES || images as usize != first.table.metadata.len() {
            let what = "the number of images differs from the number in the header";
            let error = Error::new(Kind::Corrupt, Code::WimTable, what).expected(images, first.table.metadata.len());
            return Err(resource::placed(error, &*first.file, first.header.table.offset));
        }
        if reference.len > xml::MOST_BYTES {
            return Err(resource::too_large(&*first.file, reference.len, reference.offset));
        }
        let text = first.header.resource(&*first.file, reference)?.unpack(&*first.file)?;
        let xml = Xml::parse(&text).map_err(|error| resource::placed(error, &*first.file, reference.offset))?;
        Ok(Arc::new(Archive { xml, parts, metadata: Mutex::default(), unpacked, solid: Mutex::default() }))
    }

    /// Returns the cache of unpacked bytes, for other openings.
    pub fn unpacked(&self) -> &Unpacked {
        &self.unpacked
    }

    /// Returns a table with the images as volumes, instead of partitions. `size` is the total size of the files of the
    /// archive.
    pub fn table(&self, size: u64) -> partition::Table {
        let image = |number: u32| {
            let (offset, stored) = self.place(number).unwrap_or_default();
            partition::Partition::of_image(number, offset, stored, self.described(number))
        };
        partition::Table::of_images(size, (1..=self.images()).map(image).collect())
    }

    /// Returns the number of images. They are counted from 1.
    pub fn images(&self) -> u32 {
        self.first().header.images
    }

    /// Returns the description of an image.
    pub fn described(&self, image: u32) -> Described {
        self.xml.image(image)
    }

    /// Returns the offset of the metadata of an image in the first part, and its stored size.
    fn place(&self, image: u32) -> Option<(u64, u64)> {
        let reference = self.metadata_entry(image)?.reference;
        Some((reference.offset, reference.stored))
    }

    /// Returns the name of the compression.
    pub fn compression(&self) -> String {
        let header = &self.first().header;
        let name = match header.compression {
            None => return "no compression".to_owned(),
            Some(Compression::Xpress) => "XPRESS",
            Some(Compression::Lzx) => "LZX",
            Some(Compression::Lzms) => "LZMS",
        };
        let solid = if self.parts.iter().any(|part| part.table.has_solids()) { ", solid" } else { "" };
        format!("{name} in chunks of {} KiB{solid}", header.chunk_size >> 10)
    }

    /// Returns whether the archive has an integrity table, which has hashes of all bytes.
    pub fn has_integrity_table(&self) -> bool {
        self.first().header.integrity.offset != 0
    }

    /// Returns the reason why the archive cannot be written; `None` if it can.
    pub fn refusal(&self) -> Option<Refusal> {
        let header = &self.first().header;
        let join = format!("join its parts and edit the whole: {}", advised::JOIN_WIM);
        let copy = format!("edit an exported copy: {}", advised::EXPORT_WIM);
        let wait =
            format!("wait until that program ends; if none is running, edit an exported copy: {}", advised::EXPORT_WIM);
        let all = [
            (
                self.parts.len() > 1 || header.has(flags::SPANNED),
                Code::WimSplit,
                "the archive is split into parts",
                join,
            ),
            (header.is_pipable, Code::WimPipable, "the archive is pipable", copy.clone()),
            (
                header.has(flags::WRITE_IN_PROGRESS),
                Code::WimUnfinished,
                "another program is writing to the archive, or was interrupted while it did",
                wait,
            ),
            (header.has(flags::READ_ONLY), Code::WimReadOnly, "the archive is marked as read-only", copy),
        ];
        let found = all.into_iter().find(|(is, ..)| *is);
        found.map(|(_, code, what, advice)| Refusal { code, what: what.to_owned(), advice })
    }

    /// Opens an image.
    ///
    /// # Errors
    /// `no-image`.
    pub fn image(self: &Arc<Self>, number: u32) -> Result<WimImage> {
        if self.metadata_entry(number).is_none() {
            let what = format!("the archive has no image {number}");
            return Err(Error::new(Kind::NotFound, Code::NoImage, what));
        }
        Ok(WimImage::new(self.clone(), number))
    }

    fn first(&self) -> &Part {
        // `open` has checked that it exists.
        &self.parts[0]
    }

    fn metadata_entry(&self, image: u32) -> Option<Entry> {
        let table = &self.first().table;
        table.entry(*table.metadata.get(usize::try_from(image).ok()?.checked_sub(1)?)?)
    }

    /// Reads the metadata of an image.
    fn metadata(&self, image: u32) -> Result<Arc<Metadata>> {
        let mut kept = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, metadata)) = kept.as_ref().filter(|(number, _)| *number == image) {
            return Ok(metadata.clone());
        }
        let entry = self.metadata_entry(image).ok_or_else(|| metadata::damaged("there is no such image", 0))?;
        let Part { file, header, .. } = self.first();
        let at = entry.reference.offset;
        if entry.reference.len > MOST_METADATA {
            return Err(resource::too_large(&**file, entry.reference.len, at));
        }
        let bytes = self.unpacked.get(&entry.hash, || {
            let (bytes, found) = unpack_hashed(&header.resource(&**file, entry.reference)?, &**file)?;
            expect_hash(&**file, &found, &entry.hash, at).map(|()| bytes)
        })?;
        let metadata = Arc::new(Metadata::new(bytes)?);
        *kept = Some((image, metadata.clone()));
        Ok(metadata)
    }

    /// Finds the blob with a hash: its part, and its entry in the blob table of that part.
    fn find(&self, hash: &Hash) -> Result<(usize, Entry)> {
        let found = self.parts.iter().enumerate().find_map(|(i, part)| Some((i, part.table.find(hash)?)));
        found.ok_or_else(|| {
            let what = "the archive does not contain the data of the file: it is a delta archive";
            Error::new(Kind::Unsupported, Code::WimBlobMissing, what)
                .advise(format!("export it with the archive on which it is based: {}", advised::EXPORT_DELTA))
        })
    }

    /// Returns the size of the file with that hash in bytes.
    fn len_of(&self, hash: &Hash) -> Result<u64> {
        let (_, entry) = self.find(hash)?;
        Ok(entry.blob_len())
    }

    /// Returns the place of the file with a hash.
    fn packed(&self, hash: &Hash) -> Option<Packed> {
        let (part, Entry { number, reference, count: uses, .. }) = self.find(hash).ok()?;
        if !reference.has(resource_flags::SOLID) {
            return Some(Packed { offset: reference.offset, len: Some(reference.stored), uses });
        }
        let solid = self.parts[part].table.solids(number).next()?;
        Some(Packed { offset: solid.reference.offset, len: None, uses })
    }

    /// Returns the contents of the file with that hash.
    fn unpack(&self, hash: &Hash) -> Result<Arc<Vec<u8>>> {
        let (part, entry) = self.find(hash)?;
        let at = entry.reference.offset;
        if entry.blob_len() > MOST_FILE {
            return Err(resource::too_large(&*self.parts[part].file, entry.blob_len(), at));
        }
        let Part { file, header, .. } = &self.parts[part];
        self.unpacked.get(hash, || {
            let (bytes, found) = if entry.reference.has(resource_flags::SOLID) {
                let bytes = self.unpack_solid(part, entry)?;
                let found = sha1(&bytes);
                (bytes, found)
            } else {
                unpack_hashed(&header.resource(&**file, entry.reference)?, &**file)?
            };
            expect_hash(&**file, &found, hash, at).map(|()| bytes)
        })
    }

    /// Extracts the bytes of a blob from the solid resources of its run.
    fn unpack_solid(&self, part: usize, entry: Entry) -> Result<Vec<u8>> {
        let Part { file, table, .. } = &self.parts[part];
        let Reference { offset, stored: len, .. } = entry.reference;
        let end =
            offset.checked_add(len).ok_or_else(|| resource::damaged(&**file, "the end of a blob exceeds 2^64", 0))?;
        let mut bytes = Vec::new();
        let mut start = 0u64;
        for solid in table.solids(entry.number) {
            let Reference { offset: at, stored, .. } = solid.reference;
            let resource = Resource::open_solid(&**file, at, stored)?;
            // The blob begins at `start`.
            let mut next = offset + bytes.len() as u64;
            let own_end = start.saturating_add(resource.len).min(end);
            while next >= start && next < own_end {
                let number = (next - start) / resource.unit();
                let piece = self.solid_piece((part, at, number), &resource)?;
                // Both are at most the length of the piece.
                let from = usize::try_from((next - start) % resource.unit()).unwrap_or(usize::MAX);
                let until = usize::try_from(own_end - start - number * resource.unit()).unwrap_or(usize::MAX);
                let taken = piece.get(from..until.min(piece.len())).filter(|taken| !taken.is_empty());
                bytes.extend_from_slice(
                    taken.ok_or_else(|| resource::damaged(&**file, "a solid resource ends early", at))?,
                );
                next = offset + bytes.len() as u64;
            }
            start = start.saturating_add(resource.len);
        }
        if bytes.len() as u64 == len {
            return Ok(bytes);
        }
        Err(resource::damaged(&**file, "a blob exceeds its solid resource", 0).expected(len, bytes.len()))
    }

    fn solid_piece(&self, wanted: SolidPiece, resource: &Resource) -> Result<Arc<Vec<u8>>> {
        let mut kept = self.solid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, piece)) = kept.as_ref().filter(|(piece, _)| *piece == wanted) {
            return Ok(piece.clone());
        }
        *kept = None;
        let piece = Arc::new(resource.unpack_unit(&*self.parts[wanted.0].file, wanted.2)?);
        if piece.len() <= MOST_KEPT {
            *kept = Some((wanted, piece.clone()));
        }
        Ok(piece)
    }
}

impl Entry {
    /// Size of the unpacked file in bytes.
    fn blob_len(&self) -> u64 {
        if self.reference.has(resource_flags::SOLID) { self.reference.stored } else { self.reference.len }
    }
}

fn sha1(bytes: &[u8]) -> Hash {
    Sha1::digest(bytes).into()
}

/// Unpacks a resource, and computes its hash in parallel.
fn unpack_hashed(resource: &Resource, file: &dyn Storage) -> Result<(Vec<u8>, Hash)> {
    let mut hash = Sha1::new();
    let bytes = resource.unpack_through(file, |piece| hash.update(piece))?;
    Ok((bytes, hash.finalize().into()))
}

fn expect_hash(file: &dyn Storage, found: &Hash, hash: &Hash, at: u64) -> Result<()> {
    if found == hash {
        return Ok(());
    }
    let hex = hivewright_storage::hex::encode;
    let what = "the archive is damaged: the data does not match its stored hash";
    let error = Error::new(Kind::Corrupt, Code::WimHash, what)
        .expected(hex(hash), hex(found))
        .advise(format!("copy it again from its source; to list all damage: {}", advised::VERIFY_WIM));
    Err(resource::placed(error, file, at))
}

/// Returns the error for files that are not parts of one archive.
fn foreign(what: &str) -> Error {
    Error::new(Kind::Corrupt, Code::WimParts, what)
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("header", &self.first().header).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
