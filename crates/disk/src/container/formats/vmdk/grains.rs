//! Grains: a directory points to tables, and each table entry to a grain in the file.
//!
//! Facts: *Virtual Disk Format 5.0*, "Hosted Sparse Extents" and "ESXi Host Sparse Extents": a directory entry is the
//! sector of a table, a table entry the sector of a grain; 0 means a missing one. If the header has the flag, 1 means
//! zeros.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::overlap::Occupied;
use super::{SECTOR, broken, refusal};
use crate::container::Refusal;
use crate::container::helpers::tables::Tables;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::span::placed;

/// Maximum number of directory entries: those of a disk of 128 TiB with grains of the usual size.
const MAX_TABLES: u64 = 1 << 22;
/// Maximum size of a grain in bytes.
const MAX_GRAIN: u64 = 16 << 20;

/// Maximum size of a grain that is allocated; 64 KiB is usual.
const LARGEST_NEW: u64 = 1 << 20;

/// The fields of an extent's header, in bytes.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Size of the extent in the guest's disk.
    pub(super) capacity: u64,
    /// Size of a grain.
    pub(super) grain: u64,
    /// Entries of a table.
    pub(super) per_table: u64,
    /// Offset of the directory.
    pub(super) directory: u64,
    /// Offset of the redundant directory, with its own tables.
    pub(super) redundant: Option<u64>,
    /// Whether the entry 1 means zeros.
    pub(super) zeroed: bool,
    pub(super) entries: Entries,
    /// Whether grains are compressed, and if so, whether a marker precedes each.
    pub(super) packed: Option<bool>,
    /// Whether grains can be allocated at the end of the file.
    pub(super) grows: bool,
    /// Ranges of the header and of an embedded descriptor: start and end.
    pub(super) metadata: Vec<(u64, u64)>,
    pub(super) refusal: Option<Refusal>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Entries {
    /// 32-bit entries.
    #[default]
    Sectors,
    /// 64-bit entries: see `se_sparse`. Offsets of the tables, of their end, and of the grains.
    Wide { tables: u64, tables_end: u64, grains: u64 },
}

impl Layout {
    /// Returns the number of directory entries.
    pub(super) fn tables(&self) -> u64 {
        self.capacity.div_ceil(self.grain).div_ceil(self.per_table)
    }
}

/// The location of a grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    /// Not in this extent: data of the parent, or zeros.
    Absent,
    Zero,
    At(u64),
}

/// A sparse extent.
pub(super) struct Grains {
    pub(super) file: Arc<dyn Storage>,
    file_len: AtomicU64,
    pub(super) layout: Layout,
    pub(super) remark: Option<&'static str>,
    pub(super) tables: Tables,
    /// Collected at the first write.
    pub(super) known: Mutex<Option<Occupied>>,
}

impl Grains {
    pub(super) fn new(file: Arc<dyn Storage>, layout: Layout) -> Result<Self> {
        let file_len = AtomicU64::new(file.len()?);
        let tables = Tables::new(file.clone(), Code::VmdkTable);
        let mut grains = Grains { file, file_len, layout, remark: None, tables, known: Mutex::default() };
        grains.check()?;
        Ok(grains)
    }

    /// Returns the present size of the file in bytes.
    pub(super) fn file_len(&self) -> u64 {
        self.file_len.load(Ordering::Acquire)
    }

    fn check(&mut self) -> Result<()> {
        let file_len = self.file_len();
        let layout = &mut self.layout;
        let wrong = |what: &str| Err(placed(broken(Code::VmdkHeader, what), &*self.file, 0));
        if !layout.grain.is_power_of_two() || !(SECTOR..=MAX_GRAIN).contains(&layout.grain) {
            return wrong("the size of a grain is not a power of two up to 16 MiB");
        }
        if layout.capacity == 0 || layout.per_table == 0 {
            return wrong("the extent has no bytes, or tables without entries");
        }
        let tables = layout.tables();
        let width = if matches!(layout.entries, Entries::Sectors) { 4 } else { 8 };
        if tables > MAX_TABLES {
            return wrong("the grain directory would have more than four million entries");
        }
        let fits = |start: u64| start.checked_add(tables * width).is_some_and(|end| end <= file_len);
        if fits(layout.directory) {
            return Ok(());
        }
        let second = layout.redundant.take().filter(|&second| fits(second));
        let Some(second) = second else { return wrong("the file ends before the grain directory") };
        layout.directory = second;
        let advice = "copy the image again: programs that read only the first directory cannot read it";
        layout.refusal = Some(refusal(Code::VmdkDamaged, "its first grain directory is damaged", advice));
        self.remark = Some("the first grain directory is not in the file; the second is used");
        Ok(())
    }

