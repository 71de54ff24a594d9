//! E01, the EnCase format (EWF): evidence in segments, compressed, with checksums and hashes. Read-only.
//!
//! Facts: libewf, "Expert Witness Compression Format" (EWF). All bytes returned have passed their checksum.

mod disk;
mod segments;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use md5::Md5;
use sha1::{Digest, Sha1};
use simd_adler32::adler32;

use crate::container::{About, Format, Image, Opening, Refusal, Variant};
use disk::{Disk, Kept, Table};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::hex;
use hivewright_storage::span::placed;
use segments::Segment;

pub(in crate::container) const FORMAT: Format = Format {
    name: "ewf",
    title: "E01 (EWF)",
    variants: &[
        Variant { what: "segments, compression", reads: "yes, stored hashes shown", writes: "never" },
        Variant { what: "Ex01, L01", reads: "named", writes: "never" },
    ],
    is: |probe| {
        OTHERS.iter().any(|(magic, _)| probe.head.starts_with(magic)) || probe.head.starts_with(segments::MAGIC)
    },
    open,
    endings: &["e01"],
    references: Some(segments::references),
};

/// Related formats that are not supported, by their first bytes.
const OTHERS: [(&[u8], &str); 3] = [
    (b"EVF2\x0d\x0a\x81\0", "an Ex01 image (EWF, version 2)"),
    (b"LVF\x09\x0d\x0a\xff\0", "an L01 image, which contains files and no disk"),
    (b"LEF2\x0d\x0a\x81\0", "an Lx01 image, which contains files and no disk"),
];
/// Maximum size of a chunk in bytes. 32 KiB is usual.
const MAX_CHUNK: u64 = 32 << 20;
const EVIDENCE: &str = "E01 images are read-only: a write would invalidate the hashes";
fn advice() -> String {
    format!("work on a copy: {}", advised::EXPORT_EWF)
}

fn open(opening: Opening<'_>) -> Result<Image> {
    let mut magic = [0; 8];
    let head = usize::try_from(opening.file.len()?.min(8)).unwrap_or(8);
    opening.file.read_at(0, &mut magic[..head])?;
    if let Some((_, what)) = OTHERS.iter().find(|(other, _)| magic == **other) {
        let what = format!("{} is {what}, which is not supported", opening.path.display());
        let advice = "export it with the tool that made it, or acquire it as E01";
        return Err(Error::new(Kind::Unsupported, Code::EwfKind, what).advise(advice));
    }
    let segments = segments::open(&opening)?;
    let volume = volume(&segments[0])?;
    let tables = tables(&segments, &volume)?;
    let mut facts = vec![("segments", segments.len().to_string()), ("chunk-size", volume.chunk.to_string())];
    let mut remarks = Vec::new();
    describe(&segments, &mut facts, &mut remarks)?;
    let refusal = Some(Refusal { code: Code::EwfEvidence, what: EVIDENCE.to_owned(), advice: advice() });
    let variant = format!("{} segments", segments.len());
    let (size, file) = (volume.size, opening.path.to_owned());
    let about = About { format: "ewf", variant, file, size, facts, refusal, remarks, below: None };
    let chunk = usize::try_from(volume.chunk).unwrap_or(usize::MAX);
    Ok(Image::of_disk(Arc::new(Disk { size, chunk, tables, kept: Kept::default().into() }), about))
}

/// The volume section.
struct Volume {
    /// Size of the disk in bytes.
    size: u64,
    /// Bytes of a chunk, and the number of chunks.
    chunk: u64,
    chunks: u64,
}

fn volume(segment: &Segment) -> Result<Volume> {
    let file = &*segment.file;
    let found = segment.sections.iter().find(|section| matches!(&section.kind[..], "volume" | "disk"));
    let section = found.ok_or_else(|| damaged("the first segment has no volume section", file, 13))?;
    let bytes = segment.contents(section, 4096)?;
    if bytes.len() < 94 {
        return Err(damaged("the volume section is too short", file, section.start));
    }
    let (body, sum) = bytes.split_at(bytes.len() - 4);
    if adler32(&body) != u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]) {
        return Err(damaged("the checksum of the volume section is wrong", file, section.start));
    }
    let u32_at = |i: usize| u64::from(u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]));
    let (chunks, per_chunk, sector, low) = (u32_at(4), u32_at(8), u32_at(12), u32_at(16));
    // The field has 32 bits in SMART images.
    let sectors = if bytes.len() > 94 { low | u32_at(20) << 32 } else { low };
    let wrong = |what: &str, n: u64| damaged(what, file, section.start).expected("a valid number", n);
    let chunk = per_chunk.checked_mul(sector).filter(|chunk| *chunk > 0);
    let chunk = chunk.ok_or_else(|| wrong("the chunk size is out of range", per_chunk))?;
    if chunk > MAX_CHUNK {
        let what = format!("the image has chunks of {chunk} bytes, the limit is {MAX_CHUNK}");
        return Err(Error::new(Kind::Unsupported, Code::EwfChunk, what));
    }
    let size = sectors.checked_mul(sector).ok_or_else(|| wrong("the size of the disk is out of range", sectors))?;
    if size.div_ceil(chunk) != chunks {
        return Err(wrong("the chunks do not cover the disk", chunks));
    }
    Ok(Volume { size, chunk, chunks })
}

