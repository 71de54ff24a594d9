//! Checks the refcounts of an image before the first write.
//!
//! A writer allocates clusters whose refcount is 0. If the refcounts are wrong, such a cluster may be the header, a
//! table or a cluster of a snapshot. So all references are compared with the refcounts, which agree in every image that
//! was closed. The check reads each table once.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Host cluster management", "Cluster mapping".

use std::collections::BTreeMap;

use super::entry::{COPIED, Entry, OFFSET, Shape};
use super::header::{DATA_FILE, Header, Table};
use super::refcounts::refcount;
use super::snapshots;
use hivewright_error::{Code, Error, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// Maximum number of clusters of a file; each takes a byte of memory.
const MAX_CLUSTERS: u64 = 1 << 27;
/// Maximum number of entries read of one table: the size of the largest L1 table.
const MAX_ENTRIES: u64 = 1 << 22;

/// In a mark: the number of references; the maximum means as many or more.
const COUNT: u8 = 0x3f;
/// In a mark: an entry claims that the cluster has one reference and refcount 1, and may be written in place.
const OWN: u8 = 0x40;
/// In a mark: there may be no other reference, whatever the refcount.
const ALONE: u8 = 0x80;

/// Checks every table. Returns the entries of the refcount table.
///
/// # Errors
/// `qcow2-unsound`: a cluster has more references than its refcount, or lies past the end.
pub(super) fn check(file: &dyn Storage, header: &Header) -> Result<Vec<u64>> {
    let len = file.len()?;
    let clusters = len.div_ceil(header.cluster);
    let size = usize::try_from(clusters).ok().filter(|_| clusters <= MAX_CLUSTERS);
    let size = size.ok_or_else(|| inconsistent("the file has too many clusters to be checked", 0))?;
    let mut checker = Checker { file, header, len, marks: vec![0; size] };
    checker.mark(0, 1, 1, ALONE)?;
    let blocks = checker.table(header.refcounts)?;
    for block in blocks.iter().filter(|block| **block != 0) {
        checker.mark(*block, header.cluster, 1, ALONE)?;
    }
    if header.incompatible & DATA_FILE != 0 {
        checker.data_file()?;
    }
    let (snapshots, end) = snapshots::read(file, header)?;
    checker.mark(header.snapshots.0, end - header.snapshots.0, 1, ALONE)?;
    // L2 tables: the number of references to each, and whether an entry claims to be the only one.
    let mut tables = BTreeMap::new();
    checker.upper(header.l1, true, &mut tables)?;
    for snapshot in snapshots {
        checker.upper(snapshot.l1, false, &mut tables)?;
    }
    for (table, (times, own)) in tables {
        checker.mark(table, header.cluster, times, if own { OWN } else { 0 })?;
        checker.lower(table, times, own)?;
    }
    checker.compare(&blocks)?;
    Ok(blocks)
}

struct Checker<'a> {
    file: &'a dyn Storage,
    header: &'a Header,
    /// Length of the file in bytes.
    len: u64,
    /// The marks of all clusters of the file.
    marks: Vec<u8>,
}

