//! The parent locator of a differencing disk ([MS-VHDX] 2.6.2.6).

use super::fields::{Guid, corrupt, text};
use crate::little_endian::{u16_at, u32_at};
use hivewright_error::{Code, Error, Kind, Result, Space};

/// The locator type of a VHDX parent.
const VHDX: Guid = Guid::of(0xb04aefb7_d19e_4a81_b789_25b8e9445913);
const HEADER: usize = 20;
const ENTRY: usize = 12;
/// The keys of paths, in the order in which they are tried.
const PATHS: [&str; 3] = ["relative_path", "volume_path", "absolute_win32_path"];
const LINKAGES: [&str; 2] = ["parent_linkage", "parent_linkage2"];

/// The identifier of the parent and its possible paths.
pub(super) struct Locator {
    /// The parent's data write identifier before, or after, a merge that may have been interrupted. Not empty.
    pub(super) linkages: Vec<Guid>,
    /// Paths of the file. Not empty.
    pub(super) paths: Vec<String>,
}

/// Parses the item, which lies at `at` in the file.
pub(super) fn parse(item: &[u8], at: u64) -> Result<Locator> {
    let kind = Guid::at(item, 0);
    if item.len() < HEADER || kind != VHDX {
        let what = format!("the parent locator type {kind} is not supported");
        return Err(Error::new(Kind::Unsupported, Code::VhdxParentKind, what).at(Space::File, at).expected(VHDX, kind));
    }
    let mut values: [Option<String>; 5] = Default::default();
    for i in 0..usize::from(u16_at(item, 18)) {
        let start = HEADER + i * ENTRY;
        let entry = item.get(start..start + ENTRY).ok_or_else(|| broken(at + start as u64))?;
        let part = |offset: u32, len: u16| {
            let start = usize::try_from(offset).ok()?;
            item.get(start..start.checked_add(len.into())?)
        };
        let key = part(u32_at(entry, 0), u16_at(entry, 8)).ok_or_else(|| broken(at + start as u64))?;
        let value = part(u32_at(entry, 4), u16_at(entry, 10)).ok_or_else(|| broken(at + start as u64))?;
        // The longest known key has 19 characters: longer ones need not be decoded.
        let key = text(key.get(..64).unwrap_or(key));
        let known = LINKAGES.iter().chain(&PATHS).position(|known| *known == key);
        if let Some(slot) = known.and_then(|known| values.get_mut(known))
            && slot.is_none()
        {
            *slot = Some(text(value));
        }
    }
    let (linkages, paths) = values.split_at(LINKAGES.len());
    let linkages: Vec<Guid> = linkages.iter().flatten().filter_map(|text| Guid::parse(text)).collect();
    let paths: Vec<String> = paths.iter().flatten().filter(|path| !path.is_empty()).cloned().collect();
    if linkages.is_empty() || paths.is_empty() {
        return Err(corrupt(Code::VhdxParentLocator, "the parent locator has no identifier or no path", at)
            .expected("parent_linkage and a path", format_args!("{} and {} paths", linkages.len(), paths.len())));
    }
    Ok(Locator { linkages, paths })
}

fn broken(at: u64) -> Error {
    corrupt(Code::VhdxParentLocator, "an entry of the parent locator ends past its end", at)
}
