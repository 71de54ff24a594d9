//! QED: QEMU Enhanced Disk images, opened by qemu-nbd. Only the header is read here.
//!
//! Facts from QEMU's `docs/interop/qed_spec`; all numbers are little-endian.

use std::sync::Arc;

use crate::container::helpers::nbd::{self, Driver, EngineFormat};
use crate::container::references::{References, named_in_header};
use crate::container::{About, Format, Image, Opening, Refusal, Variant, cut_short, open_backing};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

pub(in crate::container) const FORMAT: Format = Format {
    name: "qed",
    title: "QED",
    variants: &[Variant { what: "with or without backing file", reads: "yes (qemu-nbd)", writes: "yes (qemu-nbd)" }],
    is: |probe| probe.head.starts_with(MAGIC),
    open,
    endings: &["qed"],
    references: Some(references),
};

const MAGIC: &[u8] = b"QED\0";
/// Incompatible features: a backing file; a check is needed; the backing file is raw whatever its contents.
const BACKING: u64 = 1;
const NEED_CHECK: u64 = 2;
const BACKING_IS_RAW: u64 = 4;

fn corrupt(what: &str, at: u64) -> Error {
    Error::new(Kind::Corrupt, Code::QedHeader, what).at(Space::File, at)
}

/// The fields of the header.
struct Header {
    cluster: u64,
    features: u64,
    size: u64,
    backing: Option<String>,
}

impl Header {
    fn read(file: &dyn Storage) -> Result<Self> {
        let len = file.len()?;
        let mut bytes = [0; 64];
        if len < 64 {
            return Err(cut_short(Code::QedHeader, "it ends inside its header", 64, len).at(Space::File, 0));
        }
        file.read_at(0, &mut bytes)?;
        let u32_at =
            |at: usize| u64::from(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
        let u64_at = |at: usize| u32_at(at) | u32_at(at + 4) << 32;
        if !bytes.starts_with(MAGIC) {
            return Err(corrupt("this is not a QED image", 0));
        }
        let (cluster, table, header) = (u32_at(4), u32_at(8), u32_at(12));
        let (features, l1, size) = (u64_at(16), u64_at(40), u64_at(48));
        if !cluster.is_power_of_two() || !(1 << 12..=1 << 26).contains(&cluster) {
            return Err(corrupt("invalid cluster size", 4).expected("a power of two, 4 KiB to 64 MiB", cluster));
        }
        if !table.is_power_of_two() || table > 16 {
            return Err(corrupt("invalid table size", 8).expected("1, 2, 4, 8 or 16 clusters", table));
        }
        if features & !(BACKING | NEED_CHECK | BACKING_IS_RAW) != 0 {
            let what = "this QED image uses unsupported features";
            return Err(Error::new(Kind::Unsupported, Code::QedFeatures, what)
                .expected("of 0x7", format_args!("{features:#x}"))
                .at(Space::File, 16));
        }
        // The header has whole clusters; an image without data may end after its first bytes.
        let header = header * cluster;
        if header == 0 || header > 64 << 20 {
            return Err(corrupt("invalid header size", 12).expected("1 to 64 MiB", header));
        }
        let table = table * cluster;
        if l1 % cluster == 0 && l1 < 1 << 50 && l1 + table > len {
            return Err(cut_short(Code::QedHeader, "its L1 table is past its end", l1 + table, len).at(Space::File, 40));
        }
        if l1 % cluster != 0 || l1.checked_add(table).is_none_or(|end| end > len) {
            return Err(corrupt("the L1 table lies outside the file", 40).expected(len, format_args!("{l1:#x}")));
        }
        // Both tables have entries of 8 bytes, which limits the size of the disk.
        let most = (table / 8).saturating_mul(table / 8).saturating_mul(cluster);
        if size % 512 != 0 || size > most.min(i64::MAX as u64) {
            return Err(corrupt("the disk is larger than the tables can map", 48).expected(most, size));
        }
        let backing = match features & BACKING {
            0 => None,
            _ => Some(nbd::name(file, u32_at(56), u32_at(60), header.min(len), 56)?),
        };
        Ok(Header { cluster, features, size, backing })
    }
}

fn references(file: &Arc<dyn Storage>) -> Result<References> {
    let mut head = [0; 64];
    file.read_at(0, &mut head)?;
    let number = |at: usize| u64::from(u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    if number(16) & BACKING == 0 {
        return Ok(References::default());
    }
    named_in_header(&**file, number(56), number(60)).map(References::under)
}

fn open(opening: Opening<'_>) -> Result<Image> {
    let header = Header::read(&*opening.file)?;
    let mut about =
        About { format: "qed", variant: "sparse".into(), file: opening.path.to_owned(), ..About::default() };
    about.size = header.size;
    about.facts.push(("cluster-size", header.cluster.to_string()));
    if header.features & NEED_CHECK != 0 {
        about.remarks.push((Code::QedNeedCheck, "its last writer did not close it: it needs a check".into()));
        about.refusal = Some(Refusal {
            code: Code::ImageDirty,
            what: "this QED image was not closed by its last writer".into(),
            advice: format!(
                "shut down the virtual machine that uses it, or repair the image first: {}",
                advised::CHECK_REPAIR
            ),
        });
    }
    let mut below = None;
    if let Some(name) = &header.backing {
        let format = (header.features & BACKING_IS_RAW != 0).then_some("raw");
        let image = open_backing(&opening, name, format)?;
        about.facts.push(("backing-file", name.clone()));
        about.variant = "overlay".into();
        about.below = Some(Box::new(image.about));
        below = Some(image.disk);
    }
    nbd::open_with(opening, EngineFormat { driver: Driver::Qed, cluster: header.cluster, about }, below)
}
