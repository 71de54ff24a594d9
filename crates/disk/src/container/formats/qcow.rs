//! QCOW, version 1: QEMU's first copy-on-write format, opened by qemu-nbd. Only the header is read here.
//!
//! Facts from M. McLoughlin, "The QCOW Image Format", the part on version 1; all numbers are big-endian.

use crate::container::helpers::nbd::{self, Driver, EngineFormat};
use crate::container::{About, Format, Image, Opening, Variant, cut_short, open_backing};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

pub(in crate::container) const FORMAT: Format = Format {
    name: "qcow",
    title: "QCOW (version 1)",
    variants: &[
        Variant {
            what: "with or without backing file",
            reads: "yes (qemu-nbd)",
            writes: "allocated clusters (qemu-nbd)",
        },
        Variant { what: "encrypted", reads: "no", writes: "no" },
    ],
    is: |probe| probe.head.starts_with(MAGIC),
    open,
    endings: &["qcow"],
    // The first fields are those of qcow2.
    references: Some(crate::container::formats::qcow2::references),
};

/// `QFI\xfb`, and the version.
const MAGIC: &[u8] = b"QFI\xfb\0\0\0\x01";

fn corrupt(what: &str, at: u64) -> Error {
    Error::new(Kind::Corrupt, Code::QcowHeader, what).at(Space::File, at)
}

/// The fields of the header.
struct Header {
    cluster_bits: u8,
    size: u64,
    backing: Option<String>,
}

impl Header {
    fn read(file: &dyn Storage) -> Result<Self> {
        let len = file.len()?;
        let mut bytes = [0; 48];
        if len < 48 {
            return Err(cut_short(Code::QcowHeader, "it ends inside its header", 48, len).at(Space::File, 0));
        }
        file.read_at(0, &mut bytes)?;
        let u32_at =
            |at: usize| u64::from(u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
        let u64_at = |at: usize| u32_at(at) << 32 | u32_at(at + 4);
        if !bytes.starts_with(MAGIC) {
            return Err(corrupt("this is not a QCOW image of version 1", 0));
        }
        let (size, cluster_bits, l2_bits, l1) = (u64_at(24), bytes[32], bytes[33], u64_at(40));
        match u32_at(36) {
            0 => {}
            1 => {
                let what = "this QCOW image is encrypted";
                return Err(Error::new(Kind::Unsupported, Code::Encrypted, what)
                    .advise(format!("decrypt a copy of it, with its password in a file: {}", advised::DECRYPT_QCOW)));
            }
            other => return Err(corrupt("invalid encryption method", 36).expected("0 or 1", other)),
        }
        if !(9..=16).contains(&cluster_bits) {
            return Err(corrupt("invalid cluster size", 32).expected("9 to 16 bits", cluster_bits));
        }
        if !(6..=13).contains(&l2_bits) {
            return Err(corrupt("invalid size of L2 tables", 33).expected("6 to 13 bits", l2_bits));
        }
        if size < 2 || size > i64::MAX as u64 {
            return Err(corrupt("invalid size of the disk", 24).expected("2 bytes or more", size));
        }
        let entries = size.div_ceil(1 << (cluster_bits + l2_bits));
        let end = entries.checked_mul(8).and_then(|table| table.checked_add(l1));
        if let Some(end) = end.filter(|&end| end > len.next_multiple_of(512) && l1 < 1 << 50) {
            return Err(cut_short(Code::QcowHeader, "its L1 table is past its end", end, len).at(Space::File, 40));
        }
        if end.is_none_or(|end| end > len.next_multiple_of(512)) {
            return Err(corrupt("the L1 table lies outside the file", 40).expected(len, format_args!("{l1:#x}")));
        }
        let backing = match u64_at(8) {
            0 => None,
            at => Some(nbd::name(file, at, u32_at(16), len, 8)?),
        };
        Ok(Header { cluster_bits, size, backing })
    }
}

fn open(opening: Opening<'_>) -> Result<Image> {
    let header = Header::read(&*opening.file)?;
    let mut about =
        About { format: "qcow", variant: "sparse".into(), file: opening.path.to_owned(), ..About::default() };
    // QEMU rounds down to whole sectors.
    about.size = header.size / 512 * 512;
    about.facts.push(("cluster-size", (1u32 << header.cluster_bits).to_string()));
    let mut below = None;
    if let Some(name) = &header.backing {
        let image = open_backing(&opening, name, None)?;
        about.facts.push(("backing-file", name.clone()));
        about.variant = "overlay".into();
        about.below = Some(Box::new(image.about));
        below = Some(image.disk);
    }
    nbd::open_with(opening, EngineFormat { driver: Driver::Qcow, cluster: 1 << header.cluster_bits, about }, below)
}
