//! The parent of a snapshot or of a linked clone.

use std::sync::Arc;

use super::hosted::{self, Header};
use super::{FORMAT, broken, cowd, descriptor, se_sparse};
use crate::container::Role;
use crate::container::references::References;
use crate::container::{self, About, Image, Opening};
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;

/// Opens the parent at `hint`, which had the CID `wanted` when the child was made.
pub(super) fn open(child: &Opening<'_>, hint: &str, wanted: u32) -> Result<Image> {
    let policy = child.policy;
    // The path is only a hint; the CID identifies the parent.
    let (path, file) = policy.named(child.path, hint, Role::Backing)?;
    let depth = child.depth + 1;
    let opening = Opening { policy, file: Arc::clone(&file), path: &path, role: Role::Backing, depth };
    let Some(image) = container::open_layer(opening, Some(FORMAT.name))? else {
        return Err(broken(Code::VmdkMagic, format!("the parent {} is not an image", path.display())));
    };
    match cid(&image.about) {
        Some(found) if found == wanted => Ok(image),
        found => {
            let what = format!(
                "the parent {} of {} has changed since the child was made, or is a different image",
                path.display(),
                child.path.display()
            );
            let found = found.map_or("none".into(), |cid| format!("{cid:08x}"));
            Err(broken(Code::VmdkParentChanged, what).expected(format_args!("CID {wanted:08x}"), found).advise(
                "look for the unchanged parent; if its data has not changed, write its CID into parentCID of the child's descriptor",
            ))
        }
    }
}

/// Returns the references to the parent and the extents, as the descriptor names them. (VMware, "Virtual Disk Format
/// 5.0": a hosted sparse extent may have an embedded descriptor; those of ESX never do.)
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
    // The first extent of an embedded descriptor is its own file, whatever its name: a copy still has the name of the
    // original.
    let own = usize::from(is_embedded);
    let mut parts: Vec<String> = found.extents.into_iter().skip(own).map(|line| line.name).collect();
    parts.retain(|name| !name.is_empty());
    parts.dedup();
    Ok(References { parents, parts, ..References::default() })
}

/// Bytes of a descriptor that are searched for a parent; enough for hundreds of extents.
const MOST_OF_A_DESCRIPTOR: u64 = 64 << 10;

fn cid(about: &About) -> Option<u32> {
    let (_, cid) = about.facts.iter().find(|(name, _)| *name == "cid")?;
    u32::from_str_radix(cid, 16).ok()
}
