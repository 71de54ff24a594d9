//! Parallels: an expanding disk in one file (`.hds`, `.hdd`), opened by qemu-nbd. Only the header is read here.
//!
//! Facts from QEMU's `docs/interop/parallels`; all numbers are little-endian.

pub(in crate::container) mod bundle;

pub use bundle::in_bundle;

use crate::container::helpers::nbd::{self, Driver, EngineFormat};
use crate::container::{About, Format, Image, Opening, Refusal, Variant, cut_short};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

pub(in crate::container) const FORMAT: Format = Format {
    name: "parallels",
    title: "Parallels",
    variants: &[
        Variant { what: "expanding, one file (.hds)", reads: "yes (qemu-nbd)", writes: "yes (qemu-nbd)" },
        Variant {
            what: "snapshots, through the `DiskDescriptor.xml` beside them",
            reads: "the base, as it was before the snapshots",
            writes: "refused (`has-children`), with the command of a merge",
        },
        Variant { what: "split (several `Storage`)", reads: "named", writes: "no" },
    ],
    is: |probe| MAGICS.iter().any(|magic| probe.head.starts_with(*magic)),
    open,
    endings: &["hds"],
    references: None,
};

/// Magics of images with block numbers in sectors, and in clusters.
const MAGICS: [&[u8; 16]; 2] = [b"WithoutFreeSpace", b"WithouFreSpacExt"];
/// Value of the in-use field while a writer has the image open.
const IN_USE: u32 = 0x746f_6e59;

fn corrupt(what: &str, at: u64) -> Error {
    Error::new(Kind::Corrupt, Code::ParallelsHeader, what).at(Space::File, at)
}

/// The fields of the header.
struct Header {
    extended: bool,
    cluster: u64,
    size: u64,
    in_use: bool,
    extension: bool,
}

impl Header {
    fn read(file: &dyn Storage) -> Result<Self> {
        let len = file.len()?;
        let mut bytes = [0; 64];
        if len < 64 {
            return Err(cut_short(Code::ParallelsHeader, "it ends inside its header", 64, len).at(Space::File, 0));
        }
        file.read_at(0, &mut bytes)?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let extended = bytes.starts_with(MAGICS[1]);
        if !extended && !bytes.starts_with(MAGICS[0]) {
            return Err(corrupt("this is not a Parallels image", 0));
        }
        if u32_at(16) != 2 {
            return Err(corrupt("odd version", 16).expected(2, u32_at(16)));
        }
        let (tracks, entries) = (u64::from(u32_at(28)), u64::from(u32_at(32)));
        if tracks == 0 || tracks > 1 << 21 {
            return Err(corrupt("invalid cluster size", 28).expected("1 sector to 1 GiB", tracks));
        }
        if 64 + entries * 4 > len {
            let what = "it ends inside its block table";
            return Err(cut_short(Code::ParallelsHeader, what, 64 + entries * 4, len).at(Space::File, 32));
        }
        // Images of the older magic have 32 bits here; the rest is undefined.
        let high = if extended { u64::from(u32_at(40)) << 32 } else { 0 };
        let sectors = u64::from(u32_at(36)) | high;
        if sectors > entries * tracks {
            return Err(corrupt("the disk is larger than its block table can map", 36)
                .expected(format_args!("at most {} sectors", entries * tracks), sectors));
        }
        let extension = u32_at(56) != 0 || u32_at(60) != 0;
        let in_use = u32_at(44) == IN_USE;
        // Bounded by the product of numbers of 32 and 21 bits.
        Ok(Header { extended, cluster: tracks * 512, size: sectors * 512, in_use, extension })
    }
}

fn open(opening: Opening<'_>) -> Result<Image> {
    let header = Header::read(&*opening.file)?;
    let variant = if header.extended { "expanding, extended" } else { "expanding" };
    let file = opening.path.to_owned();
    let mut about = About { format: "parallels", variant: variant.into(), file, ..About::default() };
    about.size = header.size;
    about.facts.push(("cluster-size", header.cluster.to_string()));
    about.remarks.extend(bundle::look(&opening)?);
    if header.in_use {
        about.remarks.push((Code::ParallelsInUse, "its last writer did not close it, or still has it open".into()));
        about.refusal = Some(Refusal {
            code: Code::ImageDirty,
            what: "this Parallels image was not closed by its last writer".into(),
            advice: format!(
                "shut down the virtual machine that uses it, or repair the image first: {}",
                advised::CHECK_REPAIR
            ),
        });
    } else if header.extension {
        // It has bitmaps of changed blocks, which a writer that does not update them would invalidate.
        about.refusal = Some(Refusal {
            code: Code::ParallelsExtension,
            what: "this Parallels image has bitmaps of changed blocks, which qemu-nbd does not update".into(),
            advice: format!("convert a copy of it: {}", advised::TO_RAW),
        });
    }
    nbd::open_with(opening, EngineFormat { driver: Driver::Parallels, cluster: header.cluster, about }, None)
}
