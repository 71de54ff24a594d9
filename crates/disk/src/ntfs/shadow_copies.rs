//! Counts the shadow copies of a volume, by their files and by their catalog, which a header at a fixed place refers to
//! (J. Metz, *Volume Shadow Snapshot (VSS) format*, "Volume header" and "Catalog").

use std::collections::HashSet;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::cache::Cache;
use hivewright_error::Result;

/// Offset of the header in the volume.
const HEADER: u64 = 0x1e00;
/// 3808876B-C176-4E48-B7AE-04046E6CC752, as stored.
const IDENTIFIER: [u8; 16] =
    [0x6b, 0x87, 0x08, 0x38, 0x76, 0xc1, 0x48, 0x4e, 0xb7, 0xae, 0x04, 0x04, 0x6e, 0x6c, 0xc7, 0x52];
/// Types of records.
const VOLUME_HEADER: u32 = 1;
const CATALOG: u32 = 2;
/// Bytes of a block of the catalog, and of its entries, of which the first is the block's header.
const BLOCK_SIZE: usize = 16 << 10;
const ENTRY_SIZE: usize = 128;
/// The entry that each shadow copy has.
const COPY: u64 = 2;
/// Maximum number of blocks that are read. Windows keeps at most 512 shadow copies of a volume, with two entries each.
const MOST_BLOCKS: usize = 64;

/// The common start of both kinds of records.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    identifier: [u8; 16],
    version: U32,
    kind: U32,
    relative: U64,
    own: U64,
    /// 40: in the catalog, the next block; 0 for none.
    next: U64,
    /// 48: in the header of the volume, the catalog; 0 for none.
    catalog: U64,
}

/// Returns the number of shadow copies in the catalog; `None` if the catalog cannot be read.
pub(super) fn listed(cache: &Cache) -> Result<Option<u32>> {
    if cache.len() < HEADER + 512 {
        return Ok(Some(0));
    }
    let mut bytes = [0; size_of::<Header>()];
    cache.read_at(HEADER, &mut bytes)?;
    let header = Header::read_from_bytes(&bytes).ok().filter(|header| is(header, VOLUME_HEADER));
    let Some(header) = header else { return Ok(Some(0)) };
    let (mut at, mut seen, mut count) = (header.catalog.get(), HashSet::new(), 0);
    let mut block = vec![0; BLOCK_SIZE];
    while at != 0 {
        let is_inside = at.checked_add(BLOCK_SIZE as u64).is_some_and(|end| end <= cache.len());
        if !is_inside || !seen.insert(at) || seen.len() > MOST_BLOCKS {
            return Ok(None);
        }
        cache.read_at(at, &mut block)?;
        let head = Header::read_from_prefix(&block).ok().map(|(head, _)| head).filter(|head| is(head, CATALOG));
        let Some(head) = head else { return Ok(None) };
        let entries = block[ENTRY_SIZE..].chunks_exact(ENTRY_SIZE);
        count += entries.filter(|entry| entry[..8] == COPY.to_le_bytes()).count();
        at = head.next.get();
    }
    Ok(u32::try_from(count).ok())
}

fn is(header: &Header, kind: u32) -> bool {
    header.identifier == IDENTIFIER && header.kind.get() == kind
}
