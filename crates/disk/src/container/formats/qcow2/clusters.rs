//! Maps bytes of the disk to clusters through the L1 and L2 tables.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::compressed::{self, Compression};
use super::entry::{COPIED, Entry, OFFSET, Shape, State, broken};
use super::header::{COMPRESSION, Header};
use super::refcounts::Refcounts;
use super::write;
use crate::container::cut_short;
use crate::container::helpers::block_cache::BlockCache;
use crate::container::helpers::block_mapping::{self, BlockMapping, Location, ReadRun};
use crate::container::helpers::tables::{Tables, index};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::span::placed;

/// The tables of an image, and the files with its clusters.
pub(super) struct Clusters {
    pub(super) file: Arc<dyn Storage>,
    pub(super) header: Header,
    pub(super) shape: Shape,
    /// The external data file.
    pub(super) data: Option<Arc<dyn Storage>>,
    /// The disk of the backing file.
    pub(super) parent: Option<Arc<dyn Storage>>,
    pub(super) tables: Tables,
    /// The refcounts, once the image is written to.
    pub(super) refcounts: Mutex<Option<Refcounts>>,
    /// Cache of decompressed clusters by the offset of the stream, which no write reuses.
    decompressed: Mutex<BlockCache>,
}

/// An entry of an L1 table.
#[derive(Clone, Copy)]
pub(super) struct Upper {
    /// The offset of the L2 table, if there is one.
    pub table: Option<u64>,
    /// Whether the table may be written in place.
    pub copied: bool,
}

impl Clusters {
    pub(super) fn new(
        file: Arc<dyn Storage>,
        header: Header,
        data: Option<Arc<dyn Storage>>,
        parent: Option<Arc<dyn Storage>>,
    ) -> Self {
        let (shape, tables) = (Shape::of(&header), Tables::new(file.clone(), Code::Qcow2Tables));
        let (refcounts, decompressed) = (Mutex::default(), Mutex::default());
        Clusters { file, header, shape, data, parent, tables, refcounts, decompressed }
    }

    /// Returns the file with the guest's data.
    pub(super) fn data(&self) -> &dyn Storage {
        &**self.data.as_ref().unwrap_or(&self.file)
    }

    /// Returns the entry of the L1 table with that number.
    pub(super) fn upper(&self, number: u64) -> Result<Upper> {
        let at = self.header.l1.offset + number * 8;
        let entry = u64::from_be_bytes(self.tables.entry(at)?);
        let table = Some(entry & OFFSET).filter(|table| *table != 0);
        if table.is_some_and(|table| !table.is_multiple_of(self.shape.cluster)) {
            return Err(broken("the offset of an L2 table is not a multiple of the cluster size", at));
        }
        if let Some(table) = table {
            let (end, len) = (table + self.shape.cluster, self.file.len()?);
            if end > len {
                let error = cut_short(Code::Qcow2Header, "an L2 table ends past its end", end, len);
                return Err(placed(error, &*self.file, table));
            }
        }
        Ok(Upper { table, copied: entry & COPIED != 0 })
    }

    /// Returns entry `number` of the L2 table at `table`.
    pub(super) fn lower(&self, table: u64, number: u64) -> Result<Entry> {
        let at = table + number * self.shape.entry_size();
        let descriptor = u64::from_be_bytes(self.tables.entry(at)?);
        let bitmap = if self.shape.subclusters > 1 { u64::from_be_bytes(self.tables.entry(at + 8)?) } else { 0 };
        self.shape.decode(descriptor, bitmap, at)
    }

