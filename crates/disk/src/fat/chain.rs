//! Chains of clusters in the file allocation table (fatgen103, "FAT Data Structure").

use super::boot_sector::{FatType, Geometry};
use super::corrupt;
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;

/// Bytes of the FAT read at once; an entry of 12 bits may straddle two blocks.
const BLOCK: u64 = 4096;

/// Follows one chain and caches the last block of the FAT.
pub(super) struct Chain<'a> {
    volume: &'a dyn Storage,
    geometry: &'a Geometry,
    /// Offset in the FAT of `block`.
    at: u64,
    block: Vec<u8>,
    next: Option<u32>,
    /// Brent's cycle detection: an earlier cluster, and the number of steps until it is replaced.
    tortoise: u32,
    steps: u64,
    limit: u64,
}

impl<'a> Chain<'a> {
    /// Creates the chain that begins with `first`.
    pub(super) fn new(volume: &'a dyn Storage, geometry: &'a Geometry, first: u32) -> Self {
        Chain { volume, geometry, at: 0, block: Vec::new(), next: Some(first), tortoise: first, steps: 0, limit: 1 }
    }

    /// Returns the next cluster, validated.
    ///
    /// # Errors
    /// `fat-chain-cluster`: an invalid cluster number, or a free or bad cluster. `fat-chain-cycle`.
    pub(super) fn next(&mut self) -> Result<Option<u32>> {
        let Some(cluster) = self.next else { return Ok(None) };
        if self.geometry.offset_of(cluster).is_none() {
            return Err(corrupt(
                Code::FatChainCluster,
                "a cluster chain contains an invalid cluster number",
                self.geometry.fat_offset,
            )
            .expected(format_args!("2 to {}", self.geometry.clusters + 1), cluster));
        }
        let entry = self.entry(cluster)?;
        self.next = (entry < end_of_chain(self.geometry.fat_type)).then_some(entry);
        if self.next == Some(self.tortoise) {
            let what = "a cluster chain is a cycle";
            return Err(corrupt(Code::FatChainCycle, what, self.geometry.fat_offset).expected("an end", cluster));
        }
        self.steps += 1;
        if self.steps == self.limit {
            self.tortoise = entry;
            self.limit *= 2;
            self.steps = 0;
        }
        Ok(Some(cluster))
    }

    /// Returns the entry of `cluster` in the low bits.
    pub(super) fn entry(&mut self, cluster: u32) -> Result<u32> {
        let place = EntryPlace::of(self.geometry.fat_type, cluster);
        let mut bytes = [0; 4];
        for (i, byte) in (0..).zip(&mut bytes[..place.width]) {
            *byte = self.byte(place.at + i)?;
        }
        Ok((u32::from_le_bytes(bytes) & place.mask) >> place.shift)
    }

    fn byte(&mut self, at: u64) -> Result<u8> {
        let start = at - at % BLOCK;
        if self.block.is_empty() || self.at != start {
            // The FAT may end inside a block, but not before a requested byte: entries lie inside it.
            let len = BLOCK.min(self.geometry.fat_len.saturating_sub(start));
            self.block.resize(usize::try_from(len).unwrap_or(0), 0);
            self.at = start;
            if let Err(error) = self.volume.read_at(self.geometry.fat_offset + start, &mut self.block) {
                self.block.clear();
                return Err(error);
            }
        }
        Ok(self.block.get(usize::try_from(at - start).unwrap_or(usize::MAX)).copied().unwrap_or(0))
    }
}

/// The place of a cluster's entry: bits of a little-endian number whose other bits belong to the adjacent entry (12
/// bits) or are preserved (32).
pub(super) struct EntryPlace {
    /// Bytes from the start of the FAT.
    pub(super) at: u64,
    /// Bytes of the number.
    pub(super) width: usize,
    /// The bits that are the entry.
    pub(super) mask: u32,
    /// The shift of these bits.
    pub(super) shift: u32,
}

impl EntryPlace {
    pub(super) fn of(fat_type: FatType, cluster: u32) -> Self {
        let bits = u64::from(cluster) * fat_type.bits();
        let shift = if bits.is_multiple_of(8) { 0 } else { 4 };
        let (width, mask) = match fat_type {
            FatType::Fat12 => (2, 0xfff << shift),
            FatType::Fat16 => (2, 0xffff),
            FatType::Fat32 => (4, 0x0fff_ffff),
        };
        EntryPlace { at: bits / 8, width, mask, shift }
    }
}

/// Returns the least value that ends a chain.
pub(super) fn end_of_chain(fat_type: FatType) -> u32 {
    match fat_type {
        FatType::Fat12 => 0xff8,
        FatType::Fat16 => 0xfff8,
        FatType::Fat32 => 0x0fff_fff8,
    }
}

/// Returns whether the volume is dirty, and whether it had a disk error, according to the boot sector or the high bits
/// of the FAT's entry 1, which are set on a healthy volume (fatgen103; FAT12 has none).
pub(super) fn status_bits(volume: &dyn Storage, geometry: &Geometry) -> Result<[bool; 2]> {
    let entry = Chain::new(volume, geometry, 0).entry(1)?;
    let (clean, healthy) = match geometry.fat_type {
        FatType::Fat12 => (0, 0),
        FatType::Fat16 => (0x8000, 0x4000),
        FatType::Fat32 => (0x0800_0000, 0x0400_0000),
    };
    Ok([geometry.status & 1 != 0 || entry & clean != clean, geometry.status & 2 != 0 || entry & healthy != healthy])
}
