//! Allocates clusters, so that a range of the disk is writable in this image.
//!
//! The order of the writes ensures that after a crash between any two of them tables point only to clusters with a
//! refcount: data and refcounts of new clusters, then L2 entries, then L1 entries, then decremented refcounts. At worst
//! a cluster leaks.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Cluster mapping".

use std::collections::BTreeMap;
use std::ops::Range;

use super::clusters::Clusters;
use super::consistency;
use super::entry::{COPIED, Entry, State};
use super::header::{AUTOCLEAR, BITMAPS, RAW_DATA_FILE};
use super::refcounts::Refcounts;
use crate::container::helpers::tables::index;
use hivewright_error::Result;

/// Pending changes of tables, for clusters whose data are written.
#[derive(Default)]
struct Links {
    /// L2 entries by offset.
    lower: Vec<(u64, Vec<u8>)>,
    /// New L2 tables by their number in the L1 table: offset and bytes of each.
    tables: BTreeMap<u64, (u64, Vec<u8>)>,
    /// Byte ranges of the file that lose a reference.
    released: Vec<Range<u64>>,
}

/// Allocates the range in this image. The contents of the disk do not change.
pub(super) fn prepare(clusters: &Clusters, offset: u64, len: u64) -> Result<()> {
    let mut refcounts = clusters.refcounts();
    let refcounts = match &mut *refcounts {
        Some(refcounts) => refcounts,
        none => none.insert(begin(clusters)?),
    };
    let cluster = clusters.shape.cluster;
    let mut links = Links::default();
    for number in offset / cluster..=(offset + len - 1) / cluster {
        let start = number * cluster;
        let range = offset.max(start) - start..(offset + len).min(start + cluster) - start;
        allocate(clusters, refcounts, &mut links, number, &range)?;
    }
    if links.lower.is_empty() && links.tables.is_empty() {
        return Ok(());
    }
    if let Some(data) = &clusters.data {
        data.flush()?;
    }
    clusters.file.flush()?;
    for (at, entry) in links.lower {
        clusters.tables.write(at, &entry)?;
    }
    if !links.tables.is_empty() {
        for (place, table) in links.tables.values() {
            clusters.tables.write(*place, table)?;
        }
        clusters.file.flush()?;
        for (number, (place, _)) in links.tables {
            clusters.tables.write(clusters.header.l1.offset + number * 8, &(COPIED | place).to_be_bytes())?;
        }
    }
    if !links.released.is_empty() {
        clusters.file.flush()?;
        links.released.into_iter().try_for_each(|range| refcounts.release(range))?;
    }
    Ok(())
}

/// Checks the image before the first write. Clears the autoclear features that this writer does not maintain; an image
/// with bitmaps was refused before.
fn begin(clusters: &Clusters) -> Result<Refcounts> {
    let header = &clusters.header;
    let blocks = consistency::check(&*clusters.file, header)?;
    let kept = header.autoclear & (BITMAPS | RAW_DATA_FILE);
    if kept != header.autoclear {
        clusters.file.write_at(AUTOCLEAR, &kept.to_be_bytes())?;
        clusters.file.flush()?;
    }
    Ok(Refcounts::new(clusters.file.clone(), header, blocks))
}

/// Allocates a cluster and fills it, unless `range`, bytes of the cluster, can be written in place.
fn allocate(
    clusters: &Clusters,
    refcounts: &mut Refcounts,
    links: &mut Links,
    number: u64,
    range: &Range<u64>,
) -> Result<()> {
    let (shape, cluster) = (clusters.shape, clusters.shape.cluster);
    let (upper_number, lower_number) = (number / shape.entries(), number % shape.entries());
    let upper = clusters.upper(upper_number)?;
    let entry = upper.table.map_or(Ok(Entry::ABSENT), |table| clusters.lower(table, lower_number))?;
    let own = entry.place.filter(|_| entry.copied && upper.copied);
    let subclusters = |range: &Range<u64>| {
        let subcluster = |byte: u64| u32::try_from(byte / shape.subcluster()).unwrap_or(0);
        subcluster(range.start)..subcluster(range.end - 1) + 1
    };
    let len = cluster.min(clusters.header.size - number * cluster);
    if let Some(own) = own.filter(|_| subclusters(range).all(|i| entry.state(i) == State::Allocated)) {
        // The last cluster may end past the end of the file.
        return make_long_enough(clusters, own + range.end);
    }
    let mut bytes = vec![0; index(cluster)];
    clusters.read(number * cluster, &mut bytes[..index(len)])?;
    let place = match (own, &clusters.data) {
        (Some(own), _) => own,
        // A data file has every cluster at its offset on the disk.
        (None, Some(_)) => number * cluster,
        (None, None) => refcounts.allocate()?,
    };
    make_long_enough(clusters, place + if clusters.data.is_some() { len } else { cluster })?;
    // Parts of the cluster that are in use do not change.
    let size = shape.subcluster();
    for i in (0..shape.subclusters).filter(|i| own.is_none() || entry.state(*i) != State::Allocated) {
        let start = u64::from(i) * size;
        let end = (start + size).min(if clusters.data.is_some() { len } else { cluster });
        if start < end {
            clusters.data().write_at(place + start, &bytes[index(start)..index(end)])?;
        }
    }
    link(clusters, refcounts, links, upper_number, lower_number, &shape.encode(place))?;
    if own.is_none() && clusters.data.is_none() {
        let released = entry.stream.or(entry.place.map(|place| place..place + cluster));
        links.released.extend(released);
    }
    Ok(())
}

/// Records an L2 entry to be written to its table, or to a copy of the table if that is shared or missing.
fn link(
    clusters: &Clusters,
    refcounts: &mut Refcounts,
    links: &mut Links,
    upper_number: u64,
    lower_number: u64,
    entry: &[u8],
) -> Result<()> {
    let cluster = clusters.shape.cluster;
    let at = lower_number * clusters.shape.entry_size();
    let upper = clusters.upper(upper_number)?;
    if let Some(table) = upper.table.filter(|_| upper.copied) {
        links.lower.push((table + at, entry.to_vec()));
        return Ok(());
    }
    if !links.tables.contains_key(&upper_number) {
        let mut bytes = vec![0; index(cluster)];
        if let Some(shared) = upper.table {
            clusters.tables.read(shared, &mut bytes)?;
            links.released.push(shared..shared + cluster);
        }
        links.tables.insert(upper_number, (refcounts.allocate()?, bytes));
    }
    if let Some((_, table)) = links.tables.get_mut(&upper_number) {
        table[index(at)..index(at) + entry.len()].copy_from_slice(entry);
    }
    Ok(())
}

/// Extends the file with the guest's data to at least `end` bytes.
fn make_long_enough(clusters: &Clusters, end: u64) -> Result<()> {
    let data = clusters.data();
    if data.len()? < end { data.set_len(end) } else { Ok(()) }
}
