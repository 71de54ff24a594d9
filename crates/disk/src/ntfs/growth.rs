//! Growth of a file. The order of the writes:
//!
//! 1. zeros, to the new clusters and to the bytes past the valid data length;
//! 2. `$Bitmap`: marks the new clusters as in use. A crash leaves unused clusters, which chkdsk frees;
//! 3. the record: run list, highest cluster, allocated size, length and valid length. Usually all changes are in one
//!    stride of 512 bytes, which a medium writes atomically: the record keeps its update sequence number, and a crash
//!    leaves the old or the new record. Otherwise the record gets the next number, so that a torn record is detected.
//!    Windows and this program refuse it until it is restored from the undo file;
//! 4. the copies of the sizes in the index of each folder with a name of the file. Windows shows them in lists. When
//!    it opens the file, it uses the sizes of the record and updates the copies.
//!
//! Not changed: `$MFTMirr`, which copies only records of the file system; `$LogFile`, which is empty or closed, so that
//! no replay overwrites these bytes; times and sequence number of the record; the sizes in the record's `$FILE_NAME`,
//! which Windows does not update either; the change journal (`$UsnJrnl`), which does not record any write here. Where
//! quotas are used, `$Quota` is updated when Windows recounts. Shadow copies are not checked. A cluster that was free
//! when a copy was made has no data of it. A cluster that was freed since may have data that only the copy uses.
//!
//! A file whose run list is in several records is refused: no order of two writes keeps it consistent.

use zerocopy::FromBytes;
use zerocopy::little_endian::U64;

use super::attribute::{self, Form, NonResident, kind};
use super::draft::{Draft, Number};
use super::folder::{Folder, KeyPlace, NAMES};
use super::index::{FileName, key};
use super::mft::part;
use super::record::{self, Record};
use super::{ClusterMap, Ntfs, corrupt, runs};
use crate::files::growth::{Group, Growth, Search, VolumePatch, choose, is_needed, too_long};
use crate::files::{FileInVolume, Files};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::advised;

/// Records below this one belong to the file system.
const FIRST_OF_USERS: u64 = 16;
/// Maximum number of names of one file whose folders are updated; more than a hive has.
const MOST_NAMES: usize = 64;

/// Plans the growth of the file at `path` to `len` bytes. `None` if it does not exist.
pub(super) fn plan(ntfs: &Ntfs, path: &str, len: u64) -> Result<Option<Growth>> {
    let (Some(file), Some(record)) = (ntfs.file(path)?, ntfs.resolve(path)?) else { return Ok(None) };
    let volume = ntfs.mft.cache.volume().clone();
    if !is_needed(&file, &ntfs.state()?, len)? {
        return Growth::new(volume, &file, len, &[], Vec::new()).map(Some);
    }
    if record.number < FIRST_OF_USERS {
        return Err(Error::refused(Code::FileOfFileSystem, "the file belongs to the file system itself"));
    }
    ntfs.confirm(&file)?;
    let cluster = ntfs.geometry().cluster;
    let wanted = len.div_ceil(cluster).saturating_sub(file.facts().covered_len / cluster);
    if i64::try_from(len.div_ceil(cluster).saturating_mul(cluster)).is_err() {
        return Err(too_long(len));
    }
    let mut map = ClusterMap::open(&ntfs.mft)?;
    let added = find(ntfs, &mut map, &file, wanted)?;
    let sizes = Sizes {
        allocated: file.facts().covered_len + wanted * cluster,
        len,
        covered: file.facts().covered_len / cluster,
    };
    let groups = vec![
        Group { what: "cluster bitmap", patches: map.mark(&added)? },
        Group { what: "file record", patches: of_record(ntfs, &record, &sizes, &added)?.patches(Number::Renewed)? },
        Group { what: "size in the folder", patches: of_folders(ntfs, &record, &sizes)? },
    ];
    let added: Vec<(u64, u64)> = added.iter().map(|&(start, len)| (start * cluster, len * cluster)).collect();
    Growth::new(volume, &file, len, &added, groups).map(Some)
}

/// The new sizes of a file.
struct Sizes {
    /// Bytes of its clusters.
    allocated: u64,
    /// Length in bytes, all of them valid.
    len: u64,
    /// Clusters before the growth.
    covered: u64,
}

