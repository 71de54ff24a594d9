//! Folders: a B-tree of names, searched from the root node down.

use std::cmp::Ordering;
use std::collections::HashSet;

use zerocopy::FromBytes;

use super::attribute::{self, kind};
use super::boot_sector::MAX_BLOCK;
use super::index::{self, Block, Entry, Key, Root};
use super::mft::Mft;
use super::record::{Record, Reference};
use super::stream::{Body, Stream};
use super::upcase::Upcase;
use super::{corrupt, fixup};
use crate::files::{DirEntry, Extents, MAX_ENTRIES};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::advised;

/// The index of names.
pub(crate) const NAMES: &str = "$I30";
/// `COLLATION_FILE_NAME`.
const BY_NAME: u32 = 1;

/// A folder.
pub(crate) struct Folder<'m> {
    mft: &'m Mft,
    minds_case: bool,
    root: Vec<u8>,
    at: u64,
    block_size: usize,
    blocks: Option<Stream>,
    in_use: Option<Stream>,
}

/// The place of a file's `$FILE_NAME` in a folder.
pub(crate) enum KeyPlace {
    /// In the value of its `$INDEX_ROOT`, at this offset.
    Root(usize),
    /// In an index block.
    Block {
        /// The clusters of `$INDEX_ALLOCATION`.
        blocks: Extents,
        /// Offset of the block in them.
        at: u64,
        /// Bytes of the block.
        len: usize,
        /// Offset of the `$FILE_NAME` in the block.
        offset: usize,
    },
}

/// The next step after an entry.
enum Step {
    /// Continue after it.
    On,
    /// Descend into its child and do not continue in this node.
    Down,
    /// Both.
    DownAndOn,
}

