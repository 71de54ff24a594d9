//! The header of a qcow2 image.
//!
//! Facts: QEMU, docs/interop/qcow2.rst, "Header", "Header extensions", "Snapshots".

use std::ops::Range;

use super::damaged;
use super::entry::Shape;
use crate::container::cut_short;
use crate::container::helpers::nbd::no_text;
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// `QFI\xfb`.
pub(super) const MAGIC: &[u8] = b"QFI\xfb";
/// Offset of the offset of the refcount table (8 bytes) and the number of its clusters (4).
pub(super) const REFCOUNT_TABLE: u64 = 48;
/// Offset of the incompatible feature bits.
pub(super) const INCOMPATIBLE: u64 = 72;
/// Offset of the autoclear feature bits.
pub(super) const AUTOCLEAR: u64 = 88;
/// Incompatible: the refcounts may be wrong, because the image was not closed.
pub(super) const DIRTY: u64 = 1;
/// Incompatible: a program found the image damaged.
pub(super) const CORRUPT: u64 = 1 << 1;
/// Incompatible: the guest's data are in another file.
pub(super) const DATA_FILE: u64 = 1 << 2;
/// The header extension with the name of the data file.
pub(super) const DATA_FILE_NAME: u64 = 0x4441_5441;
/// Incompatible: compressed clusters use another compression than zlib.
pub(super) const COMPRESSION: u64 = 1 << 3;
/// The compression type of zstd.
const ZSTD: u32 = 1;
/// Incompatible: L2 entries have 16 bytes.
pub(super) const EXTENDED_L2: u64 = 1 << 4;
/// Autoclear: bitmaps are up to date.
pub(super) const BITMAPS: u64 = 1;
/// Autoclear: the external data file is a raw image of the guest's bytes.
pub(super) const RAW_DATA_FILE: u64 = 1 << 1;

/// Maximum size of a header with its extensions in bytes.
const MAX_HEADER: u64 = 64 << 10;
/// Maximum size of an L1 table in bytes; the limit of QEMU.
const MAX_L1: u64 = 32 << 20;
/// Maximum size of a refcount table in bytes; the limit of QEMU.
pub(super) const MAX_REFCOUNT_TABLE: u64 = 8 << 20;
/// Maximum number of snapshots; the limit of QEMU.
const MAX_SNAPSHOTS: u64 = 65536;
/// Maximum size of the name of a backing file in bytes.
const MAX_NAME: u64 = 1023;

/// Upper bound of a file's length: an offset past it is invalid, a smaller one past the end means a truncated file.
const MOST_OF_A_FILE: u64 = 1 << 50;

/// The validated header: tables lie within the file and fit into memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub version: u32,
    /// Bytes of a cluster, 512 to 2 MiB.
    pub cluster: u64,
    /// Size of the guest's disk in bytes.
    pub size: u64,
    /// The L1 table.
    pub l1: Table,
    /// The refcount table.
    pub refcounts: Table,
    /// Bits of a refcount, 1 to 64.
    pub refcount_bits: u32,
    /// Offset of the snapshot table, and the number of snapshots.
    pub snapshots: (u64, u64),
    pub incompatible: u64,
    pub compatible: u64,
    pub autoclear: u64,
    pub backing: Option<String>,
    pub backing_format: Option<String>,
    pub data_file: Option<String>,
}

/// A table of big-endian 64-bit numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// Offset in the file.
    pub offset: u64,
    /// Number of entries.
    pub entries: u64,
}

/// The first bytes of the file.
struct Bytes(Vec<u8>);

impl Bytes {
    fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        self.0.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }

    fn u32(&self, at: u64) -> Result<u32> {
        let bytes = self.get(at..at + 4).and_then(|b| b.first_chunk());
        bytes.map(|b| u32::from_be_bytes(*b)).ok_or_else(|| damaged("the header is truncated", at))
    }

    fn u64(&self, at: u64) -> Result<u64> {
        Ok(u64::from(self.u32(at)?) << 32 | u64::from(self.u32(at + 4)?))
    }

    fn text(&self, range: Range<u64>) -> Result<String> {
        let bytes = self.get(range.clone()).ok_or_else(|| damaged("a name ends past the header", range.start))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| no_text().at(Space::File, range.start))
    }
}

