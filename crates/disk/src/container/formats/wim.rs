//! WIM and ESD: archives of images, each with the files of a volume. See [`crate::wim`].
//!
//! A split archive has a part in each file: `install.swm`, `install2.swm` and so on (Microsoft, *DISM*,
//! `/Split-Image`). A path to any part opens all parts. The first part is the file of the archive.

use std::path::Path;
use std::sync::Arc;

use crate::container::{About, Format, Image, Opening, Probe, References, Variant};
use crate::wim::{Archive, MAGIC, PIPABLE_MAGIC, PartOf};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;

pub(in crate::container) const FORMAT: Format = Format {
    name: "wim",
    title: "WIM",
    variants: &[
        Variant {
            what: "without compression, XPRESS, LZX, LZMS; solid (ESD)",
            reads: "each image as a volume, hashes checked",
            writes: "yes, appended",
        },
        Variant {
            what: "split (SWM), pipable, read-only",
            reads: "yes",
            writes: "refused, with the command of a conversion",
        },
        Variant { what: "delta, encrypted ESD", reads: "named", writes: "no" },
    ],
    is,
    open,
    endings: &["wim", "esd", "swm"],
    references: Some(references),
};

fn is(probe: &Probe<'_>) -> bool {
    [MAGIC, PIPABLE_MAGIC].iter().any(|magic| probe.head.starts_with(*magic))
}

fn open(opening: Opening<'_>) -> Result<Image> {
    let part = PartOf::read(&*opening.file)?;
    let files = if part.count == 1 { vec![opening.file.clone()] } else { parts(&opening, &part)? };
    let first = files.first().cloned().unwrap_or_else(|| opening.file.clone());
    let mut size = 0u64;
    for file in &files {
        size = size.saturating_add(file.len()?);
    }
    let archive = Archive::open_sharing(files, opening.policy.unpacked.clone())?;
    let mut facts = vec![("images", archive.images().to_string())];
    if part.count > 1 {
        facts.push(("parts", part.count.to_string()));
    }
    facts.push(("integrity table", if archive.has_integrity_table() { "yes" } else { "no" }.to_owned()));
    let about = About {
        format: FORMAT.name,
        variant: archive.compression(),
        file: opening.path.to_owned(),
        size,
        facts,
        refusal: archive.refusal(),
        ..About::default()
    };
    Ok(Image { disk: first, about, archive: Some(archive) })
}

/// Opens all parts of a split archive. `opening` is one of them.
fn parts(opening: &Opening<'_>, named: &PartOf) -> Result<Vec<Arc<dyn Storage>>> {
    let mut files = Vec::new();
    for number in 1..=named.count {
        if number == named.number {
            files.push(opening.file.clone());
            continue;
        }
        let name = name_of(opening.path, named.number, number).ok_or_else(|| {
            let what = format!(
                "{} is part {} of an archive, but does not have the name of that part",
                opening.path.display(),
                named.number
            );
            Error::new(Kind::NotFound, Code::WimParts, what).advise(NAMES)
        })?;
        let (_, file) =
            opening.policy.named(opening.path, &name, opening.part()).map_err(|error| match error.kind() {
                Kind::NotFound => {
                    let what = format!("part {number} of the {} of the archive is missing: {name}", named.count);
                    Error::new(Kind::NotFound, Code::WimParts, what).advise(NAMES)
                }
                _ => error,
            })?;
        let own = PartOf::read(&*file)?;
        if (own.guid, own.number, own.count) != (named.guid, number, named.count) {
            let what = format!("{name} is not part {number} of the archive: it belongs to another archive");
            return Err(Error::new(Kind::Corrupt, Code::WimParts, what).advise(NAMES));
        }
        files.push(file);
    }
    Ok(files)
}

const NAMES: &str = "put all parts into one folder, under their original names: install.swm, install2.swm ...";

/// Returns the path of part `number` in the folder of part `own` at `path`.
fn name_of(path: &Path, own: u16, number: u16) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    let stem = if own == 1 { stem } else { stem.strip_suffix(&own.to_string())? };
    let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    Some(if number == 1 { format!("{stem}{ending}") } else { format!("{stem}{number}{ending}") })
}

/// Returns the identifier of a split archive, which all parts have.
fn references(file: &Arc<dyn Storage>) -> Result<References> {
    let PartOf { guid, number, count } = PartOf::read(&**file)?;
    Ok(References {
        own: (count > 1 && number == 1).then_some(guid),
        whole: (number > 1).then_some(guid),
        is_fragment: number > 1,
        ..References::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_from_the_second_part_on() {
        let name = |path: &str, own, number| name_of(Path::new(path), own, number);
        assert_eq!(name("/a/install.swm", 1, 3).as_deref(), Some("install3.swm"));
        assert_eq!(name("/a/install12.swm", 12, 1).as_deref(), Some("install.swm"));
        assert_eq!(name("win10.2.SWM", 2, 3).as_deref(), Some("win10.3.SWM"));
        assert_eq!(name("win10.SWM", 2, 3), None);
        assert_eq!(name("install1", 1, 2).as_deref(), Some("install12"));
    }
}
