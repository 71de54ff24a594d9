//! The refcounts of an image that is written to: the clusters of the file that are in use.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Host cluster management": a table of offsets of blocks; a block has entries
//! of 1 to 64 bits, big-endian, those of less than a byte from its lowest bit.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::entry::{OFFSET, broken};
use super::header::{Header, MAX_REFCOUNT_TABLE, REFCOUNT_TABLE, Table};
use crate::container::helpers::tables::index;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;

/// Gap past its end by which the file may grow at once, in bytes.
const MAX_GAP: u64 = 64 << 20;

/// The refcounts of an image. A freed cluster is not allocated again, because tables on the medium may still point to
/// it.
pub(super) struct Refcounts {
    file: Arc<dyn Storage>,
    cluster: u64,
    bits: u64,
    table: Table,
    /// Entries of the refcount table: offsets of blocks, 0 for a missing one.
    blocks: Vec<u64>,
    /// The number of the cluster where the search for a free one begins.
    next: u64,
    freed: BTreeSet<u64>,
    /// The number and bytes of the block that was read last.
    read: Option<(u64, Vec<u8>)>,
}

impl Refcounts {
    /// Creates the refcounts of an image whose refcount table has the entries `blocks`.
    pub(super) fn new(file: Arc<dyn Storage>, header: &Header, blocks: Vec<u64>) -> Self {
        let (cluster, bits, table) = (header.cluster, u64::from(header.refcount_bits), header.refcounts);
        let blocks = blocks.into_iter().map(|entry| entry & OFFSET).collect();
        Refcounts { file, cluster, bits, table, blocks, next: 0, freed: BTreeSet::new(), read: None }
    }

    /// Returns the number of entries of a block.
    fn per_block(&self) -> u64 {
        self.cluster * 8 / self.bits
    }

    /// Returns the offset of the block with a cluster's refcount, if there is one.
    fn block(&self, number: u64) -> Option<u64> {
        self.blocks.get(index(number / self.per_block())).copied().filter(|block| *block != 0)
    }

    /// Returns the refcount of a cluster; 0 if its block is missing.
    fn get(&mut self, number: u64) -> Result<u64> {
        let (block, at) = (number / self.per_block(), number % self.per_block());
        let Some(place) = self.block(number) else { return Ok(0) };
        if self.read.as_ref().is_none_or(|(read, _)| *read != block) {
            let mut bytes = vec![0; index(self.cluster)];
            self.file.read_at(place, &mut bytes)?;
            self.read = Some((block, bytes));
        }
        Ok(self.read.as_ref().map_or(0, |(_, bytes)| refcount(bytes, index(at), index(self.bits))))
    }