/// Reads the header of `file`.
///
/// # Errors
/// `qcow2-header`: a field is invalid. `qcow2-version`, `qcow2-encrypted`, `qcow2-feature`: the image is not supported.
pub(super) fn read(file: &dyn Storage) -> Result<Header> {
    let len = file.len()?;
    let first = |most: u64| -> Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(len.min(most)).unwrap_or(0)];
        file.read_at(0, &mut bytes)?;
        Ok(Bytes(bytes))
    };
    let bytes = first(4096)?;
    let version = bytes.u32(4)?;
    if !matches!(version, 2 | 3) {
        let what = format!("version {version} of qcow2 is not supported");
        return Err(Error::new(Kind::Unsupported, Code::Qcow2Version, what).at(Space::File, 4));
    }
    refuse_encrypted(bytes.u32(32)?)?;
    let cluster_bits = bytes.u32(20)?;
    if !(9..=21).contains(&cluster_bits) {
        return Err(damaged("the cluster size is out of range", 20).expected("9 to 21 bits", cluster_bits));
    }
    let cluster = 1u64 << cluster_bits;
    if len <= cluster {
        // The header's cluster is followed by at least a refcount table.
        return Err(cut_short(Code::Qcow2Header, "it ends inside its header", cluster + 1, len).at(Space::File, 0));
    }
    // Extensions and the name of the backing file lie within the first cluster; a real header is far smaller than the
    // limit.
    let bytes = if cluster > 4096 { first(cluster.min(MAX_HEADER))? } else { bytes };
    let mut header = Header { version, cluster, size: bytes.u64(24)?, refcount_bits: 16, ..Header::default() };
    let mut end = 72;
    if version == 3 {
        header.incompatible = bytes.u64(INCOMPATIBLE)?;
        header.compatible = bytes.u64(80)?;
        header.autoclear = bytes.u64(AUTOCLEAR)?;
        let order = bytes.u32(96)?;
        if order > 6 {
            return Err(damaged("refcounts have too many bits", 96).expected("an order of at most 6", order));
        }
        header.refcount_bits = 1 << order;
        end = u64::from(bytes.u32(100)?);
        if end < 104 || end % 8 != 0 || end > cluster {
            return Err(damaged("the length of the header is out of range", 100).expected("104 or more", end));
        }
        let compression = if end > 104 { bytes.u32(104)? >> 24 } else { 0 };
        if header.incompatible & COMPRESSION == 0 && compression != 0 {
            return Err(damaged("the compression type has no feature bit", 104).expected(0, compression));
        }
        if header.incompatible & COMPRESSION != 0 && compression != ZSTD {
            let what = format!("the compression type {compression} is not supported");
            return Err(Error::new(Kind::Unsupported, Code::Qcow2Feature, what).at(Space::File, 104));
        }
        if header.incompatible & EXTENDED_L2 != 0 && cluster < 32 * 512 {
            let what = "the clusters are too small for subclusters";
            return Err(damaged(what, 20).expected(32 * 512, cluster));
        }
    }
    let unknown = header.incompatible >> 5;
    if unknown != 0 {
        let what = format!("the image needs unsupported features: bits {:#x}", unknown << 5);
        return Err(Error::new(Kind::Unsupported, Code::Qcow2Feature, what).at(Space::File, INCOMPATIBLE));
    }
    extensions(&bytes, end, &mut header)?;
    backing_name(&bytes, &mut header)?;
    tables(&bytes, len, &mut header)?;
    Ok(header)
}

