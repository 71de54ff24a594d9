//! A file of a FAT volume, as a storage on top of the volume.

use std::sync::Arc;

use super::chain::Chain;
use super::{DirEntry, Geometry, corrupt};
use crate::error::{Error, Kind, Place, Result, Space};
use crate::storage::Storage;

/// A stretch of a file that is contiguous in the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    /// Bytes from the start of the file.
    pub file_offset: u64,
    /// Bytes from the start of the volume.
    pub volume_offset: u64,
    /// Bytes.
    pub len: u64,
}

/// A file. Reading and writing stay inside of its length, and so inside clusters that it owns.
pub struct FatFile {
    volume: Arc<dyn Storage>,
    entry: DirEntry,
    extents: Vec<Extent>,
}

impl FatFile {
    /// Follows the chain of `entry` to its end.
    pub(super) fn open(volume: Arc<dyn Storage>, geometry: &Geometry, entry: &DirEntry) -> Result<Self> {
        let mut extents: Vec<Extent> = Vec::new();
        let mut covered = 0;
        let cluster_size = u64::from(geometry.cluster_size);
        // An empty file has no chain: its first cluster is 0.
        if entry.first_cluster != 0 || entry.len != 0 {
            let mut chain = Chain::new(&*volume, geometry, entry.first_cluster);
            while let Some(offset) = chain.next()?.and_then(|cluster| geometry.offset_of(cluster)) {
                match extents.last_mut() {
                    Some(last) if last.volume_offset + last.len == offset => last.len += cluster_size,
                    _ => extents.push(Extent { file_offset: covered, volume_offset: offset, len: cluster_size }),
                }
                covered += cluster_size;
            }
        }
        if covered < entry.len {
            return Err(corrupt("fat-chain-short", "the chain of clusters ends before the file does", entry.offset)
                .expected(format_args!("{} bytes", entry.len), covered));
        }
        Ok(FatFile { volume, entry: entry.clone(), extents })
    }

    /// Its directory entry.
    pub fn entry(&self) -> &DirEntry {
        &self.entry
    }

    /// Its extents in order, without gaps. They end with the last cluster, so often behind the file's last byte.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Bytes that its clusters cover.
    pub fn covered_len(&self) -> u64 {
        self.extents.last().map_or(0, |last| last.file_offset + last.len)
    }

    /// The extents of `len` bytes from `offset` on, cut to that range.
    fn within(&self, offset: u64, len: usize) -> impl Iterator<Item = Extent> {
        let end = offset.saturating_add(len as u64);
        let from = self.extents.partition_point(move |e| e.file_offset + e.len <= offset);
        self.extents[from..].iter().take_while(move |e| e.file_offset < end).map(move |e| {
            let start = offset.max(e.file_offset);
            let stop = end.min(e.file_offset + e.len);
            let volume_offset = e.volume_offset + (start - e.file_offset);
            Extent { file_offset: start, volume_offset, len: stop - start }
        })
    }

    fn check(&self, kind: Kind, code: &'static str, offset: u64, len: usize) -> Result<()> {
        if offset.checked_add(len as u64).is_some_and(|end| end <= self.entry.len) {
            return Ok(());
        }
        Err(Error::new(kind, code, "the file ends before what is asked of it")
            .expected(format_args!("an end of at most {}", self.entry.len), format_args!("{len} bytes at {offset:#x}")))
    }
}

impl std::fmt::Debug for FatFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FatFile")
            .field("entry", &self.entry)
            .field("extents", &self.extents.len())
            .finish_non_exhaustive()
    }
}

impl Storage for FatFile {
    fn len(&self) -> Result<u64> {
        Ok(self.entry.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check(Kind::Io, "past-end", offset, buf.len())?;
        let mut rest = buf;
        for extent in self.within(offset, rest.len()) {
            // Cut to the buffer, so it fits.
            let (part, behind) = rest.split_at_mut(usize::try_from(extent.len).unwrap_or(usize::MAX));
            self.volume.read_at(extent.volume_offset, part)?;
            rest = behind;
        }
        Ok(())
    }

    /// Nothing is written unless all of it fits: `file-too-short`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(Kind::NoRoom, "file-too-short", offset, bytes.len())
            .map_err(|e| e.advise("a file inside a volume cannot grow: write a patched copy"))?;
        let mut rest = bytes;
        for extent in self.within(offset, bytes.len()) {
            let (part, behind) = rest.split_at(usize::try_from(extent.len).unwrap_or(usize::MAX));
            self.volume.write_at(extent.volume_offset, part)?;
            rest = behind;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.volume.flush()
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        let inside = offset < self.entry.len;
        let Some(extent) = self.within(offset, 1).next().filter(|_| inside) else { return Vec::new() };
        let mut places = vec![Place { space: Space::Volume, offset: extent.volume_offset }];
        places.extend(self.volume.locate(extent.volume_offset));
        places
    }
}
