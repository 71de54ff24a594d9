//! The descriptor: text that lists the parts of an image.
//!
//! Facts: *Virtual Disk Format 5.0*, "The Descriptor File". The form of encrypted descriptors is known from samples.

use std::ops::Range;
use std::sync::Arc;

use super::{SECTOR, broken};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::span::placed;

/// Maximum size of a descriptor in bytes; enough for four thousand extents.
const MAX_LEN: u64 = 1 << 20;
/// Maximum number of extents of a descriptor.
const MAX_EXTENTS: usize = 4096;
/// The parent CID that means no parent.
const NO_PARENT: u32 = 0xffff_ffff;
const HEADING: &[u8] = b"# Disk DescriptorFile";

/// A parsed descriptor.
#[derive(Debug, Default)]
pub(super) struct Descriptor {
    pub(super) cid: u32,
    /// Range of the CID's digits in the text.
    pub(super) cid_at: Range<usize>,
    /// Range of `ddb.longContentID` in the text, if it has 32 digits.
    pub(super) long_id_at: Option<Range<usize>>,
    /// The CID of the parent, and the hint at its path.
    pub(super) parent: Option<(u32, String)>,
    pub(super) create_type: String,
    /// The file in which VMware tracks changed blocks.
    pub(super) change_track: Option<String>,
    pub(super) encrypted: bool,
    pub(super) extents: Vec<Line>,
}

/// The line of an extent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) access: Access,
    /// Bytes of the guest's disk.
    pub(super) len: u64,
    /// The type in capitals, such as `SPARSE` or `FLAT`.
    pub(super) kind: String,
    /// The file name; empty for `ZERO`.
    pub(super) name: String,
    /// Offset in the file, in bytes.
    pub(super) offset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
    None,
}

/// Returns whether a file with these first bytes is a descriptor: by its heading, or, as VMware does, by a first line
/// `version=`.
pub(super) fn is_one(head: &[u8]) -> bool {
    let lines = head.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    for line in lines.filter(|line| !line.is_empty()) {
        if line.get(..HEADING.len()).is_some_and(|start| start.eq_ignore_ascii_case(HEADING)) {
            return true;
        }
        if line[0] != b'#' {
            return line.starts_with(b"version=") && head.windows(4).any(|bytes| bytes == b"CID=");
        }
    }
    false
}

/// Reads the descriptor of `len` bytes, with padding, at `offset`. Returns its text too.
pub(super) fn read(file: &Arc<dyn Storage>, offset: u64, len: u64) -> Result<(Vec<u8>, Descriptor)> {
    if len > MAX_LEN {
        let error = broken(Code::VmdkDescriptor, "the descriptor is too long").expected(MAX_LEN, len);
        return Err(placed(error, &**file, offset));
    }
    let mut text = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_at(offset, &mut text)?;
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    text.truncate(end);
    let parsed = parse(&text).map_err(|fault| {
        let error = Error::new(fault.kind, Code::VmdkDescriptor, format!("in the descriptor: {}", fault.what));
        placed(error, &**file, offset + fault.at as u64)
    })?;
    Ok((text, parsed))
}

/// Reads an embedded descriptor; `None` if there is no descriptor at that offset. See [`read`].
pub(super) fn read_embedded(file: &Arc<dyn Storage>, offset: u64, len: u64) -> Result<Option<(Vec<u8>, Descriptor)>> {
    let mut head = [0; 512];
    let fits = offset.checked_add(SECTOR).is_some_and(|end| end <= file.len().unwrap_or(0));
    if !fits || len < SECTOR {
        return Ok(None);
    }
    file.read_at(offset, &mut head)?;
    if !is_one(&head) {
        return Ok(None);
    }
    read(file, offset, len.min(file.len()?.saturating_sub(offset))).map(Some)
}

/// A defect of a text and its offset.
#[derive(Debug)]
struct Fault {
    kind: Kind,
    what: String,
    at: usize,
}

type Parsed<T> = std::result::Result<T, Fault>;

fn fault<T>(at: usize, what: impl Into<String>) -> Parsed<T> {
    Err(Fault { kind: Kind::Corrupt, what: what.into(), at })
}

