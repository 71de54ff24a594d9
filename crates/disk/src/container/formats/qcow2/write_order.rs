//! The order of writes to the tables. imago writes an entry of an upper table at once, while the refcounts of the clusters
//! that it leads to are still in its memory; and a block of refcounts as a whole, with counts that rise and counts that
//! fall. After a stop behind either, tables would lead to clusters that are not counted, and the next writer would allocate
//! them. So upper entries wait for everything below them, and counts that fall wait for all other writes.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Host cluster management": entries of 1 to 64 bits, big-endian; those of less than
//! a byte begin at its lowest bit.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::header::{Header, Table};
use hivewright_error::Result;
use hivewright_storage::Storage;
use hivewright_storage::span::lay_over;

/// What waits, by offset.
type Waiting = BTreeMap<u64, Vec<u8>>;

/// The tables of an image that is written to.
pub(super) struct WriteOrder {
    /// Blocks of refcounts.
    blocks: BTreeSet<u64>,
    cluster: u64,
    bits: usize,
    /// The refcount table and the L1 table, and entries of them.
    upper: [(Range<u64>, Waiting); 2],
    /// What is going to stand in blocks of refcounts where some of it falls.
    counts: Waiting,
}

/// What of a write is made now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Now {
    /// All of it.
    All,
    /// These bytes instead.
    Other(Vec<u8>),
    /// Nothing.
    Nothing,
}

impl WriteOrder {
    /// `blocks` are the entries of the refcount table.
    pub(super) fn new(header: &Header, blocks: Vec<u64>) -> Self {
        let blocks = blocks.into_iter().filter(|block| *block != 0).collect();
        let range = |table: Table| table.offset..table.offset.saturating_add(table.entries.saturating_mul(8));
        let upper = [header.refcounts, header.l1].map(|table| (range(table), Waiting::new()));
        // At most 64.
        let bits = usize::try_from(header.refcount_bits).unwrap_or(64);
        WriteOrder { blocks, cluster: header.cluster, bits, upper, counts: Waiting::new() }
    }

    /// What of `bytes` may be written to `offset` now; the rest waits.
    pub(super) fn now(&mut self, file: &dyn Storage, offset: u64, bytes: &[u8]) -> Result<Now> {
        if let Some((_, waiting)) = self.upper.iter_mut().find(|(table, _)| bytes.len() == 8 && table.contains(&offset))
        {
            waiting.insert(offset, bytes.to_vec());
            return Ok(Now::Nothing);
        }
        let block = offset - offset % self.cluster;
        let is_whole = (offset - block).is_multiple_of(8) && bytes.len().is_multiple_of(8);
        if !self.blocks.contains(&block) || !is_whole || offset + bytes.len() as u64 > file.len()? {
            return Ok(Now::All);
        }
        let mut there = vec![0; bytes.len()];
        file.read_at(offset, &mut there)?;
        let mut now = bytes.to_vec();
        for (now, there) in now.chunks_exact_mut(8).zip(there.chunks_exact(8)) {
            self.keep_higher(now, there);
        }
        self.counts.remove(&offset);
        if now == bytes {
            return Ok(Now::All);
        }
        self.counts.insert(offset, bytes.to_vec());
        Ok(Now::Other(now))
    }

    /// Of each entry in eight bytes the higher one.
    fn keep_higher(&self, now: &mut [u8], there: &[u8]) {
        if self.bits < 8 {
            let mask = (1u8 << self.bits) - 1;
            for (now, there) in now.iter_mut().zip(there) {
                for shift in (0..8).step_by(self.bits) {
                    let (new, old) = (*now >> shift & mask, there >> shift & mask);
                    *now = *now & !(mask << shift) | new.max(old) << shift;
                }
            }
            return;
        }
        for (now, there) in now.chunks_exact_mut(self.bits / 8).zip(there.chunks_exact(self.bits / 8)) {
            if *now < *there {
                now.copy_from_slice(there);
            }
        }
    }

