//! Nodes of the index of a folder, `$I30` (Linux-NTFS documentation, "$INDEX_ROOT", "Index Record", "Index Entry").

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::corrupt;
use super::record::Reference;
use hivewright_error::{Code, Result};

/// `$INDEX_ROOT` before its node.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Root {
    /// Type of the attribute that is indexed: 0x30.
    pub kind: U32,
    /// The collation of its keys: 1 for file names.
    pub collation: U32,
    /// Size of the other nodes in bytes.
    pub block_size: U32,
    clusters: u8,
    reserved: [u8; 3],
}

/// An index block before its node.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Block {
    /// `INDX`.
    pub signature: [u8; 4],
    fixup: [u8; 4],
    log_sequence: U64,
    /// 16: the position of the block in `$INDEX_ALLOCATION`.
    pub vcn: U64,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Node {
    entries: U32,
    used: U32,
    allocated: U32,
    flags: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EntryHeader {
    reference: U64,
    length: U16,
    key_length: U16,
    flags: U16,
    reserved: U16,
}

const HAS_CHILD: u16 = 1;
const IS_LAST: u16 = 2;

/// `$FILE_NAME`, the key of an entry, before the name itself.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FileName {
    parent: U64,
    times: [u8; 32],
    /// 40: allocated size of the file, a copy in the folder.
    pub(super) allocated: U64,
    /// 48: length of the file, a copy in the folder.
    pub(super) len: U64,
    flags: U32,
    tag: U32,
    name_length: u8,
    namespace: u8,
}

/// The namespace of short names.
const DOS: u8 = 2;
const IS_REPARSE: u32 = 0x400;
const IS_FOLDER: u32 = 0x1000_0000;

/// The name of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Key<'n> {
    /// The parent folder.
    pub parent: Reference,
    /// UTF-16, little-endian.
    pub name: &'n [u8],
    /// Length of the file in bytes, as the folder records it.
    pub len: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it is a reparse point.
    pub is_reparse: bool,
    /// Whether it is the short name of a file that also has a long one.
    pub is_short: bool,
}

impl Key<'_> {
    /// Returns the name's code units.
    pub fn units(&self) -> impl Iterator<Item = u16> + Clone {
        self.name.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
    }
}

/// An entry of a node.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'n> {
    /// The file.
    pub reference: Reference,
    /// Its name; `None` in the last entry of a node.
    pub key: Option<Key<'n>>,
    /// Offset of the name's `$FILE_NAME` from the start of the node.
    pub key_offset: usize,
    /// The node with all names that sort before this one.
    pub child: Option<u64>,
}

/// Iterates over the entries of the node that begins with `node`, which lies at volume offset `at`. Ends after the last
/// entry, or the first error.
pub fn entries(node: &[u8], at: u64) -> impl Iterator<Item = Result<Entry<'_>>> {
    let header = Node::read_from_prefix(node).ok().map(|(header, _)| header);
    let bounds = header.map(|h| (h.entries.get() as usize, h.used.get() as usize));
    let used = bounds.and_then(|(start, end)| node.get(start..end)).filter(|_| bounds.is_some_and(|(s, _)| s >= 16));
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let i = next.take()?;
        let Some(used) = used else { return Some(Err(corrupt(Code::NtfsIndex, "an index node is malformed", at))) };
        let mut parsed = entry(used, i, at);
        if let Ok((entry, length)) = &mut parsed {
            entry.key_offset += bounds.map_or(0, |(start, _)| start);
            next = entry.key.is_some().then_some(i + *length);
        }
        Some(parsed.map(|(entry, _)| entry))
    })
}

fn entry(node: &[u8], start: usize, at: u64) -> Result<(Entry<'_>, usize)> {
    let wrong = |what| corrupt(Code::NtfsIndex, what, at + start as u64);
    let rest = node.get(start..).unwrap_or_default();
    let (header, _) = EntryHeader::read_from_prefix(rest).map_err(|_| wrong("an index node has no last entry"))?;
    let length = usize::from(header.length.get());
    let has_child = header.flags.get() & HAS_CHILD != 0;
    let body = size_of::<EntryHeader>()..length.saturating_sub(if has_child { 8 } else { 0 });
    if !length.is_multiple_of(8) || length > rest.len() || body.end < body.start {
        return Err(wrong("the length of an index entry").expected(format_args!("16 to {}", rest.len()), length));
    }
    let child = has_child.then(|| U64::read_from_bytes(&rest[body.end..length]).map_or(0, U64::get));
    let key = if header.flags.get() & IS_LAST != 0 {
        None
    } else {
        let bytes = rest[body].get(..usize::from(header.key_length.get()));
        Some(bytes.and_then(key).ok_or_else(|| wrong("the name in an index entry exceeds it"))?)
    };
    let key_offset = start + size_of::<EntryHeader>();
    Ok((Entry { reference: Reference(header.reference.get()), key, key_offset, child }, length))
}

/// Parses a `$FILE_NAME`. `None` if it is truncated.
pub fn key(bytes: &[u8]) -> Option<Key<'_>> {
    let (header, behind) = FileName::read_from_prefix(bytes).ok()?;
    let flags = header.flags.get();
    Some(Key {
        parent: Reference(header.parent.get()),
        name: behind.get(..2 * usize::from(header.name_length))?,
        len: header.len.get(),
        is_folder: flags & IS_FOLDER != 0,
        is_reparse: flags & IS_REPARSE != 0,
        is_short: header.namespace == DOS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_matches_the_documentation() {
        assert_eq!((size_of::<Root>(), size_of::<Block>(), size_of::<Node>()), (16, 24, 16));
        assert_eq!((size_of::<EntryHeader>(), size_of::<FileName>()), (16, 66));
    }

    #[test]
    fn malformed_nodes_end_the_iteration() {
        let mut node = vec![0u8; 64];
        node[0] = 16;
        node[4] = 64;
        for (length, flags) in [(0u16, 0u8), (8, 2), (16, 3), (17, 2), (64, 2), (0xfff8, 2), (16, 0)] {
            node[24..26].copy_from_slice(&length.to_le_bytes());
            node[28] = flags;
            assert_eq!(entries(&node, 0).next().unwrap().unwrap_err().code(), "ntfs-index", "{length} {flags}");
        }
        for (start, end) in [(0u32, 64u32), (16, 65), (32, 16), (u32::MAX, u32::MAX)] {
            node[0..4].copy_from_slice(&start.to_le_bytes());
            node[4..8].copy_from_slice(&end.to_le_bytes());
            assert_eq!(entries(&node, 0).count(), 1);
        }
    }
}
