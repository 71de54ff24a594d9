//! Folders: entries of 32 bytes, long names in entries before the one they belong to (fatgen103, "FAT Directory
//! Structure" and "FAT Long Directory Entries").

use super::chain::Chain;
use super::{FatType, Geometry, corrupt};
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;

/// Maximum size of a folder in bytes: 65536 entries (fatgen103).
const MOST_BYTES: u64 = 65536 * 32;
const LONG_NAME: u8 = 0x0f;
const VOLUME_LABEL: u8 = 0x08;
const FOLDER: u8 = 0x10;
/// The label that tools write if there is none.
const NO_LABEL: &str = "NO NAME";
/// The first byte of a free entry.
const FREE: u8 = 0xe5;

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DirEntry {
    /// The long name, or the short one if there is none. Damaged UTF-16 and characters of the OEM code page show as
    /// U+FFFD.
    pub name: String,
    /// The 8.3 name.
    pub short_name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Length in bytes; 0 for a folder.
    pub len: u64,
    /// Attribute bits.
    pub attributes: u8,
    /// First cluster of its chain; 0 for none.
    pub first_cluster: u32,
    /// Offset of the entry in the volume, in bytes.
    pub offset: u64,
}

/// The target of a path.
pub(super) enum Found {
    Root,
    Entry(DirEntry),
}

impl Found {
    pub(super) fn is_folder(&self) -> bool {
        match self {
            Found::Root => true,
            Found::Entry(entry) => entry.is_folder,
        }
    }
}

/// Returns the entry of `folder` with the long or short name `name`.
pub(super) fn find(volume: &dyn Storage, geometry: &Geometry, folder: &Found, name: &str) -> Result<Option<DirEntry>> {
    let mut found = None;
    walk(volume, geometry, folder, |entry| {
        let is = same_name(&entry.name, name) || same_name(&entry.short_name, name);
        if is {
            found = Some(entry);
        }
        !is
    })?;
    Ok(found)
}

/// Returns all entries of `folder`.
pub(super) fn entries(volume: &dyn Storage, geometry: &Geometry, folder: &Found) -> Result<Vec<DirEntry>> {
    let mut all = Vec::new();
    walk(volume, geometry, folder, |entry| {
        all.push(entry);
        true
    })?;
    Ok(all)
}

/// Returns the volume label, an entry of the root folder; empty for none. Windows shows only this label, and keeps the
/// one in the boot sector as it was when the volume was formatted.
pub(super) fn label(volume: &dyn Storage, geometry: &Geometry) -> Result<String> {
    let mut label = String::new();
    walk_raw(volume, geometry, &Found::Root, |raw, _| {
        let is_label =
            raw[11] & 0x3f != LONG_NAME && raw[11] & (VOLUME_LABEL | FOLDER) == VOLUME_LABEL && raw[0] != FREE;
        if is_label {
            label = text(&raw[..11]);
        }
        !is_label
    })?;
    Ok(if label == NO_LABEL { String::new() } else { label })
}

/// Compares names without regard to case, character by character. Undecodable names never match.
fn same_name(a: &str, b: &str) -> bool {
    let upper = |c: char| {
        let mut upper = c.to_uppercase();
        if upper.len() == 1 { upper.next().unwrap_or(c) } else { c }
    };
    !a.contains(char::REPLACEMENT_CHARACTER) && a.chars().map(upper).eq(b.chars().map(upper))
}

/// Passes the entries of `folder` to `each` until it returns `false`.
fn walk(
    volume: &dyn Storage,
    geometry: &Geometry,
    folder: &Found,
    mut each: impl FnMut(DirEntry) -> bool,
) -> Result<()> {
    let mut long = LongName::default();
    walk_raw(volume, geometry, folder, |raw, at| {
        match (raw[0], raw[11]) {
            (FREE, _) => long.clear(),
            (_, attributes) if attributes & 0x3f == LONG_NAME => long.push(raw),
            (_, attributes) if attributes & VOLUME_LABEL != 0 => long.clear(),
            // `.` and `..`.
            (b'.', _) => long.clear(),
            _ => return each(entry(raw, at, geometry, &mut long)),
        }
        true
    })
}

