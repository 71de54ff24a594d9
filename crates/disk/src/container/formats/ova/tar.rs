//! The members of a tar archive.
//!
//! Facts: POSIX.1-2017, *pax*, "ustar Interchange Format" and "pax Extended Header"; GNU tar, "Basic Tar Format" (long
//! names, sizes in base 256).

use std::collections::BTreeMap;
use std::sync::Arc;

use hivewright_error::{Code, Error, Kind, Place, Result};
use hivewright_storage::Storage;

const BLOCK: u64 = 512;
/// Maximum number of members of an archive; an OVA has only a few.
const MAX_MEMBERS: usize = 4096;
/// Maximum size of an extended header in bytes.
const MAX_EXTENDED_HEADER: u64 = 64 << 10;

/// The location of a member's bytes.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) start: u64,
    pub(super) len: u64,
    /// Whether it is a regular file.
    pub(super) plain: bool,
}

/// Metadata from the extended headers before a member.
#[derive(Default)]
struct ExtendedHeaders {
    name: Option<String>,
    len: Option<u64>,
    sparse: bool,
}

/// Returns the path in the first header, if a file with these first bytes is a tar archive.
pub(super) fn first(head: &[u8]) -> Option<String> {
    head.first_chunk().filter(|head| head[257..262] == *b"ustar").map(name)
}

/// Returns all members except folders, by path.
pub(super) fn members(file: &Arc<dyn Storage>) -> Result<BTreeMap<String, Member>> {
    let (len, mut at, mut found, mut extended) = (file.len()?, 0, BTreeMap::new(), ExtendedHeaders::default());
    for _ in 0..MAX_MEMBERS {
        let mut header = [0; 512];
        // Archives end with zeros. tar warns about an archive without them; it is accepted here.
        if at + BLOCK > len {
            return Ok(found);
        }
        file.read_at(at, &mut header)?;
        if header == [0; 512] {
            return Ok(found);
        }
        let size = number(&header[124..136]).filter(|_| checksum(&header));
        let size = size.ok_or_else(|| broken(&**file, at, "a header of the archive is damaged"))?;
        let kind = header[156];
        let real = if is_extended_header(kind) { size } else { extended.len.unwrap_or(size) };
        let start = at + BLOCK;
        let end = start.checked_add(real).filter(|&end| end <= len);
        let end = end.ok_or_else(|| broken(&**file, at, "a member of the archive is truncated"))?;
        if is_extended_header(kind) {
            extended.read(file, kind, start, size)?;
        } else {
            let said = std::mem::take(&mut extended);
            let name = said.name.unwrap_or_else(|| name(&header));
            let plain = matches!(kind, b'0' | 0 | b'7') && !said.sparse;
            if kind != b'5' && found.insert(name, Member { start, len: real, plain }).is_some() {
                return Err(broken(&**file, at, "two members of the archive have the same name"));
            }
        }
        // Members begin at multiples of 512 bytes.
        at = end.next_multiple_of(BLOCK);
    }
    Err(broken(&**file, at, "the archive has more than 4096 members"))
}

fn broken(file: &dyn Storage, at: u64, what: &str) -> Error {
    let places: Vec<Place> = file.locate(at);
    let error =
        Error::new(Kind::Corrupt, Code::OvaTar, what).advise("it is truncated or damaged: look for a complete copy");
    places.into_iter().fold(error, |error, place| error.at(place.space, place.offset))
}

fn is_extended_header(kind: u8) -> bool {
    matches!(kind, b'x' | b'g' | b'L' | b'K')
}

impl ExtendedHeaders {
    fn read(&mut self, file: &Arc<dyn Storage>, kind: u8, start: u64, len: u64) -> Result<()> {
        if matches!(kind, b'g' | b'K') {
            return Ok(());
        }
        if len > MAX_EXTENDED_HEADER {
            return Err(broken(&**file, start, "an extended header of the archive is too long"));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_at(start, &mut bytes)?;
        if kind == b'L' {
            self.name = Some(text(&bytes));
            return Ok(());
        }
        // Records "LENGTH key=value\n", their whole length in decimal first.
        let mut rest = &bytes[..];
        while let Some(space) = rest.iter().position(|&b| b == b' ') {
            let len = std::str::from_utf8(&rest[..space]).ok().and_then(|digits| digits.parse::<usize>().ok());
            let Some(record) = len.filter(|&len| len > space + 1).and_then(|len| rest.get(space + 1..len)) else {
                return Err(broken(&**file, start, "an extended header of the archive is damaged"));
            };
            rest = &rest[space + 1 + record.len()..];
            let Some(equals) = record.iter().position(|&b| b == b'=') else { continue };
            let value = text(record[equals + 1..].strip_suffix(b"\n").unwrap_or(&record[equals + 1..]));
            match &record[..equals] {
                b"path" => self.name = Some(value),
                b"size" => self.len = value.parse().ok(),
                key => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let name = String::from_utf8_lossy(&bytes[..end]).into_owned();
    name.strip_prefix("./").map_or(name.clone(), str::to_owned)
}

fn name(header: &[u8; 512]) -> String {
    let (name, prefix) = (text(&header[..100]), text(&header[345..500]));
    // GNU's magic continues with a space, and other fields replace the prefix.
    let has_prefix = header[257..263] == *b"ustar\0" && !prefix.is_empty();
    if has_prefix { format!("{prefix}/{name}") } else { name }
}

/// Parses octal digits, or base 256 if the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        let fits = high.iter().enumerate().all(|(i, &b)| if i == 0 { b == 0x80 } else { b == 0 });
        return fits.then(|| low.iter().fold(0, |n, &b| n << 8 | u64::from(b)));
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches(|c| c == ' ' || c == '\0');
    u64::from_str_radix(digits, 8).ok()
}

fn checksum(header: &[u8; 512]) -> bool {
    let sum: u64 =
        header.iter().enumerate().map(|(i, &b)| u64::from(if (148..156).contains(&i) { b' ' } else { b })).sum();
    number(&header[148..156]) == Some(sum)
}