/// Returns free clusters for `file`: after its last one as far as they are free, then as few runs as possible.
fn find(ntfs: &Ntfs, map: &mut ClusterMap<'_>, file: &FileInVolume, wanted: u64) -> Result<Vec<(u64, u64)>> {
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let cluster = ntfs.geometry().cluster;
    let behind = file.extents().last().and_then(|last| Some((last.volume_offset? + last.len) / cluster));
    let adjacent = match behind {
        Some(start) => Some((start, map.free_from(start, wanted)?)).filter(|run| run.1 > 0),
        None => None,
    };
    let rest = wanted - adjacent.map_or(0, |run| run.1);
    let mut added: Vec<(u64, u64)> = adjacent.into_iter().collect();
    if rest > 0 {
        let mut search = Search::new(rest);
        map.free_runs(|start, len| {
            if adjacent.is_none_or(|run| run.0 != start) {
                search.show(start, len);
            }
        })?;
        added.extend(choose(search, rest, cluster)?);
    }
    expect_unused(ntfs, &added)?;
    Ok(added)
}

/// Checks that no cluster that the map marks as free belongs to the file system or is bad.
fn expect_unused(ntfs: &Ntfs, added: &[(u64, u64)]) -> Result<()> {
    let cluster = ntfs.geometry().cluster;
    let expect = |start: u64, len: u64| {
        let hit = added.iter().find(|run| run.0 * cluster < start + len && start < (run.0 + run.1) * cluster);
        hit.map_or(Ok(()), |run| {
            Err(corrupt(
                Code::NtfsBitmap,
                "$Bitmap marks clusters as free that are bad or in use by the file system",
                run.0 * cluster,
            )
            .advise(format!("before the edit, {}", advised::repair())))
        })
    };
    expect(0, 1)?;
    // $MFT, $MFTMirr, $LogFile, $Bitmap, $Boot, and the bad clusters, which a hole follows and precedes.
    for (number, name) in [(0, ""), (1, ""), (2, ""), (6, ""), (7, ""), (8, "$Bad")] {
        let Some(stream) = ntfs.mft.stream(&ntfs.mft.record(number)?, kind::DATA, name)? else { continue };
        for extent in stream.extents().map(|extents| extents.as_slice()).unwrap_or_default() {
            extent.volume_offset.map_or(Ok(()), |start| expect(start, extent.len))?;
        }
    }
    Ok(())
}

/// Returns the changed record with the run list.
fn of_record(ntfs: &Ntfs, base: &Record, sizes: &Sizes, added: &[(u64, u64)]) -> Result<Draft> {
    let parts = ntfs.mft.parts(base, kind::DATA, "")?;
    let number = match parts[..] {
        [(number, 0)] => number,
        // Only the first part has the sizes.
        [(number, 0), ..] if added.is_empty() => number,
        _ => {
            return Err(Error::new(
                Kind::NoRoom,
                Code::FileInManyRecords,
                "the file would grow, but it is so fragmented that its run list is in several records",
            )
            .expected("one record", parts.len())
            .advise(ADVICE));
        }
    };
    let record = ntfs.mft.record(number)?;
    let gone = || corrupt(Code::NtfsNoData, "a file has no data attribute", record.at);
    let data = part(&record, kind::DATA, "", 0)?.ok_or_else(gone)?;
    let Form::Runs(_, encoded) = data.form else { return Err(gone()) };
    let mut draft = ntfs.mft.draft(number)?;
    if !added.is_empty() {
        let runs_at = data.at + data.body as u64;
        let runs = runs::extend(encoded, sizes.covered, runs_at, added)?;
        set_runs(&mut draft, data.offset, data.length, data.body, &runs)?;
    }
    let start = data.offset + size_of::<attribute::Header>();
    let (header, _) = NonResident::mut_from_prefix(&mut draft.bytes[start..]).map_err(|_| gone())?;
    if !added.is_empty() {
        header.highest_vcn = U64::new((sizes.allocated / ntfs.geometry().cluster).wrapping_sub(1));
        header.allocated = U64::new(sizes.allocated);
    }
    header.len = U64::new(sizes.len);
    header.valid_len = U64::new(sizes.len);
    Ok(draft)
}