/// Passes the 32 bytes of each entry of `folder`, and their offset, to `each` until it returns `false`.
fn walk_raw(
    volume: &dyn Storage,
    geometry: &Geometry,
    folder: &Found,
    mut each: impl FnMut(&[u8; 32], u64) -> bool,
) -> Result<()> {
    // Walks the entries in a piece of a folder at `offset`. Returns whether the folder continues.
    let mut block = |bytes: &[u8], offset: u64| {
        (offset..).step_by(32).zip(bytes.as_chunks::<32>().0).all(|(at, raw)| raw[0] != 0 && each(raw, at))
    };
    let first = match folder {
        Found::Root if geometry.fat_type != FatType::Fat32 => {
            // At most 65535 entries, or 2 MiB.
            let mut bytes = vec![0; usize::try_from(geometry.root_len).unwrap_or(0)];
            volume.read_at(geometry.root_offset, &mut bytes)?;
            block(&bytes, geometry.root_offset);
            return Ok(());
        }
        Found::Root => geometry.root_cluster,
        Found::Entry(entry) => entry.first_cluster,
    };
    let mut chain = Chain::new(volume, geometry, first);
    let mut bytes = vec![0; geometry.cluster_size as usize];
    let mut done = 0;
    while let Some(offset) = chain.next()?.and_then(|cluster| geometry.offset_of(cluster)) {
        if done >= MOST_BYTES {
            return Err(corrupt(Code::FatFolderLong, "a folder has more than 65536 entries", offset));
        }
        volume.read_at(offset, &mut bytes)?;
        if !block(&bytes, offset) {
            break;
        }
        done += u64::from(geometry.cluster_size);
    }
    Ok(())
}

fn entry(raw: &[u8; 32], offset: u64, geometry: &Geometry, long: &mut LongName) -> DirEntry {
    let u16_at = |at: usize| u32::from(u16::from_le_bytes([raw[at], raw[at + 1]]));
    // Before FAT32 the high word had other uses.
    let high = if geometry.fat_type == FatType::Fat32 { u16_at(20) } else { 0 };
    let is_folder = raw[11] & FOLDER != 0;
    let short_name = short_name(raw);
    let name = long.take(raw).unwrap_or_else(|| short_name.clone());
    DirEntry {
        name,
        short_name,
        is_folder,
        len: if is_folder { 0 } else { u64::from(u16_at(28) | u16_at(30) << 16) },
        attributes: raw[11],
        first_cluster: (high << 16 | u16_at(26)) & 0x0fff_ffff,
        offset,
    }
}

/// Returns the short name as `NAME.EXT`. Bytes above 127 are characters of a code page that the volume does not name; a
/// 5 at the start stands for E5.
fn short_name(raw: &[u8; 32]) -> String {
    let (base, extension) = (text(&raw[..8]), text(&raw[8..11]));
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}

/// Returns the number of bytes of the OEM code page, without the spaces that fill them up.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|&b| b != b' ').map_or(0, |i| i + 1);
    bytes[..end]
        .iter()
        .map(|&b| if (b' '..0x80).contains(&b) { char::from(b) } else { char::REPLACEMENT_CHARACTER })
        .collect()
}

/// The pieces of a long name; the last piece comes first.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    /// The number of the last piece read; 1 is the first of the name.
    order: u8,
    checksum: u8,
}

impl LongName {
    fn clear(&mut self) {
        self.order = 0;
        self.units.clear();
    }

    fn push(&mut self, raw: &[u8; 32]) {
        let (order, is_last) = (raw[0] & 0x3f, raw[0] & 0x40 != 0);
        if is_last {
            self.clear();
            self.checksum = raw[13];
        } else if self.order == 0 || order != self.order - 1 || raw[13] != self.checksum {
            return self.clear();
        }
        // 255 units in pieces of 13.
        if !(1..=20).contains(&order) {
            return self.clear();
        }
        self.order = order;
        let pieces = raw[1..11].iter().chain(&raw[14..26]).chain(&raw[28..32]).copied().collect::<Vec<u8>>();
        let piece = pieces.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
        self.units.splice(0..0, piece);
    }

    /// Returns the name, if it is complete and belongs to the short entry `raw`.
    fn take(&mut self, raw: &[u8; 32]) -> Option<String> {
        let sum = raw[..11].iter().fold(0u8, |sum, &b| sum.rotate_right(1).wrapping_add(b));
        let whole = self.order == 1 && sum == self.checksum;
        let name = self.units.split(|&unit| unit == 0).next().map(String::from_utf16_lossy);
        self.clear();
        name.filter(|name| whole && !name.is_empty())
    }
}