fn refuse_encrypted(method: u32) -> Result<()> {
    let how = match method {
        0 => return Ok(()),
        1 => "AES".to_owned(),
        2 => "LUKS".to_owned(),
        other => format!("method {other}"),
    };
    let what = format!("the image is encrypted ({how}), and its key is not in it");
    Err(Error::new(Kind::Unsupported, Code::Qcow2Encrypted, what)
        .at(Space::File, 32)
        .advise(format!("decrypt a copy: {}", advised::DECRYPT_QCOW2)))
}

fn extensions(bytes: &Bytes, mut at: u64, header: &mut Header) -> Result<()> {
    let end = header.cluster.min(bytes.0.len() as u64);
    // The list needs no end mark where the cluster, or the file, ends.
    while at + 8 <= end {
        let (kind, len) = (bytes.u32(at)?, u64::from(bytes.u32(at + 4)?));
        let data = at + 8..at + 8 + len;
        if data.end > end {
            return Err(damaged("a header extension ends past the first cluster", at).expected(end - at - 8, len));
        }
        match kind {
            0 => break,
            0xe279_2aca => header.backing_format = Some(bytes.text(data.clone())?),
            kind if u64::from(kind) == DATA_FILE_NAME => header.data_file = Some(bytes.text(data.clone())?),
            _ => {}
        }
        at = data.start + len.next_multiple_of(8);
    }
    Ok(())
}

fn backing_name(bytes: &Bytes, header: &mut Header) -> Result<()> {
    let (offset, len) = (bytes.u64(8)?, u64::from(bytes.u32(16)?));
    if offset == 0 || len == 0 {
        return Ok(());
    }
    let end = offset.checked_add(len).filter(|&end| end <= header.cluster && len <= MAX_NAME);
    let end = end.ok_or_else(|| damaged("the name of the backing file is out of range", 8))?;
    header.backing = Some(bytes.text(offset..end)?);
    Ok(())
}

fn tables(bytes: &Bytes, len: u64, header: &mut Header) -> Result<()> {
    let table = |what: &str, at: u64, offset: u64, bytes: u64, most: u64| -> Result<Table> {
        let fits = offset.checked_add(bytes).is_some_and(|end| end <= len);
        if offset.is_multiple_of(header.cluster) && bytes <= most && !fits && offset <= MOST_OF_A_FILE {
            return Err(cut_short(Code::Qcow2Header, format!("its {what} is past its end"), offset + bytes, len)
                .at(Space::File, at));
        }
        if !offset.is_multiple_of(header.cluster) || bytes > most || !fits {
            return Err(damaged(format!("the {what} lies outside the file"), at)
                .expected(format_args!("an end at or below {len:#x}"), format_args!("{bytes} bytes at {offset:#x}")));
        }
        Ok(Table { offset, entries: bytes / 8 })
    };
    let l1 = u64::from(bytes.u32(36)?);
    let refcounts = u64::from(bytes.u32(56)?) * header.cluster;
    header.l1 = table("L1 table", 40, bytes.u64(40)?, l1 * 8, MAX_L1)?;
    header.refcounts = table("refcount table", 48, bytes.u64(48)?, refcounts, MAX_REFCOUNT_TABLE)?;
    let needed = header.size.div_ceil(header.cluster * Shape::of(header).entries());
    if l1 < needed {
        return Err(damaged("the L1 table is too small for the disk", 36).expected(needed, l1));
    }
    let (count, offset) = (u64::from(bytes.u32(60)?), bytes.u64(64)?);
    // A snapshot table entry has 40 bytes or more.
    let fits = offset.checked_add(count * 40).is_some_and(|end| end <= len);
    if count > 0 && count <= MAX_SNAPSHOTS && offset % header.cluster == 0 && !fits && offset <= MOST_OF_A_FILE {
        let what = "its table of snapshots is past its end";
        return Err(cut_short(Code::Qcow2Header, what, offset + count * 40, len).at(Space::File, 60));
    }
    if count > 0 && (count > MAX_SNAPSHOTS || offset % header.cluster != 0 || !fits) {
        return Err(damaged("the table of snapshots lies outside the file", 60).expected("less", count));
    }
    header.snapshots = (offset, count);
    Ok(())
}
