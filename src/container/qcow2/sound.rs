//! Whether an image is sound enough to be written to.
//!
//! Who allocates takes what has no refcount. In an image whose refcounts are wrong that may be the header, a table or a
//! cluster of a snapshot, so all that is referred to is looked up before the first write: what a closed image always
//! fulfils, and what costs a look at each table once.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Host cluster management", "Cluster mapping".

use std::collections::{HashMap, HashSet};

use super::header::{Header, Table};
use super::snapshots;
use crate::error::{Error, Result, Space};
use crate::storage::Storage;

/// Bits 9 to 55: where a cluster or table is.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// Nobody else refers to it: it may be written to.
const COPIED: u64 = 1 << 63;
/// The entry is of a compressed cluster.
const COMPRESSED: u64 = 1 << 62;
/// Clusters of a file that are marked at most, a bit each.
const MAX_CLUSTERS: u64 = 1 << 28;

/// Looks at every table.
///
/// # Errors
/// `qcow2-unsound`: something is referred to that is not counted, or twice, or lies past the end.
pub(super) fn check(file: &dyn Storage, header: &Header) -> Result<()> {
    let clusters = file.len()?.div_ceil(header.cluster);
    if clusters > MAX_CLUSTERS {
        return Err(unsound("the file has too many clusters to be checked", 0));
    }
    let marks = vec![0; usize::try_from(clusters.div_ceil(64)).unwrap_or(0)];
    let block = (u64::MAX, Vec::new());
    let mut look = Look { file, header, clusters, counts: Vec::new(), block, tables: HashSet::new(), marks };
    look.refcounts()?;
    look.metadata(0, 1)?;
    look.metadata(header.refcounts.offset, header.refcounts.entries * 8)?;
    let (snapshots, end) = snapshots::read(file, header)?;
    look.metadata(header.snapshots.0, end - header.snapshots.0)?;
    let mut tables = look.upper(header.l1, true)?;
    for snapshot in snapshots {
        tables.extend(look.upper(snapshot.l1, false)?);
    }
    // One table of several snapshots is looked at once. The active ones come first.
    let mut seen = HashMap::new();
    let mut claimed = None;
    tables.retain(|&(table, own)| match seen.insert(table, own) {
        None => true,
        Some(before) => {
            claimed = claimed.or((own || before).then_some(table));
            false
        }
    });
    if let Some(table) = claimed {
        return Err(unsound("an L2 table is taken for unshared and in use twice", table));
    }
    for (table, _) in &tables {
        look.metadata(*table, 1)?;
    }
    tables.into_iter().try_for_each(|(table, active)| look.lower(table, active))
}

struct Look<'a> {
    file: &'a dyn Storage,
    header: &'a Header,
    /// Clusters of the file.
    clusters: u64,
    /// Where the blocks of refcounts are.
    counts: Vec<u64>,
    /// The block that was looked at last, and its place.
    block: (u64, Vec<u8>),
    /// Clusters of tables.
    tables: HashSet<u64>,
    /// Clusters of data that only one may refer to.
    marks: Vec<u64>,
}

