//! Determines whether bytes of the file belong to the current disk alone and to no snapshot.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Cluster mapping": bit 63 of an entry of an active table is set if and only if
//! its cluster has refcount 1. A snapshot clears the bit of every cluster that it shares, and later writes allocate
//! another cluster. So the bit shows that a cluster is in use and not shared.

use std::collections::BTreeSet;

use super::entry::{COMPRESSED, COPIED, OFFSET, Shape};
use super::header::{DATA_FILE, Header, Table};
use hivewright_error::Result;
use hivewright_storage::Storage;

/// Bytes read at once.
const PIECE: u64 = 1 << 20;

/// Returns whether the bytes at each of `offsets` belong to the L1 table or to the active state alone.
///
/// # Errors
/// I/O errors.
pub(super) fn are_own(file: &dyn Storage, header: &Header, offsets: &[u64]) -> Result<bool> {
    // An image with a data file has no snapshots, and the offsets are not those of its clusters.
    if header.incompatible & DATA_FILE != 0 {
        return Ok(true);
    }
    let cluster = header.cluster;
    let mut sought: BTreeSet<u64> = offsets.iter().map(|offset| offset / cluster * cluster).collect();
    let upper = |table: Table| table.offset..table.offset + table.entries * 8;
    sought.retain(|at| *at != 0 && !upper(header.l1).contains(at) && !upper(header.refcounts).contains(at));
    if !sought.is_empty() {
        each(file, header.refcounts, 8, |entry| {
            sought.remove(&(entry & !0x1ff));
        })?;
    }
    // Read each table once, even if several entries point to it.
    let mut tables = BTreeSet::new();
    each(file, header.l1, 8, |entry| {
        if entry & COPIED != 0 {
            sought.remove(&(entry & OFFSET));
        }
        // All clusters of an L2 table that a snapshot shares are shared.
        if entry & COPIED != 0 && entry & OFFSET != 0 {
            tables.insert(entry & OFFSET);
        }
    })?;
    let width = Shape::of(header).entry_size();
    for offset in tables {
        if sought.is_empty() {
            break;
        }
        each(file, Table { offset, entries: cluster / width }, width, |entry| {
            if entry & COPIED != 0 && entry & COMPRESSED == 0 {
                sought.remove(&(entry & OFFSET));
            }
        })?;
    }
    Ok(sought.is_empty())
}

/// Calls `see` with the first eight bytes of each entry of `width` bytes that lies in the file.
fn each(file: &dyn Storage, table: Table, width: u64, mut see: impl FnMut(u64)) -> Result<()> {
    let end = table.offset.saturating_add(table.entries.saturating_mul(width)).min(file.len()?);
    let mut at = table.offset;
    while at < end {
        let mut piece = vec![0; usize::try_from(PIECE.min(end - at)).unwrap_or(0)];
        file.read_at(at, &mut piece)?;
        for entry in piece.chunks(usize::try_from(width).unwrap_or(8)) {
            see(entry.first_chunk().map_or(0, |entry| u64::from_be_bytes(*entry)));
        }
        at += piece.len() as u64;
    }
    Ok(())
}
