//! Entries of L1 and L2 tables.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Cluster mapping": "L1 table entry", "L2 table entry", "Standard Cluster
//! Descriptor", "Compressed Clusters Descriptor", "Extended L2 Entries". All numbers are big-endian.

use std::ops::Range;

use super::header::{DATA_FILE, EXTENDED_L2, Header};
use hivewright_error::{Code, Error, Kind, Result, Space};

/// Bits 9 to 55: the offset of a cluster or table in its file.
pub(super) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The cluster or table has a refcount of exactly one and may be written in place.
pub(super) const COPIED: u64 = 1 << 63;
/// The entry points to a compressed cluster.
pub(super) const COMPRESSED: u64 = 1 << 62;
/// The cluster reads as zeros. Only in version 3 without extended L2 entries.
const ZERO: u64 = 1;

/// The geometry of the tables of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Bytes of a cluster.
    pub cluster: u64,
    /// Subclusters of a cluster: 32 with extended L2 entries, else 1.
    pub subclusters: u32,
    has_zero_flag: bool,
    has_data_file: bool,
}

/// An entry of an L2 table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The offset of the cluster in the file, or in the data file.
    pub place: Option<u64>,
    /// Whether the cluster may be written in place, provided that the table may.
    pub copied: bool,
    /// The byte range of the compressed cluster in the file. Its last sector may end past the end of the file.
    pub stream: Option<Range<u64>>,
    /// The subclusters whose data are in the cluster: one bit each, the first one lowest.
    allocated: u32,
    /// The subclusters that read as zeros.
    zeros: u32,
}

/// The state of a subcluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Allocated,
    Zeros,
    Parent,
}

impl Shape {
    pub(super) fn of(header: &Header) -> Self {
        let extended = header.incompatible & EXTENDED_L2 != 0;
        Shape {
            cluster: header.cluster,
            subclusters: if extended { 32 } else { 1 },
            has_zero_flag: header.version >= 3 && !extended,
            has_data_file: header.incompatible & DATA_FILE != 0,
        }
    }

    /// Returns the size of an entry of an L2 table in bytes.
    pub(super) fn entry_size(&self) -> u64 {
        if self.subclusters == 1 { 8 } else { 16 }
    }

    /// Returns the number of entries of an L2 table.
    pub(super) fn entries(&self) -> u64 {
        self.cluster / self.entry_size()
    }

    /// Returns the size of a subcluster in bytes.
    pub(super) fn subcluster(&self) -> u64 {
        self.cluster / u64::from(self.subclusters)
    }

    /// Returns the bitmap of all subclusters of a cluster.
    fn all(&self) -> u32 {
        u32::MAX >> (32 - self.subclusters)
    }

    /// Decodes an L2 entry: its descriptor, and its bitmap, which is 0 without extended entries. `at` is its offset in
    /// the file.
    ///
    /// # Errors
    /// `qcow2-tables`: the entry violates the format.
    pub(super) fn decode(&self, descriptor: u64, bitmap: u64, at: u64) -> Result<Entry> {
        let copied = descriptor & COPIED != 0;
        if descriptor & COMPRESSED != 0 {
            if self.has_data_file {
                return Err(broken("a cluster is compressed although the image has a data file", at));
            }
            if bitmap != 0 {
                return Err(broken("a compressed cluster has subclusters", at));
            }
            let stream = Some(self.stream(descriptor));
            return Ok(Entry { place: None, copied: false, stream, allocated: 0, zeros: 0 });
        }
        let offset = descriptor & OFFSET;
        // The first cluster of a data file has offset 0.
        let place = (offset != 0 || self.has_data_file && copied).then_some(offset);
        if !offset.is_multiple_of(self.cluster) {
            return Err(broken("the offset of a cluster is not a multiple of the cluster size", at));
        }
        let (allocated, zeros) = if self.subclusters == 1 {
            let zeros = u32::from(self.has_zero_flag && descriptor & ZERO != 0);
            (u32::from(place.is_some()) & !zeros, zeros)
        } else {
            // The upper half marks zeros.
            (u32::try_from(bitmap & u64::from(u32::MAX)).unwrap_or(0), u32::try_from(bitmap >> 32).unwrap_or(0))
        };
        if allocated & zeros != 0 || allocated != 0 && place.is_none() {
            return Err(broken("a subcluster is both allocated and zero", at));
        }
        Ok(Entry { place, copied, stream: None, allocated, zeros })
    }

