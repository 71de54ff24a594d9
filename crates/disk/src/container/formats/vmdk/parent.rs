//! The parent of a snapshot or of a linked clone.

use std::sync::Arc;

use super::hosted::{self, Header};
use super::{FORMAT, broken, cowd, descriptor, se_sparse};
use crate::container::Role;
use crate::container::references::References;
use crate::container::{self, About, Image, Opening};
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;

/// Opens the parent that is said to be at `hint` and had the CID `wanted` when the child was made.
pub(super) fn open(child: &Opening<'_>, hint: &str, wanted: u32) -> Result<Image> {
    let gate = child.gate;
    // It is a hint: the CID tells whether the file is the right one.
    let (path, file) = gate.named(child.path, hint, Role::Backing)?;
    let depth = child.depth + 1;
    let opening = Opening { gate, file: Arc::clone(&file), path: &path, role: Role::Backing, depth };
    let Some(image) = container::open_layer(opening, Some(FORMAT.name))? else {
        return Err(broken(Code::VmdkMagic, format!("the parent {} is no image", path.display())));
    };
    match cid(&image.about) {
        Some(found) if found == wanted => Ok(image),
        found => {
            let what = format!(
                "the parent {} of {} was changed after the child was made, or is not the one",
                path.display(),
                child.path.display()
            );
            let found = found.map_or("none".into(), |cid| format!("{cid:08x}"));
            Err(broken(Code::VmdkParentChanged, what).expected(format_args!("CID {wanted:08x}"), found).advise(
                "look for the parent as it was; where it is known that no byte of it has changed, its CID can be written \
                 into parentCID of the child's descriptor",
            ))
        }
    }
}

/// The hint at the parent and the extents, as the descriptor has them. (VMware, "Virtual Disk Format 5.0": a hosted sparse
/// extent may have one in it; those of ESX never do.)
pub(super) fn references(file: &Arc<dyn Storage>) -> Result<References> {
    let mut head = [0; 8];
    let there = file.len()?.min(8);
    // At most 8.
    file.read_at(0, &mut head[..usize::try_from(there).unwrap_or(8)])?;
    let is_embedded = head.starts_with(hosted::MAGIC);
    let described = if is_embedded {
        let place = Header::read(file)?.descriptor()?;
        place.map_or(Ok(None), |(at, len)| descriptor::read_embedded(file, at, len.min(MOST_OF_A_DESCRIPTOR)))?
    } else if head.starts_with(cowd::MAGIC) || head.starts_with(se_sparse::MAGIC) {
        None
    } else {
        Some(descriptor::read(file, 0, file.len()?.min(MOST_OF_A_DESCRIPTOR))?)
    };
    let Some((_, found)) = described else { return Ok(References { is_fragment: true, ..References::default() }) };
    let parents = found.parent.into_iter().map(|(_, hint)| hint).collect();
    // The first extent of an embedded descriptor is the file that it stands in, whatever that was called when it was made:
    // in a copy it has the name of the original.
    let own = usize::from(is_embedded);
    let mut parts: Vec<String> = found.extents.into_iter().skip(own).map(|line| line.name).collect();
    parts.retain(|name| !name.is_empty());
    parts.dedup();
    Ok(References { parents, parts, ..References::default() })
}

/// Bytes of a descriptor in which a parent is looked for: hundreds of extents fit in.
const MOST_OF_A_DESCRIPTOR: u64 = 64 << 10;

fn cid(about: &About) -> Option<u32> {
    let (_, cid) = about.facts.iter().find(|(name, _)| *name == "cid")?;
    u32::from_str_radix(cid, 16).ok()
}
