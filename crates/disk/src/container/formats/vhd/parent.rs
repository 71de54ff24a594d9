//! The parent of a differencing image (specification, "Parent Locator Entry"): by relative path, absolute path, name.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::footer::{self, Footer, Type};
use super::sparse::Header;
use super::{corrupt, u32_at, u64_at};
use crate::container::helpers::tables::index;
use crate::container::references::References;
use crate::container::{Image, Opening, Role, error_context, open_layer};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::probe::metadata;

/// Offset range of the parent's name in the header, big-endian UTF-16.
const NAME: std::ops::Range<usize> = 64..576;
/// Offset range of the eight locators, and the bytes of one.
const LOCATORS: (std::ops::Range<usize>, usize) = (576..768, 24);
/// Platform codes in order of preference: relative path, absolute path (both little-endian UTF-16), URL in UTF-8.
const PLATFORMS: [&[u8; 4]; 3] = [b"W2ru", b"W2ku", b"MacX"];
/// Maximum size of a path in bytes; Windows paths have at most 32767 characters.
const LONGEST: u64 = 1 << 16;
/// Seconds from 1970 to 2000, the epoch of VHD times.
const EPOCH: Duration = Duration::from_secs(946_684_800);

/// Start and end offsets in the file.
type Spans = Vec<(u64, u64)>;

/// Opens the parent. Also returns the offsets of the locators' texts in the file.
pub(super) fn open(
    opening: &Opening<'_>,
    header: &Header,
    own: &Footer,
    remarks: &mut Vec<(Code, String)>,
) -> Result<(Image, Spans)> {
    let (names, texts) = names(&*opening.file, header)?;
    let (name, footer) = find(opening, header, &names)?;
    let (path, file) = opening.policy.named(opening.path, &name, Role::Backing)?;
    if footer.size != own.size {
        let what = format!("the parent's disk has {} bytes, this one {}", footer.size, own.size);
        remarks.push((Code::VhdParentSize, what));
    }
    if !same_time(header.parent_changed, &footer, &path) {
        let what =
            "the modification time of the parent differs from the one in this image: the parent was copied or changed";
        remarks.push((Code::VhdParentTime, what.to_owned()));
    }
    let below = Opening { policy: opening.policy, file, path: &path, role: Role::Backing, depth: opening.depth + 1 };
    // A parent that was named with its format either opens or is an error.
    let image = open_layer(below, Some(super::FORMAT.name))?;
    let image = image.ok_or_else(|| corrupt(Code::VhdParent, "the parent is not an image", header.at))?;
    Ok((image, texts))
}

/// Returns the references of a differencing image to its parent.
pub(super) fn references(file: &Arc<dyn Storage>) -> Result<References> {
    let footer = footer::find(&**file, &mut Vec::new())?;
    if footer.kind != Type::Differencing {
        return Ok(References::default());
    }
    let (names, _) = names(&**file, &Header::read(&**file, &footer)?)?;
    Ok(References::under(names))
}

/// Returns the names of the parent, the most reliable first, and their offsets in the file.
fn names(file: &dyn Storage, header: &Header) -> Result<(Vec<String>, Spans)> {
    let (mut names, mut texts) = (Vec::new(), Vec::new());
    let len = file.len()?;
    for entry in header.bytes[LOCATORS.0].chunks_exact(LOCATORS.1) {
        let (size, at) = (u64::from(u32_at(entry, 8)), u64_at(entry, 16));
        let Some(rank) = PLATFORMS.iter().position(|code| entry.starts_with(*code)) else { continue };
        if size == 0 || size > LONGEST || at.checked_add(size).is_none_or(|end| end > len) {
            continue;
        }
        let mut bytes = vec![0; index(size)];
        file.read_at(at, &mut bytes)?;
        let name =
            if rank == 2 { String::from_utf8_lossy(&bytes).into_owned() } else { utf16(&bytes, u16::from_le_bytes) };
        names.push((rank, name));
        texts.push((at, at + size));
    }
    names.push((PLATFORMS.len(), utf16(&header.bytes[NAME], u16::from_be_bytes)));
    names.sort_by_key(|(rank, _)| *rank);
    let cut = |(_, name): (usize, String)| name.split('\0').next().unwrap_or_default().to_owned();
    Ok((names.into_iter().map(cut).filter(|name| !name.is_empty()).collect(), texts))
}

fn utf16(bytes: &[u8], number: fn([u8; 2]) -> u16) -> String {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| number(*unit));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Returns the first name that leads to the image with the parent's identifier, and its footer.
fn find(opening: &Opening<'_>, header: &Header, names: &[String]) -> Result<(String, Footer)> {
    // A missing file is the weakest error; a different image is the strongest.
    let mut worst: Option<(u8, Error)> = None;
    for name in names {
        let error = match candidate(opening, header, name) {
            Ok(footer) => return Ok((name.clone(), footer)),
            Err(error) => error,
        };
        let weight = match error.kind() {
            Kind::NotFound => 0,
            Kind::Refused => 1,
            _ => 2,
        };
        if worst.as_ref().is_none_or(|(least, _)| weight > *least) {
            worst = Some((weight, error));
        }
    }
    let nameless = || corrupt(Code::VhdParent, "the differencing image does not name its parent", header.at);
    Err(worst.map_or_else(nameless, |(_, error)| error))
}

fn candidate(opening: &Opening<'_>, header: &Header, name: &str) -> Result<Footer> {
    let (path, file): (_, Arc<dyn Storage>) = opening.policy.look_at(opening.path, name)?;
    let footer = footer::find(&*file, &mut Vec::new()).map_err(|error| error_context::below(error, &[], &path))?;
    if footer.uuid == header.parent {
        return Ok(footer);
    }
    let what = format!("{} is not the parent of {}: its identifier differs", path.display(), opening.path.display());
    Err(Error::new(Kind::Corrupt, Code::VhdParentMismatch, what)
        .expected(header.parent, footer.uuid)
        .advise("look for the parent from which this image was made"))
}

/// Returns whether the parent's time is the one that the child recorded. Virtual PC and Windows record the modification
/// time of the file; some other programs the creation time in the parent's footer.
fn same_time(recorded: u32, parent: &Footer, path: &Path) -> bool {
    let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH + EPOCH).ok();
    let file = metadata(path).ok().and_then(|data| data.modified).and_then(since).map_or(0, |since| since.as_secs());
    // FAT has a resolution of two seconds.
    recorded == 0 || recorded == parent.made || file.abs_diff(recorded.into()) <= 2
}