    /// Returns the location of the bytes from `offset` on, and how many of them are contiguous there, `most` at most.
    /// The range lies in the extent. The location of a compressed grain is that of the whole grain.
    pub(super) fn run(&self, offset: u64, most: u64) -> Result<(Grain, u64)> {
        let size = self.layout.grain;
        let (index, within) = (offset / size, offset % size);
        let first = self.find(index, self.layout.directory)?;
        let mut len = size - within;
        if let (Grain::At(_), true) = (first, self.layout.packed.is_some()) {
            return Ok((first, len.min(most)));
        }
        let mut next = index + 1;
        while len < most && self.follows(first, next - index, self.find(next, self.layout.directory)?) {
            len += size;
            next += 1;
        }
        let len = len.min(most);
        Ok(match first {
            Grain::At(place) => (Grain::At(self.in_file(place, within, len)?), len),
            nothing => (nothing, len),
        })
    }

    /// Returns whether `grain`, `distance` bytes after `first`, is contiguous with it.
    fn follows(&self, first: Grain, distance: u64, grain: Grain) -> bool {
        match (first, grain) {
            // Sums of an offset below 2^60 and the length of a buffer.
            (Grain::At(first), Grain::At(place)) => first + distance * self.layout.grain == place,
            (first, grain) => first == grain,
        }
    }

    fn in_file(&self, place: u64, within: u64, len: u64) -> Result<u64> {
        let start = place + within;
        if start.checked_add(len).is_some_and(|end| end <= self.file_len()) {
            return Ok(start);
        }
        let error = broken(Code::VmdkGrain, "a grain lies past the end of its file")
            .expected(format_args!("{len} bytes at {start:#x}"), format_args!("{} bytes in all", self.file_len()))
            .advise("the file was truncated: look for a complete copy");
        Err(placed(error, &*self.file, start))
    }

    /// Allocates missing grains at the end of the file, filled with zeros. Allocates none if that is not possible.
    ///
    /// The disk is the same after every prefix of the writes: unused zeros at the end of the file, then entries of the
    /// second tables, then entries of the first tables. If only one of the two entries points to a grain, the grain
    /// has the zeros that the other entry means.
    pub(super) fn make(&self, grains: &[u64]) -> Result<()> {
        let (layout, mut entries) = (&self.layout, [Vec::new(), Vec::new()]);
        let start = self.file_len().next_multiple_of(layout.grain);
        let end = start + grains.len() as u64 * layout.grain;
        // Entries have 32 bits.
        if !layout.grows || layout.grain > LARGEST_NEW || end / SECTOR > u64::from(u32::MAX) {
            return Ok(());
        }
        for (&grain, place) in grains.iter().zip((start..end).step_by(usize::try_from(layout.grain).unwrap_or(1))) {
            let (table, within) = (grain / layout.per_table, grain % layout.per_table);
            for (directory, entries) in [layout.redundant, Some(layout.directory)].into_iter().zip(&mut entries) {
                let Some(directory) = directory else { continue };
                let table = u64::from(u32::from_le_bytes(self.tables.entry(directory + table * 4)?)) * SECTOR;
                // Usually there are tables for the whole extent, even if they are empty.
                if table <= u64::from(layout.zeroed) * SECTOR {
                    return Ok(());
                }
                entries.push((table + within * 4, u32::try_from(place / SECTOR).unwrap_or(u32::MAX)));
            }
        }
        self.file.set_len(end)?;
        self.file.flush()?;
        self.file_len.store(end, Ordering::Release);
        for entries in entries.iter().filter(|entries| !entries.is_empty()) {
            for (at, sector) in entries {
                self.tables.write(*at, &sector.to_le_bytes())?;
            }
            self.file.flush()?;
        }
        Ok(())
    }

    pub(super) fn find(&self, index: u64, directory: u64) -> Result<Grain> {
        let (table, within) = (index / self.layout.per_table, index % self.layout.per_table);
        if let Entries::Wide { .. } = self.layout.entries {
            return self.find_wide(table, within);
        }
        let entry = |place: u64| -> Result<Grain> {
            Ok(match u32::from_le_bytes(self.tables.entry(place)?) {
                0 => Grain::Absent,
                1 if self.layout.zeroed => Grain::Zero,
                sector => Grain::At(u64::from(sector) * SECTOR),
            })
        };
        match entry(directory + table * 4)? {
            Grain::At(table) => entry(table + within * 4),
            nothing => Ok(nothing),
        }
    }

    /// Returns the error for an invalid table entry.
    pub(super) fn bad_entry(&self, what: &str, place: u64, value: u64) -> Error {
        let error =
            Error::new(Kind::Corrupt, Code::VmdkTable, what).expected("a valid entry", format_args!("{value:#x}"));
        placed(error, &*self.file, place)
    }
}
