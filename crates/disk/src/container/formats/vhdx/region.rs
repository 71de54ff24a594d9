//! The region tables: the places of the block allocation table and the metadata ([MS-VHDX] 2.2.3).

use super::crc;
use super::fields::{Guid, MIB, corrupt, index};
use crate::container::cut_short;
use crate::little_endian::{u32_at, u64_at};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;

/// Offsets of the two copies.
const PLACES: [u64; 2] = [192 << 10, 256 << 10];
/// Bytes of a copy.
const SIZE: usize = 64 << 10;
const SIGNATURE: &[u8; 4] = b"regi";
const ENTRY: usize = 32;
const MOST_ENTRIES: u32 = 2047;

const BAT: Guid = Guid::of(0x2dc27766_f623_4200_9d64_115e9bfd4a08);
const METADATA: Guid = Guid::of(0x8b7ca206_4790_4b9a_b8fe_575f050f886e);

/// A range of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) offset: u64,
    pub(super) len: u64,
}

impl Region {
    /// Returns the end. It was checked not to overflow when the region was made.
    pub(super) fn end(self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    pub(super) fn overlaps(self, other: Region) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }
}

/// The entries of the region table.
pub(super) struct Regions {
    pub(super) bat: Region,
    pub(super) metadata: Region,
    /// Ranges that no block may overlap: headers, log, regions.
    pub(super) taken: Vec<Region>,
}

/// Reads the first valid copy. `log` is the range of the log.
pub(super) fn read(file: &dyn Storage, log: (u64, u64), remarks: &mut Vec<(Code, String)>) -> Result<Regions> {
    for at in PLACES {
        let mut bytes = vec![0; SIZE];
        file.read_at(at, &mut bytes)?;
        if bytes.starts_with(SIGNATURE) && u32_at(&bytes, 4) == crc::with_hole(&bytes) {
            if at != PLACES[0] {
                remarks.push((Code::VhdxRegionTableDamaged, "only the second region table is valid".into()));
            }
            return parse(&bytes, at, file.len()?, log);
        }
    }
    let what = "neither region table has its signature and the right checksum";
    Err(corrupt(Code::VhdxRegionTable, what, PLACES[0])
        .advise("the image is damaged or truncated: look for another copy of it"))
}

fn parse(bytes: &[u8], table: u64, file_len: u64, (log, log_len): (u64, u64)) -> Result<Regions> {
    let count = u32_at(bytes, 8);
    if count > MOST_ENTRIES {
        return Err(corrupt(Code::VhdxRegionTable, "the region table has too many entries", table)
            .expected(MOST_ENTRIES, count));
    }
    let (mut bat, mut metadata) = (None, None);
    let mut taken = vec![Region { offset: 0, len: MIB }, Region { offset: log, len: log_len }];
    taken.retain(|region| region.len > 0);
    for (i, entry) in bytes[16..].chunks_exact(ENTRY).take(index(count.into())).enumerate() {
        let at = table + 16 + (i * ENTRY) as u64;
        let (guid, offset, len) = (Guid::at(entry, 0), u64_at(entry, 16), u64::from(u32_at(entry, 24)));
        let is_aligned = offset % MIB == 0 && len % MIB == 0 && len > 0;
        if is_aligned && offset < 1 << 50 && offset + len > file_len {
            let what = format!("its region {guid} ends past its end");
            return Err(cut_short(Code::VhdxRegionTable, what, offset + len, file_len).at(Space::File, at));
        }
        if !is_aligned || offset.checked_add(len).is_none_or(|end| end > file_len) {
            return Err(corrupt(Code::VhdxRegionTable, format!("the place of the region {guid} is invalid"), at)
                .expected(
                    format_args!("multiples of 1 MiB in a file of {file_len} bytes"),
                    format_args!("{len} bytes at {offset:#x}"),
                )
                .advise("the image is damaged or truncated: look for another copy of it"));
        }
        let region = Region { offset, len };
        if let Some(other) = taken.iter().find(|other| other.overlaps(region)) {
            return Err(corrupt(
                Code::VhdxRegionTable,
                format!("the region {guid} overlaps the range at {:#x}", other.offset),
                at,
            ));
        }
        taken.push(region);
        let known = match guid {
            BAT => &mut bat,
            METADATA => &mut metadata,
            _ if u32_at(entry, 28) & 1 == 0 => continue,
            _ => return Err(unknown(guid, at)),
        };
        if known.replace(region).is_some() {
            return Err(corrupt(Code::VhdxRegionTable, format!("there are two regions {guid}"), at));
        }
    }
    let missing = |what| corrupt(Code::VhdxRegionTable, format!("there is no {what} region"), table);
    let bat = bat.ok_or_else(|| missing("block allocation table"))?;
    Ok(Regions { bat, metadata: metadata.ok_or_else(|| missing("metadata"))?, taken })
}

fn unknown(guid: Guid, at: u64) -> Error {
    let what = format!("the image requires its region {guid}, which is not supported");
    Error::new(Kind::Unsupported, Code::VhdxRegion, what)
        .at(Space::File, at)
        .advise("convert a copy of it with the program that made it")
}
