//! `$Bitmap`, record 6: the clusters in use, one bit each (Linux-NTFS documentation, "$Bitmap").

use std::collections::BTreeMap;

use super::attribute::kind;
use super::corrupt;
use super::mft::Mft;
use super::record::is_transformed;
use super::stream::Stream;
use crate::files::Extent;
use crate::files::growth::VolumePatch;
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::advised;

const RECORD: u64 = 6;
/// Number of bytes of the map that are read at once.
const PIECE: u64 = 4096;

/// The map of clusters.
pub(crate) struct ClusterMap<'m> {
    mft: &'m Mft,
    stream: Stream,
    /// The last piece, with its number.
    piece: (u64, Vec<u8>),
}

impl<'m> ClusterMap<'m> {
    pub(crate) fn open(mft: &'m Mft) -> Result<Self> {
        let record = mft.record(RECORD)?;
        let none = || corrupt(Code::NtfsBitmap, "$Bitmap has no data", record.at);
        let stream = mft.stream(&record, kind::DATA, "")?.ok_or_else(none)?;
        Ok(ClusterMap { mft, stream, piece: (u64::MAX, Vec::new()) })
    }

    /// Returns eight clusters from `8 * at` on; those past the end of the map are free.
    fn byte(&mut self, at: u64) -> Result<u8> {
        let number = at / PIECE;
        if self.piece.0 != number {
            let len = PIECE.min(self.stream.len.saturating_sub(number * PIECE));
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            self.stream.read_at(&self.mft.cache, number * PIECE, &mut bytes)?;
            self.piece = (number, bytes);
        }
        Ok(usize::try_from(at % PIECE).ok().and_then(|i| self.piece.1.get(i)).copied().unwrap_or(0))
    }

    fn is_used(&mut self, cluster: u64) -> Result<bool> {
        Ok(self.byte(cluster / 8)? >> (cluster % 8) & 1 != 0)
    }

    /// Checks that all clusters of `extents` are in use.
    pub(crate) fn confirm(&mut self, extents: &[Extent]) -> Result<()> {
        let (cluster, len) = (self.mft.geometry.cluster, self.mft.cache.len());
        for extent in extents {
            let Some(start) = extent.volume_offset else { continue };
            // The storage bounds the loop, not the boot sector.
            if start + extent.len > len {
                return Err(corrupt(Code::VolumeTruncated, "the storage ends before the file does", start)
                    .expected(format_args!("more than {} bytes", start + extent.len), len)
                    .advise("the image is truncated: copy the disk again"));
            }
            for number in start / cluster..(start + extent.len).div_ceil(cluster) {
                if !self.is_used(number)? {
                    let what = "a cluster of the file is marked as free";
                    return Err(Error::new(Kind::Corrupt, Code::FileClustersFree, what)
                        .at(Space::Volume, number * cluster)
                        .advise(format!("before the edit, {}", advised::repair())));
                }
            }
        }
        Ok(())
    }

    /// Returns the number of clusters that can be allocated: they are in the volume, its storage and the valid part of
    /// the map.
    pub(crate) fn limit(&self) -> u64 {
        let geometry = &self.mft.geometry;
        let there = self.mft.cache.len() / geometry.cluster;
        geometry.clusters.min(there).min(self.stream.valid_len.saturating_mul(8))
    }

    /// Returns the number of contiguous free clusters from `start` on, at most `most`.
    pub(crate) fn free_from(&mut self, start: u64, most: u64) -> Result<u64> {
        let end = self.limit().min(start.saturating_add(most));
        let mut at = start;
        while at < end && !self.is_used(at)? {
            at += 1;
        }
        Ok(at.saturating_sub(start))
    }

    /// Passes every run of free clusters to a function, in order: the first cluster and the number of clusters.
    pub(crate) fn free_runs(&mut self, mut show: impl FnMut(u64, u64)) -> Result<()> {
        let limit = self.limit();
        let (mut start, mut at) = (None, 0);
        while at < limit {
            let byte = self.byte(at / 8)?;
            // Whole bytes of the same kind at once.
            let step = if at.is_multiple_of(8) && matches!(byte, 0 | 0xff) { 8.min(limit - at) } else { 1 };
            match (byte >> (at % 8) & 1 == 0, start) {
                (true, None) => start = Some(at),
                (false, Some(first)) => {
                    show(first, at - first);
                    start = None;
                }
                _ => {}
            }
            at += step;
        }
        if let Some(first) = start {
            show(first, limit - first);
        }
        Ok(())
    }

    /// Returns the patches that mark `runs`, which are free, as in use.
    pub(crate) fn mark(&mut self, runs: &[(u64, u64)]) -> Result<Vec<VolumePatch>> {
        let wrong = |what| corrupt(Code::NtfsBitmap, what, self.stream.at).advise(advised::repair());
        let extents = self.stream.extents().ok_or_else(|| wrong("$Bitmap is resident"))?;
        if is_transformed(self.stream.flags) {
            return Err(wrong("$Bitmap is compressed or encrypted"));
        }
        let mut masks: BTreeMap<u64, u8> = BTreeMap::new();
        for &(start, len) in runs {
            for byte in start / 8..(start + len).div_ceil(8) {
                let of_run = |bit: &u64| (start..start + len).contains(&(byte * 8 + bit));
                let mask = (0..8).filter(of_run).fold(0, |mask, bit| mask | 1 << bit);
                *masks.entry(byte).or_default() |= mask;
            }
        }
        let mut patches: Vec<VolumePatch> = Vec::new();
        for (byte, mask) in masks {
            let at = extents.from(byte).and_then(|extent| extent.volume_offset);
            let at = at.ok_or_else(|| wrong("a part of $Bitmap has no clusters"))?;
            let mut old = [0];
            self.stream.read_at(&self.mft.cache, byte, &mut old)?;
            if old[0] & mask != 0 {
                return Err(wrong("a cluster that was free is in use"));
            }
            let new = old[0] | mask;
            match patches.last_mut() {
                Some(last) if last.offset + last.old.len() as u64 == at => {
                    last.old.push(old[0]);
                    last.new.push(new);
                }
                _ => patches.push(VolumePatch { offset: at, old: old.to_vec(), new: vec![new] }),
            }
        }
        Ok(patches)
    }
}
