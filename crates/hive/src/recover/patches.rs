//! The patches from a primary file to its recovered hive.

use crate::regf::BASE_BLOCK_SIZE;
use crate::{HiveBytes, Overlay, Patch, PatchSet, Step};
use hivewright_error::Result;

/// Minimum number of equal bytes between two patches.
const JOIN: usize = 16;

/// Returns the patches from the base to the overlay.
pub(super) fn of<B: HiveBytes>(overlay: &Overlay<'_, B>) -> Result<PatchSet> {
    let mut set = PatchSet { old_len: overlay.base().len(), new_len: overlay.len(), patches: Vec::new() };
    let is_base_block = |&(at, _): &(u64, &[u8])| at < u64::from(BASE_BLOCK_SIZE);
    // The steps become durable in order, so an interruption never leaves a clean file with old pages.
    for (at, new) in overlay.replaced().filter(|range| !is_base_block(range)) {
        differences(&mut set, overlay.base(), at, new, ("page from the transaction log", Step::Prepare, JOIN))?;
    }
    for (at, new) in overlay.replaced().filter(is_base_block) {
        let what = "base block: sequence numbers, hive bins data size, checksum";
        // The sector is one write: new sequence numbers with the old checksum would make the base block invalid, and
        // another log might then be used to rebuild it.
        differences(&mut set, overlay.base(), at, new, (what, Step::Base, new.len()))?;
    }
    Ok(set)
}

fn differences<B: HiveBytes>(
    set: &mut PatchSet,
    base: &B,
    at: u64,
    new: &[u8],
    (what, step, join): (&'static str, Step, usize),
) -> Result<()> {
    let there = usize::try_from(set.old_len.saturating_sub(at)).unwrap_or(usize::MAX).min(new.len());
    let old = if there == 0 { (&[][..]).into() } else { base.read(at, there)? };
    let differs = |i: usize| old.get(i) != Some(&new[i]);
    let mut i = 0;
    while let Some(start) = (i..new.len()).find(|&i| differs(i)) {
        let mut end = start + 1;
        while let Some(next) = (end..new.len().min(end + join)).find(|&i| differs(i)) {
            end = next + 1;
        }
        set.patches.push(Patch {
            offset: at + start as u64,
            old: old[start.min(there)..end.min(there)].to_vec(),
            new: new[start..end].to_vec(),
            what: what.into(),
            step,
        });
        i = end;
    }
    Ok(())
}