impl Look<'_> {
    fn entries(&self, table: Table) -> Result<Vec<u64>> {
        let fits = table.entries.checked_mul(8).and_then(|bytes| bytes.checked_add(table.offset));
        if fits.is_none_or(|end| end > self.clusters * self.header.cluster) || table.entries > 1 << 22 {
            return Err(unsound("a table leaves the file", table.offset));
        }
        let there = self.file.len()?.saturating_sub(table.offset).min(table.entries * 8);
        let mut bytes = vec![0; usize::try_from(table.entries * 8).unwrap_or(0)];
        self.file.read_at(table.offset, &mut bytes[..usize::try_from(there).unwrap_or(0)])?;
        Ok(bytes.chunks_exact(8).map(|b| b.iter().fold(0, |n, b| n << 8 | u64::from(*b))).collect())
    }

    /// The blocks of refcounts: each once, each within the file.
    fn refcounts(&mut self) -> Result<()> {
        self.counts = self.entries(self.header.refcounts)?;
        for block in self.counts.clone() {
            if block % self.header.cluster != 0 || block / self.header.cluster >= self.clusters {
                return Err(unsound("a block of refcounts lies past the end or between clusters", block));
            }
            if block != 0 && !self.tables.insert(block / self.header.cluster) {
                return Err(unsound("a block of refcounts is in use twice", block));
            }
        }
        let blocks: Vec<u64> = self.counts.iter().copied().filter(|block| *block != 0).collect();
        blocks.into_iter().try_for_each(|block| self.counted(block, false))
    }

    /// Marks what a table takes. Whoever else claims it is wrong.
    fn metadata(&mut self, offset: u64, bytes: u64) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        for cluster in offset / self.header.cluster..(offset + bytes).div_ceil(self.header.cluster) {
            self.counted(cluster * self.header.cluster, false)?;
            if !self.tables.insert(cluster) {
                return Err(unsound("a cluster is in use by two tables", cluster * self.header.cluster));
            }
        }
        Ok(())
    }

    /// The tables that an L1 table leads to, and whether they may be written to.
    fn upper(&mut self, l1: Table, active: bool) -> Result<Vec<(u64, bool)>> {
        let (entries, len) = (self.entries(l1)?, self.file.len()?);
        self.metadata(l1.offset, l1.entries * 8)?;
        let mut tables = Vec::new();
        for entry in entries {
            let table = entry & OFFSET;
            if table == 0 {
                continue;
            }
            let end = table.checked_add(self.header.cluster);
            if !table.is_multiple_of(self.header.cluster) || end.is_none_or(|end| end > len) {
                return Err(unsound("an L2 table lies past the end or between clusters", table));
            }
            self.counted(table, active && entry & COPIED != 0)?;
            tables.push((table, active && entry & COPIED != 0));
        }
        Ok(tables)
    }

    /// What an L2 table leads to. In one that is `own`, entries say truly what may be written to.
    fn lower(&mut self, table: u64, own: bool) -> Result<()> {
        let cluster = self.header.cluster;
        for entry in self.entries(Table { offset: table, entries: cluster / 8 })? {
            if entry & COMPRESSED != 0 {
                let bits = 62 - (cluster.trailing_zeros() - 8);
                let offset = entry & ((1 << bits) - 1) & (OFFSET | 511);
                let sectors = (entry & (COMPRESSED - 1)) >> bits;
                for at in offset / cluster..=(offset / 512 * 512 + sectors * 512) / cluster {
                    self.data(at, false)?;
                }
            } else if entry & OFFSET != 0 && self.header.data_file.is_none() {
                if entry & OFFSET & (cluster - 1) != 0 {
                    return Err(unsound("data lies between clusters", entry & OFFSET));
                }
                self.data((entry & OFFSET) / cluster, own && entry & COPIED != 0)?;
            }
        }
        Ok(())
    }

    fn data(&mut self, cluster: u64, own: bool) -> Result<()> {
        let offset = cluster * self.header.cluster;
        if self.tables.contains(&cluster) {
            return Err(unsound("data lies in a table", offset));
        }
        self.counted(offset, own)?;
        let (word, bit) = (usize::try_from(cluster / 64).unwrap_or(usize::MAX), 1 << (cluster % 64));
        let mark = self.marks.get_mut(word).ok_or_else(|| unsound("data lies past the end", offset))?;
        if *mark & bit != 0 {
            return Err(unsound("two clusters of the disk lie in the same place", offset));
        }
        *mark |= if own { bit } else { 0 };
        Ok(())
    }

    /// Whether what lies at `offset` is counted, and that once where it is somebody's own.
    fn counted(&mut self, offset: u64, own: bool) -> Result<()> {
        let (cluster, bits) = (offset / self.header.cluster, u64::from(self.header.refcount_bits));
        if cluster >= self.clusters {
            return Err(unsound("something lies past the end of the file", offset));
        }
        let per_block = self.header.cluster * 8 / bits;
        let place = usize::try_from(cluster / per_block).ok().and_then(|i| self.counts.get(i)).copied().unwrap_or(0);
        if place == 0 {
            return Err(unsound("something is referred to and not counted", offset));
        }
        if self.block.0 != place {
            let words = self.entries(Table { offset: place, entries: self.header.cluster / 8 })?;
            self.block = (place, words.iter().flat_map(|word| word.to_be_bytes()).collect());
        }
        let at = cluster % per_block * bits;
        let byte = usize::try_from(at / 8).unwrap_or(usize::MAX);
        let count = match bits {
            8.. => self.block.1[byte..byte + usize::try_from(bits / 8).unwrap_or(1)]
                .iter()
                .fold(0, |n, b| n << 8 | u64::from(*b)),
            _ => u64::from(self.block.1[byte]) >> (at % 8) & ((1 << bits) - 1),
        };
        match count {
            0 => Err(unsound("something is referred to and not counted", offset)),
            2.. if own => Err(unsound("something is taken for unshared and counted twice", offset)),
            _ => Ok(()),
        }
    }
}

fn unsound(what: &str, offset: u64) -> Error {
    Error::refused("qcow2-unsound", format!("the image is damaged: {what}"))
        .at(Space::File, offset)
        .advise("look at it with qemu-img check, and mend a copy: qemu-img check -r all")
}