    /// Returns the location of the byte of the disk at `offset`, in a cluster with this entry, and the number of bytes
    /// that follow it there. `len` is the length of the file with the guest's data.
    fn location(&self, entry: &Entry, offset: u64, len: u64) -> Result<(Location<'_>, u64)> {
        let (cluster, subcluster) = (self.shape.cluster, self.shape.subcluster());
        let within = offset % cluster;
        if let Some(stream) = &entry.stream {
            let (start, end) = (stream.start, stream.end);
            let read: ReadRun<'_> = Box::new(move |out| self.read_compressed(start, end, index(within), out));
            return Ok((Location::Compressed(read), cluster - within));
        }
        // Fewer than 32 subclusters.
        let first = u32::try_from(within / subcluster).unwrap_or(0);
        let state = entry.state(first);
        let alike = (first..self.shape.subclusters).take_while(|i| entry.state(*i) == state).count() as u64;
        let run = (u64::from(first) + alike) * subcluster - within;
        let location = match (state, entry.place) {
            (State::Allocated, Some(place)) => return self.in_file(place + within, run, len),
            (State::Zeros, _) => Location::Zeros,
            _ => Location::Parent,
        };
        Ok((location, run))
    }

    /// Returns the location of bytes at `place`, as far as the file has them.
    fn in_file(&self, place: u64, run: u64, len: u64) -> Result<(Location<'_>, u64)> {
        let file = self.data();
        if place < len {
            return Ok((Location::File(file, place), run.min(len - place)));
        }
        let error = cut_short(Code::Qcow2Header, "a cluster ends past its end", place + run, len);
        Err(placed(error, file, place))
    }

    fn read_compressed(&self, start: u64, end: u64, within: usize, out: &mut [u8]) -> Result<()> {
        let zstd = self.header.incompatible & COMPRESSION != 0;
        let compression = if zstd { Compression::Zstd } else { Compression::Zlib };
        let mut decompressed = self.decompressed.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = decompressed.block(start, index(self.shape.cluster), |bytes| {
            compressed::read(&*self.file, start..end, compression, bytes)?;
            Ok(bytes.len())
        })?;
        out.copy_from_slice(&bytes[within..within + out.len()]);
        Ok(())
    }

    /// Fills `buf` with the bytes of the disk at `offset`.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        block_mapping::read(self, self.parent.as_deref(), offset, buf)
    }

    pub(super) fn refcounts(&self) -> MutexGuard<'_, Option<Refcounts>> {
        self.refcounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockMapping for Clusters {
    fn map(&self, offset: u64, len: u64) -> Result<(Location<'_>, u64)> {
        // Query the length once for all clusters of a run.
        let (entries, file_len) = (self.shape.entries(), self.data().len()?);
        let mut number = offset / self.shape.cluster;
        let entry = |table: Option<u64>, number: u64| match table {
            Some(table) => self.lower(table, number % entries),
            None => Ok(Entry::ABSENT),
        };
        let at_disk = |error: Error| error.at(Space::Disk, offset);
        let upper = self.upper(number / entries).map_err(at_disk)?;
        let found =
            entry(upper.table, number).and_then(|entry| self.location(&entry, offset, file_len)).map_err(at_disk)?;
        let (location, mut run) = found;
        // Most clusters are contiguous. A run ends with the L2 table.
        while run < len && !matches!(location, Location::Compressed(_)) {
            let next = offset + run;
            number += 1;
            if next != number * self.shape.cluster || number.is_multiple_of(entries) {
                break;
            }
            // Errors of the next cluster are reported when it is read.
            let Ok((more, len)) = entry(upper.table, number).and_then(|entry| self.location(&entry, next, file_len))
            else {
                break;
            };
            match (&location, more) {
                (Location::File(_, at), Location::File(_, more)) if *at + run == more => run += len,
                (Location::Zeros, Location::Zeros) | (Location::Parent, Location::Parent) => run += len,
                _ => break,
            }
        }
        Ok((location, run.min(len)))
    }

    fn prepare_write(&self, offset: u64, len: u64) -> Result<()> {
        write::prepare(self, offset, len)
    }

    fn not_allocated(&self, offset: u64, _: &Location<'_>) -> Error {
        Error::new(Kind::Io, Code::Qcow2Tables, "a cluster that was just allocated is missing").at(Space::Disk, offset)
    }

    fn flush(&self) -> Result<()> {
        if let Some(data) = &self.data {
            data.flush()?;
        }
        self.file.flush()
    }
}