impl<'m> Folder<'m> {
    pub(crate) fn open(mft: &'m Mft, record: &Record) -> Result<Folder<'m>> {
        let wrong = |what| corrupt(Code::NtfsIndex, what, record.at);
        let root = mft.stream(record, kind::INDEX_ROOT, NAMES)?.ok_or_else(|| wrong("a folder has no index"))?;
        let (Body::Resident(value), at) = (root.body, root.at) else {
            return Err(wrong("the root of an index is not resident"));
        };
        let (header, _) = Root::read_from_prefix(&value).map_err(|_| wrong("the root of an index is truncated"))?;
        let size = u64::from(header.block_size.get());
        if header.kind.get() != kind::FILE_NAME || header.collation.get() != BY_NAME {
            return Err(wrong("the index of a folder is not one of names"));
        }
        if !size.is_power_of_two() || !(512..=MAX_BLOCK).contains(&size) {
            return Err(wrong("the size of an index block").expected("a power of two from 512 to 65536", size));
        }
        Ok(Folder {
            mft,
            minds_case: record.minds_case()?,
            root: value,
            at,
            // At most 64 KiB.
            block_size: header.block_size.get() as usize,
            blocks: mft.stream(record, kind::INDEX_ALLOCATION, NAMES)?,
            in_use: mft.stream(record, kind::BITMAP, NAMES)?,
        })
    }

    /// Returns the file called `name`. A case-insensitive folder may have names that differ only by case (POSIX
    /// programs make them); the exact name then wins.
    ///
    /// # Errors
    /// `file-ambiguous`: none of them is exact.
    pub(crate) fn find(&self, name: &[u16], upcase: &Upcase) -> Result<Option<Reference>> {
        let mut exact = None;
        let mut found: Vec<Reference> = Vec::new();
        self.alike(name, upcase, |_, entry, is_exact| {
            if is_exact {
                exact = Some(entry.reference);
            } else if !self.minds_case && !found.contains(&entry.reference) {
                found.push(entry.reference);
            }
        })?;
        match (exact, &found[..]) {
            (Some(exact), _) => Ok(Some(exact)),
            (None, []) => Ok(None),
            (None, [one]) => Ok(Some(*one)),
            (None, _) => Err(Error::new(
                Kind::Unsupported,
                Code::FileAmbiguous,
                format!("several names differ from {} only by case", String::from_utf16_lossy(name)),
            )
            .at(Space::Volume, self.at)
            .advise("write the name exactly as in the folder")),
        }
    }

    /// Returns the place of the `$FILE_NAME` with exactly that name and record number.
    pub(crate) fn key_place(&self, name: &[u16], file: u64, upcase: &Upcase) -> Result<Option<KeyPlace>> {
        let mut found = None;
        self.alike(name, upcase, |node, entry, is_exact| {
            if is_exact && entry.reference.number() == file {
                found = Some((node, entry.key_offset));
            }
        })?;
        let Some((node, offset)) = found else { return Ok(None) };
        Ok(Some(match node {
            None => KeyPlace::Root(size_of::<Root>() + offset),
            Some(vcn) => {
                let blocks = self.blocks.as_ref().and_then(Stream::extents).cloned().unwrap_or_default();
                let (at, len) = (self.block_offset(vcn)?, self.block_size);
                KeyPlace::Block { blocks, at, len, offset: size_of::<Block>() + offset }
            }
        }))
    }

    /// Passes to `each` all entries whose names equal `name` without regard to case: the node, the entry, and whether
    /// its name is exact.
    fn alike(&self, name: &[u16], upcase: &Upcase, mut each: impl FnMut(Option<u64>, &Entry<'_>, bool)) -> Result<()> {
        let mut last: Option<(Option<u64>, Vec<u16>)> = None;
        let upper = |units: &mut dyn Iterator<Item = u16>| upcase.name(&self.mft.cache, units);
        let wanted = upper(&mut name.iter().copied())?;
        self.walk(|node, at, entry| {
            let Some(key) = entry.key else { return Ok(Step::Down) };
            let own = upper(&mut key.units())?;
            let step = wanted.cmp(&own);
            if last.as_ref().is_some_and(|(same, before)| *same == node && *before > own) {
                return Err(corrupt(Code::NtfsIndexOrder, "the names in an index node are not sorted", at)
                    .advise(format!("names may be missed; {}", advised::repair())));
            }
            last = Some((node, own));
            Ok(match step {
                Ordering::Less => Step::Down,
                Ordering::Greater => Step::On,
                Ordering::Equal => {
                    each(node, entry, key.units().eq(name.iter().copied()));
                    Step::DownAndOn
                }
            })
        })
    }

    /// Returns all names except the short names of files that have long ones.
    pub(crate) fn list(&self, upcase: &Upcase) -> Result<Vec<DirEntry>> {
        let mut all: Vec<([Vec<u16>; 2], DirEntry)> = Vec::new();
        self.walk(|_, at, entry| {
            // The root folder contains itself.
            let shown = |key: &Key<'_>| !key.is_short && !attribute::is_name(key.name, ".");
            let Some(key) = entry.key.filter(shown) else { return Ok(Step::DownAndOn) };
            if all.len() == MAX_ENTRIES {
                return Err(Error::new(Kind::Unsupported, Code::FolderTooLarge, "the folder has too many entries")
                    .at(Space::Volume, at));
            }
            let units: Vec<u16> = key.units().collect();
            let name = String::from_utf16_lossy(&units);
            let id = entry.reference.number();
            let (is_folder, is_reparse, len) = (key.is_folder, key.is_reparse, key.len);
            let order = [upcase.name(&self.mft.cache, key.units())?, units];
            all.push((order, DirEntry { name, id, is_folder, is_reparse, len }));
            Ok(Step::DownAndOn)
        })?;
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(all.into_iter().map(|(_, entry)| entry).collect())
    }

    /// Passes to `visit` the node (`None` for the root), its volume offset and each entry, and follows its result.
    /// Every node is visited once.
    fn walk(&self, mut visit: impl FnMut(Option<u64>, u64, &Entry<'_>) -> Result<Step>) -> Result<()> {
        let mut seen = HashSet::new();
        let mut todo = vec![None];
        while let Some(node) = todo.pop() {
            let block;
            let (bytes, at) = match node {
                None => (self.root.get(size_of::<Root>()..).unwrap_or_default(), self.at),
                Some(vcn) => {
                    if !seen.insert(vcn) {
                        return Err(corrupt(Code::NtfsIndexCycle, "two entries of an index lead to one node", self.at)
                            .expected("a node with one parent", vcn));
                    }
                    let at;
                    (block, at) = self.block(vcn)?;
                    (&block[size_of::<Block>()..], at)
                }
            };
            for entry in index::entries(bytes, at) {
                let entry = entry?;
                let step = visit(node, at, &entry)?;
                if let (Step::Down | Step::DownAndOn, Some(child)) = (&step, entry.child) {
                    todo.push(Some(child));
                }
                if matches!(step, Step::Down) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Returns the offset of the index block at `vcn` in the blocks of the index.
    fn block_offset(&self, vcn: u64) -> Result<u64> {
        let wrong =
            |what| corrupt(Code::NtfsIndex, what, self.at).expected("an index block", format_args!("vcn {vcn}"));
        let blocks = self.blocks.as_ref().ok_or_else(|| wrong("an index has no blocks but needs one"))?;
        // Blocks smaller than a cluster are counted in 512 bytes (Linux-NTFS documentation, "Index Record").
        let size = self.block_size as u64;
        let cluster = self.mft.geometry.cluster;
        let unit = if cluster <= size { cluster } else { fixup::STRIDE as u64 };
        let offset = vcn.checked_mul(unit).filter(|&o| o.is_multiple_of(size) && o < blocks.len);
        offset.ok_or_else(|| wrong("a child node is outside the index"))
    }

    /// Returns the index block at `vcn`, and its volume offset.
    fn block(&self, vcn: u64) -> Result<(Vec<u8>, u64)> {
        let wrong = |code, what| corrupt(code, what, self.at).expected("an index block", format_args!("vcn {vcn}"));
        let blocks =
            self.blocks.as_ref().ok_or_else(|| wrong(Code::NtfsIndex, "an index has no blocks but needs one"))?;
        let (offset, size) = (self.block_offset(vcn)?, self.block_size as u64);
        if !self.is_in_use(offset / size)? {
            return Err(wrong(Code::NtfsIndexFree, "a child node is an index block that is not in use"));
        }
        let at = blocks.extents().and_then(|extents| extents.from(offset)).and_then(|extent| extent.volume_offset);
        let at = at.ok_or_else(|| wrong(Code::NtfsIndex, "an index block has no clusters"))?;
        let mut bytes = vec![0; self.block_size];
        blocks.read_at(&self.mft.cache, offset, &mut bytes)?;
        let (header, _) =
            Block::read_from_prefix(&bytes).map_err(|_| wrong(Code::NtfsIndex, "an index block is too short"))?;
        if header.signature != *b"INDX" {
            return Err(corrupt(Code::NtfsIndex, "the signature of an index block is missing", at)
                .expected("\"INDX\"", format_args!("\"{}\"", header.signature.escape_ascii())));
        }
        if header.vcn.get() != vcn {
            return Err(
                corrupt(Code::NtfsIndex, "an index block is in the wrong place", at + 16).expected(vcn, header.vcn)
            );
        }
        fixup::apply(&mut bytes, at, Code::NtfsIndexTorn)?;
        Ok((bytes, at))
    }

    fn is_in_use(&self, number: u64) -> Result<bool> {
        let Some(bitmap) = self.in_use.as_ref().filter(|bitmap| number / 8 < bitmap.len) else { return Ok(false) };
        let mut byte = [0];
        bitmap.read_at(&self.mft.cache, number / 8, &mut byte)?;
        Ok(byte[0] >> (number % 8) & 1 != 0)
    }
}
