//! Growth of a file. The order of the writes:
//!
//! 1. zeros, to the new clusters and to the rest of the present last cluster;
//! 2. the chain of the new clusters, with its end, in every FAT. A crash leaves an unreferenced chain;
//! 3. the entry of the present last cluster, which then points to that chain, in every FAT. A crash leaves a file with
//!    clusters after its end;
//! 4. the folder entry of the file: the length, and the first cluster of a file that had none. It lies in one sector;
//! 5. FSInfo of FAT32, which is a hint: the number of free clusters, and the last allocated one.
//!
//! Times and the archive bit of the entry do not change. An entry of 12 bits may lie in two sectors: a crash during
//! step 3 may then leave half of it, which the undo file repairs.

use super::chain::{Chain, EntryPlace, end_of_chain};
use super::{DirEntry, Fat, FatType, Geometry, corrupt, file};
use crate::files::Files;
use crate::files::growth::{Group, Growth, Search, VolumePatch, choose, is_needed, too_long};
use hivewright_error::{Code, Result};
use hivewright_storage::span::lay_over;
use hivewright_storage::{Storage, advised};

/// Offsets of the length and of both halves of the first cluster in a folder entry (fatgen103, "FAT Directory
/// Structure").
const LEN: u64 = 28;
const FIRST_HIGH: u64 = 20;
const FIRST_LOW: u64 = 26;

/// FSInfo (fatgen103, "FAT32 FSInfo Sector Structure"): its three signatures with their offsets, then the number of
/// free clusters and the last allocated one.
const SIGNATURES: [(usize, u32); 3] = [(0, 0x4161_5252), (484, 0x6141_7272), (508, 0xaa55_0000)];
const FREE_COUNT: usize = 488;
const UNKNOWN: u32 = u32::MAX;

/// Plans the growth of the file of `entry` to `len` bytes.
pub(super) fn plan(fat: &Fat, entry: &DirEntry, len: u64) -> Result<Growth> {
    let (volume, geometry) = (&*fat.volume, &fat.geometry);
    let file = file::open(fat.volume.clone(), geometry, entry)?;
    if !is_needed(&file, &fat.state()?, len)? {
        return Growth::new(fat.volume.clone(), &file, len, &[], Vec::new());
    }
    let len_field = u32::try_from(len).map_err(|_| too_long(len))?;
    let cluster = u64::from(geometry.cluster_size);
    let had = file.facts().covered_len / cluster;
    let wanted = len.div_ceil(cluster).saturating_sub(had);
    let last = file.extents().last().and_then(|last| geometry.cluster_at(last.volume_offset? + last.len - 1));
    let (runs, free) = find(volume, geometry, last, wanted)?;
    let added: Vec<u32> = runs.iter().flat_map(|run| run.0..run.0 + run.1).collect();
    let end = end_of_chain(geometry.fat_type) | 7;
    let chain = added.iter().zip(added.iter().skip(1).chain([&end])).map(|(&from, &to)| (from, to)).collect();
    let link = last.iter().zip(added.first()).map(|(&from, &to)| (from, to)).collect();
    let first = added.first().copied().filter(|_| last.is_none());
    let chain = set_entries(volume, geometry, chain, &[], |now| now == 0)?;
    let link = set_entries(volume, geometry, link, &chain, |now| now >= end_of_chain(geometry.fat_type))?;
    let groups = vec![
        Group { what: "cluster chain", patches: chain },
        Group { what: "link to the chain", patches: link },
        Group { what: "folder entry", patches: of_folder(volume, geometry, entry, len_field, first)? },
        Group { what: "FSInfo", patches: of_fs_info(volume, geometry, &added, free)? },
    ];
    let place = |run: &(u32, u32)| Some((geometry.offset_of(run.0)?, u64::from(run.1) * cluster));
    let added: Vec<(u64, u64)> = runs.iter().filter_map(place).collect();
    Growth::new(fat.volume.clone(), &file, len, &added, groups)
}

/// Returns free runs (first cluster and number of clusters), and the number of all free clusters: after `last` as far
/// as possible, then as few runs as possible.
fn find(volume: &dyn Storage, geometry: &Geometry, last: Option<u32>, wanted: u64) -> Result<(Vec<(u32, u32)>, u64)> {
    if wanted == 0 {
        return Ok((Vec::new(), 0));
    }
    let there = volume.len()?.saturating_sub(geometry.data_offset) / u64::from(geometry.cluster_size);
    let limit = 2 + u64::from(geometry.clusters).min(there);
    let mut fat = Chain::new(volume, geometry, 0);
    let mut is_free = |cluster: u64| Ok(cluster < limit && fat.entry(number(cluster))? == 0);
    let behind = last.map_or(limit, |last| u64::from(last) + 1);
    let mut adjacent = 0;
    while adjacent < wanted && is_free(behind + adjacent)? {
        adjacent += 1;
    }
    let (rest, mut free) = (wanted - adjacent, 0);
    let (mut search, mut start) = (Search::new(rest), None);
    for cluster in 2..=limit {
        let is = is_free(cluster)?;
        free += u64::from(is);
        match (is, start) {
            (true, None) => start = Some(cluster),
            (false, Some(first)) => {
                if first != behind {
                    search.show(first, cluster - first);
                }
                start = None;
            }
            _ => {}
        }
    }
    let mut runs: Vec<(u32, u32)> =
        Some((number(behind), number(adjacent))).filter(|run| run.1 > 0).into_iter().collect();
    let chosen = choose(search, rest, u64::from(geometry.cluster_size))?;
    runs.extend(chosen.into_iter().map(|(start, len)| (number(start), number(len))));
    Ok((runs, free))
}