    fn set(&mut self, number: u64, count: u64) -> Result<()> {
        self.get(number)?;
        let place = self.block(number).ok_or_else(|| broken("a cluster has no refcount", number * self.cluster))?;
        let first = number % self.per_block() * self.bits;
        let mut bytes = count.to_be_bytes()[8 - index(self.bits.div_ceil(8))..].to_vec();
        if let (Some((_, read)), at) = (&mut self.read, index(first / 8)) {
            if self.bits < 8 {
                let mask = (1_u8 << self.bits) - 1;
                bytes[0] = read[at] & !(mask << (first % 8)) | bytes[0] << (first % 8);
            }
            read[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        self.file.write_at(place + first / 8, &bytes)
    }

    /// Allocates a cluster: sets its refcount to 1 and makes the file long enough. Returns its offset.
    ///
    /// # Errors
    /// `qcow2-grows`: the file would have to grow too much.
    pub(super) fn allocate(&mut self) -> Result<u64> {
        loop {
            let number = self.next;
            match self.blocks.get(index(number / self.per_block())).copied() {
                None => self.grow_table()?,
                Some(0) => self.add_block(number)?,
                Some(_) if self.get(number)? == 0 && !self.freed.contains(&number) => {
                    self.next += 1;
                    self.reserve(number, 1)?;
                    self.set(number, 1)?;
                    return Ok(number * self.cluster);
                }
                Some(_) => self.next += 1,
            }
        }
    }

    /// Decrements the refcount of each cluster that holds a byte of `range`.
    pub(super) fn release(&mut self, range: std::ops::Range<u64>) -> Result<()> {
        for number in range.start / self.cluster..range.end.div_ceil(self.cluster) {
            // The sectors of a compressed cluster may end past the end of the file, where there are no refcounts.
            match self.get(number)? {
                0 => {}
                count => self.set(number, count - 1)?,
            }
            self.freed.insert(number);
        }
        Ok(())
    }

    /// Extends the file to at least `count` clusters.
    fn reserve(&self, number: u64, count: u64) -> Result<()> {
        let (len, start) = (self.file.len()?, number * self.cluster);
        if start.saturating_sub(len) > MAX_GAP || start + count * self.cluster > OFFSET {
            return Err(Error::new(Kind::NoRoom, Code::Qcow2Grows, "the file would grow too much")
                .expected(format_args!("at most {MAX_GAP} bytes between"), start.saturating_sub(len)));
        }
        if start + count * self.cluster > len { self.file.set_len(start + count * self.cluster) } else { Ok(()) }
    }

    /// Writes a new block into the first cluster whose refcount it holds.
    fn add_block(&mut self, number: u64) -> Result<()> {
        let block = number / self.per_block();
        let number = block * self.per_block();
        self.reserve(number, 1)?;
        self.file.write_at(number * self.cluster, &self.blocks_of(1, 1))?;
        self.file.flush()?;
        self.file.write_at(self.table.offset + block * 8, &(number * self.cluster).to_be_bytes())?;
        self.blocks[index(block)] = number * self.cluster;
        self.next = number + 1;
        Ok(())
    }

    /// Returns blocks in which `clusters` clusters have refcount 1, and all others 0.
    fn blocks_of(&self, blocks: u64, clusters: u64) -> Vec<u8> {
        let mut bytes = vec![0; index(blocks * self.cluster)];
        for bit in (0..clusters).map(|i| i * self.bits) {
            // The lowest bit of a big-endian entry is in its last byte.
            let (at, shift) = if self.bits < 8 { (bit / 8, bit % 8) } else { ((bit + self.bits) / 8 - 1, 0) };
            bytes[index(at)] |= 1 << shift;
        }
        bytes
    }

    /// Writes a larger refcount table after all clusters that the present one covers, and the blocks for its clusters.
    fn grow_table(&mut self) -> Result<()> {
        let entries = self.blocks.len() as u64;
        let first = entries * self.per_block();
        let clusters = (entries * 2 * 8).div_ceil(self.cluster) + 1;
        let mut blocks = 1;
        while blocks * self.per_block() < blocks + clusters {
            blocks += 1;
        }
        if clusters * self.cluster > MAX_REFCOUNT_TABLE {
            return Err(Error::new(Kind::NoRoom, Code::Qcow2Grows, "the refcount table is full"));
        }
        self.reserve(first, blocks + clusters)?;
        self.file.write_at(first * self.cluster, &self.blocks_of(blocks, blocks + clusters))?;
        let old = self.table;
        self.table = Table { offset: (first + blocks) * self.cluster, entries: clusters * self.cluster / 8 };
        self.blocks.extend((0..blocks).map(|i| (first + i) * self.cluster));
        self.blocks.resize(index(self.table.entries), 0);
        let table: Vec<u8> = self.blocks.iter().flat_map(|block| block.to_be_bytes()).collect();
        self.file.write_at(self.table.offset, &table)?;
        self.file.flush()?;
        // Offset and number of clusters of the table are adjacent in the header.
        let clusters = u32::try_from(clusters).unwrap_or(u32::MAX);
        let header = [&self.table.offset.to_be_bytes()[..], &clusters.to_be_bytes()].concat();
        self.file.write_at(REFCOUNT_TABLE, &header)?;
        self.file.flush()?;
        self.next = first + blocks;
        self.release(old.offset..old.offset + old.entries * 8)
    }
}

/// Returns refcount `i` of a block; 0 if the block is missing.
pub(super) fn refcount(block: &[u8], i: usize, bits: usize) -> u64 {
    let at = i * bits;
    match bits {
        8.. => block.get(at / 8..at / 8 + bits / 8).map_or(0, |b| b.iter().fold(0, |n, b| n << 8 | u64::from(*b))),
        _ => block.get(at / 8).map_or(0, |byte| u64::from(*byte) >> (at % 8) & ((1 << bits) - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_storage::memory::Memory;
    use hivewright_storage::recorder::Recorder;

    /// Creates a header, a table of one cluster and a block with the refcounts of these three.
    fn image(bits: u32) -> (Arc<Recorder>, Refcounts) {
        let header = Header {
            cluster: 512,
            refcount_bits: bits,
            refcounts: Table { offset: 512, entries: 64 },
            ..Header::default()
        };
        let file = Arc::new(Recorder::new(Arc::new(Memory::new(vec![0; 3 * 512]))).unwrap());
        let mut blocks = vec![0; 64];
        blocks[0] = 1024;
        file.write_at(512, &1024_u64.to_be_bytes()).unwrap();
        let mut counts = Refcounts::new(file.clone(), &header, blocks);
        (0..3).for_each(|i| counts.set(i, 1).unwrap());
        (file, counts)
    }

    #[test]
    fn refcounts_of_every_width_are_independent() {
        for bits in [1, 2, 4, 8, 16, 32, 64] {
            let (_, mut counts) = image(bits);
            assert_eq!((0..5).map(|i| counts.get(i).unwrap()).collect::<Vec<_>>(), [1, 1, 1, 0, 0], "{bits}");
            assert_eq!(counts.allocate().unwrap(), 3 * 512);
            counts.release(512..513).unwrap();
            // A freed cluster is not allocated again.
            assert_eq!(counts.allocate().unwrap(), 4 * 512);
            assert_eq!((0..6).map(|i| counts.get(i).unwrap()).collect::<Vec<_>>(), [1, 0, 1, 1, 1, 0], "{bits}");
            let most = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
            counts.set(4, most).unwrap();
            assert_eq!([3, 4, 5].map(|i| counts.get(i).unwrap()), [1, most, 0], "{bits}");
        }
    }

    #[test]
    fn new_blocks_and_tables_have_refcounts() {
        for bits in [1, 4, 16, 64] {
            let (file, mut counts) = image(bits);
            let per_block = counts.per_block();
            let mut seen: BTreeSet<u64> = (0..3).collect();
            // More clusters than the table covers.
            while seen.len() as u64 <= 65 * per_block {
                assert!(seen.insert(counts.allocate().unwrap() / 512), "{bits}: a cluster was allocated twice");
                seen.extend(counts.blocks.iter().filter(|block| **block != 0).map(|block| block / 512));
                seen.extend((0..counts.table.entries / 64).map(|i| counts.table.offset / 512 + i));
            }
            assert!(counts.table.entries > 64);
            // All refcounts are 1, except that of the old table, the second cluster.
            let end = file.len().unwrap() / 512;
            for number in 0..end {
                assert_eq!(
                    counts.get(number).unwrap(),
                    u64::from(number != 1 && seen.contains(&number)),
                    "{bits} {number}"
                );
            }
            let mut header = [0; 12];
            file.read_at(REFCOUNT_TABLE, &mut header).unwrap();
            assert_eq!(header[..8], counts.table.offset.to_be_bytes());
            let mut first = [0; 8];
            file.read_at(counts.table.offset, &mut first).unwrap();
            assert_eq!(first, 1024_u64.to_be_bytes());
        }
    }
}
