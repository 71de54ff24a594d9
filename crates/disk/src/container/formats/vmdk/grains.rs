//! Grains: a directory leads to tables, and a table to where each grain lies in the file.
//!
//! Facts: *Virtual Disk Format 5.0*, "Hosted Sparse Extents" and "ESXi Host Sparse Extents": an entry of the directory
//! is the sector of a table, an entry of a table the sector of a grain; 0 stands for one that is not there. Where the
//! header says so, 1 stands for zeros.

use std::sync::{Arc, Mutex};

use super::overlap::Occupied;
use super::{SECTOR, broken, refusal};
use crate::container::Refusal;
use crate::container::helpers::tables::Tables;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::span::placed;

/// Entries of a directory at most: those of a disk of 128 TiB with usual grains.
const MAX_TABLES: u64 = 1 << 22;
/// Bytes of a grain at most.
const MAX_GRAIN: u64 = 16 << 20;

/// The fields of an extent's header, in bytes.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Bytes of the guest.
    pub(super) capacity: u64,
    /// Bytes of a grain.
    pub(super) grain: u64,
    /// Entries of a table.
    pub(super) per_table: u64,
    /// Where the directory is.
    pub(super) directory: u64,
    /// Where the second directory is, with tables of its own.
    pub(super) redundant: Option<u64>,
    /// Whether the entry 1 stands for zeros.
    pub(super) zeroed: bool,
    pub(super) entries: Entries,
    /// Whether grains are compressed, and then whether a marker stands before each.
    pub(super) packed: Option<bool>,
    /// Where the header is, and a descriptor: start and end.
    pub(super) metadata: Vec<(u64, u64)>,
    pub(super) refusal: Option<Refusal>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Entries {
    /// Of 32 bits.
    #[default]
    Sectors,
    /// Of 64 bits: see `se_sparse`. Where tables and grains begin, and where the tables end.
    Wide { tables: u64, tables_end: u64, grains: u64 },
}

impl Layout {
    /// Entries of the directory.
    pub(super) fn tables(&self) -> u64 {
        self.capacity.div_ceil(self.grain).div_ceil(self.per_table)
    }
}

/// Where a grain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    /// Not in this extent: in the parent, or zeros.
    Absent,
    Zero,
    At(u64),
}

/// A sparse extent.
pub(super) struct Grains {
    pub(super) file: Arc<dyn Storage>,
    pub(super) file_len: u64,
    pub(super) layout: Layout,
    pub(super) remark: Option<&'static str>,
    pub(super) tables: Tables,
    /// Filled at the first write.
    pub(super) known: Mutex<Option<Occupied>>,
}

impl Grains {
    pub(super) fn new(file: Arc<dyn Storage>, layout: Layout) -> Result<Self> {
        let file_len = file.len()?;
        let tables = Tables::new(file.clone(), Code::VmdkTable);
        let mut grains = Grains { file, file_len, layout, remark: None, tables, known: Mutex::default() };
        grains.check()?;
        Ok(grains)
    }

    fn check(&mut self) -> Result<()> {
        let layout = &mut self.layout;
        let wrong = |what: &str| Err(placed(broken(Code::VmdkHeader, what), &*self.file, 0));
        if !layout.grain.is_power_of_two() || !(SECTOR..=MAX_GRAIN).contains(&layout.grain) {
            return wrong("the size of a grain is no power of two up to 16 MiB");
        }
        if layout.capacity == 0 || layout.per_table == 0 {
            return wrong("the extent has no bytes, or tables without entries");
        }
        let tables = layout.tables();
        let width = if matches!(layout.entries, Entries::Sectors) { 4 } else { 8 };
        if tables > MAX_TABLES {
            return wrong("the directory would have more than four million entries");
        }
        let fits = |start: u64| start.checked_add(tables * width).is_some_and(|end| end <= self.file_len);
        if fits(layout.directory) {
            return Ok(());
        }
        let second = layout.redundant.take().filter(|&second| fits(second));
        let Some(second) = second else { return wrong("the file ends before the directory of grains") };
        layout.directory = second;
        let advice = "take another copy of the image: what reads only the first directory does not read this one";
        layout.refusal = Some(refusal(Code::VmdkDamaged, "its first directory of grains is damaged", advice));
        self.remark = Some("the first directory of grains is not in the file: read through the second");
        Ok(())
    }

    /// Returns where the bytes from `offset` on are, and how many of them lie there one after the other, `most` at most. All
    /// of them lie inside of the extent. Of a compressed grain it is the place of the whole grain.
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

    /// Whether the grain `distance` after `first` goes on where that would.
    fn follows(&self, first: Grain, distance: u64, grain: Grain) -> bool {
        match (first, grain) {
            // Sums of a place below 2^60 and the length of a buffer.
            (Grain::At(first), Grain::At(place)) => first + distance * self.layout.grain == place,
            (first, grain) => first == grain,
        }
    }

    fn in_file(&self, place: u64, within: u64, len: u64) -> Result<u64> {
        let start = place + within;
        if start.checked_add(len).is_some_and(|end| end <= self.file_len) {
            return Ok(start);
        }
        let error = broken(Code::VmdkGrain, "a grain lies past the end of its file")
            .expected(format_args!("{len} bytes at {start:#x}"), format_args!("{} bytes in all", self.file_len))
            .advise("the file was cut short: look for a whole copy");
        Err(placed(error, &*self.file, start))
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

    /// An error of an entry of a table.
    pub(super) fn bad_entry(&self, what: &str, place: u64, value: u64) -> Error {
        let error = Error::new(Kind::Corrupt, Code::VmdkTable, what)
            .expected("an entry as the format has it", format_args!("{value:#x}"));
        placed(error, &*self.file, place)
    }
}