/// Converts a number of clusters, which is below 2^28.
fn number(clusters: u64) -> u32 {
    u32::try_from(clusters).unwrap_or(u32::MAX)
}

/// Returns the patches that set the entries of clusters in every FAT, after `earlier` is written; `is_now` checks the
/// present value of each.
fn set_entries(
    volume: &dyn Storage,
    geometry: &Geometry,
    mut entries: Vec<(u32, u32)>,
    earlier: &[VolumePatch],
    is_now: impl Fn(u32) -> bool,
) -> Result<Vec<VolumePatch>> {
    entries.sort_unstable();
    let mut patches: Vec<VolumePatch> = Vec::new();
    for &fat in &geometry.fats {
        for &(cluster, value) in &entries {
            let EntryPlace { at, width, mask, shift } = EntryPlace::of(geometry.fat_type, cluster);
            let at = fat + at;
            // Entries are adjacent, and those of 12 bits share bytes: one patch for all that touch.
            let last = patches.pop_if(|last| (last.offset..=last.offset + last.old.len() as u64).contains(&at));
            let mut last = last.unwrap_or_else(|| VolumePatch { offset: at, old: Vec::new(), new: Vec::new() });
            let end = at + width as u64;
            let (from, mut more) = (last.offset + last.old.len() as u64, [0; 4]);
            // Four bytes at most.
            let more = &mut more[..usize::try_from(end - from).unwrap_or(0)];
            volume.read_at(from, more)?;
            last.old.extend_from_slice(more);
            earlier.iter().for_each(|patch| lay_over(more, from, patch.offset, &patch.new));
            last.new.extend_from_slice(more);
            let start = last.new.len() - width;
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte));
            let before = (number(&last.old[start..]) & mask) >> shift;
            if !is_now(before) {
                return Err(corrupt(Code::FatCopies, "the copies of the FAT differ", at)
                    .expected("a free cluster, or the end of a chain", before)
                    .advise(format!("before the edit, {}", advised::repair())));
            }
            let new = number(&last.new[start..]) & !mask | value << shift & mask;
            last.new[start..].copy_from_slice(&new.to_le_bytes()[..width]);
            patches.push(last);
        }
    }
    Ok(patches)
}

/// Returns the patches that set the length, and the first cluster of a file that had none.
fn of_folder(
    volume: &dyn Storage,
    geometry: &Geometry,
    entry: &DirEntry,
    len: u32,
    first: Option<u32>,
) -> Result<Vec<VolumePatch>> {
    let mut patches = vec![patch(volume, entry.offset + LEN, &len.to_le_bytes())?];
    if let Some(first) = first {
        let [low, low_too, high @ ..] = first.to_le_bytes();
        patches.push(patch(volume, entry.offset + FIRST_LOW, &[low, low_too])?);
        if geometry.fat_type == FatType::Fat32 {
            patches.push(patch(volume, entry.offset + FIRST_HIGH, &high)?);
        }
    }
    Ok(patches)
}

/// Returns the patches of FSInfo's free count, if it has one.
fn of_fs_info(volume: &dyn Storage, geometry: &Geometry, added: &[u32], free: u64) -> Result<Vec<VolumePatch>> {
    let (Some(at), Some(last)) = (geometry.fs_info, added.last()) else { return Ok(Vec::new()) };
    let mut sector = [0; 512];
    volume.read_at(at, &mut sector)?;
    let field = |at: usize| u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]);
    let is_one = SIGNATURES.iter().all(|&(at, signature)| field(at) == signature);
    if !is_one || field(FREE_COUNT) == UNKNOWN {
        return Ok(Vec::new());
    }
    let count = number(free.saturating_sub(added.len() as u64));
    let [a, b, c, d] = count.to_le_bytes();
    let [e, f, g, h] = last.to_le_bytes();
    Ok(vec![patch(volume, at + FREE_COUNT as u64, &[a, b, c, d, e, f, g, h])?])
}

fn patch(volume: &dyn Storage, offset: u64, new: &[u8]) -> Result<VolumePatch> {
    let mut old = vec![0; new.len()];
    volume.read_at(offset, &mut old)?;
    Ok(VolumePatch { offset, old, new: new.to_vec() })
}

#[cfg(test)]
mod tests;