    /// Returns the byte range of a compressed cluster. The larger the cluster, the more bits hold the number of
    /// sectors, and the fewer the offset.
    fn stream(&self, descriptor: u64) -> Range<u64> {
        let bits = 62 - (self.cluster.trailing_zeros() - 8);
        let start = descriptor & ((1 << bits) - 1) & (OFFSET | 511);
        // The count excludes the first sector.
        let more = (descriptor & (COMPRESSED - 1)) >> bits;
        start..(start / 512 + 1 + more) * 512
    }

    /// Encodes the entry of a cluster that lies at `place` completely: descriptor and bitmap.
    pub(super) fn encode(&self, place: u64) -> Vec<u8> {
        let mut bytes = (COPIED | place).to_be_bytes().to_vec();
        if self.subclusters > 1 {
            bytes.extend(u64::from(self.all()).to_be_bytes());
        }
        bytes
    }
}

impl Entry {
    /// The entry of an unallocated cluster.
    pub(super) const ABSENT: Entry = Entry { place: None, copied: false, stream: None, allocated: 0, zeros: 0 };

    /// Returns the state of a subcluster of a cluster that is not compressed.
    pub(super) fn state(&self, subcluster: u32) -> State {
        match (self.allocated >> subcluster & 1, self.zeros >> subcluster & 1) {
            (1, _) => State::Allocated,
            (_, 1) => State::Zeros,
            _ => State::Parent,
        }
    }
}

pub(super) fn broken(what: &str, at: u64) -> Error {
    Error::new(Kind::Corrupt, Code::Qcow2Tables, what).at(Space::File, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(version: u32, incompatible: u64) -> Shape {
        Shape::of(&Header { version, cluster: 1 << 16, incompatible, ..Header::default() })
    }

    #[test]
    fn standard_entries_of_each_version() {
        let at = |version, descriptor| shape(version, 0).decode(descriptor, 0, 0).unwrap();
        assert_eq!(at(3, 0), Entry::ABSENT);
        let data = at(3, COPIED | 0x5_0000);
        assert_eq!((data.place, data.copied, data.state(0)), (Some(0x5_0000), true, State::Allocated));
        assert_eq!((at(3, 1).place, at(3, 1).state(0)), (None, State::Zeros));
        assert_eq!((at(3, 0x5_0001).place, at(3, 0x5_0001).state(0)), (Some(0x5_0000), State::Zeros));
        // Version 2 has no zero flag.
        assert_eq!(at(2, 0x5_0001).state(0), State::Allocated);
        assert_eq!(shape(3, 0).decode(0x5_0200, 0, 8).unwrap_err().code(), "qcow2-tables");
        assert_eq!(shape(3, 0).encode(0x5_0000), (COPIED | 0x5_0000).to_be_bytes());
    }

    #[test]
    fn compressed_clusters_count_further_sectors() {
        let descriptor = COMPRESSED | 3 << 54 | 0x12345;
        assert_eq!(shape(3, 0).decode(descriptor, 0, 0).unwrap().stream, Some(0x12345..0x12200 + 4 * 512));
        assert!(shape(3, DATA_FILE).decode(descriptor, 0, 0).is_err());
        assert!(shape(3, EXTENDED_L2).decode(descriptor, 1, 0).is_err());
    }

    #[test]
    fn each_subcluster_has_a_state() {
        let shape = shape(3, EXTENDED_L2);
        let entry = shape.decode(COPIED | 0x5_0000, 1 << 33 | 1, 0).unwrap();
        assert_eq!([0, 1, 2].map(|i| entry.state(i)), [State::Allocated, State::Zeros, State::Parent]);
        assert!(shape.decode(COPIED | 0x5_0000, 1 << 32 | 1, 0).is_err());
        assert!(shape.decode(0, 1, 0).is_err());
        assert_eq!(shape.encode(0x5_0000)[8..], [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn a_data_file_has_a_cluster_at_its_start() {
        let at = |descriptor| shape(3, DATA_FILE).decode(descriptor, 0, 0).unwrap();
        assert_eq!((at(COPIED).place, at(0).place), (Some(0), None));
    }
}
