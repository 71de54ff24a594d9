//! The table of internal snapshots: their names, and their L1 tables, whose clusters must not be written to.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Snapshots".

use super::damaged;
use super::header::{Header, Table};
use hivewright_error::Result;
use hivewright_storage::Storage;

/// Maximum size of the table in bytes.
const MAX_TABLE: u64 = 16 << 20;

/// An internal snapshot.
pub(super) struct Snapshot {
    pub name: String,
    pub l1: Table,
}

/// Returns the snapshots of an image, and the offset of the end of their table.
///
/// # Errors
/// `qcow2-header`: the table does not lie within the file, or is too large.
pub(super) fn read(file: &dyn Storage, header: &Header) -> Result<(Vec<Snapshot>, u64)> {
    let (start, count) = header.snapshots;
    let (len, mut at) = (file.len()?, start);
    let mut found = Vec::new();
    for _ in 0..count {
        let mut head = [0; 40];
        read_within(file, at, &mut head, len)?;
        let u16_at = |i: usize| u64::from(u16::from_be_bytes([head[i], head[i + 1]]));
        let u32_at = |i: usize| u16_at(i) << 16 | u16_at(i + 2);
        let (id_len, name_len, extra) = (u16_at(12), u16_at(14), u32_at(36));
        let l1 = Table { offset: u32_at(0) << 32 | u32_at(4), entries: u32_at(8) };
        let name_at = at + 40 + extra + id_len;
        let mut name = vec![0; usize::try_from(name_len).unwrap_or(0)];
        read_within(file, name_at, &mut name, len)?;
        found.push(Snapshot { name: String::from_utf8_lossy(&name).into_owned(), l1 });
        at = (name_at + name_len).next_multiple_of(8);
        if at - start > MAX_TABLE {
            return Err(damaged("the table of snapshots is too large", start).expected(MAX_TABLE, at - start));
        }
    }
    Ok((found, at))
}

fn read_within(file: &dyn Storage, at: u64, buf: &mut [u8], len: u64) -> Result<()> {
    if at.checked_add(buf.len() as u64).is_none_or(|end| end > len) {
        return Err(damaged("a snapshot table entry ends past the end of the file", at));
    }
    file.read_at(at, buf)
}
