//! The segments of an E01 image and the sections in them.
//!
//! Facts: libewf, "Expert Witness Compression Format" (EWF), "File header", "Sections", "Volume section", "Table
//! section".

use std::sync::Arc;

use simd_adler32::adler32;

use super::{cut_short, damaged};
use crate::container::Opening;
use crate::container::references::{Piece, References};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;

/// The first bytes of a segment.
pub(super) const MAGIC: &[u8] = b"EVF\x09\x0d\x0a\xff\0";
/// Maximum number of segments of one image: `.E01` to `.E99`, `.EAA` to `.ZZZ`.
const MAX_SEGMENTS: u32 = 99 + 22 * 26 * 26;
/// Bytes of a section descriptor.
const DESCRIPTION: u64 = 76;
/// Maximum number of sections of one segment: more than a segment of 2 TiB has.
const MAX_SECTIONS: usize = 1 << 16;

/// A section of a segment.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub kind: String,
    /// Offset and length of its contents, in bytes.
    pub start: u64,
    pub len: u64,
}

/// A segment.
pub(super) struct Segment {
    pub file: Arc<dyn Storage>,
    pub len: u64,
    pub sections: Vec<Section>,
}

impl Segment {
    /// Returns the contents of a section of at most `most` bytes.
    pub(super) fn contents(&self, section: &Section, most: u64) -> Result<Vec<u8>> {
        let fits = section.start.checked_add(section.len).is_some_and(|end| end <= self.len);
        let Some(size) = usize::try_from(section.len).ok().filter(|_| fits && section.len <= most) else {
            return Err(damaged(format!("the section {} is too large", section.kind), &*self.file, section.start)
                .expected(format_args!("at most {most}"), section.len));
        };
        let mut bytes = vec![0; size];
        self.file.read_at(section.start, &mut bytes)?;
        Ok(bytes)
    }
}

/// Opens all segments of the image that the named segment belongs to, the first one first.
///
/// # Errors
/// `no-file`: a segment is missing. `ewf-segment`: the named file is not a segment.
pub(super) fn open(opening: &Opening<'_>) -> Result<Vec<Segment>> {
    let number = number(&*opening.file)?;
    let mut segments: Vec<Segment> = Vec::new();
    for wanted in 1..=MAX_SEGMENTS {
        let file = if wanted == number {
            opening.file.clone()
        } else {
            let name = opening.path.file_name().unwrap_or_default().to_string_lossy();
            let name = name_of(&name, wanted).ok_or_else(|| {
                let what = format!("the name of segment {wanted} cannot be derived from {name}");
                Error::new(Kind::NotFound, Code::NoFile, what).advise("rename the segments to .E01, .E02 ...")
            })?;
            let file = opening.policy.segment(opening.path, &name, opening.part())?;
            if self::number(&*file)? != wanted {
                return Err(
                    damaged("the number of a segment does not match its name", &*file, 9).expected(wanted, "another")
                );
            }
            file
        };
        let len = file.len()?;
        let (sections, last) = sections(&*file, len)?;
        segments.push(Segment { file, len, sections });
        if last {
            return Ok(segments);
        }
    }
    Err(Error::new(Kind::Unsupported, Code::ImageFiles, format!("the image has more than {MAX_SEGMENTS} segments")))
}

/// Returns the number of a segment.
fn number(file: &dyn Storage) -> Result<u32> {
    let mut head = [0; 13];
    if file.len()? < 13 {
        return Err(cut_short(file, 0, 13));
    }
    file.read_at(0, &mut head)?;
    if !head.starts_with(MAGIC) {
        return Err(damaged("a segment has no EVF signature", file, 0));
    }
    Ok(u16::from_le_bytes([head[9], head[10]]).into())
}

/// Returns the segment's number as a part of an image. Segments refer to no other file.
pub(super) fn references(file: &Arc<dyn Storage>) -> Result<References> {
    let number = u16::try_from(number(&**file)?).ok();
    let piece = number.filter(|number| *number != 1).map(|number| Piece { number, firsts: &["e01", "s01"] });
    Ok(References { piece, ..References::default() })
}

/// Returns the name of segment `number` of the image that has a segment called `name`. SMART images begin with `.s01`,
/// all others with `.E01`.
pub(super) fn name_of(name: &str, number: u32) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    let first = *extension.as_bytes().first().filter(|_| extension.len() == 3 && extension.is_ascii())?;
    let upper = first.is_ascii_uppercase();
    let is_smart = first.eq_ignore_ascii_case(&b's') && extension.as_bytes()[1].is_ascii_digit();
    let base = if is_smart { b'S' } else { b'E' };
    let letter = |n: u32| char::from(b'A' + u8::try_from(n % 26).unwrap_or(0));
    let ending = match number {
        1..=99 => format!("{}{number:02}", char::from(base)),
        _ => {
            let n = number - 100;
            let leading = u8::try_from(n / 676).ok().filter(|n| *n <= b'Z' - base).map(|n| char::from(base + n))?;
            format!("{leading}{}{}", letter(n / 26), letter(n))
        }
    };
    Some(format!("{stem}.{}", if upper { ending } else { ending.to_lowercase() }))
}

/// Returns the sections of a segment, and whether it is the last segment.
fn sections(file: &dyn Storage, len: u64) -> Result<(Vec<Section>, bool)> {
    let (mut at, mut found) = (13, Vec::new());
    loop {
        if at + DESCRIPTION > len {
            return Err(cut_short(file, at, at + DESCRIPTION));
        }
        let mut head = [0; 76];
        file.read_at(at, &mut head)?;
        let u64_at = |i: usize| u64::from_le_bytes(*head[i..].first_chunk().unwrap_or(&[0; 8]));
        if adler32(&&head[..72]) != u32::from_le_bytes([head[72], head[73], head[74], head[75]]) {
            return Err(damaged("the checksum of a section is wrong", file, at));
        }
        let kind: String = head[..16].iter().take_while(|b| **b != 0).map(|b| char::from(*b)).collect();
        let (next, size) = (u64_at(16), u64_at(24));
        if kind == "next" || kind == "done" {
            return Ok((found, kind == "done"));
        }
        // A few writers leave the size empty.
        let end = if size >= DESCRIPTION { at.saturating_add(size) } else { next };
        if next > len && found.len() < MAX_SECTIONS && next < 1 << 50 {
            return Err(cut_short(file, at, next));
        }
        if next <= at || next > len || found.len() == MAX_SECTIONS {
            return Err(damaged("the offset of the next section is not past the section", file, at)
                .expected("further on", next));
        }
        let start = at + DESCRIPTION;
        found.push(Section { kind, start, len: end.min(next).saturating_sub(start) });
        at = next;
    }
}
