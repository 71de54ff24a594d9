//! Compressed clusters of an image that nothing was written to yet. The tables say where they
//! lie. They are decompressed here, several times as fast as by imago. Anything odd is left to imago, which reports it.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "L1 table entry", "Compressed Clusters Descriptor".

use super::consistency::{COMPRESSED, COPIED, OFFSET};
use super::header::Header;
use crate::container::helpers::inflate::inflate_raw;
use crate::container::helpers::tables::{Tables, index};
use hivewright_storage::Storage;

/// Fills `out`, which has the bytes of a cluster, with the compressed cluster of that number. `None` where that cannot be
/// done, whatever the reason.
pub(super) fn read(tables: &Tables, file: &dyn Storage, header: &Header, number: u64, out: &mut [u8]) -> Option<()> {
    let entry = |table: u64, i: u64| tables.entry(table.checked_add(i * 8)?).ok().map(u64::from_be_bytes);
    let in_table = header.cluster / 8;
    let upper = Some(number / in_table).filter(|upper| *upper < header.l1.entries)?;
    let table = Some(entry(header.l1.offset, upper)? & OFFSET).filter(|table| *table != 0)?;
    let found =
        Some(entry(table, number % in_table)?).filter(|entry| entry & COMPRESSED != 0 && entry & COPIED == 0)?;
    // The larger the cluster, the more sectors it may take, and the fewer bits are left for the offset.
    let bits = 62_u32.checked_sub(header.cluster.trailing_zeros().checked_sub(8)?)?;
    let (start, more) = (found & ((1 << bits) - 1), (found & (COMPRESSED - 1)) >> bits);
    // The sector in which it begins is not counted; what stands behind its end in the last one is another's.
    let end = ((start / 512 + 1 + more) * 512).min(file.len().ok()?);
    let mut stored = vec![0; index(end.checked_sub(start)?)];
    file.read_at(start, &mut stored).ok()?;
    (inflate_raw(&stored, out).ok()? == out.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::formats::qcow2::header::Table;
    use crate::container::helpers::inflate::deflate;
    use hivewright_error::Code;
    use hivewright_storage::memory::Memory;
    use std::sync::Arc;

    /// The descriptor of a cluster at `start` with `len` bytes, of clusters with so many bits.
    fn descriptor(bits: u32, start: u64, len: u64) -> u64 {
        let more = (start + len - 1) / 512 - start / 512;
        COMPRESSED | more << (62 - (bits - 8)) | start
    }

    #[test]
    fn finds_what_the_tables_lead_to_and_leaves_the_rest() {
        for bits in [9_u32, 12, 16] {
            let cluster = 1_u64 << bits;
            let bytes: Vec<u8> = (0..cluster).map(|i| if i % 7 == 0 { (i / 7 * 31 % 251) as u8 } else { 3 }).collect();
            let zlib = deflate(&bytes);
            // Without the header and the checksum of zlib.
            let bare = &zlib[2..zlib.len() - 4];
            let (l1, l2, start) = (cluster, 2 * cluster, 3 * cluster + 333);
            let mut file = vec![0; index(6 * cluster)];
            let mut put = |at: u64, what: &[u8]| file[index(at)..index(at) + what.len()].copy_from_slice(what);
            put(start, bare);
            put(l1, &(COPIED | l2).to_be_bytes());
            let whole = descriptor(bits, start, bare.len() as u64);
            let entries =
                [whole, whole | COPIED, whole & !COMPRESSED, 0, COMPRESSED | (6 * cluster), descriptor(bits, 0, 9)];
            entries.iter().zip(0..).for_each(|(entry, i)| put(l2 + i * 8, &entry.to_be_bytes()));
            let file: Arc<dyn Storage> = Arc::new(Memory::new(file));
            let tables = Tables::new(file.clone(), Code::Qcow2Tables);
            let header = Header { cluster, l1: Table { offset: l1, entries: 2 }, ..Header::default() };
            let mut out = vec![0; index(cluster)];
            assert_eq!(read(&tables, &*file, &header, 0, &mut out), Some(()), "{bits}");
            assert!(out == bytes, "{bits}");
            // No compressed ones, past the end, no deflate; no table; no entry; and a stream that is shorter than a cluster.
            for number in [1, 2, 3, 4, 5, cluster / 8, cluster / 4, u64::MAX / cluster] {
                assert_eq!(read(&tables, &*file, &header, number, &mut out), None, "{bits} {number}");
            }
            assert_eq!(read(&tables, &*file, &header, 0, &mut vec![0; index(cluster) + 1]), None);
        }
    }
}