fn parse(text: &[u8]) -> Parsed<Descriptor> {
    let mut found = Descriptor::default();
    let mut seen = [false; 4];
    let (mut parent_cid, mut hint, mut start) = (NO_PARENT, None, 0);
    for line in text.split(|&b| b == b'\n') {
        let at = start;
        start += line.len() + 1;
        let trimmed = line.trim_ascii();
        if trimmed.is_empty() || trimmed[0] == b'#' {
            continue;
        }
        if let Some(access) = access(trimmed) {
            if found.extents.len() == MAX_EXTENTS {
                let what = format!("more than {MAX_EXTENTS} extents");
                return Err(Fault { kind: Kind::Unsupported, what, at });
            }
            found.extents.push(extent(access, trimmed, at)?);
            continue;
        }
        let Some((key, value)) = key_and_value(line) else { continue };
        let place = at + value.start..at + value.end;
        let value = &line[value];
        let once = ["cid", "parentcid", "createtype", "parentfilenamehint"].iter().position(|known| *known == key);
        if let Some(seen) = once.map(|i| &mut seen[i])
            && std::mem::replace(seen, true)
        {
            return fault(at, format!("there are two lines {key}"));
        }
        match key.as_str() {
            "cid" => (found.cid, found.cid_at) = (cid(value, at)?, place),
            "parentcid" => parent_cid = cid(value, at)?,
            "createtype" => found.create_type = decode(value),
            "parentfilenamehint" => hint = Some((at, decode(value))),
            "changetrackpath" => found.change_track = Some(decode(value)),
            "ddb.longcontentid" if value.len() == 32 => found.long_id_at = Some(place),
            "ddb.iofilters" => found.encrypted |= decode(value).to_ascii_lowercase().contains("vmcrypt"),
            _ => found.encrypted |= key.contains("keysafe"),
        }
    }
    found.parent = match (parent_cid, hint) {
        (NO_PARENT, None) => None,
        (NO_PARENT, Some((at, _))) => return fault(at, "parentFileNameHint names a parent, and parentCID has none"),
        (_, None) => return fault(0, "parentCID has a parent, and parentFileNameHint is missing"),
        (cid, Some((_, hint))) => Some((cid, hint)),
    };
    match (seen[0], seen[2], found.extents.is_empty()) {
        (false, ..) => fault(0, "CID is missing"),
        (_, false, _) => fault(0, "createType is missing"),
        (.., true) => fault(0, "the descriptor names no extent"),
        _ => Ok(found),
    }
}

fn access(line: &[u8]) -> Option<Access> {
    let word = line.split(u8::is_ascii_whitespace).next()?;
    let known = [("RW", Access::ReadWrite), ("RDONLY", Access::ReadOnly), ("NOACCESS", Access::None)];
    known.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map(|(_, access)| *access)
}

/// Parses `RW 4192256 SPARSE "disk-s001.vmdk"`, `RW 2048 FLAT "disk-flat.vmdk" 0`, `RW 63 ZERO`.
fn extent(access: Access, line: &[u8], at: usize) -> Parsed<Line> {
    let text = decode(line);
    let (before, name, after) = match text.split_once('"') {
        None => (text.as_str(), "", ""),
        Some((before, rest)) => match rest.split_once('"') {
            Some((name, after)) => (before, name, after),
            None => return fault(at, "the name of an extent has no closing quote"),
        },
    };
    let bytes = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok())?.checked_mul(SECTOR);
    let mut words = before.split_ascii_whitespace().skip(1);
    let len = bytes(words.next()).filter(|&len| len > 0);
    let (Some(len), Some(kind), None) = (len, words.next(), words.next()) else {
        return fault(at, "an extent needs a number of sectors and a kind");
    };
    let kind = kind.to_ascii_uppercase();
    if name.is_empty() != (kind == "ZERO") {
        return fault(at, "an extent needs the name of a file, unless it is ZERO");
    }
    let offset = match after.split_ascii_whitespace().next() {
        None => 0,
        word => match bytes(word) {
            Some(offset) => offset,
            None => return fault(at, "the offset of an extent is not a number of sectors"),
        },
    };
    Ok(Line { access, len, kind, name: name.to_owned(), offset })
}

/// Returns the key in lower case, and the range of the value in the line, without quotes.
fn key_and_value(line: &[u8]) -> Option<(String, Range<usize>)> {
    let equals = line.iter().position(|&b| b == b'=')?;
    let raw = &line[equals + 1..];
    let value = raw.trim_ascii();
    let bare = value.strip_prefix(b"\"").map_or(value, |inner| inner.strip_suffix(b"\"").unwrap_or(inner));
    let start = equals + 1 + (raw.len() - raw.trim_ascii_start().len()) + usize::from(value.starts_with(b"\""));
    let key = decode(line[..equals].trim_ascii()).to_ascii_lowercase();
    Some((key, start..start + bare.len()))
}

