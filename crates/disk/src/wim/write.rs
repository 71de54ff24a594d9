//! Replaces the contents of files: new data is appended, and the header is written last.
//!
//! 1. A resource for the contents of each file. Unchanged chunks are copied in their compressed form, others are stored
//!    uncompressed, because there is no compressor. A file of a solid resource is stored outside of it.
//! 2. The metadata of each image. Only the hash of the file changes, in all of its hard links. Chunks are copied in
//!    the same way.
//! 3. The blob table. The entry of the old contents remains, because another image may refer to it in spite of its
//!    count.
//! 4. The description, with the new sizes and the time of the change.
//! 5. The integrity table, if the archive has one. It covers the range from the header to the end of the blob table.
//!    The hashes of its pieces before the old blob table are copied.
//! 6. The header.
//!
//! Until the last step, the archive is the old one, with unreferenced bytes after its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::blobs::{self, COUNT_AT, ENTRY, Hash};
use super::decode::Compression;
use super::header::{self, BOOT_METADATA_AT, INTEGRITY_AT, Reference, TABLE_AT, XML_AT, resource_flags};
use super::metadata::{Metadata, attributes};
use super::resource::{Resource, placed, too_large};
use super::{Archive, Part, sha1};
use crate::little_endian::u32_at;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::{Storage, advised};
use sha1::{Digest, Sha1};

/// A file and its new contents.
#[derive(Clone, Copy, Debug)]
pub struct Replacement<'a> {
    /// The number of its image.
    pub image: u32,
    /// Its path in the image.
    pub path: &'a str,
    /// The new contents.
    pub bytes: &'a [u8],
}

/// A file to change, after its look-up.
struct Change<'a> {
    image: u32,
    bytes: &'a [u8],
    old: Hash,
    new: Hash,
    /// Location of its hash in the metadata of the image.
    places: Vec<usize>,
}

