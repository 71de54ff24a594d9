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
use hivewright_storage::folder::modified;

/// Where the parent's name stands in the header, UTF-16 with the high byte first, and its length.
const NAME: std::ops::Range<usize> = 64..576;
/// Where the eight locators stand, and the bytes of one.
const LOCATORS: (std::ops::Range<usize>, usize) = (576..768, 24);
/// Platform codes, the best first: a relative path, an absolute path (both UTF-16, low byte first), a URL in UTF-8.
const PLATFORMS: [&[u8; 4]; 3] = [b"W2ru", b"W2ku", b"MacX"];
/// Longer paths are not believed; Windows ends at 32767 characters.
const LONGEST: u64 = 1 << 16;
/// From 1970 to 2000.
const EPOCH: Duration = Duration::from_secs(946_684_800);

/// Starts and ends in the file.
type Spans = Vec<(u64, u64)>;

/// Opens the parent, and gives where the locators' texts lie in the file.
pub(super) fn open(
    opening: &Opening<'_>,
    header: &Header,
    own: &Footer,
    remarks: &mut Vec<(Code, String)>,
) -> Result<(Image, Spans)> {
    let (names, texts) = names(&*opening.file, header)?;
    let (name, footer) = find(opening, header, &names)?;
    let (path, file) = opening.gate.named(opening.path, &name, Role::Backing)?;
    if footer.size != own.size {
        let what = format!("the parent's disk has {} bytes, this one {}", footer.size, own.size);
        remarks.push((Code::VhdParentSize, what));
    }
    if !same_time(header.parent_changed, &footer, &path) {
        let what = "the parent did not last change when this image says it did: it was copied, or written to since";
        remarks.push((Code::VhdParentTime, what.to_owned()));
    }
    let below = Opening { gate: opening.gate, file, path: &path, role: Role::Backing, depth: opening.depth + 1 };
    // A named format is opened or is an error.
    let image = open_layer(below, Some(super::FORMAT.name))?;
    let image = image.ok_or_else(|| corrupt(Code::VhdParent, "the parent is no image", header.at))?;
    Ok((image, texts))
}

/// The names that a differencing image has of its parent.
pub(super) fn references(file: &Arc<dyn Storage>) -> Result<References> {
    let footer = footer::find(&**file, &mut Vec::new())?;
    if footer.kind != Type::Differencing {
        return Ok(References::default());
    }
    let (names, _) = names(&**file, &Header::read(&**file, &footer)?)?;
    Ok(References::under(names))
}

/// The parent's names, the best first, and where they stand in the file.
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

/// The first name that leads to the parent, by its identifier; with its footer.
fn find(opening: &Opening<'_>, header: &Header, names: &[String]) -> Result<(String, Footer)> {
    // What is not there says the least, what is another image the most.
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
    let (path, file): (_, Arc<dyn Storage>) = opening.gate.look_at(opening.path, name)?;
    let footer = footer::find(&*file, &mut Vec::new()).map_err(|error| error_context::below(error, &[], &path))?;
    if footer.uuid == header.parent {
        return Ok(footer);
    }
    let what = format!("{} is not the parent of {}: it has another identifier", path.display(), opening.path.display());
    Err(Error::new(Kind::Corrupt, Code::VhdParentMismatch, what)
        .expected(header.parent, footer.uuid)
        .advise("find the parent that this image was made on"))
}

/// Whether the parent changed when the child says so. Virtual PC and Windows keep the time of the file; some others that
/// at which the parent was made.
fn same_time(recorded: u32, parent: &Footer, path: &Path) -> bool {
    let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH + EPOCH).ok();
    let file = modified(path).and_then(since).map_or(0, |since| since.as_secs());
    // FAT counts in two seconds.
    recorded == 0 || recorded == parent.made || file.abs_diff(recorded.into()) <= 2
}