fn cid(value: &[u8], at: usize) -> Parsed<u32> {
    let digits = std::str::from_utf8(value).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
        Some(cid) if value.len() <= 8 => Ok(cid),
        _ => fault(at, "a CID is up to eight hexadecimal digits"),
    }
}

/// Decodes UTF-8, or else each byte as a character, which is nearly right for old descriptors from Windows.
fn decode(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|&b| char::from(b)).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Disk DescriptorFile\r\nversion=1\r\nencoding=\"UTF-8\"\r\nCID = 12345678\r\nparentCID=9abcdef0\r\n\
        createType=\"twoGbMaxExtentSparse\"\r\nparentFileNameHint=\"the base.vmdk\"\r\n# Extent description\r\n\
        RW 4192256 SPARSE \"a disk-s001.vmdk\"\r\nRDONLY 8 FLAT \"f.vmdk\" 16\r\nNOACCESS 63 ZERO\r\n\
        changeTrackPath=\"d-ctk.vmdk\"\r\nddb.longContentID = \"0123456789abcdef0123456712345678\"\r\n";

    #[test]
    fn descriptors_of_vmware_are_read() {
        assert!(is_one(TEXT.as_bytes()) && is_one(b"\n#x\nversion=1\nCID=1") && !is_one(b"#\nversion 1\nCID=1"));
        let found = parse(TEXT.as_bytes()).unwrap();
        assert_eq!((found.cid, &TEXT[found.cid_at]), (0x1234_5678, "12345678"));
        assert_eq!(found.long_id_at.map(|at| &TEXT[at]), Some("0123456789abcdef0123456712345678"));
        assert_eq!(found.parent, Some((0x9abc_def0, "the base.vmdk".into())));
        assert_eq!(found.change_track.as_deref(), Some("d-ctk.vmdk"));
        let line = |access, sectors: u64, kind: &str, name: &str, offset: u64| Line {
            access,
            len: sectors * 512,
            kind: kind.into(),
            name: name.into(),
            offset: offset * 512,
        };
        let expected = [
            line(Access::ReadWrite, 4_192_256, "SPARSE", "a disk-s001.vmdk", 0),
            line(Access::ReadOnly, 8, "FLAT", "f.vmdk", 16),
            line(Access::None, 63, "ZERO", "", 0),
        ];
        assert_eq!(found.extents, expected);
        assert!(
            !found.encrypted
                && parse((TEXT.to_owned() + "ddb.iofilters=\"vmwarevmcrypt\"").as_bytes()).unwrap().encrypted
        );
    }

    #[test]
    fn errors_have_the_offset_of_the_defect() {
        for (from, to, at) in [
            ("CID = 12345678", "CID = 123456789", "CID = "),
            ("CID = 12345678", "CID = +1", "CID = "),
            ("CID = 12345678", "XCID = 1", "# Disk"),
            ("version=1", "parentCID=ffffffff", "parentCID=9"),
            ("createType", "createTypo", "# Disk"),
            ("9abcdef0", "ffffffff", "parentFileName"),
            ("parentFileNameHint", "hint", "# Disk"),
            ("RW 4192256", "RW x", "RW "),
            ("RW 4192256", "RW 0", "RW "),
            ("RW 4192256", "RW 36028797018963968", "RW "),
            ("63 ZERO", "63 FLAT", "NOACCESS"),
            ("\"f.vmdk\" 16", "\"f.vmdk 16", "RDONLY"),
            ("\"f.vmdk\" 16", "\"f.vmdk\" -1", "RDONLY"),
        ] {
            let text = TEXT.replace(from, to);
            let fault = parse(text.as_bytes()).unwrap_err();
            assert!(text[fault.at..].starts_with(at), "{to}: {fault:?}");
        }
        let many = TEXT.to_owned() + &"RW 1 ZERO\n".repeat(MAX_EXTENTS);
        assert_eq!(parse(many.as_bytes()).unwrap_err().kind, Kind::Unsupported);
        assert!(parse(TEXT.split("RW").next().unwrap().as_bytes()).unwrap_err().what.contains("no extent"));
    }
}