/// Returns the tables of all segments, in order. Together they cover every chunk of the disk.
fn tables(segments: &[Segment], volume: &Volume) -> Result<Vec<Table>> {
    let (mut tables, mut first) = (Vec::<Table>::new(), 0);
    for segment in segments {
        let mut data_end = 0;
        for section in &segment.sections {
            let is_copy = section.kind == "table2";
            match &section.kind[..] {
                "sectors" => data_end = section.start + section.len,
                "table" | "table2" if section.len >= 24 => {
                    let mut head = [0; 24];
                    segment.file.read_at(section.start, &mut head)?;
                    let file = segment.file.clone();
                    let count = u64::from(u32::from_le_bytes([head[0], head[1], head[2], head[3]]));
                    let base = u64::from_le_bytes(*head[8..].first_chunk().unwrap_or(&[0; 8]));
                    let is_valid =
                        adler32(&&head[..20]) == u32::from_le_bytes([head[20], head[21], head[22], head[23]]);
                    let entries = section.start + 24;
                    if let Some(last) = tables.last_mut().filter(|last| is_copy && last.copy.is_none()) {
                        last.copy = Some(entries).filter(|_| is_valid && last.count == count);
                        continue;
                    }
                    if !is_valid {
                        return Err(damaged("the checksum of a table is wrong", &*file, section.start));
                    }
                    let end = if data_end > 0 { data_end } else { section.start + section.len };
                    let file_len = segment.len;
                    let table = Table { file, file_len, first, count, base, entries, copy: None, end };
                    disk::check(&table)?;
                    first += count;
                    tables.push(table);
                }
                _ => {}
            }
        }
    }
    if first < volume.chunks {
        let file = &*segments[segments.len() - 1].file;
        return Err(damaged("some chunks of the disk are in no table", file, 0).expected(volume.chunks, first));
    }
    Ok(tables)
}

/// Returns the case data (who acquired what and when), the stored hashes, and the sectors that could not be read during
/// the acquisition.
fn describe(
    segments: &[Segment],
    facts: &mut Vec<(&'static str, String)>,
    remarks: &mut Vec<(Code, String)>,
) -> Result<()> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut add = |name: &'static str, value: String| {
        match facts.iter_mut().find(|(known, _)| *known == name) {
            // "header" is in the code page of its writer, "header2" in UTF-16.
            Some((_, known)) if known.contains(char::REPLACEMENT_CHARACTER) => *known = value,
            Some(_) => {}
            None => facts.push((name, value)),
        }
    };
    // Some sections are stored twice.
    let mut before = Vec::new();
    for kind in ["header", "header2", "digest", "hash", "error2"] {
        for segment in segments {
            for section in segment.sections.iter().filter(|section| section.kind == kind) {
                // Damaged case data does not prevent reading the disk.
                let Ok(bytes) = segment.contents(section, 1 << 20) else {
                    remarks.push((Code::EwfSection, format!("the section {kind} cannot be read")));
                    continue;
                };
                if bytes == before {
                    continue;
                }
                match kind {
                    "header" | "header2" => text::fields(&bytes).into_iter().for_each(|(name, value)| add(name, value)),
                    "digest" if bytes.len() >= 36 => {
                        add("md5", hex(&bytes[..16]));
                        add("sha1", hex(&bytes[16..36]));
                    }
                    "hash" if bytes.len() >= 16 => add("md5", hex(&bytes[..16])),
                    "error2" if bytes.len() >= 4 => {
                        let count = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                        let what = format!("{count} runs of sectors could not be read when the image was made");
                        remarks.push((Code::EwfReadErrors, what));
                    }
                    _ => {}
                }
                before = bytes;
            }
        }
    }
    Ok(())
}

/// The verification of one hash over all bytes of a disk.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// `md5` or `sha1`.
    pub name: &'static str,
    /// The hash that is stored in the image, in hexadecimal digits.
    pub stored: String,
    /// The hash of the disk's bytes.
    pub found: String,
}

impl Verified {
    /// Returns whether both hashes are equal.
    pub fn holds(&self) -> bool {
        self.stored == self.found
    }
}

/// Verifies all stored hashes of an image, which reads the whole disk. Empty if the image has none.
///
/// # Errors
/// A part of the image cannot be read, or its checksum is wrong.
pub fn verify(disk: &dyn Storage, about: &About) -> Result<Vec<Verified>> {
    let stored = |name: &str| about.facts.iter().find(|(known, _)| *known == name).map(|(_, hash)| hash.clone());
    let (wants_md5, wants_sha1) = (stored("md5"), stored("sha1"));
    if wants_md5.is_none() && wants_sha1.is_none() {
        return Ok(Vec::new());
    }
    let (mut md5, mut sha1, mut at) = (Md5::new(), Sha1::new(), 0);
    let mut buf = vec![0; 1 << 20];
    while at < about.size {
        let count = usize::try_from(about.size - at).unwrap_or(usize::MAX).min(buf.len());
        disk.read_at(at, &mut buf[..count])?;
        md5.update(&buf[..count]);
        if wants_sha1.is_some() {
            sha1.update(&buf[..count]);
        }
        at += count as u64;
    }
    let of = |name, stored: Option<String>, found: String| stored.map(|stored| Verified { name, stored, found });
    let md5 = of("md5", wants_md5, hex::encode(&md5.finalize()));
    Ok(md5.into_iter().chain(of("sha1", wants_sha1, hex::encode(&sha1.finalize()))).collect())
}

/// Returns the error for bytes at `offset` of a segment that violate the format.
fn damaged(what: impl Into<String>, file: &dyn Storage, offset: u64) -> Error {
    placed(Error::new(Kind::Corrupt, Code::EwfSegment, what), file, offset)
}

fn cut_short(file: &dyn Storage, offset: u64, needed: u64) -> Error {
    let what = "a section ends past the end of its segment";
    placed(crate::container::cut_short(Code::EwfSegment, what, needed, file.len().unwrap_or(0)), file, offset)
}
