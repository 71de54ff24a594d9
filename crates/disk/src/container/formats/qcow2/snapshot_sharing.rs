//! Whether bytes of the file are those of the disk as it is, and of no snapshot.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Cluster mapping": an entry of an active table has bit 63 if, and only if, what it
//! leads to is counted once. A snapshot takes the bit away from everything that it shares, and whoever writes afterwards
//! gets another cluster: so it says at once that a cluster is still in use, and that nobody shares it.

use std::collections::BTreeSet;

use super::entry::{COMPRESSED, COPIED, OFFSET, Shape};
use super::header::{DATA_FILE, Header, Table};
use hivewright_error::Result;
use hivewright_storage::Storage;

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// Whether what stands at each of `offsets` is the image's upper tables, or belongs to the active state alone.
///
/// # Errors
/// The file cannot be read.
pub(super) fn are_own(file: &dyn Storage, header: &Header, offsets: &[u64]) -> Result<bool> {
    // An image with a data file has no snapshots, and those are not its clusters.
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
    // Each once, however many entries lead there.
    let mut tables = BTreeSet::new();
    each(file, header.l1, 8, |entry| {
        if entry & COPIED != 0 {
            sought.remove(&(entry & OFFSET));
        }
        // A table that a snapshot shares leads to nothing that is not shared.
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

/// Calls `see` with the first eight bytes of each entry of `width` bytes, as far as the file has them.
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