/// Replaces the run list of the attribute at `offset`, which has `length` bytes and its run list at `body`, by `runs`,
/// and moves the bytes after it.
fn set_runs(draft: &mut Draft, offset: usize, length: usize, body: usize, runs: &[u8]) -> Result<()> {
    let at = draft.at();
    let wrong = || corrupt(Code::NtfsRecord, "a file record that ends before its attributes", at);
    let needed = (body + runs.len()).next_multiple_of(8).max(length);
    let (more, size) = (needed - length, draft.bytes.len());
    let (header, _) = record::Header::mut_from_prefix(&mut draft.bytes).map_err(|_| wrong())?;
    // Both were checked to lie in the record when it was read.
    let used = usize::try_from(header.used.get()).map_err(|_| wrong())?;
    let room = usize::try_from(header.allocated.get()).unwrap_or(usize::MAX).min(size);
    if offset + length > used {
        return Err(wrong());
    }
    if used + more > room {
        return Err(Error::new(
            Kind::NoRoom,
            Code::FileRecordFull,
            "the file would grow, but its record has no space for a longer run list",
        )
        .expected(format_args!("{} bytes in the record", used + more), room)
        .advise(ADVICE));
    }
    header.used = u32::try_from(used + more).map_err(|_| wrong())?.into();
    draft.bytes.copy_within(offset + length..used, offset + needed);
    draft.bytes[offset + body..offset + needed].fill(0);
    draft.bytes[offset + body..offset + body + runs.len()].copy_from_slice(runs);
    let (header, _) = attribute::Header::mut_from_prefix(&mut draft.bytes[offset..]).map_err(|_| wrong())?;
    header.length = u32::try_from(needed).map_err(|_| wrong())?.into();
    Ok(())
}

const ADVICE: &str =
    "defragment the file with Windows, or mount the volume and edit the hive there, where a new file takes its place";

/// Returns the patches that update the sizes in the folders. A folder without the name is skipped.
fn of_folders(ntfs: &Ntfs, base: &Record, sizes: &Sizes) -> Result<Vec<VolumePatch>> {
    let mut drafts: Vec<Draft> = Vec::new();
    for (parent, name) in file_names(ntfs, base)? {
        let folder = ntfs.mft.referred(parent)?;
        if !folder.is_folder {
            continue;
        }
        let place = Folder::open(&ntfs.mft, &folder)?.key_place(&name, base.number, ntfs.upcase()?)?;
        let (draft, offset) = match place {
            None => continue,
            Some(KeyPlace::Root(in_value)) => {
                let [(number, 0)] = ntfs.mft.parts(&folder, kind::INDEX_ROOT, NAMES)?[..] else { continue };
                let record = ntfs.mft.record(number)?;
                let Some(root) = part(&record, kind::INDEX_ROOT, NAMES, 0)? else { continue };
                (ntfs.mft.draft(number)?, root.offset + root.body + in_value)
            }
            Some(KeyPlace::Block { blocks, at, len, offset }) => {
                (Draft::read(&ntfs.mft.cache, &blocks, at, len, Code::NtfsIndexTorn)?, offset)
            }
        };
        // Two names may be in one block.
        let known = drafts.iter().position(|known| known.at() == draft.at());
        let known = known.unwrap_or_else(|| {
            drafts.push(draft);
            drafts.len() - 1
        });
        let bytes = drafts[known].bytes.get_mut(offset..).unwrap_or_default();
        if let Ok((copy, _)) = FileName::mut_from_prefix(bytes) {
            copy.allocated = U64::new(sizes.allocated);
            copy.len = U64::new(sizes.len);
        }
    }
    let patches = drafts.iter().map(|draft| draft.patches(Number::Kept)).collect::<Result<Vec<_>>>()?;
    Ok(patches.into_iter().flatten().collect())
}

/// Returns the names of the file and their folders, according to its attributes.
fn file_names(ntfs: &Ntfs, base: &Record) -> Result<Vec<(record::Reference, Vec<u16>)>> {
    let mut numbers: Vec<u64> = ntfs.mft.parts(base, kind::FILE_NAME, "")?.into_iter().map(|part| part.0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut found = Vec::new();
    for number in numbers {
        let record = ntfs.mft.record(number)?;
        for attribute in record.attributes() {
            let attribute = attribute?;
            let Form::Resident(value) = attribute.form else { continue };
            let key = (attribute.kind == kind::FILE_NAME).then(|| key(value)).flatten();
            if let Some(key) = key.filter(|_| found.len() < MOST_NAMES) {
                found.push((key.parent, key.units().collect()));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