    /// Shows in `buf`, read at `offset`, what is going to stand there.
    pub(super) fn show(&self, offset: u64, buf: &mut [u8]) {
        let all = self.upper.iter().map(|(_, waiting)| waiting).chain([&self.counts]);
        for (at, bytes) in all.flatten() {
            lay_over(buf, offset, *at, bytes);
        }
    }

    /// Writes what has waited, now that everything else is written.
    pub(super) fn settle(&mut self, file: &dyn Storage) -> Result<()> {
        let upper = self.upper.iter_mut().map(|(_, waiting)| waiting);
        for waiting in upper.chain([&mut self.counts]).filter(|waiting| !waiting.is_empty()) {
            file.flush()?;
            for (offset, bytes) in std::mem::take(waiting) {
                file.write_at(offset, &bytes)?;
            }
            file.flush()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_storage::memory::Memory;

    fn order(bits: u32) -> WriteOrder {
        let table = |offset| Table { offset, entries: 4 };
        let (refcounts, l1) = (table(0), table(64));
        WriteOrder::new(&Header { cluster: 512, refcount_bits: bits, refcounts, l1, ..Header::default() }, vec![512, 0])
    }

    #[test]
    fn counts_that_fall_wait_in_entries_of_every_size() {
        // Bits, offset of the first bytes that differ: what is there, what is written, what of it is written now.
        let cases: [(u32, [&[u8]; 3]); 5] = [
            (1, [&[0b1010_0001, 0], &[0b0110_0000, 1], &[0b1110_0001, 1]]),
            (4, [&[0x12, 0], &[0x21, 1], &[0x22, 1]]),
            (8, [&[2, 1], &[1, 2], &[2, 2]]),
            (16, [&[0, 2, 0, 0, 1, 0], &[0, 1, 0, 1, 0, 255], &[0, 2, 0, 1, 1, 0]]),
            (64, [&[0, 0, 0, 0, 0, 0, 0, 2], &[0, 0, 0, 0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 0, 2]]),
        ];
        for (bits, of) in cases {
            let [there, wanted, now] = of.map(|bytes| [bytes, &[0; 8][bytes.len()..]].concat());
            let mut bytes = vec![0; 1024];
            bytes[520..528].copy_from_slice(&there);
            let file = Memory::new(bytes);
            let mut order = order(bits);
            assert_eq!(order.now(&file, 256, &wanted).unwrap(), Now::All, "no block of refcounts");
            assert_eq!(order.now(&file, 520, &wanted).unwrap(), Now::Other(now), "{bits}");
            let mut shown = [0; 16];
            order.show(516, &mut shown);
            assert_eq!(shown[4..12], wanted, "{bits}");
            order.settle(&file).unwrap();
            let mut settled = [0; 8];
            file.read_at(520, &mut settled).unwrap();
            assert_eq!(settled[..], wanted, "{bits}");
            // What rises does not wait.
            assert_eq!(order.now(&file, 520, &[0xff; 8]).unwrap(), Now::All);
        }
    }

    #[test]
    fn entries_of_upper_tables_wait() {
        let file = Memory::new(vec![0; 1024]);
        let mut order = order(16);
        for (offset, now) in [(8, Now::Nothing), (64, Now::Nothing), (96, Now::All)] {
            assert_eq!(order.now(&file, offset, &[7; 8]).unwrap(), now, "{offset}");
        }
        let read = |order: &WriteOrder| {
            let mut bytes = [0; 128];
            file.read_at(0, &mut bytes).unwrap();
            let there = bytes.iter().filter(|byte| **byte == 7).count();
            order.show(0, &mut bytes);
            (there, bytes.iter().filter(|byte| **byte == 7).count())
        };
        assert_eq!(read(&order), (0, 16));
        order.settle(&file).unwrap();
        assert_eq!(read(&order), (16, 16));
    }
}