impl Checker<'_> {
    fn entries(&self, table: Table) -> Result<Vec<u64>> {
        let end = table.entries.checked_mul(8).and_then(|bytes| bytes.checked_add(table.offset));
        if end.is_none_or(|end| end > self.len) || table.entries > MAX_ENTRIES {
            return Err(inconsistent("a table ends past the end of the file", table.offset));
        }
        let mut bytes = vec![0; usize::try_from(table.entries * 8).unwrap_or(0)];
        self.file.read_at(table.offset, &mut bytes)?;
        Ok(bytes.chunks_exact(8).map(|b| b.iter().fold(0, |n, b| n << 8 | u64::from(*b))).collect())
    }

    /// Returns the entries of a table whose clusters are referred to once.
    fn table(&mut self, table: Table) -> Result<Vec<u64>> {
        let entries = self.entries(table)?;
        self.mark(table.offset, table.entries * 8, 1, ALONE)?;
        Ok(entries)
    }

    /// Adds references to the clusters at `offset`.
    fn mark(&mut self, offset: u64, bytes: u64, times: u64, flags: u8) -> Result<()> {
        let end =
            offset.checked_add(bytes).ok_or_else(|| inconsistent("a cluster lies past the end of the file", offset))?;
        let times = u8::try_from(times).unwrap_or(COUNT);
        for cluster in offset / self.header.cluster..end.div_ceil(self.header.cluster) {
            let mark = usize::try_from(cluster).ok().and_then(|cluster| self.marks.get_mut(cluster));
            let mark = mark.ok_or_else(|| inconsistent("a cluster lies past the end of the file", offset))?;
            let count = (*mark & COUNT).saturating_add(times).min(COUNT);
            *mark = *mark & !COUNT | count | flags;
        }
        Ok(())
    }

    /// Marks the L2 tables of an L1 table.
    fn upper(&mut self, l1: Table, active: bool, tables: &mut BTreeMap<u64, (u64, bool)>) -> Result<()> {
        for entry in self.table(l1)? {
            let table = entry & OFFSET;
            if table == 0 {
                continue;
            }
            if !table.is_multiple_of(self.header.cluster) {
                return Err(inconsistent("the offset of an L2 table is not a multiple of the cluster size", table));
            }
            let (times, own) = tables.entry(table).or_default();
            *times += 1;
            *own |= active && entry & COPIED != 0;
        }
        Ok(())
    }

    /// Returns the entries of an L2 table.
    fn lower_entries(&self, table: u64) -> Result<Vec<Entry>> {
        let shape = Shape::of(self.header);
        let words = self.entries(Table { offset: table, entries: shape.cluster / 8 })?;
        let entries = words.chunks(usize::try_from(shape.entry_size() / 8).unwrap_or(1)).zip(0..);
        let decode = |(words, number): (&[u64], u64)| {
            let at = table + number * shape.entry_size();
            let bitmap = words.get(1).copied().unwrap_or(0);
            shape.decode(words[0], bitmap, at).map_err(|error| inconsistent(error.what(), at))
        };
        entries.map(decode).collect()
    }

    /// Marks the clusters of an L2 table that has `times` references. If it is `own`, bit 63 of its entries counts.
    fn lower(&mut self, table: u64, times: u64, own: bool) -> Result<()> {
        for entry in self.lower_entries(table)? {
            if let Some(stream) = entry.stream {
                // The last sector may lie past the end of the file: only clusters that begin before it are marked.
                let end = stream.end.min(self.len.max(stream.start + 1));
                self.mark(stream.start, end - stream.start, times, 0)?;
            } else if let Some(place) = entry.place.filter(|_| self.header.data_file.is_none()) {
                self.mark(place, 1, times, if own && entry.copied { OWN } else { 0 })?;
            }
        }
        Ok(())
    }

    /// Checks that every cluster of a data file lies at its offset on the disk, as QEMU writes it, so that no write
    /// changes another cluster.
    fn data_file(&self) -> Result<()> {
        let shape = Shape::of(self.header);
        let mut offset = 0;
        for upper in self.entries(self.header.l1)? {
            let table = upper & OFFSET;
            let entries = if table == 0 { Vec::new() } else { self.lower_entries(table)? };
            for (entry, number) in entries.iter().zip(0..) {
                if entry.place.is_some_and(|place| place != offset + number * shape.cluster) {
                    return Err(inconsistent("a cluster of the data file is not at its offset on the disk", table));
                }
            }
            offset += shape.entries() * shape.cluster;
        }
        Ok(())
    }

    /// Compares the marks with the refcounts.
    fn compare(&self, blocks: &[u64]) -> Result<()> {
        let bits = usize::try_from(self.header.refcount_bits).unwrap_or(64);
        let per_block = usize::try_from(self.header.cluster).unwrap_or(0) * 8 / bits;
        for (i, marks) in self.marks.chunks(per_block).enumerate() {
            let place = blocks.get(i).copied().filter(|place| *place != 0);
            let words = match place {
                Some(offset) => self.entries(Table { offset, entries: self.header.cluster / 8 })?,
                None => Vec::new(),
            };
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            for (j, mark) in marks.iter().enumerate().filter(|(_, mark)| **mark != 0) {
                let offset = (i * per_block + j) as u64 * self.header.cluster;
                let (count, refers) = (refcount(&bytes, j, bits), u64::from(mark & COUNT));
                if count < refers {
                    return Err(inconsistent("a cluster has more references than its refcount", offset));
                }
                if mark & ALONE != 0 && refers > 1 || mark & OWN != 0 && (refers, count) != (1, 1) {
                    return Err(inconsistent("an entry claims to be the only reference to a shared cluster", offset));
                }
            }
        }
        Ok(())
    }
}

fn inconsistent(what: &str, offset: u64) -> Error {
    Error::refused(Code::Qcow2Unsound, format!("the image is damaged: {what}")).at(Space::File, offset).advise(format!(
        "examine it: {}, and repair a copy: {}",
        advised::CHECK,
        advised::CHECK_REPAIR
    ))
}
