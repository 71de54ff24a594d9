//! The blob table: the location of the contents of each file, by SHA-1.
//!
//! An entry has 50 bytes: the reference to the resource, the number of the part (2 bytes), the reference count (4
//! bytes), and the hash. The metadata resources, one for each image, are in the order of the images.
//!
//! Entries of solid resources are adjacent and form runs. In a run, entries with the unpacked length 2^32 describe
//! solid resources, with their offset and stored length. The other entries describe blobs: the offset counts in the
//! concatenated bytes of all resources of the run, and the stored length is the length of the blob.

use std::ops::Range;

use super::header::{Reference, resource_flags};
use crate::little_endian::{u16_at, u32_at};
use hivewright_error::{Code, Error, Kind, Result};

/// A SHA-1.
pub(super) type Hash = [u8; 20];

/// Bytes of an entry.
pub(super) const ENTRY: usize = 50;
/// Offset of the reference count in an entry.
pub(super) const COUNT_AT: usize = 26;
/// Offset of the hash in an entry.
const HASH_AT: usize = 30;
/// Maximum size of a table in bytes: five million entries.
pub(super) const MOST_BYTES: u64 = 250 << 20;
/// The unpacked length in an entry of a solid resource.
const SOLID_LEN: u64 = 1 << 32;

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its index in the table.
    pub(super) number: usize,
    pub(super) reference: Reference,
    pub(super) part: u16,
    /// The reference count.
    pub(super) count: u32,
    pub(super) hash: Hash,
}

/// A blob table.
pub(super) struct Table {
    pub(super) bytes: Vec<u8>,
    /// The indexes of the entries with metadata.
    pub(super) metadata: Vec<usize>,
    /// The entries of each run.
    runs: Vec<Range<usize>>,
}

impl Table {
    /// Parses a table.
    ///
    /// # Errors
    /// `wim-table`: the size is not a multiple of that of an entry.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self> {
        if !bytes.len().is_multiple_of(ENTRY) {
            return Err(Error::new(Kind::Corrupt, Code::WimTable, "the blob table ends inside an entry"));
        }
        let mut table = Table { bytes, metadata: Vec::new(), runs: Vec::new() };
        for number in 0..table.bytes.len() / ENTRY {
            let flags = table.bytes[number * ENTRY + 7];
            if flags & resource_flags::SOLID != 0 {
                match table.runs.last_mut().filter(|run| run.end == number) {
                    Some(run) => run.end += 1,
                    None => table.runs.push(number..number + 1),
                }
            } else if flags & resource_flags::METADATA != 0 {
                table.metadata.push(number);
            }
        }
        Ok(table)
    }

    /// Returns the entry with that index.
    pub(super) fn entry(&self, number: usize) -> Option<Entry> {
        let bytes: &[u8; ENTRY] = self.bytes.get(number.checked_mul(ENTRY)?..)?.first_chunk()?;
        let mut hash = Hash::default();
        hash.copy_from_slice(&bytes[HASH_AT..]);
        Some(Entry {
            number,
            reference: Reference::parse(bytes.first_chunk()?),
            part: u16_at(bytes, 24),
            count: u32_at(bytes, COUNT_AT),
            hash,
        })
    }

    /// Finds the blob with that hash.
    pub(super) fn find(&self, hash: &Hash) -> Option<Entry> {
        let mut entries = self.bytes.as_chunks::<ENTRY>().0.iter();
        let number = entries.position(|entry| {
            // An entry of a solid resource has no hash.
            entry[HASH_AT..] == *hash && !is_solid_resource(Reference::parse(entry.first_chunk().unwrap_or(&[0; 24])))
        })?;
        self.entry(number)
    }

    /// Returns the entries of the solid resources in the run of a blob.
    pub(super) fn solids(&self, number: usize) -> impl Iterator<Item = Entry> {
        let run = self.runs.iter().find(|run| run.contains(&number)).cloned().unwrap_or_default();
        run.filter_map(|number| self.entry(number)).filter(|entry| is_solid_resource(entry.reference))
    }

    /// Returns whether the table has solid resources.
    pub(super) fn has_solids(&self) -> bool {
        !self.runs.is_empty()
    }
}

/// Encodes an entry.
pub(super) fn entry(reference: Reference, count: u32, hash: &Hash) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[..Reference::SIZE].copy_from_slice(&reference.to_bytes());
    // Part 1 of 1.
    bytes[Reference::SIZE] = 1;
    bytes[COUNT_AT..HASH_AT].copy_from_slice(&count.to_le_bytes());
    bytes[HASH_AT..].copy_from_slice(hash);
    bytes
}

fn is_solid_resource(reference: Reference) -> bool {
    reference.has(resource_flags::SOLID) && reference.len == SOLID_LEN
}