impl Archive {
    /// Replaces the contents of files. `time` is the time of the change for the description, in units of 100 ns since
    /// 1601; with `None`, the description keeps its time. The archive must then be opened again.
    ///
    /// # Errors
    /// The refusal of the archive, before any write; `wim-replace` if a path is not a regular file; damage of the
    /// archive; I/O errors.
    pub fn replace(&self, replacements: &[Replacement<'_>], time: Option<u64>) -> Result<()> {
        if let Some(refusal) = self.refusal() {
            return Err(Error::refused(refusal.code, refusal.what).advise(refusal.advice));
        }
        let changes = replacements.iter().map(|wanted| self.look_up(wanted)).collect::<Result<Vec<_>>>()?;
        let changes: Vec<Change<'_>> = changes.into_iter().filter(|change| change.old != change.new).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let Part { file, header, table } = self.first();
        let mut out = Appended { file, at: file.len()? };
        let mut table = table.bytes.clone();
        for change in &changes {
            self.append_blob(change, &mut table, &mut out)?;
        }
        let mut new_header = header.bytes;
        let mut images: BTreeMap<u32, Vec<&Change<'_>>> = BTreeMap::new();
        changes.iter().for_each(|change| images.entry(change.image).or_default().push(change));
        for (image, changes) in &images {
            let reference = self.append_metadata(*image, changes, &mut table, &mut out)?;
            if header.boot_image == *image && header.boot_metadata != Reference::default() {
                put(&mut new_header, BOOT_METADATA_AT, reference);
            }
        }
        let table_at = out.append(&table)?;
        let plain = |at: u64, len: usize| Reference {
            stored: len as u64,
            flags: resource_flags::METADATA,
            offset: at,
            len: len as u64,
        };
        let xml = self.new_xml(&images, out.at, time)?;
        put(&mut new_header, TABLE_AT, plain(table_at, table.len()));
        put(&mut new_header, XML_AT, plain(out.append(&xml)?, xml.len()));
        if self.has_integrity_table() {
            let integrity = self.new_integrity(table_at + table.len() as u64)?;
            let reference = Reference { flags: 0, ..plain(out.append(&integrity)?, integrity.len()) };
            put(&mut new_header, INTEGRITY_AT, reference);
        }
        file.flush()?;
        file.write_at(0, &new_header)?;
        file.flush()
    }

    fn look_up<'a>(&self, wanted: &Replacement<'a>) -> Result<Change<'a>> {
        let Replacement { image, path, bytes } = *wanted;
        let refused = |what: &str| Error::refused(Code::WimReplace, format!("{path} {what}"));
        let metadata = self.metadata(image)?;
        let entry = metadata.find(path)?.ok_or_else(|| refused("is no longer in the image"))?;
        if let Some(link) = entry.reparse(path) {
            return Err(link);
        }
        if entry.is_folder() || entry.has(attributes::ENCRYPTED) || entry.hash == Hash::default() {
            return Err(refused("is empty, encrypted or a folder"));
        }
        let mut places = vec![entry.hash_at];
        if entry.link_group != 0 {
            let links = metadata.links(entry.link_group)?;
            places.extend(links.iter().filter(|link| link.hash == entry.hash).map(|link| link.hash_at));
            places.sort_unstable();
            places.dedup();
        }
        Ok(Change { image, bytes, old: entry.hash, new: sha1(bytes), places })
    }

    /// Appends the new contents of a file, unless the archive has them already, and updates the entries of the old and
    /// new contents.
    fn append_blob(&self, change: &Change<'_>, table: &mut Vec<u8>, out: &mut Appended<'_>) -> Result<()> {
        let Part { file, header, table: old_table } = self.first();
        let uses = u32::try_from(change.places.len()).unwrap_or(u32::MAX);
        let (_, old) = self.find(&change.old)?;
        let old_bytes = self.unpack(&change.old)?;
        // Indexes of the old table are still valid: no entry is removed before the end.
        let known = find(table, &change.new);
        match known {
            Some(at) => add(table, at, |count| count.saturating_add(uses)),
            None => {
                let old_resource = if old.reference.has(resource_flags::SOLID) {
                    None
                } else {
                    Some(header.resource(&**file, old.reference)?)
                };
                let chunked = match (header.chunks(), &old_resource) {
                    (Some(chunks), Some(resource)) if resource.has_chunks(Some(chunks)) => {
                        Some(self.chunked(resource, &old_bytes, change.bytes, chunks)?)
                    }
                    _ => None,
                };
                let (stored, flags) = match &chunked {
                    Some(chunked) if chunked.len() < change.bytes.len() => (&chunked[..], resource_flags::COMPRESSED),
                    _ => (change.bytes, 0),
                };
                let offset = out.append(stored)?;
                let len = change.bytes.len() as u64;
                let reference = Reference { stored: stored.len() as u64, flags, offset, len };
                table.extend_from_slice(&blobs::entry(reference, uses, &change.new));
            }
        }
        if let Some(at) = old_table.find(&change.old).map(|entry| entry.number * ENTRY) {
            // Other images may refer to it in spite of its count, so it remains in the table.
            add(table, at, |count| count.saturating_sub(uses).max(1));
        }
        Ok(())
    }

    /// Appends the metadata of an image with the new hashes.
    fn append_metadata(
        &self,
        image: u32,
        changes: &[&Change<'_>],
        table: &mut [u8],
        out: &mut Appended<'_>,
    ) -> Result<Reference> {
        let Part { file, header, .. } = self.first();
        let metadata = self.metadata(image)?;
        let old = &metadata.bytes;
        let mut new = Vec::clone(old);
        for change in changes {
            for place in &change.places {
                new[*place..*place + change.new.len()].copy_from_slice(&change.new);
            }
        }
        // The new metadata is a tree, and every file has the expected hash.
        Metadata::new(Arc::new(new.clone()))?;
        let gone = || super::metadata::damaged("there is no such image", 0);
        let entry = self.metadata_entry(image).ok_or_else(gone)?;
        let resource = header.resource(&**file, entry.reference)?;
        let mut flags = entry.reference.flags;
        let stored = match header.chunks() {
            Some(chunks) => {
                flags |= resource_flags::COMPRESSED;
                self.chunked(&resource, old, &new, chunks)?
            }
            None => new.clone(),
        };
        let offset = out.append(&stored)?;
        let reference = Reference { stored: stored.len() as u64, flags, offset, len: new.len() as u64 };
        let at = entry.number * ENTRY;
        table[at..at + ENTRY].copy_from_slice(&blobs::entry(reference, entry.count, &sha1(&new)));
        Ok(reference)
    }

    /// Builds a resource in chunks with the contents `new`. Chunks that equal those of the old resource, whose
    /// contents are `old`, are copied.
    fn chunked(&self, resource: &Resource, old: &[u8], new: &[u8], chunks: (Compression, u32)) -> Result<Vec<u8>> {
        let file = &*self.first().file;
        let size = usize::try_from(chunks.1).unwrap_or(usize::MAX);
        let is_same = resource.has_chunks(Some(chunks));
        let mut all = Vec::new();
        let mut table = Vec::new();
        for (number, chunk) in new.chunks(size).enumerate() {
            if number > 0 {
                // 4 bytes each for less than 4 GiB.
                let at = (all.len() as u64).to_le_bytes();
                table.extend_from_slice(if new.len() >> 16 >> 16 == 0 { &at[..4] } else { &at });
            }
            let start = number * size;
            let before = old.get(start..old.len().min(start.saturating_add(size)));
            let taken = if is_same && before == Some(chunk) { resource.stored_chunk(file, number)? } else { None };
            all.extend_from_slice(taken.as_deref().unwrap_or(chunk));
        }
        table.extend_from_slice(&all);
        Ok(table)
    }

    /// Returns the new description of the archive, whose blob table ends at `end`.
    fn new_xml(&self, images: &BTreeMap<u32, Vec<&Change<'_>>>, end: u64, time: Option<u64>) -> Result<Vec<u8>> {
        let Part { file, header, .. } = self.first();
        let bytes = header.resource(&**file, header.xml)?.unpack(&**file)?;
        let mut xml = super::Xml::parse(&bytes)?;
        xml.set(None, "TOTALBYTES", &end.to_string());
        for (image, changes) in images {
            let (mut total, mut linked) = (0i128, 0i128);
            for change in changes {
                let grown = change.bytes.len() as i128 - i128::from(self.len_of(&change.old)?);
                let links = change.places.len() as i128;
                (total, linked) = (total + grown * links, linked + grown * (links - 1));
            }
            for (name, more) in [("TOTALBYTES", total), ("HARDLINKBYTES", linked)] {
                if let Some(before) = xml.number(*image, name).filter(|_| more != 0) {
                    xml.set(Some(*image), name, &(i128::from(before) + more).max(0).to_string());
                }
            }
            if let Some(time) = time {
                xml.set(Some(*image), "LASTMODIFICATIONTIME/HIGHPART", &format!("0x{:08X}", time >> 32));
                xml.set(Some(*image), "LASTMODIFICATIONTIME/LOWPART", &format!("0x{:08X}", time & 0xffff_ffff));
            }
        }
        Ok(xml.to_bytes())
    }

    /// Returns the integrity table of the archive whose blob table ends at `end`: its length, the number of hashes,
    /// the size of the pieces, and the hashes.
    fn new_integrity(&self, end: u64) -> Result<Vec<u8>> {
        const HEAD: usize = 12;
        const PIECE: usize = 1 << 20;
        let Part { file, header, .. } = self.first();
        let at = header.integrity.offset;
        let damaged = || {
            let what = "the integrity table of the archive is damaged";
            placed(Error::new(Kind::Corrupt, Code::WimTable, what), &**file, at)
                .advise(format!("edit an exported copy, which has a new table: {}", advised::EXPORT_WIM))
        };
        let old = Resource::open(&**file, header.integrity, None, false)?;
        if old.len > blobs::MOST_BYTES {
            return Err(damaged());
        }
        let old = old.unpack(&**file)?;
        let (len, count, size) = (u32_at(&old, 0), u32_at(&old, 4), u64::from(u32_at(&old, 8)));
        let first = header::SIZE as u64;
        let old_end = header.table.offset.saturating_add(header.table.stored);
        let covered = old_end.checked_sub(first).ok_or_else(damaged)?;
        let hashes = old.get(HEAD..).unwrap_or_default().as_chunks::<20>().0;
        if size == 0
            || len as usize != old.len()
            || count as usize != hashes.len()
            || covered.div_ceil(size) != u64::from(count)
        {
            return Err(damaged());
        }
        // Complete pieces before the old blob table are unchanged.
        let kept = usize::try_from(covered / size).map_err(|_| damaged())?;
        let mut all: Vec<u8> = hashes.iter().take(kept).flatten().copied().collect();
        let mut at = first + kept as u64 * size;
        let mut bytes = vec![0; PIECE];
        while at < end {
            let until = end.min(at + size);
            let mut hash = Sha1::new();
            while at < until {
                let piece = &mut bytes[..usize::try_from(until - at).map_or(PIECE, |left| left.min(PIECE))];
                file.read_at(at, piece)?;
                hash.update(&*piece);
                at += piece.len() as u64;
            }
            all.extend_from_slice(&hash.finalize());
        }
        let numbers = [HEAD + all.len(), all.len() / 20].map(|number| u32::try_from(number).map_err(|_| damaged()));
        let [len, count] = numbers;
        let head = [len?, count?, u32_at(&old, 8)].map(u32::to_le_bytes);
        Ok([head.as_flattened(), &all].concat())
    }
}

/// Appends runs of bytes.
struct Appended<'a> {
    file: &'a Arc<dyn Storage>,
    at: u64,
}

impl Appended<'_> {
    /// Appends bytes and returns their offset.
    fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let at = self.at;
        self.at = at.checked_add(bytes.len() as u64).ok_or_else(|| too_large(&**self.file, u64::MAX, at))?;
        self.file.set_len(self.at)?;
        self.file.write_at(at, bytes)?;
        Ok(at)
    }
}

fn put(header: &mut [u8; header::SIZE], at: usize, reference: Reference) {
    header[at..at + Reference::SIZE].copy_from_slice(&reference.to_bytes());
}

/// Returns the range of the entry of a blob in the bytes of a table.
fn find(table: &[u8], hash: &Hash) -> Option<usize> {
    let table = blobs::Table::new(table.to_vec()).ok()?;
    table.find(hash).map(|entry| entry.number * ENTRY)
}

/// Changes the reference count of an entry.
fn add(table: &mut [u8], at: usize, change: impl FnOnce(u32) -> u32) {
    let count = change(u32_at(table, at + COUNT_AT));
    table[at + COUNT_AT..at + COUNT_AT + 4].copy_from_slice(&count.to_le_bytes());
}
